"""The room at the site whose storage holds the file: makes updates durable, gives them positions, has the file written."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import count

from cs3collab import telemetry
from cs3collab.errors import (
    CollabError,
    InvalidInput,
    NotAuthenticated,
    NotAuthorized,
    NotFound,
    Overloaded,
    Unavailable,
    UpdateRejected,
)
from cs3collab.limits import Limits
from cs3collab.rooms.history import NewDocument, Past
from cs3collab.rooms.keeper import Keeper, SaveState
from cs3collab.rooms.pen import Pen
from cs3collab.rooms.ports import Applied, Document, Log, Outlet, Rendered, Storage
from cs3collab.rooms.room import Room, SaveResult, Seat, Wants
from cs3collab.types import History, Lineage, MergedIn, Restored, Role, RoomId, RoomStatus, SiteId, Version
from ystore.errors import StoreError

log = logging.getLogger(__name__)
_RECHECKS_AT_ONCE = 16
_MERGES_AT_ONCE = 4
_MOST_DECIDED = 500
_KEY_CHARS = 100
_DEPARTED = 32
"""People who left unsaved edits whose credentials are kept."""
_READERS_EVERY = 6
"""Rounds of rechecks in which those who only read are asked for once: there may be hundreds, and they can do no harm."""


@dataclass(slots=True)
class Standing:
    """What stands behind a seat at the authority: the user's own storage, and how to ask it again what they may do.

    ``right`` is its last answer; while others have the pen, the seat's role is less.
    """

    storage: Storage
    recheck: Callable[[], Awaitable[tuple[Role, str]]]
    right: tuple[Role, str] = (Role.NONE, "")


@dataclass(frozen=True, slots=True)
class Departed:
    """Somebody who left, whose credential is kept until what they last edited is saved; how often storage did not let them."""

    last_edit: int
    storage: Storage
    refusals: int = 0


def check_version(theirs: bytes, base: bytes | None, copy: str, limits: Limits) -> None:
    """Raises `Overloaded` or `InvalidInput` for what no program of ours asks to be merged."""
    if len(theirs) + len(base or b"") > limits.update_bytes:
        raise Overloaded("this version is too large to be merged", hint=f"at most {limits.update_bytes} bytes with its base")
    if len(copy.encode()) > 255 or "/" in copy or not copy.isprintable():
        raise InvalidInput("this is no name of a file", hint="give the name of the copy beside the document")


def may_edit(seat: Seat) -> bool:
    """Whether storage lets them, be it that others have the pen now."""
    role, _ = seat.backing.right
    return bool(role is Role.EDITOR)


class Authority(Room):
    """``keeper`` is set right after construction, for it needs the room's callbacks, and ``pen`` if there is no relay."""

    keeper: Keeper
    pen: Pen | None = None
    editing: str = ""
    """Who edits here, as others were told last."""

    def __init__(
        self,
        room_id: RoomId,
        *,
        name: str,
        home: SiteId,
        document: Document,
        store: Log,
        new_document: NewDocument,
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
        self.past = Past(room_id.type, store, new_document, limits)
        self._service = service
        self._departed: list[Departed] = []
        self._last_append: asyncio.Future[int] | None = None
        self._refusals = 0
        self._merging = 0
        self._healing = asyncio.Lock()
        self._unsaved_since: float | None = None

    def start(self) -> None:
        if self.status.position > self.status.saved_position:
            self._unsaved_since = time.monotonic()
        self.tasks.start(self.keeper.run())
        self.tasks.start(self._recheck_for_ever())

    def sit(self, seat: Seat) -> Seat:
        seat.backing.right = seat.role, seat.reason
        seat.role, seat.reason, seat.offered = self._allowed(seat)
        return super().sit(seat)

    async def welcome(self, seat: Seat, wants: Wants) -> None:
        if self.pen is None or not may_edit(seat) or wants is Wants.ANSWER:
            return
        self.keeper.stay()
        if wants is Wants.PEN or not self.pen.stand.following:
            await self.pen.take(seat.backing.storage)

    def set_role(self, seat: Seat, role: Role, reason: str) -> None:
        seat.backing.right = role, reason
        self._set_allowed(seat)

    def pen_changed(self) -> None:
        """People may edit from now on, or no more."""
        for seat in list(self.seats.values()):
            self._set_allowed(seat)
        self.keeper.pen_changed()

    def _allowed(self, seat: Seat) -> tuple[Role, str, bool]:
        role, reason = seat.backing.right
        return (role, reason, False) if self.pen is None else self.pen.stand.seen_by(role, reason)

    def _set_allowed(self, seat: Seat) -> None:
        role, reason, seat.offered = self._allowed(seat)
        super().set_role(seat, role, reason)  # an offer comes and goes with its reason

    async def submit(self, seat: Seat, update: bytes) -> int:
        try:
            self.check(seat, update)
            applied = await self.validated(seat, update)
        except CollabError as error:
            telemetry.UPDATES.labels("quarantined" if isinstance(error, UpdateRejected) else "refused").inc()
            raise
        if applied is Applied.KNOWN:
            # A twin of it may still be on its way to the disk: what we answer must be durable.
            if self._last_append is not None and not self._last_append.done():
                await asyncio.shield(self._last_append)
            position = self.store.position
        else:
            position = seat.last_edit = await self._make_durable(seat.outlet, update, seat.user.key)
            self.past.labels[seat.user.key] = seat.user.label
        if self._refusals:  # of what this may build upon, or of its twin
            position = seat.last_edit = await self._heal()
        telemetry.UPDATES.labels("known" if applied is Applied.KNOWN else "accepted").inc()
        return position

    async def _heal(self) -> int:
        """The worker has what the log once refused: all of it is logged, so that what builds upon it may be acknowledged."""
        async with self._healing:
            if refusals := self._refusals:
                await self._begin_append(await self.document.diff(b""), "")
                self._refusals -= refusals
        return self.store.position

    async def _make_durable(self, source: Outlet | None, update: bytes, author: str) -> int:
        """Others see at once what the worker took; the author hears of it when it is durable (docs/decisions/001)."""
        self.broadcast(source, self.status.position, update, author)
        return await self._begin_append(update, author)

    async def _begin_append(self, update: bytes, author: str) -> int:
        """What was begun here is also finished when nobody waits for it any more."""
        self._last_append = append = asyncio.ensure_future(self._append(update, author))
        return await asyncio.shield(append)

    async def _append(self, update: bytes, author: str) -> int:
        try:
            with telemetry.APPEND_SECONDS.time():
                position = await self.store.append(update, author, time.time())
        except Exception as error:
            self._refusals += 1
            raise Unavailable(
                f"the edit could not be made durable: {error}", hint="it is kept and tried again; check the relay's disk"
            ) from error
        if self._unsaved_since is None:
            self._unsaved_since = time.monotonic()
        self.moved(position)
        self.keeper.touched(position)
        return position

    async def system_edit(self, update: bytes) -> None:
        """An edit of the authority itself (for example the ``dirty`` flag after a save), already applied in the worker."""
        await self._make_durable(None, update, "")

    async def refused(self, seat: Seat | None, update: bytes, error: UpdateRejected) -> None:
        await super().refused(seat, update, error)
        telemetry.QUARANTINED.inc()
        try:
            await self.store.quarantine(update, seat.user.key if seat else "", str(error))
        except StoreError as trouble:
            log.warning("a refused update of %d bytes could not be kept for inspection: %s", len(update), trouble)

    async def save(self, seat: Seat) -> SaveResult:
        if seat.role < Role.EDITOR:
            raise NotAuthorized(seat.reason or "you may read this document, but not save it", hint="create a copy to edit it")
        # With all that was typed until now: once the worker has answered this, everything before it is on its way to the log.
        await self.document.state()
        if self._last_append is not None:
            await asyncio.wait([self._last_append])
        return await self.keeper.save(keep_version=True)

    async def versions(self, seat: Seat, at: float = 0.0) -> History:
        self.check_present(seat)
        return await self.past.history(at)

    async def version(self, seat: Seat, position: int) -> bytes:
        self.check_present(seat)
        return await self.past.content(position)

    async def restore(self, seat: Seat, position: int) -> Restored:
        self.check_editor(seat)
        content = await self.past.content(position)
        # What the worker has been made to say must get to the others and the disk, whether or not anybody still waits for it.
        return await asyncio.shield(self.tasks.start(self._say_again(seat, content)))

    async def _say_again(self, seat: Seat, content: bytes) -> Restored:
        self.check_editor(seat)
        update = await self.document.revise(content)
        if update:
            seat.last_edit = await self._make_durable(None, update, seat.user.key)
            self.past.labels[seat.user.key] = seat.user.label
            log.info("%s brought an old version of %s back", seat.user.key, self.name)
        elif self._last_append is not None:
            await asyncio.wait([self._last_append])
        if self._refusals:
            seat.last_edit = await self._heal()
        if seat.number not in self.seats:
            self.left(seat)  # after the last edit: it is their credential that writes the file
        return Restored(self.store.position, bool(update))

    async def merge(self, seat: Seat, theirs: bytes, base: bytes | None = None, copy: str = "") -> MergedIn:
        self.check_editor(seat)
        check_version(theirs, base, copy, self.limits)
        if self._merging >= _MERGES_AT_ONCE:
            raise Overloaded("several versions of this document are being merged", hint="try again in a moment")
        self._merging += 1
        merging = self.tasks.start(self._bring_in(seat, theirs, base, copy))
        merging.add_done_callback(self._merged)
        return await asyncio.shield(merging)

    def _merged(self, task: asyncio.Task[MergedIn]) -> None:
        self._merging -= 1

    async def _bring_in(self, seat: Seat, theirs: bytes, base: bytes | None, copy: str) -> MergedIn:
        async def say(update: bytes) -> None:
            seat.last_edit = await self._make_durable(None, update, seat.user.key)

        try:
            check = partial(self.check_editor, seat)
            conflicts, kept = await self.keeper.bring_in(theirs, base, copy, seat.user.label, say, check)
            self.past.labels[seat.user.key] = seat.user.label
            if self._refusals:
                seat.last_edit = await self._heal()
        finally:
            if seat.number not in self.seats:
                self.left(seat)
        return MergedIn(self.store.position, conflicts, kept)

    async def decide(self, seat: Seat, keys: tuple[str, ...]) -> bool:
        self.check_editor(seat)
        if not 0 < len(keys) <= _MOST_DECIDED or any(len(key) > _KEY_CHARS for key in keys):
            raise InvalidInput("these are no conflicts of a document", hint=f"give the keys of 1 to {_MOST_DECIDED}")
        return await asyncio.shield(self.tasks.start(self._decide(seat, keys)))

    async def _decide(self, seat: Seat, keys: tuple[str, ...]) -> bool:
        if update := await self.document.decide(keys):
            seat.last_edit = await self._make_durable(None, update, seat.user.key)
        if self._refusals:
            seat.last_edit = await self._heal()
        if seat.number not in self.seats:
            self.left(seat)
        return bool(update)

    async def name_version(self, seat: Seat, name: str, position: int) -> Version:
        self.check_editor(seat)
        return await self.past.name(name, position)

    def writers(self) -> list[Storage]:
        """Best first: who made the latest unsaved edit, other editors, those who left unsaved edits, the service account."""
        return [*self._people(), *self._served()]

    def _served(self) -> list[Storage]:
        return [self._service] if self._service else []

    def _people(self) -> list[Storage]:
        editors = [(s.last_edit, s.number, s.backing.storage) for s in self.seats.values() if may_edit(s)]
        present = [storage for *_, storage in sorted(editors, key=lambda e: (-e[0], e[1]))]
        departed = [each.storage for each in sorted(self._departed, key=lambda each: (each.refusals, -each.last_edit))]
        return [*present, *departed]

    def readers(self) -> list[Storage]:
        """Whoever is here can say whether the file changed, those who may write first, the service account last."""
        viewers = [seat.backing.storage for seat in self.seats.values() if not may_edit(seat)]
        return [*self._people(), *viewers, *self._served()]

    def storage_refused(self, storage: Storage, error: CollabError) -> None:
        """Of those who left: whose credential has ended is let go, others are asked after those whom storage lets."""
        ended = isinstance(error, NotAuthenticated)
        departed = [each for each in self._departed if not (ended and each.storage is storage)]
        self._departed = [replace(e, refusals=e.refusals + 1) if e.storage is storage else e for e in departed]

    async def saved(self, position: int | None) -> Rendered | None:
        """The file as it was saved at `position`, None: last; None if that is not known any more."""
        if (saved := await self.past.saved(position)) is not None or position is not None:
            return saved
        all_saved = self.store.position <= int(self.store.meta.get("saved_position") or 0)
        return await self.document.render() if all_saved else None

    def left(self, seat: Seat) -> None:
        if may_edit(seat) and seat.last_edit > self.status.saved_position:
            others = [each for each in self._departed if each.storage.user.key != seat.user.key]
            self._departed = [*others, Departed(seat.last_edit, seat.backing.storage)][-_DEPARTED:]
        if seat.last_edit:
            self.tasks.start(self.past.introduce(seat.user))
        if not self.writers_present():
            self.tasks.start(self._finish())

    async def _finish(self) -> None:
        if not self.writers_present():
            await self.keeper.finish()

    def writers_present(self) -> bool:
        return any(may_edit(seat) for seat in self.seats.values())

    def published(self, state: SaveState) -> None:
        """The keeper's news. Credentials of people who left are dropped once what they wrote is saved."""
        self._departed = [each for each in self._departed if each.last_edit > state.saved_position]
        if state.saved_position >= self.status.position:
            self._unsaved_since = None
        elif state.saved_position > self.status.saved_position:
            self._unsaved_since = time.monotonic()
        self.set_status(
            saved_position=state.saved_position,
            saved_at=state.saved_at,
            saved_by=state.saved_by,
            etag=state.etag,
            problem=state.problem,
        )

    @property
    def unsaved_s(self) -> float:
        """Age in seconds of the oldest edit that is not in the file, 0 when all are."""
        return 0.0 if self._unsaved_since is None else time.monotonic() - self._unsaved_since

    def seats_changed(self) -> None:
        self.set_status(editors=sum(1 for seat in self.seats.values() if seat.role is Role.EDITOR))

    async def _recheck_for_ever(self) -> None:
        turns = asyncio.Semaphore(_RECHECKS_AT_ONCE)

        async def in_turn(seat: Seat) -> None:
            async with turns:
                await self.recheck(seat)

        for nth in count(1):
            await asyncio.sleep(self.limits.recheck_s)
            due = [seat for seat in self.seats.values() if may_edit(seat) or not nth % _READERS_EVERY]
            outcomes = await asyncio.gather(*map(in_turn, due), return_exceptions=True)
            for outcome in outcomes:
                if isinstance(outcome, Exception):
                    log.error("asking storage for a person's rights failed", exc_info=outcome)

    async def recheck(self, seat: Seat) -> None:
        """Asks storage again what this person may do, and acts on it. A storage that is away changes nothing."""
        try:
            role, reason = await seat.backing.recheck()
        except NotAuthenticated as error:
            if seat.number in self.seats:
                self.end(seat, error)
            return
        except (NotAuthorized, NotFound) as error:
            role, reason = Role.NONE, f"this document was deleted, or is no longer shared with you ({error.message})"
        except CollabError:
            return
        if seat.number in self.seats:
            self.set_role(seat, role, reason)

    async def renewed(self, seat: Seat) -> None:
        await self.recheck(seat)

    async def close(self) -> None:
        """Saves what can be saved in reasonable time, then lets go of everything. The store stays."""
        try:
            async with asyncio.timeout(self.limits.request_timeout_s):
                await self.keeper.finish()
        except TimeoutError:
            log.warning("%s could not be saved in time; its edits are in the store", self.name)
        finally:
            await self.tasks.cancel()
            await self.document.close()
            await self._close_store()

    async def _close_store(self) -> None:
        try:
            await self.store.flush()
        except StoreError as error:
            log.warning("the store of %s: %s", self.name, error)
        finally:
            await self.store.close()
