"""Shares with users of other sites: given here, received here."""

from __future__ import annotations

import posixpath
import secrets
import time
import uuid
from dataclasses import dataclass
from typing import Any

from cs3.sharing.ocm.v1beta1 import resources_pb2 as ocm
from cs3.storage.provider.v1beta1 import resources_pb2 as storage

from cs3collab.gateway import access, mesh
from cs3collab.gateway.access import Caller
from cs3collab.gateway.files import Fields
from cs3collab.gateway.local import Local
from cs3collab.gateway.rights import is_editor
from cs3collab.gateway.sharing import check_permissions
from cs3collab.gateway.site import Site
from cs3collab.gateway.status import ALREADY_EXISTS, INTERNAL, INVALID_ARGUMENT, Refused, not_found
from cs3collab.gateway.view import View, timestamp


async def create_share(site: Site, caller: Caller | None, request: Any) -> Fields:
    """Makes the share, then tells the other site, which logs in with it to prove it: if that fails there is no share."""
    assert caller is not None
    share, message = await site.run(lambda: _create(View(site, caller), request))
    domain = share.grantee.user_id.idp
    try:
        said = await site.peers.post(domain, "shares", message)
    except BaseException:
        await site.run(lambda: site.index.run("DELETE FROM ocm_shares WHERE id = ?", share.id.opaque_id))
        raise
    return {"share": share, "recipient_display_name": str(said.get("recipientDisplayName", ""))}


def _create(view: View, request: Any) -> tuple[Any, dict[str, Any]]:
    what = thing(view, request.resource_id)
    ways = [way for way in request.access_methods if way.WhichOneof("term") == "webdav_options"]
    if not ways:
        raise Refused(INVALID_ARGUMENT, "an access method with webdav_options is needed")
    for way in ways:
        check_permissions(way.webdav_options.permissions, is_dir=what.is_dir)
    grantee = mesh.known(view, request.grantee.user_id)
    view.site.peers.record(grantee.id.idp)
    now = timestamp(time.time_ns())
    share = ocm.Share(
        id=ocm.ShareId(opaque_id=str(uuid.uuid4())),
        resource_id=what.rid,
        name=what.name,
        token=secrets.token_urlsafe(32),
        grantee=storage.Grantee(type=storage.GRANTEE_TYPE_USER, user_id=grantee.id),
        owner=what.owner,
        creator=view.caller.user.id,
        ctime=now,
        mtime=now,
        share_type=ocm.SHARE_TYPE_USER,
        access_methods=ways,
    )
    if request.HasField("expiration"):
        share.expiration.CopyFrom(request.expiration)
    made = view.index.run(
        "INSERT OR IGNORE INTO ocm_shares VALUES (?, ?, ?, ?, ?, ?)",
        share.id.opaque_id,
        what.rid.opaque_id,
        mesh.remote_key(grantee.id),
        share.token,
        share.SerializeToString(),
        is_editor(share),
    )
    if not made:
        raise Refused(ALREADY_EXISTS, "it is shared with them already")
    return share, _invitation(view, share, what.is_dir)


@dataclass(frozen=True, slots=True)
class Thing:
    """What is shared."""

    rid: Any
    name: str
    is_dir: bool
    owner: Any


def thing(view: View, rid: Any) -> Thing:
    """What the caller may share. Raises NOT_FOUND or PERMISSION_DENIED."""
    ref = storage.Reference(resource_id=rid)
    if view.site.config.locks:
        node, _ = view.existing(ref, "add_grant")
        return Thing(view.rid(node), node.name, node.is_dir, view.owner(node))
    local = Local(view.site, view.caller)
    spot = local.spot(ref)
    return Thing(local.rid(spot), posixpath.basename(spot.path), spot.is_dir(), view.caller.user.id)


def _rights(share: Any) -> list[str]:
    return ["read", "write"] if is_editor(share) else ["read"]


def _invitation(view: View, share: Any, is_dir: bool) -> dict[str, Any]:
    """The body of ``POST /shares`` of the Open Cloud Mesh API 1.1."""
    site, sender = view.site.config.site, view.caller.user
    owner = view.site.users.get(share.owner.opaque_id) or sender
    webdav = {"sharedSecret": share.token, "permissions": _rights(share), "uri": share.id.opaque_id}
    message: dict[str, Any] = {
        "shareWith": mesh.remote_key(share.grantee.user_id),
        "name": share.name,
        "providerId": share.id.opaque_id,
        "owner": f"{owner.id.opaque_id}@{site}",
        "ownerDisplayName": owner.display_name,
        "sender": f"{sender.id.opaque_id}@{site}",
        "senderDisplayName": sender.display_name,
        "shareType": "user",
        "resourceType": "folder" if is_dir else "file",
        "protocol": {"name": "multi", "webdav": webdav},
    }
    if share.HasField("expiration"):
        message["expiration"] = share.expiration.seconds
    return message


# Given


def _given(view: View) -> list[Any]:
    rows = view.index.rows("SELECT proto FROM ocm_shares ORDER BY rowid")
    shares = [ocm.Share.FromString(proto) for (proto,) in rows]
    return [share for share in shares if view.caller.opaque_id in (share.owner.opaque_id, share.creator.opaque_id)]


