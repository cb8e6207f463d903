"""Group commit: many appends wait for one write and one fdatasync, many documents share a few threads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from ystore import failpoints
from ystore.errors import StoreClosed, StoreOverloaded, StoreUnavailable
from ystore.failpoints import hit
from ystore.files import Files

T = TypeVar("T")
_Job = tuple[Callable[..., Any], tuple[object, ...], asyncio.Future[Any]]


class Journal:
    """The threads and the bound that all documents of a process share. Use one per process, on one event loop.

    ``backlog`` is the number of bytes that may wait for the disk; past it `StoreOverloaded` is raised at once. ``threads`` is
    how many documents are synced at once: of many a file system makes one commit. A program that is there for appends does well
    to call ``sys.setswitchinterval(0.001)``: each waits up to four such intervals for a thread that packs a segment.
    """

    def __init__(self, *, files: Files | None = None, threads: int = 16, backlog: int = 64 * 2**20) -> None:
        self.files = files or Files()
        self.backlog = backlog
        self.waiting = 0
        self._pool = _Threads("ystore-journal", threads)
        self._upkeep = _Threads("ystore-upkeep", 2)

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """`function(*args)` in a thread that appends."""
        return await _in(self._pool, function, args)

    async def disk(self, function: Callable[..., T], *args: object) -> T:
        """`function(*args)` in a thread for all else, so that no append waits for it. OSError becomes `StoreUnavailable`."""
        try:
            return await _in(self._upkeep, function, args)
        except OSError as error:
            raise StoreUnavailable(
                f"the disk refuses: {error}", hint="free or repair the disk; then it goes on by itself"
            ) from error

    def close(self) -> None:
        """Ends the threads; every document must be closed before."""
        self._pool.close()
        self._upkeep.close()

    def take(self, size: int) -> None:
        if self.waiting and self.waiting + size > self.backlog:
            raise StoreOverloaded("too many updates wait for the disk", hint="slow down; the disk is slower than the writers")
        self.waiting += size

    def give(self, size: int) -> None:
        self.waiting -= size


class _Threads:
    """Up to `most` threads, started when they are needed. Used on one event loop.

    There and back takes half as long as with a `ThreadPoolExecutor`: a tenth of a lone append.
    """

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._started = self._busy = 0
        self._jobs = SimpleQueue[_Job | None]()
        self.is_closed = False

    def start(self, function: Callable[..., T], args: tuple[object, ...]) -> asyncio.Future[T]:
        """What `function(*args)` returns. Raises `StoreClosed`."""
        if self.is_closed:
            raise StoreClosed("the journal is closed")
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self._busy >= self._started < self._most:
            self._started += 1
            Thread(target=self._work, name=f"{self._name}-{self._started}", daemon=True).start()
        self._busy += 1
        self._jobs.put((function, args, done))
        return done

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            function, args, done = job
            settle: Callable[[], None]
            try:
                settle = partial(done.set_result, function(*args))
            except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
                settle = partial(done.set_exception, error)
            with contextlib.suppress(RuntimeError):  # the loop was closed
                done.get_loop().call_soon_threadsafe(self._end, done, settle)
            del job, function, args, done, settle

    def _end(self, done: asyncio.Future[object], settle: Callable[[], None]) -> None:
        self._busy -= 1
        if not done.done():
            settle()

    def close(self) -> None:
        """They end when they have done what was asked for."""
        self.is_closed = True
        for _ in range(self._started):
            self._jobs.put(None)


async def _in(pool: _Threads, function: Callable[..., T], args: tuple[object, ...]) -> T:
    return await finished(pool.start(function, args))


async def finished(work: Awaitable[T]) -> T:
    """The result of `work`, which goes on to its end when the caller is cancelled, and the caller with it.

    A thread cannot be cancelled: who went on without it would meet it in the files, or remember other files than there are.
    """
    running = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        if not running.cancelled():
            running.exception()  # so that nobody is told it was not looked at
        raise


@dataclass(frozen=True, slots=True)
class LogFile:
    """A log file that is not appended to any more: only its first `size` bytes count."""

    path: Path
    first: int
    last: int
    size: int
    count: int


_Waiting = tuple[int, bytes, asyncio.Future[int]]
"""Position, encoded record, and what is done when it is on disk."""


def _size(batch: list[_Waiting]) -> int:
    return sum(len(data) for _, data, _ in batch)


class Log:
    """The file a document is appended to now. Not thread-safe: one event loop."""

    def __init__(
        self, journal: Journal, position: int, name: Callable[[int], Path], retired: Callable[[LogFile], None]
    ) -> None:
        self._journal = journal
        self._name = name
        self._retired = retired
        self._pending: list[_Waiting] = []
        self._flusher: asyncio.Task[None] | None = None
        self._turning: asyncio.Future[None] | None = None
        self._fd: int | None = None
        self._room = 0
        self._spare: tuple[Path, int] | None = None
        """A file that is ready to be begun, and its descriptor."""
        self._closing: asyncio.Future[None] | None = None
        self.file: LogFile | None = None
        self.position = position
        """The last durable position."""
        self._given = position

    @property
    def next(self) -> int:
        """The position the next `submit` must carry."""
        return self._given + 1

    def submit(self, data: bytes) -> asyncio.Future[int]:
        """Queues an encoded record of position `next`; the future is done, with that position, once it is on disk."""
        self._journal.take(len(data))
        self._given += 1
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._pending.append((self._given, data, done))
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush())
        return done

    async def drain(self) -> None:
        """Until nothing waits for the disk."""
        while self._flusher is not None:
            await asyncio.wait([self._flusher])

    async def retire(self, *, for_good: bool = False) -> None:
        """Closes the file behind the batch that is being written, so that the next one begins another. That is made ready
        before, for its name takes the disk longer than a record; unless nothing more comes. One call at a time.
        """
        if self.file is not None and self._spare is None and not for_good:
            with contextlib.suppress(StoreUnavailable):  # who needs it will be told
                await self._journal.disk(self._prepare, self.position + 1)
        if self._flusher is None:
            self._turn_over()
        else:
            if self._turning is None:
                self._turning = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._turning)
        if self._closing is not None:
            await asyncio.shield(self._closing)
        if for_good and (spare := self._take_spare()):
            await self._journal.disk(self._discard, *spare)

    def _turn_over(self) -> None:
        """Only between batches."""
        fd, self._fd = self._fd, None
        file, self.file = self.file, None
        if file is not None:
            self._retired(file)
        if fd is not None:
            size = file.size if file is not None else 0
            self._closing = asyncio.ensure_future(self._journal.disk(self._close, fd, size))

    def _prepare(self, first: int) -> None:
        """In a thread. The next file will hold nothing before `first`."""
        files, path = self._journal.files, self._name(first)
        fd = files.create(path)
        try:
            files.resize(fd, files.room)
            files.sync(fd)
        except OSError:
            self._discard(path, fd)
            raise
        self._spare = path, fd

    def _take_spare(self) -> tuple[Path, int] | None:
        if (spare := self._spare) is not None:
            self._spare = None
        return spare

    def _discard(self, path: Path, fd: int) -> None:
        files = self._journal.files
        with contextlib.suppress(OSError):
            files.close(fd)
        with contextlib.suppress(OSError):  # opening removes what has no record
            files.unlink(path)

    def _close(self, fd: int, size: int) -> None:
        files = self._journal.files
        with contextlib.suppress(OSError):  # all that counts in it was synced
            files.resize(fd, size)
        with contextlib.suppress(OSError):
            files.close(fd)

    async def _flush(self) -> None:
        try:
            while self._pending:
                batch, self._pending = self._pending, []
                try:
                    await self._journal.run(self._write, batch, self._take_spare() if self._fd is None else None)
                except Exception as error:  # noqa: BLE001 - whatever went wrong, none of it may be acknowledged
                    await self._give_up(batch, error)
                else:
                    self._acknowledge(batch)
                if self._turning is not None:
                    self._turn_over()
                    turned, self._turning = self._turning, None
                    turned.set_result(None)
        finally:
            self._flusher = None
            if self._turning is not None:
                self._turning.cancel()
                self._turning = None

    def _acknowledge(self, batch: list[_Waiting]) -> None:
        file = self.file
        assert file is not None
        size, last = _size(batch), batch[-1][0]
        self.file = LogFile(file.path, file.first, last, file.size + size, file.count + len(batch))
        self.position = last
        self._journal.give(size)
        for position, _, done in batch:
            if not done.done():
                done.set_result(position)

    def _write(self, batch: list[_Waiting], spare: tuple[Path, int] | None) -> None:
        """In a thread; `drain` before touching what it touches."""
        files = self._journal.files
        if self._fd is None:
            first = batch[0][0]
            path = spare[0] if spare else self._name(first)
            self.file = LogFile(path, first, first - 1, 0, 0)
            self._fd, self._room = (spare[1], files.room) if spare else (files.create(path), 0)
        data = b"".join([data for _, data, _ in batch])
        assert self.file is not None
        if (end := self.file.size + len(data)) > self._room:
            # With zeros to write over, a sync has no new length to make durable, and takes two thirds of the time.
            self._room = end + files.room
            with contextlib.suppress(OSError):
                files.resize(self._fd, self._room)
        hit("journal.write.before")
        torn_at = len(data) // 2 if failpoints.hook else 0
        files.write(self._fd, data[:torn_at])
        hit("journal.write.torn")
        files.write(self._fd, data[torn_at:])
        hit("journal.sync.before")
        files.sync(self._fd)
        hit("journal.sync.after")

    async def _give_up(self, batch: list[_Waiting], error: Exception) -> None:
        """After a failed write or sync the kernel may have dropped pages, so nothing more goes into this file.

        What was refused is cut off, else its positions are not used again: a record may then appear that nobody was promised,
        but never two under one position.
        """
        try:
            cut = await self._journal.run(self._abandon)
        except StoreClosed:
            cut = False
        batch += self._pending
        self._pending = []
        self._given = self.position if cut else batch[-1][0]
        file, self.file = self.file, None
        if file is not None and file.count:
            self._retired(file)
        self._journal.give(_size(batch))
        refusal = f"the update could not be made durable: {error}"
        for _, _, done in batch:
            if not done.done():
                done.set_exception(StoreUnavailable(refusal, hint="free or repair the disk; then it goes on by itself"))

    def _abandon(self) -> bool:
        files, fd, self._fd = self._journal.files, self._fd, None
        if fd is not None:
            with contextlib.suppress(OSError):
                files.close(fd)
        if self.file is None:
            return True
        try:
            if self.file.count:
                files.truncate(self.file.path, self.file.size)
            else:
                files.unlink(self.file.path)
                files.sync_dir(self.file.path.parent)
        except OSError:
            return False
        return True
