"""What a session costs in traffic: the bytes put into the blob store for the bytes of the updates, an hour in seconds.

The hour is virtual: the event loop's clock jumps to the next timer when nothing else is to be done, and runs with the real one
while the disk or a child process works. So the store ships and compacts at its own pace.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, TypeVar

from pycrdt import Array, Doc, Map, Text, TransactionEvent

from benchmarks import store_trace
from benchmarks.results import Row
from ystore import Journal, MemoryBlobs, Store

T = TypeVar("T")

DOCUMENT_BYTES = 500_000
PEOPLE = ("einstein@a.example", "marie@b.example")
KEYS_PER_S = 5.0
BURST_S, PAUSE_S = 20.0, 20.0
RUN_EVERY_S, OUTPUT_BYTES = 60.0, 3000


async def measure(folder: Path, hours: float) -> list[Row]:
    """Two people type in turns, and run a cell a minute, in a document of 500 kB."""
    blobs, updates = await asyncio.to_thread(_session, folder / "session", hours * 3600)
    minutes = f"{hours * 60:.0f} min"
    return [
        Row(f"uploaded in {minutes} of two people (kB)", blobs.put_bytes / 1000, updates / 1000, "bytes of the updates", 2.0),
    ]


class CountingBlobs(MemoryBlobs):
    def __init__(self) -> None:
        super().__init__()
        self.put_bytes = 0
        self.kinds: Counter[str] = Counter()
        """Bytes by the ending of the name."""

    async def put(self, name: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        self.put_bytes += len(data)
        self.kinds[name.rpartition(".")[2] if "." in name else "meta"] += len(data)
        return await super().put(name, data, if_absent=if_absent, if_match=if_match)


def _session(folder: Path, seconds: float) -> tuple[CountingBlobs, int]:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_type(folder, seconds))


async def _type(folder: Path, seconds: float) -> tuple[CountingBlobs, int]:
    blobs, doc = CountingBlobs(), store_trace.large(DOCUMENT_BYTES)
    made: list[bytes] = []

    def keep(event: TransactionEvent) -> None:
        made.append(event.update)

    async with await Store.open(folder, blobs, CountedJournal()) as store:
        await store.append(doc.get_update())
        await store.flush()
        await store.compact()
        await store.flush()
        blobs.put_bytes, updates = 0, 0
        blobs.kinds.clear()
        subscription = doc.observe(keep)
        writers = [_Person(doc, n) for n in range(len(PEOPLE))]
        loop = asyncio.get_running_loop()
        begin = loop.time()
        while (now := loop.time() - begin) < seconds:
            writers[0].run_cells(now)
            for writer in writers:
                writer.type(now)
            for update in made:
                updates += len(update)
                await store.append(update, PEOPLE[len(update) % 2])
            made.clear()
            await asyncio.sleep(1 / KEYS_PER_S)
        await store.flush()
        doc.unobserve(subscription)
    return blobs, updates


class _Person:
    """Types every other while; the two do so one after the other. The one who runs cells replaces one of twenty outputs."""

    def __init__(self, doc: Doc[Any], number: int) -> None:
        self._text = doc.get("source", type=Text)
        self._outputs = doc.get("cells", type=Array)
        self._chance = random.Random(number)
        self._strokes = store_trace.strokes(10**9, number)
        self._from = number * BURST_S
        self._ran = 0.0

    def type(self, now: float) -> None:
        if (now - self._from) % (BURST_S + PAUSE_S) >= BURST_S:
            return
        at, letter = next(self._strokes)
        size = len(self._text)
        if letter:
            self._text.insert(min(at, size), letter)
        elif size:
            del self._text[min(at, size - 1)]

    def run_cells(self, now: float) -> None:
        if now - self._ran < RUN_EVERY_S:
            return
        self._ran = now
        if len(self._outputs) >= 20:
            del self._outputs[0]
        numbers = " ".join(f"{self._chance.random():.6f}" for _ in range(OUTPUT_BYTES // 9))
        self._outputs.append(Map({"output_type": "stream", "text": Text(numbers)}))


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its clock skips what would be waited for by timers alone."""

    def __init__(self) -> None:
        self.skipped = 0.0
        self.busy = 0
        super().__init__(_SkippingSelector(self))

    def time(self) -> float:
        return super().time() + self.skipped

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        self.busy += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._rest)
        return future

    def _rest(self, future: asyncio.Future[Any]) -> None:
        self.busy -= 1


class CountedJournal(Journal):
    """Tells the loop of threads that are at work: they are not the loop's own."""

    async def run(self, function: Callable[..., T], *args: object) -> T:
        return await _while_busy(super().run(function, *args))

    async def disk(self, function: Callable[..., T], *args: object) -> T:
        return await _while_busy(super().disk(function, *args))


async def _while_busy(work: Awaitable[T]) -> T:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.busy += 1
    try:
        return await work
    finally:
        loop.busy -= 1


class _SkippingSelector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        waiting = timeout is None or timeout > 0
        found = super().select(0 if waiting and not self._loop.busy else timeout)
        if not found and timeout and not self._loop.busy:
            self._loop.skipped += timeout
        return found
