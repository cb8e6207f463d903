"""Compaction with retention: what stays is exact, what goes is bounded, and a crash at any step loses neither."""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pycrdt import Doc, Map, Text
from support.ystore_decoding import decode_here
from support.ystore_ledger import Ledger
from support.ystore_ledger import keys as keys_of
from ystore_writer import FORGETTING

from ystore import DirectoryBlobs, MemoryBlobs, PositionGone, Retention, Store, Tuning, replay
from ystore.testing import QUICK

RecordProperty = Callable[[str, object], None]
WRITER = Path(__file__).with_name("ystore_writer.py")
ROOT = WRITER.parents[2]
MANUAL = Tuning(ship_after_s=3600)
MIB = 2**20


@pytest.fixture
def no_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of replays, each in a process of its own, would take minutes."""
    monkeypatch.setattr(replay, "_run", decode_here)


@contextmanager
def recorded(doc: Doc) -> Iterator[list[bytes]]:
    """The updates made meanwhile."""
    updates: list[bytes] = []
    subscription = doc.observe(lambda event: updates.append(event.update))
    yield updates
    doc.unobserve(subscription)


def typed(dice: random.Random, count: int) -> list[bytes]:
    """Updates of somebody who writes, deletes and jumps about in a text of some length."""
    doc = Doc()
    doc["t"] = text = Text()
    with recorded(doc) as updates:
        text += "".join(dice.choices("abcdefgh \n", k=500))
        while len(updates) < count:
            at = dice.randrange(len(text))
            if dice.random() < 0.3:
                del text[at : min(at + dice.randint(1, 5), len(text))]
            else:
                text.insert(at, "".join(dice.choices("xyz", k=dice.randint(1, 4))))
    return updates[:count]


def text_of(*updates: bytes) -> str:
    doc = Doc()
    doc["t"] = text = Text()
    for one in updates:
        doc.apply_update(one)
    return str(text)


def size(root: Path) -> int:
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


@pytest.mark.usefixtures("no_children")
@pytest.mark.parametrize("seed", range(3))
async def test_every_position_that_is_kept_is_what_it_was(tmp_path: Path, seed: int) -> None:
    """Against a replay of the updates themselves, after many compactions of all sizes, from the directory and from blobs."""
    dice, blobs = random.Random(seed), MemoryBlobs()
    updates = typed(dice, 250)
    retention = Retention(age_s=None, bytes=dice.choice((0, 1500, 6000)))
    named = sorted(dice.sample(range(1, 200), 3))
    done = 0
    while done < len(updates):
        async with await Store.open(tmp_path, blobs, tuning=MANUAL, retention=retention) as store:
            for _ in range(dice.randint(1, 6)):
                for one in updates[done : done + dice.randint(1, 40)]:
                    done = await store.append(one)
                    if done in named:
                        await store.name_version(f"v{done}")
                if dice.random() < 0.5:
                    await store.compact()
                await store.flush()
        if dice.random() < 0.3:
            await store_is_exact(tmp_path, None, updates, dice, named)
    shutil.rmtree(tmp_path)
    await store_is_exact(tmp_path, blobs, updates, dice, named)


async def store_is_exact(
    root: Path, blobs: MemoryBlobs | None, updates: list[bytes], dice: random.Random, named: list[int]
) -> None:
    async with await Store.open(root, blobs, tuning=MANUAL) as store:
        versions = {v.position: v.name for v in await store.versions(gap_s=0)}
        assert {p: f"v{p}" for p in named if p <= store.position}.items() <= versions.items()
        begin = store.horizon
        for position in {begin, store.position, *dice.sample(sorted(versions), min(3, len(versions)))} - {0}:
            assert text_of(await store.load(position)) == text_of(*updates[:position])
        for position in {begin - 1, begin // 2} - set(named):
            if 0 <= position < begin:
                with pytest.raises(PositionGone):
                    await store.load(position)
        assert [r.update async for r in store.records()] == updates[begin : store.position]


async def test_updates_that_wait_for_others_survive_the_horizon(tmp_path: Path) -> None:
    doc = Doc()
    doc["t"] = text = Text()
    with recorded(doc) as parts:
        for word in ("one ", "two ", "three "):
            text += word
        del text[0:4]
    async with await Store.open(tmp_path, retention=Retention(None, 0)) as store:
        for part in (parts[3], parts[2]):
            await store.append(part)
            await store.name_version(f"after {store.position}")
            await store.compact()
        await store.append(parts[1])
        await store.compact()
        assert text_of(await store.load(1), *parts[:3]) == "two three ", "the deletion waits for what it deletes"
        assert text_of(await store.load(2), *parts[:2]) == "two three "
        assert text_of(await store.load(3)) == ""
        await store.append(parts[0])
        await store.compact()
        assert text_of(await store.load()) == "two three "


async def rewrite_outputs(store: Store, count: int) -> int:
    """Bytes of a cell's output of 100 kB that is replaced again and again."""
    doc, dice, written = Doc(), random.Random(1), 0
    doc["cell"] = cell = Map()
    with recorded(doc) as updates:
        for _ in range(count):
            cell["output"] = dice.randbytes(75_000).hex()[:100_000]
            written += len(updates[-1])
            await store.append(updates.pop())
            await store.flush()
    await store.compact()
    await store.flush()
    return written


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_rewritten_outputs_do_not_accumulate_unless_history_is_asked_for(
    tmp_path: Path, record_property: RecordProperty
) -> None:
    figures = {}
    for name, retention in (("default", Retention()), ("all", Retention(None, None))):
        there = tmp_path / name / "there"
        async with await Store.open(
            tmp_path / name / "here", DirectoryBlobs(there), tuning=QUICK, retention=retention
        ) as store:
            written = await rewrite_outputs(store, 1000)
            figures[name] = {"written": written, "here": size(tmp_path / name / "here"), "there": size(there)}
            assert store.status.problem == ""
            assert (store.horizon == 0) == (name == "all")
        for place in ("here", "there"):
            if name == "default":
                assert figures[name][place] < Retention().bytes + MIB
            else:
                assert figures[name][place] > written * 0.45, "two hexadecimal digits say a byte"
    record_property("figures", figures)
    print("1,000 outputs of 100 kB:", figures)


