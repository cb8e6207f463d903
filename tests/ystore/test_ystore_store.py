"""A store on its own disk: who may open it, what it gives back, what it refuses."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from pycrdt import Doc, Map, Text

from ystore import MemoryBlobs, PoisonedRecord, PositionGone, Store, StoreLocked, StoreUnavailable, Tuning
from ystore.testing import QUICK, FaultyBlobs, update

HOLD = """
import asyncio, sys
from ystore import Store
async def main():
    store = await Store.open(sys.argv[1])
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await store.close()
asyncio.run(main())
"""


def has_snapshot(root: Path) -> bool:
    return any(root.glob("data/*/*.ysnap"))


def keys(content: bytes) -> set[str]:
    doc = Doc()
    doc["m"] = found = Map()
    doc.apply_update(content)
    return set(found)


def hold(directory: Path) -> subprocess.Popen[str]:
    """A process that has the store open."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, directory], stdin=-1, stdout=-1, text=True)
    assert process.stdout
    assert process.stdout.readline() == "open\n"
    return process


async def test_a_second_store_of_a_directory_is_refused(tmp_path: Path) -> None:
    async with await Store.open(tmp_path):
        with pytest.raises(StoreLocked):
            await Store.open(tmp_path)
    async with await Store.open(tmp_path):
        pass


async def test_a_second_process_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    with hold(tmp_path) as holder:
        with pytest.raises(StoreLocked, match=f"pid {holder.pid}"):
            await Store.open(tmp_path)
        holder.kill()
    async with await Store.open(tmp_path) as store:
        assert store.report.notes == []


async def test_a_directory_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreUnavailable):
        await Store.open(tmp_path / "file" / "store")


async def test_the_content_of_any_position_can_be_loaded(tmp_path: Path) -> None:
    async with await Store.open(tmp_path) as store:
        assert await store.load() == b"\0\0"
        for n in range(4):
            await store.append(update(n))
        await store.compact()
        for n in range(4, 7):
            await store.append(update(n))
        for _ in range(2):
            for position in range(8):
                assert keys(await store.load(position)) == {str(n) for n in range(position)}
            assert keys(await store.load()) == {str(n) for n in range(7)}
            await store.compact()
        for wrong in (-1, 8):
            with pytest.raises(PositionGone):
                await store.load(wrong)


async def test_updates_are_a_snapshot_and_then_the_tail_in_order(tmp_path: Path) -> None:
    async with await Store.open(tmp_path) as store:
        for n in range(3):
            await store.append(update(n))
        assert [u async for u in store.updates()] == [update(n) for n in range(3)]
        await store.compact()
        await store.append(update(3))
        await store.append(update(4))
        first, *tail = [u async for u in store.updates()]
        assert keys(first) == {"0", "1", "2"}
        assert tail == [update(3), update(4)]


async def test_updates_that_wait_for_others_survive_compaction(tmp_path: Path) -> None:
    doc = Doc()
    doc["t"] = text = Text()
    parts: list[bytes] = []
    subscription = doc.observe(lambda event: parts.append(event.update))
    for word in ("one ", "two ", "three "):
        text += word
    del text[0:4]
    doc.unobserve(subscription)
    async with await Store.open(tmp_path) as store:
        for part in (parts[3], parts[2], parts[1]):
            await store.append(part)
        await store.compact()
        await store.append(parts[0])
        twin = Doc()
        twin["t"] = copy = Text()
        twin.apply_update(await store.load())
        assert str(copy) == "two three "


async def test_records_can_be_read_while_they_are_written_sealed_and_merged(tmp_path: Path) -> None:
    async with await Store.open(tmp_path) as store:
        for n in range(3):
            await store.append(update(n))
            await store.compact()
        await store.append(update(3))
        seen = []
        async for record in store.records():
            seen.append(record.position)
            if record.position == 2:
                await store.compact()
                await store.append(update(4))
        assert seen == [1, 2, 3, 4, 5]


async def test_a_store_compacts_by_itself(tmp_path: Path) -> None:
    tuning = Tuning(ship_after_s=0.001, seal_bytes=1, compact_at=4)
    async with await Store.open(tmp_path, tuning=tuning) as store:
        written = 0
        async with asyncio.timeout(30):
            while not has_snapshot(tmp_path):
                await store.append(update(written))
                written += 1
                await asyncio.sleep(0.01)
        assert keys(await store.load()) == {str(n) for n in range(written)}
    async with await Store.open(tmp_path) as store:
        assert [r.update async for r in store.records()] == [update(n) for n in range(written)]


async def test_an_update_that_cannot_be_replayed_stops_compaction_and_is_named(tmp_path: Path) -> None:
    async with await Store.open(tmp_path) as store:
        await store.append(update(0), "ann")
        await store.append(b"\xff" * 9, "mallory")
        await store.append(update(2), "bob")
        for work in (store.compact(), store.load()):
            with pytest.raises(PoisonedRecord) as caught:
                await work
            assert (caught.value.position, caught.value.author) == (2, "mallory")
        assert keys(await store.load(1)) == {"0"}
        assert await store.append(update(3)) == 4
    async with await Store.open(tmp_path) as store:
        assert [r.author async for r in store.records()] == ["ann", "mallory", "bob", ""]


