"""The user's CS3 storage as JupyterLab's file browser: home, shares of this and other sites, project spaces.

Switch on with ``c.ServerApp.contents_manager_class = "cs3collab.jupyter.contents.CS3ContentsManager"``.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from jupyter_server.services.contents.manager import AsyncContentsManager, copy_pat
from nbformat.sign import NotebookNotary
from traitlets import Int, default

from cs3collab.cs3.transfer import Source
from cs3collab.errors import (
    AlreadyExists,
    CollabError,
    Corrupt,
    InvalidInput,
    LockHeld,
    NotAuthorized,
    NotFound,
    Overloaded,
    Unsupported,
    VersionConflict,
)
from cs3collab.jupyter import notebooks, paths
from cs3collab.jupyter.checkpoints import CS3Checkpoints
from cs3collab.jupyter.downloads import CS3FilesHandler
from cs3collab.jupyter.models import Facts, Model, decode_content, digest, encode_content, http_errors, kind, model, supposes
from cs3collab.jupyter.paths import Home, VirtualFolder
from cs3collab.jupyter.places import BATCH, Resolved, Spot
from cs3collab.jupyter.settings import CS3Settings
from cs3collab.jupyter.uploads import Upload, Uploads
from cs3collab.types import Etag, FileInfo, NotLatest, Role

MiB = 2**20
LIVE_APP = "cs3collab"
"""``app_name`` of the lock a live room holds."""


def refuse_live(info: FileInfo) -> None:
    """Raises `LockHeld` for a file that a room is writing: what is saved past the room would come back as a conflict."""
    if info.lock is not None and info.lock.app_name == LIVE_APP:
        raise LockHeld(
            f"{info.name} is being edited live",
            hint="open it in collaboration mode, or wait until everybody has closed it",
            app_name=LIVE_APP,
        )


class CS3ContentsManager(AsyncContentsManager):
    """Every method is a coroutine that never blocks the loop. Errors are `tornado.web.HTTPError` with what to do about it."""

    max_file_bytes = Int(256 * MiB, config=True, help="Largest file opened or copied, in bytes.")
    max_upload_bytes = Int(1024 * MiB, config=True, help="Largest file uploaded in chunks, in bytes.")
    max_download_bytes = Int(2**40, config=True, help="Largest file downloaded, in bytes; it is never held in memory.")
    max_copy_folder_bytes = Int(500 * MiB, config=True, help="Largest folder copied, in bytes.")

    def __init__(self, **kwargs: Any) -> None:
        self._notary_thread = notebooks.NotaryThread()
        super().__init__(**kwargs)
        self.settings = CS3Settings.instance(parent=self.parent, config=self.config)
        self.places = self.settings.places
        self._uploads = Uploads(max_bytes=self.max_upload_bytes)
        try:
            self.settings.check()
        except CollabError as error:
            self.log.critical("cs3collab cannot start: %s", error)
            sys.exit(1)

    @default("checkpoints_class")
    def _default_checkpoints_class(self) -> type[CS3Checkpoints]:
        return CS3Checkpoints

    @default("files_handler_class")
    def _default_files_handler_class(self) -> type[CS3FilesHandler]:
        return CS3FilesHandler

    @default("files_handler_params")
    def _default_files_handler_params(self) -> dict[str, str]:
        # jupyter_server's FilesHandler asks this manager, but its base class does not start without a folder
        return {"path": ""}

    @default("notary")
    def _notary_default(self) -> NotebookNotary:
        return self._notary_thread.open(parent=self)

    def info_string(self) -> str:
        return f"Serving notebooks from CS3 storage at {self.settings.gateway}"

    async def resolve(self, path: str) -> Resolved:
        """What a room needs to know of the file at an API path, asked of storage now; ``.target()`` is what to join.

        Raises `cs3collab.errors`, not `HTTPError`: `NotFound`, `InvalidInput`, `NotAuthenticated`, `Unavailable`.
        """
        return await self.places.resolve(path)

    # What is there

    async def is_hidden(self, path: str) -> bool:
        return paths.is_hidden(path)

    async def dir_exists(self, path: str) -> bool:
        facts = await self._facts(path)
        return facts is not None and facts.is_dir

    async def file_exists(self, path: str = "") -> bool:
        facts = await self._facts(path)
        return facts is not None and not facts.is_dir

    async def exists(self, path: str) -> bool:
        return await self._facts(path) is not None

    async def _facts(self, path: str) -> Facts | None:
        with http_errors():
            try:
                return await self.places.facts(path)
            except NotFound:
                return None

    async def get_kernel_path(self, path: str, model: Model | None = None) -> str:
        """The folder of the notebook; where no such local folder is, Jupyter starts the kernel in the nearest one above."""
        path = path.strip("/")
        return path if await self.dir_exists(path) else paths.split(path)[0]

    async def get(
        self, path: str, content: bool = True, type: str | None = None, format: str | None = None, require_hash: bool = False
    ) -> Model:
        """The model of a file, notebook or directory, as `AsyncContentsManager.get` says."""
        with http_errors():
            path = paths.clean(path)
            if not self.allow_hidden and paths.is_hidden(path):
                raise NotFound(f"no such file or directory: {path}")
            facts = await self.places.facts(path)
            found = model(facts, kind(path, is_dir=facts.is_dir, asked=type))
            if facts.is_dir:
                if content:
                    found.update(content=await self._listing(path), format="json")
                if require_hash:
                    raise InvalidInput(f"{path} is a directory and has no hash")
            elif content or require_hash:
                data = await self._read(path)
                if content:
                    await self._fill(found, data, format)
                if require_hash:
                    found.update(await asyncio.to_thread(digest, data))
        self.emit(data={"action": "get", "path": path})
        return found

    async def _listing(self, path: str) -> list[Model]:
        listed = []
        for number, facts in enumerate(await self.places.listing(path), 1):
            if number % BATCH == 0:
                await asyncio.sleep(0)
            name = paths.split(facts.path)[1]
            if self.should_list(name) and (self.allow_hidden or not paths.is_hidden(name)):
                listed.append(model(facts, kind(facts.path, is_dir=facts.is_dir)))
        return listed

    async def _read(self, path: str) -> bytes:
        spot = await self.places.spot(path)
        try:
            return await spot.files.read(spot.ref, max_bytes=self.max_file_bytes)
        except Overloaded as error:
            raise self._too_large(path) from error

    def _too_large(self, path: str) -> Overloaded:
        return Overloaded(
            f"{path} is larger than {self.max_file_bytes // MiB} MiB",
            hint="use the storage's own web page or sync client, or raise CS3ContentsManager.max_file_bytes",
        )

    async def _fill(self, found: Model, data: bytes, format: str | None) -> None:
        path = found["path"]
        if found["type"] == "notebook":
            notebook, problem = await asyncio.to_thread(notebooks.parse, data, path)
            await self._notarize(self.mark_trusted_cells, notebook, path)
            found.update(content=notebook, format="json")
            self.validate_notebook_model(found, problem)
            return
        text, used = await asyncio.to_thread(encode_content, data, format, path)
        fallback = "text/plain" if used == "text" else "application/octet-stream"
        found.update(content=text, format=used, mimetype=found["mimetype"] or fallback)

    # Saving

    async def save(self, model: Model, path: str = "") -> Model:
        """Saves what `model` holds and returns the new model without content.

        A file is replaced in one step, and only in the state it was in a moment before: who changed it meanwhile is not
        overwritten. A model with the ``etag`` or ``last_modified`` it was read with is saved over that state alone (409).
        """
        with http_errors():
            path = self._writable_path(path)
            if model.get("chunk") is not None:
                return await self._save_chunk(model, path)
            self.run_pre_save_hooks(model=model, path=path)
            if "type" not in model:
                raise InvalidInput("no file type provided")
            if "content" not in model and model["type"] != "directory":
                raise InvalidInput("no file content provided")
            return await self._save(model, path)

    async def _save(self, model: Model, path: str) -> Model:
        if model["type"] == "directory":
            await self._make_folder(path)
            return await self._saved(path, "directory")
        if model["type"] == "notebook":
            notebook = await asyncio.to_thread(notebooks.node, model["content"], path)
            await self._notarize(self.check_and_sign, notebook, path)
            data, problem = await asyncio.to_thread(notebooks.serialize, notebook, path)
            replaced = await self._write(path, data, model)
            self.validate_notebook_model(model, problem)
            return await self._saved(path, "notebook", replaced, model.get("message"))
        if model["type"] == "file":
            data = await asyncio.to_thread(decode_content, model["content"], model.get("format"), path)
            return await self._saved(path, "file", await self._write(path, data, model))
        raise InvalidInput(f"unhandled contents type: {model['type']}")

    async def _notarize(self, call: Callable[[Any, str], None], notebook: Any, path: str) -> None:
        try:
            await self._notary_thread.run(call, notebook, path)
        except (OSError, sqlite3.Error) as error:
            # an unsigned notebook asks for trust again; one that is not opened or saved is lost
            self.log.warning("cannot tell or sign whether notebook %s is trusted: %s", path, error)

    async def _save_chunk(self, model: Model, path: str) -> Model:
        if model["chunk"] == 1:
            self.run_pre_save_hooks(model=model, path=path)
            await self._to_replace(path, model)  # refused before gigabytes were sent
        if model.get("type") != "file":
            raise InvalidInput(f"file type {model.get('type')!r} cannot be uploaded in chunks", hint="use type 'file'")
        part = await asyncio.to_thread(decode_content, model.get("content"), model.get("format"), path)
        received = await self._uploads.add(path, model["chunk"], part)
        if isinstance(received, int):
            return _partial(path, received)
        with contextlib.closing(received):
            replaced = await self._write(path, received.source(), model)
        return await self._saved(path, "file", replaced)

    async def _saved(self, path: str, type_: str, replaced: _Replaced | None = None, message: str | None = None) -> Model:
        facts = await self.places.facts(path)
        if replaced is not None and facts.etag != replaced.etag:
            # somebody wrote after us: say what we left, so that the next save of this client does not pass for an informed one
            facts = replace(facts, etag=replaced.etag, mtime=replaced.mtime)
        saved = model(facts, kind(path, is_dir=facts.is_dir, asked=type_))
        if message:
            saved["message"] = message
        self.run_post_save_hooks(model=saved, os_path=path)
        self.emit(data={"action": "save", "path": path})
        return saved

    async def _write(self, path: str, data: bytes | Source, model: Model | None = None) -> _Replaced:
        spot, info = await self._to_replace(path, model)
        if info is None:
            written = await spot.files.write(spot.ref, data, if_absent=True)
        else:
            written = await spot.files.write(spot.ref, data, if_match=info.etag, seen=info)
        if isinstance(written, NotLatest):
            raise _changed(path)
        return _Replaced(written.etag, info.mtime if info is not None else 0.0)

    async def _to_replace(self, path: str, model: Model | None) -> tuple[Spot, FileInfo | None]:
        """Where to write, and what is there now (None: nothing). Raises for what must not be replaced."""
        spot = await self._spot_to_write(path)
        try:
            info = await spot.files.stat(spot.ref)
        except NotFound:
            return spot, None
        if info.is_dir:
            raise InvalidInput(f"{path} is a directory", hint="save it under another name")
        if min(info.role, spot.limit) < Role.EDITOR:
            raise NotAuthorized(
                f"you may not change {path}", hint="save it under another name, or ask its owner for more rights"
            )
        refuse_live(info)
        if model is not None and not supposes(model, path, info):
            raise _changed(path)
        return spot, info

    async def _make_folder(self, path: str) -> None:
        facts = await self._facts(path)
        if facts is None:
            spot = await self._spot_to_write(path)
            await spot.files.mkdir(spot.ref)
        elif not facts.is_dir:
            raise InvalidInput(f"not a directory: {path}", hint="choose another name for the folder")

    def _writable_path(self, path: str) -> str:
        path = paths.clean(path)
        if not self.allow_hidden and paths.is_hidden(path):
            raise InvalidInput(f"hidden files cannot be changed here: {path}", hint="set ContentsManager.allow_hidden")
        return path

    async def _spot_to_write(self, path: str, *, whole: bool = False) -> Spot:
        """Raises `NotAuthorized` for what this manager never writes; `whole` also forbids a share or a project as such."""
        parsed = paths.parse(path)
        if isinstance(parsed, VirtualFolder):
            raise NotAuthorized(f"{path} is no real folder", hint="save into a folder of your own")
        try:
            spot = await self.places.spot(path)
        except NotFound as error:
            folder = paths.split(path)[0]
            raise NotAuthorized(f"nothing can be added to {folder}", hint="save into a folder of your own") from error
        if whole and not isinstance(spot.place, Home | VirtualFolder) and not spot.place.inside:
            raise NotAuthorized(f"{path} is not yours to rename or delete", hint="decline the share, or ask its owner")
        if not spot.at_home:
            raise Unsupported(
                f"{path} is at {spot.home}, which cannot be asked about locks from here",
                hint="open it to edit it live, or make a copy in a folder of your own",
            )
        return spot

    # Rename, delete, copy

    async def delete_file(self, path: str) -> None:
        """Into the storage's recycle bin, folders with all that is in them."""
        with http_errors():
            path = self._writable_path(path)
            spot = await self._spot_to_write(path, whole=True)
            refuse_live(await spot.files.stat(spot.ref))
            await spot.files.delete(spot.ref)
        self.settings.ids.drop_tree(path)

    async def rename_file(self, old_path: str, new_path: str) -> None:
        """A file that is edited live may be renamed: the room goes with it, for its lock and its id stay."""
        with http_errors():
            old_path, new_path = self._writable_path(old_path), self._writable_path(new_path)
            if old_path == new_path:
                return
            source, target = await self._spot_to_write(old_path, whole=True), await self._spot_to_write(new_path, whole=True)
            if source.home != target.home:
                raise Unsupported(f"{old_path} cannot be moved to another site", hint="copy it, then delete it here")
            info = await source.files.stat(source.ref)
            if await self._facts(new_path) is not None:
                raise AlreadyExists(f"file already exists: {new_path}", hint="choose another name")
            ours = info.lock is not None and info.lock.app_name == LIVE_APP
            await source.files.move(source.ref, target.ref, lock_id=info.lock.lock_id if info.lock and ours else "")
        self.settings.ids.move_tree(old_path, new_path)

    async def copy(self, from_path: str, to_path: str | None = None) -> Model:
        """Copies a file, byte by byte, or a folder; where to and under which name as `AsyncContentsManager.copy` says."""
        with http_errors():
            from_path = paths.clean(from_path)
            folder, name = paths.split(from_path)
            facts = await self.places.facts(from_path)
            target = folder if to_path is None else paths.clean(to_path)
            if await self.dir_exists(target):
                free = await self.increment_filename(copy_pat.sub(".", name), target, insert="-Copy")
                target = paths.join(target, free)
            elif to_path is None or not await self.dir_exists(paths.split(target)[0]):
                raise NotFound(f"no such directory: {paths.split(target)[0]}", hint="create it first")
            target = self._writable_path(target)
            if facts.is_dir:
                await self._copy_folder(from_path, target, self.max_copy_folder_bytes)
            else:
                await self._copy_file(from_path, target)
            copied = await self._saved(target, "directory" if facts.is_dir else kind(target, is_dir=False), None)
        self.emit(data={"action": "copy", "path": target, "source_path": from_path})
        return copied

    async def _copy_folder(self, source: str, target: str, budget: int) -> int:
        """Copies what is listed, and returns what is left of `budget` bytes. Raises `Overloaded` before less is left."""
        if f"{target}/".startswith(f"{source}/"):
            raise InvalidInput(f"cannot copy {source} into itself", hint="choose a folder outside of it")
        listed = await self.places.listing(source)
        budget -= sum(facts.size or 0 for facts in listed)
        if budget < 0:
            raise Overloaded(f"{source} is larger than CS3ContentsManager.max_copy_folder_bytes", hint="copy a smaller folder")
        await self._make_folder(target)
        for facts in listed:
            name = paths.split(facts.path)[1]
            if facts.is_dir:
                budget = await self._copy_folder(facts.path, paths.join(target, name), budget)
            else:
                await self._copy_file(facts.path, paths.join(target, name))
        return budget

    async def _copy_file(self, source: str, target: str) -> None:
        """By way of a temporary file: it is never all in memory."""
        try:
            await self._copy_once(source, target)
        except Corrupt:  # saved meanwhile, perhaps
            await self._copy_once(source, target)

    async def _copy_once(self, source: str, target: str) -> None:
        spot = await self.places.spot(source)
        with contextlib.closing(Upload()) as copy:
            try:
                async with spot.files.reading(spot.ref, max_bytes=self.max_file_bytes) as (_, pieces):
                    async for piece in pieces:
                        await copy.add(piece)
            except Overloaded as error:
                raise self._too_large(source) from error
            await self._write(target, copy.source())

    async def trust_notebook(self, path: str) -> None:
        notebook = (await self.get(path))["content"]
        self.log.warning("Trusting notebook %s", path)
        await self._notary_thread.run(self.notary.mark_cells, notebook, True)
        await self._notary_thread.run(self.check_and_sign, notebook, path)


@dataclass(frozen=True, slots=True)
class _Replaced:
    """The etag a write left, and the time of what was there before (0 for nothing)."""

    etag: Etag
    mtime: float


def _changed(path: str) -> VersionConflict:
    return VersionConflict(
        f"{path} was changed by someone else since it was opened here",
        hint="open it again to see their version, or save yours under another name",
    )


def _partial(path: str, size: int) -> Model:
    """The model of a file that is still being uploaded."""
    return model(Facts(path, is_dir=False, writable=True, mtime=time.time(), size=size), "file")
