"""The registry: one room per document and relay, alive while somebody comes, gone some time after the last one left."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from support import links
from support.kept_room import NEVER, Disk, DiskLog, HereDocument, Listener, notebook_file
from support.links import Person, node, relay
from support.memory_storage import ALICE, MemorySite, MemoryStorage
from support.notebooks import notebook
from support.sites import site

from cs3collab import telemetry
from cs3collab.errors import NotFound, Overloaded, StorageUnavailable, Unavailable
from cs3collab.limits import Limits
from cs3collab.relay import protocol as p
from cs3collab.relay.link import Link
from cs3collab.rooms.authority import Authority, Standing
from cs3collab.rooms.opening import Opener
from cs3collab.rooms.registry import Admission, Forward, Registry
from cs3collab.rooms.room import Room, Seat
from cs3collab.types import Credential, Ref, ResourceId, Role, RoomId, SiteId, Target


@dataclass
class Desk:
    """A registry over a storage in memory, whose opening can be held up."""

    limits: Limits
    site: MemorySite = field(default_factory=lambda: MemorySite(lambda: 1000.0))
    opened: list[Authority] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    fails: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate.set()
        self.disks: dict[str, Disk] = {}
        self.storage = MemoryStorage(self.site, ALICE)
        self.registry = Registry(
            admit=self.admit,
            open_authority=self.open,
            new_document=lambda kind, reload: HereDocument(kind),
            dial=Link,
            limits=self.limits,
        )

    async def admit(self, target: Target, credentials: Any) -> Admission | Forward:
        assert target.resource_id is not None
        info = await self.storage.stat(Ref.of(target.resource_id))

        async def recheck() -> tuple[Role, str]:
            return Role.EDITOR, ""

        room_id = RoomId("json", "notebook", target.resource_id.file_id)
        return Admission(room_id, info, ALICE, Role.EDITOR, "", Standing(self.storage, recheck))

    async def open(self, admission: Admission) -> Authority:
        await self.gate.wait()
        if self.fails:
            raise self.fails.pop()

        async def store(file_id: str) -> DiskLog:
            return DiskLog(self.disks.setdefault(file_id, Disk()))

        opener = Opener(SiteId("a.test"), "relay", store, lambda kind, reload: HereDocument(kind), self.limits)
        room = await opener.open(admission)
        self.opened.append(room)
        return room

    def file(self, name: str = "n.ipynb") -> Target:
        return Target("json", "notebook", self.site.create(name, notebook_file("x")))

    async def join(self, target: Target) -> tuple[Room, Seat]:
        async def credentials() -> Credential:
            return Credential("bearer", "x")

        return await self.registry.join(target, credentials, lambda room: Listener())


@pytest.fixture
async def desk() -> AsyncIterator[Callable[..., Desk]]:
    made: list[Desk] = []

    def make(**changes: Any) -> Desk:
        made.append(Desk(replace(NEVER, **changes)))
        return made[-1]

    yield make
    for one in made:
        one.gate.set()
        await one.registry.close()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - a registry tells nobody
            await asyncio.sleep(0.001)


async def test_a_hundred_at_once_open_one_room(desk: Callable[..., Desk]) -> None:
    at = desk()
    target = at.file()
    joined = await asyncio.gather(*(at.join(target) for _ in range(100)))
    assert len(at.opened) == 1
    assert {room for room, _ in joined} == {at.opened[0]}
    assert len(at.opened[0].seats) == 100
    assert not at.registry._turns


async def test_a_room_whose_opening_failed_is_opened_by_the_next(desk: Callable[..., Desk]) -> None:
    at = desk()
    at.fails = [StorageUnavailable("away")]
    target = at.file()
    outcomes = await asyncio.gather(*(at.join(target) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StorageUnavailable, tuple, tuple]
    assert len(at.opened) == 1


async def test_who_gives_up_while_a_room_opens_does_not_spoil_it_for_others(desk: Callable[..., Desk]) -> None:
    at = desk()
    at.gate.clear()
    target = at.file()
    first, second = asyncio.ensure_future(at.join(target)), asyncio.ensure_future(at.join(target))
    await asyncio.sleep(0)
    first.cancel()
    at.gate.set()
    room, _ = await second
    assert list(at.registry.rooms.values()) == [room]
    assert len(room.seats) == 1


async def test_an_empty_room_closes_after_a_while_and_opens_again(desk: Callable[..., Desk]) -> None:
    at = desk(room_linger_s=0.01)
    target = at.file()
    room, seat = await at.join(target)
    room.leave(seat)
    await until(lambda: not at.registry.rooms)
    again, _ = await at.join(target)
    assert again is not room
    assert again.lineage == room.lineage
    await asyncio.sleep(0.05)
    assert list(at.registry.rooms.values()) == [again]


async def test_a_room_that_is_closing_is_waited_for(desk: Callable[..., Desk]) -> None:
    at = desk(room_linger_s=0.0)
    target = at.file()
    for _ in range(20):
        room, seat = await at.join(target)
        assert seat.number in room.seats
        assert at.registry.rooms[str(room.id)] is room
        room.leave(seat)
        await asyncio.sleep(0)


async def test_a_full_room_leaves_no_room_behind(desk: Callable[..., Desk]) -> None:
    at = desk(seats_per_room=0, room_linger_s=0.01)
    with pytest.raises(Overloaded):
        await at.join(at.file())
    await until(lambda: not at.registry.rooms)


async def test_rooms_are_bounded(desk: Callable[..., Desk]) -> None:
    at = desk(rooms=2)
    for n in range(2):
        await at.join(at.file(f"{n}.ipynb"))
    with pytest.raises(Overloaded, match="too many documents"):
        await at.join(at.file("third.ipynb"))
    assert not at.registry._turns


async def test_a_registry_that_stops_takes_nobody_in_and_closes_what_lingers(desk: Callable[..., Desk]) -> None:
    at = desk(room_linger_s=1000)
    target = at.file()
    room, seat = await at.join(target)
    room.leave(seat)
    await at.registry.close()
    with pytest.raises(Unavailable, match="stopped"):
        await at.join(target)
    assert at.registry.rooms == {}


async def test_many_rooms_open_and_close(desk: Callable[..., Desk]) -> None:
    at = desk(room_linger_s=0.01)
    targets = [at.file(f"{n}.ipynb") for n in range(200)]
    joined = await asyncio.gather(*(at.join(target) for target in targets))
    at.registry.measure()
    exposition = telemetry.exposition().decode()
    assert "cs3collab_rooms 200.0" in exposition
    assert 'cs3collab_seats{role="editor"} 200.0' in exposition
    for room, seat in joined:
        room.leave(seat)
    await until(lambda: not (at.registry.rooms or at.registry._turns or at.registry._timers))


async def test_an_unknown_document_leaves_nothing(desk: Callable[..., Desk]) -> None:
    at = desk()
    with pytest.raises(NotFound):
        await at.join(Target("json", "notebook", ResourceId("x", "y", "z")))
    assert (at.registry.rooms, at.registry._turns) == ({}, {})


Answer = Callable[[p.Message], list[p.Message]]


@contextlib.asynccontextmanager
async def hostile_relay(answer: Answer) -> AsyncIterator[str]:
    """Says what it likes on a link."""

    async def link(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(protocols=(p.SUBPROTOCOL,))
        await ws.prepare(request)
        async for frame in ws:
            if frame.type is aiohttp.WSMsgType.BINARY:
                for message in p.decode(frame.data):
                    await ws.send_bytes(p.encode(answer(message)))
        return ws

    app = web.Application()
    app.router.add_get(p.LINK_PATH, link)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_another_sites_relay_cannot_name_its_way_into_a_document_of_ours(desk: Callable[..., Desk]) -> None:
    """It answers an attach with the name of a document that is open here, and the role of an editor."""
    at = desk(request_timeout_s=0.5)
    ours = at.file("private.ipynb")
    room, _ = await at.join(ours)
    secret = await room.document.diff(b"")
    said: list[p.Message] = []

    def answer(message: p.Message) -> list[p.Message]:
        said.append(message)
        if isinstance(message, p.Attach):
            return [
                p.Attached(
                    message.request, str(room.id), Role.EDITOR, "", room.lineage, "x", "evil", "m", "evil", "m", "Mallory"
                )
            ]
        if isinstance(message, p.Sync):
            status = p.status_message(str(room.id), room.status)
            return [p.Synced(message.request, room.lineage, 1, b"\0\0", b"\0", status)]
        return []

    async with hostile_relay(answer) as url:
        at.registry._admit = admitting(Forward(url, Target(), constant))
        theirs, seat = await at.join(Target())
        assert theirs is not room
        assert seat.number not in room.seats
        snapshot = await theirs.sync(seat.outlet, b"")
        assert snapshot.update == b"\0\0"
        with contextlib.suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(0.2):
                await theirs.submit(seat, secret)
        assert room.status.position == 1
        assert len(at.registry.rooms) == 2
        for link in {theirs._upstream}:  # type: ignore[attr-defined]
            theirs.leave(seat)
            await at.registry.close()
            await link.close()


async def constant() -> Credential:
    return Credential("bearer", "x")


def admitting(forward: Forward) -> Callable[[Target, Any], Awaitable[Admission | Forward]]:
    async def admit(target: Target, credentials: Any) -> Admission | Forward:
        return forward

    return admit


async def test_who_comes_just_when_a_copy_closes_gets_in(tmp_path: Path) -> None:
    """The copy's goodbye and the next one's attach cross on the link."""
    async with site(tmp_path) as here:
        await here.put("einstein", "n.ipynb", notebook(""))
        target, token = await links.target(here, "einstein", "n.ipynb"), await links.token(here, "einstein")
        async with (
            relay(here, tmp_path / "relay") as url,
            node(tmp_path / "node", url, lambda: token, room_linger_s=0.0) as server,
        ):
            for n in range(15):
                async with Person(server, target) as person:
                    person.write("x")
                    await person.until(lambda person=person, n=n: person.text() == "x" * (n + 1))
                    await person.ask("durable")
                await asyncio.sleep(0.003 * (n % 5))
