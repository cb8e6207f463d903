"""Files and folders: the handlers of the storage calls. Each runs in the index thread and returns the response's fields."""

from __future__ import annotations

import posixpath
import shutil
import time
from typing import Any

from cs3.storage.provider.v1beta1 import resources_pb2 as storage
from cs3.types.v1beta1 import types_pb2

from cs3collab.gateway.access import require
from cs3collab.gateway.index import Node
from cs3collab.gateway.locks import check_write
from cs3collab.gateway.status import (
    ALREADY_EXISTS,
    INTERNAL,
    INVALID_ARGUMENT,
    NOT_FOUND,
    UNIMPLEMENTED,
    Refused,
    denied,
    not_found,
)
from cs3collab.gateway.tree import AREAS
from cs3collab.gateway.view import SHARES, View

Fields = dict[str, Any]

METADATA_BYTES = 64 * 1024
"""Most metadata of one resource; it travels with every Stat."""


def stat(view: View, request: Any) -> Fields:
    place = view.locate(request.ref)
    if place.shares:
        return {"info": view.shares_info(place.path)}
    if place.node is None:
        raise not_found()
    require(view.held(place.node), "stat")
    return {"info": view.info(place.node, place.path, request.arbitrary_metadata_keys)}


def list_container(view: View, request: Any) -> Fields:
    place = view.locate(request.ref)
    keys = request.arbitrary_metadata_keys
    if place.shares:
        return {"infos": [view.info(node, posixpath.join(place.path, mount), keys) for mount, node in view.mounts()]}
    if place.node is None:
        raise not_found()
    require(view.held(place.node), "list_container")
    if not place.node.is_dir:
        raise Refused(INTERNAL, "not a folder")
    infos = [view.info(node, posixpath.join(place.path, node.name), keys) for node in _children(view, place.node)]
    if _is_home(view, place.node):
        infos.append(view.shares_info(posixpath.join(place.path, SHARES)))
    return {"infos": infos}


def _children(view: View, folder: Node) -> list[Node]:
    children = view.tree.children(folder)
    if len(view.tree.ancestors(folder)) <= 2:  # the root, users and projects: only what this caller may see
        return [node for node in children if view.held(node)]
    return [node for node in children if not (_is_home(view, folder) and node.name == SHARES)]


def _is_home(view: View, node: Node) -> bool:
    return view.caller.local and node.id == node.space and node.name == view.caller.opaque_id


def create_container(view: View, request: Any) -> Fields:
    place, parent = view.free(request.ref, "create_container")
    if place.node is not None:
        raise Refused(ALREADY_EXISTS, "there is something of that name")
    view.index.touch(parent.id, time.time_ns())
    view.tree.make_dir(parent, place.name)
    return {}


def touch_file(view: View, request: Any) -> Fields:
    place, parent = view.free(request.ref, "initiate_file_upload", missing=NOT_FOUND)
    if place.node is not None:
        raise Refused(ALREADY_EXISTS, "there is something of that name")
    view.tree.put(parent, place.name, view.tree.new_temp())
    return {}


def delete(view: View, request: Any) -> Fields:
    node, _ = view.existing(request.ref, "delete")
    if node.id == node.space:
        raise denied("a space is not deleted like a folder")
    check_write(view.lock_held(node), request.lock_id)
    view.tree.delete(node)
    return {}


def move(view: View, request: Any) -> Fields:
    place, parent = view.free(request.destination, "create_container", missing=NOT_FOUND)
    node, _ = view.existing(request.source, "move")
    if view.shared_root(node):
        raise denied("what is shared with you is not yours to move")
    if place.node is not None:
        raise Refused(ALREADY_EXISTS, "there is something of that name")
    if parent.space != node.space:
        raise Refused(UNIMPLEMENTED, "moving between spaces is not supported")
    check_write(view.lock_held(node), request.lock_id)
    view.tree.move(node, parent, place.name)
    return {}


