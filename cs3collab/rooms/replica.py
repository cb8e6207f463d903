"""A room whose authority is elsewhere: forwards edits up, spreads what comes down, keeps an outbox until durability."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Protocol

from cs3collab.errors import CollabError, LineageDiverged, Overloaded, Unavailable, UpdateRejected
from cs3collab.limits import Limits
from cs3collab.rooms.lib0 import decode_state_vector, lacks
from cs3collab.rooms.ports import Applied, Document
from cs3collab.rooms.presence import REMOTE
from cs3collab.rooms.room import Room, SaveResult, Seat, Snapshot
from cs3collab.types import Lineage, Role, RoomId, RoomStatus


class Channel(Protocol):
    """One user's way to the authority, kept across reconnections by the link."""

    @property
    def outbox_bytes(self) -> int: ...
    def push(self, update: bytes) -> Awaitable[int]:
        """Queues now; resolves to the position once durable, however long the authority is away."""

    def awareness(self, update: bytes) -> None: ...
    async def save(self) -> SaveResult: ...
    def pending(self) -> list[bytes]:
        """Updates pushed and not yet acknowledged, in order."""

    def close(self) -> None: ...


class Upstream(Protocol):
    """The link, as the room sees it."""

    async def sync(self, room: str, lineage: Lineage, state_vector: bytes) -> tuple[Snapshot, RoomStatus]: ...
    def forget(self, room: str) -> None: ...


class Replica(Room):
    """Serves joins and local peers while the authority is away; what it made meanwhile goes up on reconnection."""

    def __init__(
        self, room_id: RoomId, *, name: str, document: Document, status: RoomStatus, upstream: Upstream, limits: Limits
    ) -> None:
        super().__init__(room_id, name=name, document=document, status=status, limits=limits)
        self._upstream = upstream
        self._followed = False
        self._history: list[bytes] = []
        self._history_bytes = 0
        self._incoming: asyncio.Queue[bytes] = asyncio.Queue(maxsize=100_000)

    async def open(self) -> None:
        """First synchronisation. Raises `PeerUnavailable`."""
        snapshot, status = await self._upstream.sync(str(self.id), Lineage(""), b"")
        await self.document.load([snapshot.update])
        self._remember(snapshot.update)
        self.status = status
        self._followed = True
        self.tasks.start(self._apply_incoming())
        self.tasks.start(self._compare_for_ever())

    async def history(self) -> list[bytes]:
        """Everything the document was made of: what a new worker loads."""
        return [*self._history, *(u for seat in self.seats.values() for u in seat.backing.pending())]

    def _remember(self, update: bytes) -> None:
        self._history.append(update)
        self._history_bytes += len(update)

    async def _shorten_history(self) -> None:
        if len(self._history) < 1000 and self._history_bytes < 2 * len(self._history[0]) + 2**20:
            return
        kept = len(self._history)
        whole = await self.document.diff(b"")
        self._history[:kept] = [whole]
        self._history_bytes = sum(map(len, self._history))

    async def submit(self, seat: Seat, update: bytes) -> int:
        self.check(seat, update)
        waiting = sum(other.backing.outbox_bytes for other in self.seats.values())
        if waiting + len(update) > self.limits.outbox_bytes:
            raise Overloaded("too many edits wait for the home site", hint="keep this page open until it is reachable again")
        # Up first: the local worker is not on the way to the authority.
        durable = asyncio.ensure_future(seat.backing.push(update))
        try:
            if await self.validated(seat, update) is not Applied.KNOWN:
                self._remember(update)
                self.broadcast(seat.outlet, self.status.position, update, seat.user.key)
            position: int = await durable
        except BaseException:
            durable.cancel()
            raise
        self.moved(position)
        return position

    async def save(self, seat: Seat) -> SaveResult:
        result: SaveResult = await seat.backing.save()
        return result

    def left(self, seat: Seat) -> None:
        seat.backing.close()
        if not self.seats:
            self._followed = False
            self._say(self.presence.leave(REMOTE), None)

    async def follow(self) -> None:
        """The authority tells its news only while somebody sits here; who comes after a pause has to be brought up to date."""
        if not self._followed:
            await self.resync()

    def awareness(self, seat: Seat, update: bytes) -> None:
        super().awareness(seat, update)
        seat.backing.awareness(update)

    def on_update(self, position: int, update: bytes, author: str) -> None:
        """From the authority, already valid: spread first, apply behind."""
        self.moved(position)
        self.broadcast(None, position, update, author)
        try:
            self._incoming.put_nowait(update)
        except asyncio.QueueFull:
            self.tasks.start(self.resync())

    async def _apply_incoming(self) -> None:
        while True:
            update = await self._incoming.get()
            self._remember(update)
            try:
                await self.document.apply(update)
            except UpdateRejected as error:
                await self._start_over(error)
            await self._shorten_history()

    def on_awareness(self, update: bytes) -> None:
        self._say(self.presence.offer(update, owner=REMOTE), None)

    def on_status(self, status: RoomStatus) -> None:
        """The next hop's news; ``online`` too, for it may itself be cut off from the authority."""
        self.set_status(**{name: getattr(status, name) for name in RoomStatus.__slots__ if name not in ("lineage", "position")})
        self.moved(status.position)

    def on_offline(self, reason: str) -> None:
        """The authority cannot be reached: edits go on, are kept here, and everybody elsewhere is gone from sight."""
        self._say(self.presence.leave(REMOTE), None)
        self.set_status(online=False, problem=reason)

    async def resync(self) -> None:
        """Compares with the authority and makes both whole. Raises nothing: the link tries again when it comes back."""
        try:
            state = await self.document.state()
            snapshot, status = await self._upstream.sync(str(self.id), self.lineage, state)
        except Unavailable as error:
            self.set_status(online=False, problem=error.message)
            return
        except CollabError as error:
            self.cut(error)
            return
        if status.lineage != self.lineage:
            await self._start_over(LineageDiverged("the document was started anew at its home site", hint="reload the page"))
            return
        if await self.document.apply(snapshot.update) is Applied.CHANGED:
            self._remember(snapshot.update)
            self.broadcast(None, snapshot.position, snapshot.update, "")
        self._followed = True
        self.status = status
        for outlet in list(self._outlets):
            outlet.status(self.status)
        await self._push_what_lacks(snapshot.state_vector)

    async def _push_what_lacks(self, state_vector: bytes) -> None:
        """What the authority lost or never got and no outbox holds: others' edits may rest on it."""
        ours = await self.document.state()
        editor = next((seat for seat in self.seats.values() if seat.role is Role.EDITOR), None)
        if editor is None or not lacks(decode_state_vector(state_vector), decode_state_vector(ours)):
            return
        await editor.backing.push(await self.document.diff(state_vector))

    async def _compare_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self.limits.anti_entropy_s)
            if self._followed and self.status.online and self._incoming.empty():
                await self.resync()

    async def _start_over(self, error: CollabError) -> None:
        """This copy and the authority's have parted: take theirs, send local peers away to come back fresh."""
        self.cut(error)
        self._history, self._history_bytes = [], 0
        snapshot, status = await self._upstream.sync(str(self.id), Lineage(""), b"")
        self._remember(snapshot.update)
        await self.document.load([snapshot.update])
        self.status = status

    async def close(self) -> None:
        await self.tasks.cancel()
        self._upstream.forget(str(self.id))
        await self.document.close()
