"""The blob store may be away, slow, deaf or damaged; the log goes on, and what was shipped comes back."""

import asyncio
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from support.ystore_clock import run_in_virtual_time

from ystore import BlobConflict, MemoryBlobs, Store, StoreUnavailable, Tuning
from ystore.asking import answered
from ystore.covers import Covers
from ystore.segment import Info
from ystore.shipping import worth_shipping
from ystore.testing import QUICK, FaultyBlobs, update


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - the store has no event for it
            await asyncio.sleep(0.002)


def files(root: Path, pattern: str) -> list[Path]:
    return list(root.glob(pattern))


async def updates(store: Store) -> list[bytes]:
    return [u async for u in store.updates()]


async def test_what_is_appended_is_shipped_without_being_asked(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    async with await Store.open(tmp_path / "s", blobs, tuning=QUICK) as store:
        await store.append(update(0))
        await until(lambda: store.status.shipped == 1)
        await store.append(update(1))
        await until(lambda: store.status.shipped == 2)
        assert len([n for n in await blobs.list("") if n.endswith(".yseg")]) == 2


def test_the_promise_of_two_seconds_is_kept_by_the_defaults() -> None:
    assert Tuning().ship_after_s < 2


async def test_a_blob_store_that_is_away_blocks_nothing_and_is_caught_up_with(tmp_path: Path) -> None:
    blobs = FaultyBlobs()
    async with await Store.open(tmp_path / "s", blobs, tuning=QUICK) as store:
        blobs.away = True
        for n in range(20):
            await store.append(update(n))
        await until(lambda: "away" in store.status.problem)
        calls = blobs.calls
        await until(lambda: blobs.calls > calls + 3)
        assert store.status.shipped < 20
        assert len(files(tmp_path, "s/data/*/*.yseg")) <= 1, "segments do not pile up while nothing is shipped"
        await store.append(update(20))
        blobs.away = False
        await until(lambda: store.status.shipped == 21)
        await until(lambda: store.status.problem == "")
    shutil.rmtree(tmp_path / "s")
    async with await Store.open(tmp_path / "s", blobs) as store:
        assert await updates(store) == [update(n) for n in range(21)]


async def test_flush_and_close_do_not_wait_for_a_stuck_blob_store(tmp_path: Path) -> None:
    blobs = FaultyBlobs()
    store = await Store.open(tmp_path / "s", blobs, tuning=Tuning(ship_after_s=0.001, flush_s=0.05))
    blobs.stuck = True
    await store.append(update(0))
    await store.flush()
    assert store.status.problem
    await store.append(update(1))
    await asyncio.wait_for(store.close(), 20)
    blobs.stuck = False
    async with await Store.open(tmp_path / "s", blobs, tuning=QUICK) as store:
        await until(lambda: store.status.shipped == 2)


async def test_a_put_whose_answer_was_lost_is_not_done_twice(tmp_path: Path) -> None:
    blobs = FaultyBlobs()
    async with await Store.open(tmp_path / "s", blobs, tuning=QUICK) as store:
        blobs.deaf = True
        await store.append(update(0))
        await until(lambda: bool(store.status.problem))
        blobs.deaf = False
        await until(lambda: store.status.shipped == 1)
        assert len([n for n in await blobs.list("") if n.endswith(".yseg")]) == 1


class Late(MemoryBlobs):
    """While ``holds``, notes are put when `land` is called, whoever still waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.holds = False
        self.held: list[tuple[str, bytes, bool]] = []

    async def put(self, name: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        if self.holds and "/meta-" in name:
            self.held.append((name, data, if_absent))
            await asyncio.Event().wait()
        return await super().put(name, data, if_absent=if_absent, if_match=if_match)

    async def land(self) -> None:
        for name, data, if_absent in self.held:
            with suppress(BlobConflict):
                await super().put(name, data, if_absent=if_absent)


async def test_notes_that_arrive_late_do_not_undo_newer_ones(tmp_path: Path) -> None:
    blobs = Late()
    async with await Store.open(tmp_path / "s", blobs, tuning=Tuning(ship_after_s=3600)) as store:
        await store.append(update(0))
        await store.set_meta({"saved": "first"})
        await store.flush()
        blobs.holds = True
        await store.set_meta({"saved": "second"})
        given_up = asyncio.create_task(store.flush())
        await until(lambda: bool(blobs.held))
        given_up.cancel()
        await asyncio.wait([given_up])
        blobs.holds = False
        await store.set_meta({"saved": "third"})
        await store.flush()
        await blobs.land()
    shutil.rmtree(tmp_path / "s")
    async with await Store.open(tmp_path / "s", blobs) as store:
        assert store.meta == {"saved": "third"}
        await store.set_meta({"saved": "fourth"})
        await store.flush()
    assert len([name for name in await blobs.list("") if "/meta-" in name]) == 1


async def test_an_empty_directory_is_not_begun_anew_while_the_blob_store_is_away(tmp_path: Path) -> None:
    blobs = FaultyBlobs()
    blobs.away = True
    with pytest.raises(StoreUnavailable):
        await Store.open(tmp_path / "s", blobs)
    blobs.away = False
    async with await Store.open(tmp_path / "s", blobs) as store:
        assert store.position == 0


async def test_a_directory_with_the_document_opens_while_the_blob_store_is_away(tmp_path: Path) -> None:
    blobs = FaultyBlobs()
    async with await Store.open(tmp_path / "s", blobs, tuning=QUICK) as store:
        await store.append(update(0))
    blobs.away = True
    async with await Store.open(tmp_path / "s", blobs, tuning=QUICK) as store:
        assert await store.append(update(1)) == 2
        assert any("away" in note for note in store.report.notes)
        blobs.away = False
        await until(lambda: store.status.shipped == 2)


class _Fewer(FaultyBlobs):
    """Stops answering after some objects were fetched."""

    left = 0

    async def get(self, name: str) -> bytes:
        if self.left == 0:
            raise ConnectionError("gone in the middle")
        self.left -= 1
        return await super().get(name)


async def test_an_interrupted_recovery_is_not_taken_for_the_document(tmp_path: Path) -> None:
    blobs = _Fewer()
    async with await Store.open(tmp_path / "s", blobs, tuning=QUICK) as store:
        for n in range(4):
            await store.append(update(n))
            await store.flush()
        lineage = store.lineage
    shutil.rmtree(tmp_path / "s")
    for left in (0, 1, 2, 3):
        blobs.left = left
        with pytest.raises(StoreUnavailable, match="gone in the middle"):
            await Store.open(tmp_path / "s", blobs)
    with pytest.raises(StoreUnavailable, match="not complete"):
        await Store.open(tmp_path / "s")
    blobs.left = 100
    async with await Store.open(tmp_path / "s", blobs) as store:
        assert store.lineage == lineage
        assert await updates(store) == [update(n) for n in range(4)]
        position = store.position
    async with await Store.open(tmp_path / "s", blobs) as store:
        assert store.position == position, "the gap is left once"


async def test_a_damaged_local_object_comes_back_from_the_blob_store(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    async with await Store.open(tmp_path / "s", blobs, tuning=QUICK) as store:
        await asyncio.gather(*(store.append(update(n)) for n in range(3)))
        await store.flush()
    (path,) = files(tmp_path, "s/data/*/*.yseg")
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.write_bytes(data)
    async with await Store.open(tmp_path / "s", blobs) as store:
        assert await updates(store) == [update(n) for n in range(3)]
        assert store.report.restored == 1
        assert any("damaged" in note for note in store.report.notes)


async def test_a_damaged_object_in_the_blob_store_is_reported(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    async with await Store.open(tmp_path / "s", blobs, tuning=QUICK) as store:
        for n in range(2):
            await store.append(update(n))
            await store.flush()
    first = next(n for n in await blobs.list("") if n.endswith(".yseg"))
    await blobs.put(first, (await blobs.get(first))[:-1])
    shutil.rmtree(tmp_path / "s")
    async with await Store.open(tmp_path / "s", blobs) as store:
        assert any("damaged" in note and "blob store" in note for note in store.report.notes)
        assert (await updates(store))[-1] == update(1)


async def test_compaction_deletes_blobs_only_after_their_substitute_was_read_back(tmp_path: Path) -> None:
    class Lying(MemoryBlobs):
        lying = False

        async def put(self, name: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
            return await super().put(name, data[:-1] if self.lying else data, if_absent=if_absent, if_match=if_match)

    blobs = Lying()
    async with await Store.open(tmp_path / "s", blobs, tuning=QUICK) as store:
        for n in range(3):
            await store.append(update(n))
            await store.flush()
        before = {n for n in await blobs.list("") if n.endswith(".yseg")}
        blobs.lying = True
        await store.compact()
        await store.flush()
        assert before <= set(await blobs.list(""))
        assert "did not keep" in store.status.problem
        blobs.lying = False
        await store.flush()
        assert before.isdisjoint(await blobs.list(""))
    shutil.rmtree(tmp_path / "s")
    async with await Store.open(tmp_path / "s", blobs) as store:
        assert [r.update async for r in store.records()] == [update(n) for n in range(3)]


async def test_a_lineage_replaced_elsewhere_is_adopted_and_ours_kept(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    async with await Store.open(tmp_path / "s", blobs, tuning=QUICK) as store:
        await store.append(update(0))
        await store.flush()
        old = store.lineage
    async with await Store.open(tmp_path / "other", blobs, tuning=QUICK) as store:
        await store.reset()
        await store.append(update(1))
        await store.flush()
        new = store.lineage
    async with await Store.open(tmp_path / "s", blobs, tuning=QUICK) as store:
        assert store.lineage == new
        assert await updates(store) == [update(1)]
        assert any(old in note for note in store.report.notes)
    assert files(tmp_path, f"s/old/{old}/*.yseg")


async def test_a_history_lost_before_anything_was_shipped_begins_a_new_lineage(tmp_path: Path) -> None:
    blobs = FaultyBlobs()
    store = await Store.open(tmp_path / "s", blobs, tuning=Tuning(ship_after_s=0.001, retry_s=60))
    await store.flush()  # the notes are there, updates are not
    await store.append(update(0))
    blobs.away = True
    lost = store.lineage
    await store.close()
    for name in await blobs.inner.list(""):
        if name.endswith(".yseg"):
            await blobs.inner.delete(name)
    blobs.away = False
    shutil.rmtree(tmp_path / "s")
    async with await Store.open(tmp_path / "s", blobs) as store:
        assert store.position == 0
        assert store.lineage != lost, "clients that still hold the lost history must not be merged with a second seed"


def test_a_snapshot_goes_when_what_it_spares_is_four_times_as_large() -> None:
    def info(name: str, size: int) -> Info:
        return Info(name, "line", 1, 9, 9, size=size)

    old, new, snapshot = info("old.yseg", 900), info("new.yseg", 399), info("s.ysnap", 100)
    assert worth_shipping([old, new, snapshot], {"old.yseg"}, Covers.of(["old.yseg"])) == [new]
    assert worth_shipping([old, new, snapshot], {"old.yseg"}, Covers()) == [new, snapshot]
    assert worth_shipping([old, replace(new, size=400), snapshot], {"new.yseg"}, Covers.of(["old.yseg"])) == [old, snapshot]
    kept = info("h.yhor", 1)
    assert worth_shipping([new, kept, snapshot], {"new.yseg"}, Covers.of(["new.yseg"])) == [kept, snapshot]


async def asked(*answers: object) -> tuple[object, int]:
    """What `answered` made of these, and how many of the calls were ended. None is never answered."""
    left, ended = list(answers), 0

    async def call() -> object:
        nonlocal ended
        answer = left.pop(0)
        try:
            await asyncio.sleep(answer if isinstance(answer, float) else 1e9 if answer is None else 0)
        except asyncio.CancelledError:
            ended += 1
            raise
        if isinstance(answer, Exception):
            raise answer
        return answer

    try:
        return await answered(call, 5), ended
    except (ConnectionError, BlobConflict) as error:
        return error, ended


ERROR, CONFLICT = ConnectionError("503"), BlobConflict("there")


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (("at once",), ("at once", 0)),
        ((ERROR,), (ERROR, 0)),
        ((30.0, *[None] * 9), (30.0, 5)),
        ((None, "later"), ("later", 1)),
        ((None, None, "later"), ("later", 2)),
        ((None, CONFLICT), (CONFLICT, 1)),
        ((None, ERROR, ERROR, "later"), ("later", 1)),
        ((7.0, ERROR), (7.0, 0)),
    ],
)
def test_of_two_requests_the_first_answer_counts(answers: tuple[object, ...], expected: tuple[object, int]) -> None:
    assert run_in_virtual_time(asked(*answers)) == expected
