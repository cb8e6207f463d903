"""The calls of the profile ``nolocks``, as Reva v3 with the local driver answers them."""

from __future__ import annotations

import shutil
import time
import uuid
from typing import Any, Final

import grpc
from cs3.gateway.v1beta1 import resources_pb2 as gateway
from cs3.sharing.collaboration.v1beta1 import collaboration_api_pb2 as sharing_api
from cs3.sharing.collaboration.v1beta1 import resources_pb2 as sharing
from cs3.storage.provider.v1beta1 import resources_pb2 as storage

from cs3collab.gateway import transfers
from cs3collab.gateway.local import HOME, Fields, Local
from cs3collab.gateway.sessions import Download, Upload
from cs3collab.gateway.status import INTERNAL, Fault, Refused, not_found
from cs3collab.gateway.view import timestamp


def stat(local: Local, request: Any) -> Fields:
    return {"info": local.describe(local.spot(request.ref), request.arbitrary_metadata_keys)}


def list_container(local: Local, request: Any) -> Fields:
    children = local.children(local.spot(request.ref))
    return {"infos": [local.describe(child, request.arbitrary_metadata_keys) for child in children]}


def create_container(local: Local, request: Any) -> Fields:
    local.make(local.spot(request.ref), folder=True)
    return {}


def touch_file(local: Local, request: Any) -> Fields:
    local.make(local.spot(request.ref), folder=False)
    return {}


def delete(local: Local, request: Any) -> Fields:
    local.delete(local.spot(request.ref))
    return {}


def move(local: Local, request: Any) -> Fields:
    local.move(local.spot(request.source), local.spot(request.destination))
    return {}


def get_path(local: Local, request: Any) -> Fields:
    spot = local.spot(storage.Reference(resource_id=request.resource_id))
    spot.info()
    return {"path": spot.shown}


def get_quota(local: Local, request: Any) -> Fields:
    disk = shutil.disk_usage(local.spot(request.ref).disk)
    return {"total_bytes": disk.total, "used_bytes": disk.total - disk.free}


def get_home(local: Local, request: Any) -> Fields:
    return {"path": f"{HOME}/{local.caller.opaque_id}"}


def create_home(local: Local, request: Any) -> Fields:
    raise Refused(INTERNAL, "error creating home")


def list_spaces(local: Local, request: Any) -> Fields:
    raise Fault(grpc.StatusCode.UNIMPLEMENTED, "unknown service cs3.storage.provider.v1beta1.SpacesAPI")


def no_locks(local: Local, request: Any) -> Fields:
    raise Refused(INTERNAL, "error of the storage driver")


def set_metadata(local: Local, request: Any) -> Fields:
    spot = local.spot(request.ref)
    spot.info()
    local.set_metadata(spot, dict(request.arbitrary_metadata.metadata))
    return {}


def unset_metadata(local: Local, request: Any) -> Fields:
    spot = local.spot(request.ref)
    spot.info()
    local.unset_metadata(spot, request.arbitrary_metadata_keys)
    return {}


def list_versions(local: Local, request: Any) -> Fields:
    return {"versions": local.versions(local.spot(request.ref))}


def restore_version(local: Local, request: Any) -> Fields:
    """The driver looks for a version under another name than it gave it."""
    local.spot(request.ref)
    raise not_found("no such version")


def list_recycle(local: Local, request: Any) -> Fields:
    return {"recycle_items": local.recycled()}


def restore_recycled(local: Local, request: Any) -> Fields:
    if request.HasField("restore_ref"):
        raise Refused(INTERNAL, "error restoring recycle bin item")
    local.restore(request.key)
    return {}


def purge_recycle(local: Local, request: Any) -> Fields:
    local.purge(request.key)
    return {}


# Bytes


def initiate_upload(local: Local, request: Any) -> Fields:
    """Granted always; what the path leads to is found out when the bytes are there."""
    upload = Upload(local.caller, "", local.spot(request.ref).path, size=transfers.length(request.opaque))
    return {"protocols": transfers.upload_offers(local.site, upload)}


def initiate_download(local: Local, request: Any) -> Fields:
    """Of a version nothing is found: the driver keeps it under another name than it says."""
    ref = storage.Reference()
    if "version_key" not in request.opaque.map:
        ref.CopyFrom(request.ref)
    name = "spaces" if request.ref.HasField("resource_id") else "simple"
    download = Download(local.caller, ref)
    return {"protocols": [transfers.offer(local.site, gateway.FileDownloadProtocol, "download_endpoint", name, download)]}


# Shares, which give nothing that is not everybody's already


