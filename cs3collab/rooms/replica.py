"""A room whose authority is elsewhere: forwards edits up, spreads what comes down, keeps an outbox until durability."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from cs3collab.errors import (
    CollabError,
    EditsRefused,
    LineageDiverged,
    NotAuthenticated,
    NotAuthorized,
    NotFound,
    Overloaded,
    PeerUnavailable,
    Unavailable,
)
from cs3collab.limits import Limits
from cs3collab.rooms import takeback
from cs3collab.rooms.history import NewDocument
from cs3collab.rooms.lib0 import decode_state_vector, lacks
from cs3collab.rooms.ports import Applied, Document, Outlet
from cs3collab.rooms.presence import REMOTE
from cs3collab.rooms.room import Held, Room, SaveResult, Seat, Snapshot
from cs3collab.rooms.upstream import Rescue, Upstream, nowhere
from cs3collab.types import History, Lineage, MergedIn, Restored, Role, RoomId, RoomStatus, Version

log = logging.getLogger(__name__)

RETRY_S = 2.0
SETTLE_S = 0.2
"""After which it is looked again whether all that people typed was taken or refused; ever later, up to `RETRY_S`."""
BEHIND_S = 0.02
"""How long this copy of the document may wait for the processor while edits pass through."""


class Replica(Room):
    """Goes on for who is in it while the authority is away; what they made meanwhile goes up on reconnection.

    When it turns out to hold another history than the authority, it ends: everybody is sent away to come back to a new one.
    """

    def __init__(
        self,
        room_id: RoomId,
        *,
        name: str,
        document: Document,
        status: RoomStatus,
        upstream: Upstream,
        new_document: NewDocument,
        limits: Limits,
        rescue: Rescue = nowhere,
    ) -> None:
        super().__init__(room_id, name=name, document=document, status=status, limits=limits)
        self._upstream = upstream
        self._new_document = new_document
        self._rescue = rescue
        self._followed = False
        self._pauses = 0
        self._history: list[bytes] = []
        self._history_bytes = 0
        self._early = Held()
        self._behind: list[tuple[int, bytes, str]] = []
        self._behind_bytes = 0
        self._news = asyncio.Event()
        self._syncing = asyncio.Lock()
        self._retrying = False
        self._untaken = b""
        self._patience_s = SETTLE_S
        self._unsettled: list[Seat] = []
        """Whose edits are neither taken nor refused, each as often."""
        self._refused: list[tuple[Seat, bytes, CollabError]] = []
        """What this copy holds and the authority did not take for want of a right, of whom, and why."""
        self._astray = False
        """This copy may hold what the authority did not take and nobody sends again."""
        self.on_diverged: Callable[[Replica], None] = lambda replica: None

    async def open(self) -> None:
        """First synchronisation. Raises `Unavailable`."""
        snapshot, status = await self._upstream.sync(str(self.id), Lineage(""), b"")
        self.status = status
        await self.document.load([snapshot.update])
        self._remember(snapshot.update)
        self._goes_on()
        self.tasks.start(self._apply_incoming())
        self.tasks.start(self._compare_for_ever())

    async def history(self) -> list[bytes]:
        """Everything the document was made of: what a new worker loads.

        Without what only waits in the outbox: the worker may have died of just that.
        """
        return list(self._history)

    def _pending(self) -> list[bytes]:
        return [update for seat in self.seats.values() for update in seat.backing.pending()]

    @property
    def unacked_bytes(self) -> int:
        """What waits here for the authority."""
        return sum(seat.backing.outbox_bytes for seat in self.seats.values())

    def _remember(self, update: bytes) -> None:
        self._history.append(update)
        self._history_bytes += len(update)

    async def _shorten_history(self) -> None:
        if len(self._history) < 1000 and self._history_bytes < 2 * len(self._history[0]) + 2**20:
            return
        if self._unsettled or self._refused:  # which must stay apart from the rest
            return
        kept = len(self._history)
        whole = await self.document.diff(b"")
        self._history[:kept] = [whole]
        self._history_bytes = sum(map(len, self._history))

    async def submit(self, seat: Seat, update: bytes) -> int:
        self.check(seat, update)
        if self.unacked_bytes + len(update) > self.limits.outbox_bytes:
            raise Overloaded("too many edits wait for the home site", hint="keep this page open until it is reachable again")
        # Up first: the local worker is not on the way to the authority.
        durable = asyncio.ensure_future(seat.backing.push(update))
        self._unsettled.append(seat)
        try:
            if not self._others(seat.outlet):
                await asyncio.wait({durable}, timeout=BEHIND_S)
            if await self.validated(seat, update) is not Applied.KNOWN:
                self._remember(update)
                self.broadcast(seat.outlet, self.status.position, update, seat.user.key)
            try:
                position: int = await durable
            except CollabError as error:
                self._astray = True
                if isinstance(error, NotAuthorized | NotAuthenticated | NotFound):
                    self._refused.append((seat, update, error))
                raise
        except BaseException as error:
            durable.cancel()
            if isinstance(error, CollabError) and not isinstance(error, Unavailable | Overloaded):
                self._resync_later(RETRY_S)  # this copy may hold what the authority refused
            raise
        finally:
            self._unsettled.remove(seat)
        self.moved(position)
        return position

    def _others(self, outlet: Outlet) -> bool:
        """Whether anybody beside `outlet` follows this copy."""
        return any(other is not outlet for other in (*self._outlets, *self._joining))

    async def sync(self, outlet: Outlet, state_vector: bytes) -> Snapshot:
        """As `Room.sync`; what was told here and is not in the document yet comes after the snapshot."""
        held = self._joining.setdefault(outlet, Held())
        for position, update, author in self._behind:
            held.add(position, update, author, self.limits.outlet_bytes)
        return await super().sync(outlet, state_vector)

    async def save(self, seat: Seat) -> SaveResult:
        result: SaveResult = await seat.backing.save()
        return result

    async def versions(self, seat: Seat, at: float = 0.0) -> History:
        self.check_present(seat)
        history: History = await seat.backing.versions(at)
        return history

    async def version(self, seat: Seat, position: int) -> bytes:
        self.check_present(seat)
        content: bytes = await seat.backing.version(position)
        return content

    async def restore(self, seat: Seat, position: int) -> Restored:
        self.check_editor(seat)
        restored: Restored = await seat.backing.restore(position)
        return restored

    async def merge(self, seat: Seat, theirs: bytes, base: bytes | None = None, copy: str = "") -> MergedIn:
        self.check_editor(seat)
        merged: MergedIn = await seat.backing.merge(theirs, base, copy)
        return merged

    async def decide(self, seat: Seat, keys: tuple[str, ...]) -> bool:
        self.check_editor(seat)
        decided: bool = await seat.backing.decide(keys)
        return decided

    async def name_version(self, seat: Seat, name: str, position: int) -> Version:
        self.check_editor(seat)
        version: Version = await seat.backing.name_version(name, position)
        return version

    def left(self, seat: Seat) -> None:
        seat.backing.close()
        if not self.seats:
            self._pause()

    def _pause(self) -> None:
        """From now on the authority tells nothing, also if the answer to a question from before is still to come."""
        self._followed = False
        self._pauses += 1
        self._say(self.presence.leave(REMOTE), None)

    async def follow(self) -> None:
        """The authority tells its news only while somebody sits here; who comes after a pause has to be brought up to date."""
        async with self._syncing:
            if not self._followed:
                await self._try_resync()

    def awareness(self, seat: Seat, update: bytes) -> None:
        super().awareness(seat, update)
        seat.backing.awareness(update)

    def on_update(self, position: int, update: bytes, author: str) -> None:
        """From the authority, already valid: spread first, apply behind.

        What comes after a pause builds upon the answer to `_resync`, which may still be on its way through this process: it
        waits for that, for copies that get updates in the wrong order have to put them right (and yrs 0.28 may fail to).
        """
        if not self._followed:
            self._early.add(position, update, author, self.limits.outlet_bytes)
            return
        self.moved(position)
        self.broadcast(None, position, update, author)
        self._behind.append((position, update, author))
        self._behind_bytes += len(update)
        self._news.set()
        if self._behind_bytes > self.limits.outlet_bytes:
            self._behind, self._behind_bytes = [], 0
            self._followed = False
            self._resync_later(0)

    async def _apply_incoming(self) -> None:
        """Some at a time, so that the worker does not take the processor from those who carry an edit on its way."""
        while True:
            await self._news.wait()
            await asyncio.sleep(BEHIND_S)
            self._news.clear()
            batch = list(self._behind)
            for _, update, _ in batch:
                self._remember(update)
            try:
                await asyncio.gather(*(self._apply(update) for _, update, _ in batch))
            except CollabError as error:
                await self.diverge(
                    PeerUnavailable(
                        f"an edit from the home site cannot be applied here: {error.message}", hint="reload the page"
                    )
                )
                return
            self._applied(batch)
            await self._shorten_history_if_possible()

    def _applied(self, batch: list[tuple[int, bytes, str]]) -> None:
        """Takes `batch` off what is behind, unless that was given up meanwhile."""
        if self._behind[: len(batch)] == batch:
            del self._behind[: len(batch)]
            self._behind_bytes -= sum(len(update) for _, update, _ in batch)

    async def _apply(self, update: bytes) -> Applied:
        """However long the worker takes to come back. Raises `UpdateRejected`."""
        while True:
            try:
                return await self.document.apply(update)
            except (Unavailable, Overloaded):
                await asyncio.sleep(RETRY_S)

    async def _shorten_history_if_possible(self) -> None:
        try:
            await self._shorten_history()
        except (Unavailable, Overloaded) as error:
            log.info("the history of %s stays long for now: %s", self.name, error)

    def on_awareness(self, update: bytes) -> None:
        self._say(self.presence.offer(update, owner=REMOTE), None)

    def on_status(self, status: RoomStatus) -> None:
        """The next hop's news; ``online`` too, for it may itself be cut off from the authority."""
        self.set_status(**{name: getattr(status, name) for name in RoomStatus.__slots__ if name not in ("lineage", "position")})
        self.moved(status.position)

    def on_offline(self, reason: str) -> None:
        """The authority cannot be reached: edits go on, are kept here, and everybody elsewhere is gone from sight."""
        self._pause()
        self.set_status(online=False, problem=reason)

    async def resync(self) -> None:
        """Compares with the authority and makes both whole. Raises nothing: what fails is tried again, or ends the room."""
        async with self._syncing:
            await self._try_resync()

    async def _try_resync(self) -> None:
        pauses = self._pauses
        try:
            await self._resync(pauses)
        except (Unavailable, Overloaded) as error:
            self.set_status(online=False, problem=error.message)
            self._resync_later(RETRY_S)
        except LineageDiverged as error:
            await self.diverge(error)
        except CollabError as error:
            if pauses != self._pauses:  # asked for seats that are gone; who came since asks again
                return
            await self.diverge(PeerUnavailable(f"the home site cannot be followed: {error.message}", hint="connect again"))

    def _resync_later(self, delay: float) -> None:
        async def later() -> None:
            await asyncio.sleep(delay)
            self._retrying = False
            if self.seats:
                await self.resync()

        if not self._retrying:
            self._retrying = True
            self.tasks.start(later())

    async def _resync(self, pauses: int) -> None:
        """Raises what the authority or the worker says."""
        state = await self.document.state()
        self._early = Held()
        snapshot, status = await self._upstream.sync(str(self.id), self.lineage, state)
        if status.lineage != self.lineage:
            raise LineageDiverged("the document was started anew at its home site", hint="reload the page")
        if await self._apply(snapshot.update) is not Applied.KNOWN:
            self._remember(snapshot.update)
            self.broadcast(None, snapshot.position, snapshot.update, "")
        if pauses == self._pauses:
            self._goes_on()
        self.status = replace(status, position=max(status.position, self.status.position))
        for outlet in list(self._outlets):
            outlet.status(self.status)
        for seat in self.seats.values():
            if said := self.presence.said_by(seat.number):
                seat.backing.awareness(said)
        await self._push_what_lacks(snapshot.state_vector, state)

    def _goes_on(self) -> None:
        """Whole again: from here on news pass through as they come."""
        early, self._early = self._early, Held()
        self._followed = True
        for position, update, author in early.updates:
            self.on_update(position, update, author)
        if early.size > self.limits.outlet_bytes:
            self._resync_later(0)

    async def _push_what_lacks(self, theirs: bytes, ours: bytes) -> None:
        """What the authority lost or never got and no outbox holds: others' edits may rest on it.

        That goes up in the name of some editor, so it must be nothing that another one was refused, or may yet be.
        """
        if self._refused:
            await self._take_back()
            return
        known = decode_state_vector(theirs)
        if not lacks(known, decode_state_vector(ours)):
            self._untaken, self._patience_s, self._astray = b"", SETTLE_S, False
            return
        editor = self._an_editor()
        if editor is not None and self._unsettled:
            self._when_settled()
        elif editor is not None:
            self._patience_s = SETTLE_S
            pushed = asyncio.ensure_future(editor.backing.push(await self.document.diff(theirs)))
            pushed.add_done_callback(self._pushed)
        elif not self._untaken or self._pending():
            # The next hop tells first and applies behind, so once proves nothing.
            self._untaken = ours
            self._resync_later(RETRY_S)
        elif lacks(known, decode_state_vector(self._untaken)):
            await self._not_taken()

    def _an_editor(self) -> Seat | None:
        return next((seat for seat in self.seats.values() if seat.role is Role.EDITOR), None)

    async def _take_back(self) -> None:
        """What was refused of some is taken out here, and they keep their page as it is; or nobody can go on with this copy."""
        refused = list(self._refused)
        people = {seat.user.key for seat, _, _ in refused}
        if any(seat.user.key in people for seat in self._unsettled):
            self._when_settled()  # more of theirs is about to be refused
            return
        home, _ = await self._upstream.sync(str(self.id), self.lineage, b"")
        copy = takeback.Copy(self.document.kind, home.update, list(self._history), [update for _, update, _ in refused])
        try:
            change = await takeback.taking_back(copy, self.document, self._new_document)
        except EditsRefused as error:
            await self.diverge(error, always_keep=True)
            return
        if change is not None and all(seat.user.key in people for seat in self.seats.values() if seat.role is Role.EDITOR):
            await self._not_taken()
            return
        if change is not None:
            await self._tell_refused({seat: error for seat, _, error in refused})
            if change.update:
                await self._apply(change.update)
                self._tell(change.update)
            async for update in change.notes(self.document):
                self._tell(update)
        del self._refused[: len(refused)]
        self._resync_later(SETTLE_S)

    def _tell(self, update: bytes) -> None:
        """Of a change of this copy's own; empty if there was none."""
        if update:
            self._remember(update)
            self.broadcast(None, self.status.position, update, "")

    def _when_settled(self) -> None:
        self._resync_later(self._patience_s)
        self._patience_s = min(2 * self._patience_s, RETRY_S)

    async def _tell_refused(self, people: dict[Seat, CollabError]) -> None:
        where = await self._rescued()
        for seat, error in people.items():
            if seat.number in self.seats:
                kept = f"it is kept {where}; " if where else ""
                hint = f"{kept}create a copy to keep what you see, then open the document again"
                self.end(seat, NotAuthorized(f"the home site did not take what you typed last: {error.message}", hint=hint))

    def detached(self, seat: Seat, error: CollabError) -> None:
        """The next hop sends this person away; or everybody, for what this copy holds must not come up again."""
        if isinstance(error, EditsRefused) and seat.number in self.seats:
            self.tasks.start(self.diverge(error))
        else:
            self.end(seat, error)

    def _pushed(self, push: asyncio.Future[int]) -> None:
        """The outbox tries again what may pass later; what the authority refuses for good, nobody may go on to build upon."""
        if not push.cancelled() and push.exception() is not None and self.seats:
            self.tasks.start(self._not_taken())

    async def _not_taken(self) -> None:
        await self.diverge(
            LineageDiverged("the home site did not take what was typed here", hint="reload the page"), always_keep=True
        )

    async def _compare_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self.limits.anti_entropy_s)
            if self.seats and not self._behind:
                await self.resync()

    async def diverge(self, error: CollabError, *, always_keep: bool = False) -> None:
        """This copy and the authority's have parted: what only this one has is kept aside, and who is here comes back fresh."""
        log.warning("%s: %s", self.name, error)
        if always_keep or self._astray or self._pending():
            if isinstance(error, LineageDiverged) and await self._brought_in():
                error = LineageDiverged(error.message, hint="what you typed last was brought in: load the document again")
            elif where := await self._rescued():
                hint = f"{error.hint}; " if isinstance(error, EditsRefused) else ""
                error = type(error)(error.message, hint=f"{hint}what you typed last is kept {where}")
            self._astray = False
        self.on_diverged(self)
        for seat in list(self.seats.values()):
            self.end(seat, error)

    async def _brought_in(self) -> bool:
        """Whether the authority took what this copy says into its own history, by content."""
        editor = self._an_editor()
        refused = self._refused or any(seat.role < Role.EDITOR for seat in self._unsettled)
        if editor is None or refused:  # it may say what others have no right to say
            return False
        try:
            async with asyncio.timeout(self.limits.request_timeout_s):
                await editor.backing.merge((await self.document.render()).content, None, "")
        except (CollabError, TimeoutError) as error:
            log.info("what was typed into %s was not brought in: %s", self.name, error)
            return False
        return True

    async def _rescued(self) -> str:
        """Where the document now is kept aside, in words."""
        try:
            where = await self._rescue(self.name, (await self.document.render()).content)
        except CollabError as error:
            log.error("what was typed into %s never got home, and cannot be kept aside: %s", self.name, error)
            return ""
        log.warning("what was typed into %s and never got home is %s", self.name, f"kept {where}" if where else "lost")
        return where

    async def close(self) -> None:
        """What nobody waits for any more and never got home is kept aside."""
        await self.tasks.cancel()
        self._upstream.forget(self)
        if self._astray or self._pending():
            await self._rescued()
        await self.document.close()
