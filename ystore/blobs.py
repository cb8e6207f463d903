"""Where the cold part of a document is kept: a port of five methods, and two adapters.

The store never lets two writers share an object and never changes one it wrote, except its own notes. So an adapter whose
storage cannot do ``if_absent`` or ``if_match`` atomically may check first and then write.
"""

from __future__ import annotations

import asyncio
import builtins
import hashlib
from pathlib import Path
from typing import Protocol

from ystore.errors import BlobConflict, BlobNotFound
from ystore.files import Files


class BlobStore(Protocol):
    """Names are relative paths of ``[0-9a-z.-]`` and ``/``. Whatever else than said here an adapter raises means: try later."""

    async def get(self, name: str) -> bytes:
        """The whole object. Raises `BlobNotFound`."""

    async def put(self, name: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        """Writes the whole object or nothing, and returns its etag. Raises `BlobConflict`."""

    async def list(self, prefix: str) -> list[str]:
        """Names that begin with `prefix`, in order; empty if there are none."""

    async def delete(self, name: str) -> None:
        """The object is gone, also if it was before."""


class MemoryBlobs:
    """Blobs of this process, for tests."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}

    async def get(self, name: str) -> bytes:
        try:
            return self._objects[name]
        except KeyError as error:
            raise BlobNotFound(name) from error

    async def put(self, name: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        _check(name, self._objects.get(name), if_absent, if_match)
        self._objects[name] = data
        return _etag(data)

    async def list(self, prefix: str) -> list[str]:
        return sorted(name for name in self._objects if name.startswith(prefix))

    async def delete(self, name: str) -> None:
        self._objects.pop(name, None)


class DirectoryBlobs:
    """Blobs in a folder. Writes are atomic and durable; conditions hold among the users of one instance."""

    def __init__(self, root: Path | str, *, files: Files | None = None) -> None:
        self._root = Path(root)
        self._files = files or Files()
        self._writing = asyncio.Lock()

    async def get(self, name: str) -> bytes:
        try:
            return await asyncio.to_thread(self._path(name).read_bytes)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise BlobNotFound(name) from error

    async def put(self, name: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        path = self._path(name)
        async with self._writing:
            await asyncio.to_thread(self._put, path, data, if_absent, if_match)
        return _etag(data)

    def _put(self, path: Path, data: bytes, if_absent: bool, if_match: str | None) -> None:
        if if_absent or if_match is not None:
            _check(path.name, path.read_bytes() if path.is_file() else None, if_absent, if_match)
        self._files.make_dir(path.parent)
        self._files.write_atomic(path, data)

    async def list(self, prefix: str) -> list[str]:
        return await asyncio.to_thread(self._list, prefix)

    def _list(self, prefix: str) -> builtins.list[str]:
        start = self._root / prefix.rpartition("/")[0]
        found = (path for path in start.rglob("*") if path.is_file() and not path.name.startswith("."))
        names = (path.relative_to(self._root).as_posix() for path in found)
        return sorted(name for name in names if name.startswith(prefix))

    async def delete(self, name: str) -> None:
        await asyncio.to_thread(self._path(name).unlink, missing_ok=True)

    def _path(self, name: str) -> Path:
        parts = name.split("/")
        if any(part.startswith(".") or not part for part in parts):
            raise ValueError(f"not a blob name: {name!r}")
        return self._root.joinpath(*parts)


def _etag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _check(name: str, there: bytes | None, if_absent: bool, if_match: str | None) -> None:
    if if_absent and there is not None:
        raise BlobConflict(f"{name} is already there")
    if if_match is not None and (there is None or _etag(there) != if_match):
        raise BlobConflict(f"{name} is not what it was")
