"""The lease on one file: carries out what `arbiter` decides, through whichever editor's storage is at hand."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import replace

from cs3collab.errors import CollabError, LeaseLost, LockHeld, NotAuthorized, Unsupported
from cs3collab.locks import arbiter, foreign
from cs3collab.locks.arbiter import Action, Claim, Event, Phase
from cs3collab.locks.claims import Claims
from cs3collab.locks.foreign import held_error
from cs3collab.locks.lasting import lasting, unheard
from cs3collab.rooms.ports import Storage
from cs3collab.types import FileInfo, Lock, Ref

log = logging.getLogger(__name__)

LOOK_S = 5.0
"""Half of the time in which people are to hear that somebody else has the lock."""


def boottime() -> float:
    """Monotonic seconds that go on while the machine sleeps, as the lock on the storage does."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Lease:
    """``storage`` gives the best writer at the moment; the one that was used last is kept to refresh and to release with.

    ``authority_id`` must be stable over restarts of one relay and differ between relays: what carries it may be taken over.
    ``lifetime_s`` is how long the storage keeps the lock of a holder that died, ``look_s`` how often `run` looks at the lock of
    a file that is written or waited for. ``editing`` says who edits where, for people
    elsewhere. ``changed`` is called when the lock of somebody else comes, changes or goes.
    """

    def __init__(
        self,
        storage: Callable[[], Storage | None],
        ref: Ref,
        authority_id: str,
        *,
        lifetime_s: float,
        look_s: float = LOOK_S,
        editing: Callable[[], str] = lambda: "",
        clock: Callable[[], float] = boottime,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._storage = storage
        self._ref = ref
        self._clock = clock
        self._wall = wall
        self._claim = Claim(authority_id, lifetime_s, salt=secrets.randbelow(1000))
        self._turn = asyncio.Lock()
        self._look_s = look_s
        self._editing = editing
        self._looked = float("-inf")
        self._wake = asyncio.Event()
        self._last: Storage | None = None
        self._by_claims = False
        self._told: Lock | None = None
        self.changed: Callable[[], None] = lambda: None

    @property
    def phase(self) -> Phase:
        return self._claim.phase

    @property
    def held(self) -> bool:
        """Whether there is a lock of ours to give up."""
        return self._claim.held

    @property
    def blocker(self) -> Lock | None:
        """The lock of somebody else that is in the way; None too when it was gone before we could look."""
        return self._claim.blocker

    def refusal(self) -> LockHeld:
        """Whose lock is in the way, in words."""
        lock_id, since = self._claim.sighted
        blocker = self._claim.blocker
        return held_error(blocker, self._wall(), since if blocker and blocker.lock_id == lock_id else None)

    def valid(self) -> bool:
        """Whether a write may start now."""
        return arbiter.may_write(self._claim, self._clock())

    def doubt(self) -> None:
        """A write was refused: the next `acquire` asks the storage whether the lock is still ours."""
        # a storage that keeps no locks has nothing to say about that
        self._settle(arbiter.Gone(self._clock(), self._wall()) if self._by_claims else arbiter.Doubt())

    def seen(self, info: FileInfo) -> None:
        """What a Stat said, whoever asked: of a lock in the way people hear now, not at the next save."""
        self._looked = self._clock()
        self._settle(arbiter.Seen(foreign.lock_on(info, self._wall()), self._wall()))

    async def acquire(self, via: Storage | None = None) -> str:
        """The lock id to write with, empty where the storage has no locks. Costs nothing while the lease is fresh.

        Raises `LockHeld` when another app or authority has the lock, `NotAuthorized` when there is nobody to lock with, and
        what the storage raises otherwise (`Unavailable`, `NotFound`, `NotAuthorized`).
        """
        async with self._turn:
            storage = via or self._storage()
            if storage is None:
                raise NotAuthorized("nobody present may write the file")
            await self._take(storage)
            self._last = storage
        if not self.valid():
            raise self.refusal()
        return "" if self._by_claims or self._claim.phase is Phase.UNSUPPORTED else self._claim.lock_id

    async def release(self) -> None:
        """Unlocks, best effort: where that fails, the lock ends by itself."""
        async with self._turn:
            self._claim, action = arbiter.step(self._claim, arbiter.Release(self._wall()))
            storage, self._last = self._last or self._storage(), None
            if isinstance(action, arbiter.Unlock) and storage is not None:
                with contextlib.suppress(CollabError):
                    await self._locks(storage).unlock(self._ref, action.lock)

    async def run(self, stumbled: Callable[[Exception], None] = unheard) -> None:
        """Refreshes the lease while it is held, and looks at the lock now and then, for ever; cancelled to stop.

        Storage trouble is retried, until the deadline of what is held. A lease that was lost is taken again if it is free.
        `stumbled` hears of what nobody foresaw: who writes the file must go on whatever is noted on it.
        """
        await lasting(f"the lock of {self._ref}", self._once, stumbled)

    async def _once(self) -> None:
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._pause()):
                await self._wake.wait()
                return
        async with self._turn:
            self._looked = self._clock()  # also when no answer comes
            if (storage := self._storage() or self._last) is None:
                self._settle(arbiter.Gone(self._clock(), self._wall()))
                return
            try:
                await self._tend(storage)
            except CollabError as error:
                log.debug("the lock of %s: %s", self._ref, error)

    def _pause(self) -> float | None:
        """Seconds until there is something to do; None when only others can change that."""
        claim = self._claim
        if not claim.held and claim.phase is not Phase.BLOCKED:
            return None
        look_at = self._looked + self._look_s
        return max(0.0, min(look_at, claim.refresh_at if claim.held else look_at) - self._clock())

    async def _tend(self, storage: Storage) -> None:
        now, claim = self._clock(), self._claim
        if claim.held and not arbiter.may_write(claim, now):
            self._settle(arbiter.Gone(now, self._wall()))
            return
        if not claim.held or now < claim.refresh_at:
            self.seen(await storage.stat(self._ref))
            await self._name_blocker(storage)
        if self._claim.held and self._claim.refresh_at <= now:
            await self._take(storage)

    async def _name_blocker(self, storage: Storage) -> None:
        """Stat knows people by their ids alone."""
        blocker = self._claim.blocker
        if blocker is None or blocker.holder is None or blocker.holder.display_name or blocker.holder.username:
            return
        if (named := await storage.get_lock(self._ref)) is not None:
            self._settle(arbiter.Seen(named, self._wall()))

    async def _take(self, storage: Storage) -> None:
        """Raises `LockHeld` for a lock that the storage does not know of, and what it raises itself."""
        if not self.valid():
            self._by_claims = False
            await self._respect(storage)
        await self._drive(arbiter.Want(self._clock(), self._wall()), storage)
        if self._claim.phase is Phase.LOST:
            await self._drive(arbiter.Want(self._clock(), self._wall()), storage)

    async def _respect(self, storage: Storage) -> None:
        """Some programs note their locks in the file's metadata, where no storage enforces them."""
        info = await storage.stat(self._ref)
        if (noted := foreign.noted_lock(info.metadata, self._wall())) is not None:
            self._settle(arbiter.Seen(noted, self._wall()))
            raise self.refusal()

    def _settle(self, event: Event) -> None:
        self._claim, _ = arbiter.step(self._claim, event)
        self._tell()

    def _tell(self) -> None:
        self._wake.set()
        blocker = self._claim.blocker if self._claim.phase is Phase.BLOCKED else None
        if blocker != self._told:
            self._told = blocker
            self.changed()

    async def _drive(self, event: Event, storage: Storage) -> None:
        self._claim, action = arbiter.step(self._claim, event)
        while action is not None:
            try:
                event = await self._perform(action, storage)
            except BaseException:
                self._claim, _ = arbiter.step(self._claim, arbiter.Unanswered(self._clock()))
                raise
            self._claim, action = arbiter.step(self._claim, event)
        self._looked = self._clock()
        self._tell()

    def _locks(self, storage: Storage) -> Storage | Claims:
        claim = self._claim
        return Claims(storage, claim.authority_id, claim.lifetime_s, self._wall) if self._by_claims else storage

    async def _perform(self, action: Action, storage: Storage) -> Event:
        locks = self._locks(storage)
        try:
            match action:
                case arbiter.Set(lock):
                    await locks.set_lock(self._ref, replace(lock, editing=self._editing()))
                case arbiter.Refresh(lock, existing):
                    await locks.refresh_lock(self._ref, replace(lock, editing=self._editing()), existing_lock_id=existing)
                case arbiter.Look():
                    return arbiter.Found(await locks.get_lock(self._ref), self._clock(), self._wall())
                case arbiter.Unlock(lock):
                    await locks.unlock(self._ref, lock)
        except LockHeld:
            return arbiter.Refused() if isinstance(action, arbiter.Set) else arbiter.Gone(self._clock(), self._wall())
        except LeaseLost:
            return arbiter.Gone(self._clock(), self._wall())
        except Unsupported:
            if not self._by_claims:
                self._by_claims = True
                return await self._perform(action, storage)
            return arbiter.NoLocks(self._clock())
        return arbiter.Granted()
