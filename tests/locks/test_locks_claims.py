"""Claims noted in metadata: one server at a time, whatever the order in which their questions are answered."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Mapping
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.memory_storage import ALICE, BOB, MemorySite, MemoryStorage, foreign_lock

from cs3collab.errors import LeaseLost, LockHeld
from cs3collab.locks import claims as module
from cs3collab.locks.arbiter import APP_NAME, Phase
from cs3collab.locks.claims import PREFIX, Claim, Claims, claims, holder, in_front_of
from cs3collab.locks.lease import Lease
from cs3collab.types import Lock, Ref

START = 1_700_000_000.0
LIFE = 60.0


class World:
    """A storage without locks, and servers whose clock the test moves."""

    def __init__(self) -> None:
        self.at = START
        self.site = MemorySite(lambda: self.at, locks=False)
        self.id = self.site.create("n.ipynb", b"{}")
        self.ref = Ref.of(self.id)
        self.alice, self.bob = MemoryStorage(self.site, ALICE), MemoryStorage(self.site, BOB)

    def lease(self, name: str, storage: Any = None) -> Lease:
        clock, wall = (lambda: self.at - START), (lambda: self.at)
        return Lease(lambda: storage or self.alice, self.ref, name, lifetime_s=LIFE, clock=clock, wall=wall)

    async def noted(self) -> list[Claim]:
        return claims((await self.alice.stat(self.ref)).metadata)


async def test_one_writes_and_the_other_learns_that_another_server_does() -> None:
    world = World()
    first, second = world.lease("a"), world.lease("b", world.bob)
    assert await first.acquire() == ""
    assert first.held
    with pytest.raises(LockHeld, match="another server that edits this notebook until 22:14:20"):
        await second.acquire()
    assert [claim.owner for claim in await world.noted()] == ["a"]
    await first.release()
    assert await world.noted() == []
    assert await second.acquire() == ""
    assert second.valid()


async def test_a_claim_is_renewed_and_not_before_it_is_time() -> None:
    world = World()
    lease = world.lease("a")
    await lease.acquire()
    calls = dict(world.site.calls)
    await lease.acquire()
    assert dict(world.site.calls) == calls
    world.at += 30
    await lease.acquire()
    assert [claim.until for claim in await world.noted()] == [world.at + LIFE]


async def test_who_froze_does_not_write_and_the_next_one_does() -> None:
    world = World()
    frozen, other = world.lease("a"), world.lease("b", world.bob)
    await frozen.acquire()
    world.at += 60
    assert not frozen.valid()
    with pytest.raises(LockHeld):  # clocks differ: a third of its life is given to the frozen one
        await other.acquire()
    world.at += 21
    await other.acquire()
    with pytest.raises(LockHeld):
        await frozen.acquire()
    assert other.valid()
    assert not frozen.valid()


async def test_after_a_restart_a_server_stands_in_line_again() -> None:
    world = World()
    await world.lease("a").acquire()
    again = world.lease("a")
    assert await again.acquire() == ""
    assert len(await world.noted()) == 1


async def test_a_refused_write_makes_it_ask_whether_there_are_locks_after_all() -> None:
    world = World()
    lease = world.lease("a")
    await lease.acquire()
    world.site.locks = True
    world.site.steal_lock(world.id, foreign_lock(None))
    lease.doubt()
    with pytest.raises(LockHeld, match="WOPI"):
        await lease.acquire()
    world.site.steal_lock(world.id, None)
    lock = world.site.lock_of
    lease_id = await lease.acquire()
    assert lease_id == (found.lock_id if (found := lock(world.id)) else "none")


async def test_a_claim_that_somebody_deleted_is_made_again() -> None:
    world = World()
    lease = world.lease("a")
    await lease.acquire()
    await world.bob.unset_metadata(world.ref, [f"{PREFIX}a"])
    lease.seen(await world.alice.stat(world.ref))
    assert lease.phase is Phase.LOSING
    await lease.acquire()
    assert [claim.owner for claim in await world.noted()] == ["a"]


async def test_what_dead_servers_left_is_tidied_up() -> None:
    world = World()
    await world.lease("dead").acquire()
    world.at += 2 * 86400
    lease = world.lease("a")
    await lease.acquire()
    world.at += 30
    await lease.acquire()
    assert [claim.owner for claim in await world.noted()] == ["a"]


async def test_a_renewal_that_took_too_long_is_none() -> None:
    world = World()
    lock = Lock("cs3collab:a:1", APP_NAME, expires_at=world.at + LIFE)
    line = Claims(world.alice, "a", LIFE, lambda: world.at)
    await line.set_lock(world.ref, lock)

    def freeze() -> None:
        world.at += LIFE

    world.site.inject("set_metadata", freeze)
    with pytest.raises(LeaseLost):
        await line.refresh_lock(world.ref, lock)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"lock": 1}', '{"lock": "x", "number": "a", "until": 1, "life": 1}'])
def test_nonsense_is_no_claim(text: str) -> None:
    assert claims({PREFIX + "a": text, "other": text}) == []


@given(st.text(min_size=1), st.text(), st.integers(0, 10**9), st.floats(0, 1e10), st.floats(0, 1e6))
def test_claims_come_back_as_they_were(owner: str, lock_id: str, number: int, until: float, life: float) -> None:
    claim = Claim(owner, lock_id, number, until, life)
    assert claims({PREFIX + owner: claim.text()}) == [claim]


def claim(owner: str, number: int, until: float = START + LIFE) -> Claim:
    return Claim(owner, f"cs3collab:{owner}:1", number, until, LIFE)


@pytest.mark.parametrize(
    ("others", "first"),
    [
        ([], None),
        ([claim("a", 1)], "a"),
        ([claim("c", 1), claim("d", 1)], "c"),
        ([claim("c", 2)], None),
        ([claim("a", 2)], "a"),
        ([claim("a", 3)], None),
        ([claim("d", 0)], "d"),
        ([claim("d", 0), claim("c", 1)], "c"),
        ([claim("c", 1, START - 21)], None),
        ([claim("c", 0, START - 21)], None),
        ([claim("c", 1, START - 19)], "c"),
    ],
)
def test_who_must_be_waited_for(others: list[Claim], first: str | None) -> None:
    found = in_front_of(claim("b", 2), [claim("b", 2), *others], START)
    assert (found.owner if found else None) == first


def test_the_lowest_number_has_the_lock() -> None:
    noted = {PREFIX + c.owner: c.text() for c in (claim("a", 3), claim("b", 2), claim("c", 0), claim("d", 1, START - 100))}
    assert holder(noted, START) == Lock("cs3collab:b:1", APP_NAME, expires_at=START + LIFE)
    assert holder({}, START) is None


class Turns:
    """Every call of every server waits until it is let through, in an order that hypothesis chooses."""

    def __init__(self, storage: MemoryStorage, queue: list[asyncio.Future[None]]) -> None:
        self._storage = storage
        self._queue = queue

    async def _turn(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        await turn

    async def stat(self, ref: Ref) -> Any:
        await self._turn()
        return await self._storage.stat(ref)

    async def set_metadata(self, ref: Ref, values: Mapping[str, str]) -> None:
        await self._turn()
        await self._storage.set_metadata(ref, values)

    async def unset_metadata(self, ref: Ref, keys: list[str]) -> None:
        await self._turn()
        await self._storage.unset_metadata(ref, keys)


@given(st.lists(st.integers(0, 3), max_size=60), st.dictionaries(st.integers(0, 30), st.integers(0, 3), max_size=2))
@settings(max_examples=300, deadline=None)
def test_in_no_order_of_calls_two_get_the_turn(order: list[int], deaths: dict[int, int]) -> None:
    """Whoever gets it holds it to the end; some die on the way. ``deaths``: after which call, and who."""

    async def race() -> list[str]:
        world, queue, winners = World(), list[asyncio.Future[None]](), list[str]()

        async def one(name: str) -> None:
            line = Claims(Turns(world.alice, queue), name, LIFE, lambda: world.at)
            with contextlib.suppress(LockHeld):
                await line.set_lock(world.ref, Lock(f"cs3collab:{name}:1", APP_NAME, expires_at=world.at + LIFE))
                winners.append(name)

        tasks = [asyncio.create_task(one(name)) for name in "abcd"]
        for step in itertools.count():
            for _ in range(4):
                await asyncio.sleep(0)
            queue[:] = [turn for turn in queue if not turn.done()]
            if all(task.done() for task in tasks):
                return winners
            if queue:
                queue.pop(order[step] % len(queue) if step < len(order) else 0).set_result(None)
            if step in deaths:
                tasks[deaths[step]].cancel()
        raise AssertionError

    with mock.patch.object(module, "_PAUSES_S", (0.0, 0.0, 0.0)):
        assert len(asyncio.run(race())) <= 1


async def test_when_all_come_at_once_one_gets_the_turn_in_the_end() -> None:
    world = World()
    leases = [world.lease(name) for name in "abcd"]
    while not any(lease.held for lease in leases):
        await asyncio.gather(*(lease.acquire() for lease in leases), return_exceptions=True)
    assert sum(lease.held for lease in leases) == 1
