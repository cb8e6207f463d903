"""Y updates are decoded in a process that may die. This is the side that survives it."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO, cast

from ystore.errors import StoreError, StoreUnavailable

_FORKS = str(Path(__file__).with_name("forks.py"))
TIMEOUT_S = 120.0
"""For a whole replay; a document of 256 MiB takes a few seconds."""


def command(*options: str) -> list[str]:
    """That starts the process which forks, with `options` for its interpreter."""
    return [sys.executable, "-I", "-S", *options, _FORKS, *_folders()]


@functools.cache
def _folders() -> list[str]:
    """Of the package pycrdt."""
    found = find_spec("pycrdt")
    return list(found.submodule_search_locations or ()) if found else []


_THREADS = ThreadPoolExecutor(32, thread_name_prefix="ystore-replay")
"""They only wait for children."""


class ReplayFailed(StoreError):
    """``index`` is that of the update at fault among those given, -1 if it could not be found out."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


async def squash(updates: Sequence[bytes]) -> bytes:
    """One update with the content of all, pending ones included. Raises `ReplayFailed`, `StoreUnavailable`."""
    return await _blame("squash", updates)


async def verified(updates: Sequence[bytes]) -> tuple[bytes, str]:
    """As `squash`, decoded again: empty if that gave the same document, else what differs. Raises the same."""
    difference, _, content = (await _blame("verify", updates)).partition(b"\0")
    return content, difference.decode()


async def _blame(task: str, updates: Sequence[bytes]) -> bytes:
    try:
        return await _run(task, updates)
    except ReplayFailed as error:
        if error.index >= 0:
            raise
        reason = error.message
    try:
        await _run("trace", updates)
    except ReplayFailed as error:
        raise ReplayFailed(f"{reason}; {error.message}", error.index) from None
    raise ReplayFailed(reason, -1)


async def _run(task: str, updates: Sequence[bytes]) -> bytes:
    fork = _Fork()
    running = asyncio.get_running_loop().run_in_executor(_THREADS, fork.run, task, updates)
    try:
        status, out, err = await asyncio.wait_for(asyncio.shield(running), TIMEOUT_S)
    except OSError as error:
        if isinstance(error, TimeoutError):
            raise ReplayFailed(f"replay took longer than {TIMEOUT_S:.0f} s", -1) from None
        raise StoreUnavailable(f"no process to replay in: {error}", hint="too many processes or open files") from error
    finally:
        if not running.done():
            fork.kill()
            await asyncio.wait([running])
    return out if status == 0 else _failed(status, err)


class _Nursery:
    """The process of `ystore.forks`, which all replays of this one share. It is started when it is needed. For threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def fork(self, task: str, files: Sequence[int]) -> socket.socket:
        """Begins a task; the socket tells how it ended. Raises OSError if that process can neither be reached nor started."""
        with self._lock:
            was_there = self._control is not None
            try:
                return self._begun(task, files)
            except OSError:
                self._end()
                if not was_there:
                    raise
            return self._begun(task, files)

    def _begun(self, task: str, files: Sequence[int]) -> socket.socket:
        if self._control is None:
            self._control, theirs = _pair()
            with theirs:  # an event loop that starts a process stands still while it forks; `subprocess` in a thread does not
                null = subprocess.DEVNULL
                self._process = subprocess.Popen(command(), stdin=theirs.fileno(), stdout=null, stderr=null)
        mine, theirs = _pair()
        try:
            with theirs:
                socket.send_fds(self._control, [task.encode()], [theirs.fileno(), *files], socket.MSG_NOSIGNAL)
            if not mine.recv(16):
                raise ConnectionError("it ended")
        except BaseException:
            mine.close()
            raise
        return mine

    def end(self) -> None:
        """Until the next task."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._control = None

    def forget(self) -> None:
        """In a fork of this process, which gets one of its own."""
        if self._process is not None:
            self._process.returncode = 0  # nothing to be waited for here
        self._lock, self._process, self._control = threading.Lock(), None, None


def _pair() -> tuple[socket.socket, socket.socket]:
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    mine.settimeout(TIMEOUT_S + 60.0)  # it kills what takes longer than `TIMEOUT_S`
    return mine, theirs


_NURSERY = _Nursery()
atexit.register(_NURSERY.end)
os.register_at_fork(after_in_child=_NURSERY.forget)


class _Fork:
    """A task in a process of its own, and the thread that waits for it."""

    def __init__(self) -> None:
        self._life: socket.socket | None = None
        self._killed = False

    def run(self, task: str, updates: Sequence[bytes]) -> tuple[int, bytes, bytes]:
        """Status, output and errors. Blocks. Raises OSError when no process can be started."""
        with _memory() as given, _memory() as out, _memory() as err:
            given.writelines(part for update in updates for part in (len(update).to_bytes(8, "little"), update))
            given.seek(0)
            with _NURSERY.fork(task, [file.fileno() for file in (given, out, err)]) as self._life:
                if self._killed:
                    self.kill()
                said = self._life.recv(16)
            if not said:
                raise ConnectionError("it ended")
            out.seek(0)
            err.seek(0)
            return int(said), out.read(), err.read()

    def kill(self) -> None:
        self._killed = True
        if self._life is not None:
            with contextlib.suppress(OSError):  # it has ended
                self._life.shutdown(socket.SHUT_WR)


def _memory() -> BinaryIO:
    """A file that is in memory alone: whoever writes it waits for no reader."""
    return cast(BinaryIO, open(os.memfd_create("ystore"), "w+b"))


def _failed(status: int, err: bytes) -> bytes:
    last = err.decode(errors="replace").strip().rpartition("\n")[2]
    with contextlib.suppress(ValueError):
        said = json.loads(last)
        if isinstance(said, dict):
            raise ReplayFailed(str(said["reason"]), int(said["index"]))
        if isinstance(said, int):  # the trace got as far as this
            raise ReplayFailed(f"the replay process ended with status {status}", said)
    raise ReplayFailed(f"the replay process ended with status {status}: {last[:200]}", -1)
