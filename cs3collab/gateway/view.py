"""What one caller sees of the site: references become nodes, nodes become ResourceInfo. Runs in the index thread."""

from __future__ import annotations

import json
import mimetypes
import posixpath
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import md5
from typing import Any, Final

from cs3.identity.user.v1beta1 import resources_pb2 as identity
from cs3.sharing.collaboration.v1beta1 import resources_pb2 as sharing
from cs3.storage.provider.v1beta1 import resources_pb2 as storage
from cs3.types.v1beta1 import types_pb2

from cs3collab.gateway import access
from cs3collab.gateway.access import Caller, Permissions, require
from cs3collab.gateway.index import Node
from cs3collab.gateway.locks import Held
from cs3collab.gateway.rights import Rights, expired, grantee_keys
from cs3collab.gateway.site import Site
from cs3collab.gateway.status import FAILED_PRECONDITION, INTERNAL, INVALID_ARGUMENT, UNIMPLEMENTED, Refused, not_found
from cs3collab.gateway.tree import ROOT_ID

SHARES: Final = "Shares"
SHARES_ID: Final = "a0ca6a90-a365-4782-871e-d44447bbc668"
"""Reva's fixed storage id of the folder of received shares."""

PUBLIC: Final = "public"
OCM_AREA: Final = "ocm"
OCM_ID: Final = "89f37a33-858b-45fa-8890-a1f2b27d90e1"
"""Reva's fixed storage id of what other sites shared; `cs3collab.gateway.remote` answers for it."""

