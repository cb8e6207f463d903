"""What people who type notice of a large merge: in the worker, where it is computed, and on the loop of the relay."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.merge import CELLS, OUTPUT_BYTES, large
from benchmarks.results import Row
from benchmarks.worker import edits, no_history
from cs3collab.rooms.ports import Document
from cs3collab.rooms.worker import WorkerPool

EVERY_S = 0.005


async def measure(rounds: int) -> list[Row]:
    """Keystrokes at an even pace into a document of 500 cells, alone and while a version of somebody else is merged into it."""
    base, ours, theirs = (json.dumps(nb, indent=1).encode() for nb in large())
    began = time.perf_counter()
    for content in (base, ours, theirs):
        json.loads(content)
    parsing = time.perf_counter() - began
    async with WorkerPool() as pool:
        document = pool.document("notebook", no_history)
        keys = iter(edits(await document.seed(ours), 100_000))
        await document.merge(base, theirs)
        idle, busy, merging, turns = [], [], [], []
        for _ in range(rounds):
            idle.append(max(await _typed(document, keys, asyncio.create_task(asyncio.sleep(0.5)))))
            turn = asyncio.create_task(_longest_turn())
            began = time.perf_counter()
            merge = asyncio.create_task(document.merge(base, theirs))
            busy.append(max(await _typed(document, keys, merge)))
            merging.append(time.perf_counter() - began)
            turn.cancel()
            turns.append(await turn)
        await document.close()
    what = f"{CELLS} cells with {OUTPUT_BYTES >> 20} MB of outputs"
    rows = [
        (f"merge of {what} by the worker, with reading the files (ms)", merging, [parsing], "parsing their JSON", 4.0),
        (f"longest wait of a keystroke while {what} are merged (ms)", busy, idle, "the same alone", 4.0),
        (f"longest turn of the loop while {what} are merged (ms)", turns, [0.02], "20 ms", 1.0),
    ]
    return [
        Row(name, *(1000 * statistics.median(s) for s in (mine, other)), peer, goal) for name, mine, other, peer, goal in rows
    ]


async def _typed(document: Document, keys: Iterator[bytes], until: asyncio.Task[Any]) -> list[float]:
    """Seconds from each keystroke to the worker's answer."""
    took: list[float] = []
    while not until.done() or not took:
        began = time.perf_counter()
        await document.apply(next(keys))
        took.append(time.perf_counter() - began)
        await asyncio.sleep(EVERY_S)
    await until
    return took


async def _longest_turn() -> float:
    longest, before = 0.0, time.perf_counter()
    try:
        while True:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            longest, before = max(longest, now - before - 0.001), now
    except asyncio.CancelledError:
        return longest
