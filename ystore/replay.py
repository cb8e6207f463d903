"""Y updates are decoded in a process that may die. This is the side that survives it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

from ystore.errors import StoreError, StoreUnavailable

TIMEOUT_S = 120.0
"""For a whole replay; a document of 256 MiB takes a few seconds."""
_DECODE = str(Path(__file__).with_name("decode.py"))


def command(task: str, *options: str) -> list[str]:
    """That starts the child, with `options` for its interpreter."""
    return [sys.executable, "-I", "-S", *options, _DECODE, task, *_folders()]


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
    child = _Child()
    running = asyncio.get_running_loop().run_in_executor(_THREADS, child.run, task, _frame(updates))
    try:
        status, out, err = await asyncio.wait_for(asyncio.shield(running), TIMEOUT_S)
    except OSError as error:
        if isinstance(error, TimeoutError):
            raise ReplayFailed(f"replay took longer than {TIMEOUT_S:.0f} s", -1) from None
        raise StoreUnavailable(f"no process to replay in: {error}", hint="too many processes or open files") from error
    finally:
        if not running.done():
            child.kill()
            await asyncio.wait([running])
    return out if status == 0 else _failed(status, err)


class _Child:
    """A process and the thread that waits for it. An event loop that starts a process forks, for which it stands still: 4 ms,
    15 in a process of 130 MB. `subprocess` in a thread does not (vfork).
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = False

    def run(self, task: str, data: bytes) -> tuple[int, bytes, bytes]:
        """Status, output and errors. Blocks. Raises OSError when no process can be started."""
        with subprocess.Popen(command(task), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            self._process = process
            if self._killed:
                process.kill()
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # it died; its status says more
                process.stdin.write(data)
            out, err = process.communicate()
        return process.returncode, out, err

    def kill(self) -> None:
        self._killed = True
        if self._process is not None:
            self._process.kill()


def _failed(status: int, err: bytes) -> bytes:
    last = err.decode(errors="replace").strip().rpartition("\n")[2]
    with contextlib.suppress(ValueError):
        said = json.loads(last)
        if isinstance(said, dict):
            raise ReplayFailed(str(said["reason"]), int(said["index"]))
        if isinstance(said, int):  # the trace got as far as this
            raise ReplayFailed(f"the replay process ended with status {status}", said)
    raise ReplayFailed(f"the replay process ended with status {status}: {last[:200]}", -1)


def _frame(updates: Sequence[bytes]) -> bytes:
    return b"".join(part for update in updates for part in (len(update).to_bytes(8, "little"), update))
