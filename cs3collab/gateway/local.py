"""The profile ``nolocks``: storage by path, as Reva v3's local driver keeps it, without locks, conditions and rights.

Every user sees the one tree ``/home``, ids are made of paths, times are whole seconds. Runs in the index thread.
"""

from __future__ import annotations

import io
import os
import posixpath
import shutil
import stat
import time
import uuid
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import quote_plus, unquote_plus

from cs3.storage.provider.v1beta1 import resources_pb2 as storage
from cs3.types.v1beta1 import types_pb2

from cs3collab.gateway import access
from cs3collab.gateway.access import Caller
from cs3collab.gateway.site import Site
from cs3collab.gateway.status import ALREADY_EXISTS, INTERNAL, Refused, not_found
from cs3collab.gateway.view import PUBLIC, mime_type

Fields = dict[str, Any]
HOME: Final = "/home"
_PREFIX: Final = "fileid-"
_SPACE: Final = "local"
_EVERYTHING: Final = access.MANAGER - {"deny_grant"}


@dataclass(frozen=True, slots=True)
class Spot:
    """A path in the tree, as ``/einstein-id/file``, and where it is on disk; there may be nothing."""

    path: str
    disk: Path

    @property
    def shown(self) -> str:
        return posixpath.join(HOME, self.path.lstrip("/")) if self.path != "/" else HOME

    @property
    def opaque_id(self) -> str:
        return _PREFIX + quote_plus(self.path)

    def info(self) -> os.stat_result:
        """Raises NOT_FOUND, also for what is neither file nor folder."""
        try:
            found = os.lstat(self.disk)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise not_found() from error
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            raise not_found()
        return found

    def is_dir(self) -> bool:
        return stat.S_ISDIR(self.info().st_mode)


