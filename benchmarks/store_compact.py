"""Whether those who type notice compaction: the time until an edit is durable, with and without it."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median

from benchmarks import store_trace
from benchmarks.results import Row, percentile
from cs3collab.relay.command import SWITCH_S
from ystore import Store
from ystore.files import Files

DOCUMENT_BYTES = 500_000
EVERY_S = 0.005
BEHIND = 64
"""Edits between two compactions, as many segments as are usually behind a snapshot when it is renewed."""


async def measure(folder: Path, rounds: int, seconds: float) -> list[Row]:
    """One person's edits at an even pace into a document of 500 kB; in turn alone, while one compaction follows another, and
    beside what no compaction can do without: as many files made durable. Medians.
    """
    sys.setswitchinterval(SWITCH_S)
    took: defaultdict[str, list[list[float]]] = defaultdict(list)
    doc = store_trace.large(DOCUMENT_BYTES)
    async with await Store.open(folder / "compacted") as store:
        await store.append(doc.get_update())
        edits = iter(store_trace.updates(int(3 * rounds * seconds / EVERY_S) + 1, doc=doc))
        beside = {"nothing": None, "compaction": store.compact, "floor": partial(_floor, folder)}
        for _ in range(rounds):
            for name, work in beside.items():
                await store.compact()  # what the others left
                endless = asyncio.create_task(_repeat(store, work)) if work else None
                took[name].append(await _latencies(store, edits, seconds))
                if endless is not None:
                    endless.cancel()
                    await asyncio.gather(endless, return_exceptions=True)
    rows = []
    for peer, name in (
        ("the same when idle", "nothing"),
        ("the same beside as many bare fsyncs", "floor"),
    ):
        for share in (0.5, 0.99):
            ours, against = (1000 * median(percentile(each, share) for each in took[side]) for side in ("compaction", name))
            rows.append(Row(f"durable append while compacting, p{share * 100:.0f} (ms)", ours, against, peer, 1.5))
    return rows


async def _floor(folder: Path) -> None:
    """Three files (the sealed log, the snapshot, merged segments) written and synced as the store does."""
    files = Files()
    for name, size in (("segment", 2_000), ("snapshot", DOCUMENT_BYTES // 2), ("merged", 20_000)):
        await asyncio.to_thread(files.write_atomic, folder / name, bytes(size))


async def _repeat(store: Store, work: Callable[[], Awaitable[None]]) -> None:
    """Whenever enough was edited."""
    begin = store.position
    for done in count(1):
        while store.position < begin + done * BEHIND:  # noqa: ASYNC110 - the store has no event for it
            await asyncio.sleep(EVERY_S)
        await work()


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
