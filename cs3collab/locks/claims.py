"""Locks on storage that has none: who wants to write says so in the file's metadata, each under a key of its own.

This is Lamport's bakery. Nobody writes what another has written, so no compare-and-swap is asked of the storage, only that
what was set is seen by whoever looks afterwards. It keeps our own servers from writing in turns, and nobody else; a write
that was begun in time may still land late. The etag checks of the room find that. See docs/decisions/010.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from cs3collab.errors import LeaseLost, LockHeld
from cs3collab.locks.arbiter import APP_NAME
from cs3collab.types import FileInfo, Lock, Ref

PREFIX: Final = "cs3collab.claim."
_PAUSES_S = (0.05, 0.1, 0.2, 0.4)
"""Between looks, while another is still choosing a number."""
_FORGOTTEN_S = 86400.0
"""The notes of servers that died are tidied up after that."""


class Notebook(Protocol):
    """The part of `cs3collab.rooms.ports.Storage` that claims are noted with."""

    async def stat(self, ref: Ref) -> FileInfo: ...
    async def set_metadata(self, ref: Ref, values: Mapping[str, str]) -> None: ...
    async def unset_metadata(self, ref: Ref, keys: list[str]) -> None: ...


@dataclass(frozen=True, slots=True)
class Claim:
    """One authority's note. ``number`` 0: it is choosing one. ``until`` in Unix seconds, ``life_s`` what it was given."""

    owner: str
    lock_id: str
    number: int
    until: float
    life_s: float
    editing: str = ""

    def text(self) -> str:
        said = {"lock": self.lock_id, "number": self.number, "until": self.until, "life": self.life_s}
        return json.dumps(said | {"editing": self.editing} if self.editing else said)

    def lives(self, wall: float) -> bool:
        """A third of a life longer than its owner believes in it, for clocks differ."""
        return wall <= self.until + self.life_s / 3

    @property
    def turn(self) -> tuple[int, str]:
        return self.number, self.owner


def claims(metadata: Mapping[str, str]) -> list[Claim]:
    """All that are noted, also those that ended. What makes no sense is left out."""
    found = []
    for key, text in metadata.items():
        if key.startswith(PREFIX):
            try:
                said = json.loads(text)
                values = str(said["lock"]), int(said["number"]), float(said["until"]), float(said["life"])
                editing = str(said.get("editing", ""))
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
                continue
            found.append(Claim(key.removeprefix(PREFIX), *values, editing))
    return found


def in_front_of(mine: Claim, noted: list[Claim], wall: float) -> Claim | None:
    """Who must be waited for, whoever is still choosing last; None when it is our turn."""
    others = [claim for claim in noted if claim.owner != mine.owner and claim.lives(wall)]
    served = [claim for claim in others if claim.number and claim.turn < mine.turn]
    return min(served, key=lambda claim: claim.turn, default=None) or next((c for c in others if not c.number), None)


def holder(metadata: Mapping[str, str], wall: float) -> Lock | None:
    """Whose turn it is."""
    first = min((c for c in claims(metadata) if c.number and c.lives(wall)), key=lambda c: c.turn, default=None)
    return None if first is None else Lock(first.lock_id, APP_NAME, expires_at=first.until, editing=first.editing)


class Claims:
    """The lock calls of `cs3collab.rooms.ports.Storage`, carried out in the metadata. Raise as those do."""

    def __init__(self, storage: Notebook, owner: str, life_s: float, wall: Callable[[], float]) -> None:
        self._storage = storage
        self._key = PREFIX + owner
        self._owner = owner
        self._life_s = life_s
        self._wall = wall

    async def set_lock(self, ref: Ref, lock: Lock) -> None:
        mine = Claim(self._owner, lock.lock_id, 0, lock.expires_at or 0.0, self._life_s, lock.editing)
        await self._note(ref, mine)
        mine = replace(mine, number=1 + max((claim.number for claim in await self._noted(ref)), default=0))
        await self._note(ref, mine)
        first = in_front_of(mine, await self._noted(ref), self._wall())
        for pause in _PAUSES_S:
            if first is None or first.number:
                break
            await asyncio.sleep(pause)
            first = in_front_of(mine, await self._noted(ref), self._wall())
        if first is None and self._wall() < mine.until:
            return
        await self._storage.unset_metadata(ref, [self._key])
        raise LockHeld("another server edits this notebook", hint="it is saved when that server lets go", app_name=APP_NAME)

    async def refresh_lock(self, ref: Ref, lock: Lock, *, existing_lock_id: str = "") -> None:
        noted = await self._noted(ref)
        mine = next((claim for claim in noted if claim.owner == self._owner), None)
        if mine is None or not mine.number or mine.lock_id != lock.lock_id:
            if existing_lock_id and mine is not None:  # ours of before a restart: we stand in line again
                return await self.set_lock(ref, lock)
            raise LeaseLost("our claim is not on the file any more", hint="it is made again")
        await self._note(ref, replace(mine, until=lock.expires_at or 0.0, life_s=self._life_s, editing=lock.editing))
        if self._wall() >= mine.until:
            raise LeaseLost("our claim was renewed too late", hint="it is made again")
        if dead := [PREFIX + claim.owner for claim in noted if self._wall() > claim.until + _FORGOTTEN_S]:
            await self._storage.unset_metadata(ref, dead)
        return None

    async def get_lock(self, ref: Ref) -> Lock | None:
        return holder((await self._storage.stat(ref)).metadata, self._wall())

    async def unlock(self, ref: Ref, lock: Lock) -> None:
        if any(claim.owner == self._owner and claim.lock_id == lock.lock_id for claim in await self._noted(ref)):
            await self._storage.unset_metadata(ref, [self._key])

    async def _note(self, ref: Ref, claim: Claim) -> None:
        await self._storage.set_metadata(ref, {self._key: claim.text()})

    async def _noted(self, ref: Ref) -> list[Claim]:
        return claims((await self._storage.stat(ref)).metadata)
