"""The room at the site whose storage holds the file: makes updates durable, gives them positions, has the file written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cs3collab.errors import CollabError, NotAuthenticated, NotAuthorized, NotFound, Unavailable, UpdateRejected
from cs3collab.limits import Limits
from cs3collab.rooms.keeper import Keeper, SaveState
from cs3collab.rooms.ports import Applied, Document, Log, Outlet, Storage
from cs3collab.rooms.room import Room, SaveResult, Seat
from cs3collab.types import Lineage, Role, RoomId, RoomStatus, SiteId


@dataclass(slots=True)
class Standing:
    """What stands behind a seat at the authority: the user's own storage, and how to ask it again what they may do."""

    storage: Storage
    recheck: Callable[[], Awaitable[tuple[Role, str]]]


class Authority(Room):
    """``keeper`` is set right after construction, for it needs the room's callbacks."""

    keeper: Keeper

    def __init__(
        self,
        room_id: RoomId,
        *,
        name: str,
        home: SiteId,
        document: Document,
        store: Log,
        limits: Limits,
        service: Storage | None = None,
    ) -> None:
        meta = store.meta
        status = RoomStatus(
            home=home,
            lineage=Lineage(store.lineage),
            position=store.position,
            saved_position=int(meta.get("saved_position", 0)),
            saved_at=float(meta.get("saved_at", 0) or 0),
            saved_by=meta.get("saved_by", ""),
            etag=meta.get("base_etag", ""),
        )
        super().__init__(room_id, name=name, document=document, status=status, limits=limits)
        self.store = store
        self._service = service
        self._departed: list[tuple[int, Storage]] = []
        self._last_append: asyncio.Future[int] | None = None
        self._doubt = False

    def start(self) -> None:
        self.tasks.start(self.keeper.run())
        self.tasks.start(self._recheck_for_ever())

    async def submit(self, seat: Seat, update: bytes) -> int:
        self.check(seat, update)
        applied = await self.validated(seat, update)
        if applied is Applied.KNOWN and not self._doubt:
            # A twin of it may still be on its way to the disk: what we answer must be durable.
            if self._last_append is not None and not self._last_append.done():
                await asyncio.shield(self._last_append)
            return self.store.position
        return await self._make_durable(seat.outlet, update, seat.user.key, seat)

    async def _make_durable(self, source: Outlet | None, update: bytes, author: str, seat: Seat | None = None) -> int:
        self._last_append = append = asyncio.ensure_future(self.store.append(update, author, time.time()))
        try:
            position = await asyncio.shield(append)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            # The worker has the update, the log may not: until it is logged, "known" proves nothing.
            self._doubt = True
            raise Unavailable(
                f"the edit could not be made durable: {error}", hint="it is kept and tried again; check the relay's disk"
            ) from error
        self.moved(position)
        if seat is not None:
            seat.last_edit = position
        self.broadcast(source, position, update, author)
        self.keeper.touched(position)
        return position

    async def system_edit(self, update: bytes) -> None:
        """An edit of the authority itself (for example the ``dirty`` flag after a save), already applied in the worker."""
        await self._make_durable(None, update, "")

    async def refused(self, seat: Seat | None, update: bytes, error: UpdateRejected) -> None:
        await super().refused(seat, update, error)
        await self.store.quarantine(update, seat.user.key if seat else "", str(error))

    async def save(self, seat: Seat) -> SaveResult:
        if seat.role < Role.EDITOR:
            raise NotAuthorized(seat.reason or "you may read this document, but not save it")
        return await self.keeper.save(keep_version=True)

    def writers(self) -> list[Storage]:
        """Best first: who made the latest unsaved edit, other editors, those who left unsaved edits, the service account."""
        editors = [(s.last_edit, s.number, s.backing.storage) for s in self.seats.values() if s.role is Role.EDITOR]
        present = [storage for *_, storage in sorted(editors, key=lambda e: (-e[0], e[1]))]
        departed = [storage for _, storage in sorted(self._departed, key=lambda e: -e[0])]
        return [*present, *departed, *([self._service] if self._service else [])]

    def left(self, seat: Seat) -> None:
        if seat.role is Role.EDITOR and seat.last_edit > self.status.saved_position:
            self._departed.append((seat.last_edit, seat.backing.storage))
        if not self.writers_present():
            self.tasks.start(self.keeper.finish())

    def writers_present(self) -> bool:
        return any(seat.role is Role.EDITOR for seat in self.seats.values())

    def published(self, state: SaveState) -> None:
        """The keeper's news. Credentials of people who left are dropped once what they wrote is saved."""
        self._departed = [entry for entry in self._departed if entry[0] > state.saved_position]
        self.set_status(
            saved_position=state.saved_position,
            saved_at=state.saved_at,
            saved_by=state.saved_by,
            etag=state.etag,
            problem=state.problem,
        )

    def seats_changed(self) -> None:
        self.set_status(editors=sum(1 for seat in self.seats.values() if seat.role is Role.EDITOR))

    async def _recheck_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self.limits.recheck_s)
            await asyncio.gather(*(self.recheck(seat) for seat in list(self.seats.values())))

    async def recheck(self, seat: Seat) -> None:
        """Asks storage again what this person may do, and acts on it. A storage that is away changes nothing."""
        try:
            role, reason = await seat.backing.recheck()
        except (NotAuthenticated, NotAuthorized, NotFound) as error:
            role, reason = Role.NONE, f"this document is no longer shared with you ({error.message})"
        except CollabError:
            return
        if seat.number in self.seats:
            self.set_role(seat, role, reason)

    async def close(self) -> None:
        """Saves what can be saved, then lets go of everything. The store stays."""
        await self.keeper.finish()
        await self.tasks.cancel()
        await self.document.close()
        await self.store.flush()
        await self.store.close()
