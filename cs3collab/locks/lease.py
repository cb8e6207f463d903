"""The lease on one file: carries out what `arbiter` decides, through whichever editor's storage is at hand."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from cs3collab.errors import CollabError, LeaseLost, LockHeld, NotAuthorized, Unsupported
from cs3collab.locks import arbiter
from cs3collab.locks.arbiter import Action, Claim, Event, Phase
from cs3collab.rooms.ports import Storage
from cs3collab.types import Lock, Ref


def boottime() -> float:
    """Monotonic seconds that go on while the machine sleeps, as the lock on the storage does."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Lease:
    """``storage`` gives the best writer at the moment; the one that was used last is kept to refresh and to release with.

    ``authority_id`` must be stable over restarts of one relay and differ between relays: what carries it may be taken over.
    ``lifetime_s`` is how long the storage keeps the lock of a holder that died.
    """

    def __init__(
        self,
        storage: Callable[[], Storage | None],
        ref: Ref,
        authority_id: str,
        *,
        lifetime_s: float,
        clock: Callable[[], float] = boottime,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._storage = storage
        self._ref = ref
        self._clock = clock
        self._wall = wall
        self._claim = Claim(authority_id, lifetime_s)
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._last: Storage | None = None

    @property
    def phase(self) -> Phase:
        return self._claim.phase

    @property
    def held(self) -> bool:
        """Whether there is a lock of ours to give up."""
        return self._claim.phase in (Phase.HELD, Phase.REFRESHING)

    @property
    def blocker(self) -> Lock | None:
        """The foreign lock that `acquire` ran into; None too when it was gone before we could look."""
        return self._claim.blocker

    def valid(self) -> bool:
        """Whether a write may start now."""
        return arbiter.may_write(self._claim, self._clock())

    def doubt(self) -> None:
        """A write was refused: the next `acquire` asks the storage whether the lock is still ours."""
        self._claim, _ = arbiter.step(self._claim, arbiter.Doubt())

    async def acquire(self, via: Storage | None = None) -> str:
        """The lock id to write with, empty where the storage has no locks. Costs nothing while the lease is fresh.

        Raises `LockHeld` when another app or authority has the lock, `NotAuthorized` when there is nobody to lock with, and
        what the storage raises otherwise (`Unavailable`, `NotFound`, `NotAuthorized`).
        """
        async with self._turn:
            storage = via or self._storage()
            if storage is None:
                raise NotAuthorized("nobody present may write the file")
            await self._drive(arbiter.Want(self._clock(), self._wall()), storage)
            self._last = storage
            if self._claim.phase is Phase.LOST:
                await self._drive(arbiter.Want(self._clock(), self._wall()), storage)
        if self._claim.phase is Phase.UNSUPPORTED:
            return ""
        if not self.valid():
            raise held_error(self._claim.blocker)
        return self._claim.lock_id

    async def release(self) -> None:
        """Unlocks, best effort: where that fails, the lock ends by itself."""
        async with self._turn:
            self._claim, action = arbiter.step(self._claim, arbiter.Release(self._wall()))
            storage, self._last = self._last or self._storage(), None
            if isinstance(action, arbiter.Unlock) and storage is not None:
                with contextlib.suppress(CollabError):
                    await storage.unlock(self._ref, action.lock)

    async def run(self) -> None:
        """Refreshes the lease while it is held, for ever; cancelled to stop. Storage trouble is retried until the deadline."""
        while True:
            self._changed.clear()
            held = self._claim.phase is Phase.HELD
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self._claim.refresh_at - self._clock()) if held else None):
                    await self._changed.wait()
                    continue
            async with self._turn:
                storage = self._storage() or self._last
                if self._claim.phase is not Phase.HELD:
                    continue
                if storage is None or not arbiter.may_write(self._claim, self._clock()):
                    self._claim, _ = arbiter.step(self._claim, arbiter.Gone(self._clock(), self._wall()))
                    continue
                with contextlib.suppress(CollabError):
                    await self._drive(arbiter.Want(self._clock(), self._wall()), storage)

    async def _drive(self, event: Event, storage: Storage) -> None:
        self._claim, action = arbiter.step(self._claim, event)
        while action is not None:
            try:
                event = await self._perform(action, storage)
            except BaseException:
                self._claim, _ = arbiter.step(self._claim, arbiter.Unanswered(self._clock()))
                raise
            self._claim, action = arbiter.step(self._claim, event)
        self._changed.set()

    async def _perform(self, action: Action, storage: Storage) -> Event:
        try:
            match action:
                case arbiter.Set(lock):
                    await storage.set_lock(self._ref, lock)
                case arbiter.Refresh(lock, existing):
                    await storage.refresh_lock(self._ref, lock, existing_lock_id=existing)
                case arbiter.Look():
                    return arbiter.Found(await storage.get_lock(self._ref), self._clock(), self._wall())
                case arbiter.Unlock(lock):
                    await storage.unlock(self._ref, lock)
        except LockHeld:
            return arbiter.Refused() if isinstance(action, arbiter.Set) else arbiter.Gone(self._clock(), self._wall())
        except LeaseLost:
            return arbiter.Gone(self._clock(), self._wall())
        except Unsupported:
            return arbiter.NoLocks()
        return arbiter.Granted()


def held_error(lock: Lock | None) -> LockHeld:
    """`LockHeld` in words: who, with which app, until when."""
    if lock is None:
        return LockHeld("the file is locked by someone else", hint="it is saved when the lock is gone")
    who = lock.holder.label if lock.holder else ""
    app = "another server that edits this notebook" if lock.app_name == arbiter.APP_NAME else lock.app_name
    by = " with ".join(part for part in (who, app) if part) or "someone else"
    until = f" until {time.strftime('%H:%M:%S', time.gmtime(lock.expires_at))} UTC" if lock.expires_at else ""
    return LockHeld(
        f"the file is locked by {by}{until}",
        hint="it is saved when the lock is gone",
        holder=who,
        app_name=lock.app_name,
    )
