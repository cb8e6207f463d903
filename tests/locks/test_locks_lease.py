import asyncio
import contextlib

import pytest
from support.memory_storage import ALICE, BOB, Fault, MemorySite, MemoryStorage, foreign_lock

from cs3collab.errors import LockHeld, NotAuthorized, StorageUnavailable
from cs3collab.locks.arbiter import APP_NAME, Phase
from cs3collab.locks.foreign import held_error
from cs3collab.locks.lease import Lease
from cs3collab.types import Lock, Ref, ResourceId, Role

START = 1_700_000_000.0


class World:
    """One file, and two clocks that the test moves."""

    def __init__(self, *, locks: bool = True) -> None:
        self.at = START
        self.site = MemorySite(lambda: self.at, locks=locks)
        self.id: ResourceId = self.site.create("n.ipynb", b"{}")
        self.alice = MemoryStorage(self.site, ALICE)
        self.bob = MemoryStorage(self.site, BOB)

    def lease(self, name: str = "relay-a", storage: MemoryStorage | None = None) -> Lease:
        return Lease(
            lambda: storage or self.alice,
            Ref.of(self.id),
            name,
            lifetime_s=60,
            clock=lambda: self.at - START,
            wall=lambda: self.at,
        )

    @property
    def lock_id(self) -> str:
        lock = self.site.lock_of(self.id)
        return lock.lock_id if lock else ""


async def test_the_lock_is_taken_once_and_then_costs_nothing() -> None:
    world = World()
    lease = world.lease()
    lock_id = await lease.acquire()
    calls = dict(world.site.calls)
    assert await lease.acquire() == lock_id == world.lock_id
    assert dict(world.site.calls) == calls
    assert lease.valid()
    assert lease.held


async def test_any_editor_may_refresh_what_another_took() -> None:
    world = World()
    lease = world.lease()
    lock_id = await lease.acquire(world.alice)
    world.site.roles[ALICE.key] = Role.NONE
    world.at += 30
    assert await lease.acquire(world.bob) == lock_id
    world.at += 40
    assert lease.valid()


async def test_of_two_that_race_one_wins_and_the_other_learns_who() -> None:
    world = World()
    first, second = world.lease("relay-a"), world.lease("relay-b", world.bob)
    results = await asyncio.gather(first.acquire(), second.acquire(), return_exceptions=True)
    winners = [r for r in results if isinstance(r, str)]
    losers = [r for r in results if isinstance(r, LockHeld)]
    assert winners == [world.lock_id]
    assert len(losers) == 1
    assert losers[0].app_name == APP_NAME
    assert "another server" in str(losers[0])
    assert first.valid() is not second.valid()


async def test_a_holder_that_froze_may_not_write_and_the_next_one_may() -> None:
    world = World()
    frozen, other = world.lease("relay-a"), world.lease("relay-b")
    old = await frozen.acquire()
    world.at += 61
    assert not frozen.valid()
    new = await other.acquire()
    assert new != old
    with pytest.raises(LockHeld):
        await frozen.acquire()
    assert world.lock_id == new


async def test_two_that_take_over_the_same_expired_lock_do_not_both_get_it() -> None:
    """A storage that never ends a lock by itself: expiry is then for us to judge."""
    world = World()
    dead = Lock(f"{APP_NAME}:relay-x:1", app_name=APP_NAME, expires_at=START - 25)
    world.site.clock = lambda: START - 1000
    world.site.steal_lock(world.id, dead)
    leases = [world.lease("relay-a"), world.lease("relay-b", world.bob)]
    results = await asyncio.gather(*(lease.acquire() for lease in leases), return_exceptions=True)
    assert sum(isinstance(r, str) for r in results) == 1
    assert sum(isinstance(r, LockHeld) for r in results) == 1


async def test_after_a_restart_our_own_lock_is_taken_over_at_once() -> None:
    world = World()
    old = await world.lease("relay-a").acquire()
    again = world.lease("relay-a")
    assert await again.acquire() == world.lock_id != old


