"""Fault 8: bytes of updates mean nothing to the store; what cannot be replayed is named by a process that may die of it."""

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pycrdt import Doc, Text
from support.ystore_decoding import decode_here
from support.ystore_ledger import keys

from ystore import MemoryBlobs, PoisonedRecord, Retention, Store, StoreCorrupt, record, replay
from ystore.testing import QUICK, update

RecordProperty = Callable[[str, object], None]
CRASHING = Path(__file__).parents[1] / "fixtures" / "crashing_updates.py"

OPAQUE = """
import asyncio, json, random, sys
from ystore import MemoryBlobs, Store
from ystore.record import Record, encode
from ystore.testing import QUICK

async def main():
    dice, blobs = random.Random(8), MemoryBlobs()
    updates = [dice.randbytes(int(10 ** dice.uniform(0, 4))) for _ in range(1000)]
    records = b"".join(encode(Record(n, "x", 0.0, b"")) for n in range(1, 99))
    updates += [b"", bytes(2**20), b"YsR\\x01" * 99, b"YsO\\x01" * 99, records]
    for directory in sys.argv[1:]:
        async with await Store.open(directory, blobs, tuning=QUICK) as store:
            if store.position == 0:
                await asyncio.gather(*(store.append(u, "mallory") for u in updates))
            await store.flush()
            assert store.status.shipped
            assert [r.update async for r in store.records()] == updates
            assert [u async for u in store.updates()] == updates
    print(json.dumps({"updates": len(updates), "decoders": [name for name in sys.modules if "pycrdt" in name]}))

asyncio.run(main())
"""


def test_a_thousand_updates_of_noise_are_kept_shipped_and_fetched_undecoded(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", OPAQUE, tmp_path / "s", tmp_path / "s", tmp_path / "fetched"],
        capture_output=True, text=True, timeout=50,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {"updates": 1005, "decoders": []}


def nested(depth: int) -> bytes:
    """A list in a list in a list, deeper than the decoder's stack: the process that decodes it is killed by SIGSEGV."""
    return b"\1\1\1\0\x28\1\1m\1k\1" + b"\x75\1" * depth + b"\x7e\0"


POISONS: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "noise": lambda: random.Random(1).randbytes(99),
    "cut off": lambda: update(5)[:-3],
    "a length without end": lambda: b"\xff" * 1000,
    "a record of the log": lambda: record.encode(record.Record(1, "x", 0.0, update(1))),
    "kills the process": lambda: nested(200_000),
}


@pytest.mark.integration
@pytest.mark.parametrize("poison", POISONS)
async def test_poison_is_named_and_the_rest_served(tmp_path: Path, poison: str, record_property: RecordProperty) -> None:
    bad, dice, blobs = POISONS[poison](), random.Random(poison), MemoryBlobs()
    at = dice.randint(1, 8)
    async with await Store.open(tmp_path / "s", blobs, tuning=QUICK) as store:
        for n in range(1, 10):
            await store.append(bad if n == at else update(n), "mallory" if n == at else "ann")
        await poisoned(store, at)
        assert keys([await store.load(at - 1)]) == {str(n) for n in range(1, at)}
        assert await store.append(update(10)) == 10
        await store.flush()
        assert store.status.shipped == 10
    for root in ("s", "fetched"):
        async with await Store.open(tmp_path / root, blobs, tuning=QUICK) as store:
            assert [r.update async for r in store.records()][at - 1] == bad
            await poisoned(store, at)
    record_property("figures", f"{len(bad)} bytes at position {at}")


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> set[bytes]:
    """Updates that the decoder of today refuses; that of yesterday took them, and that of tomorrow may."""
    found = set[bytes]()

    async def decode(task: str, updates: Sequence[bytes]) -> bytes:
        for index, one in enumerate(updates):
            if one in found:
                raise replay.ReplayFailed("refused", index)
        return await decode_here(task, updates)

    monkeypatch.setattr(replay, "_run", decode)
    return found


def files(root: Path, kind: str) -> int:
    return len(list((root / "data").rglob(f"*{kind}")))


