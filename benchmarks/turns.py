"""How long the event loop of a Jupyter server is held up while large things move: the longest of all turns."""

from __future__ import annotations

import asyncio
import base64
import gc
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from traitlets.config import Config

from benchmarks.results import Row
from benchmarks.storage import USER
from cs3collab.collector import settle
from cs3collab.cs3.files import Files
from cs3collab.demo.gateways import start_gateways
from cs3collab.jupyter.contents import CS3ContentsManager
from cs3collab.types import Ref

PEER = "what nobody notices"
BAR_MS = 20.0
"""What nobody notices while typing; a keystroke between two sites takes 5."""
SIZE = 50 * 2**20
CHUNK = 2**20
"""As JupyterLab's file browser uploads."""
ENTRIES = 10_000
TICK_S = 0.001


async def measure(folder: Path, *, rounds: int, entries: int = ENTRIES) -> list[Row]:
    """The least of all rounds: another program on this machine can only make it longer.

    The garbage collector does not come in every round. So its processor time stands beside, the most of all rounds.
    """
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        gateway = (await start_gateways(stack, folder, [USER.site], [USER], {}, None))[USER.site]
        config = Config()
        config.CS3Settings.update(gateway=gateway, username=USER.username, password=USER.password, site=USER.site)
        config.NotebookNotary.update(db_file=":memory:")
        manager = CS3ContentsManager(config=config)
        stack.push_async_callback(manager.settings.close)
        files = await manager.settings.files()
        home = await files.home()
        await _crowded(files, f"{home}/many", entries)
        content = os.urandom(SIZE)
        parts = [base64.b64encode(content[at : at + CHUNK]).decode() for at in range(0, SIZE, CHUNK)]

        async def upload() -> None:
            for number, part in enumerate(parts, 1):
                chunk = number if number < len(parts) else -1
                await manager.save({"type": "file", "format": "base64", "content": part, "chunk": chunk}, "up.bin")

        async def download() -> None:
            async with files.reading(Ref(f"{home}/up.bin"), max_bytes=2 * SIZE) as (_, pieces):
                assert sum([len(piece) async for piece in pieces]) == SIZE

        async def listing() -> None:
            assert len((await manager.get("many"))["content"]) == entries

        rows = []
        settle()  # as the extension does once the server is ready
        with _collections() as took:
            for name, work in (
                ("upload of 50 MB", upload),
                ("download of 50 MB", download),
                (f"listing of {entries} files", listing),
            ):
                longest = min([await _longest(work) for _ in range(rounds)])
                rows.append(Row(f"longest turn, {name} (ms)", longest * 1000, BAR_MS, PEER, 1.0))
        rows.append(Row("longest garbage collection in all of these (ms)", max(took, default=0.0) * 1000, BAR_MS, PEER, 1.0))
        return rows


@contextmanager
def _collections() -> Iterator[list[float]]:
    """The processor time of each garbage collection, seconds."""
    took: list[float] = []

    def watch(phase: str, info: dict[str, int]) -> None:
        took.append(time.thread_time() if phase == "start" else time.thread_time() - took.pop())

    gc.callbacks.append(watch)
    try:
        yield took
    finally:
        gc.callbacks.remove(watch)


async def _crowded(files: Files, path: str, entries: int) -> None:
    await files.mkdir(Ref(path))
    gate = asyncio.Semaphore(16)

    async def touch(number: int) -> None:
        async with gate:
            await files.touch(Ref(f"{path}/{number:05}.txt"))

    await asyncio.gather(*map(touch, range(entries)))


async def _longest(work: Callable[[], Awaitable[None]]) -> float:
    """Seconds between two turns of a task that wants one every millisecond, while `work` goes on."""
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(TICK_S)
            longest = max(longest, time.perf_counter() - before - TICK_S)

    ticking = asyncio.create_task(tick())
    try:
        await work()
    finally:
        ticking.cancel()
    return longest
