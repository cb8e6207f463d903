"""A document as rooms hold it: its calls on the way to the worker, and what a new worker needs to go on."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import count

from cs3collab.errors import (
    CollabError,
    Corrupt,
    InvalidInput,
    NotANotebook,
    Overloaded,
    Unavailable,
    UpdateRejected,
    from_kind,
)
from cs3collab.limits import Limits
from cs3collab.rooms.ports import Applied, Merged, Rendered
from cs3collab.rooms.worker_wire import Op, Reply, Request

Reload = Callable[[], Awaitable[list[bytes]]]

RECENT_S = 60.0
"""How long an applied update may take to its place in the history that `Reload` returns."""
_RECENT_BYTES = 64 * 2**20
_MAX_CALLS = 10_000
_MAX_ATTEMPTS = 5
_request_ids = count(1)
_document_numbers = count(1)
_OPENS = (Op.LOAD, Op.SEED)
_EDITS = (Op.MARK_SAVED, Op.REVISE, Op.NOTE_CONFLICTS, Op.DECIDE)


@dataclass(eq=False, slots=True)
class Call:
    """``attempts`` counts the workers it was sent to, ``suspected`` those that died of it."""

    request: Request
    answer: asyncio.Future[Reply]
    attempts: int = 0
    suspected: int = 0

    def fail(self, error: CollabError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Recent:
    """What was applied of late: a room makes an update durable *after* the worker took it, so history may not have it yet."""

    def __init__(self) -> None:
        self._updates: deque[tuple[float, bytes]] = deque()
        self._bytes = 0

    def begin(self, updates: list[bytes]) -> None:
        self._updates.clear()
        self._bytes = 0
        for update in updates:
            self.add(update)

    def add(self, update: bytes) -> None:
        self._updates.append((time.monotonic(), update))
        self._bytes += len(update)
        self.forget()

    def forget(self) -> None:
        """Drops what is old, and the oldest past the size bound; the newest stays whatever its size, until it is old."""
        old = time.monotonic() - RECENT_S
        while self._updates and (self._updates[0][0] < old or (self._bytes > _RECENT_BYTES and len(self._updates) > 1)):
            self._bytes -= len(self._updates.popleft()[1])

    def updates(self) -> list[bytes]:
        return [update for _, update in self._updates]


class Slot:
    """What a document needs of the place in the pool where its worker runs."""

    def send(self, document: WorkerDocument, call: Call) -> None:
        """Sends, or begins to restore the document when it is not ready."""
        raise NotImplementedError

    def drop(self, document: WorkerDocument) -> None:
        raise NotImplementedError


class WorkerDocument:
    """`cs3collab.rooms.ports.Document` over a worker that may die at any time.

    ``calls`` are those without an answer, in order. ``ready`` says that the worker of now holds the document, ``restoring`` is
    the load that makes it so, and ``deadly_loads`` counts the workers which that load killed.
    """

    def __init__(self, kind: str, reload: Reload, slot: Slot, limits: Limits) -> None:
        self.number = next(_document_numbers)
        self.kind = kind
        self.calls: dict[int, Call] = {}
        self.ready = False
        self.closed = False
        self.suspect: Call | None = None
        self.restoring: Call | None = None
        self.deadly_loads = 0
        self.recent = Recent()
        self._filled = False
        self._waiting_bytes = 0
        self._reload = reload
        self._slot = slot
        self._limits = limits

    async def load(self, updates: list[bytes]) -> None:
        """Replaces the content by these updates. Raises `UpdateRejected`."""
        await self._call(Op.LOAD, updates=updates)

    async def seed(self, content: bytes) -> bytes:
        """Turns a file into the first Y update of a lineage. Raises `NotANotebook`, or `Corrupt` for text that is not UTF-8."""
        return (await self._call(Op.SEED, data=content)).data

    async def revise(self, content: bytes) -> bytes:
        """Makes the document say what a file says; the update that does it, empty if nothing changed. Raises as `seed` does."""
        return (await self._call(Op.REVISE, data=content)).data

    async def merge(self, base: bytes | None, theirs: bytes, names: Sequence[str] = ()) -> Merged:
        """Raises `NotANotebook` or `Corrupt` for what is no such file."""
        reply = await self._call(Op.MERGE, data=theirs, updates=[] if base is None else [base], names=names)
        return Merged(reply.data, reply.text, tuple(reply.names))

    async def differences(self, bases: list[bytes], theirs: bytes) -> list[tuple[int, int]]:
        reply = await self._call(Op.DIFFERENCES, data=theirs, updates=bases)
        return [(lacks, adds) for lacks, adds in json.loads(reply.text)]

    async def digest(self, content: bytes) -> str:
        return (await self._call(Op.DIGEST, data=content)).text

    async def note_conflicts(self, notes: str) -> bytes:
        return (await self._call(Op.NOTE_CONFLICTS, text=notes)).data

    async def noted(self) -> str:
        return (await self._call(Op.NOTED)).text

    async def decide(self, keys: Sequence[str]) -> bytes:
        return (await self._call(Op.DECIDE, text=json.dumps(list(keys)))).data

    async def apply(self, update: bytes) -> Applied:
        """Raises `UpdateRejected` for what cannot be decoded or kills a worker; the document is then as before."""
        return Applied((await self._call(Op.APPLY, data=update)).text)

    async def diff(self, state_vector: bytes) -> bytes:
        """What a peer with `state_vector` lacks, pending updates included. Raises `InvalidInput` for a malformed one."""
        return (await self._call(Op.DIFF, data=state_vector)).data

    async def state(self) -> bytes:
        return (await self._call(Op.STATE)).data

    async def render(self) -> Rendered:
        """Raises `NotANotebook` when the content makes no valid notebook."""
        reply = await self._call(Op.RENDER)
        return Rendered(reply.data, reply.text, tuple(reply.names))

    async def mark_saved(self, content_hash: str, *, clean: bool) -> bytes:
        return (await self._call(Op.MARK_SAVED, text=content_hash, data=b"\1" if clean else b"")).data

    async def close(self) -> None:
        """After the calls made before. Does nothing the second time."""
        if self.closed:
            return
        try:
            if self.ready:
                await self._call(Op.CLOSE)
        except CollabError:
            pass  # with its worker the document is gone
        finally:
            self.closed = True
            self._slot.drop(self)
            self.fail(Unavailable("the document is closed"))

    async def _call(
        self, op: Op, *, data: bytes = b"", updates: list[bytes] | None = None, text: str = "", names: Sequence[str] = ()
    ) -> Reply:
        if self.closed:
            raise Unavailable("the document is closed")
        call = self.new_call(op, data=data, updates=updates or [], text=text, names=names)
        size = call.request.size
        if len(self.calls) >= _MAX_CALLS or (self.calls and self._waiting_bytes + size > self._limits.document_bytes):
            raise Overloaded("too many edits of this document wait to be applied", hint="try again in a moment")
        self.calls[call.request.id] = call
        self._waiting_bytes += size
        self._slot.send(self, call)
        return await call.answer

    def new_call(self, op: Op, *, data: bytes = b"", updates: list[bytes], text: str = "", names: Sequence[str] = ()) -> Call:
        """A call that is not among `calls`."""
        request = Request(next(_request_ids), self.number, self.kind, op, data, updates, text, names=list(names))
        return Call(request, asyncio.get_running_loop().create_future())

    def answered(self, reply: Reply) -> None:
        """Called at once for every reply, so that no death falls between an effect and its being noted."""
        call = self.restoring
        if call is None or call.request.id != reply.id:
            call = self._pop(reply.id)
        if call is None:
            return
        if reply.error:
            call.fail(from_kind(reply.error, reply.message, reply.hint))
            return
        if call is not self.restoring:
            self._note(call.request, reply)
        if not call.answer.done():
            call.answer.set_result(reply)

    def _pop(self, request_id: int) -> Call | None:
        if call := self.calls.pop(request_id, None):
            self._waiting_bytes -= call.request.size
        return call

    def _note(self, request: Request, reply: Reply) -> None:
        if request.op is Op.LOAD:
            self.recent.begin(request.updates)
        elif request.op is Op.SEED:
            self.recent.begin([reply.data])
        elif request.op is Op.APPLY and reply.text != Applied.KNOWN.value:
            self.recent.add(request.data)
        elif request.op in _EDITS and reply.data:
            self.recent.add(reply.data)
        else:
            return
        self._filled = True

    async def base(self) -> list[bytes]:
        """What a new worker loads before the calls go on. Raises `Unavailable` when the history cannot be read."""
        first = next(iter(self.calls.values()), None)
        if not self._filled or (first is not None and first.request.op in _OPENS):
            return []
        try:
            async with asyncio.timeout(self._limits.request_timeout_s):
                history = await self._reload()
        except Exception as error:
            raise Unavailable(f"the document's history cannot be read: {error}", hint="try again in a moment") from error
        return [*history, *self.recent.updates()]

    def died(self, request_id: int) -> None:
        """The worker is gone; `request_id` is what it was doing."""
        self.ready = False
        if self.restoring is not None and self.restoring.request.id == request_id:
            self.deadly_loads += 1
        self.restoring = None
        if call := self.calls.get(request_id):
            call.suspected += 1
            self.suspect = call
        for call in [call for call in self.calls.values() if call.attempts >= _MAX_ATTEMPTS]:
            self._pop(call.request.id)
            call.fail(Unavailable("the room worker died again and again", hint="try again in a moment"))

    def reject(self, call: Call) -> None:
        """`call` kills workers."""
        self._pop(call.request.id)
        call.fail(_DEADLY.get(call.request.op, Corrupt)(f"it crashes the document's worker ({call.request.op})", hint=_KEPT))

    def fail(self, error: CollabError) -> None:
        """All calls at once."""
        for call in list(self.calls.values()):
            self._pop(call.request.id)
            call.fail(error)


_KEPT = "the document is as it was before"
_DEADLY: dict[Op, type[CollabError]] = {
    Op.APPLY: UpdateRejected,
    Op.LOAD: UpdateRejected,
    Op.SEED: NotANotebook,
    Op.REVISE: NotANotebook,
    Op.MERGE: NotANotebook,
    Op.RENDER: NotANotebook,
    Op.DIFF: InvalidInput,
}
