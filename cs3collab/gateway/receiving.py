"""Bodies of uploads, whole or in pieces, on their way to a file that is not in its place yet."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path
from typing import Any, BinaryIO, Final

from aiohttp import web

CHUNK_BYTES: Final = 256 * 1024


class Part:
    """What has come of one upload: ``size`` bytes in the file ``temp``, with the ``digest`` (SHA-1) of all of them."""

    def __init__(self, temp: Path) -> None:
        self.temp = temp
        self.size = 0
        self.digest: Any = hashlib.sha1(usedforsecurity=False)
        self.busy = asyncio.Lock()

    @property
    def sha1(self) -> str:
        return str(self.digest.hexdigest())

    async def receive(self, request: web.Request, most: int, *, cut: bool = False) -> None:
        """Adds the body, durably, up to `most` bytes in all. Raises 413 when it is longer, or leaves the rest away (`cut`)."""
        file = await asyncio.to_thread(self.temp.open, "ab")
        try:
            async for chunk in request.content.iter_chunked(CHUNK_BYTES):
                room = most - self.size
                if len(chunk) > room and not cut:
                    raise web.HTTPRequestEntityTooLarge(most, self.size + len(chunk))
                await asyncio.to_thread(self._add, file, chunk[:room])
            await asyncio.to_thread(_sync, file)
        finally:
            await asyncio.to_thread(file.close)

    def _add(self, file: BinaryIO, chunk: bytes) -> None:
        file.write(chunk)
        self.digest.update(chunk)
        self.size += len(chunk)

    async def discard(self) -> None:
        await asyncio.to_thread(self.temp.unlink, missing_ok=True)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