class Local:
    """Made for one request."""

    def __init__(self, site: Site, caller: Caller) -> None:
        self.site = site
        self.caller = caller
        self._root = site.config.root / "users"
        self._versions = site.config.root / ".cs3" / "local-versions"
        self._trash = site.config.root / ".cs3" / "local-trash"

    def spot(self, ref: Any) -> Spot:
        """Raises NOT_FOUND for what is in no way in the tree, INTERNAL for another storage."""
        if ref.HasField("resource_id"):
            if ref.resource_id.storage_id != self.site.storage_id:
                raise Refused(INTERNAL, "no such storage")
            if not ref.resource_id.opaque_id.startswith(_PREFIX):
                raise not_found()
            top = unquote_plus(ref.resource_id.opaque_id.removeprefix(_PREFIX))
            return self.at(posixpath.join(top, ref.path))
        path = posixpath.normpath(ref.path) if ref.path.startswith("/") else ""
        if path.split("/")[1:2] == [PUBLIC]:
            return self._in_link(path.split("/")[2:])
        if path != HOME and not path.startswith(f"{HOME}/"):
            raise not_found()
        return self.at(path.removeprefix(HOME))

    def _in_link(self, names: list[str]) -> Spot:
        row = self.site.index.one("SELECT node FROM links WHERE token = ?", names[0] if names else "")
        if row is None:
            raise not_found("no such link")
        return self.at(posixpath.join(unquote_plus(row[0].removeprefix(_PREFIX)), *names[1:]))

    def at(self, path: str) -> Spot:
        path = posixpath.normpath(f"/{path.lstrip('/')}")
        disk = self._root / path.lstrip("/")
        if "\0" in path or not disk.parent.resolve().is_relative_to(self._root.resolve()):
            raise not_found()
        return Spot(path, disk)

    def rid(self, spot: Spot) -> Any:
        return storage.ResourceId(storage_id=self.site.storage_id, space_id=_SPACE, opaque_id=spot.opaque_id)

    def describe(self, spot: Spot, keys: Any = ()) -> Any:
        """``ResourceInfo``: without a name, owned by whoever asks, who may do everything. Raises NOT_FOUND."""
        found = spot.info()
        is_dir = stat.S_ISDIR(found.st_mode)
        info = storage.ResourceInfo(
            type=storage.RESOURCE_TYPE_CONTAINER if is_dir else storage.RESOURCE_TYPE_FILE,
            id=self.rid(spot),
            parent_id=storage.ResourceId(space_id=_SPACE),
            etag=etag(found),
            mime_type="httpd/unix-directory" if is_dir else mime_type(spot.path),
            mtime=types_pb2.Timestamp(seconds=int(found.st_mtime)),
            path=spot.shown,
            permission_set=access.permission_set(_EVERYTHING),
            size=found.st_size,
            owner=self.caller.user.id,
        )
        wanted = set(keys) - {"*"}
        values = self.metadata(spot)
        info.arbitrary_metadata.metadata.update({k: v for k, v in values.items() if not wanted or k in wanted})
        return info

    # Metadata: rows of the index' settings, for the local driver knows no ids

    def metadata(self, spot: Spot) -> dict[str, str]:
        prefix = f"metadata:{spot.path}:"
        rows = self.site.index.rows("SELECT key, value FROM settings WHERE substr(key, 1, ?) = ?", len(prefix), prefix)
        return {key[len(prefix) :]: value for key, value in rows}

    def set_metadata(self, spot: Spot, values: dict[str, str]) -> None:
        for key, value in values.items():
            self.site.index.run("INSERT OR REPLACE INTO settings VALUES (?, ?)", f"metadata:{spot.path}:{key}", value)

    def unset_metadata(self, spot: Spot, keys: Any) -> None:
        for key in keys:
            self.site.index.run("DELETE FROM settings WHERE key = ?", f"metadata:{spot.path}:{key}")

    # Contents

    def finish(self, path: str, temp: Path) -> None:
        """Puts an upload in its place, whatever is there by now. Raises INTERNAL without a folder, or onto one."""
        spot = self.at(path)
        try:
            if os.path.isdir(spot.disk):
                raise Refused(INTERNAL, "the target is a folder")
            if os.path.lexists(spot.disk):
                self._archive(spot)
            os.replace(temp, spot.disk)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Refused(INTERNAL, "the folder is missing") from error

    def _archive(self, spot: Spot) -> None:
        folder = self._versions_of(spot)
        folder.mkdir(parents=True, exist_ok=True)
        key = time.time_ns() // 10**6
        while (folder / f"v{key}").exists():
            key += 1
        os.link(spot.disk, folder / f"v{key}")

    def _versions_of(self, spot: Spot) -> Path:
        return self._versions / quote_plus(spot.path)

    def versions(self, spot: Spot) -> list[Any]:
        """Times are milliseconds. A moved file has none: they are kept by path."""
        folder = self._versions_of(spot)
        entries = sorted(folder.iterdir()) if folder.is_dir() else []
        return [_version(entry.name.removeprefix("v"), entry.stat()) for entry in entries]

    def open(self, ref: Any) -> tuple[BinaryIO, os.stat_result]:
        """Raises NOT_FOUND. A folder has nothing, though its size is said."""
        spot = self.spot(ref)
        if spot.is_dir():
            return io.BytesIO(), spot.info()
        file = os.fdopen(os.open(spot.disk, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
        return file, os.fstat(file.fileno())

    # Folders

    def children(self, spot: Spot) -> list[Spot]:
        """Raises NOT_FOUND, or INTERNAL for a file."""
        if not spot.is_dir():
            raise Refused(INTERNAL, "not a folder")
        found = [self.at(posixpath.join(spot.path, name)) for name in sorted(os.listdir(spot.disk))]
        return [one for one in found if os.path.isdir(one.disk) or os.path.isfile(one.disk)]

    def make(self, spot: Spot, *, folder: bool) -> None:
        """Raises ALREADY_EXISTS, NOT_FOUND, or INTERNAL in a file."""
        try:
            if folder:
                os.mkdir(spot.disk)
            else:
                os.close(os.open(spot.disk, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644))
        except FileExistsError as error:
            raise Refused(ALREADY_EXISTS, "there is something of that name") from error
        except FileNotFoundError as error:
            raise not_found("the folder is missing") from error
        except NotADirectoryError as error:
            raise Refused(INTERNAL, "the parent is not a folder") from error

    def move(self, source: Spot, target: Spot) -> None:
        """Over what is there. Raises INTERNAL for whatever goes wrong."""
        try:
            os.rename(source.disk, target.disk)
        except OSError as error:
            raise Refused(INTERNAL, f"cannot be moved: {error.strerror}") from error
        self.set_metadata(target, self.metadata(source))
        self.unset_metadata(source, self.metadata(source))

    def delete(self, spot: Spot) -> None:
        """Raises NOT_FOUND."""
        spot.info()
        self._trash.mkdir(exist_ok=True)
        key = f"{posixpath.basename(spot.path)}.{uuid.uuid4().hex[:8]}.d{time.time_ns() // 10**6}"
        os.rename(spot.disk, self._trash / key)
        self.site.index.run("INSERT INTO settings VALUES (?, ?)", f"trash:{key}", spot.path)

    def recycled(self) -> list[Any]:
        """Times are milliseconds, though they are said to be seconds."""
        rows = self.site.index.rows("SELECT key, value FROM settings WHERE substr(key, 1, 6) = 'trash:' ORDER BY rowid")
        return [self._recycle_item(key.removeprefix("trash:"), path) for key, path in rows]

    def _recycle_item(self, key: str, path: str) -> Any:
        found = os.lstat(self._trash / key)
        return storage.RecycleItem(
            type=storage.RESOURCE_TYPE_CONTAINER if stat.S_ISDIR(found.st_mode) else storage.RESOURCE_TYPE_FILE,
            key=key,
            ref=storage.Reference(path=self.at(path).shown),
            size=found.st_size,
            deletion_time=types_pb2.Timestamp(seconds=int(key.rpartition(".d")[2])),
        )

    def restore(self, key: str) -> None:
        """To where it was. Raises INTERNAL."""
        row = self.site.index.one("SELECT value FROM settings WHERE key = ?", f"trash:{key}")
        spot = self.at(row[0]) if row else None
        if spot is None or os.path.lexists(spot.disk):
            raise Refused(INTERNAL, "error restoring recycle bin item")
        os.rename(self._trash / key, spot.disk)
        self.site.index.run("DELETE FROM settings WHERE key = ?", f"trash:{key}")

    def purge(self, key: str) -> None:
        for item in self.recycled():
            if key in ("", item.key):
                gone = self._trash / item.key
                shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
                self.site.index.run("DELETE FROM settings WHERE key = ?", f"trash:{item.key}")


def etag(found: os.stat_result) -> str:
    """Of whole seconds: two writes at once differ only in the inode, which can come again."""
    said = f"{int(found.st_mtime)}:{found.st_ino}:{found.st_dev}:{found.st_size}"
    return f'"{md5(said.encode(), usedforsecurity=False).hexdigest()}"'


def _version(key: str, found: os.stat_result) -> Any:
    return storage.FileVersion(key=key, size=found.st_size, mtime=int(key), etag=etag(found))