async def test_notes_are_all_or_none_and_survive(tmp_path: Path) -> None:
    async with await Store.open(tmp_path) as store:
        await store.set_meta({"a": "1", "b": "1"})
        await store.set_meta({"b": "2"})
        with pytest.raises(TypeError):
            store.meta["a"] = "3"  # type: ignore[index]
    async with await Store.open(tmp_path) as store:
        assert dict(store.meta) == {"a": "1", "b": "2"}


async def test_a_reset_keeps_the_old_lineage_aside_whole(tmp_path: Path) -> None:
    async with await Store.open(tmp_path / "s") as store:
        await store.append(update(0))
        await store.set_meta({"a": "1"})
        old = store.lineage
        await store.reset()
        await store.append(update(1))
        assert [u async for u in store.updates()] == [update(1)]
    revived = tmp_path / "revived"
    (revived / "data").mkdir(parents=True)
    aside = tmp_path / "s" / "old" / old
    (aside / "manifest").rename(revived / "manifest")
    aside.rename(revived / "data" / old)
    async with await Store.open(revived) as store:
        assert (store.lineage, dict(store.meta)) == (old, {"a": "1"})
        assert [u async for u in store.updates()] == [update(0)]


async def test_refused_updates_are_kept_for_inspection_up_to_a_bound(tmp_path: Path) -> None:
    async with await Store.open(tmp_path) as store:
        for n in range(70):
            await store.quarantine(b"bad %d" % n, "mallory", "kills workers")
    folder = tmp_path / "quarantine"
    notes = sorted(folder.glob("*.json"))
    assert len(notes) == len(list(folder.glob("*.update"))) == 64
    last = json.loads(notes[-1].read_text())
    assert (last["author"], last["reason"]) == ("mallory", "kills workers")
    assert notes[-1].with_suffix(".update").read_bytes() == b"bad 69"


async def test_many_reopenings_add_up(tmp_path: Path) -> None:
    for n in range(12):
        async with await Store.open(tmp_path, tuning=QUICK) as store:
            assert await store.append(update(n)) == n + 1
    async with await Store.open(tmp_path) as store:
        assert [r.position async for r in store.records()] == list(range(1, 13))
        assert store.report.notes == []


async def test_whoever_is_cancelled_leaves_the_store_whole(tmp_path: Path) -> None:
    async with await Store.open(tmp_path, MemoryBlobs()) as store:
        for n in range(40):
            await store.append(update(n))
            work = (store.flush, store.compact, lambda n=n: store.set_meta({"n": str(n)}))[n % 3]
            task = asyncio.ensure_future(work())
            for _ in range(n // 3):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert [r.position async for r in store.records(after=n - 3)][-1] == n + 1
        meta = dict(store.meta)
    async with await Store.open(tmp_path) as store:
        assert dict(store.meta) == meta
        assert [r.update async for r in store.records()] == [update(n) for n in range(40)]
        assert keys(await store.load()) == {str(n) for n in range(40)}


async def test_an_append_on_its_way_stays_in_the_lineage_it_was_made_for(tmp_path: Path) -> None:
    async with await Store.open(tmp_path) as store:
        first = asyncio.create_task(store.append(update(0)))
        await asyncio.sleep(0)
        others = [asyncio.create_task(store.append(update(n))) for n in range(1, 6)]
        await asyncio.sleep(0)
        old, resetting = store.lineage, asyncio.create_task(store.reset())
        await asyncio.sleep(0)
        late = await asyncio.gather(store.append(update(9)), return_exceptions=True)
        await resetting
        assert await asyncio.gather(first, *others) == [1, 2, 3, 4, 5, 6]
        assert [type(error) for error in late] == [StoreUnavailable], "it belongs to neither"
        assert store.position == 0
        assert [u async for u in store.updates()] == []
    kept = b"".join(path.read_bytes() for path in old_files(tmp_path, old))
    assert all(f"<{n}>".encode() in kept for n in range(6))


def old_files(root: Path, lineage: str) -> list[Path]:
    return list((root / "old" / lineage).glob("*.ylog"))


async def test_closing_ends_also_when_the_compaction_that_is_due_says_that_the_store_is_closed(tmp_path: Path) -> None:
    blobs = FaultyBlobs()
    store = await Store.open(tmp_path, blobs, tuning=Tuning(ship_after_s=0.001, seal_bytes=1, compact_at=1))
    blobs.stuck, calls = True, blobs.calls
    async with asyncio.timeout(20):
        while blobs.calls == calls or not store._compaction.is_due:
            await store.append(update(0))
            async with store._contents.lock:  # upkeep may be stuck before it seals
                await store._contents.seal()
        await store.close()
