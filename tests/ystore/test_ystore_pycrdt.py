"""The adapter in a stock pycrdt-websocket room, and the child that decodes."""

from pathlib import Path

import anyio
import pytest
from pycrdt import Doc, Text
from pycrdt.store import YDocNotFound
from pycrdt.websocket.yroom import YRoom

from ystore import Store, StoreLocked, replay
from ystore.pycrdt import YStore
from ystore.replay import ReplayFailed
from ystore.testing import update


async def test_a_stock_room_persists_into_the_store_and_a_new_one_reads_it(tmp_path: Path) -> None:
    adapter = YStore(str(tmp_path), metadata_callback=lambda: b"m\xff")
    async with YRoom(ystore=adapter) as room:
        room.ready = True
        await anyio.wait_all_tasks_blocked()  # the room observes its document from then on
        text = room.ydoc.get("t", type=Text)
        for word in ("one ", "two ", "three"):
            text += word
        store = await adapter.store()
        with anyio.fail_after(20):
            while store.position < 3:  # noqa: ASYNC110 - the store has no event for it
                await anyio.sleep(0.002)
        with pytest.raises(StoreLocked):
            await Store.open(tmp_path)
        await adapter.stop()
    async with YStore(str(tmp_path)) as again:
        doc = Doc()
        await again.apply_updates(doc)
        assert str(doc.get("t", type=Text)) == "one two three"
        assert [(metadata, at > 0) async for _, metadata, at in again.read()] == [(b"m\xff", True)] * 3
    async with await Store.open(tmp_path) as store:
        assert store.position == 3, "stop let go of the directory"


async def test_an_empty_store_has_no_document(tmp_path: Path) -> None:
    async with YStore(str(tmp_path)) as adapter:
        with pytest.raises(YDocNotFound):
            await adapter.apply_updates(Doc())
        with pytest.raises(YDocNotFound):
            _ = [found async for found in adapter.read()]
        doc = Doc()
        doc.get("t", type=Text).insert(0, "x")
        await adapter.encode_state_as_update(doc)
        assert len([found async for found in adapter.read()]) == 1


async def test_the_update_at_fault_is_named() -> None:
    with pytest.raises(ReplayFailed) as caught:
        await replay.squash([update(0), update(1), b"\xff\xff\xff", update(3)])
    assert caught.value.index == 2


async def test_a_snapshot_that_lacks_something_is_told_from_its_sources() -> None:
    sources = [update(0), update(1)]
    assert await replay.same(await replay.squash(sources), sources) == ""
    assert await replay.same(update(0), sources) != ""
