"""Checkpoints that storage makes anyway: the versions of a file on CS3. No copy is ever made here."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from jupyter_server.services.contents.checkpoints import AsyncCheckpoints
from tornado import web
from traitlets.config import LoggingConfigurable

from cs3collab.cs3.files import Files, Version
from cs3collab.errors import LockHeld, NotAuthorized, NotFound, Unsupported
from cs3collab.jupyter.models import Model, http_errors, when
from cs3collab.jupyter.settings import CS3Settings
from cs3collab.types import FileInfo, Ref

_VERSION, _PRESENT = "v", "p"


def version_id(key: str) -> str:
    """A version's key as a checkpoint id: Jupyter's URLs take ``[\\w-]+`` only, and Reva's keys have dots and colons."""
    return _encode(_VERSION, key)


def present_id(info: FileInfo) -> str:
    """The id of what the file holds now, which storage keeps as a version once it is overwritten."""
    return _encode(_PRESENT, f"{int(info.mtime)} {info.etag}")


def chosen(checkpoint_id: str, versions: list[Version], info: FileInfo) -> str | None:
    """The key of the version to restore, None when the file holds that content now. Raises `NotFound`.

    `versions` newest first, as `Files.versions` gives them.
    """
    kind, text = _decode(checkpoint_id)
    if kind == _VERSION:
        found = next((version.key for version in versions if version.key == text), None)
    elif checkpoint_id == present_id(info):
        return None
    else:
        # a version bears the time of its content, in whole seconds
        found = next((version.key for version in versions if str(int(version.mtime)) == text.partition(" ")[0]), None)
    if found is None:
        raise NotFound("the storage keeps this version no longer", hint="list the checkpoints again")
    return found


def _present(info: FileInfo) -> Model:
    return {"id": present_id(info), "last_modified": when(info.mtime)}


def _encode(kind: str, text: str) -> str:
    return kind + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(checkpoint_id: str) -> tuple[str, str]:
    kind, text = checkpoint_id[:1], checkpoint_id[1:]
    try:
        return kind, base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (ValueError, binascii.Error) as error:
        raise NotFound(f"no such checkpoint: {checkpoint_id[:80]}", hint="list the checkpoints again") from error


class CS3Checkpoints(AsyncCheckpoints):
    """Who received a file as a share may not see its versions on most storages: only what it holds now is listed then."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        parent = self.parent if isinstance(self.parent, LoggingConfigurable) else None
        self._settings = CS3Settings.instance(parent=parent, config=self.config)

    async def create_checkpoint(self, contents_mgr: Any, path: str) -> Model:
        """Nothing to do: the id stands for what the file holds now."""
        with http_errors():
            spot = await self._settings.places.spot(path)
            return _present(await spot.files.stat(spot.ref))

    async def list_checkpoints(self, path: str) -> list[Model]:
        """The versions, oldest first, and last what the file holds now."""
        with http_errors():
            spot = await self._settings.places.spot(path)
            info = await spot.files.stat(spot.ref)
            try:
                versions = await spot.files.versions(spot.ref)
            except (NotAuthorized, Unsupported):
                versions = []
        earlier = [{"id": version_id(version.key), "last_modified": when(version.mtime)} for version in reversed(versions)]
        return [*earlier, _present(info)]

    async def restore_checkpoint(self, contents_mgr: Any, checkpoint_id: str, path: str) -> None:
        """What the file holds now becomes a version itself."""
        with http_errors():
            spot = await self._settings.places.spot(path)
            info = await spot.files.stat(spot.ref)
            if checkpoint_id == present_id(info):
                return
            if info.lock is not None:
                raise LockHeld(f"{path} is being edited", hint="earlier versions can be restored once everybody has closed it")
            key = chosen(checkpoint_id, await self._versions(spot.files, spot.ref, path), info)
            if key is not None:
                await spot.files.restore_version(spot.ref, key)

    async def _versions(self, files: Files, ref: Ref, path: str) -> list[Version]:
        try:
            return await files.versions(ref)
        except NotAuthorized as error:
            raise NotAuthorized(
                f"the storage shows the earlier versions of {path} to its owner only", hint="ask the owner to restore one"
            ) from error

    async def delete_checkpoint(self, checkpoint_id: str, path: str) -> None:
        raise web.HTTPError(501, "Versions are kept and removed by the storage itself")

    async def rename_checkpoint(self, checkpoint_id: str, old_path: str, new_path: str) -> None:
        """Versions belong to the file and go with it."""

    async def rename_all_checkpoints(self, old_path: str, new_path: str) -> None:
        """Versions belong to the file and go with it."""

    async def delete_all_checkpoints(self, path: str) -> None:
        """The recycle bin keeps them with the file."""
