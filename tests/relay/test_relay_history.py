"""History over links: frames, roles, a replica that asks its authority, and relays that know nothing of it."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec
import nbformat
import pytest
from aiohttp import web
from support import links
from support.links import Person, Proxy, node, peer
from support.relay_world import World

from cs3collab.errors import NotAuthorized, Overloaded, PeerUnavailable, Unsupported
from cs3collab.limits import DEFAULT
from cs3collab.relay import history
from cs3collab.relay import protocol as p
from cs3collab.relay.link import Link
from cs3collab.relay.node import Node
from cs3collab.rooms.lib0 import decode_state_vector
from cs3collab.rooms.replica import Replica
from cs3collab.rooms.room import Room, Seat
from cs3collab.types import Credential, Target
from ystore import Retention, Store

OWNER, EDITOR, VIEWER = "einstein", "marie", "richard"


@pytest.mark.parametrize("limits", [{"history_s": 60.0, "history_bytes": 1000}])
async def test_history_is_kept_as_the_limits_say(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, opening = [], Store.open

    async def noted(*args: Any, retention: Retention) -> Store:
        asked.append(retention)
        return await opening(*args, retention=retention)

    monkeypatch.setattr(Store, "open", noted)
    async with peer(world.url, await world.credential(OWNER)) as link:
        assert isinstance(await link.attach(1, world.target, await world.credential(OWNER)), p.Attached)
    assert asked == [Retention(60.0, 1000)]


@contextlib.asynccontextmanager
async def server(world: World, url: str, user: str) -> AsyncIterator[Node]:
    token = await links.token(world.site, user)
    async with node(world.folder / user, url, lambda: token) as opened:
        yield opened


@contextlib.asynccontextmanager
async def seated(opened: Node, where: Target) -> AsyncIterator[tuple[Room, Seat]]:
    """A seat for a moment, as the Jupyter server's handler takes it."""

    class Nobody:
        def update(self, position: int, update: bytes, author: str) -> None: ...
        def awareness(self, update: bytes) -> None: ...
        def status(self, status: Any) -> None: ...
        def closed(self, error: Exception) -> None: ...

    async def none() -> Credential:
        return Credential("bearer", "the node has its own")

    room, seat = await opened.registry.join(where, none, lambda room: Nobody())
    try:
        assert isinstance(room, Replica)
        yield room, seat
    finally:
        room.leave(seat)


def first_cell(content: bytes) -> str:
    book = nbformat.reads(content.decode(), as_version=4)
    nbformat.validate(book)
    return str(book.cells[0].source)


async def test_an_editor_lists_reads_names_and_restores_through_a_replica(world: World) -> None:
    async with (
        server(world, world.url, OWNER) as owner,
        server(world, world.url, EDITOR) as editor,
        Person(owner, world.target) as person,
    ):
        person.write("draft")
        position = (await person.ask("durable"))["position"]
        person.write(" that went wrong")
        later = (await person.ask("durable"))["position"]
        async with seated(editor, world.target) as (room, seat):
            listed = await room.versions(seat, 2.0**40)
            assert (listed.position, listed.found) == (later, later)
            assert "Albert Einstein (einstein)" in listed.versions[-1].authors
            assert first_cell(await room.version(seat, position)) == "draft"
            named = await room.name_version(seat, "before it went wrong", position)
            assert (named.position, named.name) == (position, "before it went wrong")
            assert named in (await room.versions(seat)).versions
            restored = await room.restore(seat, position)
            assert (restored.changed, restored.position > later) == (True, True)
            assert not (await room.restore(seat, position)).changed
        await person.until(lambda: person.text() == "draft")
        async with seated(owner, world.target) as (room, seat):
            assert room.seats[seat.number] is seat
            assert "Marie Curie (marie)" in (await room.versions(seat)).versions[-1].authors
            await room.restore(seat, later)
        await person.until(lambda: person.text() == "draft that went wrong")
        assert not person.closes


async def test_a_viewer_reads_history_and_is_refused_the_rest_at_home(world: World) -> None:
    """Frame by frame: no well-behaved replica stands between."""
    async with peer(world.url, await world.credential(VIEWER)) as link:
        attached = await link.attach(1, world.target, await world.credential(VIEWER))
        assert attached.features == (p.HISTORY, p.MERGE, p.DECIDE)
        listed = await link.ask(lambda number: p.Versions(number, 1, 0.0))
        assert [entry.position for entry in listed.versions] == [1]
        content = await link.ask(lambda number: p.ReadVersion(number, 1, 1))
        assert first_cell(content.content) == ""
        for build in (
            lambda n: p.Restore(n, 1, 1),
            lambda n: p.NameVersion(n, 1, 1, "mine"),
            lambda n: p.Merge(n, 1, b"{}", None, ""),
            lambda n: p.Decide(n, 1, ["a"]),
        ):
            refused = await link.ask(build)
            assert (refused.kind, "Viewer" in refused.message) == ("not_authorized", True)
        after = await link.ask(lambda number: p.Versions(number, 1, 0.0))
        assert after.versions == listed.versions


async def test_a_viewers_replica_refuses_without_asking(world: World) -> None:
    async with server(world, world.url, VIEWER) as viewer, seated(viewer, world.target) as (room, seat):
        assert (await room.versions(seat)).versions
        with pytest.raises(NotAuthorized):
            await room.restore(seat, 1)
        with pytest.raises(NotAuthorized):
            await room.name_version(seat, "x", 1)


