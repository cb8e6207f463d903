"""Keeps aside what was typed into a copy of a document that can never go home, as a file that people can open."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path, PurePosixPath

from cs3collab.errors import StorageUnavailable

KEPT = 100
"""Files kept; the oldest make room."""
_STEM_BYTES = 100


def rescuer(folder: Path) -> Callable[[str, bytes], Awaitable[str]]:
    """Writes into `folder` of this machine, which is made when it is needed; says where. Raises `StorageUnavailable`."""

    async def rescue(name: str, content: bytes) -> str:
        try:
            path = await asyncio.to_thread(_write, folder, name, content)
        except OSError as error:
            raise StorageUnavailable(f"{folder} cannot be written: {error.strerror}", hint="free some space") from error
        return f"in the file {path} of this server"

    return rescue


def _write(folder: Path, name: str, content: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    plain = PurePosixPath(name.replace("\0", ""))
    stem = plain.stem.encode()[:_STEM_BYTES].decode(errors="ignore") or "document"
    when = time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime())
    for nth in count(1):
        path = folder / f"{when}{f'-{nth}' if nth > 1 else ''}-{stem}{plain.suffix}"
        with contextlib.suppress(FileExistsError):
            held = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            break
    with os.fdopen(held, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(held)
    for old in sorted(folder.iterdir())[:-KEPT]:
        old.unlink()
    return path
