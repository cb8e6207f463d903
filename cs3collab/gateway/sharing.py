"""Shares within the site."""

from __future__ import annotations

import posixpath
import time
import uuid
from typing import Any

import grpc
from cs3.sharing.collaboration.v1beta1 import resources_pb2 as sharing
from cs3.storage.provider.v1beta1 import resources_pb2 as storage

from cs3collab.gateway.config import is_name
from cs3collab.gateway.files import Fields
from cs3collab.gateway.rights import grantee_keys
from cs3collab.gateway.status import (
    ALREADY_EXISTS,
    INTERNAL,
    INVALID_ARGUMENT,
    LOCKED,
    NOT_FOUND,
    Fault,
    Refused,
    denied,
    not_found,
)
from cs3collab.gateway.view import View, timestamp

_FOLDER_ONLY = ("create_container", "delete", "move")


def create_share(view: View, request: Any) -> Fields:
    rid = request.resource_info.id
    try:
        node, _ = view.existing(storage.Reference(resource_id=rid), "add_grant")
    except Refused as refused:
        if refused.code == NOT_FOUND:  # Reva falls over
            raise Fault(grpc.StatusCode.INTERNAL, refused.message) from refused
        raise
    grant = request.grant
    check_permissions(grant.permissions.permissions, is_dir=node.is_dir)
    grantee = _grantee(grant.grantee)
    if grantee in grantee_keys(view.caller) and grantee.startswith("user:"):
        raise Fault(grpc.StatusCode.UNKNOWN, "owner and grantee are the same")
    now = timestamp(time.time_ns())
    share = sharing.Share(
        id=sharing.ShareId(opaque_id=str(uuid.uuid4())),
        resource_id=view.rid(node),
        permissions=grant.permissions,
        grantee=grant.grantee,
        owner=view.owner(node),
        creator=view.caller.user.id,
        ctime=now,
        mtime=now,
    )
    if grant.HasField("expiration"):
        share.expiration.CopyFrom(grant.expiration)
    made = view.index.run(
        "INSERT OR IGNORE INTO shares VALUES (?, ?, ?, ?)", share.id.opaque_id, node.id, grantee, share.SerializeToString()
    )
    if not made:
        raise Refused(ALREADY_EXISTS, "it is shared with them already")
    return {"share": share}


def check_permissions(permissions: Any, *, is_dir: bool) -> None:
    """Raises INVALID_ARGUMENT for what cannot be given."""
    if not permissions.stat:
        raise Refused(INVALID_ARGUMENT, "a share must at least let stat")
    if not is_dir and any(getattr(permissions, name) for name in _FOLDER_ONLY):
        raise Refused(INVALID_ARGUMENT, "these permissions are for folders only")
    if permissions.add_grant or permissions.update_grant or permissions.remove_grant:
        raise Refused(INVALID_ARGUMENT, "sharing on is not supported")


def _grantee(grantee: Any) -> str:
    """Nobody asks whether there is such a user, as in Reva."""
    if grantee.type == storage.GRANTEE_TYPE_GROUP and grantee.group_id.opaque_id:
        return f"group:{grantee.group_id.opaque_id}"
    if grantee.type != storage.GRANTEE_TYPE_USER or not grantee.user_id.opaque_id:
        raise Refused(INVALID_ARGUMENT, "a share is with a user or a group")
    return f"user:{grantee.user_id.opaque_id}"


def remove_share(view: View, request: Any) -> Fields:
    share = _managed(view, request.ref)
    view.index.run("DELETE FROM shares WHERE id = ?", share.id.opaque_id)
    return {}


def update_share(view: View, request: Any) -> Fields:
    """By share and mask; the older ``field`` form is INTERNAL, as on Reva v2."""
    if not request.HasField("share"):
        raise Refused(INTERNAL, "share and update_mask must be set")
    given = request.share
    share = _managed(view, request.ref if request.ref.WhichOneof("spec") else sharing.ShareReference(id=given.id))
    node = view.tree.find(share.resource_id.opaque_id)
    for path in request.update_mask.paths:
        match path:
            case "permissions":
                check_permissions(given.permissions.permissions, is_dir=node.is_dir)
                share.permissions.CopyFrom(given.permissions)
            case "expiration":
                share.ClearField("expiration")
                if given.HasField("expiration"):
                    share.expiration.CopyFrom(given.expiration)
            case _:
                raise Refused(INVALID_ARGUMENT, f"cannot update {path[:40]!r}")
    share.mtime.CopyFrom(timestamp(time.time_ns()))
    view.index.run("UPDATE shares SET proto = ? WHERE id = ?", share.SerializeToString(), share.id.opaque_id)
    return {"share": share}


def get_share(view: View, request: Any) -> Fields:
    share = _find(view, request.ref)
    if share is None or not (_is_mine(view, share) or _is_manager(view, share)):
        raise not_found("no such share")
    return {"share": share}


def list_shares(view: View, request: Any) -> Fields:
    """Those this user made or owns, and of what they manage."""
    shares = [sharing.Share.FromString(proto) for (proto,) in view.index.rows("SELECT proto FROM shares ORDER BY rowid")]
    seen = [share for share in shares if _is_mine(view, share) or _is_manager(view, share)]
    return {"shares": [share for share in seen if all(_matches(share, 0, wish) for wish in request.filters)]}


