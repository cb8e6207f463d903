"""What it takes to make an edit durable: the store, against the bare disk and against the stock stores."""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

from pycrdt.store import FileYStore, SQLiteYStore

from benchmarks import store_trace
from benchmarks.results import Row
from ystore import Journal, Store, record

AUTHOR = "einstein@a.example"
ROOMS = 64
RAW = "write, fdatasync and group commit alone"
Append = Callable[[bytes], Awaitable[object]]


class DurableFileYStore(FileYStore):
    """`FileYStore` leaves its bytes to the kernel; this one syncs them, as `SQLiteYStore` does by default."""

    async def write(self, data: bytes) -> None:
        await super().write(data)
        await asyncio.to_thread(_sync, self.path)


def _sync(path: str) -> None:
    file = os.open(path, os.O_WRONLY)
    try:
        os.fdatasync(file)
    finally:
        os.close(file)


async def measure(folder: Path, rounds: int, number: int) -> list[Row]:
    """In each round every store takes `number` edits of one writer, and of many rooms at once. Medians over rounds."""
    took: defaultdict[str, list[float]] = defaultdict(list)
    async with AsyncExitStack() as stack:
        single = await _peers(stack, folder / "one", 1)
        rooms = await _peers(stack, folder / "rooms", ROOMS)
        for turn in range(rounds):
            edits = store_trace.updates(number, turn)
            many = store_trace.updates(number * 4, turn)
            took["crowd"].append(await _each([single["ystore"][0]] * ROOMS, many))
            took["raw crowd"].append(await _each([single["raw"][0]] * ROOMS, many))
            framed = [record.frame(1, AUTHOR, 0.0, edit) for edit in many]
            took["framed crowd"].append(await _each([single["raw"][0]] * ROOMS, framed))
            for name in single:
                took[f"{name} 1"].append(await _each(single[name], edits))
                took[f"{name} {ROOMS}"].append(await _each(rooms[name], many if name in ("ystore", "raw") else edits))
    ms = {name: median(values) for name, values in took.items()}
    one, all_rooms = ms["ystore 1"], ms[f"ystore {ROOMS}"]
    crowd = f"durable append, {ROOMS} writers of one document, for each edit (ms)"
    rows = [
        Row(crowd, ms["crowd"], ms["raw crowd"], RAW, 1.25),
        Row(crowd, ms["crowd"], ms["framed crowd"], "that, of as many bytes: with position, time, author and CRC", 1.25),
        Row(f"{RAW}, one writer (ms)", ms["raw 1"], ms["SQLiteYStore 1"], "SQLiteYStore, which syncs", 0.2),
    ]
    for name, about, target in (
        ("raw", RAW, 1.25),
        ("SQLiteYStore", "SQLiteYStore, which syncs", 0.2),
        ("FileYStore synced", "FileYStore, made to sync", 0.2),
        ("FileYStore", "FileYStore as it is, which does not sync", 1.0),
    ):
        rows += [
            Row("durable append, one writer (ms)", one, ms[f"{name} 1"], about, target),
            Row(f"durable append, {ROOMS} rooms at once, for each edit (ms)", all_rooms, ms[f"{name} {ROOMS}"], about, target),
        ]
    return rows


async def _peers(stack: AsyncExitStack, folder: Path, rooms: int) -> dict[str, list[Append]]:
    """A way to append for each of `rooms`, by the name of the store."""
    folder.mkdir(parents=True)  # noqa: ASYNC240 - nothing is measured yet
    journal = Journal()
    stack.callback(journal.close)
    ours = [await stack.enter_async_context(await Store.open(folder / f"{n}", journal=journal)) for n in range(rooms)]
    sqlite = type("Database", (SQLiteYStore,), {"db_path": str(folder / "sqlite.db")})
    stock = []
    for n in range(rooms):
        store = await stack.enter_async_context(sqlite(f"{n}"))
        await store.db_initialized.wait()  # one after the other: they make the same tables
        stock.append(store)
    raw = [RawLog(folder / f"{n}.raw") for n in range(rooms)]
    for log in raw:
        stack.callback(log.close)
    return {
        "raw": [log.append for log in raw],
        "ystore": [_by(store) for store in ours],
        "SQLiteYStore": [store.write for store in stock],
        "FileYStore synced": [DurableFileYStore(str(folder / f"{n}.synced")).write for n in range(rooms)],
        "FileYStore": [FileYStore(str(folder / f"{n}.y")).write for n in range(rooms)],
    }


class RawLog:
    """Group commit and nothing else: what is appended while a write and a sync are under way shares the next."""

    def __init__(self, path: Path) -> None:
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1)

    async def append(self, edit: bytes) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((edit, done))
        if self._task is None:
            self._task = asyncio.create_task(self._flush())
        await done

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting, []
            await loop.run_in_executor(self._thread, self._write, b"".join(edit for edit, _ in batch))
            for _, done in batch:
                done.set_result(None)
        self._task = None

    def _write(self, data: bytes) -> None:
        os.write(self.file, data)
        os.fdatasync(self.file)

    def close(self) -> None:
        self._thread.shutdown()
        os.close(self.file)


def _by(store: Store) -> Append:
    return lambda edit: store.append(edit, AUTHOR)


async def _each(writers: Sequence[Append], edits: Sequence[bytes]) -> float:
    """Milliseconds for each; every writer waits until its edit is durable before it brings the next."""
    waiting = iter(edits)

    async def write(append: Append) -> None:
        for edit in waiting:
            await append(edit)

    started = time.perf_counter()
    await asyncio.gather(*(write(append) for append in writers))
    return (time.perf_counter() - started) / len(edits) * 1000
