"""The chunked upload of the Contents API: ``chunk`` is 1, 2, ... and -1 for the last."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import IO, Any, Final

from cs3collab.cs3.transfer import Source
from cs3collab.errors import Conflict, InvalidInput, Overloaded

PIECE_BYTES: Final = 256 * 1024
"""How much of an upload is read back at once."""


def _file() -> IO[bytes]:
    return tempfile.TemporaryFile(buffering=0)


def _sha1() -> Any:
    return hashlib.sha1(usedforsecurity=False)


@dataclass(slots=True)
class Upload:
    """Bytes so far, on local disk and never all in memory."""

    file: IO[bytes] = field(default_factory=_file)
    digest: Any = field(default_factory=_sha1)
    size: int = 0
    next_chunk: int = 1
    touched: float = field(default_factory=time.monotonic)
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)

    def source(self) -> Source:
        """What has come, for as long as this is not closed."""
        return Source(self.size, self.digest.hexdigest(), self._pieces)

    async def _pieces(self) -> AsyncIterator[bytes]:
        offset = 0
        while piece := await asyncio.to_thread(os.pread, self.file.fileno(), PIECE_BYTES, offset):
            yield piece
            offset += len(piece)

    async def add(self, content: bytes) -> None:
        """Raises `OSError` when the disk is full."""
        self.size += len(content)
        await asyncio.to_thread(self._append, content)

    def _append(self, content: bytes) -> None:
        self.digest.update(content)
        rest = memoryview(content)
        while rest:
            rest = rest[self.file.write(rest) :]

    def close(self) -> None:
        self.file.close()


class Uploads:
    """Collects chunks per path until the last one came; storage then gets the whole file in one atomic write.

    At most `count` uploads of `max_bytes` each; a new one beyond that takes the place of one idle for `idle_s` seconds, else
    it is refused.
    """

    def __init__(self, *, max_bytes: int, count: int = 16, idle_s: float = 600.0) -> None:
        self._max_bytes, self._count, self._idle_s = max_bytes, count, idle_s
        self._running: dict[str, Upload] = {}

    async def add(self, path: str, chunk: object, content: bytes) -> int | Upload:
        """Bytes received so far, or after the last chunk all of it, which the caller has to close.

        Raises `Conflict` for a chunk out of turn, `Overloaded` past a bound, `InvalidInput` for a chunk number that is none.
        """
        if not isinstance(chunk, int) or isinstance(chunk, bool) or chunk == 0 or chunk < -1:
            raise InvalidInput(f"not a chunk number: {chunk!r}", hint="number chunks 1, 2, ... and the last -1")
        upload = self._begin(path) if chunk == 1 else self._running.get(path)
        if upload is None:
            raise _out_of_turn(path, chunk)
        async with upload.busy:
            if self._running.get(path) is not upload:
                raise Conflict(f"{path} is being uploaded again", hint="let one upload of it finish")
            if chunk not in (-1, upload.next_chunk):
                raise _out_of_turn(path, chunk)
            whole = False
            try:
                await self._append(path, upload, content)
                whole = chunk == -1
            finally:
                if whole:
                    self._end(path, upload)
                elif self._running.get(path) is not upload:
                    upload.close()
        return upload if whole else upload.size

    async def _append(self, path: str, upload: Upload, content: bytes) -> None:
        if upload.size + len(content) > self._max_bytes:
            self._end(path, upload)
            raise Overloaded(
                f"{path} is larger than {self._max_bytes // 2**20} MiB",
                hint="use the storage's own web page or sync client, or raise CS3ContentsManager.max_upload_bytes",
            )
        upload.next_chunk += 1
        upload.touched = time.monotonic()
        await upload.add(content)

    def _begin(self, path: str) -> Upload:
        if (old := self._running.get(path)) is not None:
            self._end(path, old)
        if len(self._running) >= self._count:
            idle_path, idle = min(self._running.items(), key=lambda item: item[1].touched)
            if time.monotonic() - idle.touched < self._idle_s:
                raise Overloaded(f"{self._count} uploads are running", hint="wait until one of them is done")
            self._end(idle_path, idle)
        upload = self._running[path] = Upload()
        return upload

    def _end(self, path: str, upload: Upload) -> None:
        if self._running.get(path) is upload:
            del self._running[path]
        if not upload.busy.locked():
            upload.close()


def _out_of_turn(path: str, chunk: int) -> Conflict:
    return Conflict(f"chunk {chunk} of {path} came out of turn", hint="upload the file again from the start")
