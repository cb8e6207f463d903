"""Y updates are decoded in a process that may die. This is the side that survives it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ystore.errors import StoreError, StoreUnavailable

TIMEOUT_S = 120.0
"""For a whole replay; a document of 256 MiB takes a few seconds."""
_PACKAGE_PARENT = str(Path(__file__).resolve().parent.parent)


class ReplayFailed(StoreError):
    """``index`` is that of the update at fault among those given, -1 if it could not be found out."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


async def squash(updates: Sequence[bytes]) -> bytes:
    """One update with the content of all, pending ones included. Raises `ReplayFailed`, `StoreUnavailable`."""
    return await _blame(updates, "squash", [updates])


async def same(snapshot: bytes, updates: Sequence[bytes]) -> str:
    """Empty if a document from `snapshot` equals one from `updates`, else what differs."""
    return (await _blame(updates, "compare", [[snapshot], updates])).decode()


async def _blame(updates: Sequence[bytes], task: str, groups: Sequence[Sequence[bytes]]) -> bytes:
    try:
        return await _run(task, groups)
    except ReplayFailed as error:
        if error.index >= 0:
            raise
        reason = error.message
    try:
        await _run("trace", [updates])
    except ReplayFailed as error:
        raise ReplayFailed(f"{reason}; {error.message}", error.index) from None
    raise ReplayFailed(reason, -1)


async def _run(task: str, groups: Sequence[Sequence[bytes]]) -> bytes:
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ystore.pycrdt", task,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([_PACKAGE_PARENT, os.environ.get("PYTHONPATH", "")])},
        )  # fmt: skip
    except OSError as error:
        raise StoreUnavailable(f"no process to replay in: {error}", hint="too many processes or open files") from error
    try:
        out, err = await asyncio.wait_for(process.communicate(_frame(groups)), TIMEOUT_S)
    except TimeoutError:
        raise ReplayFailed(f"replay took longer than {TIMEOUT_S:.0f} s", -1) from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode == 0:
        return out
    return _failed(process.returncode, err)


def _failed(status: int | None, err: bytes) -> bytes:
    last = err.decode(errors="replace").strip().rpartition("\n")[2]
    with contextlib.suppress(ValueError):
        said = json.loads(last)
        if isinstance(said, dict):
            raise ReplayFailed(str(said["reason"]), int(said["index"]))
        if isinstance(said, int):  # the trace got as far as this
            raise ReplayFailed(f"the replay process ended with status {status}", said)
    raise ReplayFailed(f"the replay process ended with status {status}: {last[:200]}", -1)


def _frame(groups: Sequence[Sequence[bytes]]) -> bytes:
    parts = []
    for group in groups:
        parts.append(len(group).to_bytes(8, "little"))
        for update in group:
            parts += [len(update).to_bytes(8, "little"), update]
    return b"".join(parts)
