"""Room id to room: asks the gatekeeper who gets in, creates each room once, closes it some time after the last one left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from cs3collab.errors import CollabError, Overloaded
from cs3collab.limits import DEFAULT, Limits
from cs3collab.rooms.authority import Authority, Standing
from cs3collab.rooms.ports import Document, Outlet
from cs3collab.rooms.replica import Channel, Replica, Upstream
from cs3collab.rooms.room import Room, Seat, Tasks
from cs3collab.types import Credential, FileInfo, Lineage, Role, RoomId, RoomStatus, SiteId, Target, User

log = logging.getLogger(__name__)
Credentials = Callable[[], Awaitable[Credential]]


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
NewDocument = Callable[[str, Callable[[], Awaitable[list[bytes]]]], Document]


class Registry:
    """The rooms of one process."""

    def __init__(
        self, *, admit: Admit, open_authority: OpenAuthority, new_document: NewDocument, dial: Dial, limits: Limits = DEFAULT
    ) -> None:
        self._admit = admit
        self._open_authority = open_authority
        self._new_document = new_document
        self._dial = dial
        self._limits = limits
        self.rooms: dict[str, Room] = {}
        self._opening: dict[str, asyncio.Lock] = {}
        self._tasks = Tasks("registry")

    async def join(self, target: Target, credentials: Credentials, outlet_for: Callable[[Room], Outlet]) -> tuple[Room, Seat]:
        """Lets a user in. Raises `NotAuthenticated`, `NotAuthorized`, `NotFound`, `Unavailable`, `NotANotebook`, …"""
        admitted = await self._admit(target, credentials)
        if isinstance(admitted, Admission):
            room: Room = await self._room(str(admitted.room_id), lambda: self._open_authority(admitted))
            seat = Seat(admitted.user, admitted.role, outlet_for(room), admitted.standing, admitted.reason)
            return room, room.sit(seat)
        link = self._dial(admitted.url)
        channel = await link.attach(admitted.target, admitted.credentials)
        try:
            room = await self._room(channel.room, lambda: self._open_replica(channel, link))
            if isinstance(room, Replica):
                await room.follow()
        except BaseException:
            channel.close()
            raise
        seat = Seat(channel.user, channel.role, outlet_for(room), channel, channel.reason)
        channel.on_role = lambda role, reason: room.set_role(seat, role, reason)
        channel.on_detached = lambda error: room.end(seat, error)
        return room, room.sit(seat)

    async def _room(self, key: str, create: Callable[[], Awaitable[Room]]) -> Room:
        lock = self._opening.setdefault(key, asyncio.Lock())
        async with lock:
            if (room := self.rooms.get(key)) is None:
                if len(self.rooms) >= self._limits.rooms:
                    raise Overloaded("too many documents are open at this site", hint="try again later")
                room = await create()
                room.on_empty = self._linger
                self.rooms[key] = room
            return room

    async def _open_replica(self, channel: RemoteChannel, link: Dialled) -> Replica:
        room_id = RoomId.parse(channel.room)
        replica: Replica

        async def history() -> list[bytes]:
            return await replica.history()

        document = self._new_document(room_id.type, history)
        status = RoomStatus(home=channel.home, lineage=Lineage(""))
        replica = Replica(room_id, name=channel.name, document=document, status=status, upstream=link, limits=self._limits)
        link.rooms[channel.room] = replica
        try:
            await replica.open()
        except BaseException:
            await replica.close()
            raise
        return replica

    def _linger(self, room: Room) -> None:
        self._tasks.start(self._close_if_empty(room))

    async def _close_if_empty(self, room: Room) -> None:
        await asyncio.sleep(self._limits.room_linger_s)
        key = str(room.id)
        async with self._opening.setdefault(key, asyncio.Lock()):
            if room.seats or self.rooms.get(key) is not room:
                return
            del self.rooms[key]
            await room.close()

    async def close(self) -> None:
        """Saves and closes every room."""
        await self._tasks.cancel()
        rooms, self.rooms = list(self.rooms.values()), {}
        for result in await asyncio.gather(*(room.close() for room in rooms), return_exceptions=True):
            if isinstance(result, Exception):
                log.error("closing a room: %s", result, exc_info=result)
