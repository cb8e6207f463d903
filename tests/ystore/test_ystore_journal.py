"""Group commit: few syncs for many appends, and nothing acknowledged that is not synced."""

import asyncio
import errno
from pathlib import Path

import pytest
from support.ystore_disk import RefusingDisk

from ystore import Journal, Store, StoreClosed, StoreOverloaded, StoreUnavailable, record
from ystore.testing import FaultyFiles, ForgetfulFiles, update


async def test_appends_at_once_share_syncs_and_keep_their_order(tmp_path: Path) -> None:
    files = FaultyFiles()
    journal = Journal(files=files)
    async with await Store.open(tmp_path / "s", journal=journal) as store:
        before = files.syncs
        positions = await asyncio.gather(*(store.append(update(n), str(n)) for n in range(500)))
        assert files.syncs - before < 20
        assert positions == list(range(1, 501))
        assert [r.author async for r in store.records()] == [str(n) for n in range(500)]
    journal.close()


async def test_one_append_after_the_other_is_one_sync_each(tmp_path: Path) -> None:
    files = FaultyFiles()
    async with await Store.open(tmp_path / "s", journal=Journal(files=files)) as store:
        before = files.syncs
        for n in range(10):
            await store.append(update(n))
        assert files.syncs - before >= 10


async def test_many_documents_share_one_journal(tmp_path: Path) -> None:
    journal = Journal(threads=2)
    stores = [await Store.open(tmp_path / str(n), journal=journal) for n in range(10)]
    await asyncio.gather(*(store.append(update(n)) for n in range(20) for store in stores))
    assert [store.position for store in stores] == [20] * 10
    await stores[0].close()
    assert await stores[1].append(update(20)) == 21
    for store in stores:
        await store.close()
    journal.close()


async def test_more_than_the_disk_takes_is_refused_at_once_and_later_taken(tmp_path: Path) -> None:
    async with await Store.open(tmp_path / "s", journal=Journal(backlog=1000)) as store:
        results = await asyncio.gather(*(store.append(bytes(200)) for _ in range(20)), return_exceptions=True)
        taken = [r for r in results if isinstance(r, int)]
        assert taken == list(range(1, len(taken) + 1))
        assert {type(r) for r in results} == {int, StoreOverloaded}
        assert await store.append(bytes(5000)) == len(taken) + 1, "one larger than the backlog passes alone"


@pytest.mark.parametrize(
    ("attribute", "number"), [("sync_error", errno.EIO), ("write_error", errno.ENOSPC), ("write_error", errno.EDQUOT)]
)
async def test_a_refusing_disk_acknowledges_nothing_and_is_used_again_when_it_recovers(
    tmp_path: Path, attribute: str, number: int
) -> None:
    files = FaultyFiles()
    journal = Journal(files=files)
    store = await Store.open(tmp_path / "s", journal=journal)
    good = [await store.append(update(n)) for n in range(3)]
    setattr(files, attribute, number)
    for _ in range(2):
        refused = await asyncio.gather(*(store.append(update(n)) for n in range(10, 15)), return_exceptions=True)
        assert {type(r) for r in refused} == {StoreUnavailable}
        assert store.position == good[-1]
    with pytest.raises(StoreUnavailable):
        await store.set_meta({"a": "b"})
    assert dict(store.meta) == {}
    assert [r.update async for r in store.records()] == [update(n) for n in range(3)], "reading goes on"
    setattr(files, attribute, 0)
    good.append(await store.append(update(3)))
    assert good == [1, 2, 3, 4], "what was refused was cut off"
    await store.set_meta({"a": "c"})
    await store.close()
    async with await Store.open(tmp_path / "s", journal=journal) as store:
        assert [(r.position, r.update) async for r in store.records()] == [(p, update(n)) for n, p in enumerate(good)]
        assert dict(store.meta) == {"a": "c"}
    journal.close()


async def test_power_loss_takes_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    files = ForgetfulFiles()
    journal = Journal(files=files)
    store = await Store.open(tmp_path / "s", journal=journal)
    for n in range(4):
        await store.append(update(n))
        if n == 1:
            await store.compact()
    await store.set_meta({"a": "b"})
    files.lose_power()
    await store.close()
    async with await Store.open(tmp_path / "s") as store:
        assert [r.update async for r in store.records()] == [update(n) for n in range(4)]
        assert dict(store.meta) == {"a": "b"}
        assert store.report.cuts == []
    journal.close()


async def test_sealing_does_not_wait_for_writers_to_pause(tmp_path: Path) -> None:
    async with await Store.open(tmp_path / "s") as store:
        writing = True

        async def write(author: str) -> int:
            count = 0
            while writing:
                await store.append(update(1), author)
                count += 1
            return count

        writers = [asyncio.create_task(write(str(n))) for n in range(8)]
        assert await asyncio.wait_for(store.append(update(1)), 10)
        await store.compact()
        writing = False
        total = sum(await asyncio.gather(*writers))
        assert [r.position async for r in store.records()] == list(range(1, total + 2))


def logs(root: Path) -> list[Path]:
    return list(root.rglob("*.ylog"))


async def test_the_next_file_is_ready_before_it_is_needed(tmp_path: Path) -> None:
    """To make one takes the disk longer than a record, and somebody types."""
    disk = RefusingDisk()
    journal = Journal(files=disk)
    async with await Store.open(tmp_path / "s", journal=journal) as store:
        for n in range(3):
            await store.append(update(n))
            disk.failing = {}
            async with store._contents.lock:
                await store._contents.seal()
            disk.failing = {"create": errno.EMFILE}
        assert disk.refusals == 0
        assert len(logs(tmp_path)) == 1, "the one to come"
        await store.reset()
        disk.failing = {}
        await store.append(update(3))
        assert [r.update async for r in store.records()] == [update(3)]
    assert [path.stat().st_size for path in logs(tmp_path)] == [len(record.frame(1, "", 0.0, update(3)))]
    journal.close()


@pytest.mark.parametrize("operation", ["create", "resize", "sync"])
async def test_where_none_can_be_made_ready_the_next_append_makes_one(tmp_path: Path, operation: str) -> None:
    disk = RefusingDisk()
    journal = Journal(files=disk)
    async with await Store.open(tmp_path / "s", journal=journal) as store:
        await store.append(update(0))
        disk.failing = {operation: errno.ENOSPC}
        await store._contents.log.retire()
        assert disk.refusals
        disk.failing = {}
        assert len(logs(tmp_path)) == 1
        await store.append(update(1))
        assert [r.position async for r in store.records()] == [1, 2]
    journal.close()


async def test_a_cancelled_append_leaves_the_order_intact(tmp_path: Path) -> None:
    async with await Store.open(tmp_path / "s") as store:
        tasks = [asyncio.create_task(store.append(update(n))) for n in range(6)]
        await asyncio.sleep(0)
        tasks[2].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [r for r in results if isinstance(r, int)] == [1, 2, 4, 5, 6]
        assert await store.append(update(6)) == 7


async def test_a_closed_store_and_a_closed_journal_say_so(tmp_path: Path) -> None:
    journal = Journal()
    store = await Store.open(tmp_path / "s", journal=journal)
    await store.close()
    await store.close()
    with pytest.raises(StoreClosed):
        await store.append(b"x")
    journal.close()
    with pytest.raises(StoreClosed):
        await Store.open(tmp_path / "s", journal=journal)
