"""Uploads and downloads: what InitiateFile* grants, and what the data endpoint then does. Runs in the index thread."""

from __future__ import annotations

import errno
import io
import os
import shutil
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

from cs3.gateway.v1beta1 import resources_pb2 as gateway
from cs3.storage.provider.v1beta1 import resources_pb2 as storage

from cs3collab.gateway import checksums
from cs3collab.gateway.access import require
from cs3collab.gateway.files import Fields
from cs3collab.gateway.index import Node
from cs3collab.gateway.locks import check_write
from cs3collab.gateway.sessions import Download, Upload
from cs3collab.gateway.site import Site
from cs3collab.gateway.status import (
    ABORTED,
    ALREADY_EXISTS,
    FAILED_PRECONDITION,
    INTERNAL,
    INVALID_ARGUMENT,
    NOT_FOUND,
    Refused,
    denied,
    not_found,
)
from cs3collab.gateway.view import Place, View

VERSION_MARK: Final = ".REV."
"""Between node id and time stamp in the key of a version, as in Reva; the key can stand for the resource's id in a download."""


def initiate_upload(view: View, request: Any) -> Fields:
    place = _target(view, request.ref)
    if place.node is None:
        place, parent = view.free(request.ref, "initiate_file_upload")
    else:
        parent = view.tree.find(place.node.parent)
        require(view.held(place.node), "initiate_file_upload")
        if place.node.is_dir:
            raise Refused(FAILED_PRECONDITION, "the target is a folder")
    option = request.WhichOneof("options")
    since = request.if_unmodified_since
    upload = Upload(
        caller=view.caller,
        parent_id=parent.id,
        name=place.name if place.node is None else place.node.name,
        node_id=place.node.id if place.node else "",
        size=length(request.opaque),
        if_match=request.if_match if option == "if_match" else "",
        if_not_exist=option == "if_not_exist" and request.if_not_exist,
        unmodified_since_ns=since.seconds * 10**9 + since.nanos if option == "if_unmodified_since" else None,
        lock_id=request.lock_id,
        checksum=checksums.announced(request.opaque),
    )
    _check(view, upload, place.node)
    if not upload.size:  # also of a length that was not said
        _finish_empty(view, upload)
    return {"protocols": upload_offers(view.site, upload)}


def _finish_empty(view: View, upload: Upload) -> None:
    temp = view.tree.new_temp()
    try:
        if upload.checksum and not upload.checksum.fits(temp):
            raise Refused(INVALID_ARGUMENT, "error: checksum mismatch")
        finish(view, upload, temp)
    finally:
        temp.unlink(missing_ok=True)


def _target(view: View, ref: Any) -> Place:
    """`View.locate`, but PERMISSION_DENIED for an id that the caller may not see."""
    try:
        return view.locate(ref)
    except Refused as refused:
        if refused.code == NOT_FOUND and ref.HasField("resource_id") and view.index.node(ref.resource_id.opaque_id):
            raise denied() from refused
        raise


def initiate_download(view: View, request: Any) -> Fields:
    """OK even for a file that is not there, as in Reva: fetching it finds out."""
    try:
        place = view.locate(request.ref)
        if place.node is not None:
            require(view.held(place.node), "initiate_file_download")
    except Refused as refused:
        if refused.code != not_found().code:
            raise
    ref = storage.Reference()
    ref.CopyFrom(request.ref)
    download = Download(view.caller, ref)
    return {"protocols": [offer(view.site, gateway.FileDownloadProtocol, "download_endpoint", "spaces", download)]}


def offer(site: Site, kind: Any, field: str, protocol: str, session: Upload | Download) -> Any:
    """A ``FileUploadProtocol`` or ``FileDownloadProtocol`` for `session`."""
    made = kind(protocol=protocol, token=site.tokens.mint_transfer(site.sessions.add(session)))
    setattr(made, field, site.data_url)
    return made


def upload_offers(site: Site, upload: Upload) -> list[Any]:
    return [offer(site, gateway.FileUploadProtocol, "upload_endpoint", protocol, upload) for protocol in ("simple", "tus")]


def length(opaque: Any) -> int | None:
    """Bytes that an upload is said to have. Raises INVALID_ARGUMENT."""
    if "Upload-Length" not in opaque.map:
        return None
    text = opaque.map["Upload-Length"].value
    if not text.isdigit() or len(text) > 18:
        raise Refused(INVALID_ARGUMENT, "Upload-Length is not a number of bytes")
    return int(text)


