"""Room id to room: asks the gatekeeper who gets in, creates each room once, closes it some time after the last one left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from cs3collab import telemetry
from cs3collab.errors import CollabError, Overloaded, Unavailable
from cs3collab.limits import DEFAULT, Limits
from cs3collab.rooms.authority import Authority, Standing
from cs3collab.rooms.history import NewDocument
from cs3collab.rooms.ports import Outlet
from cs3collab.rooms.replica import Replica
from cs3collab.rooms.room import Room, Seat, Tasks, Wants
from cs3collab.rooms.upstream import Channel, Rescue, Upstream, nowhere
from cs3collab.types import Credential, FileInfo, Lineage, Role, RoomId, RoomStatus, SiteId, Target, User

log = logging.getLogger(__name__)
UNSAVED_KEPT_S = 24 * 3600.0
"""How long a document that nobody has open waits to be saved. Later it is saved when it is opened again; its journal stays."""
Credentials = Callable[[], Awaitable[Credential]]
"""Gives the user's credential as it is now; asked again on every connection, so a rotated token is picked up."""


@dataclass(frozen=True, slots=True)
class Admission:
    """The file is on our own storage: we are the authority."""

    room_id: RoomId
    info: FileInfo
    user: User
    role: Role
    reason: str
    standing: Standing


@dataclass(frozen=True, slots=True)
class Forward:
    """The authority is behind that relay; this is what to ask it for, and with which credential."""

    url: str
    target: Target
    credentials: Credentials


