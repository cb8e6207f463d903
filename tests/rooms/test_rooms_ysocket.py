"""A Yjs client on a room, message by message."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pycrdt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jupyter_ydoc import YNotebook
from support.kept_room import NEVER, Disk, DiskLog, notebook_file, open_room, sources
from support.memory_storage import ALICE, MemorySite, MemoryStorage

from cs3collab.errors import CollabError, InvalidInput
from cs3collab.rooms import ysocket as module
from cs3collab.rooms.authority import Authority, Standing
from cs3collab.rooms.lib0 import AwarenessEntry, Reader, encode_awareness, write_var_bytes
from cs3collab.rooms.room import Seat
from cs3collab.rooms.ysocket import (
    AWARENESS,
    RAW,
    STEP1,
    STEP2,
    SYNC,
    UPDATE,
    YSocket,
    awareness_message,
    body_of,
    raw_message,
    raw_request,
    sync_message,
)
from cs3collab.types import Role
from ystore.errors import StoreUnavailable


class Log(DiskLog):
    full = False

    async def append(self, update: bytes, author: str = "", at: float | None = None) -> int:
        if self.full:
            raise StoreUnavailable("no space left on device")
        return await super().append(update, author, at)


@dataclass(eq=False)
class Client:
    socket: YSocket
    sent: list[bytes] = field(default_factory=list)
    closes: list[tuple[int, str]] = field(default_factory=list)
    doc: pycrdt.Doc[Any] = field(default_factory=pycrdt.Doc)

    def close(self, code: int, reason: str) -> None:
        self.closes.append((code, reason))

    def kinds(self) -> list[tuple[int, int]]:
        return [(message[0], message[1]) for message in self.sent if message[0] == SYNC]

    def told(self, type: str) -> list[dict[str, Any]]:
        bodies = [json.loads(Reader(m[1:]).var_bytes()) for m in self.sent if m[0] == RAW]
        return [body for body in bodies if body["type"] == type]

    def edit(self, text: str) -> bytes:
        before = self.doc.get_state()
        source = YNotebook(self.doc).ycells[0]["source"]
        source += text
        return self.doc.get_update(before)


@dataclass
class World:
    site: MemorySite
    room: Authority
    log: Log

    async def join(self, role: Role = Role.EDITOR, *, raw: bool = True) -> Client:
        async def recheck() -> tuple[Role, str]:
            return role, ""

        socket = YSocket(raw=raw)
        client = Client(socket)
        seat = Seat(ALICE, role, socket, Standing(MemoryStorage(self.site, ALICE), recheck), "you are a viewer" * (role < 2))
        socket.sit(self.room, self.room.sit(seat))
        await socket.start(client.sent.append, client.close)
        socket.receive(sync_message(STEP1, b"\0"))
        await until(lambda: (SYNC, STEP2) in client.kinds())
        client.doc.apply_update(next(Reader(m[2:]).var_bytes() for m in client.sent if m[:2] == bytes((SYNC, STEP2))))
        return client

    @property
    async def text(self) -> str:
        return sources((await self.room.document.render()).content)[0]


async def until(true: Any) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 - a socket tells its client, which here is a list
            await asyncio.sleep(0.002)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    at = MemorySite(lambda: 1000.0)
    resource = at.create("n.ipynb", notebook_file(""))
    log = Log(Disk())
    room = await open_room(MemoryStorage(at, ALICE), resource, log)
    yield World(at, room, log)
    log.full = False
    await room.close()


async def test_the_first_words_are_the_role_and_then_the_content(world: World) -> None:
    client = await world.join()
    assert [message[0] for message in client.sent[:3]] == [RAW, SYNC, SYNC]
    assert client.kinds()[:2] == [(SYNC, STEP1), (SYNC, STEP2)]
    assert client.told("cs3collab")[0]["role"] == "editor"


@pytest.mark.parametrize("kind", [STEP2, UPDATE])
async def test_an_editors_words_reach_others_and_the_log(world: World, kind: int) -> None:
    one, two = await world.join(), await world.join()
    update = one.edit("a")
    one.socket.receive(sync_message(kind, update))
    await until(lambda: sync_message(UPDATE, update) in two.sent)
    assert sync_message(UPDATE, update) not in one.sent
    await until(lambda: world.log.position == 2)


@pytest.mark.parametrize("kind", [STEP2, UPDATE])
async def test_a_viewers_words_go_nowhere_and_it_is_told_why(world: World, kind: int) -> None:
    editor, viewer = await world.join(), await world.join(Role.VIEWER)
    viewer.socket.receive(sync_message(kind, viewer.edit("smuggled")))
    viewer.socket.receive(raw_request("durable", 1))
    await until(lambda: viewer.told("durable"))
    assert world.log.position == 1
    assert (SYNC, UPDATE) not in editor.kinds()
    assert not viewer.closes
    assert viewer.told("cs3collab")[-1]["role"] == "viewer"
    viewer.socket.receive(raw_request("save", 2))
    await until(lambda: viewer.told("save"))
    assert viewer.told("save")[0]["status"] == "failed"
    assert "viewer" in viewer.told("save")[0]["message"]
    assert world.site.writes == []


async def test_many_questions_at_once_have_few_answers(world: World) -> None:
    """Each may be as large as the document."""
    one, two = await world.join(), await world.join(Role.VIEWER)
    two.sent.clear()
    for _ in range(100):
        two.socket.receive(sync_message(STEP1, b"\0"))
    await until(lambda: (SYNC, STEP2) in two.kinds())
    update = one.edit("a")
    one.socket.receive(sync_message(UPDATE, update))
    await until(lambda: sync_message(UPDATE, update) in two.sent)
    assert two.kinds().count((SYNC, STEP2)) <= 2
    two.socket.receive(sync_message(STEP1, b"\0"))
    await until(lambda: two.kinds()[-1] == (SYNC, STEP2))


async def test_an_empty_second_step_is_no_edit(world: World) -> None:
    client = await world.join(Role.VIEWER)
    client.socket.receive(sync_message(STEP2, b"\0\0"))
    assert not client.socket._carrying


async def test_save_and_durable_are_answered_by_number(world: World) -> None:
    client = await world.join()
    client.socket.receive(sync_message(UPDATE, client.edit("a")))
    client.socket.receive(raw_request("durable", 300))
    await until(lambda: client.told("durable"))
    assert (client.told("durable")[0]["responseTo"], client.told("durable")[0]["position"]) == (300, 2)
    client.socket.receive(raw_request("save", 301))
    await until(lambda: client.told("save"))
    assert (client.told("save")[0]["responseTo"], client.told("save")[0]["status"]) == (301, "success")


async def test_what_the_disk_refuses_is_said_and_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    client = await world.join()
    world.log.full = True
    client.socket.receive(sync_message(UPDATE, client.edit("a")))
    await until(lambda: any("no space" in status["problem"] for status in client.told("cs3collab")))
    assert client.told("cs3collab")[-1]["pending"] == 1
    world.log.full = False
    await until(lambda: client.told("cs3collab")[-1]["pending"] == 0 and not client.told("cs3collab")[-1]["problem"])
    assert await world.text == "a"
    assert not client.closes


async def test_a_poisoned_update_ends_the_connection_of_its_sender_alone(world: World) -> None:
    one, two = await world.join(), await world.join()
    one.socket.receive(sync_message(UPDATE, b"\1\2\3\xff"))
    await until(lambda: one.closes)
    assert one.closes[0][0] == 1007
    assert not two.closes
    two.socket.receive(sync_message(UPDATE, two.edit("fine")))
    await until(lambda: world.log.position == 2)


async def test_an_edit_past_the_bound_ends_the_connection_in_words(world: World) -> None:
    client = await world.join()
    world.room.limits = replace(NEVER, update_bytes=100)
    client.socket.receive(sync_message(UPDATE, client.edit("x" * 100)))
    assert client.closes[0][0] == 1007
    assert "at most 100" in client.closes[0][1]


async def test_who_closes_the_page_at_once_loses_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    client, other = await world.join(), await world.join()
    client.socket.receive(awareness_message(encode_awareness([AwarenessEntry(7, 1, b"{}")])))
    await until(lambda: any(m[0] == AWARENESS for m in other.sent))
    world.log.full = True
    client.socket.receive(sync_message(UPDATE, client.edit("last words")))
    stopping = asyncio.ensure_future(client.socket.stop())
    await asyncio.sleep(0.05)
    assert not stopping.done()
    assert world.room.presence.clients == []
    world.log.full = False
    await stopping
    assert client.socket.seat.number not in world.room.seats
    assert await world.text == "last words"


async def test_a_seat_that_ended_before_the_start_is_told_so(world: World) -> None:
    async def recheck() -> tuple[Role, str]:
        return Role.EDITOR, ""

    socket = YSocket(raw=False)
    client = Client(socket)
    seat = world.room.sit(Seat(ALICE, Role.EDITOR, socket, Standing(MemoryStorage(world.site, ALICE), recheck)))
    world.room.leave(seat)
    socket.sit(world.room, seat)
    await socket.start(client.sent.append, client.close)
    assert client.closes[0][0] == 1013
    assert client.sent == []


async def test_a_plain_client_gets_no_messages_of_jupyters(world: World) -> None:
    client = await world.join(raw=False)
    client.socket.receive(raw_request("save", 1))
    client.socket.receive(sync_message(UPDATE, client.edit("a")))
    await until(lambda: world.log.position == 2)
    assert {message[0] for message in client.sent} == {SYNC}


async def test_a_browser_that_shows_itself_hears_something(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the stock provider connects anew, every half minute."""
    client = await world.join()
    await until(lambda: client.socket._status_due is None)
    monkeypatch.setattr(module, "QUIET_S", 0.0)
    before = len(client.told("cs3collab"))
    client.socket.receive(awareness_message(encode_awareness([AwarenessEntry(7, 1, b"{}")])))
    await until(lambda: len(client.told("cs3collab")) > before)


