"""The room worker: a child process in which Y documents live, and may die, without taking the relay along.

Started as ``python -m cs3collab.rooms.worker_main SOCKET CELL TIMEOUT`` by `rooms.worker_process`: the file descriptors of a
stream socket and of an 8-byte file, and the seconds one request may take. The id of the request that is being carried out
stands in the file, so that the parent knows which one killed the worker. It ends with its socket, and leaves every signal to
the parent that a terminal or a service manager sends to whole groups of processes.
"""

from __future__ import annotations

import faulthandler
import json
import mmap
import os
import resource
import select
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial

from cs3collab.errors import CollabError, Unavailable
from cs3collab.limits import DEFAULT
from cs3collab.merge.ydoc import YDocument
from cs3collab.rooms.worker_render import Renderer
from cs3collab.rooms.worker_wire import Op, Reader, Reply, Request, frame, whole

_READ_BYTES = 2**20
_FLUSH_BYTES = 256 * 1024
_FLUSH_S = 0.001
_MAX_RENDERERS = 4
_CELL = struct.Struct("<Q")
_ONLY_FORKED = (Op.MERGE, Op.DIFFERENCES)
"""May take as long as they like, which nobody's typing waits for."""
_FORKED = (Op.RENDER, Op.DIGEST, *_ONLY_FORKED)
NewDocument = Callable[[str], YDocument]


class Server:
    """Carries out requests in order, one at a time. A Rust panic is not caught: a panicked document must not be used again.

    Only what takes long and changes nothing goes on beside the rest, each in a fork with the document as it was then.
    """

    def __init__(
        self, sock: socket.socket, cell: mmap.mmap, timeout_s: float, new_document: NewDocument, warm_up: Callable[[], None]
    ) -> None:
        self._sock = sock
        self._cell = cell
        self._timeout_s = timeout_s
        self._new_document = new_document
        self._documents: dict[int, YDocument] = {}
        self._pieces: dict[int, list[bytes]] = {}
        self._renderers: list[Renderer] = []
        self._warming = threading.Thread(target=warm_up, daemon=True)
        self._warming.start()

    def run(self) -> None:
        """Until the parent closes the socket, or dies."""
        reader = Reader(Request)
        while True:
            if self._renderers and not self._wait():
                continue
            if not (data := self._sock.recv(_READ_BYTES)):
                return
            self._batch(reader.feed(data))

    def _wait(self) -> bool:
        """Passes on what renderers bring; whether there are requests to read."""
        by_fd = {renderer.fileno(): renderer for renderer in self._renderers}
        ready = select.select([self._sock.fileno(), *by_fd], [], [])[0]
        for renderer in [by_fd[fd] for fd in ready if fd in by_fd]:
            if renderer.finished():
                self._renderers.remove(renderer)
                self._sock.sendall(renderer.reply())
        return self._sock.fileno() in ready

    def _batch(self, requests: list[Request]) -> None:
        out, flushed = bytearray(), time.monotonic()
        for request in requests:
            out += self._carry_out(request)
            if len(out) > _FLUSH_BYTES or time.monotonic() - flushed > _FLUSH_S:
                self._sock.sendall(out)
                out, flushed = bytearray(), time.monotonic()
        self._sock.sendall(out)

    def _carry_out(self, request: Request) -> bytes:
        """The reply's frame, empty when it comes later or there is none."""
        if request.op is Op.PIECE:
            self._pieces.setdefault(request.id, []).append(request.data)
            return b""
        came = self._pieces.pop(request.id, [])
        forks = request.op in _FORKED and len(self._renderers) < _MAX_RENDERERS
        if request.op in _ONLY_FORKED and not forks:
            busy = Unavailable("too many merges at once", hint="it is tried again")
            return frame(Reply(request.id, request.document, error=busy.kind, message=busy.message, hint=busy.hint))
        if forks:
            self._warming.join()  # no thread must live beside a fork, and no fork should import by itself
        _CELL.pack_into(self._cell, 0, request.id)
        signal.setitimer(signal.ITIMER_REAL, self._timeout_s)  # its default action ends the process
        if forks:
            carry_out = partial(self._reply, came=came)
            self._renderers.append(Renderer(request, carry_out, self._timeout_s, [self._sock, *self._renderers]))
            reply = b""
        else:
            reply = frame(self._reply(request, came))
        signal.setitimer(signal.ITIMER_REAL, 0)
        _CELL.pack_into(self._cell, 0, 0)
        return reply

    def _reply(self, request: Request, came: list[bytes]) -> Reply:
        try:
            return self._answer(whole(request, came))
        except CollabError as error:
            return Reply(request.id, request.document, error=error.kind, message=error.message, hint=error.hint)

    def _answer(self, request: Request) -> Reply:  # noqa: C901 - a table
        if request.op is Op.CLOSE:
            self._documents.pop(request.document, None)
            return Reply(request.id, request.document)
        document = self._documents.get(request.document)
        if document is None:
            document = self._documents[request.document] = self._new_document(request.kind)
        data, text, names = b"", "", list[str]()
        match request.op:
            case Op.APPLY:
                text = document.apply(request.data)
            case Op.DIFF:
                data = document.diff(request.data)
            case Op.STATE:
                data = document.state()
            case Op.RENDER:
                data, text = document.render()
                names = document.names()
            case Op.MARK_SAVED:
                data = document.mark_saved(request.text, clean=bool(request.data))
            case Op.LOAD:
                document.load(request.updates)
            case Op.SEED:
                data = document.seed(request.data)
            case Op.REVISE:
                data = document.revise(request.data)
            case Op.MERGE:
                base = request.updates[0] if request.updates else None
                data, text, known = document.merge(base, request.data, request.names)
                names = list(known)
            case Op.DIFFERENCES:
                text = json.dumps(document.differences(request.updates, request.data))
            case Op.DIGEST:
                text = document.digest(request.data)
            case Op.NOTE_CONFLICTS:
                data = document.note_conflicts(request.text)
            case Op.NOTED:
                text = document.noted()
            case Op.DECIDE:
                data = document.decide(json.loads(request.text))
        return Reply(request.id, request.document, data, text, names=names)


def preload() -> None:
    """Imports what notebooks need, which takes a second that edits need not wait for."""
    import jupyter_ydoc  # noqa: F401

    from cs3collab.merge import notebook  # noqa: F401


def confine() -> None:
    """No core files, for they hold people's documents; no more memory than the machine has, for swapping stops all."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = max(16 * DEFAULT.document_bytes, physical * 3 // 4)
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def main(arguments: list[str], new_document: NewDocument = YDocument, warm_up: Callable[[], None] = preload) -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    faulthandler.enable()
    confine()
    sock = socket.socket(fileno=int(arguments[0]))
    cell = mmap.mmap(int(arguments[1]), _CELL.size)
    try:
        sock.sendall(frame(Reply(0, 0)))
        Server(sock, cell, float(arguments[2]), new_document, warm_up).run()
    except (BrokenPipeError, ConnectionResetError):
        return  # the parent is gone
    except BaseException:  # noqa: BLE001 - pyo3's PanicException is no Exception
        traceback.print_exc()
        os._exit(70)  # without a clean-up, which would touch the document that panicked


if __name__ == "__main__":
    main(sys.argv[1:])
