"""The writing side of a link: joins the messages of a loop turn into one frame, and counts what a slow peer leaves unread."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol

from cs3collab.relay.protocol import MAX_MESSAGES_PER_FRAME, Message, encode

MESSAGE_OVERHEAD_BYTES = 64


class Socket(Protocol):
    """Both aiohttp websockets, client's and server's."""

    async def send_bytes(self, data: bytes) -> None: ...
    async def close(self) -> bool: ...


def size_of(message: Message) -> int:
    return MESSAGE_OVERHEAD_BYTES + len(getattr(message, "update", b""))


class Outbound:
    """Never blocks the sender. Past `limit_bytes` unread the connection is closed: the peer comes back and resyncs."""

    def __init__(self, ws: Socket, *, limit_bytes: int) -> None:
        self._ws = ws
        self._limit = limit_bytes
        self._queue: list[Message] = []
        self.queued_bytes = 0
        self._wake = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def send(self, message: Message) -> None:
        self._queue.append(message)
        self.queued_bytes += size_of(message)
        self._wake.set()
        if self.queued_bytes > self._limit and len(self._queue) > 1:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                batch, self._queue = self._queue[:MAX_MESSAGES_PER_FRAME], self._queue[MAX_MESSAGES_PER_FRAME:]
                if self._queue:
                    self._wake.set()
                await self._ws.send_bytes(encode(batch))
                self.queued_bytes -= sum(map(size_of, batch))
        except (ConnectionError, RuntimeError, asyncio.CancelledError):
            # aiohttp says RuntimeError or ClientConnectionResetError (a ConnectionError) on a closed transport.
            pass
        finally:
            with contextlib.suppress(Exception):
                await self._ws.close()

    def stop(self) -> None:
        self._task.cancel()
