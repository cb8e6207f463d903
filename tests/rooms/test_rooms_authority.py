"""The authority: durable before acknowledged, whatever the disk does; roles as storage says; credentials only while needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pycrdt
import pytest
from jupyter_ydoc import YNotebook
from support.kept_room import NEVER, Disk, DiskLog, Listener, notebook_file, open_room, sit, sources
from support.memory_storage import ALICE, BOB, MemorySite, MemoryStorage

from cs3collab.errors import (
    CollabError,
    InvalidInput,
    NotAuthenticated,
    NotAuthorized,
    NotFound,
    StorageUnavailable,
    Unavailable,
    UpdateRejected,
)
from cs3collab.rooms.authority import Authority, Standing
from cs3collab.rooms.room import Seat
from cs3collab.types import ResourceId, Role
from ystore.errors import StoreUnavailable


class Recorder(Listener):
    def __init__(self) -> None:
        super().__init__()
        self.updates: list[bytes] = []

    def update(self, position: int, update: bytes, author: str) -> None:
        self.updates.append(update)


class FaultyLog(DiskLog):
    """Refuses appends while ``full``; waits for ``gate`` before each."""

    def __init__(self, disk: Disk) -> None:
        super().__init__(disk)
        self.full = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.quarantined: list[tuple[bytes, str, str]] = []

    async def append(self, update: bytes, author: str = "", at: float | None = None) -> int:
        await self.gate.wait()
        if self.full:
            raise StoreUnavailable("no space left on device")
        return await super().append(update, author, at)

    async def quarantine(self, update: bytes, author: str, reason: str) -> None:
        if self.full:
            raise StoreUnavailable("no space left on device")
        self.quarantined.append((update, author, reason))


@dataclass
class World:
    site: MemorySite
    id: ResourceId
    log: FaultyLog
    room: Authority
    alice: MemoryStorage
    seat: Seat
    doc: pycrdt.Doc[Any] = field(default_factory=pycrdt.Doc)

    def edit(self, text: str) -> bytes:
        before = self.doc.get_state()
        source = YNotebook(self.doc).ycells[0]["source"]
        source += text
        return self.doc.get_update(before)

    async def replayed(self) -> list[str]:
        """What a relay that starts now would find in the log."""
        doc: pycrdt.Doc[Any] = pycrdt.Doc()
        for update in self.log.disk.updates:
            doc.apply_update(update)
        return [str(cell["source"]) for cell in YNotebook(doc).ycells]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    at = MemorySite(lambda: 1000.0)
    resource = at.create("n.ipynb", notebook_file(""))
    alice, log = MemoryStorage(at, ALICE), FaultyLog(Disk())
    room = await open_room(alice, resource, log)
    made = World(at, resource, log, room, alice, sit(room, alice))
    made.doc.apply_update(await room.document.diff(b""))
    yield made
    log.gate.set()
    log.full = False
    await room.close()


def recorder(world: World, role: Role = Role.EDITOR) -> tuple[Seat, Recorder]:
    outlet = Recorder()
    standing = Standing(MemoryStorage(world.site, BOB), constant(role))
    seat = world.room.sit(Seat(BOB, role, outlet, standing))
    world.room.live(outlet)
    return seat, outlet


def constant(role: Role) -> Callable[[], Any]:
    async def recheck() -> tuple[Role, str]:
        return role, ""

    return recheck


async def test_an_edit_is_acknowledged_with_its_position_and_told_all_but_its_author(world: World) -> None:
    _, outlet = recorder(world)
    _, own = recorder(world)
    world.seat.outlet = own
    update = world.edit("a")
    assert await world.room.submit(world.seat, update) == world.log.position == 2
    assert (outlet.updates, own.updates) == ([update], [])
    assert world.room.status.position == 2
    assert world.room.unsaved_s > 0


async def test_a_twin_is_acknowledged_only_when_the_first_is_durable(world: World) -> None:
    update = world.edit("a")
    world.log.gate.clear()
    first = asyncio.ensure_future(world.room.submit(world.seat, update))
    twin = asyncio.ensure_future(world.room.submit(world.seat, update))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not first.done()
    assert not twin.done()
    world.log.gate.set()
    assert await first == await twin == 2
    assert len(world.log.disk.updates) == 2


async def test_a_twin_of_what_the_disk_refuses_is_refused_in_words_too(world: World) -> None:
    update = world.edit("a")
    world.log.gate.clear()
    world.log.full = True
    both = [asyncio.ensure_future(world.room.submit(world.seat, update)) for _ in range(2)]
    for _ in range(20):
        await asyncio.sleep(0)
    world.log.gate.set()
    for outcome in await asyncio.gather(*both, return_exceptions=True):
        assert isinstance(outcome, Unavailable), outcome


async def test_what_builds_upon_an_edit_that_the_disk_refused_is_not_acknowledged_without_it(world: World) -> None:
    """The first author may never come back: the second one's edit would be acknowledged, and gone after a restart."""
    world.log.full = True
    with pytest.raises(Unavailable, match="no space"):
        await world.room.submit(world.seat, world.edit("first "))
    world.log.full = False
    other, _ = recorder(world)
    await world.room.submit(other, world.edit("second"))
    assert await world.replayed() == ["first second"]


