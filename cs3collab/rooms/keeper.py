"""Has the file say what the document says: when to save, how to go on after trouble, what to tell people. See also `filing`."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from cs3collab import telemetry
from cs3collab.errors import CollabError, LeaseLost, LockHeld, VersionConflict
from cs3collab.limits import DEFAULT, Limits
from cs3collab.locks.arbiter import Phase
from cs3collab.locks.lasting import lasting
from cs3collab.locks.lease import Lease
from cs3collab.rooms import saving
from cs3collab.rooms.filing import File, Filed, Theirs, Work
from cs3collab.rooms.merging import Merger
from cs3collab.rooms.pen import Pen
from cs3collab.rooms.ports import Document, Log, Rendered, Storage
from cs3collab.rooms.room import SaveResult
from cs3collab.rooms.saving import Base, Looks, Retry, SaveState, Schedule
from cs3collab.types import Etag, Ref
from ystore.errors import PositionGone, StoreError

__all__ = ["Keeper", "SaveResult", "SaveState"]

log = logging.getLogger(__name__)

_ROUNDS = 4
"""Times one save starts over when the file changes under it, before it backs off."""
NOTICE_S = 60.0
"""How long people are told of a conflict copy, seconds at least."""


@dataclass(slots=True)
class _Request:
    """One coming save, for everybody who asked for it. ``explicit``: a person did. ``look``: at the file itself in any case."""

    explicit: bool = False
    look: bool = False
    keep_version: bool = False
    task: asyncio.Task[SaveResult] | None = None


class Keeper:
    """The writer of one room's file.

    ``writers`` gives who may write, best first, ``readers`` who may read. ``saved`` gives the file as it was saved at a
    position, None: last; None if that is not known any more. ``broadcast`` logs and sends an update of the keeper's own.
    ``quiet`` tells whether the storage can be written without leaving a version each time. ``now`` is Unix seconds. With
    a `pen` only who has it writes the file; the others take over what is saved. ``refused`` hears whom the storage did not let.

    In ``log.meta`` it keeps ``base_etag`` and ``base_digest`` (the file as last saved, seeded from or merged),
    ``saved_position``, ``saved_at``, ``saved_by``, ``recent_saves``, and ``attempted_digest``: a write that began, known for
    ours after a crash.
    """

    def __init__(
        self,
        *,
        ref: Ref,
        name: str,
        document: Document,
        log: Log,
        writers: Callable[[], list[Storage]],
        readers: Callable[[], list[Storage]],
        saved: Callable[[int | None], Awaitable[Rendered | None]],
        lease: Lease,
        publish: Callable[[SaveState], None],
        broadcast: Callable[[bytes], Awaitable[None]],
        limits: Limits = DEFAULT,
        quiet: Callable[[], bool] = lambda: True,
        now: Callable[[], float] = time.time,
        retry: Retry | None = None,
        pen: Pen | None = None,
        refused: Callable[[Storage, CollabError], None] = lambda storage, error: None,
    ) -> None:
        self._ref = ref
        self._document = document
        self._log = log
        self._lease = lease
        self._pen = pen
        self._file = File(
            ref,
            name,
            log=log,
            digest=document.digest,
            writers=writers,
            readers=readers,
            lease=lease,
            limits=limits,
            refused=refused,
        )
        self._merger = Merger(document, log, self._file, broadcast=broadcast, saved=saved, now=now, limits=limits)
        self._publish = publish
        self._broadcast = broadcast
        self._limits = limits
        self._quiet = quiet
        self._now = now
        self._retry = retry or Retry()
        self._state = SaveState.of(log.meta)
        self._schedule = Schedule()
        self._looks = Looks(limits, time.monotonic() + limits.look_s)
        self._failures = 0
        self._down_since = 0.0
        self._notice = ("", 0.0)
        self._marking = False
        self._leave_at: float | None = None
        self._closed = False
        self._next: _Request | None = None
        self._tasks: set[asyncio.Task[SaveResult]] = set()
        self._busy = asyncio.Lock()
        self._wake = asyncio.Event()
        lease.changed = self._lock_changed

    @property
    def state(self) -> SaveState:
        return self._state

    async def catch_up(self, theirs: Theirs) -> None:
        """Before anybody is here: brings in what others wrote meanwhile. What people must decide waits until they are."""
        try:
            await self._merge(theirs, insist=False, whom="")
            self._publish(self._state)
            base, rendered = Base.of(self._log.meta), await self._document.render()
        except CollabError as error:
            log.info("%s: %s", self._ref, error)
            self._looks = Looks(self._limits, time.monotonic())
            return
        if rendered.digest == base.digest:
            await self._record(self._log.position, Filed(True, base.etag, base.digest), b"")

    async def bring_in(
        self,
        theirs: bytes,
        base: bytes | None,
        copy: str,
        who: str,
        say: Callable[[bytes], Awaitable[None]],
        check: Callable[[], None],
    ) -> tuple[int, str]:
        """Another version of the document that is not the file: how many changes conflict, and where it is kept if any do."""
        async with self._busy:
            check()
            return await self._merger.bring_in(Theirs(Etag(""), self._now(), theirs, who), base, copy, say, check)

    def touched(self, position: int) -> None:
        """A durable update moved the position."""
        if position <= self._state.saved_position:
            return
        self._schedule = self._schedule.touched(time.monotonic())
        if not self._marking:
            self._leave_at = None
            self._looks = self._looks.sooner(time.monotonic())
        self._wake.set()

    async def save(self, *, keep_version: bool) -> SaveResult:
        """Saves now. Joins a save that has not begun yet. Never raises for trouble with the storage: the result says it.

        ``success`` also if nothing had to be written, after a look at the file: stock frontends show ``skipped`` as an error.
        """
        return await self._ask(explicit=True, keep_version=keep_version)

    async def finish(self) -> None:
        """The last editor left: saves now. `run` gives up the lease after `Limits.lease_grace_s`, unless somebody edits."""
        self._leave_at = time.monotonic() + self._limits.lease_grace_s
        await self._ask(explicit=False, keep_version=False)
        self._wake.set()

    def stay(self) -> None:
        """An editor came: the lease is not given up."""
        self._leave_at = None

    async def look(self) -> None:
        """Takes over what others saved, now."""
        async with self._busy:
            pass  # what is under way may have looked earlier
        await self._look()

    def pen_changed(self) -> None:
        """This room follows others from now on, or does not any more."""
        if not self._follows():
            self._schedule = self._schedule.at_once()
            self._say(problem="", holder="")
            self._say_lock()
        self._looks = Looks(self._limits, time.monotonic())
        self._wake.set()

    def _follows(self) -> str:
        """Who edits the file elsewhere, in words; empty if people do here."""
        return self._pen.stand.whom if self._pen is not None and self._pen.stand.following else ""

    async def run(self) -> None:
        """Saves when it is time and refreshes the lease. Cancelling it ends a save under way and gives up the lease."""
        if self._log.position > self._state.saved_position:
            self._schedule = self._schedule.touched(time.monotonic())
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._lease.run(self._stumbled))
                group.create_task(lasting(f"saving {self._ref}", self._work, self._stumbled))
                if self._pen is not None:
                    group.create_task(self._pen.run(self._stumbled))
        finally:
            self._closed = True
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._lease.release()

    async def _work(self) -> None:
        self._wake.clear()
        due = self._schedule.due(self._limits, quiet=self._quiet())
        leave_at = self._leave_at if self._lease.held else None
        now = time.monotonic()
        if due is not None and due <= now:
            await self._ask(explicit=False, keep_version=False)
        elif self._looks.at <= now:
            await self._look()
        elif leave_at is not None and leave_at <= now:
            async with self._busy:
                await self._lease.release()
        else:
            times = [at for at in (due, leave_at, self._looks.at) if at is not None]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(times) - now):
                    await self._wake.wait()

    def _stumbled(self, error: Exception) -> None:
        """What failed is not done again at once, and no edit is forgotten."""
        now = time.monotonic()
        self._looks = self._looks.looked(now, changed=False)
        if self._log.position > self._state.saved_position:
            self._schedule = self._schedule.touched(now)
        problem = saving.unforeseen(error)
        self._notice = (problem, now + NOTICE_S)
        self._say(problem=problem)

    def _lock_changed(self) -> None:
        """Somebody else's lock came, changed or went."""
        blocker = self._lease.blocker if self._lease.phase is Phase.BLOCKED else None
        self._file.locked_by(blocker.holder.label if blocker and blocker.holder else "", self._now())
        if self._pen is not None:
            self._pen.lock_changed()
        if not self._follows():
            self._say_lock()
        self._wake.set()

    def _say_lock(self) -> None:
        if self._lease.phase is Phase.BLOCKED:
            trouble = saving.trouble(self._lease.refusal(), self._lease.blocker)
            self._say(problem=trouble.problem, holder=trouble.holder)
        elif self._state.holder:
            self._schedule = self._schedule.succeeded()
            self._say(problem="", holder="")

    async def _look(self) -> None:
        """Whether others changed the file; it costs one Stat. What cannot be seen now is seen at the next look, or save."""
        info = None if self._busy.locked() else await self._file.look()
        taken = False
        if self._notice[0] and not (self._failures or self._state.holder) and time.monotonic() > self._notice[1]:
            self._notice = ("", 0.0)
            self._say(problem="")
        if info is not None:
            self._lease.seen(info)
        if info is not None and info.etag != self._log.meta.get("base_etag"):
            taken = (await self._ask(explicit=False, look=True, keep_version=False)).status == "success"
        follows = bool(self._follows()) and not self._failures
        self._looks = self._looks.looked(time.monotonic(), changed=taken or follows)

    async def _ask(self, *, explicit: bool, keep_version: bool, look: bool = False) -> SaveResult:
        if self._closed:
            return self._result("failed", "the document is being closed")
        if (request := self._next) is None:
            request = self._next = _Request()
            request.task = asyncio.create_task(self._turn(request))
            self._tasks.add(request.task)
            request.task.add_done_callback(self._tasks.discard)
        request.explicit |= explicit
        request.keep_version |= keep_version
        request.look |= look or explicit
        assert request.task is not None
        try:
            return await asyncio.shield(request.task)
        except asyncio.CancelledError:
            me = asyncio.current_task()
            if request.task.cancelled() and me is not None and not me.cancelling():
                return self._result("failed", "the document is being closed")
            raise

    def _result(self, status: str, message: str) -> SaveResult:
        return SaveResult(status, self._state.saved_position, self._state.etag, message)

    async def _turn(self, request: _Request) -> SaveResult:
        async with self._busy:
            self._next = None
            before, self._schedule = self._schedule, self._schedule.started()
            try:
                outcome = await self._save(request)
            except (CollabError, StoreError, OSError) as error:
                return self._failed(error, before)
            except Exception as error:  # saving must go on whatever happened here
                log.exception("saving %s", self._ref)
                return self._failed(error, before)
            finally:
                self._wake.set()
            return self._succeeded(outcome)

    async def _save(self, request: _Request) -> str:
        """Raises why it could not; returns the outcome as telemetry names it."""
        trouble: CollabError = VersionConflict(
            "the file is changed by others faster than it can be saved", hint="edits are kept"
        )
        outcome = ""
        for _ in range(_ROUNDS):
            position = self._log.position
            rendered = await self._document.render()
            base = Base.of(self._log.meta)
            due = position > self._state.saved_position and rendered.digest != base.digest
            whom = self._follows()
            if not (due or request.look or self._failures):
                await self._record(position, Filed(True, base.etag, base.digest), b"")
                return "unchanged"
            work = Work(rendered, base, due and not whom and self._file.writable, request.keep_version)
            try:
                filed = await self._file.file(work)
            except LeaseLost as lost:
                trouble = lost
                continue
            if filed.theirs:
                await self._merge(filed.theirs, insist=request.explicit, whom=whom)
                outcome = "merged"
            elif filed.done and due and not work.due:
                raise saving.waiting(whom) if whom else saving.refused(())
            elif filed.done:
                await self._record(position, filed, rendered.content)
                return outcome or ("saved" if filed.writer else "unchanged")
        raise trouble

    async def _merge(self, theirs: Theirs, *, insist: bool, whom: str) -> None:
        if notice := await self._merger.merge(theirs, insist=insist, whom=whom):
            self._notice = (notice, time.monotonic() + NOTICE_S)
        self._state = replace(self._state, saved_position=int(self._log.meta.get("saved_position") or 0))

    def _succeeded(self, outcome: str) -> SaveResult:
        telemetry.SAVES.labels(outcome).inc()
        self._failures = 0
        self._schedule = self._schedule.succeeded()
        if self._log.position <= self._state.saved_position:
            self._schedule = self._schedule.started()
        notice, until = self._notice
        if time.monotonic() > until:
            self._notice = ("", 0.0)
            notice = ""
        self._say(problem=notice, holder="")
        return self._result("success", notice)

    def _failed(self, error: Exception, before: Schedule) -> SaveResult:
        telemetry.SAVES.labels("locked" if isinstance(error, LockHeld) else "failed").inc()
        if isinstance(error, LockHeld) and (whom := self._follows()):
            error = saving.waiting(whom)
        now = time.monotonic()
        if not self._failures:
            self._down_since = now
            log.warning("%s is not saved: %s", self._ref, error)
        self._failures += 1
        trouble = saving.trouble(error, self._lease.blocker)
        delay = self._retry.delay(self._failures, now - self._down_since, random.random(), slow=trouble.slow)
        if trouble.not_after is not None:
            delay = min(delay, max(self._retry.first_s, trouble.not_after - self._now()))
        self._schedule = self._schedule.failed(before, now + delay)
        self._say(problem=trouble.problem, holder=trouble.holder)
        return self._result("failed", trouble.problem)

    def _say(self, **changes: str | int | float) -> None:
        state = replace(self._state, **changes)  # type: ignore[arg-type]
        if state != self._state:
            self._state = state
            self._publish(state)

    async def _record(self, position: int, filed: Filed, content: bytes) -> None:
        """The file holds the document as of ``position``; if we wrote it now, as `content`."""
        saved = {"saved_position": str(position), "base_etag": filed.etag, "base_digest": filed.digest, "attempted_digest": ""}
        if filed.writer:
            saved |= {"saved_at": repr(self._now()), "saved_by": filed.writer}
        if filed.etag != self._log.meta.get("base_etag") or filed.writer:
            saved["recent_saves"] = saving.with_recent(self._log.meta, position, self._now())
        await self._note_base(position, saved)
        written = self._merger.saw(filed.etag) or (content if filed.writer else b"")
        if (marked := await self._mark_saved(position, written)) != position:
            await self._note({"saved_position": str(marked)})
        if filed.writer:
            self._schedule = self._schedule.written(time.monotonic())
        at = float(saved.get("saved_at", self._state.saved_at))
        self._say(saved_position=marked, etag=filed.etag, saved_at=at, saved_by=filed.writer or self._state.saved_by)

    async def _note_base(self, position: int, saved: dict[str, str]) -> None:
        """The state at `position` stays to be had: what others do to the file is compared with it."""
        if any(self._log.meta.get(key, "") != value for key, value in saved.items()):
            try:
                await self._log.set_base(position, saved["base_etag"], saved)
            except PositionGone:  # compaction was faster than a long save
                await self._log.set_meta(saved)

    async def _note(self, values: dict[str, str]) -> None:
        if any(self._log.meta.get(key, "") != value for key, value in values.items()):
            await self._log.set_meta(values)

    async def _mark_saved(self, position: int, written: bytes) -> int:
        """Notes in the document what was written, and that nothing is unsaved if so; the position saved then."""
        self._marking = True
        try:
            content_hash = (await asyncio.to_thread(hashlib.sha256, written)).hexdigest() if written else ""
            clean = self._log.position == position
            if not (update := await self._document.mark_saved(content_hash, clean=clean)):
                return position
            await self._broadcast(update)
        except CollabError as error:
            log.info("the file is saved, but the document could not be told: %s", error)
            return position
        finally:
            self._marking = False
        # If exactly one update came, it is ours, and it changes nothing in the file.
        return position + 1 if self._log.position == position + 1 else position
