"""What a long history costs later: the time until the document is there again, and the bytes that are kept."""

from __future__ import annotations

import asyncio
import sqlite3
import struct
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

from pycrdt import Doc, write_var_uint
from pycrdt.store import BaseYStore, FileYStore, SQLiteYStore

from benchmarks import store_trace
from benchmarks.results import Row
from ystore import Journal, MemoryBlobs, Store, segment

ALONE = "apply_update of a snapshot alone"
BURST = 200
"""Edits that are appended at once, so that a hundred thousand are in before lunch."""


async def measure(folder: Path, edits: int, rounds: int) -> list[Row]:
    """The same trace in each store, then each is opened in turn. A large document of few edits beside it."""
    rows = []
    trace = store_trace.updates(edits)
    rows += await _compare(folder / "trace", f"{edits // 1000},000 single edits {store_trace.ORIGIN}", trace, rounds)
    doc = store_trace.large(5_000_000)
    notebook = [doc.get_update(), *store_trace.updates(1000, doc=doc)]
    rows += (await _compare(folder / "large", "a document of 5 MB", notebook, rounds))[:5]
    return rows


async def _compare(folder: Path, what: str, updates: Sequence[bytes], rounds: int) -> list[Row]:
    folder.mkdir(parents=True)  # noqa: ASYNC240 - nothing is measured yet
    blobs = MemoryBlobs()
    await _fill_ours(folder / "ystore", blobs, updates)
    sqlite = type("Database", (SQLiteYStore,), {"db_path": str(folder / "sqlite.db")})
    await _fill_sqlite(sqlite("document"), updates)
    file = FileYStore(str(folder / "file.y"))
    _fill_file(Path(file.path), updates)
    took: defaultdict[str, list[float]] = defaultdict(list)
    snapshot = _replayed(updates)
    journal = Journal()
    ways: dict[str, Callable[[Doc[Any]], Awaitable[None]]] = {
        "alone": lambda doc: _apply(doc, snapshot),
        "bare": lambda doc: _open_bare(doc, folder / "ystore", journal),
        "ystore": lambda doc: _open_ours(doc, folder / "ystore", journal),
        "SQLiteYStore": lambda doc: _open_stock(doc, sqlite("document")),
        "FileYStore": lambda doc: file.apply_updates(doc),
    }
    for _ in range(rounds):
        for name, way in ways.items():
            doc: Doc[Any] = Doc()
            started = time.perf_counter()
            await way(doc)
            took[name].append((time.perf_counter() - started) * 1000)
            assert len(doc.get_update()) == len(snapshot), f"{name} lost something"
    journal.close()
    ms = {name: median(values) for name, values in took.items()}
    rows = [
        Row(f"open {what} (ms)", ms["ystore"], ms["alone"], ALONE, 1.3),
        Row(f"open {what} (ms)", ms["ystore"], ms["bare"], "that, and in a thread its file read and decompressed", 1.3),
        Row(f"{ALONE}, {what} (ms)", ms["alone"], ms["SQLiteYStore"], "SQLiteYStore", 0.05),
        *(Row(f"open {what} (ms)", ms["ystore"], ms[name], name, 0.05) for name in ("SQLiteYStore", "FileYStore")),
    ]
    ours = sum(path.stat().st_size for path in (folder / "ystore").rglob("*") if path.is_file()) / 1024
    cold = sum([len(await blobs.get(name)) for name in await blobs.list("")]) / 1024
    for name, path in (("SQLiteYStore", "sqlite.db"), ("FileYStore", "file.y")):
        theirs = (folder / path).stat().st_size / 1024
        rows.append(Row(f"on disk after {what}, with the history (kB)", ours, theirs, name, 0.2))
        rows.append(Row(f"on CS3 after {what}, with the history (kB)", cold, theirs, name, 0.2))
    return rows


async def _fill_ours(folder: Path, blobs: MemoryBlobs, updates: Sequence[bytes]) -> None:
    async with await Store.open(folder, blobs) as store:
        for start in range(0, len(updates), BURST):
            await asyncio.gather(*map(store.append, updates[start : start + BURST]))
        await store.compact()
        await store.flush()


async def _fill_sqlite(store: SQLiteYStore, updates: Sequence[bytes]) -> None:
    """As `write` would, but for the last updates in one transaction: by itself it would take minutes."""
    last = 3 * (store.checkpoint_interval or 1) // 2
    async with store:
        await store.db_initialized.wait()
        with closing(sqlite3.connect(store.db_path)) as database, database:
            rows = (("document", update, b"", at / 1000) for at, update in enumerate(updates[:-last]))
            database.executemany("INSERT INTO yupdates VALUES (?, ?, ?, ?)", rows)
        for update in updates[-last:]:
            await store.write(update)  # makes a checkpoint of all that is there on the way


def _fill_file(path: Path, updates: Sequence[bytes]) -> None:
    """What `FileYStore.write` would have appended."""
    fields = (field for at, update in enumerate(updates) for field in (update, b"", struct.pack("<d", at / 1000)))
    path.write_bytes(b"VERSION:2\n" + b"".join(write_var_uint(len(field)) + field for field in fields))


def _replayed(updates: Sequence[bytes]) -> bytes:
    doc: Doc[Any] = Doc()
    for update in updates:
        doc.apply_update(update)
    return doc.get_update()


async def _apply(doc: Doc[Any], update: bytes) -> None:
    doc.apply_update(update)


async def _open_ours(doc: Doc[Any], folder: Path, journal: Journal) -> None:
    async with await Store.open(folder, journal=journal) as store:
        async for update in store.updates():
            doc.apply_update(update)


async def _open_bare(doc: Doc[Any], folder: Path, journal: Journal) -> None:
    """The snapshot from its file, and nothing else: no lock, no look at what else is there or at whether it is all there."""
    doc.apply_update(await journal.disk(_unpacked, folder))


def _unpacked(folder: Path) -> bytes:
    file = next((folder / "data").glob("*/*.ysnap"))
    return segment.unpack(file.name, file.read_bytes())


async def _open_stock(doc: Doc[Any], store: BaseYStore) -> None:
    async with store:
        await store.apply_updates(doc)
