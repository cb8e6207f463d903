"""How long a notebook takes to open: PUT session, websocket, SYNC_STEP2."""

from __future__ import annotations

import statistics
import time

from benchmarks import notebooks
from benchmarks.peer import Door, connected
from benchmarks.results import STOCK, Row
from benchmarks.servers import Side

SIZE = 2_000_000
SECOND_OPENERS = 3


async def measure(ours: Side, stock: Side, times: int) -> list[Row]:
    """Medians over `times` notebooks, each opened by one person (cold) and then by others (warm), at the home site."""
    cold: list[list[float]] = [[], []]
    warm: list[list[float]] = [[], []]
    for number in range(times + 1):
        content = notebooks.with_outputs(SIZE, seed=number)
        for which, side in enumerate((ours, stock)):
            name = f"big-{number}.ipynb"
            await side.put(name, content)
            first, later = await _open(Door(side.doors[0].url, side.doors[0].token, name))
            if number:  # the first one of all warms the servers up
                cold[which].append(first)
                warm[which] += later
    return [
        Row(f"open a {SIZE / 1e6:.0f} MB notebook, {name} (ms)", _middle_ms(sides[0]), _middle_ms(sides[1]), STOCK, 1.0)
        for name, sides in (("first to open it", cold), ("already open elsewhere", warm))
    ]


async def _open(door: Door) -> tuple[float, list[float]]:
    """Seconds of the first, and of others while the first is there."""
    started = time.perf_counter()
    async with connected(door):
        first = time.perf_counter() - started
        return first, [await _time(door) for _ in range(SECOND_OPENERS)]


def _middle_ms(seconds: list[float]) -> float:
    return statistics.median(seconds) * 1000


async def _time(door: Door) -> float:
    started = time.perf_counter()
    async with connected(door):
        return time.perf_counter() - started
