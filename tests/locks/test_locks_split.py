"""Two sites that each believe, for ten minutes, that they alone hold the lock: what the etag is for. Time is virtual."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from support.memory_storage import ALICE, BOB, MemorySite, MemoryStorage

from cs3collab.locks.lease import Lease
from cs3collab.types import Etag, Lock, Ref, User, Written

START = 1_700_000_000.0
TEN_MINUTES = 600.0


UNSEEN = Etag("")


class Blind(MemoryStorage):
    """A storage that gives each of its users a lock of their own: one that is set over another without looking (cephmount)."""

    def __init__(self, site: MemorySite, user: User) -> None:
        super().__init__(site, user)
        self._lock: Lock | None = None

    async def set_lock(self, ref: Ref, lock: Lock) -> None:
        self._lock = lock

    async def refresh_lock(self, ref: Ref, lock: Lock, *, existing_lock_id: str = "") -> None:
        self._lock = lock

    async def get_lock(self, ref: Ref) -> Lock | None:
        return self._lock


@dataclass
class Writer:
    """One site's keeper, as far as this goes: it looks, then writes what it knows under the condition that nothing changed."""

    name: str
    lease: Lease
    storage: MemoryStorage
    ref: Ref
    etag: Etag = UNSEEN
    lines: set[bytes] = field(default_factory=set)
    typed: int = 0
    found: int = 0
    """Times the other's write was found before ours, and times it came between our look and our write."""
    refused: int = 0

    async def look(self) -> None:
        self.typed += 1
        self.lines.add(f"{self.name} {self.typed}".encode())
        await self.lease.acquire()
        info = await self.storage.stat(self.ref)
        if info.etag != self.etag:
            self.lines |= set((await self.storage.read(self.ref, max_bytes=10**6)).split(b"|")) - {b""}
            self.found += bool(self.etag)
        self.etag = info.etag

    async def write(self) -> None:
        assert self.lease.valid(), "it believes that it holds the lock"
        content = b"|".join(sorted(self.lines))
        written = await self.storage.write(self.ref, content, if_match=self.etag)
        if isinstance(written, Written):
            self.etag = written.etag
        else:
            self.refused += 1


Turns = st.lists(st.tuples(st.integers(0, 1), st.booleans()), min_size=4, max_size=60)
"""Whose turn it is, and whether the other gets a whole turn between the look and the write."""


@given(Turns)
@settings(deadline=None)
def test_two_who_both_hold_the_lock_overwrite_nothing_unseen(turns: list[tuple[int, bool]]) -> None:
    async def ten_minutes() -> None:
        at = START
        site = MemorySite(lambda: at, locks=False)
        node = site.create("n.ipynb", b"")
        storages = [Blind(site, user) for user in (ALICE, BOB)]
        writers = [
            Writer(
                name,
                Lease(lambda s=s: s, Ref.of(node), name, lifetime_s=60, clock=lambda: at, wall=lambda: at),  # type: ignore[misc]
                s,
                Ref.of(node),
            )
            for name, s in zip("ab", storages, strict=True)
        ]
        for index, meddled in turns:
            for _ in range(15):
                at += TEN_MINUTES / len(turns) / 15
                for writer in writers:
                    await writer.lease.acquire()
                assert all(writer.lease.valid() for writer in writers), "both believe it all the time"
            one, other = writers[index], writers[1 - index]
            await one.look()
            if meddled:
                await other.look()
                await other.write()
            await one.write()
        assert at >= START + TEN_MINUTES - 1, "time that is made of floats"
        for writer in writers:
            await writer.look()
            await writer.write()
        final = set(site.content(node).split(b"|"))
        assert all({f"{w.name} {n}".encode() for n in range(1, w.typed + 1)} <= final for w in writers)
        versions = [*site.replaced, site.content(node)]
        for before, after in itertools.pairwise(versions):
            assert set(before.split(b"|")) - {b""} <= set(after.split(b"|")), "a version was overwritten unseen"
        if any(meddled for _, meddled in turns):
            assert sum(writer.refused for writer in writers), "the condition refused what the look could not see"

    asyncio.run(ten_minutes())
