"""What `Lease.run` finds out between saves: that a lock came, changed hands, or is gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
from support.memory_storage import ALICE, BOB, Fault, MemorySite, MemoryStorage, foreign_lock

from cs3collab.errors import LockHeld
from cs3collab.locks.arbiter import Phase
from cs3collab.locks.foreign import CS3CLIENT_KEY
from cs3collab.locks.lease import Lease
from cs3collab.types import Lock, Ref, User

START = 1_700_000_000.0


class World:
    """A lease whose keeper never asks: what it learns it learns by looking. ``at`` is all its clocks."""

    def __init__(self) -> None:
        self.at = START
        self.site = MemorySite(lambda: self.at)
        self.id = self.site.create("n.ipynb", b"{}")
        self.alice = MemoryStorage(self.site, ALICE)
        self.lease = Lease(
            lambda: self.alice,
            Ref.of(self.id),
            "relay-a",
            lifetime_s=60,
            look_s=0.01,
            clock=self.clock,
            wall=lambda: self.at,
        )
        self.news = asyncio.Event()
        self.told: list[str] = []
        self.lease.changed = self.changed

    def clock(self) -> float:
        return self.at - START + asyncio.get_running_loop().time()

    def changed(self) -> None:
        self.told.append(self.lease.blocker.app_name if self.lease.blocker else "")
        self.news.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not holds():
                self.news.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.news.wait(), 0.01)

    @property
    def lock(self) -> Lock | None:
        return self.site.lock_of(self.id)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    task = asyncio.create_task(world.lease.run())
    try:
        yield world
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_stolen_lock_is_noticed_before_the_next_write(world: World) -> None:
    await world.lease.acquire()
    world.site.steal_lock(world.id, foreign_lock(None, holder=BOB))
    await world.until(lambda: world.lease.phase is Phase.BLOCKED)
    assert not world.lease.valid()
    assert world.told == ["wopi"]
    assert str(world.lease.refusal()).startswith("the file is locked by Bob Away (bob)")


@pytest.mark.parametrize("how", ["deleted", "expired early"])
async def test_a_lock_that_vanished_is_taken_again_and_nobody_need_know(world: World, how: str) -> None:
    old = await world.lease.acquire()
    world.site.steal_lock(world.id, None if how == "deleted" else Lock(old, "cs3collab", expires_at=world.at - 1))
    await world.until(lambda: world.lock is not None and world.lock.lock_id != old and world.lease.phase is Phase.HELD)
    assert world.lease.valid()
    assert world.told == []


async def test_who_waits_hears_when_the_lock_is_gone(world: World) -> None:
    world.site.steal_lock(world.id, foreign_lock(None))
    with pytest.raises(LockHeld):
        await world.lease.acquire()
    world.site.steal_lock(world.id, None)
    await world.until(lambda: world.lease.phase is Phase.FREE)
    assert world.told == ["wopi", ""]
    assert world.lease.blocker is None


async def test_who_waits_hears_when_it_changes_hands_and_looks_on_through_trouble(world: World) -> None:
    world.site.steal_lock(world.id, foreign_lock(None))
    with pytest.raises(LockHeld):
        await world.lease.acquire()
    world.site.inject("stat", Fault.DOWN, Fault.LOST)
    world.site.steal_lock(world.id, foreign_lock(None, app="Collabora"))
    await world.until(lambda: len(world.told) > 1)
    assert world.told == ["wopi", "Collabora"]


async def test_a_lock_that_comes_while_nobody_writes_is_seen_by_whoever_looks(world: World) -> None:
    world.site.steal_lock(world.id, foreign_lock(None))
    world.lease.seen(await world.alice.stat(Ref.of(world.id)))
    assert world.lease.phase is Phase.BLOCKED
    assert world.told == ["wopi"]
    world.site.steal_lock(world.id, None)
    await world.until(lambda: world.told == ["wopi", ""])


async def test_looking_while_the_lease_is_free_costs_nothing(world: World) -> None:
    await asyncio.sleep(0)
    await world.lease.acquire()
    await world.lease.release()
    calls = dict(world.site.calls)
    await asyncio.sleep(0.05)
    assert dict(world.site.calls) == calls


async def test_a_lock_in_the_metadata_is_respected_until_it_ends(world: World) -> None:
    await world.alice.set_metadata(Ref.of(world.id), {CS3CLIENT_KEY: f"Collabora!x!{world.at + 60:.0f}"})
    with pytest.raises(LockHeld, match="Collabora Online until 22:14:20 UTC"):
        await world.lease.acquire()
    assert world.lock is None
    assert world.told == ["Collabora"]
    world.at += 61
    await world.until(lambda: world.lease.phase is Phase.FREE)
    assert await world.lease.acquire() == (world.lock.lock_id if world.lock else "none")


async def test_who_is_known_by_an_id_alone_is_asked_for(world: World) -> None:
    nameless = foreign_lock(None, holder=User("bob-2", "https://b.test"))
    world.site.steal_lock(world.id, nameless)
    info = await world.alice.stat(Ref.of(world.id))
    world.site.steal_lock(world.id, foreign_lock(None, holder=BOB))
    world.lease.seen(info)
    assert "bob-2" in str(world.lease.refusal())
    await world.until(lambda: "Bob Away (bob)" in str(world.lease.refusal()))
    world.lease.seen(info)
    assert "Bob Away (bob)" in str(world.lease.refusal())
