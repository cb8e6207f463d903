"""The least a keystroke could take: as many processes in a row as it wakes on its way, each of which only forwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

FORWARDERS = 6
"""Jupyter server, home relay, its worker, the relay again, the other relay, the other Jupyter server."""
KEYSTROKE_BYTES = 150
PAUSE_S = (0.03, 0.07)
"""As between the keystrokes of two people: what sleeps between two edits is cold."""
PROGRAM = """
import asyncio, sys

class Forwarder(asyncio.Protocol):
    def __init__(self, onward):
        self.onward = onward
    def data_received(self, data):
        self.onward.write(data)
    def connection_lost(self, error):
        sys.exit()

async def main(port):
    loop = asyncio.get_running_loop()
    onward, _ = await loop.create_connection(asyncio.Protocol, "127.0.0.1", port)
    server = await loop.create_server(lambda: Forwarder(onward), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main(int(sys.argv[1])))
"""


async def measure(number: int) -> float:
    """Median seconds from one end of the row to the other."""
    chance = random.Random(FORWARDERS)
    async with _row() as (reader, writer):
        taken = []
        for _ in range(number):
            await asyncio.sleep(chance.uniform(*PAUSE_S))
            began = time.perf_counter()
            writer.write(os.urandom(KEYSTROKE_BYTES))
            await reader.readexactly(KEYSTROKE_BYTES)
            taken.append(time.perf_counter() - began)
    return statistics.median(taken)


@asynccontextmanager
async def _row() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """The reading end and the writing end."""
    arrived: asyncio.Future[asyncio.StreamReader] = asyncio.get_running_loop().create_future()
    end = await asyncio.start_server(lambda reader, writer: arrived.set_result(reader), "127.0.0.1", 0)
    port = end.sockets[0].getsockname()[1]
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(end.close)
        for _ in range(FORWARDERS):
            port = await stack.enter_async_context(_forwarder(port))
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        stack.callback(writer.close)
        yield await arrived, writer


@asynccontextmanager
async def _forwarder(port: int) -> AsyncIterator[int]:
    """Its own port."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, str(port), stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield int(await process.stdout.readline())
    finally:
        process.kill()
        await process.wait()