def get_path(view: View, request: Any) -> Fields:
    try:
        node, _ = view.existing(storage.Reference(resource_id=request.resource_id), "get_path")
    except Refused as refused:
        raise Refused(INTERNAL if refused.code == NOT_FOUND else refused.code, refused.message) from refused
    return {"path": "/" + "/".join((view.tree.names(node) or [])[2:])}


def get_quota(view: View, request: Any) -> Fields:
    node, _ = view.existing(request.ref, "get_quota")
    disk = shutil.disk_usage(view.tree.disk(node))
    return {"total_bytes": disk.total, "used_bytes": disk.total - disk.free}


def set_metadata(view: View, request: Any) -> Fields:
    node, _ = view.existing(request.ref, "initiate_file_upload")
    check_write(view.lock_held(node), request.lock_id)
    values = dict(view.index.rows("SELECT key, value FROM metadata WHERE node = ?", node.id))
    values.update(request.arbitrary_metadata.metadata)
    if sum(len(k.encode()) + len(v.encode()) for k, v in values.items()) > METADATA_BYTES:
        raise Refused(INVALID_ARGUMENT, f"more than {METADATA_BYTES} bytes of metadata")
    for key, value in request.arbitrary_metadata.metadata.items():
        view.index.run("INSERT OR REPLACE INTO metadata VALUES (?, ?, ?)", node.id, key, value)
    return {}


def unset_metadata(view: View, request: Any) -> Fields:
    node, _ = view.existing(request.ref, "initiate_file_upload")
    check_write(view.lock_held(node), request.lock_id)
    for key in request.arbitrary_metadata_keys:
        view.index.run("DELETE FROM metadata WHERE node = ? AND key = ?", node.id, key)
    return {}


# Homes and spaces


def home_path(view: View) -> str:
    if not view.caller.local:
        raise not_found("no home")
    return f"/users/{view.caller.opaque_id}"


def get_home(view: View, request: Any) -> Fields:
    return {"path": home_path(view)}


def create_home(view: View, request: Any) -> Fields:
    home_path(view)
    users = view.tree.child(view.tree.root_node(), "users")
    if users is not None and view.tree.child(users, view.caller.opaque_id) is None:
        view.tree.make_dir(users, view.caller.opaque_id)
    return {}


def list_spaces(view: View, request: Any) -> Fields:
    spaces = []
    for area in AREAS:
        folder = view.tree.child(view.tree.root_node(), area)
        roots = view.tree.children(folder) if folder else []
        spaces += [_space(view, node, area) for node in roots if "list_container" in view.held(node)]
    if view.caller.local:
        spaces.append(_virtual(view))
    return {"storage_spaces": [space for space in spaces if _wanted(space, request.filters)]}


def _space(view: View, node: Node, area: str) -> Any:
    path = f"/{area}/{node.name}"
    user = view.site.users.get(node.name) if area == "users" else None
    space = storage.StorageSpace(
        id=storage.StorageSpaceId(opaque_id=f"{view.site.storage_id}${node.id}"),
        root=view.rid(node),
        name=user.display_name if user else node.name,
        space_type="personal" if area == "users" else "project",
        root_info=view.info(node, path),
        opaque=types_pb2.Opaque(map={"path": types_pb2.OpaqueEntry(decoder="plain", value=path.encode())}),
    )
    if user:
        space.owner.CopyFrom(user)
    else:
        space.owner.id.CopyFrom(view.owner(node))
    return space


def _virtual(view: View) -> Any:
    """The folder of received shares, which is a space of its own."""
    info = view.shares_info(f"{home_path(view)}/{SHARES}")
    space_id = storage.StorageSpaceId(opaque_id=f"{info.id.storage_id}${info.id.opaque_id}")
    return storage.StorageSpace(id=space_id, root=info.id, name=SHARES, space_type="virtual", root_info=info)


def _wanted(space: Any, filters: Any) -> bool:
    values = {"id": space.id.opaque_id, "space_type": space.space_type, "owner": space.owner.id.opaque_id}
    for wish in filters:
        term = wish.WhichOneof("term")
        given = getattr(wish, term).opaque_id if term in ("id", "owner") else getattr(wish, term) if term else None
        if term in values and values[term] != given:
            return False
    return True
