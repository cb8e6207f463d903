"""Earlier contents and deleted files."""

from __future__ import annotations

import os
import posixpath
import shutil
from typing import Any

from cs3.storage.provider.v1beta1 import resources_pb2 as storage

from cs3collab.gateway import transfers
from cs3collab.gateway.access import require
from cs3collab.gateway.files import Fields
from cs3collab.gateway.index import Node
from cs3collab.gateway.locks import check_write
from cs3collab.gateway.status import ALREADY_EXISTS, INTERNAL, INVALID_ARGUMENT, Refused, not_found
from cs3collab.gateway.view import View, timestamp


def list_versions(view: View, request: Any) -> Fields:
    node, _ = view.existing(request.ref, "list_file_versions")
    rows = view.index.rows("SELECT key, size, mtime_ns, etag FROM versions WHERE node = ? ORDER BY key DESC", node.id)
    return {
        "versions": [
            storage.FileVersion(key=key, size=size, mtime=mtime_ns // 10**9, etag=etag) for key, size, mtime_ns, etag in rows
        ]
    }


def restore_version(view: View, request: Any) -> Fields:
    """The present content becomes a version, the restored one stays in the list."""
    node, held = view.existing(request.ref, "restore_file_version")
    require(held, "initiate_file_upload")
    version = view.index.one("SELECT size FROM versions WHERE node = ? AND key = ?", node.id, request.key)
    if version is None:
        raise not_found("no such version")
    check_write(view.lock_held(node), request.lock_id)
    temp = view.tree.new_temp()
    try:
        shutil.copyfile(view.tree.versions / node.id / request.key, temp)
        with temp.open("rb") as file:
            os.fsync(file.fileno())
        transfers.keep_version(view, node)
        view.tree.put(view.tree.find(node.parent), node.name, temp, announced=version[0])
    finally:
        temp.unlink(missing_ok=True)
    return {}


def list_recycle(view: View, request: Any) -> Fields:
    """What was deleted in the space of ``ref``, below it; without sizes, as in Reva."""
    folder, below = _folder(view, request.ref, "list_recycle")
    rows = view.index.rows(
        "SELECT t.key, t.path, t.deleted_ns, n.is_dir FROM trash t JOIN nodes n ON n.id = t.node "
        "WHERE t.space = ? ORDER BY t.deleted_ns DESC",
        folder.space,
    )
    items = []
    for key, path, deleted_ns, is_dir in rows:
        if below in ("/", path) or path.startswith(f"{below}/"):
            item = storage.RecycleItem(
                type=storage.RESOURCE_TYPE_CONTAINER if is_dir else storage.RESOURCE_TYPE_FILE,
                key=key,
                ref=storage.Reference(resource_id=view.rid_of(folder.space), path=posixpath.join(".", path.lstrip("/"))),
                deletion_time=timestamp(deleted_ns),
            )
            if not request.HasField("ref") or not request.ref.HasField("resource_id"):
                item.ref.CopyFrom(storage.Reference(path=path))
            if not request.key or key == request.key:
                items.append(item)
    return {"recycle_items": items}


def restore_recycled(view: View, request: Any) -> Fields:
    if not request.HasField("restore_ref"):
        raise Refused(INVALID_ARGUMENT, "restore_ref must be set")
    folder, _ = _folder(view, request.ref, "restore_recycle_item")
    try:
        node_id = _trashed(view, folder, request.key)
    except Refused as refused:
        raise Refused(INTERNAL, refused.message) from refused
    place, parent = view.free(request.restore_ref, "initiate_file_upload")
    if place.node is not None:
        raise Refused(ALREADY_EXISTS, "there is something of that name")
    if parent.space != folder.space:
        raise Refused(INVALID_ARGUMENT, "cannot be restored into another space")
    view.tree.restore(request.key, node_id, parent, place.name)
    return {}


def purge_recycle(view: View, request: Any) -> Fields:
    """One item, or without a key all of the space."""
    folder, _ = _folder(view, request.ref, "purge_recycle")
    if request.key:
        view.tree.purge(request.key, _trashed(view, folder, request.key))
        return {}
    for key, node_id in view.index.rows("SELECT key, node FROM trash WHERE space = ?", folder.space):
        view.tree.purge(key, node_id)
    return {}


def _folder(view: View, ref: Any, needed: str) -> tuple[Node, str]:
    """The folder, whose space must be the caller's to look into, and its path within the space."""
    node, _ = view.existing(ref, needed)
    space = view.tree.find(node.space)
    require(view.held(space), needed)
    return node, "/" + "/".join((view.tree.names(node) or [])[2:])


def _trashed(view: View, folder: Node, key: str) -> str:
    row = view.index.one("SELECT node FROM trash WHERE key = ? AND space = ?", key, folder.space)
    if row is None:
        raise not_found("no such item")
    return str(row[0])
