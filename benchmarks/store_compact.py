"""Whether those who type notice compaction: the time until an edit is durable, with and without it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from benchmarks import store_trace
from benchmarks.results import Row, percentile
from ystore import Store

DOCUMENT_BYTES = 500_000
EVERY_S = 0.005
BEHIND = 64
"""Edits between two compactions, as many segments as are usually behind a snapshot when it is renewed."""


async def measure(folder: Path, rounds: int, seconds: float) -> list[Row]:
    """One person's edits at an even pace into a document of 500 kB; in turn alone, and while one compaction follows another."""
    idle: list[float] = []
    compacting: list[float] = []
    doc = store_trace.large(DOCUMENT_BYTES)
    async with await Store.open(folder / "compacted") as store:
        await store.append(doc.get_update())
        edits = iter(store_trace.updates(int(2 * rounds * seconds / EVERY_S) + 1, doc=doc))
        for _ in range(rounds):
            idle += await _latencies(store, edits, seconds)
            endless = asyncio.create_task(_compact(store))
            compacting += await _latencies(store, edits, seconds)
            endless.cancel()
            await asyncio.gather(endless, return_exceptions=True)
    return [
        Row(
            f"durable append while compacting, p{share * 100:.0f} (ms)", ours * 1000, alone * 1000, "the same when idle", target
        )
        for share, target in ((0.5, 1.5), (0.99, 1.5))
        for ours, alone in [(percentile(compacting, share), percentile(idle, share))]
    ]


async def _compact(store: Store) -> None:
    for done in count():
        while store.position < (done + 1) * BEHIND:  # noqa: ASYNC110 - the store has no event for it
            await asyncio.sleep(EVERY_S)
        await store.compact()


async def _latencies(store: Store, edits: Iterator[bytes], seconds: float) -> list[float]:
    """Seconds from the moment an edit was due, so that one that is late makes those behind it late."""
    took: list[float] = []

    async def append(edit: bytes, due: float) -> None:
        await store.append(edit)
        took.append(time.perf_counter() - due)

    begin = time.perf_counter()
    running = []
    for n in range(int(seconds / EVERY_S)):
        due = begin + n * EVERY_S
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        running.append(asyncio.create_task(append(next(edits), due)))
    await asyncio.gather(*running)
    return took
