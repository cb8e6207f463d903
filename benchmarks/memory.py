"""What an open notebook costs in memory while nobody types."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from benchmarks import notebooks
from benchmarks.peer import Door, connected
from benchmarks.results import STOCK, Row
from benchmarks.servers import Side

LOOK_EVERY_S = 1.0
LOOKS = 10
STILL = 256 * 1024
"""Bytes: memory that grows less than this between two looks has settled."""
WARM = 10
"""Rooms opened before: what the first ones bring, such as imports, is no matter of how many there are."""
KIB = 1024


async def measure(ours: Side, stock: Side, rooms: int) -> list[Row]:
    """Unshared memory of the processes, more after than before, for each of `rooms` small notebooks with one person in it."""
    relay, both = await _grown(ours, rooms, ("cs3collab relay", "jupyterlab"))
    (server,) = await _grown(stock, rooms, ("jupyterlab",))
    return [
        Row("memory of the relay and its worker for an idle notebook (KiB)", relay, server, STOCK, 0.5),
        Row("memory of relay, Jupyter server and workers for an idle notebook (KiB)", relay + both, server, STOCK, 1.0),
    ]


async def _grown(side: Side, rooms: int, kinds: tuple[str, ...]) -> list[float]:
    """KiB for each room, by kind of process."""
    door = side.doors[0]
    doors = [Door(door.url, door.token, f"idle-{number}.ipynb") for number in range(WARM + rooms)]
    for each in doors:
        await side.put(each.path, notebooks.small())
    async with AsyncExitStack() as stack:
        before = await _after(stack, side, doors[:WARM], kinds)
        after = await _after(stack, side, doors[WARM:], kinds)
    return [max(1.0, (now - then) / KIB / rooms) for then, now in zip(before, after, strict=True)]


async def _after(stack: AsyncExitStack, side: Side, doors: list[Door], kinds: tuple[str, ...]) -> list[int]:
    """Bytes by kind of process with these open too."""
    for door in doors:
        await stack.enter_async_context(connected(door))
    memory = await _memory(side, kinds)
    for _ in range(LOOKS):
        await asyncio.sleep(LOOK_EVERY_S)
        before, memory = memory, await _memory(side, kinds)
        if all(abs(now - then) < STILL for then, now in zip(before, memory, strict=True)):
            break
    return memory


async def _memory(side: Side, kinds: tuple[str, ...]) -> list[int]:
    return [await asyncio.to_thread(side.processes.memory, kind) for kind in kinds]