class RemoteChannel(Channel, Protocol):
    """A replica's channel with what the authority said at attach."""

    on_role: Callable[[Role, str], None]
    on_detached: Callable[[CollabError], None]

    @property
    def ended(self) -> CollabError | None:
        """Why the authority closed it, if it did."""

    @property
    def room(self) -> str: ...
    @property
    def user(self) -> User: ...
    @property
    def role(self) -> Role: ...
    @property
    def reason(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def home(self) -> SiteId: ...


class Dialled(Upstream, Protocol):
    """A link to a relay, as the registry uses it."""

    rooms: dict[str, Replica]

    async def attach(self, target: Target, credentials: Credentials) -> RemoteChannel: ...


Admit = Callable[[Target, Credentials], Awaitable[Admission | Forward]]
Dial = Callable[[str], Dialled]
OpenAuthority = Callable[[Admission], Awaitable[Authority]]


@dataclass(slots=True)
class _Turn:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class Registry:
    """The rooms of one process.

    A room of our own storage is known by its id, a replica by the relay it follows as well: no other site can name its way into
    a document of ours.
    """

    def __init__(
        self,
        *,
        admit: Admit,
        open_authority: OpenAuthority,
        new_document: NewDocument,
        dial: Dial,
        limits: Limits = DEFAULT,
        rescue: Rescue = nowhere,
    ) -> None:
        self._admit = admit
        self._open_authority = open_authority
        self._new_document = new_document
        self._dial = dial
        self._limits = limits
        self._rescue = rescue
        self.rooms: dict[str, Room] = {}
        self._turns: dict[str, _Turn] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._closings = Tasks("closing a room")
        self._closed = False

    async def join(
        self, target: Target, credentials: Credentials, outlet_for: Callable[[Room], Outlet], wants: Wants = Wants.SEAT
    ) -> tuple[Room, Seat]:
        """Lets a user in.

        Raises `NotAuthenticated`, `NotAuthorized`, `NotFound`, `Unavailable`, `NotANotebook`, …
        """
        admitted = await self._admit(target, credentials)
        if isinstance(admitted, Forward):
            return await self._join_replica(admitted, outlet_for)
        async with self._room(str(admitted.room_id), lambda: self._open_authority(admitted)) as room:
            seat = Seat(admitted.user, admitted.role, outlet_for(room), admitted.standing, admitted.reason)
            room.sit(seat)
            try:
                await room.welcome(seat, wants)
            except BaseException:
                room.leave(seat)
                raise
            return room, seat

    async def _join_replica(self, forward: Forward, outlet_for: Callable[[Room], Outlet]) -> tuple[Room, Seat]:
        link = self._dial(forward.url)
        channel = await link.attach(forward.target, forward.credentials)
        try:
            key = f"{forward.url} {channel.room}"
            async with self._room(key, lambda: self._open_replica(key, channel, link)) as room:
                seat = Seat(channel.user, channel.role, outlet_for(room), channel, channel.reason)
                room.sit(seat)
        except BaseException:
            channel.close()
            raise
        assert isinstance(room, Replica)
        channel.on_role = lambda role, reason: room.set_role(seat, role, reason)
        channel.on_detached = lambda error: room.detached(seat, error)
        try:
            await room.follow()
            if channel.ended is not None:
                raise channel.ended
            if seat.number not in room.seats:
                raise Unavailable("the document was closed while it was being opened", hint="open it again")
        except BaseException:
            room.leave(seat)
            raise
        return room, seat

    @asynccontextmanager
    async def _room(self, key: str, create: Callable[[], Awaitable[Room]]) -> AsyncIterator[Room]:
        """The room, which stays open inside: whoever sits down there finds it alive."""
        async with self._turn(key):
            if (room := self.rooms.get(key)) is None:
                if self._closed:
                    raise Unavailable("this server is being stopped", hint="try again in a moment")
                if len(self.rooms) >= self._limits.rooms:
                    raise Overloaded("too many documents are open at this site", hint="try again later")
                room = await create()
                room.on_empty = lambda empty: self._linger(key, empty)
                self.rooms[key] = room
            try:
                yield room
            except BaseException:
                if not room.seats:
                    self._linger(key, room)
                raise

    @asynccontextmanager
    async def _turn(self, key: str) -> AsyncIterator[None]:
        """One at a time per room; nothing is left of it when nobody waits."""
        turn = self._turns.setdefault(key, _Turn())
        turn.users += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[key]

    async def _open_replica(self, key: str, channel: RemoteChannel, link: Dialled) -> Replica:
        room_id = RoomId.parse(channel.room)
        replica: Replica

        async def history() -> list[bytes]:
            return await replica.history()

        document = self._new_document(room_id.type, history)
        status = RoomStatus(home=channel.home, lineage=Lineage(""))
        replica = Replica(
            room_id,
            name=channel.name,
            document=document,
            status=status,
            upstream=link,
            new_document=self._new_document,
            limits=self._limits,
            rescue=self._rescue,
        )
        replica.on_diverged = lambda diverged: self._discard(key, diverged)
        link.rooms[channel.room] = replica
        try:
            await replica.open()
        except BaseException:
            await replica.close()
            raise
        return replica

    def _discard(self, key: str, room: Room) -> None:
        """The next one to join finds no room, and makes a new one."""
        if self.rooms.get(key) is room:
            del self.rooms[key]
            self._closings.start(self._close_in_turn(key, room))

    async def _close_in_turn(self, key: str, room: Room) -> None:
        async with self._turn(key):
            await room.close()

    def _linger(self, key: str, room: Room) -> None:
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()
        if not self._closed:
            later = asyncio.get_running_loop().call_later
            self._timers[key] = later(self._limits.room_linger_s, self._lingered, key, room)

    def _lingered(self, key: str, room: Room) -> None:
        del self._timers[key]
        self._closings.start(self._close_if_empty(key, room))

    async def _close_if_empty(self, key: str, room: Room) -> None:
        async with self._turn(key):
            if room.seats or self.rooms.get(key) is not room:
                return
            if isinstance(room, Authority) and 0 < room.unsaved_s < UNSAVED_KEPT_S:
                self._linger(key, room)  # storage may come back while those who may write still can
                return
            del self.rooms[key]
            await room.close()

    def measure(self) -> None:
        """Sets the gauges of `telemetry` to what is true now."""
        rooms = list(self.rooms.values())
        roles = [seat.role for room in rooms for seat in room.seats.values()]
        telemetry.ROOMS.set(len(rooms))
        for role, label in ((Role.VIEWER, "viewer"), (Role.EDITOR, "editor")):
            telemetry.SEATS.labels(label).set(roles.count(role))
        telemetry.SAVED_AGE_SECONDS.set(max((room.unsaved_s for room in rooms if isinstance(room, Authority)), default=0.0))
        telemetry.UNACKED_BYTES.set(sum(room.unacked_bytes for room in rooms if isinstance(room, Replica)))

    async def close(self) -> None:
        """Saves and closes every room."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        await self._closings.finish()
        rooms, self.rooms = list(self.rooms.values()), {}
        for result in await asyncio.gather(*(room.close() for room in rooms), return_exceptions=True):
            if isinstance(result, Exception):
                log.error("closing a room: %s", result, exc_info=result)