LOCK_KEY: Final = "lockdiscovery"
CHECKSUM_KEY: Final = "http://owncloud.org/ns/checksums"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reference leads. ``node`` is None for a free ``name`` in ``parent``, ``parent`` too when the folder is missing.

    ``path`` is as the caller wrote it; ``shares`` the folder of received shares, which is in no tree.
    """

    path: str
    node: Node | None = None
    parent: Node | None = None
    name: str = ""
    shares: bool = False


class View:
    """Made for one request. Every refusal is a `Refused` with the CS3 code."""

    def __init__(self, site: Site, caller: Caller) -> None:
        self.site = site
        self.caller = caller
        self.tree = site.tree
        self.index = site.index
        self._rights = Rights(site, caller)
        self._owners: dict[str, Any] = {}

    # References

    def locate(self, ref: Any) -> Place:
        """Raises NOT_FOUND for what the caller cannot see, INVALID_ARGUMENT for an impossible path."""
        names = split(ref.path)
        if ref.HasField("resource_id"):
            rid = ref.resource_id
            path = posixpath.join(".", *names)
            if rid.storage_id == SHARES_ID:
                return self._in_shares(names, path)
            if rid.storage_id == OCM_ID:
                raise _elsewhere()
            return self._walk(self._by_id(rid), names, path)
        path = "/" + "/".join(names)
        if names[:1] == [PUBLIC]:
            return self._in_link(names[1:], path)
        if not ref.path.startswith("/"):
            raise Refused(INVALID_ARGUMENT, "a path without a resource id must be absolute")
        if names[:1] == [OCM_AREA]:
            raise _elsewhere()
        if names[:1] == ["users"] and names[1:3] == [self.caller.opaque_id, SHARES] and self.caller.local:
            return self._in_shares(names[3:], path)
        space = self._space(names)
        if space is None:
            return self._walk(self.tree.root_node(), names, path)
        return self._walk(space, names[2:], path)

    def _space(self, names: Sequence[str]) -> Node | None:
        """The space that an absolute path leads into. Raises NOT_FOUND for a space the caller cannot see.

        What is shared from there has an id, and a path in the folder of shares, but no path in that space.
        """
        area = self.tree.child(self.tree.root_node(), names[0]) if len(names) >= 2 else None
        space = self.tree.child(area, names[1]) if area else None
        if space is not None and not self.held(space):
            raise not_found()
        return space

    def existing(self, ref: Any, needed: str) -> tuple[Node, Permissions]:
        """The node behind `ref`, and what the caller may do there. Raises NOT_FOUND or PERMISSION_DENIED without `needed`."""
        place = self.locate(ref)
        if place.node is None:
            raise not_found()
        held = self.held(place.node)
        require(held, needed)
        return place.node, held

    def free(self, ref: Any, needed: str, missing: int = FAILED_PRECONDITION) -> tuple[Place, Node]:
        """A place for something new, and its folder, where the caller has `needed`. The place may be taken.

        Raises NOT_FOUND, PERMISSION_DENIED, `missing` without the folder, or INTERNAL when that is a file.
        """
        place = self.locate(ref)
        if place.shares:
            raise Refused(FAILED_PRECONDITION, "the folder of shares is not to be written")
        parent = place.parent
        if parent is None:
            raise Refused(missing, "the parent folder is missing")
        require(self.held(parent), needed)
        if not parent.is_dir:
            raise Refused(INTERNAL, "the parent is not a folder")
        if parent.id == parent.space and parent.name == self.caller.opaque_id and place.name == SHARES:
            raise Refused(FAILED_PRECONDITION, f"{SHARES} is the folder of received shares")
        return place, parent

    def _by_id(self, rid: Any) -> Node:
        if rid.storage_id not in ("", self.site.storage_id):
            raise not_found()
        node = self.tree.find(rid.opaque_id)
        require(self.held(node), "stat")
        return node

    def _walk(self, base: Node, names: Sequence[str], path: str) -> Place:
        parent = self.index.node(base.parent)
        node: Node | None = base
        for depth, name in enumerate(names):
            parent, node = node, self.tree.child(node, name) if node else None
            if node is None and depth < len(names) - 1:
                require(self.held(parent) if parent else access.NOTHING, "stat")
                return Place(path, name=names[-1])
        if node is None:
            require(self.held(parent) if parent else access.NOTHING, "stat")
        return Place(path, node, parent, names[-1] if names else base.name)

    def _in_shares(self, names: Sequence[str], path: str) -> Place:
        if not names:
            return Place(path, shares=True, name=SHARES)
        for mount, node in self.mounts():
            if mount == names[0]:
                return self._walk(node, names[1:], path)
        raise not_found()

    def _in_link(self, names: Sequence[str], path: str) -> Place:
        """Below ``/public/<token>``, for who logged in with that link."""
        if not self.caller.link or names[:1] != [self.caller.link]:
            raise not_found()
        return self._walk(self.tree.find(self.caller.resource), names[1:], path)

    def mounts(self) -> list[tuple[str, Node]]:
        """The accepted shares of the caller: name in the folder of shares, and node."""
        found = []
        for share, state, mount, hidden in self.received():
            if state != sharing.SHARE_STATE_ACCEPTED or hidden:
                continue
            try:
                found.append((mount, self.tree.find(share.resource_id.opaque_id)))
            except Refused:
                continue
        return found

    def received(self) -> list[tuple[Any, int, str, bool]]:
        """Shares with the caller that have not expired: ``collaboration.Share``, state, mount name, hidden."""
        rows = self.index.rows(
            "SELECT s.proto, r.state, r.mount, r.hidden, n.name FROM shares s JOIN nodes n ON n.id = s.node "
            "LEFT JOIN received r ON r.share = s.id AND r.user = ? "
            "WHERE s.grantee IN (SELECT value FROM json_each(?)) ORDER BY s.rowid",
            self.caller.opaque_id,
            json.dumps(grantee_keys(self.caller)),
        )
        found = []
        for proto, state, mount, hidden, name in rows:
            share = sharing.Share.FromString(proto)
            if not expired(share):
                found.append((share, state or sharing.SHARE_STATE_PENDING, mount or name, bool(hidden)))
        return found

    # Permissions

    def held(self, node: Node) -> Permissions:
        """What the caller may do with `node`."""
        return self._rights.of(node)

    def shared_root(self, node: Node) -> bool:
        """Is `node` the top of what the caller sees, so that it is not theirs to move or delete?"""
        parent = self.index.node(node.parent)
        return node.id == node.space or parent is None or not self.held(parent) or parent.id == ROOT_ID

    # Answers

    def rid(self, node: Node) -> Any:
        return storage.ResourceId(storage_id=self.site.storage_id, space_id=node.space, opaque_id=node.id)

    def owner(self, node: Node) -> Any:
        """Of the space: its user, or a space owner for a project."""
        if node.space not in self._owners:
            self._owners[node.space] = self._owner(node)
        return self._owners[node.space]

    def _owner(self, node: Node) -> Any:
        space = self.index.node(node.space)
        area = self.index.node(space.parent) if space else None
        if space and area and area.name == "users":
            user = self.site.users.get(space.name)
            return user.id if user else identity.UserId(opaque_id=space.name, idp=self.site.config.site, type=1)
        return identity.UserId(opaque_id=node.space, idp=self.site.config.site, type=identity.USER_TYPE_SPACE_OWNER)

    def info(self, node: Node, path: str, keys: Iterable[str] = ()) -> Any:
        """``ResourceInfo``, with the metadata in `keys` (all when empty or ``*``). Like Reva it tells of `path` the name only.

        Lock and checksum are keys as well, as on Reva. The checksum is that of the upload; what other programs write to the
        disk has none.
        """
        metadata = dict(self.index.rows("SELECT key, value FROM metadata WHERE node = ?", node.id))
        wanted = set(keys)
        everything = not wanted or "*" in wanted
        lock = self.lock(node) if everything or LOCK_KEY in wanted else None
        sha1, length = self.tree.uploaded(node)
        if not (everything or CHECKSUM_KEY in wanted):
            sha1 = ""
        name = posixpath.basename(path) if path.startswith("/") and path != "/" else node.name
        top = node.id == ROOT_ID or node.parent == ROOT_ID
        info = storage.ResourceInfo(
            type=storage.RESOURCE_TYPE_CONTAINER if node.is_dir else storage.RESOURCE_TYPE_FILE,
            id=self.rid(node),
            etag=node.etag,
            mime_type="httpd/unix-directory" if node.is_dir else mime_type(node.name),
            mtime=timestamp(node.modified_ns),
            path=path if top else "." if node.id == node.space else name,
            name=name,
            permission_set=access.permission_set(self.held(node)),
            size=length,
            owner=self.owner(node),
            lock=storage.Lock.FromString(lock) if lock else None,
            checksum=storage.ResourceChecksum(type=storage.RESOURCE_CHECKSUM_TYPE_SHA1, sum=sha1) if sha1 else None,
        )
        info.arbitrary_metadata.metadata.update({k: v for k, v in metadata.items() if everything or k in wanted})
        if node.parent and not self.shared_root(node):
            info.parent_id.CopyFrom(self.rid_of(node.parent))
        return info

    def rid_of(self, node_id: str) -> Any:
        node = self.index.node(node_id)
        return self.rid(node) if node else storage.ResourceId(storage_id=self.site.storage_id, opaque_id=node_id)

    def shares_info(self, path: str) -> Any:
        """The folder of received shares."""
        return storage.ResourceInfo(
            type=storage.RESOURCE_TYPE_CONTAINER,
            id=storage.ResourceId(storage_id=SHARES_ID, space_id=SHARES_ID, opaque_id=SHARES_ID),
            etag=f'"{md5(repr([(m, n.etag) for m, n in self.mounts()]).encode(), usedforsecurity=False).hexdigest()}"',
            mime_type="httpd/unix-directory",
            path=path,
            name=SHARES,
            permission_set=access.permission_set(access.VISIT),
            owner=self.caller.user.id,
        )

    # Locks

    def lock(self, node: Node) -> bytes | None:
        """The lock as stored, None once it has expired: then it is removed, for expiry is only noticed by looking."""
        row = self.index.one("SELECT lock FROM locks WHERE node = ?", node.id)
        if row is None:
            return None
        if held_of(storage.Lock.FromString(row[0])).expired(time.time()):
            self.index.run("DELETE FROM locks WHERE node = ?", node.id)
            return None
        return bytes(row[0])

    def lock_held(self, node: Node) -> Held | None:
        lock = self.lock(node)
        return held_of(storage.Lock.FromString(lock)) if lock else None


def held_of(lock: Any) -> Held:
    """A ``storage.Lock`` as the rules want it."""
    return Held(
        lock_id=lock.lock_id,
        app_name=lock.app_name,
        user=(lock.user.opaque_id, lock.user.idp) if lock.user.opaque_id else None,
        expires=lock.expiration.seconds + lock.expiration.nanos / 1e9 if lock.HasField("expiration") else None,
    )


def _elsewhere() -> Refused:
    return Refused(UNIMPLEMENTED, "not for what other sites shared: ask the home site")


def split(path: str) -> list[str]:
    """The names of a path. Raises INVALID_ARGUMENT for one that climbs out of what it is relative to."""
    names = [name for name in (posixpath.normpath(path) if path.startswith("/") else path).split("/") if name not in ("", ".")]
    if ".." in names:
        raise Refused(INVALID_ARGUMENT, "a path must not contain ..")
    return names


def timestamp(ns: int) -> Any:
    return types_pb2.Timestamp(seconds=ns // 10**9, nanos=ns % 10**9)


def mime_type(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