async def test_what_became_poison_later_stops_compaction_only_there(tmp_path: Path, refused: set[bytes]) -> None:
    blobs = MemoryBlobs()
    async with await Store.open(tmp_path / "s", blobs, tuning=QUICK) as store:
        for n in range(1, 10):
            await store.append(update(n), "ann")
            await store.flush()
        refused |= {update(5), update(7)}
        with pytest.raises(PoisonedRecord) as caught:
            await store.compact()
        assert (caught.value.position, store.status.poisoned) == (5, 5)
        assert (files(tmp_path / "s", ".ysnap"), files(tmp_path / "s", ".yseg")) == (1, 2)
        for n in range(10, 200):
            await store.append(update(n), "bob")
            if n % 10 == 0:
                await store.flush()
        with pytest.raises(PoisonedRecord):
            await store.compact()
        assert (files(tmp_path / "s", ".ysnap"), files(tmp_path / "s", ".yseg")) == (1, 2), "it grows, but not in pieces"
        await store.flush()
        assert store.status.shipped == 199
    for root in ("s", "fetched"):
        async with await Store.open(tmp_path / root, blobs, tuning=QUICK) as store:
            assert [r.update async for r in store.records()] == [update(n) for n in range(1, 200)]
            assert keys([await store.load(4)]) == {str(n) for n in range(1, 5)}
            assert len([one async for one in store.updates()]) == 1 + 195, "the snapshot, and records from the poison on"
            with pytest.raises(PoisonedRecord):
                await store.load()
    refused.clear()
    async with await Store.open(tmp_path / "s", blobs, tuning=QUICK) as store:
        assert keys([await store.load(6)]) == {str(n) for n in range(1, 7)}
        await store.compact()
        assert store.status.poisoned == 0
        assert keys([one async for one in store.updates()]) == {str(n) for n in range(1, 200)}
        assert len([one async for one in store.updates()]) == 1


async def test_retention_goes_on_up_to_what_cannot_be_replayed(tmp_path: Path, refused: set[bytes]) -> None:
    async with await Store.open(tmp_path, tuning=QUICK, retention=Retention(None, 0)) as store:
        for n in range(1, 10):
            await store.append(update(n))
            await store.flush()
            async with store._contents.lock:
                await store._contents.seal()
            if n == 3:
                await store.compact()
                assert store.horizon == 3
                await store.set_base(3, "etag")
        refused.add(update(7))
        for _ in range(2):
            with pytest.raises(PoisonedRecord):
                await store.compact()
        assert store.horizon == 6
        assert keys([await store.load(6)]) == {str(n) for n in range(1, 7)}
        assert keys([await store.load(3)]) == {"1", "2", "3"}
        assert [r.position async for r in store.records()] == [7, 8, 9]


async def test_what_shows_otherwise_in_one_update_stays_as_records_in_few_segments(tmp_path: Path) -> None:
    """The decoder shows what came by itself after a gap, but not what comes in one update with the gap."""
    doc, made = Doc(client_id=1), []
    text = doc.get("t", type=Text)
    subscription = doc.observe(lambda event: made.append(event.update))
    for at, letter in ((0, "a"), (0, "b"), (1, "c"), *((n, "d") for n in range(3, 103))):
        text.insert(at, letter)
    doc.unobserve(subscription)
    blobs = MemoryBlobs()
    async with await Store.open(tmp_path, blobs, tuning=QUICK) as store:
        for one in (made[0], made[2]):
            await store.append(one)
        await store.compact()
        for one in made[3:]:
            await store.append(one)
            await store.flush()
        for _ in range(2):
            with pytest.raises(StoreCorrupt, match="lacks updates"):
                await store.compact()
        assert (files(tmp_path, ".ysnap"), files(tmp_path, ".yseg")) == (1, 1)
        await store.append(made[1])
        await store.compact()
        (content,) = [one async for one in store.updates()]
    shown = Doc()
    shown.apply_update(content)
    assert str(shown.get("t", type=Text)) == str(text)


async def poisoned(store: Store, at: int) -> None:
    for work in (store.load, store.compact):
        with pytest.raises(PoisonedRecord) as caught:
            await work()
        assert (caught.value.position, caught.value.author) == (at, "mallory")
        assert caught.value.hint


@pytest.mark.integration
async def test_updates_that_make_the_decoder_panic_are_named(tmp_path: Path, record_property: RecordProperty) -> None:
    """They are found anew each time, as they differ between versions of the decoder."""
    result = await asyncio.to_thread(
        subprocess.run, [sys.executable, CRASHING, "5"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    found = [line.split() for line in result.stdout.splitlines()]
    for number, (base, bad) in enumerate(found):
        async with await Store.open(tmp_path / str(number), tuning=QUICK) as store:
            await store.append(bytes.fromhex(base), "ann")
            await store.append(bytes.fromhex(bad), "mallory")
            await store.append(update(3), "ann")
            await poisoned(store, 2)
            assert await store.append(update(4)) == 4
    record_property("figures", f"{len(found)} updates that panic")