def _matches(share: Any, state: int, wish: Any) -> bool:
    match wish.WhichOneof("term"):
        case "resource_id":
            return bool(share.resource_id.opaque_id == wish.resource_id.opaque_id)
        case "owner":
            return bool(share.owner.opaque_id == wish.owner.opaque_id)
        case "creator":
            return bool(share.creator.opaque_id == wish.creator.opaque_id)
        case "grantee_type":
            return bool(share.grantee.type == wish.grantee_type)
        case "space_id":
            return bool(share.resource_id.space_id == wish.space_id)
        case "state":
            return bool(state == wish.state)
        case "grantee":
            return bool(share.grantee == wish.grantee)
    return True


def _is_mine(view: View, share: Any) -> bool:
    return view.caller.opaque_id in (share.owner.opaque_id, share.creator.opaque_id)


def _is_manager(view: View, share: Any) -> bool:
    node = view.index.node(share.resource_id.opaque_id)
    return node is not None and view.tree.names(node) is not None and "list_grants" in view.held(node)


def _find(view: View, ref: Any) -> Any | None:
    if ref.WhichOneof("spec") == "id":
        row = view.index.one("SELECT proto FROM shares WHERE id = ?", ref.id.opaque_id)
    else:
        kind, name = ("group", ref.key.grantee.group_id) if ref.key.grantee.type == 2 else ("user", ref.key.grantee.user_id)
        row = view.index.one(
            "SELECT proto FROM shares WHERE node = ? AND grantee = ?", ref.key.resource_id.opaque_id, f"{kind}:{name.opaque_id}"
        )
    return sharing.Share.FromString(row[0]) if row else None


def _managed(view: View, ref: Any) -> Any:
    """What may be changed. INTERNAL for what is not found, as in Reva.

    LOCKED while the file or folder itself is locked, by whomever; a new share may be made even then.
    """
    share = _find(view, ref)
    may = share is not None and (_is_mine(view, share) or _is_manager(view, share))
    if share is None or not (may or _received_one(view, share.id.opaque_id)):
        raise Refused(INTERNAL, "error getting share: no such share")
    node = view.index.node(share.resource_id.opaque_id)
    if node is not None and view.lock(node):
        raise Refused(LOCKED, "can not change grants, the shared resource is locked")
    if not may:
        raise denied("not your share")
    return share


# What others shared with the caller


def list_received(view: View, request: Any) -> Fields:
    found = []
    for share, state, mount, hidden in view.received():
        if all(_matches(share, state, wish) for wish in request.filters):
            found.append(_received_message(view, share, state, mount, hidden))
    return {"shares": found}


def _received_message(view: View, share: Any, state: int, mount: str, hidden: bool) -> Any:
    received = sharing.ReceivedShare(share=share, state=state, hidden=hidden)
    if state == sharing.SHARE_STATE_ACCEPTED:
        received.mount_point.path = mount
    return received


def _received_one(view: View, share_id: str) -> tuple[Any, int, str, bool] | None:
    return next((row for row in view.received() if row[0].id.opaque_id == share_id), None)


def get_received(view: View, request: Any) -> Fields:
    share = _find(view, request.ref)
    row = _received_one(view, share.id.opaque_id) if share else None
    if row is None:
        raise not_found("no such share")
    return {"share": _received_message(view, *row)}


def update_received(view: View, request: Any) -> Fields:
    """State, mount point (a free name in the folder of shares) and hidden."""
    row = _received_one(view, request.share.share.id.opaque_id)
    if row is None:
        raise not_found("no such share")
    share, state, mount, hidden = row
    for path in request.update_mask.paths:
        match path:
            case "state":
                state = request.share.state
            case "mount_point":
                mount = posixpath.basename(request.share.mount_point.path.rstrip("/"))
                if not is_name(mount):
                    raise Refused(INVALID_ARGUMENT, "not a usable mount point")
            case "hidden":
                hidden = request.share.hidden
            case _:
                raise Refused(INVALID_ARGUMENT, f"cannot update {path[:40]!r}")
    if state == sharing.SHARE_STATE_ACCEPTED:
        mount = _free_mount(view, share.id.opaque_id, mount)
    view.index.run(
        "INSERT OR REPLACE INTO received VALUES (?, ?, ?, ?, ?)",
        share.id.opaque_id,
        view.caller.opaque_id,
        state,
        mount,
        int(hidden),
    )
    return {"share": _received_message(view, share, state, mount, hidden)}


def _free_mount(view: View, share_id: str, wanted: str) -> str:
    taken = {
        mount
        for share, state, mount, _ in view.received()
        if share.id.opaque_id != share_id and state == sharing.SHARE_STATE_ACCEPTED
    }
    stem, dot, ending = wanted.rpartition(".")
    stem, ending = (stem, dot + ending) if stem else (wanted, "")
    name, n = wanted, 1
    while name in taken:
        n += 1
        name = f"{stem} ({n}){ending}"
    return name