async def test_what_was_sent_along_with_an_edit_that_the_disk_refused_is_not_acknowledged_without_it(world: World) -> None:
    """A large output does not fit on the disk any more, what was typed after it does. A crash may come at once."""
    append = world.log.append

    async def little(update: bytes, author: str = "", at: float | None = None) -> int:
        if len(update) > 1000:
            raise StoreUnavailable("no space left on device")
        return await append(update, author, at)

    world.log.append = little  # type: ignore[method-assign]
    large, small = world.edit("x" * 1000), world.edit("typed after it")
    sent = [asyncio.ensure_future(world.room.submit(world.seat, update)) for update in (large, small, small)]
    for outcome in await asyncio.gather(*sent, return_exceptions=True):
        assert isinstance(outcome, Unavailable), outcome


async def test_the_edit_that_was_refused_is_durable_when_it_comes_again(world: World) -> None:
    update = world.edit("once")
    world.log.full = True
    for _ in range(2):
        with pytest.raises(Unavailable):
            await world.room.submit(world.seat, update)
    world.log.full = False
    position = await world.room.submit(world.seat, update)
    assert position == world.log.position
    assert await world.replayed() == ["once"]
    before = world.log.position
    assert await world.room.submit(world.seat, update) == before


async def test_an_edit_whose_sender_is_gone_is_finished_and_told_others(world: World) -> None:
    _, outlet = recorder(world)
    world.log.gate.clear()
    sending = asyncio.ensure_future(world.room.submit(world.seat, world.edit("a")))
    for _ in range(20):
        await asyncio.sleep(0)
    sending.cancel()
    world.log.gate.set()
    await asyncio.wait([sending])
    async with asyncio.timeout(5):
        while world.room.status.position < 2:  # noqa: ASYNC110 - nobody is told of a position alone
            await asyncio.sleep(0)
    assert len(outlet.updates) == 1
    assert await world.replayed() == ["a"]


async def test_a_poisoned_update_is_kept_aside_and_the_document_lives_on(world: World) -> None:
    for full in (False, True):
        world.log.full = full
        with pytest.raises(UpdateRejected):
            await world.room.submit(world.seat, b"\1\2\3\xff")
    world.log.full = False
    assert [(update, author) for update, author, _ in world.log.quarantined] == [(b"\1\2\3\xff", ALICE.key)]
    await world.room.submit(world.seat, world.edit("fine"))


@pytest.mark.parametrize("role", [Role.VIEWER, Role.NONE])
async def test_only_editors_write_and_save(world: World, role: Role) -> None:
    seat, _ = recorder(world, role)
    with pytest.raises(NotAuthorized):
        await world.room.submit(seat, world.edit("a"))
    with pytest.raises(NotAuthorized):
        await world.room.save(seat)
    assert world.log.position == 1


async def test_who_left_writes_nothing_and_is_not_heard(world: World) -> None:
    seat, _ = recorder(world)
    world.room.leave(seat)
    world.room.leave(seat)
    with pytest.raises(NotAuthorized):
        await world.room.submit(seat, world.edit("a"))
    world.room.awareness(seat, b"\1\5\1\2{}")
    assert world.room.presence.clients == []


