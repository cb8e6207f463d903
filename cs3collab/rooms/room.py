"""One live document: who sits in it, what they are told. `Authority` and `Replica` say where its updates become durable."""

from __future__ import annotations

import asyncio
import enum
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from cs3collab.errors import CollabError, InvalidInput, NotAuthorized, Overloaded, UpdateRejected
from cs3collab.limits import Limits
from cs3collab.rooms.lib0 import EMPTY_UPDATE
from cs3collab.rooms.ports import Applied, Document, Outlet
from cs3collab.rooms.presence import REMOTE, Presence
from cs3collab.types import History, Lineage, MergedIn, Restored, Role, RoomId, RoomStatus, User, Version

log = logging.getLogger(__name__)
_seat_numbers = count(REMOTE + 1)
POSITION_TOLD_S = 0.1


@dataclass(eq=False, slots=True)
class Seat:
    """One verified user in a room, on one outlet. ``backing`` is what the room's kind needs of them (storage, or channel).

    ``offered``: they only follow now, and may take the pen (`cs3collab.rooms.pen`).
    """

    user: User
    role: Role
    outlet: Outlet
    backing: Any = None
    reason: str = ""
    on_role: Callable[[Role, str], None] = lambda role, reason: None
    on_end: Callable[[CollabError], None] = lambda error: None
    number: int = field(default_factory=lambda: next(_seat_numbers))
    last_edit: int = 0
    offered: bool = False


class Wants(enum.Enum):
    """What somebody comes into a room for. Without a relay only one server's people edit a file (`cs3collab.rooms.pen`)."""

    ANSWER = "to ask something"
    SEAT = "to be in the document, perhaps again: to edit it unless others do, or did until now"
    PEN = "to edit it now, if nobody else does"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a peer gets to be up to date. ``update`` is what it lacked, ``state_vector`` what this room has."""

    lineage: Lineage
    position: int
    update: bytes
    state_vector: bytes


@dataclass(frozen=True, slots=True)
class SaveResult:
    """``status`` is ``success``, ``skipped`` (nothing to write) or ``failed``, as in jupyter-collaboration's RAW save."""

    status: str
    position: int = 0
    etag: str = ""
    message: str = ""


@dataclass(eq=False, slots=True)
class Held:
    """What came while a peer was being brought up to date, until it is too much."""

    updates: list[tuple[int, bytes, str]] = field(default_factory=list)
    size: int = 0

    def add(self, position: int, update: bytes, author: str, limit_bytes: int) -> None:
        self.size += len(update)
        if self.size <= limit_bytes:
            self.updates.append((position, update, author))