async def test_names_in_awareness_are_the_verified_ones(world: World) -> None:
    one, two = await world.join(), await world.join()
    one.socket.receive(awareness_message(encode_awareness([AwarenessEntry(7, 1, b'{"user":{"name":"Eve"}}')])))
    await until(lambda: any(m[0] == AWARENESS for m in two.sent))
    (told,) = [m for m in two.sent if m[0] == AWARENESS]
    assert ALICE.display_name.encode() in body_of(told)
    assert b"Eve" not in told


@pytest.mark.parametrize(
    "message",
    [b"", b"\0", b"\0\7\0", b"\0\0\xff", b"\1", b"\1\2\1", b"\2\x80", awareness_message(b"\xff" * 9)],
)
async def test_nonsense_is_refused(world: World, message: bytes) -> None:
    client = await world.join()
    with pytest.raises(InvalidInput):
        client.socket.receive(message)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=8))
def test_any_messages_are_taken_or_refused_in_words(messages: list[bytes]) -> None:
    async def scene() -> None:
        at = MemorySite(lambda: 1000.0)
        resource = at.create("n.ipynb", notebook_file("untouched"))
        room = await open_room(MemoryStorage(at, ALICE), resource, Log(Disk()))
        world = World(at, room, room.store)  # type: ignore[arg-type]
        viewer = await world.join(Role.VIEWER)
        for message in messages:
            try:
                viewer.socket.receive(message)
            except CollabError:
                continue
        await viewer.socket.stop()
        assert await world.text == "untouched"
        await room.close()

    asyncio.run(scene())


def test_messages_come_back() -> None:
    assert body_of(awareness_message(b"abc")) == b"abc"
    assert pycrdt.handle_sync_message(sync_message(STEP1, pycrdt.Doc().get_state())[1:], pycrdt.Doc()) is not None
    assert json.loads(Reader(raw_message({"a": 1})[1:]).var_bytes()) == {"a": 1}
    assert raw_request("save", 5) == bytes((RAW,)) + write_var_bytes(b"save") + b"\5"
