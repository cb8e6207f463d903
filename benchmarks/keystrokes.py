"""How long a keystroke takes from one person's browser to another's, and what it costs."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from benchmarks.peer import Peer, connected
from benchmarks.results import STOCK, Row, latency_rows
from benchmarks.servers import Side
from cs3collab.errors import CollabError

KEYS_PER_S = 10.0
"""Of one person: a fast typist."""
LATE_S = 10.0
WARM_UP_S = 1.0


@dataclass(frozen=True, slots=True)
class Typing:
    """So many people, spread evenly over the doors, all type at once; each has a cell of their own."""

    people: int
    seconds: float
    rounds: int
    cursors: bool


async def measure(name: str, ours: Side, stock: Side, typing: Typing) -> list[Row]:
    """In rounds, one side after the other; raises `CollabError` when a keystroke is lost."""
    latencies: dict[int, list[list[float]]] = {0: [], 1: []}
    async with AsyncExitStack() as stack:
        sides = [[await _enter(stack, side, number) for number in range(typing.people)] for side in (ours, stock)]
        for peers in sides:
            await _round(peers, WARM_UP_S, typing.cursors)
        before = [side.processes.cpu_s() for side in (ours, stock)]
        for number in range(typing.rounds):
            for which in (0, 1) if number % 2 else (1, 0):
                latencies[which].append(await _round(sides[which], typing.seconds, typing.cursors))
        cpu = [side.processes.cpu_s() - start for side, start in zip((ours, stock), before, strict=True)]
    rows = latency_rows(name, latencies[0], latencies[1], 1.0)
    if typing.people > 2:
        delivered = [sum(map(len, rounds)) / 1e6 for rounds in latencies.values()]
        mine, theirs = (seconds / number for seconds, number in zip(cpu, delivered, strict=True))
        rows.append(Row(f"{name}, processor time of all servers for a delivery (µs)", mine, theirs, STOCK, 1.0))
    return rows


async def _enter(stack: AsyncExitStack, side: Side, number: int) -> Peer:
    return await stack.enter_async_context(connected(side.doors[number % len(side.doors)]))


async def _round(peers: Sequence[Peer], seconds: float, cursors: bool) -> list[float]:
    """Seconds from each keystroke of each person to each of the others."""
    chance = random.Random(len(peers))
    sent: list[dict[int, float]] = await asyncio.gather(
        *(_type(peer, cell, seconds, cursors, random.Random(chance.random())) for cell, peer in enumerate(peers))
    )
    others = [[peer for peer in peers if peer is not writer] for writer in peers]
    pairs = [(reader, mark, at) for i, marks in enumerate(sent) for mark, at in marks.items() for reader in others[i]]
    deadline = time.perf_counter() + LATE_S
    while missing := sum(mark not in reader.arrived for reader, mark, _ in pairs):
        if time.perf_counter() > deadline or not all(peer.alive for peer in peers):
            raise CollabError(f"{missing} of {len(pairs)} keystrokes did not arrive within {LATE_S:.0f} s")
        await asyncio.sleep(0.05)
    return [reader.arrived[mark] - at for reader, mark, at in pairs]


async def _type(peer: Peer, cell: int, seconds: float, cursors: bool, chance: random.Random) -> dict[int, float]:
    """When each was sent. The pauses vary, so that people do not type in step."""
    sent = {}
    due = time.perf_counter() + chance.uniform(0.5, 1.0)  # after everybody's frames are made
    for key in peer.keystrokes(round(seconds * KEYS_PER_S), cell):
        await asyncio.sleep(due - time.perf_counter())
        sent[key.mark] = await peer.type(key, cursor=cursors)
        due += chance.uniform(0.5, 1.5) / KEYS_PER_S
    return sent
