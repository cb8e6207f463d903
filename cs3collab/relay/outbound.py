"""The writing side of a websocket: joins what a loop turn produced, and counts what a slow peer leaves unread."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from cs3collab.relay.protocol import MAX_MESSAGES_PER_FRAME, Message, encode

MESSAGE_OVERHEAD_BYTES = 64
T = TypeVar("T")


class Socket(Protocol):
    """What aiohttp's websockets offer, the client's and the server's."""

    async def send_bytes(self, data: bytes) -> None: ...
    async def close(self, *, code: int = 1000, message: bytes = b"") -> object: ...


class Outbound(Generic[T]):
    """Never blocks the sender. Past `limit_bytes` unread the socket is closed: the peer comes back and resyncs."""

    def __init__(
        self, ws: Socket, *, limit_bytes: int, frames: Callable[[list[T]], Sequence[bytes]], size: Callable[[T], int]
    ) -> None:
        self._ws = ws
        self._limit = limit_bytes
        self._frames = frames
        self._size = size
        self._queue: list[T] = []
        self.queued_bytes = 0
        self._wake = asyncio.Event()
        self._closing: tuple[int, str] | None = None
        self._task = asyncio.get_running_loop().create_task(self._run())

    def send(self, message: T) -> None:
        if self._closing is not None:
            return
        self._queue.append(message)
        self.queued_bytes += self._size(message)
        self._wake.set()
        if self.queued_bytes > self._limit and len(self._queue) > 1:
            self.cut(1013, "too slow to follow; connect again")

    def close(self, code: int, reason: str) -> None:
        """Closes the socket after what is queued."""
        self._closing = self._closing or (code, reason)
        self._wake.set()

    def cut(self, code: int, reason: str) -> None:
        """Closes the socket now."""
        self._closing = self._closing or (code, reason)
        self._queue.clear()
        self._task.cancel()

    def stop(self) -> None:
        self.cut(1000, "")

    async def _run(self) -> None:
        try:
            while self._queue or self._closing is None:
                await self._wake.wait()
                self._wake.clear()
                await self._write()
        except (ConnectionError, RuntimeError, asyncio.CancelledError):
            # aiohttp says RuntimeError or ClientConnectionResetError (a ConnectionError) on a closed transport.
            pass
        finally:
            code, reason = self._closing or (1011, "")
            with contextlib.suppress(Exception):
                await self._ws.close(code=code, message=reason.encode()[:123])

    async def _write(self) -> None:
        batch, self._queue = self._queue[:MAX_MESSAGES_PER_FRAME], self._queue[MAX_MESSAGES_PER_FRAME:]
        if self._queue:
            self._wake.set()
        for frame in self._frames(batch):
            await self._ws.send_bytes(frame)
        self.queued_bytes -= sum(map(self._size, batch))


def _size(message: Message) -> int:
    return MESSAGE_OVERHEAD_BYTES + len(getattr(message, "update", b""))


def link_outbound(ws: Socket, limit_bytes: int) -> Outbound[Message]:
    """Messages of the link protocol, a loop turn's in one frame."""
    return Outbound(ws, limit_bytes=limit_bytes, frames=lambda batch: [encode(batch)] if batch else [], size=_size)


def plain_outbound(ws: Socket, limit_bytes: int) -> Outbound[bytes]:
    """Messages of the y-websocket protocol, one a frame."""
    return Outbound(
        ws, limit_bytes=limit_bytes, frames=lambda batch: batch, size=lambda message: MESSAGE_OVERHEAD_BYTES + len(message)
    )