def _check(view: View, upload: Upload, node: Node | None) -> None:
    """Conditions and lock. Raises ABORTED, ALREADY_EXISTS, LOCKED or INTERNAL."""
    if upload.if_not_exist and node is not None:
        raise Refused(ALREADY_EXISTS, "the file exists")
    if upload.if_match and (node is None or node.etag != upload.if_match):
        raise Refused(ABORTED, "error: aborted: etag mismatch")
    if upload.unmodified_since_ns is not None and node is not None and node.mtime_ns > upload.unmodified_since_ns:
        raise Refused(ABORTED, "error: aborted: the file was modified")
    try:
        check_write(view.lock_held(node) if node else None, upload.lock_id)
    except Refused as refused:
        raise Refused(INTERNAL if refused.code == ABORTED else refused.code, refused.message) from refused


def finish(view: View, upload: Upload, temp: Path, sha1: str = "") -> Node:
    """Puts the uploaded bytes in place if all is still as `upload` wants it. Raises like `initiate_upload`, and NOT_FOUND.

    Rights are not asked for again, as in Reva: a ticket outlives them for its minute.
    """
    if upload.node_id:
        node: Node | None = view.tree.find(upload.node_id)
    else:
        node = view.tree.child(view.tree.find(upload.parent_id), upload.name)
    parent = view.tree.find(node.parent if node else upload.parent_id)
    if node is not None and node.is_dir:
        raise Refused(FAILED_PRECONDITION, "the target is a folder")
    _check(view, upload, node)
    if node is not None:
        keep_version(view, node)
    return view.tree.put(parent, node.name if node else upload.name, temp, sha1, upload.size)


def keep_version(view: View, node: Node) -> None:
    """Makes the present content a version: a second name for its bytes, which the next `Tree.put` leaves alone."""
    folder = view.tree.versions / node.id
    folder.mkdir(exist_ok=True)
    now = time.time_ns()
    key = f"{node.id}{VERSION_MARK}{datetime.fromtimestamp(now // 10**9, UTC):%Y-%m-%dT%H:%M:%S}.{now % 10**9:09d}Z"
    try:
        os.link(view.tree.disk(node), folder / key, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
            raise
        shutil.copy2(view.tree.disk(node), folder / key, follow_symlinks=False)  # no hard links on this file system
    _, length = view.tree.uploaded(node)
    view.index.run("INSERT INTO versions VALUES (?, ?, ?, ?, ?)", node.id, key, length, node.mtime_ns, node.etag)


@dataclass(frozen=True, slots=True)
class Content:
    """An open file, to be closed by the reader. ``size`` is how many bytes it was said to have; some may be missing."""

    file: BinaryIO
    size: int
    etag: str
    name: str
    mtime_ns: int


def open_content(view: View, download: Download) -> Content:
    """Raises NOT_FOUND or PERMISSION_DENIED."""
    node_id, mark, _ = download.ref.resource_id.opaque_id.partition(VERSION_MARK)
    if mark:
        return _open_version(view, node_id, download.ref.resource_id)
    node, _ = view.existing(download.ref, "initiate_file_download")
    if node.is_dir:  # Reva begins to send as much as is in the folder, and breaks off
        return Content(io.BytesIO(), _tree_bytes(view, node), node.etag, node.name, node.mtime_ns)
    content = _open(view.tree.disk(node), node.etag, node.name)
    if (content.size, content.mtime_ns) != (node.size, node.mtime_ns):  # another program was faster
        return content
    return replace(content, size=view.tree.uploaded(node)[1])


def _tree_bytes(view: View, node: Node) -> int:
    return sum(_tree_bytes(view, child) for child in view.tree.children(node)) if node.is_dir else view.tree.uploaded(node)[1]


def _open_version(view: View, node_id: str, rid: Any) -> Content:
    of = storage.ResourceId(storage_id=rid.storage_id, space_id=rid.space_id, opaque_id=node_id)
    node, held = view.existing(storage.Reference(resource_id=of), "list_file_versions")
    require(held, "initiate_file_download")
    row = view.index.one("SELECT etag, size FROM versions WHERE node = ? AND key = ?", node_id, rid.opaque_id)
    if row is None:
        raise not_found("no such version")
    return replace(_open(view.tree.versions / node_id / rid.opaque_id, row[0], node.name), size=row[1])


def _open(path: Path, etag: str, name: str) -> Content:
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
    info = os.fstat(file.fileno())
    return Content(file, info.st_size, etag, name, info.st_mtime_ns)
