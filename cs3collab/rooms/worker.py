"""The worker pool: Y documents live in child processes, and go on in a fresh one when theirs dies.

This process never decodes Yjs: on some crafted updates pycrdt panics or crashes (y-crdt#490, #651). When a worker dies, a warm
spare takes over, every document is loaded again from its history, and the calls that had no answer are made again in their
order. The one that was being carried out is a suspect: it first runs in a probe, a process of its own, and is refused if it
kills that too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any, Self

from cs3collab import telemetry
from cs3collab.errors import CollabError, Corrupt, Unavailable
from cs3collab.limits import DEFAULT, Limits
from cs3collab.rooms.ports import Document
from cs3collab.rooms.worker_document import Call, Reload, Slot, WorkerDocument
from cs3collab.rooms.worker_process import COMMAND, WorkerProcess
from cs3collab.rooms.worker_wire import Op, Reply

log = logging.getLogger(__name__)

_RESTORES_AT_ONCE = 8
_DEADLY_LOADS = 2
_FIRST_RETRY_S = 0.1
_LAST_RETRY_S = 5.0
_WATCH_S = 1.0
_GRACE_S = 30.0
"""A worker ends itself after the time limit of a request; one that does not even do that is killed so much later."""
_SPARE_S = 1.0
"""After which the next spare is begun: who waits for a worker has the processor for itself."""


class WorkerPool:
    """`size` workers and one spare. ``command`` starts a worker; its arguments are in `cs3collab.rooms.worker_main`."""

    def __init__(self, size: int = 1, limits: Limits = DEFAULT, *, command: Sequence[str] = COMMAND) -> None:
        self.limits = limits
        self._command = command
        self._slots = [_PoolSlot(self) for _ in range(size)]
        self._spare: asyncio.Task[WorkerProcess] | None = None
        self._spare_due: asyncio.TimerHandle | None = None
        self._starts: set[asyncio.Task[WorkerProcess]] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        """Raises `Unavailable` if no worker comes up."""
        try:
            await asyncio.gather(*(slot.open() for slot in self._slots))
        except BaseException:
            await self.__aexit__()
            raise
        self.run(self._watch())
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._spare_due is not None:
            self._spare_due.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        started = await asyncio.gather(*self._starts, return_exceptions=True)
        processes = [process for process in started if isinstance(process, WorkerProcess)]
        await asyncio.gather(*(process.stop() for process in processes), *(slot.close() for slot in self._slots))

    def document(self, kind: str, reload: Reload) -> Document:
        """A document of `kind` ``notebook`` or ``file``, empty at first.

        `reload` returns the updates it consists of; what was applied within the last minute may be missing from them.
        """
        return min(self._slots, key=lambda slot: len(slot.documents)).new_document(kind, reload)

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that serve documents now."""
        return [slot.process.pid for slot in self._slots if slot.process is not None]

    async def take(self) -> WorkerProcess:
        """The spare if there is one alive, else a new worker; there will be another spare. Raises `Unavailable`."""
        start, self._spare = self._spare or self._begin(), None
        if self._spare_due is None:
            self._spare_due = asyncio.get_running_loop().call_later(_SPARE_S, self._begin_spare)
        process = await asyncio.shield(start)
        if process.dead:
            start = self._begin()
            process = await asyncio.shield(start)
        self._starts.discard(start)
        return process

    def _begin_spare(self) -> None:
        self._spare_due = None
        self._spare = self._spare or self._begin()

    def _begin(self) -> asyncio.Task[WorkerProcess]:
        """A worker nobody has yet; the pool's end waits for it."""
        start = asyncio.create_task(self._start())
        start.add_done_callback(_look_at)
        self._starts.add(start)
        return start

    async def survives(self, document: WorkerDocument, base: list[bytes], suspect: Call) -> bool:
        """Whether a process of its own lives through `suspect`. Raises `Unavailable` if there is none to be had."""
        loaded, done, dead = (asyncio.get_running_loop().create_future() for _ in range(3))
        load = document.new_call(Op.LOAD, updates=base).request

        def on_reply(reply: Reply) -> None:
            (loaded if reply.id == load.id else done).set_result(None)

        probe = await self._start(on_reply, dead.set_result)
        try:
            if base:
                probe.send(load)
            probe.send(suspect.request)
            await asyncio.wait({done, dead}, timeout=self.limits.worker_timeout_s, return_when=asyncio.FIRST_COMPLETED)
            return done.done() or (bool(base) and not loaded.done())
        finally:
            await probe.stop()

    def run(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_look_at)
        return task

    async def _start(self, on_reply: Any = lambda reply: None, on_death: Any = lambda process: None) -> WorkerProcess:
        return await WorkerProcess.start(self._command, self.limits.worker_timeout_s, on_reply, on_death)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_S)
            for slot in self._slots:
                if slot.process is not None and slot.process.stuck_s > self.limits.worker_timeout_s + _GRACE_S:
                    slot.process.kill()
                for document in slot.documents.values():
                    document.recent.forget()