@pytest.mark.parametrize("locks", [True, False])
async def test_a_lock_that_nobody_heard_of_is_given_up_with_the_lease(locks: bool) -> None:
    """Others would wait for it until it ends."""
    world = World(locks=locks)
    lease = world.lease("relay-a")
    world.site.inject("set_lock" if locks else "set_metadata", Fault.LOST)
    with pytest.raises(StorageUnavailable):
        await lease.acquire()
    await lease.release()
    other = world.lease("relay-b", world.bob)
    await other.acquire()
    assert other.valid()


async def test_the_lock_of_another_application_is_respected_named_and_waited_for() -> None:
    world = World()
    world.site.steal_lock(world.id, foreign_lock(world.at + 100, holder=BOB))
    lease = world.lease()
    with pytest.raises(LockHeld, match=r"Bob Away \(bob\) with an office application \(WOPI\) until") as refused:
        await lease.acquire()
    assert refused.value.holder == "Bob Away (bob)"
    assert lease.blocker
    assert lease.blocker.lock_id == "foreign-lock"
    world.at += 101
    assert await lease.acquire() == world.lock_id


async def test_a_stolen_lock_is_noticed_once_in_doubt() -> None:
    world = World()
    lease = world.lease()
    await lease.acquire()
    world.site.steal_lock(world.id, foreign_lock(None))
    lease.doubt()
    with pytest.raises(LockHeld, match="WOPI"):
        await lease.acquire()
    assert not lease.valid()
    assert world.lock_id == "foreign-lock"


async def test_a_lock_that_somebody_broke_is_taken_again() -> None:
    world = World()
    lease = world.lease()
    old = await lease.acquire()
    world.site.steal_lock(world.id, None)
    lease.doubt()
    assert await lease.acquire() == world.lock_id != old


@pytest.mark.parametrize("fault", list(Fault))
async def test_a_lost_question_or_answer_when_taking_it_leaves_nothing_behind(fault: Fault) -> None:
    world = World()
    lease = world.lease()
    world.site.inject("set_lock", fault)
    with pytest.raises(StorageUnavailable):
        await lease.acquire()
    assert not lease.valid()
    assert await lease.acquire() == world.lock_id


async def test_a_refresh_that_fails_leaves_the_lease_until_its_deadline() -> None:
    world = World()
    lease = world.lease()
    await lease.acquire()
    world.site.down = True
    world.at += 30
    with pytest.raises(StorageUnavailable):
        await lease.acquire()
    assert lease.valid()
    world.at += 19
    assert not lease.valid()


async def test_a_storage_without_locks_and_metadata_is_no_obstacle() -> None:
    world = World(locks=False)
    world.site.metadata = False
    lease = world.lease()
    assert await lease.acquire() == ""
    assert lease.valid()
    assert not lease.held
    await lease.release()


async def test_nobody_to_lock_with_is_said() -> None:
    world = World()
    lease = Lease(lambda: None, Ref.of(world.id), "relay-a", lifetime_s=60)
    with pytest.raises(NotAuthorized):
        await lease.acquire()


async def test_release_unlocks_and_never_takes_away_another_ones_lock() -> None:
    world = World()
    lease = world.lease()
    await lease.acquire()
    await lease.release()
    assert world.lock_id == ""
    await lease.acquire()
    world.site.steal_lock(world.id, foreign_lock(None))
    await lease.release()
    assert world.lock_id == "foreign-lock"


async def test_release_does_not_mind_a_storage_that_is_away() -> None:
    world = World()
    lease = world.lease()
    await lease.acquire()
    world.site.down = True
    await lease.release()
    assert not lease.valid()


async def test_it_refreshes_by_itself_and_notices_a_theft() -> None:
    world = World()
    lease = world.lease()
    await lease.acquire()
    world.at += 30  # past a third of its life
    refreshed = asyncio.Event()
    world.site.inject("refresh_lock", refreshed.set)
    task = asyncio.create_task(lease.run())
    try:
        await refreshed.wait()
        world.at += 30
        world.site.steal_lock(world.id, foreign_lock(None))
        lease.doubt()
        with contextlib.suppress(LockHeld):
            await lease.acquire()
        assert lease.phase is Phase.BLOCKED
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("lock", [None, Lock("x"), foreign_lock(START, holder=ALICE), Lock("x", app_name=APP_NAME)])
def test_who_holds_it_is_always_said_in_a_sentence(lock: Lock | None) -> None:
    error = held_error(lock, START)
    assert error.message.startswith("the file is locked by ")
    assert error.hint