def create_share(local: Local, request: Any) -> Fields:
    spot = local.spot(storage.Reference(resource_id=request.resource_info.id))
    spot.info()
    grant = request.grant
    user = grant.grantee.user_id.opaque_id
    if user == local.caller.opaque_id:
        raise Fault(grpc.StatusCode.UNKNOWN, "owner and grantee are the same")
    now = timestamp(time.time_ns())
    share = sharing.Share(
        id=sharing.ShareId(opaque_id=str(uuid.uuid4())),
        resource_id=local.rid(spot),
        permissions=grant.permissions,
        grantee=grant.grantee,
        owner=local.caller.user.id,
        creator=local.caller.user.id,
        ctime=now,
        mtime=now,
    )
    key = f"user:{user}" if user else f"group:{grant.grantee.group_id.opaque_id}"
    made = local.site.index.run(
        "INSERT OR IGNORE INTO shares VALUES (?, ?, ?, ?)", share.id.opaque_id, spot.opaque_id, key, share.SerializeToString()
    )
    if not made:
        raise Fault(grpc.StatusCode.UNKNOWN, "it is shared with them already")
    return {"share": share}


def _share(local: Local, share_id: str, *, own: bool) -> Any:
    row = local.site.index.one("SELECT proto FROM shares WHERE id = ?", share_id)
    share = sharing.Share.FromString(row[0]) if row else None
    if share is None or (own and share.creator.opaque_id != local.caller.opaque_id):
        raise Fault(grpc.StatusCode.UNKNOWN, "error: not found")
    return share


def get_share(local: Local, request: Any) -> Fields:
    return {"share": _share(local, request.ref.id.opaque_id, own=False)}


def list_shares(local: Local, request: Any) -> Fields:
    """Everybody's."""
    shares = [sharing.Share.FromString(proto) for (proto,) in local.site.index.rows("SELECT proto FROM shares ORDER BY rowid")]
    wanted = {wish.resource_id.opaque_id for wish in request.filters if wish.WhichOneof("term") == "resource_id"}
    return {"shares": [share for share in shares if not wanted or share.resource_id.opaque_id in wanted]}


def update_share(local: Local, request: Any) -> Fields:
    share = _share(local, request.ref.id.opaque_id or request.share.id.opaque_id, own=True)
    change = request.field.WhichOneof("field")
    if change in ("permissions", "expiration"):
        getattr(share, change).CopyFrom(getattr(request.field, change))
    local.site.index.run("UPDATE shares SET proto = ? WHERE id = ?", share.SerializeToString(), share.id.opaque_id)
    return {"share": share}


def remove_share(local: Local, request: Any) -> Fields:
    share = _share(local, request.ref.id.opaque_id, own=True)
    local.site.index.run("DELETE FROM shares WHERE id = ?", share.id.opaque_id)
    return {}


def list_received(local: Local, request: Any) -> Fields:
    """What is shared with whoever has the caller's user name for an id. All is accepted that was not declined."""
    mine = {local.caller.user.username, *local.caller.user.groups}
    shares = [share for share in list_shares(local, request)["shares"] if _grantee(share) in mine]
    return {"shares": [_received(local, share) for share in shares]}


def _grantee(share: Any) -> str:
    return str(share.grantee.user_id.opaque_id or share.grantee.group_id.opaque_id)


def _received(local: Local, share: Any) -> Any:
    row = local.site.index.one(
        "SELECT state FROM received WHERE share = ? AND user = ?", share.id.opaque_id, local.caller.opaque_id
    )
    return sharing.ReceivedShare(share=share, state=row[0] if row else sharing.SHARE_STATE_ACCEPTED)


def update_received(local: Local, request: Any) -> Fields:
    try:
        share = _share(local, request.share.share.id.opaque_id, own=False)
    except Fault as fault:
        raise Refused(INTERNAL, fault.message) from fault
    local.site.index.run(
        "INSERT OR REPLACE INTO received VALUES (?, ?, ?, '', 0)",
        share.id.opaque_id,
        local.caller.opaque_id,
        request.share.state,
    )
    return {"share": _received(local, share)}


def get_received(local: Local, request: Any) -> Fields:
    found = list_received(local, sharing_api.ListReceivedSharesRequest())["shares"]
    share = next((one for one in found if one.share.id.opaque_id == request.ref.id.opaque_id), None)
    if share is None:
        raise not_found("no such share")
    return {"share": share}


WRITES: Final = frozenset({
    "CreateContainer", "TouchFile", "Delete", "Move", "InitiateFileUpload", "SetLock", "RefreshLock", "Unlock",
    "SetArbitraryMetadata", "UnsetArbitraryMetadata",
})  # fmt: skip
"""What the token of a viewer's share is not let to."""


def in_scope(local: Local, method: str, request: Any) -> bool:
    """Does the token of an OCM share reach what `request` is about? As it was given: the share's end does not end it."""
    if method in WRITES and not local.caller.editor:
        return False
    top = local.spot(storage.Reference(resource_id=storage.ResourceId(
        storage_id=local.site.storage_id, opaque_id=local.caller.resource
    )))  # fmt: skip
    refs = [request.source, request.destination] if method == "Move" else [request.ref]
    paths = [local.spot(ref).path for ref in refs]
    return all(path == top.path or path.startswith(f"{top.path.rstrip('/')}/") for path in paths)