@pytest.mark.parametrize("position", [0, -(2**40), 2**60])
async def test_what_never_was_is_not_found(world: World, position: int) -> None:
    async with peer(world.url, await world.credential(OWNER)) as link:
        await link.attach(1, world.target, await world.credential(OWNER))
        for kind in (p.ReadVersion, p.Restore):
            assert (await link.ask(lambda n, kind=kind: kind(n, 1, position))).kind == "not_found"
        assert (await link.ask(lambda n: p.ReadVersion(n, 7, 1))).kind == "not_found"


async def test_a_restore_ends_also_when_who_asked_has_hung_up(world: World) -> None:
    """The detach comes right behind the question: the seat stays until the restore is done, for its token writes the file."""
    async with server(world, world.url, OWNER) as owner:
        async with Person(owner, world.target) as person:
            person.write("draft")
            await person.ask("durable")
            await person.ask("save")
        async with peer(world.url, await world.credential(EDITOR)) as link:
            await link.attach(1, world.target, await world.credential(EDITOR))
            await link.send(p.Restore(99, 1, 1), p.Detach(1))
            assert (await link.expect(p.Restored)).changed
        async with Person(owner, world.target) as person:
            await person.until(lambda: person.text() == "")
            await person.until(lambda: person.status["savedPosition"] >= person.status["position"] > 2)
        assert first_cell(await world.site.read(OWNER, "n.ipynb")) == ""


async def test_without_the_home_site_there_is_no_history_and_it_is_said(world: World) -> None:
    async with (
        Proxy(world.url) as proxy,
        server(world, proxy.url, OWNER) as owner,
        Person(owner, world.target) as person,
        seated(owner, world.target) as (room, seat),
    ):
        proxy.closed = True
        proxy.cut()
        await person.until(lambda: person.status["online"] is False)
        with pytest.raises(PeerUnavailable, match="home site"):
            await room.versions(seat)
        proxy.closed = False
        await person.until(lambda: person.status["online"] is True)
        assert (await room.versions(seat)).versions


async def agree(one: Person, two: Person) -> None:
    """Whoever of the two hears the last of the news. A state vector names its clients in no order."""

    def same() -> bool:
        return decode_state_vector(one.doc.get_state()) == decode_state_vector(two.doc.get_state())

    async with asyncio.TaskGroup() as waiting:
        tasks = [waiting.create_task(person.until(same)) for person in (one, two)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
async def test_restores_while_two_people_type_leave_one_document(world: World, seed: int) -> None:
    """Whatever order things come in, everybody ends with the same valid notebook, and what was typed last is in it."""
    chance = random.Random(seed)
    async with (
        server(world, world.url, OWNER) as owner,
        server(world, world.url, EDITOR) as editor,
        Person(owner, world.target) as one,
        Person(editor, world.target) as two,
        seated(editor, world.target) as (room, seat),
    ):
        for n in range(12):
            for person in (one, two):
                person.write(f" w{n}", cell=chance.randrange(2))
            position = chance.randrange(1, (await room.versions(seat)).position + 1)
            restoring = asyncio.ensure_future(room.restore(seat, position))
            one.write(f" d{n}", cell=chance.randrange(2))
            await restoring
        one.write(" last")
        await one.ask("durable")
        two.write(" words")
        await two.ask("durable")
        await agree(one, two)
        assert " words" in one.text()
        assert [one.text(n) for n in range(2)] == [two.text(n) for n in range(2)]
        listed = await room.versions(seat)
        book = nbformat.reads((await room.version(seat, listed.position)).decode(), as_version=4)
        nbformat.validate(book)
        assert [cell.source for cell in book.cells] == [one.text(n) for n in range(len(one.notebook.ycells))]
        assert " last" in book.cells[0].source
        assert not one.closes + two.closes


@contextlib.asynccontextmanager
async def older_relay() -> AsyncIterator[tuple[str, list[Any]]]:
    """What a relay of the first release said, byte for byte: eleven fields, and a cut for tags it does not know."""
    heard: list[Any] = []

    async def serve(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(protocols=[p.SUBPROTOCOL])
        await ws.prepare(request)
        async for frame in ws:
            for message in msgspec.msgpack.decode(frame.data):
                heard.append(message)
                if message[0] > 21:
                    await ws.close(code=1002)
                elif message[0] == 1:
                    fields = ["json:notebook:x", 2, "", "lineage", "n.ipynb", "old.example", "id", "idp", "user", "User"]
                    await ws.send_bytes(msgspec.msgpack.encode([[2, message[1], *fields]]))
        return ws

    app = web.Application()
    app.router.add_get(p.LINK_PATH, serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", heard
    finally:
        await runner.cleanup()


async def test_a_relay_too_old_for_history_is_not_asked_and_named() -> None:
    async def credential() -> Credential:
        return Credential("bearer", "x")

    async with older_relay() as (url, heard):
        link = Link(url)
        try:
            channel = await link.attach(Target(), credential)
            for asked in (channel.versions(0.0), channel.version(1), channel.restore(1), channel.name_version("x", 1)):
                with pytest.raises(Unsupported, match=f"{url} is too old for history"):
                    await asked
            assert [message[0] for message in heard] == [1]
            assert channel.ready
        finally:
            await link.close()


async def test_a_version_too_large_for_a_frame_is_refused_in_words() -> None:
    class Large:
        async def version(self, seat: Seat, position: int) -> bytes:
            return bytes(1001)

    limits = replace(DEFAULT, document_bytes=1000)
    with pytest.raises(Overloaded, match="1001 bytes"):
        await history.answer(Large(), None, p.ReadVersion(1, 1, 1), limits)  # type: ignore[arg-type]
