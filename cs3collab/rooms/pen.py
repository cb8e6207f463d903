"""The pen: of all servers that have a file open and share no relay, the one with the lease lets people edit, the others follow.

See docs/decisions/011-one-pen-without-a-relay.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cs3collab.errors import CollabError, LockHeld
from cs3collab.locks import foreign
from cs3collab.locks.arbiter import APP_NAME, Phase, parse_lock_id
from cs3collab.locks.lasting import lasting, unheard
from cs3collab.locks.lease import Lease
from cs3collab.rooms import saving
from cs3collab.rooms.ports import Storage
from cs3collab.types import Lock, Role

log = logging.getLogger(__name__)

TAKE_S = 10.0
"""How long somebody who opens a file waits for the storage to say whose it is."""
_TRIES = 2
_MOMENT = 3
"""Looks at the lock for which a room without editors goes on to follow."""


@dataclass(frozen=True, slots=True)
class Stand:
    """Whether this room follows, whom (in words), and whether the pen could be had."""

    following: bool = False
    whom: str = ""
    free: bool = False

    def seen_by(self, role: Role, reason: str) -> tuple[Role, str, bool]:
        """What somebody with that right, and the reason for it, may do now, why, and whether the pen is offered to them."""
        if not self.following or role < Role.EDITOR:
            return role, reason, False
        return Role.VIEWER, f"this file is {'no longer' if self.free else 'being'} edited {self.whom}", self.free


HERE = Stand()


async def _nothing() -> None: ...


def stand(before: Stand, blocker: Lock | None, whom: str, *, may_write: bool, wanted: bool) -> Stand:
    """`blocker` is the lock in the way now, if any; ``wanted``: somebody is here who might take the pen.

    Who follows goes on to until the lease is ours: that the pen is free is no reason for several to grab it.
    """
    if blocker is not None and takes_pen(blocker):
        return Stand(True, whom)
    if may_write or not wanted or not before.following:
        return HERE
    return Stand(True, before.whom, free=True)


def takes_pen(lock: Lock) -> bool:
    """Whether who has this lock types into the file as people here would: another Jupyter, not an office program."""
    return lock.app_name == APP_NAME or foreign.program(lock.app_name, lock.lock_id).startswith("JupyterLab")


def edited_by(lock: Lock, refusal: LockHeld, authority_id: str) -> str:
    """``by Albert Einstein (einstein) at cernbox.cern.ch``, as it goes on after "this file is being edited"."""
    owner = parse_lock_id(lock.lock_id)
    if owner is not None and owner[0].partition(".")[0] == authority_id.partition(".")[0]:
        return "in another view on this server"  # as text and as a notebook
    return f"by {saving.holder_of(refusal)}" if lock.editing or lock.app_name != APP_NAME else "on another server"


class Pen:
    """Of one room. ``wanted`` tells whether anybody here has the right to edit, ``storage`` gives whose credential locks.

    ``changed`` is called when `stand` did, ``catch_up`` before people may edit again: it brings in what was saved last.
    """

    def __init__(
        self,
        lease: Lease,
        authority_id: str,
        *,
        wanted: Callable[[], bool],
        storage: Callable[[], Storage | None],
        look_s: float,
    ) -> None:
        self._lease = lease
        self._authority_id = authority_id
        self._wanted = wanted
        self._storage = storage
        self._look_s = look_s
        self._wake = asyncio.Event()
        self.stand = HERE
        self._taking = False
        self._wanted_at = time.monotonic()
        self.changed: Callable[[], None] = lambda: None
        self.catch_up: Callable[[], Awaitable[None]] = _nothing

    async def take(self, storage: Storage) -> None:
        """Gets the pen if nobody has it. Trouble with the storage changes nothing: edits go on, or do not, as before."""
        tried = False
        self._taking = True
        try:
            async with asyncio.timeout(TAKE_S):
                await self._acquire(storage)
                tried = True
                if self.stand.following and self._lease.valid():
                    await self.catch_up()
        except (CollabError, TimeoutError) as error:
            log.info("the file may not be as the storage has it, or others may edit it: %s", error)
        finally:
            self._taking = False
            self._settle(tried=tried)

    async def _acquire(self, storage: Storage) -> None:
        for _ in range(_TRIES):
            with contextlib.suppress(LockHeld):
                await self._lease.acquire(storage)
                return
            if self._lease.blocker is not None:
                return

    def _settle(self, *, tried: bool = False) -> None:
        """The lease has changed, or may have. ``tried``: a lock of others that is there is one beside which people edit."""
        lease = self._lease
        blocker = lease.blocker if lease.phase is Phase.BLOCKED else None
        whom = edited_by(blocker, lease.refusal(), self._authority_id) if blocker else ""
        may_write = lease.valid() or (tried and blocker is not None)
        now = stand(self.stand, blocker, whom, may_write=may_write, wanted=self._wanted_lately())
        if now != self.stand:
            self.stand = now
            self.changed()

    def lock_changed(self) -> None:
        """As `Lease.changed`."""
        if not (self._taking and self._lease.valid()):
            self._settle()
        self._wake.set()

    async def run(self, stumbled: Callable[[Exception], None] = unheard) -> None:
        """Takes the pen back where it was lost and nobody else has it, for ever; cancelled to stop. As `Lease.run`."""
        await lasting("the right to edit", self._once, stumbled)

    async def _once(self) -> None:
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._look_s):
                await self._wake.wait()
        self._settle()
        if self._missing() and (storage := self._storage()) is not None:
            await self.take(storage)
            await asyncio.sleep(min(1.0, self._look_s))  # a storage that refuses is not asked all the time

    def _wanted_lately(self) -> bool:
        """Browsers come back after a moment."""
        now = time.monotonic()
        if self._wanted():
            self._wanted_at = now
        return now < self._wanted_at + _MOMENT * self._look_s

    def _missing(self) -> bool:
        lease = self._lease
        return self._wanted() and not self.stand.following and not lease.valid() and lease.phase is not Phase.BLOCKED
