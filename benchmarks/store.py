"""What it takes to make an edit durable: the store, against the bare disk and against the stock store."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from pycrdt import Doc, Text, TransactionEvent
from pycrdt.store import SQLiteYStore

from benchmarks.results import Row
from ystore import Store
from ystore.record import Record, encode

AUTHOR = "einstein@a.example"
WRITERS = 64


async def measure(folder: Path, rounds: int, number: int) -> list[Row]:
    """In each round every store takes `number` edits, one after the other or of many writers at once. Medians over rounds."""
    alone: list[float] = []
    together: list[float] = []
    bare: list[float] = []
    sqlite: list[float] = []
    SQLiteYStore.db_path = str(folder / "sqlite.db")
    async with await Store.open(folder / "store") as store, SQLiteYStore("bench") as stock:
        log = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            for _ in range(rounds):
                edits = _edits(number)
                records = [encode(Record(1, AUTHOR, time.time(), edit)) for edit in edits]
                bare.append(await asyncio.to_thread(_bare, log, records))
                alone.append(await _each(lambda edit: store.append(edit, AUTHOR), edits, writers=1))
                together.append(await _each(lambda edit: store.append(edit, AUTHOR), edits * 4, writers=WRITERS))
                sqlite.append(await _each(stock.write, edits, writers=WRITERS))
        finally:
            os.close(log)
    floor, stock_ms = statistics.median(bare), statistics.median(sqlite)
    disk, peer = "write and fdatasync of one record", "SQLiteYStore, the stock store"
    return [
        Row("durable append, one writer (ms)", statistics.median(alone), floor, disk, 2.0),
        Row(f"durable append, {WRITERS} writers at once, for each edit (ms)", statistics.median(together), floor, disk, 0.1),
        Row(f"the same, {WRITERS} writers at the stock store (ms)", statistics.median(together), stock_ms, peer, 0.2),
    ]


def _edits(number: int) -> list[bytes]:
    """Updates of single keystrokes at the end of a text."""
    doc: Doc[Text] = Doc()
    text = doc.get("source", type=Text)
    updates: list[bytes] = []

    def keep(event: TransactionEvent) -> None:
        updates.append(event.update)

    subscription = doc.observe(keep)
    for _ in range(number):
        text += "x"
    doc.unobserve(subscription)
    return updates


def _bare(log: int, records: list[bytes]) -> float:
    """Milliseconds for each."""
    started = time.perf_counter()
    for record in records:
        os.write(log, record)
        os.fdatasync(log)
    return (time.perf_counter() - started) / len(records) * 1000


async def _each(append: Callable[[bytes], Awaitable[object]], edits: list[bytes], *, writers: int) -> float:
    """Milliseconds for each; every writer waits until its edit is durable before it brings the next."""
    waiting = iter(edits)

    async def write() -> None:
        for edit in waiting:
            await append(edit)

    started = time.perf_counter()
    await asyncio.gather(*(write() for _ in range(writers)))
    return (time.perf_counter() - started) / len(edits) * 1000
