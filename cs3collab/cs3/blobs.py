"""Blobs in a folder on CS3: what `ystore.blobs.BlobStore` asks for."""

from __future__ import annotations

import builtins
import contextlib
import posixpath
from typing import Final

from cs3collab.cs3 import convert
from cs3collab.cs3.files import Files
from cs3collab.errors import AlreadyExists, CollabError, Conflict, InvalidInput, NotFound, StorageUnavailable
from cs3collab.types import Etag, FileInfo, NotLatest, Ref
from ystore.errors import BlobConflict, BlobNotFound

_LARGEST_BYTES: Final = 2**30
"""Far beyond any snapshot (`cs3collab.limits.Limits.document_bytes`)."""

_REQUEST_S: Final = 60.0
"""For one request of the several that a call makes, but for the bytes. The store waits in the background, and asks again."""


class CS3Blobs:
    """Blobs as files below `folder` (a reference or a path), which is made with the first `put`.

    An upload becomes visible as a whole or not at all, and leaves no version behind where the storage lets us say so. Raises
    `cs3collab.errors` beside what the port names. Deleted blobs leave the recycle bin, too, where it knows them by their id
    (Reva v2): they come by the thousand, and the bin is a person's. Elsewhere its operator empties it.
    """

    def __init__(self, files: Files, folder: Ref | str, *, max_bytes: int = _LARGEST_BYTES) -> None:
        self._files = files.patient(_REQUEST_S)
        self._folder = Ref(folder) if isinstance(folder, str) else folder
        self._max_bytes = max_bytes

    async def make(self) -> Ref:
        """Makes the folder if it is not there, and returns it."""
        await self._make(self._folder)
        return self._folder

    async def get(self, name: str) -> bytes:
        ref = self._ref(name)
        try:
            return await self._files.read(ref, max_bytes=self._max_bytes)
        except (NotFound, InvalidInput) as error:
            raise BlobNotFound(name) from error
        except StorageUnavailable as error:
            if await self._below_a_file(name):
                raise BlobNotFound(name) from error
            raise

    async def _below_a_file(self, name: str) -> bool:
        """Where Reva v3 finds nothing it says INTERNAL."""
        above = posixpath.dirname(name)
        with contextlib.suppress(NotFound):
            return bool(above) and not (await self._files.stat(self._ref(above))).is_dir
        return False

    async def put(self, name: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        try:
            return await self._put(name, data, if_absent, if_match)
        except NotFound as error:
            if if_match is not None:
                raise BlobConflict(f"{name} is gone") from error
        parent = posixpath.dirname(name)
        await self._make(self._ref(parent) if parent else self._folder)
        return await self._put(name, data, if_absent, if_match)

    async def _put(self, name: str, data: bytes, if_absent: bool, if_match: str | None) -> str:
        etag = None if if_match is None else Etag(if_match)
        answer = await self._files.write(self._ref(name), data, if_match=etag, if_absent=if_absent, keep_version=False)
        if isinstance(answer, NotLatest):
            raise BlobConflict(f"{name}: {answer.reason}")
        return answer.etag

    async def list(self, prefix: str) -> builtins.list[str]:
        folders = [posixpath.dirname(prefix)]
        found: builtins.list[str] = []
        while folders:
            folder = folders.pop()
            for info in await self._children(folder):
                name = posixpath.join(folder, info.name)
                if info.is_dir and (name + "/").startswith(prefix):
                    folders.append(name)
                elif not info.is_dir and name.startswith(prefix):
                    found.append(name)
        return sorted(found)

    async def delete(self, name: str) -> None:
        ref = self._ref(name)
        with contextlib.suppress(NotFound):
            node = (await self._files.stat(ref)).id.opaque_id
            await self._files.delete(ref)
            with contextlib.suppress(CollabError):
                if node:  # no key at all would empty the whole bin
                    await self._files.purge_recycled(self._folder, node)

    async def _children(self, folder: str) -> builtins.list[FileInfo]:
        try:
            return await self._files.list(self._ref(folder) if folder else self._folder)
        except NotFound:
            return []

    async def _make(self, folder: Ref) -> None:
        """Makes `folder`, and what is above it as far as it is missing."""
        try:
            await self._files.mkdir(folder)
            return
        except AlreadyExists:
            return
        except (NotFound, Conflict):
            parent = convert.above(folder)
            if parent is None:
                raise
        await self._make(parent)
        with contextlib.suppress(AlreadyExists):
            await self._files.mkdir(folder)

    def _ref(self, name: str) -> Ref:
        if any(part.startswith(".") or not part for part in name.split("/")):
            raise ValueError(f"not a blob name: {name!r}")
        return _below(self._folder, name)


def _below(folder: Ref, name: str) -> Ref:
    return Ref(posixpath.join(folder.path, name), folder.resource_id)
