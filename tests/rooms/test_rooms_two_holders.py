"""Two sites both believe that they hold the lock, for ten minutes: both edit, neither overwrites what it has not seen."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from support import kept_room
from support.kept_room import Disk, DiskLog, edit_cell, notebook_file, sit, sources, type_cell
from support.memory_storage import ALICE, BOB, MemorySite, MemoryStorage

from cs3collab.types import FileInfo, Lock, NotLatest, Ref, User, Written

MINUTES = 10
STEP_S = 10.0


class Lying(MemoryStorage):
    """A storage that gives its lock to whoever asks and lets everybody write (measured on Reva with cephmount).

    With `pauses`, calls of the two sites meet in every order.
    """

    pauses: random.Random | None = None

    async def _pause(self) -> None:
        for _ in range(self.pauses.randint(0, 3) if self.pauses else 0):
            await asyncio.sleep(0)

    async def stat(self, ref: Ref) -> FileInfo:
        await self._pause()
        return await super().stat(ref)

    async def read(self, ref: Ref, *, max_bytes: int) -> bytes:
        await self._pause()
        return await super().read(ref, max_bytes=max_bytes)

    async def write(self, ref: Ref, content: bytes, **how: Any) -> Written | NotLatest:
        await self._pause()
        return await super().write(ref, content, **how)

    async def set_lock(self, ref: Ref, lock: Lock) -> None: ...
    async def refresh_lock(self, ref: Ref, lock: Lock, *, existing_lock_id: str = "") -> None: ...
    async def get_lock(self, ref: Ref) -> Lock | None:
        return None

    async def unlock(self, ref: Ref, lock: Lock) -> None: ...


class Half:
    """One of the two sites: its authority, who edits there, what they typed."""

    def __init__(self, site: MemorySite, user: User, name: str) -> None:
        self.storage = Lying(site, user)
        self.site, self.name, self.disk = site, name, Disk()
        self.typed: list[str] = []

    async def open(self, resource_id: kept_room.ResourceId) -> None:
        log = DiskLog(self.disk)
        self.room = await kept_room.open_room(self.storage, resource_id, log, name=self.name, clock=self.site.clock)
        self.seat = sit(self.room, self.storage)

    async def type(self, words: str) -> None:
        self.typed.append(words)
        await type_cell(self.room, self.seat, words)

    async def save(self) -> None:
        await self.room.keeper.save(keep_version=False)

    async def cells(self) -> list[str]:
        return sources((await self.room.document.render()).content)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("if_match", [True, False], ids=["the storage compares etags", "it does not"])
async def test_both_believe_they_hold_the_lock(seed: int, if_match: bool) -> None:
    now, chance = [1_700_000_000.0], random.Random(seed)
    site = MemorySite(lambda: now[0], locks=False, if_match=if_match)
    resource_id = site.create("n.ipynb", notebook_file("seed", "shared line"))
    one, other = Half(site, ALICE, "relay-a"), Half(site, BOB, "relay-b")
    lines: list[str] = []
    for half in (one, other):
        half.storage.pauses = random.Random(seed) if if_match else None
        await half.open(resource_id)
    for step in range(int(MINUTES * 60 / STEP_S)):
        now[0] += STEP_S
        for half in chance.sample([one, other], chance.randint(0, 2)):
            if chance.random() < 0.1:
                lines.append(f"{half.name} changed it in step {step}")
                await edit_cell(half.room, half.seat, 1, lines[-1])
            else:
                await half.type(f"{half.name} {step}")
        saving = [half.save() for half in (one, other) if chance.random() < 0.5]
        if if_match:
            await asyncio.gather(*saving)
        else:  # what comes between the look and the write nobody can see there
            for save in saving:
                await save
    for half in (one, other, one, other):
        now[0] += STEP_S
        await half.save()
    cells = await one.cells()
    assert sorted(cells) == sorted(await other.cells()) == sorted(sources(site.content(resource_id)))
    assert sorted(set(cells) & set(one.typed + other.typed)) == sorted(one.typed + other.typed)
    assert len(cells) == len(set(cells))
    assert cells[0] == "seed"
    for half in (one, other):
        await half.room.tasks.cancel()