async def test_an_edit_past_the_bound_is_refused(world: World) -> None:
    world.room.limits = replace(NEVER, update_bytes=10)
    with pytest.raises(InvalidInput, match="at most 10"):
        await world.room.submit(world.seat, world.edit("a" * 20))


@pytest.mark.parametrize(
    ("says", "role", "ended"),
    [
        ((Role.EDITOR, ""), Role.EDITOR, None),
        ((Role.VIEWER, "viewer now"), Role.VIEWER, None),
        ((Role.NONE, "gone"), Role.NONE, NotAuthorized),
        (NotFound("nowhere"), Role.NONE, NotAuthorized),
        (NotAuthorized("no"), Role.NONE, NotAuthorized),
        (NotAuthenticated("your token ended"), Role.EDITOR, NotAuthenticated),
        (StorageUnavailable("away"), Role.EDITOR, None),
        (RuntimeError("a bug"), Role.EDITOR, None),
    ],
)
async def test_storage_is_asked_again_and_its_word_counts(world: World, says: Any, role: Role, ended: Any) -> None:
    asked = asyncio.Event()

    async def recheck() -> tuple[Role, str]:
        if calls.pop() == 0:
            asked.set()
        if isinstance(says, Exception):
            raise says
        return says

    calls = [0, 1]
    ends: list[CollabError] = []
    room = await open_room(world.alice, world.id, DiskLog(Disk()), limits=replace(NEVER, recheck_s=0.001), name="another")
    seat = room.sit(Seat(BOB, Role.EDITOR, Recorder(), Standing(world.alice, recheck)))
    seat.on_end = ends.append
    async with asyncio.timeout(10):
        while seat.number in room.seats and calls:  # noqa: ASYNC110 - asked on its own
            await asyncio.sleep(0)
    assert seat.role is role
    assert [type(error) for error in ends] == ([ended] if ended else [])
    assert (seat.number in room.seats) is (ended is None)
    seat.backing = Standing(world.alice, constant(Role.EDITOR))
    await room.close()


async def test_the_credential_of_who_left_is_kept_until_the_edits_are_saved_and_no_longer(world: World) -> None:
    world.site.down = True
    await world.room.submit(world.seat, world.edit("last words"))
    world.room.leave(world.seat)
    assert world.room.writers() == [world.alice]
    world.site.down = False
    world.room.keeper.touched(world.log.position)
    assert (await world.room.keeper.save(keep_version=False)).status == "success"
    assert world.room.writers() == []
    assert world.room.unsaved_s == 0
    assert sources(world.site.content(world.id)) == ["last words"]


async def test_who_may_write_comes_in_the_order_of_their_latest_edits(world: World) -> None:
    bob, _ = recorder(world)
    viewer, _ = recorder(world, Role.VIEWER)
    await world.room.submit(world.seat, world.edit("a"))
    assert world.room.writers() == [world.alice, bob.backing.storage]
    await world.room.submit(bob, world.edit("b"))
    assert world.room.writers() == [bob.backing.storage, world.alice]
    world.room.set_role(bob, Role.VIEWER, "now a viewer")
    assert world.room.writers() == [world.alice]
    assert viewer.backing.storage not in world.room.writers()


async def test_news_of_a_sync_whose_seat_went_meanwhile_go_nowhere(world: World) -> None:
    """Also who lost the right to read while the document was being loaded hears nothing more."""
    seat, outlet = recorder(world)
    world.room.leave(seat)
    seat, outlet = recorder(world)
    syncing = asyncio.ensure_future(world.room.sync(outlet, b""))
    world.room.end(seat, NotAuthorized("unshared"))
    await syncing
    world.room.live(outlet)
    await world.room.submit(world.seat, world.edit("secret"))
    assert outlet.updates == []