def _find(view: View, ref: Any) -> Any:
    kind = ref.WhichOneof("spec")
    for share in _given(view):
        same = {
            "id": share.id.opaque_id == ref.id.opaque_id,
            "token": share.token == ref.token,
            "key": (share.resource_id.opaque_id, mesh.remote_key(share.grantee.user_id))
            == (ref.key.resource_id.opaque_id, mesh.remote_key(ref.key.grantee.user_id)),
        }
        if same.get(kind or "", False):
            return share
    raise Refused(INTERNAL, "error getting share: not found")


def get_share(view: View, request: Any) -> Fields:
    return {"share": _find(view, request.ref)}


def get_share_by_token(site: Site, request: Any) -> Fields:
    """For nobody in particular: the token is the credential."""
    row = site.index.one("SELECT proto FROM ocm_shares WHERE token = ?", request.token)
    if row is None:
        raise not_found("no such share")
    return {"share": ocm.Share.FromString(row[0])}


def list_shares(view: View, request: Any) -> Fields:
    def wanted(share: Any, wish: Any) -> bool:
        term = wish.WhichOneof("term")
        return term is None or getattr(share, term).opaque_id == getattr(wish, term).opaque_id

    return {"shares": [share for share in _given(view) if all(wanted(share, wish) for wish in request.filters)]}


def remove_share(view: View, request: Any) -> Fields:
    """The other site is not told, by none of the models."""
    share = _find(view, request.ref)
    view.index.run("DELETE FROM ocm_shares WHERE id = ?", share.id.opaque_id)
    return {}


def update_share(view: View, request: Any) -> Fields:
    """Permissions and expiration. As in Reva 2.48 this is for logins to come: the grant on the file stays as it was made."""
    share = _find(view, request.ref)
    is_dir = thing(view, share.resource_id).is_dir
    for field in request.field:
        if field.WhichOneof("field") == "expiration":
            share.expiration.CopyFrom(field.expiration)
        elif field.access_methods.WhichOneof("term") == "webdav_options":
            check_permissions(field.access_methods.webdav_options.permissions, is_dir=is_dir)
            del share.access_methods[:]
            share.access_methods.append(field.access_methods)
        else:
            raise Refused(INVALID_ARGUMENT, "only expiration and webdav_options can be updated")
    share.mtime.CopyFrom(timestamp(time.time_ns()))
    view.index.run("UPDATE ocm_shares SET proto = ? WHERE id = ?", share.SerializeToString(), share.id.opaque_id)
    return {}


# Received


def webdav(share: Any) -> Any:
    """The ``WebDAVProtocol`` of a received share."""
    for protocol in share.protocols:
        if protocol.WhichOneof("term") == "webdav_options":
            return protocol.webdav_options
    raise not_found("the share cannot be reached by webdav")


def permit(share: Any, editor: bool) -> None:
    """Sets what a received share promises."""
    held = access.permission_set(access.role(editor, share.resource_type == storage.RESOURCE_TYPE_CONTAINER))
    webdav(share).permissions.permissions.CopyFrom(held)
    webdav(share).share_permissions.CopyFrom(held)


def remote_id(domain: str, share_id: str) -> str:
    """Under what a received share is unique for a user."""
    return f"{domain}/{share_id}"


def keep(site: Site, share: Any) -> None:
    """Stores a received share, anew if it is sent again."""
    user, remote = share.grantee.user_id.opaque_id, remote_id(share.owner.idp, share.remote_share_id)
    site.index.run("DELETE FROM ocm_received WHERE user = ? AND remote = ?", user, remote)
    site.index.run("INSERT INTO ocm_received VALUES (?, ?, ?, ?)", share.id.opaque_id, user, remote, share.SerializeToString())


def received(view: View) -> list[Any]:
    rows = view.index.rows("SELECT proto FROM ocm_received WHERE user = ? ORDER BY rowid", view.caller.opaque_id)
    return [ocm.ReceivedShare.FromString(proto) for (proto,) in rows]


def received_one(view: View, share_id: str) -> Any:
    """Raises NOT_FOUND."""
    found = next((share for share in received(view) if share.id.opaque_id == share_id), None)
    if found is None:
        raise not_found("no such share")
    return found


def list_received(view: View, request: Any) -> Fields:
    def wanted(share: Any, wish: Any) -> bool:
        match wish.WhichOneof("term"):
            case "owner":
                return bool(share.owner.opaque_id == wish.owner.opaque_id)
            case "creator":
                return bool(share.creator.opaque_id == wish.creator.opaque_id)
            case "shared_resource_type":
                return bool(share.shared_resource_type == wish.shared_resource_type)
        return True

    return {"shares": [share for share in received(view) if all(wanted(share, wish) for wish in request.filters)]}


def get_received(view: View, request: Any) -> Fields:
    try:
        return {"share": received_one(view, request.ref.id.opaque_id)}
    except Refused as refused:
        raise Refused(INTERNAL, f"error getting received share: not found: {refused.message}") from refused


def update_received(view: View, request: Any) -> Fields:
    share = received_one(view, request.share.id.opaque_id)
    for path in request.update_mask.paths:
        if path not in ("state", "hidden"):
            raise Refused(INVALID_ARGUMENT, f"cannot update {path[:40]!r}")
        setattr(share, path, getattr(request.share, path))
    view.index.run("UPDATE ocm_received SET proto = ? WHERE id = ?", share.SerializeToString(), share.id.opaque_id)
    return {}
