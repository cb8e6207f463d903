"""Files of one user on one CS3 site: `cs3collab.rooms.ports.Storage`, and what browsing needs beyond it."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import copy
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import aiohttp
from cs3.storage.provider.v1beta1 import provider_api_pb2 as api
from cs3.storage.provider.v1beta1 import resources_pb2 as storage
from cs3.storage.provider.v1beta1 import spaces_api_pb2

from cs3collab.cs3 import convert, locks, transfer, writing
from cs3collab.cs3.session import Session
from cs3collab.cs3.transfer import Source
from cs3collab.errors import AlreadyExists, Corrupt, InvalidInput, NotFound, Overloaded
from cs3collab.types import Etag, FileInfo, Lock, NotLatest, Ref, ResourceId, User, Written

T = TypeVar("T")

_ATTEMPTS = 2
_PAUSES_S = (0.05, 0.1, 0.2, 0.4)
"""Between attempts to read a file that is just being written."""
_HASHED_AT_ONCE = 256 * 1024
"""Bytes that are hashed without leaving the event loop: less than a millisecond."""
_AT_ONCE = 250
"""Entries of a folder that are converted without leaving the event loop; each takes about 15 us."""
_NO_METADATA = ("cs3collab.none",)
"""Asked for a key that nobody sets, Reva v2 looks up neither locks nor checksums: a quarter of what a listing takes it."""


@dataclass(frozen=True, slots=True)
class Version:
    """An earlier content of a file. ``size`` in bytes, ``mtime`` in Unix seconds."""

    key: str
    size: int
    mtime: float


@dataclass(frozen=True, slots=True)
class Recycled:
    """A deleted resource. ``path`` is where it was, ``deleted_at`` Unix seconds, ``size`` bytes."""

    key: str
    path: str
    is_dir: bool
    size: int
    deleted_at: float


@dataclass(frozen=True, slots=True)
class Space:
    """A storage space; ``kind`` is ``personal``, ``project`` or something else. ``path`` is empty where it is not said."""

    id: str
    name: str
    kind: str
    root: ResourceId
    path: str = ""
    owner: str = ""


class Files:
    """``app_name`` is the application that locks are held by."""

    def __init__(self, session: Session, *, app_name: str = locks.APP_NAME) -> None:
        self.session = session
        self.app_name = app_name

    @property
    def user(self) -> User:
        return self.session.user

    def patient(self, timeout_s: float) -> Self:
        """The same files, for who would rather wait: each call to the gateway may take so long (seconds)."""
        other = copy.copy(self)
        other.session = self.session.patient(timeout_s)
        return other

    async def stat(self, ref: Ref) -> FileInfo:
        """Raises `NotFound` only after the token was proved valid."""
        response = await self.session.call("Stat", api.StatRequest(ref=convert.to_ref(ref)))
        return convert.from_info(response.info)

    async def read(self, ref: Ref, *, max_bytes: int) -> bytes:
        """The whole content.

        Raises `NotFound`, `Overloaded` past `max_bytes`, `Corrupt` when the storage twice gives fewer bytes than it says, and
        `InvalidInput` for a folder: Reva v2 begins to send the size of what is in it, and ends there.
        """
        request = api.InitiateFileDownloadRequest(ref=convert.to_ref(ref))
        for _ in range(_ATTEMPTS):
            try:
                content, measured = await _patiently(lambda: self._unless_replaced(ref, self._download(request, max_bytes)))
            except transfer.ShortBody:
                await self._file(ref)
                continue
            except Overloaded:
                await self._file(ref)
                raise
            # an empty folder looks like an empty file
            if (measured and content) or len(content) == (await self._file(ref)).size:
                return content
        raise Corrupt(f"the storage holds less of {ref} than it says", hint="restore an earlier version of the file")

    async def _file(self, ref: Ref) -> FileInfo:
        """Raises `NotFound`, and `InvalidInput` for a folder."""
        info = await self.stat(ref)
        if info.is_dir:
            raise InvalidInput(f"{ref} is a folder", hint="list it")
        return info

    @asynccontextmanager
    async def reading(self, ref: Ref, *, max_bytes: int) -> AsyncIterator[tuple[FileInfo, AsyncIterator[bytes]]]:
        """A file and its content a piece at a time, for what is too large to hold; the pieces are as long as ``info.size``.

        Raises as `read` does, `Corrupt` also between pieces when more or less comes than the storage said.
        """
        info = await self._file(ref)
        request = api.InitiateFileDownloadRequest(ref=convert.to_ref(ref))
        try:
            async with contextlib.AsyncExitStack() as stack:
                answer = await _patiently(lambda: self._unless_replaced(ref, self._answer(stack, request, max_bytes)))
                yield info, _exactly(info, transfer.pieces(answer))
        except transfer.ShortBody as error:
            raise _other_length(info) from error

    async def write(
        self,
        ref: Ref,
        content: bytes | Source,
        *,
        if_match: Etag | None = None,
        if_absent: bool = False,
        lock_id: str = "",
        keep_version: bool = True,
        seen: FileInfo | None = None,
    ) -> Written | NotLatest:
        """Replaces the content. `Written` is said only of bytes that are known to be there.

        The condition is checked here and by the storage, for some storages ignore it. Who looked at the file a moment before
        says what was `seen`, and it is not looked at again. Raises `LockHeld` for a foreign lock,
        `LeaseLost` when `lock_id` is not on the file any more, `NotFound` for a missing file (with `if_match`) or folder,
        `NotAuthorized`, `Corrupt` for a `Source` that gives more or less than it says, and `StorageUnavailable` when nothing
        was written or nobody can tell.
        """
        if not isinstance(content, Source):
            content = await asyncio.to_thread(Source.of, content) if len(content) > _HASHED_AT_ONCE else Source.of(content)
        upload = transfer.Upload(content, if_match, if_absent, lock_id, self.app_name if lock_id else "", keep_version)
        return await writing.write(self, ref, upload, seen)

    async def set_lock(self, ref: Ref, lock: Lock) -> None:
        await locks.set_lock(self.session, ref, lock, app_name=self.app_name)

    async def refresh_lock(self, ref: Ref, lock: Lock, *, existing_lock_id: str = "") -> None:
        await locks.refresh_lock(self.session, ref, lock, existing_lock_id=existing_lock_id, app_name=self.app_name)

    async def get_lock(self, ref: Ref) -> Lock | None:
        """With the holder's name. Raises `NotFound` for a missing file, `Unsupported` where there are no locks."""
        return await locks.named(self.session, await locks.get_lock(self.session, ref))

    async def unlock(self, ref: Ref, lock: Lock) -> None:
        await locks.unlock(self.session, ref, lock, app_name=self.app_name)

    async def list(self, ref: Ref) -> builtins.list[FileInfo]:
        """The children of a folder, in the gateway's order, without metadata; whether they are locked only `stat` tells."""
        request = api.ListContainerRequest(ref=convert.to_ref(ref), arbitrary_metadata_keys=_NO_METADATA)
        answers = await self.session.answers("ListContainer", request)
        if sum(len(answer.infos) for answer in answers) <= _AT_ONCE:
            return _infos(answers)
        return await asyncio.to_thread(_infos, answers)

    async def mkdir(self, ref: Ref) -> None:
        """Raises `AlreadyExists`; a missing parent is `NotFound` or `Conflict`."""
        await self.session.call("CreateContainer", api.CreateContainerRequest(ref=convert.to_ref(ref)))

    async def touch(self, ref: Ref) -> None:
        """Makes an empty file. Raises `AlreadyExists` where the storage minds."""
        await self.session.call("TouchFile", api.TouchFileRequest(ref=convert.to_ref(ref)))

    async def delete(self, ref: Ref, *, lock_id: str = "") -> None:
        """Into the recycle bin. Raises `LockHeld` without the lock's id."""
        await self.session.call("Delete", api.DeleteRequest(ref=convert.to_ref(ref), lock_id=lock_id))

    async def move(self, source: Ref, target: Ref, *, lock_id: str = "") -> None:
        """Raises `AlreadyExists` when `target` is there, `InvalidInput` for a folder that would go into itself.

        Both are found out here: Reva v3's local storage writes over what is there, and v2 loses such a folder.
        """
        if convert.is_within(target, source):
            raise InvalidInput(f"{source} cannot be moved into itself", hint="choose another folder")
        with contextlib.suppress(NotFound):
            await self.stat(target)
            raise AlreadyExists(f"{target} is there already", hint="choose another name")
        request = api.MoveRequest(source=convert.to_ref(source), destination=convert.to_ref(target), lock_id=lock_id)
        await self.session.call("Move", request)

    async def versions(self, ref: Ref) -> builtins.list[Version]:
        """Earlier contents, newest first. Raises `NotAuthorized` for receivers of a share (Reva v2)."""
        found = await self.session.pages("ListFileVersions", api.ListFileVersionsRequest(ref=convert.to_ref(ref)), "versions")
        return sorted((Version(v.key, v.size, convert.to_seconds(v.mtime)) for v in found), key=lambda v: v.mtime, reverse=True)

    async def read_version(self, ref: Ref, key: str, *, max_bytes: int) -> bytes:
        """An earlier content. Raises like `read`."""
        version = next((v for v in await self.versions(ref) if v.key == key), None)
        if version is None:
            raise NotFound(f"{ref} has no version {key}", hint="list the versions again")
        target = (await locks.by_id(self.session, ref)).resource_id
        assert target is not None
        try:
            # Reva v2 takes the version's key for the node's id
            node = Ref.of(ResourceId(target.storage_id, key, target.space_id))
            request = api.InitiateFileDownloadRequest(ref=convert.to_ref(node))
            content, _ = await _patiently(lambda: self._download(request, max_bytes))
        except NotFound:
            # Reva v3 wants it beside the file's reference
            request = api.InitiateFileDownloadRequest(ref=convert.to_ref(ref), opaque=convert.opaque({"version_key": key}))
            content, _ = await _patiently(lambda: self._download(request, max_bytes))
        except transfer.ShortBody as error:
            raise Corrupt(f"version {key} of {ref} is cut short", hint="take another version") from error
        if len(content) != version.size:
            raise Corrupt(f"version {key} of {ref} has another length than listed", hint="take another version")
        return content

    async def restore_version(self, ref: Ref, key: str, *, lock_id: str = "") -> None:
        """Makes an earlier content the present one; the present one becomes a version."""
        request = api.RestoreFileVersionRequest(ref=convert.to_ref(ref), key=key, lock_id=lock_id)
        await self.session.call("RestoreFileVersion", request)

    async def home(self) -> str:
        """The path of the user's home, which is made if it is not there."""
        try:
            path = await self._home_path()
            await self.stat(Ref(path))
        except NotFound:
            with contextlib.suppress(AlreadyExists):
                await self.session.call("CreateHome", api.CreateHomeRequest())
            path = await self._home_path()
        return path

    async def spaces(self) -> builtins.list[Space]:
        """The storage spaces this user sees."""
        found = await self.session.pages("ListStorageSpaces", spaces_api_pb2.ListStorageSpacesRequest(), "storage_spaces")
        return [_space(space) for space in found]

    async def path_of(self, resource_id: ResourceId) -> str:
        """The path of a resource; Reva v2 gives it within its space."""
        response = await self.session.call("GetPath", api.GetPathRequest(resource_id=convert.to_id(resource_id)))
        return str(response.path)

    async def set_metadata(self, ref: Ref, values: Mapping[str, str], *, lock_id: str = "") -> None:
        """Sets arbitrary metadata, which `stat` returns. Changes neither etag nor mtime."""
        metadata = storage.ArbitraryMetadata(metadata=dict(values))
        request = api.SetArbitraryMetadataRequest(ref=convert.to_ref(ref), arbitrary_metadata=metadata, lock_id=lock_id)
        await self.session.call("SetArbitraryMetadata", request)

    async def unset_metadata(self, ref: Ref, keys: Iterable[str], *, lock_id: str = "") -> None:
        request = api.UnsetArbitraryMetadataRequest(
            ref=convert.to_ref(ref), arbitrary_metadata_keys=list(keys), lock_id=lock_id
        )
        await self.session.call("UnsetArbitraryMetadata", request)

    async def recycled(self, ref: Ref) -> builtins.list[Recycled]:
        """What was deleted below `ref`, usually the home."""
        found = await self.session.pages("ListRecycle", api.ListRecycleRequest(ref=convert.to_ref(ref)), "recycle_items")
        return [
            Recycled(i.key, i.ref.path, convert.is_container(i.type), i.size, convert.from_timestamp(i.deletion_time))
            for i in found
        ]

    async def restore_recycled(self, ref: Ref, key: str, restore_to: Ref) -> None:
        """Brings a deleted resource back at `restore_to`, with its id. ``ref`` as for `recycled`. Raises `AlreadyExists`."""
        request = api.RestoreRecycleItemRequest(ref=convert.to_ref(ref), key=key, restore_ref=convert.to_ref(restore_to))
        await self.session.call("RestoreRecycleItem", request)

    async def purge_recycled(self, ref: Ref, key: str) -> None:
        """Deletes what is in the recycle bin for good. ``ref`` as for `recycled`."""
        await self.session.call("PurgeRecycle", api.PurgeRecycleRequest(ref=convert.to_ref(ref), key=key))

    async def _home_path(self) -> str:
        return str((await self.session.call("GetHome", api.GetHomeRequest())).path)

    async def _unless_replaced(self, ref: Ref, attempt: Awaitable[T]) -> T:
        """A file that is there and was not when it was fetched is busy: Reva v3 has none while it replaces one."""
        try:
            return await attempt
        except NotFound as error:
            await self._file(ref)
            raise transfer.Busy("download: the file is there but cannot be fetched", hint="try again") from error

    async def _download(self, request: Any, max_bytes: int) -> tuple[bytes, bool]:
        ticket = await transfer.initiate_download(self.session, request)
        return await transfer.fetch(self.session, ticket, max_bytes=max_bytes)

    async def _answer(self, stack: contextlib.AsyncExitStack, request: Any, max_bytes: int) -> aiohttp.ClientResponse:
        ticket = await transfer.initiate_download(self.session, request)
        return await stack.enter_async_context(transfer.answered(self.session, ticket, max_bytes=max_bytes))


def _infos(answers: Iterable[Any]) -> list[FileInfo]:
    return [convert.from_info(info) for answer in answers for info in answer.infos]


async def _patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    """Tries again while the storage is busy putting an upload in its place."""
    for pause in _PAUSES_S:
        try:
            return await attempt()
        except transfer.Busy:
            await asyncio.sleep(pause)
    return await attempt()


async def _exactly(info: FileInfo, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Raises `Corrupt` before a piece too much, and at an early end."""
    left = info.size
    async for piece in pieces:
        left -= len(piece)
        if left < 0:
            break
        yield piece
    if left:
        raise _other_length(info)


def _other_length(info: FileInfo) -> Corrupt:
    return Corrupt(f"{info.name} has another length than the storage says", hint="try again: it may have been saved meanwhile")


def _space(space: Any) -> Space:
    path = space.opaque.map["path"].value.decode() if "path" in space.opaque.map else ""
    return Space(space.id.opaque_id, space.name, space.space_type, convert.from_id(space.root), path, space.owner.id.opaque_id)