async def test_a_few_rewritten_outputs_do_not_accumulate(tmp_path: Path) -> None:
    async with await Store.open(tmp_path, retention=Retention(bytes=MIB), tuning=QUICK) as store:
        await rewrite_outputs(store, 60)
        assert store.horizon > 0
    assert size(tmp_path) < 1.25 * MIB


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_the_cold_part_is_a_few_times_the_document_and_the_history(
    tmp_path: Path, record_property: RecordProperty
) -> None:
    """100,000 single edits of a notebook of 500 kB, in a session that ships and compacts as it goes."""
    dice, blobs, retention = random.Random(7), tmp_path / "there", Retention()
    doc = Doc()
    doc["t"] = text = Text()
    async with await Store.open(tmp_path / "here", DirectoryBlobs(blobs), tuning=QUICK, retention=retention) as store:
        with recorded(doc) as updates:
            text += "".join(dice.choices("abcdefghij \n", k=500_000))
            at = 0
            for n in range(100_000):
                at = dice.randrange(len(text)) if dice.random() < 0.02 else min(at + 1, len(text) - 1)
                if dice.random() < 0.2:
                    del text[at]
                else:
                    text.insert(at, dice.choice("abcdefgh"))
                if n % 500 == 0:
                    await asyncio.gather(*(store.append(one, "ann") for one in updates))
                    updates.clear()
                    await store.flush()
                    if n == 50_000:
                        await store.set_base(store.position, '"1"')
            await asyncio.gather(*(store.append(one, "ann") for one in updates))
        await store.compact()
        await store.flush()
        assert store.status.problem == ""
        assert text_of(await store.load()) == str(text)
        history = sum(info.size for info in store._contents.past())
        figures = {"document": len(str(text)), "history": history, "there": size(blobs), "here": size(tmp_path / "here")}
        assert history <= Retention().bytes
        assert figures["there"] <= 3 * figures["document"] + history
        assert figures["here"] <= 3 * figures["document"] + history
    record_property("figures", figures)
    print("100,000 edits:", figures)


@pytest.mark.usefixtures("no_children")
async def test_nothing_named_while_a_compaction_drops_is_lost(tmp_path: Path) -> None:
    updates = typed(random.Random(3), 15)
    async with await Store.open(tmp_path, retention=Retention(None, 0), tuning=MANUAL) as store:
        acknowledged = []
        for begin in range(0, 15, 5):
            for one in updates[begin : begin + 5]:
                await store.append(one)
            compaction = asyncio.create_task(store.compact())
            for position in range(begin + 1, begin + 6):
                try:
                    await store.name_version(f"v{position}", position)
                except PositionGone:
                    continue
                acknowledged.append(position)
            await compaction
        await store.compact()
        assert acknowledged
        assert store.horizon == 15
        for position in acknowledged:
            assert text_of(await store.load(position)) == text_of(*updates[:position])


def life(directory: Path, blobs: Path, failpoint: str) -> tuple[int, list[str]]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "FORGET": "1", "CS3COLLAB_FAILPOINT": failpoint}
    command = [sys.executable, WRITER, directory, blobs, "2"]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stdout.splitlines()


PASSED = (*FORGETTING, "compact.snapshot.after", "compact.drop.before")
POINTS = [pytest.param(name, nth, marks=[pytest.mark.slow] * (nth > 1)) for name in PASSED for nth in (1, 2)]


@pytest.mark.integration
@pytest.mark.usefixtures("no_children")
@pytest.mark.parametrize("action", ["kill", "error"])
@pytest.mark.parametrize(("name", "nth"), POINTS)
async def test_a_crash_or_a_failing_disk_while_history_goes(tmp_path: Path, name: str, nth: int, action: str) -> None:
    here, there, ledger = tmp_path / "here", tmp_path / "there", Ledger()
    status, lines = life(here, there, f"{name}:{action}:{nth}")
    assert status == (-signal.SIGKILL if action == "kill" else 0)
    ledger.hear(lines)
    named = [int(line.split()[1]) for line in lines if line.startswith("named")]
    (promised,) = ledger.acknowledged.values()
    for blobs in (None, DirectoryBlobs(there)):
        async with await Store.open(here, blobs, tuning=MANUAL, retention=Retention(None, 0)) as store:
            for _ in range(2):
                assert keys_of([u async for u in store.updates()]) >= {str(n) for n in promised.values()}
                versions = {v.position: v.name for v in await store.versions()}
                for position in named:
                    assert versions[position]
                    before = {str(n) for p, n in promised.items() if p <= position}
                    assert before <= keys_of([await store.load(position)]) <= before | {str(n) for n in ledger.tried}
                async for record in store.records():
                    assert promised.get(record.position, record.author) in (int(record.author[7:]), record.author)
                await store.compact()
                await store.flush()
            assert store.horizon == store.position or not promised
