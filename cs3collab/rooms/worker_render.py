"""A render in a fork of the worker, so that people's typing need not wait for a large notebook to become a file.

The fork sees the documents as they were at that moment (copy on write). It may crash without harm to them.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from typing import Protocol

from cs3collab.errors import Unavailable
from cs3collab.rooms.worker_wire import Reply, Request, frame

_READ_BYTES = 2**20
_NICENESS = 5


class HasFile(Protocol):
    def fileno(self) -> int: ...


class Renderer:
    """Runs ``carry_out(request)`` for at most `timeout_s` in a fork, which first closes `others`, the worker's own files."""

    def __init__(
        self, request: Request, carry_out: Callable[[Request], Reply], timeout_s: float, others: Sequence[HasFile]
    ) -> None:
        self._request = request
        self._output = bytearray()
        self._fd, output = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            code = 1
            try:
                for fd in (self._fd, *(other.fileno() for other in others)):
                    os.close(fd)
                signal.setitimer(signal.ITIMER_REAL, timeout_s)
                os.nice(_NICENESS)
                _write(output, frame(carry_out(request)))
                code = 0
            finally:
                os._exit(code)  # whatever happened: the worker's own work is not for a fork
        os.close(output)

    def fileno(self) -> int:
        return self._fd

    def finished(self) -> bool:
        """Reads what has come; to be called when there is something to read."""
        data = os.read(self._fd, _READ_BYTES)
        self._output += data
        return not data

    def reply(self) -> bytes:
        """The reply's frame, once `finished`."""
        os.close(self._fd)
        _, status = os.waitpid(self._pid, 0)
        if status == 0:
            return bytes(self._output)
        error = Unavailable(
            f"the document's renderer ended with code {os.waitstatus_to_exitcode(status)}", hint="it is tried again"
        )
        request = self._request
        return frame(Reply(request.id, request.document, error=error.kind, message=error.message, hint=error.hint))


def _write(fd: int, data: bytes) -> None:
    with memoryview(data) as view:
        written = 0
        while written < len(view):
            written += os.write(fd, view[written:])
