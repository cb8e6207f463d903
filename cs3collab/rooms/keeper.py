"""Has the file say what the document says: renders, saves under a lease, and never overwrites what it has not seen."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from cs3collab import telemetry
from cs3collab.errors import (
    AlreadyExists,
    CollabError,
    LeaseLost,
    LockHeld,
    NotAuthenticated,
    NotAuthorized,
    NotFound,
    Unsupported,
    VersionConflict,
)
from cs3collab.limits import DEFAULT, Limits
from cs3collab.locks.lease import Lease
from cs3collab.rooms import saving
from cs3collab.rooms.ports import Document, Log, Rendered, Storage
from cs3collab.rooms.room import SaveResult
from cs3collab.rooms.saving import Base, Retry, SaveState, Schedule, Theirs
from cs3collab.types import FileInfo, NotLatest, Ref, Role, Written
from ystore.errors import StoreError

__all__ = ["Keeper", "SaveResult", "SaveState"]

log = logging.getLogger(__name__)

_ROUNDS = 4
"""Times one save starts over when the file changes under it, before it backs off."""
_COPIES = 20
"""Conflict copies of one second, at most."""
NOTICE_S = 60.0
"""How long people are told of a conflict copy, seconds at least."""


@dataclass(slots=True)
class _Request:
    """One coming save, for everybody who asked for it. ``explicit``: a person did, so the file itself is looked at."""

    explicit: bool = False
    keep_version: bool = False
    task: asyncio.Task[SaveResult] | None = None


@dataclass(frozen=True, slots=True)
class _Work:
    """What one save is to bring into the file."""

    position: int
    rendered: Rendered
    base: Base
    keep_version: bool

    @property
    def clean(self) -> bool:
        """The file needs no writing, as far as we know it."""
        return self.rendered.digest == self.base.digest


class Keeper:
    """The writer of one room's file.

    ``writers`` gives who may write, best first. ``broadcast`` logs and sends an update of the keeper's own. ``now`` is Unix seconds.
    ``log.meta`` holds ``base_etag`` and ``base_digest`` (the file the document was seeded from or last saved as).
    """

    def __init__(
        self,
        *,
        ref: Ref,
        name: str,
        document: Document,
        log: Log,
        writers: Callable[[], list[Storage]],
        lease: Lease,
        publish: Callable[[SaveState], None],
        broadcast: Callable[[bytes], Awaitable[None]],
        limits: Limits = DEFAULT,
        now: Callable[[], float] = time.time,
        retry: Retry | None = None,
    ) -> None:
        self._ref = ref
        self._name = name
        self._document = document
        self._log = log
        self._writers = writers
        self._lease = lease
        self._publish = publish
        self._broadcast = broadcast
        self._limits = limits
        self._now = now
        self._retry = retry or Retry()
        self._state = SaveState.of(log.meta)
        self._schedule = Schedule()
        self._failures = 0
        self._down_since = 0.0
        self._notice = ("", 0.0)
        self._edited = False
        self._marking = False
        self._next: _Request | None = None
        self._tasks: set[asyncio.Task[SaveResult]] = set()
        self._busy = asyncio.Lock()
        self._wake = asyncio.Event()
        self._touch = asyncio.Event()

    @property
    def state(self) -> SaveState:
        return self._state

    def touched(self, position: int) -> None:
        """A durable update moved the position."""
        if position <= self._state.saved_position:
            return
        waiting = self._schedule.first is not None
        self._schedule = self._schedule.touched(time.monotonic())
        if not self._marking:
            self._edited = True
        self._touch.set()
        if not waiting:
            self._wake.set()

    async def save(self, *, keep_version: bool) -> SaveResult:
        """Saves now. Joins a save that has not begun yet. Never raises for trouble with the storage: the result says it.

        ``success`` also if nothing had to be written, after a look at the file: the stock frontend shows ``skipped`` as an error.
        """
        return await self._ask(explicit=True, keep_version=keep_version)

    async def run(self) -> None:
        """Saves when it is time and refreshes the lease; cancelled to stop, which ends a save under way."""
        if self._log.position > self._state.saved_position:
            self._schedule = self._schedule.touched(time.monotonic())
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._lease.run())
                group.create_task(self._save_when_due())
        finally:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def finish(self) -> None:
        """The last editor left: saves, waits `Limits.lease_grace_s` for somebody to come back, then gives up the lease.

        Returns without releasing as soon as somebody edits again.
        """
        result = await self._ask(explicit=False, keep_version=False)
        self._touch.clear()
        if result.status == "success" and self._schedule.first is not None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.lease_grace_s):
                await self._touch.wait()
                return
        await self._lease.release()

    async def close(self) -> None:
        """The room ends: saves and gives up the lease, without grace."""
        await self._ask(explicit=False, keep_version=False)
        await self._lease.release()

    async def _save_when_due(self) -> None:
        while True:
            self._wake.clear()
            due = self._schedule.due(self._limits)
            if due is not None and due <= time.monotonic():
                await self._ask(explicit=False, keep_version=False)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else due - time.monotonic()):
                    await self._wake.wait()

    async def _ask(self, *, explicit: bool, keep_version: bool) -> SaveResult:
        if (request := self._next) is None:
            request = self._next = _Request()
            request.task = asyncio.create_task(self._turn(request))
            self._tasks.add(request.task)
            request.task.add_done_callback(self._tasks.discard)
        request.explicit |= explicit
        request.keep_version |= keep_version
        assert request.task is not None
        try:
            return await asyncio.shield(request.task)
        except asyncio.CancelledError:
            me = asyncio.current_task()
            if request.task.cancelled() and me is not None and not me.cancelling():
                return SaveResult("failed", self._state.saved_position, self._state.etag, "the document is being closed")
            raise

    async def _turn(self, request: _Request) -> SaveResult:
        async with self._busy:
            self._next = None
            before, self._schedule = self._schedule, self._schedule.started()
            try:
                outcome = await self._save(request)
            except (CollabError, StoreError, OSError) as error:
                return self._failed(error, before)
            finally:
                self._wake.set()
            return self._succeeded(outcome)

    def _succeeded(self, outcome: str) -> SaveResult:
        telemetry.SAVES.labels(outcome).inc()
        self._failures = 0
        self._schedule = self._schedule.succeeded()
        if self._log.position <= self._state.saved_position:
            self._schedule = self._schedule.started()
        notice, until = self._notice
        if time.monotonic() > until:
            self._notice = notice, until = "", 0.0
        self._say(problem=notice, holder="")
        return SaveResult("success", self._state.saved_position, self._state.etag, notice)

    def _failed(self, error: Exception, before: Schedule) -> SaveResult:
        telemetry.SAVES.labels("locked" if isinstance(error, LockHeld) else "failed").inc()
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
        return SaveResult("failed", self._state.saved_position, self._state.etag, trouble.problem)

    def _say(self, **changes: str | int | float) -> None:
        state = replace(self._state, **changes)  # type: ignore[arg-type]
        if state != self._state:
            self._state = state
            self._publish(state)

    async def _save(self, request: _Request) -> str:
        """Raises why it could not; returns the outcome as telemetry names it."""
        outcome = "unchanged"
        for _ in range(_ROUNDS):
            position = self._log.position
            rendered = await self._document.render()
            work = _Work(position, rendered, Base.of(self._log.meta), request.keep_version)
            if work.clean and not request.explicit and not self._failures:
                await self._record(work, work.base.etag)
                return outcome
            if done := await self._by_somebody(work):
                return done
        raise VersionConflict("the file is changed by others faster than it can be saved", hint="edits are kept here")

    async def _by_somebody(self, work: _Work) -> str:
        """The first writer whom the storage lets write; empty if the file changed meanwhile."""
        refusals: list[CollabError] = []
        for storage in self._writers():
            try:
                return await self._by(storage, work)
            except (NotAuthorized, NotAuthenticated, NotFound) as error:
                refusals.append(error)
        raise saving.refused(refusals)

    async def _by(self, storage: Storage, work: _Work) -> str:
        lock_id = "" if work.clean else await self._lease.acquire(storage)
        info = await storage.stat(self._ref)
        if info.role < Role.EDITOR:
            raise NotAuthorized("a viewer does not write the file")
        self._name = info.name or self._name
        outcome = "unchanged"
        if info.etag != work.base.etag:
            digest, copy = await self._reconcile(storage, info, work)
            if (await storage.stat(self._ref)).etag != info.etag:
                return ""
            work = replace(work, base=replace(work.base, etag=info.etag, digest=digest))
            outcome = "conflict" if copy else outcome
            if copy:
                self._notice = (saving.changed_notice(info.mtime, copy), time.monotonic() + NOTICE_S)
        if work.clean:
            await self._record(work, info.etag)
            return outcome
        return await self._write(storage, work, info, lock_id) and ("saved" if outcome == "unchanged" else outcome)

    async def _write(self, storage: Storage, work: _Work, info: FileInfo, lock_id: str) -> str:
        """Replaces exactly the content that `info` describes; empty if that was not to be."""
        await self._refuse_to_empty(storage, work)
        await self._log.set_meta({"attempted_digest": work.rendered.digest})
        if not self._lease.valid():
            raise LeaseLost("the right to write the file ran out", hint="it is taken again")
        written = await storage.write(
            self._ref, work.rendered.content, if_match=info.etag, lock_id=lock_id, keep_version=work.keep_version
        )
        if isinstance(written, NotLatest):
            self._lease.doubt()
            return ""
        if (await storage.stat(self._ref)).etag != written.etag:
            return ""
        await self._record(work, written.etag, by=storage.user.label)
        return "saved"

    async def _reconcile(self, storage: Storage, info: FileInfo, work: _Work) -> tuple[str, str]:
        """The file is not the one we knew: the digest of what it holds now, and the name under which that was kept, if it had to be.

        Raises `VersionConflict` if it holds what nobody here may put aside: then it stays as it is.
        """
        theirs = await storage.read(self._ref, max_bytes=self._limits.document_bytes)
        digest = await asyncio.to_thread(saving.digest, theirs)
        if theirs == work.rendered.content:
            digest = work.rendered.digest
        if saving.judge(digest, work.rendered.digest, work.base) is not Theirs.FOREIGN:
            return digest, ""
        if work.clean:
            raise VersionConflict(
                f"the file was changed by someone else at {saving.clock(info.mtime)}, and nothing here is unsaved: it stays as they left it",
                hint="close the notebook everywhere and open it again to see their version",
            )
        return digest, await self._put_aside(storage, info, theirs)

    async def _put_aside(self, first: Storage, info: FileInfo, theirs: bytes) -> str:
        """The name of the copy of their version beside the file, once it is durably there."""
        for storage in [first, *(other for other in self._writers() if other is not first)]:
            try:
                if name := await self._copy_by(storage, info.mtime, theirs):
                    return name
            except (NotAuthorized, NotAuthenticated, NotFound, Unsupported) as error:
                log.info("no conflict copy beside %s by this writer: %s", self._ref, error)
        raise VersionConflict(
            f"the file was changed by someone else at {saving.clock(info.mtime)}, and nobody present may keep a copy of it in its folder",
            hint="edits are kept here and nothing is overwritten; somebody who may write to the folder must open the notebook",
        )

    async def _copy_by(self, storage: Storage, mtime: float, theirs: bytes) -> str:
        """Empty if this writer does not see the folder. A copy made before (and not heard of) is found again by its name."""
        parent = (await storage.stat(self._ref)).parent_id
        if parent is None:
            return ""
        for nth in range(_COPIES):
            name = saving.conflict_name(self._name, mtime, nth=nth)
            ref = Ref(f"./{name}", parent)
            try:
                written = await storage.write(ref, theirs, if_absent=True)
            except AlreadyExists:
                written = NotLatest("exists")
            there = await storage.stat(ref)
            if isinstance(written, Written):
                return name if (there.etag, there.size) == (written.etag, len(theirs)) else ""
            if there.size == len(theirs) and await storage.read(ref, max_bytes=len(theirs)) == theirs:
                return name
        return ""

    async def _refuse_to_empty(self, storage: Storage, work: _Work) -> None:
        """A document without cells that nobody has edited since the room opened is a fault of ours, not somebody's wish."""
        if self._edited or not await asyncio.to_thread(saving.is_empty, work.rendered.content):
            return
        there = await storage.read(self._ref, max_bytes=self._limits.document_bytes)
        if not await asyncio.to_thread(saving.is_empty, there):
            raise VersionConflict(
                "the document is empty, the file is not, and nobody has edited it since it was opened: the file is left as it is",
                hint="edit the notebook to have it written, or restore it from its history",
            )

    async def _record(self, work: _Work, etag: str, by: str = "") -> None:
        """The file holds the document as of ``work.position``."""
        saved = {"saved_position": str(work.position)}
        if etag != self._state.etag or work.rendered.digest != self._log.meta.get("base_digest"):
            saved |= {"base_etag": etag, "base_digest": work.rendered.digest, "attempted_digest": ""}
        if by:
            saved |= {"saved_at": repr(self._now()), "saved_by": by}
        if any(self._log.meta.get(key, "") != value for key, value in saved.items()):
            await self._log.set_meta(saved)
        position = await self._mark_saved(work.position)
        at = float(saved.get("saved_at", self._state.saved_at))
        self._say(saved_position=position, etag=etag, saved_at=at, saved_by=by or self._state.saved_by)

    async def _mark_saved(self, position: int) -> int:
        """Clears ``dirty`` in the document; the position saved then. With newer edits it is rightly dirty."""
        if self._log.position != position:
            return position
        self._marking = True
        try:
            if update := await self._document.mark_saved(self._name):
                await self._broadcast(update)
        except CollabError as error:
            log.info("the file is saved, but the document could not be told: %s", error)
        else:
            # If exactly one update came, it is ours, and it changes nothing in the file.
            return position + 1 if update and self._log.position == position + 1 else position
        finally:
            self._marking = False
        return position
