"""One worker process as its parent holds it: start, send, and the news of its death."""

from __future__ import annotations

import asyncio
import logging
import mmap
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Self, cast

from cs3collab.errors import Unavailable
from cs3collab.rooms.worker_wire import IN_PIECES, PIECE_BYTES, Reader, Reply, Request, frame, pieces

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-P", "-m", "cs3collab.rooms.worker_main")
"""``-P``: the working directory may hold a user's ``random.py``."""
_ENVIRONMENT = ("PATH", "HOME", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
_START_S = 30.0
_END_S = 2.0
_SOCKET_BUFFER_BYTES = 2**20
_CELL = struct.Struct("<Q")


def _environment() -> dict[str, str]:
    """What Python needs and no more: the worker decodes what strangers send, so it holds no secrets."""
    return {k: v for k, v in os.environ.items() if k in _ENVIRONMENT or k.startswith(("PYTHON", "LC_", "LANG"))}


def _spawn(command: Sequence[str], timeout_s: float) -> tuple[subprocess.Popen[bytes], mmap.mmap, socket.socket]:
    """The process, the cell with the id of its current request, and our end of the connection."""
    ours, theirs = socket.socketpair()
    with theirs, tempfile.TemporaryFile() as cell:
        cell.truncate(_CELL.size)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
        fds = (theirs.fileno(), cell.fileno())
        try:
            process = subprocess.Popen(
                [*command, *map(str, fds), str(timeout_s)],
                pass_fds=fds,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C in a terminal belongs to the parent
            )
        except OSError:
            ours.close()
            raise
        ours.setblocking(False)
        return process, mmap.mmap(cell.fileno(), _CELL.size), ours


class WorkerProcess(asyncio.Protocol):
    """``on_reply`` is called for every answer, ``on_death`` once, after the process was reaped."""

    def __init__(self, on_reply: Callable[[Reply], None], on_death: Callable[[WorkerProcess], None]) -> None:
        self.on_reply = on_reply
        self.on_death = on_death
        self.dead = False
        self._process: subprocess.Popen[bytes]
        self._cell: mmap.mmap
        self._transport: asyncio.Transport
        self._reader = Reader(Reply)
        self._out: list[bytes] = []
        self._sending: set[asyncio.Task[None]] = set()
        self._writable = asyncio.Event()
        self._writable.set()
        self._unanswered = 0
        self._progress = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._started: asyncio.Future[None] = self._loop.create_future()
        self._reaped: asyncio.Future[int] = self._loop.create_future()
        self._reaper: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        timeout_s: float,
        on_reply: Callable[[Reply], None],
        on_death: Callable[[WorkerProcess], None],
    ) -> Self:
        """Raises `Unavailable` if no worker comes up. A death before that is not told to `on_death`."""
        self = cls(on_reply, lambda process: None)
        try:
            self._process, self._cell, ours = await asyncio.to_thread(_spawn, command, timeout_s)
        except OSError as error:
            raise Unavailable(f"the room worker cannot be started: {error}", hint="check the installation") from error
        await self._loop.create_unix_connection(lambda: self, sock=ours)
        try:
            async with asyncio.timeout(_START_S):
                await self._started
        except TimeoutError as error:
            raise Unavailable("the room worker does not start", hint="is the machine overloaded?") from error
        finally:
            if not self._started.done() or self._started.cancelled() or self._started.exception():
                await self.stop()
        self.on_death = on_death
        return self

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """How it ended: an exit code, or minus the signal."""
        return self._process.returncode

    @property
    def current(self) -> int:
        """Id of the request that is being carried out, or was when it died; else 0."""
        request_id: int = _CELL.unpack_from(self._cell)[0]
        return request_id

    @property
    def stuck_s(self) -> float:
        """Seconds since the last answer while there are requests to answer, else 0."""
        return time.monotonic() - self._progress if self._unanswered else 0.0

    def send(self, request: Request) -> None:
        """Never blocks. Requests of one turn of the event loop leave in one write. To a dead worker: does nothing.

        Large ones that change nothing are sent in pieces, between which others go ahead.
        """
        if self.dead:
            return
        if not self._unanswered:
            self._progress = time.monotonic()
        self._unanswered += 1
        if request.op in IN_PIECES and request.size > PIECE_BYTES:
            task = self._loop.create_task(self._send_in_pieces(request))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
            return
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(frame(request))

    async def _send_in_pieces(self, request: Request) -> None:
        for piece in pieces(request):
            await self._writable.wait()
            if self.dead:
                return
            self._transport.write(frame(piece))
            await asyncio.sleep(0)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()

    async def stop(self) -> None:
        """At once: there is nothing in a worker that its documents' histories do not have."""
        self.on_death = lambda process: None
        self._transport.abort()
        self.kill()
        await self._reaped

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self._progress = time.monotonic()
        for reply in self._reader.feed(data):
            if reply.id == 0:
                if not self._started.done():
                    self._started.set_result(None)
                continue
            self._unanswered -= 1
            self.on_reply(reply)

    def connection_lost(self, error: Exception | None) -> None:
        self.dead = True
        self._writable.set()
        self._reaper = self._loop.create_task(self._reap())

    def _flush(self) -> None:
        out, self._out = self._out, []
        if not self.dead:
            self._transport.writelines(out)

    async def _reap(self) -> None:
        code = await asyncio.to_thread(self._wait)
        if not self._started.done():
            self._started.set_exception(
                Unavailable(f"the room worker ended at its start with code {code}", hint="its message is on standard error")
            )
        self._reaped.set_result(code)
        self.on_death(self)

    def _wait(self) -> int:
        """A worker without its connection ends by itself; one that hangs is made to."""
        try:
            return self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