async def test_what_comes_while_a_peer_is_brought_up_to_date_comes_after_it(world: World) -> None:
    outlet = Recorder()
    seat = world.room.sit(Seat(BOB, Role.EDITOR, outlet, Standing(world.alice, constant(Role.EDITOR))))
    snapshot = await world.room.sync(outlet, b"")
    update = world.edit("meanwhile")
    await world.room.submit(world.seat, update)
    assert outlet.updates == []
    world.room.live(outlet)
    assert outlet.updates == [update]
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    for piece in (snapshot.update, *outlet.updates):
        doc.apply_update(piece)
    assert str(YNotebook(doc).ycells[0]["source"]) == "meanwhile"
    world.room.leave(seat)


async def test_a_peer_for_whom_too_much_comes_meanwhile_has_to_come_again(world: World) -> None:
    closed: list[Exception] = []
    outlet = Recorder()
    outlet.closed = closed.append  # type: ignore[method-assign]
    world.room.limits = replace(NEVER, outlet_bytes=100)
    world.room.sit(Seat(BOB, Role.EDITOR, outlet, Standing(world.alice, constant(Role.EDITOR))))
    await world.room.sync(outlet, b"")
    for _ in range(5):
        await world.room.submit(world.seat, world.edit("x" * 50))
    world.room.live(outlet)
    assert [type(error).__name__ for error in closed] == ["Overloaded"]
    assert outlet.updates == []


async def test_a_room_that_cannot_save_closes_all_the_same_and_keeps_the_edits(world: World) -> None:
    room = await open_room(
        world.alice, world.id, log := DiskLog(Disk()), limits=replace(NEVER, request_timeout_s=0.05), name="b"
    )
    seat = sit(room, world.alice)
    room.keeper._file.file = lambda work: asyncio.Event().wait()  # type: ignore[assignment,method-assign]
    await room.submit(seat, world.edit(""))
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc.apply_update(await room.document.diff(b""))
    before = doc.get_state()
    source = YNotebook(doc).ycells[0]["source"]
    source += "unsaved"
    await room.submit(seat, doc.get_update(before))
    async with asyncio.timeout(5):
        await room.close()
    assert log.position == 2


async def left_behind(world: World, *names: str) -> None:
    """These typed something that is not in the file, and went."""
    for name in names:
        user = replace(BOB, opaque_id=name, username=name, display_name="")
        storage = MemoryStorage(world.site, user)
        seat = world.room.sit(Seat(user, Role.EDITOR, Recorder(), Standing(storage, constant(Role.EDITOR))))
        await world.room.submit(seat, world.edit(name))
        world.room.leave(seat)


async def saved_by(world: World) -> str:
    await world.room.keeper.save(keep_version=False)
    return world.site.writes[-1][0] if world.site.writes else ""


CROWD = [f"user-{n}" for n in range(20)]


@pytest.mark.parametrize("service", [True, False])
async def test_credentials_that_ended_hide_nobody_and_are_asked_once(world: World, service: bool) -> None:
    world.room._service = MemoryStorage(world.site, replace(BOB, username="service")) if service else None
    world.site.down = True
    await left_behind(world, *(CROWD if service else ["carol", *CROWD]))
    world.room.leave(world.seat)
    world.site.down = False
    world.site.expired_tokens = {replace(BOB, opaque_id=name).key for name in CROWD}
    assert await saved_by(world) == ("service" if service else "carol")
    assert world.room.writers() == ([world.room._service] if service else [])
    before = world.site.calls["stat"]
    world.site.down = True
    await left_behind(world, "dave")
    world.site.down = False
    assert await saved_by(world) == "dave"
    assert world.site.calls["stat"] - before < 10


@pytest.mark.parametrize("role", [Role.NONE, Role.VIEWER])
async def test_people_who_left_and_may_not_write_any_more_hide_nobody(world: World, role: Role) -> None:
    world.site.down = True
    await left_behind(world, CROWD[0], "carol", *CROWD[1:])
    world.room.leave(world.seat)
    world.site.down = False
    world.site.roles |= {replace(BOB, opaque_id=name).key: role for name in CROWD}
    assert [await saved_by(world) for _ in range(3)] == ["", "", "carol"]
    world.site.down = True
    await left_behind(world, *CROWD)
    world.site.down = False
    world.room._service = MemoryStorage(world.site, replace(BOB, username="service"))
    assert await saved_by(world) == "service"