class Tasks:
    """Tasks that end with their owner; a failure is logged, never lost."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s: %s", self._what, error, exc_info=error)

    def __len__(self) -> int:
        return len(self._tasks)

    async def finish(self) -> None:
        """Waits for all; what fails was logged."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def cancel(self) -> None:
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Room(ABC):
    """The part that is the same for authority and replica."""

    def __init__(self, room_id: RoomId, *, name: str, document: Document, status: RoomStatus, limits: Limits) -> None:
        self.id = room_id
        self.name = name
        self.document = document
        self.limits = limits
        self.status = status
        self.seats: dict[int, Seat] = {}
        self.presence = Presence(limits)
        self.tasks = Tasks(f"room {room_id.file_id[:12]}")
        self._outlets: dict[Outlet, None] = {}
        self._joining: dict[Outlet, Held] = {}
        self._talk: dict[int, Outlet | None] = {}
        self._position_due: asyncio.TimerHandle | None = None
        self.on_empty: Callable[[Room], None] = lambda room: None

    @property
    def lineage(self) -> Lineage:
        return self.status.lineage

    def sit(self, seat: Seat) -> Seat:
        """Raises `Overloaded` when the room is full."""
        if len(self.seats) >= self.limits.seats_per_room:
            raise Overloaded("this document has too many participants", hint="try again later")
        self.seats[seat.number] = seat
        self.seats_changed()
        return seat

    def fall_silent(self, seat: Seat) -> None:
        """The person is gone from sight and gets no more news, while what they sent is still on its way."""
        self._say(self.presence.leave(seat.number), seat.outlet)
        self._outlets.pop(seat.outlet, None)
        self._joining.pop(seat.outlet, None)

    def leave(self, seat: Seat) -> None:
        """Takes the seat's awareness with it; does nothing the second time."""
        if self.seats.pop(seat.number, None) is None:
            return
        self._say(self.presence.leave(seat.number), seat.outlet)
        self.left(seat)
        if not any(other.outlet is seat.outlet for other in self.seats.values()):
            self._outlets.pop(seat.outlet, None)
            self._joining.pop(seat.outlet, None)
        self.seats_changed()
        if not self.seats:
            self.on_empty(self)

    async def sync(self, outlet: Outlet, state_vector: bytes) -> Snapshot:
        """Brings `outlet` up to date and keeps it so: no update falls between the snapshot and the first live one.

        The caller sends the snapshot, then calls `live`, which delivers what came meanwhile.
        """
        self._joining.setdefault(outlet, Held())
        try:
            update = await self.document.diff(state_vector)
            state = await self.document.state()
        except BaseException:
            self._joining.pop(outlet, None)
            raise
        return Snapshot(self.lineage, self.status.position, update, state)

    def live(self, outlet: Outlet) -> None:
        """From now on `outlet` gets updates as they come, first those held back since `sync`, then everybody's presence.

        Does nothing when its last seat went meanwhile.
        """
        held = self._joining.pop(outlet, None) or Held()
        if not any(seat.outlet is outlet for seat in self.seats.values()):
            return
        if held.size > self.limits.outlet_bytes:
            outlet.closed(Overloaded("more was written than could be held while the document was loaded", hint="connect again"))
            return
        self._outlets[outlet] = None
        for position, update, author in held.updates:
            outlet.update(position, update, author)
        if clients := self.presence.clients:
            outlet.awareness(self.presence.encode(clients))
        outlet.status(self.status)

    def check(self, seat: Seat, update: bytes) -> None:
        """Raises `NotAuthorized` for viewers and `InvalidInput` past the size bound: the same rule at every hop."""
        self.check_editor(seat)
        if len(update) > self.limits.update_bytes:
            raise InvalidInput(f"an edit of {len(update)} bytes", hint=f"at most {self.limits.update_bytes} bytes at once")

    def check_present(self, seat: Seat) -> None:
        """Raises `NotAuthorized` for those who may not even read: they have no seat."""
        if seat.number not in self.seats:
            raise NotAuthorized("you are no longer in this document", hint="open it again")

    def check_editor(self, seat: Seat) -> None:
        """Raises `NotAuthorized` for viewers: the same rule at every hop."""
        self.check_present(seat)
        if seat.role < Role.EDITOR:
            raise NotAuthorized(seat.reason or "you may read this document, but not edit it", hint="create a copy to edit it")

    @abstractmethod
    async def submit(self, seat: Seat, update: bytes) -> int:
        """Carries an edit to durability; returns its position.

        Raises what `check` does and `UpdateRejected`; `Unavailable` and `Overloaded` when it may pass later.
        """

    @abstractmethod
    async def save(self, seat: Seat) -> SaveResult:
        """Writes the file now (Ctrl+S)."""

    @abstractmethod
    async def versions(self, seat: Seat, at: float = 0.0) -> History:
        """What the document said before, to those who may read it; `at` (Unix seconds) asks for the position at that time.

        Raises `NotAuthorized`, `Unavailable`, `Unsupported` where the home site is too old to tell, `DeadlineExceeded`.
        """

    @abstractmethod
    async def version(self, seat: Seat, position: int) -> bytes:
        """The file as it would have been after the edit at `position`. Raises as `versions` does, `NotFound`, `Corrupt`."""

    @abstractmethod
    async def restore(self, seat: Seat, position: int) -> Restored:
        """Makes the document say what it said at `position`: a new edit of this person. Raises as `version` and `check` do."""

    @abstractmethod
    async def merge(self, seat: Seat, theirs: bytes, base: bytes | None = None, copy: str = "") -> MergedIn:
        """Brings in another version of the file, as an edit of this person: what changed in it from `base` on.

        Without a base nothing in the document counts as deleted, and what differs is a conflict. `copy` names the file beside
        this one that `theirs` is from; else what conflicts is kept in one. Raises as `restore` does, `NotANotebook`, `Corrupt`,
        and `VersionConflict` if it conflicts and cannot be kept.
        """

    @abstractmethod
    async def decide(self, seat: Seat, keys: tuple[str, ...]) -> bool:
        """Takes the notes of these conflicts off the document, for a person who is about to edit what they are about.

        Not if one of them is gone: somebody else has decided, whom no second edit of the same kind must follow.
        Raises as `restore` does.
        """

    @abstractmethod
    async def name_version(self, seat: Seat, name: str, position: int) -> Version:
        """Names what is at `position`, which keeps it; an empty `name` takes the name away. Raises as `restore` does."""

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    def left(self, seat: Seat) -> None:
        """A seat is gone: let go of what stood behind it."""

    async def welcome(self, seat: Seat, wants: Wants) -> None:  # noqa: B027 - a hook, not an obligation
        """Called after somebody sat down, before they hear anything."""

    async def renewed(self, seat: Seat) -> None:  # noqa: B027 - a hook, not an obligation
        """Called after the credential behind a seat was replaced."""

    def seats_changed(self) -> None:  # noqa: B027 - a hook, not an obligation
        """Called after somebody came, left or changed role."""

    def awareness(self, seat: Seat, update: bytes) -> None:
        """Raises `InvalidInput` or `Overloaded`; a foreign client id in it is ignored, and so is who has left."""
        if seat.number not in self.seats:
            return
        self._say(self.presence.offer(update, owner=seat.number, user=seat.user), seat.outlet)

    def set_role(self, seat: Seat, role: Role, reason: str) -> None:
        """Acts on a changed right. Without any right left the seat is taken."""
        if (role, reason) == (seat.role, seat.reason):
            return
        seat.role, seat.reason = role, reason
        if role is Role.NONE:
            self.end(seat, NotAuthorized(reason))
            return
        seat.on_role(role, reason)
        self.seats_changed()

    def end(self, seat: Seat, error: CollabError) -> None:
        """Sends one person away, saying why."""
        self.leave(seat)
        seat.on_end(error)

    def set_status(self, **changes: Any) -> None:
        status = replace(self.status, **changes)
        if status != self.status:
            self.status = status
            for outlet in list(self._outlets):
                outlet.status(status)

    def moved(self, position: int) -> None:
        """The durable position moved: told with the next update or status, at the latest after `POSITION_TOLD_S`."""
        if position <= self.status.position:
            return
        self.status = replace(self.status, position=position)
        if self._position_due is None:
            self._position_due = asyncio.get_running_loop().call_later(POSITION_TOLD_S, self._tell_position)

    def _tell_position(self) -> None:
        self._position_due = None
        for outlet in list(self._outlets):
            outlet.status(self.status)

    def broadcast(self, source: Outlet | None, position: int, update: bytes, author: str) -> None:
        if update == EMPTY_UPDATE:
            return
        for outlet in list(self._outlets):
            if outlet is not source:
                outlet.update(position, update, author)
        for outlet, held in self._joining.items():
            if outlet is not source:
                held.add(position, update, author, self.limits.outlet_bytes)

    async def validated(self, seat: Seat | None, update: bytes) -> Applied:
        """Applies in the worker. A poisoned update is kept aside and its sender cut, the document lives on."""
        try:
            return await self.document.apply(update)
        except UpdateRejected as error:
            await self.refused(seat, update, error)
            raise

    async def refused(self, seat: Seat | None, update: bytes, error: UpdateRejected) -> None:
        if seat is not None:
            log.warning("an update of %s was refused: %s", seat.user.key, error)

    def _say(self, clients: list[int], source: Outlet | None) -> None:
        if not clients:
            return
        if not self._talk:
            asyncio.get_running_loop().call_soon(self._flush_presence)
        for client in clients:
            self._talk[client] = source

    def _flush_presence(self) -> None:
        talk, self._talk = self._talk, {}
        everything = self.presence.encode(list(talk))
        sources = set(talk.values())
        for outlet in list(self._outlets):
            if outlet not in sources:
                outlet.awareness(everything)
            elif others := [client for client, source in talk.items() if source is not outlet]:
                outlet.awareness(self.presence.encode(others))
        self.presence.forget_gone()
