"""What other server extensions get from ``settings["jupyter_server_ydoc"]``, against a real gateway and a real worker."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from support.notebooks import notebook, source_of

from cs3collab.errors import NotAuthorized, Overloaded, Unavailable
from cs3collab.jupyter.documents import Documents
from cs3collab.jupyter.live import Live
from cs3collab.types import Role
from ystore.errors import StoreUnavailable


@pytest.fixture
async def documents(home, einstein, tmp_path):
    await home.put("einstein", "n.ipynb", notebook("x = 1"))
    einstein.settings.store_dir = str(tmp_path / "store")
    live = Live(einstein.settings)
    yield Documents(live, SimpleNamespace(contents_manager=einstein))
    await live.close()


def asked(**more):
    return {"path": "n.ipynb", "content_type": "notebook", "file_format": "json", **more}


async def changed(document, true):
    """Waits for the next changes of a document until `true` of it."""
    news = asyncio.Event()
    document.ydoc.observe(lambda event: news.set())
    async with asyncio.timeout(20):
        while not true(document):
            news.clear()
            await news.wait()


async def test_a_live_document_goes_both_ways(documents):
    one = await documents.get_document(**asked(copy=False))
    again = await documents.get_document(**asked(copy=False))
    assert again is one
    room = next(iter(documents._open.values())).place[0]
    copy = await documents.get_document(room_id=str(room.id))
    assert source_of(copy, 0) == "x = 1"
    text = one.ycells[0]["source"]
    text += "\ny = 2"
    await room.keeper.save(keep_version=False)
    assert source_of(await documents.get_document(room_id=str(room.id)), 0) == "x = 1\ny = 2"
    assert source_of(copy, 0) == "x = 1"


async def test_what_others_write_arrives(documents, einstein):
    one = await documents.get_document(**asked(copy=False))
    other = Documents(documents._live, SimpleNamespace(contents_manager=einstein))
    two = await other.get_document(**asked(copy=False))
    text = two.ycells[0]["source"]
    text += "\nfrom another"
    await changed(one, lambda nb: source_of(nb, 0).endswith("from another"))
    await other.close()


async def test_a_missing_file_is_none_and_half_an_address_an_error(documents):
    assert await documents.get_document(**asked(path="nowhere.ipynb")) is None
    with pytest.raises(ValueError, match="room_id"):
        await documents.get_document(path="n.ipynb")
    with pytest.raises(ValueError, match="room_id"):
        await documents.get_document(**asked(room_id="json:notebook:x"))


def close_outlet(room, seat):
    seat.outlet.closed(Overloaded("too slow"))


def end_seat(room, seat):
    room.end(seat, NotAuthorized("no longer shared"))


@pytest.mark.parametrize("send_away", [close_outlet, end_seat])
async def test_a_document_that_was_sent_away_is_replaced_by_one_that_follows(documents, einstein, send_away):
    other = Documents(documents._live, SimpleNamespace(contents_manager=einstein))
    await other.get_document(**asked(copy=False))  # keeps the room, as another person would
    dead = await documents.get_document(**asked(copy=False))
    room, seat = next(iter(documents._open.values())).place
    send_away(room, seat)
    assert len(room.seats) == 1
    alive = await documents.get_document(**asked(copy=False))
    assert alive is not dead
    assert next(iter(documents._open.values())).place[0] is room
    text = (await other.get_document(**asked(copy=False))).ycells[0]["source"]
    text += "\nstill here"
    await changed(alive, lambda nb: source_of(nb, 0).endswith("still here"))
    await documents.close()
    await other.close()
    assert not room.seats


async def test_no_seat_is_kept_without_a_document(documents, monkeypatch):
    one, two = await asyncio.gather(*(documents.get_document(**asked(copy=False)) for _ in range(2)))
    assert one is two
    room = next(iter(documents._open.values())).place[0]
    assert len(room.seats) == 1
    await documents.close()

    async def fails(outlet, state_vector):
        raise Unavailable("the worker ended")

    monkeypatch.setattr(room, "sync", fails)
    with pytest.raises(Unavailable):
        await documents.get_document(**asked(copy=False))
    assert not room.seats


async def test_an_edit_that_cannot_be_kept_for_a_moment_is_tried_again(documents, monkeypatch):
    monkeypatch.setattr("cs3collab.jupyter.documents.RETRY_S", 0.01)
    one = await documents.get_document(**asked(copy=False))
    room = next(iter(documents._open.values())).place[0]
    append, refusals = room.store.append, [StoreUnavailable("no space left on device")] * 2

    async def full(*args):
        if refusals:
            raise refusals.pop()
        return await append(*args)

    monkeypatch.setattr(room.store, "append", full)
    before = room.store.position
    text = one.ycells[0]["source"]
    text += "\nkept"
    async with asyncio.timeout(20):
        while room.store.position == before:  # noqa: ASYNC110 - a store tells nobody
            await asyncio.sleep(0.01)
    assert not refusals


async def test_a_document_with_an_edit_that_was_refused_is_replaced(documents):
    """By one that says what others see."""
    one = await documents.get_document(**asked(copy=False))
    room, seat = next(iter(documents._open.values())).place
    room.set_role(seat, Role.VIEWER, "now a viewer")
    text = one.ycells[0]["source"]
    text += "\nrefused"
    async with asyncio.timeout(20):
        while room.seats:  # noqa: ASYNC110 - nobody tells who has left
            await asyncio.sleep(0.01)
    another = await documents.get_document(**asked(copy=False))
    assert source_of(another, 0) == "x = 1"
    assert len(documents._open) == 1
