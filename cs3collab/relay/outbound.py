"""The writing side of a websocket: joins what a loop turn produced, and counts what a slow peer leaves unread."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from cs3collab.relay.protocol import MAX_MESSAGES_PER_FRAME, Message, encode

MESSAGE_OVERHEAD_BYTES = 64
FRAME_BYTES = 2**20
"""A frame ends when it is this large: a peer refuses a frame that is larger than the largest update may be."""
CLOSE_S = 5.0
"""How long a peer may take to hear that the socket is closed."""
T = TypeVar("T")


class Socket(Protocol):
    """What aiohttp's websockets offer, the client's and the server's."""

    async def send_bytes(self, data: bytes) -> None: ...
    async def close(self, *, code: int = 1000, message: bytes = b"") -> object: ...


class Outbound(Generic[T]):
    """Never blocks the sender. Past `limit_bytes` unread the socket is closed: the peer comes back and resyncs."""

    def __init__(
        self,
        ws: Socket,
        *,
        limit_bytes: int,
        frames: Callable[[list[T]], Sequence[bytes]],
        size: Callable[[T], int],
        abort: Callable[[], None] = lambda: None,
    ) -> None:
        """``abort`` ends the connection at once, with what a peer that does not read has left in it."""
        self._ws = ws
        self._abort = abort
        self._limit = limit_bytes
        self._frames = frames
        self._size = size
        self._queue: list[T] = []
        self.queued_bytes = 0
        self._wake = asyncio.Event()
        self._progress = asyncio.Event()
        self._closing: tuple[int, str] | None = None
        self._was_cut = False
        self._task = asyncio.get_running_loop().create_task(self._run())

    def send(self, message: T) -> None:
        if self._closing is not None:
            return
        self._queue.append(message)
        self.queued_bytes += self._size(message)
        self._wake.set()
        if self.queued_bytes > self._limit and len(self._queue) > 1:
            self.cut(1013, "too slow to follow; connect again")

    async def drain(self) -> None:
        """Waits until the peer has read nearly all, or the socket is closed: for those who can wait, unlike `send`."""
        while self.queued_bytes > 8 * FRAME_BYTES and self._closing is None:
            self._progress.clear()
            await self._progress.wait()

    def close(self, code: int, reason: str) -> None:
        """Closes the socket after what is queued."""
        self._closing = self._closing or (code, reason)
        self._wake.set()

    def cut(self, code: int, reason: str) -> None:
        """Closes the socket now."""
        if self._was_cut:
            return
        self._was_cut = True
        self._closing = self._closing or (code, reason)
        self._queue.clear()
        self._progress.set()
        self._task.cancel()

    def stop(self) -> None:
        self.cut(1000, "")

    async def closed(self) -> None:
        """Waits until the peer was told, or did not listen for `CLOSE_S`."""
        await asyncio.wait([self._task])

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
            # a peer that reads nothing lets neither the closing frame nor the transport's own close through
            asyncio.get_running_loop().call_later(CLOSE_S, self._abort)
            code, reason = self._closing or (1011, "")
            with contextlib.suppress(Exception):
                async with asyncio.timeout(CLOSE_S):
                    await self._ws.close(code=code, message=_cut_short(reason))

    async def _write(self) -> None:
        batch, size = 0, 0
        for message in self._queue[:MAX_MESSAGES_PER_FRAME]:
            more = self._size(message)
            if batch and size + more > FRAME_BYTES:
                break
            batch, size = batch + 1, size + more
        messages, self._queue = self._queue[:batch], self._queue[batch:]
        if self._queue:
            self._wake.set()
        for frame in self._frames(messages):
            await self._ws.send_bytes(frame)
        self.queued_bytes -= size
        self._progress.set()


def _cut_short(reason: str) -> bytes:
    """As a closing frame takes it: 123 bytes of UTF-8 (RFC 6455, 5.5), and no half characters."""
    return reason.encode()[:123].decode(errors="ignore").encode()


def _size(message: Message) -> int:
    return MESSAGE_OVERHEAD_BYTES + len(getattr(message, "update", b"") or getattr(message, "content", b""))


def link_outbound(ws: Socket, limit_bytes: int, abort: Callable[[], None] = lambda: None) -> Outbound[Message]:
    """Messages of the link protocol, a loop turn's in one frame."""
    return Outbound(ws, limit_bytes=limit_bytes, frames=lambda batch: [encode(batch)] if batch else [], size=_size, abort=abort)


def plain_outbound(ws: Socket, limit_bytes: int, abort: Callable[[], None] = lambda: None) -> Outbound[bytes]:
    """Messages of the y-websocket protocol, one a frame."""
    return Outbound(
        ws,
        limit_bytes=limit_bytes,
        frames=lambda batch: batch,
        size=lambda message: MESSAGE_OVERHEAD_BYTES + len(message),
        abort=abort,
    )