class _PoolSlot(Slot):
    """A place in the pool: the worker of now, and the documents it holds."""

    def __init__(self, pool: WorkerPool) -> None:
        self.documents: dict[int, WorkerDocument] = {}
        self.process: WorkerProcess | None = None
        self._pool = pool
        self._restoring: dict[int, asyncio.Task[None]] = {}
        self._succession: asyncio.Task[None] | None = None
        self._limit = asyncio.Semaphore(_RESTORES_AT_ONCE)
        self._closed = False

    async def open(self) -> None:
        self.process = await self._pool.take()
        self.process.on_reply, self.process.on_death = self._on_reply, self._on_death

    async def close(self) -> None:
        self._closed = True
        for document in list(self.documents.values()):
            document.closed = True
            document.fail(Unavailable("the worker pool is closed"))
        self.documents.clear()
        if self.process is not None:
            await self.process.stop()
        self.process = None

    def new_document(self, kind: str, reload: Reload) -> WorkerDocument:
        document = WorkerDocument(kind, reload, self, self._pool.limits)
        document.ready = self.process is not None
        self.documents[document.number] = document
        return document

    def send(self, document: WorkerDocument, call: Call) -> None:
        if document.ready and self.process is not None:
            call.attempts += 1
            self.process.send(call.request)
        elif self.process is not None:
            self._restore(document)

    def drop(self, document: WorkerDocument) -> None:
        self.documents.pop(document.number, None)
        if task := self._restoring.pop(document.number, None):
            task.cancel()

    def _on_reply(self, reply: Reply) -> None:
        if document := self.documents.get(reply.document):
            document.answered(reply)

    def _on_death(self, process: WorkerProcess) -> None:
        if process is not self.process or self._closed:
            return
        self.process = None
        suspect = process.current
        telemetry.WORKER_RESTARTS.inc()
        log.warning("room worker %d died with code %d; %d documents move on", process.pid, process.code, len(self.documents))
        for task in self._restoring.values():
            task.cancel()
        self._restoring.clear()
        for document in self.documents.values():
            document.died(suspect)
        self._succession = self._pool.run(self._succeed())

    async def _succeed(self) -> None:
        delay = _FIRST_RETRY_S
        while True:
            try:
                await self.open()
                break
            except Unavailable as error:
                log.error("%s; next try in %.1f s", error, delay)
                for document in self.documents.values():
                    document.fail(error)
                await asyncio.sleep(delay)
                delay = min(2 * delay, _LAST_RETRY_S)
        for document in list(self.documents.values()):
            self._restore(document)

    def _restore(self, document: WorkerDocument) -> None:
        if (task := self._restoring.get(document.number)) is None or task.done():
            task = self._restoring[document.number] = self._pool.run(self._restored(document))
            task.add_done_callback(lambda done: self._forget(document.number, done))

    def _forget(self, number: int, task: asyncio.Task[None]) -> None:
        if self._restoring.get(number) is task:
            del self._restoring[number]

    async def _restored(self, document: WorkerDocument) -> None:
        """Makes `document` ready in the worker of now. A new death cancels this."""
        async with self._limit:
            try:
                await self._clear(document)
                await self._reload(document)
            except CollabError as error:
                document.fail(error)
                return
        for call in document.calls.values():
            call.attempts += 1
            self.process.send(call.request)  # type: ignore[union-attr]
        document.ready = True

    async def _clear(self, document: WorkerDocument) -> None:
        """Nobody blames the suspect any more, or it is refused."""
        while (suspect := document.suspect) is not None:
            guilty = suspect.suspected > 1 or not await self._pool.survives(document, await document.base(), suspect)
            if guilty:
                log.warning("a request (%s, %d bytes) kills workers and is refused", suspect.request.op, suspect.request.size)
                document.reject(suspect)
            if document.suspect is suspect:
                document.suspect = None

    async def _reload(self, document: WorkerDocument) -> None:
        """Raises the worker's refusal, or `Corrupt` for a history that killed workers before."""
        base = await document.base()
        if not base:
            return
        if document.deadly_loads >= _DEADLY_LOADS:
            raise Corrupt("the document's history crashes its worker", hint="restore an earlier state from the history")
        assert self.process is not None
        document.restoring = load = document.new_call(Op.LOAD, updates=base)
        self.process.send(load.request)
        await load.answer
        document.restoring = None
        document.deadly_loads = 0


def _look_at(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, Unavailable):
        log.error("worker pool: %s", error, exc_info=error)
