"""An edit to the process where documents live, and back, against the least that could take."""

from __future__ import annotations

import asyncio
import socket
import statistics
import subprocess
import sys
import time
from typing import Any

from pycrdt import Array, Doc, Text, TransactionEvent

from benchmarks import notebooks
from benchmarks.results import Row
from cs3collab.rooms.worker import WorkerPool

ECHO = """
import socket, sys
end = socket.socket(fileno=int(sys.argv[1]))
while data := end.recv(65536):
    end.sendall(data)
"""


async def measure(number: int) -> list[Row]:
    """p50 and p99 of `number` keystrokes in a notebook, one after the other, each taken by both in turn."""
    content = notebooks.small()
    ours, floor = [], []
    async with WorkerPool() as pool:
        document = pool.document("notebook", no_history)
        start = await document.seed(content)
        local: Doc[Any] = Doc()
        local.apply_update(start)
        async with _Echo() as echo:
            for update in edits(start, number):
                began = time.perf_counter()
                await document.apply(update)
                between = time.perf_counter()
                await echo.round_trip(update)
                local.apply_update(update)
                ours.append((between - began) * 1000)
                floor.append((time.perf_counter() - between) * 1000)
        await document.close()
    peer = "an echo process, and pycrdt in this one"
    return [Row("edit through the room worker, p50 (ms)", statistics.median(ours), statistics.median(floor), peer, 2.0)]


async def no_history() -> list[bytes]:
    return []


def edits(start: bytes, number: int) -> list[bytes]:
    doc: Doc[Any] = Doc()
    doc.apply_update(start)
    source: Text = doc.get("cells", type=Array)[0]["source"]
    updates: list[bytes] = []

    def keep(event: TransactionEvent) -> None:
        updates.append(event.update)

    subscription = doc.observe(keep)
    for _ in range(number):
        source += "x"
    doc.unobserve(subscription)
    return updates


class _Echo:
    """A child process that sends back what it gets."""

    async def __aenter__(self) -> _Echo:
        self._ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-c", ECHO, str(theirs.fileno())]
            self._process = await asyncio.to_thread(subprocess.Popen, command, pass_fds=[theirs.fileno()])
        self._reader, self._writer = await asyncio.open_unix_connection(sock=self._ours)
        await self.round_trip(b"awake?")
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._writer.close()
        await asyncio.to_thread(self._process.wait)

    async def round_trip(self, data: bytes) -> None:
        self._writer.write(data)
        await self._reader.readexactly(len(data))
