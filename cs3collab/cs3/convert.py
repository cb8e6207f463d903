"""CS3 messages to our nouns and back. Pure."""

from __future__ import annotations

import posixpath
from typing import Any, Final

from cs3.identity.user.v1beta1 import resources_pb2 as identity
from cs3.storage.provider.v1beta1 import resources_pb2 as storage
from cs3.types.v1beta1 import types_pb2

from cs3collab.types import Etag, FileInfo, Lock, Ref, ResourceId, Role, User

# The permission sets of Reva's viewer and editor roles (OpenCloud's pkg/conversions/role.go). On a file the bits for
# creating, deleting and moving are refused with INVALID_ARGUMENT.
_VIEWER: Final = ("get_path", "get_quota", "initiate_file_download", "list_container", "list_recycle", "stat")
_EDITOR_OF_FILE: Final = (*_VIEWER, "initiate_file_upload", "restore_recycle_item")
_EDITOR_OF_FOLDER: Final = (*_EDITOR_OF_FILE, "create_container", "delete", "move")
_EDITING: Final = "cs3collab.editing"
_YEAR_9999: Final = 253_402_300_799


def to_ref(ref: Ref) -> Any:
    """``Reference``: a path alone, or a resource id with a relative path."""
    if ref.resource_id is None:
        return storage.Reference(path=ref.path)
    inside = ref.path.removeprefix("./").lstrip("/")
    path = "." if inside in ("", ".") else f"./{inside}"
    return storage.Reference(resource_id=to_id(ref.resource_id), path=path)


def above(ref: Ref) -> Ref | None:
    """The parent folder; None at the top of the name space or at a resource named by its id."""
    path = posixpath.dirname(posixpath.normpath(ref.path))
    if path in ("", "/") or posixpath.normpath(ref.path) == ".":
        return None
    return Ref(path, ref.resource_id)


def is_within(ref: Ref, folder: Ref) -> bool:
    """Whether `ref` is below `folder`, as far as references that begin at the same place can tell."""
    path, top = (posixpath.normpath(one.path) for one in (ref, folder))
    below = "" if top == "." else f"{top.rstrip('/')}/"
    return ref.resource_id == folder.resource_id and path != top and path.startswith(below)


def to_id(rid: ResourceId) -> Any:
    return storage.ResourceId(storage_id=rid.storage_id, space_id=rid.space_id, opaque_id=rid.opaque_id)


def from_id(rid: Any) -> ResourceId:
    return ResourceId(rid.storage_id, rid.opaque_id, rid.space_id)


def from_ref(ref: Any) -> Ref:
    if ref.HasField("resource_id"):
        return Ref(ref.path or ".", from_id(ref.resource_id))
    return Ref(ref.path)


def to_user_id(user: User) -> Any:
    kind = identity.USER_TYPE_FEDERATED if user.federated else identity.USER_TYPE_PRIMARY
    return identity.UserId(idp=user.idp, opaque_id=user.opaque_id, type=kind)


def from_user_id(uid: Any) -> User:
    return User(uid.opaque_id, uid.idp, federated=uid.type == identity.USER_TYPE_FEDERATED)


def from_user(user: Any) -> User:
    return User(
        opaque_id=user.id.opaque_id,
        idp=user.id.idp,
        username=user.username,
        display_name=user.display_name,
        mail=user.mail,
        federated=user.id.type == identity.USER_TYPE_FEDERATED,
    )


def to_timestamp(seconds: float) -> Any:
    whole = int(seconds)
    return types_pb2.Timestamp(seconds=whole, nanos=int((seconds - whole) * 1e9))


def from_timestamp(stamp: Any) -> float:
    return to_seconds(stamp.seconds) + float(stamp.nanos) / 1e9


def to_seconds(stamp: float) -> float:
    """Of versions and deleted files Reva v3's local storage says milliseconds; as seconds these are in no calendar."""
    return float(stamp) / 1000 if stamp > _YEAR_9999 else float(stamp)


def to_lock(lock: Lock, app_name: str) -> Any:
    """A write lock of an application. ``user`` is never set: with it, not even the file's owner could release the lock."""
    message = storage.Lock(lock_id=lock.lock_id, type=storage.LOCK_TYPE_WRITE, app_name=lock.app_name or app_name)
    if lock.expires_at is not None:
        message.expiration.CopyFrom(to_timestamp(lock.expires_at))
    if lock.editing:
        message.opaque.CopyFrom(opaque({_EDITING: lock.editing}))
    return message


def from_lock(lock: Any) -> Lock:
    return Lock(
        lock_id=lock.lock_id,
        app_name=lock.app_name,
        holder=from_user_id(lock.user) if lock.user.opaque_id else None,
        expires_at=from_timestamp(lock.expiration) if lock.HasField("expiration") else None,
        since=from_timestamp(lock.creation_time) if lock.HasField("creation_time") else None,
        editing=lock.opaque.map[_EDITING].value.decode(errors="replace") if _EDITING in lock.opaque.map else "",
    )


def role_of(permissions: Any) -> Role:
    """What a ``ResourcePermissions`` amounts to."""
    if permissions.initiate_file_upload:
        return Role.EDITOR
    return Role.VIEWER if permissions.initiate_file_download else Role.NONE


def permissions_for(role: Role, *, is_dir: bool) -> Any:
    """The ``ResourcePermissions`` that a share of `role` grants."""
    names: tuple[str, ...] = ()
    if role is Role.VIEWER:
        names = _VIEWER
    elif role is Role.EDITOR:
        names = _EDITOR_OF_FOLDER if is_dir else _EDITOR_OF_FILE
    return storage.ResourcePermissions(**dict.fromkeys(names, True))


def is_container(resource_type: int) -> bool:
    return bool(resource_type == storage.RESOURCE_TYPE_CONTAINER)


def from_info(info: Any) -> FileInfo:
    """``ResourceInfo`` as a `FileInfo`; a reference by id gets a path relative to it, as gateways answer."""
    return FileInfo(
        id=from_id(info.id),
        name=info.name or posixpath.basename(info.path.rstrip("/")),
        path=info.path,
        is_dir=is_container(info.type),
        etag=Etag(info.etag),
        size=info.size,
        mtime=from_timestamp(info.mtime),
        role=role_of(info.permission_set),
        may_share=info.permission_set.add_grant,
        mime_type=info.mime_type,
        owner=info.owner.opaque_id,
        parent_id=from_id(info.parent_id) if info.HasField("parent_id") else None,
        lock=from_lock(info.lock) if info.HasField("lock") and info.lock.lock_id else None,
        metadata=dict(info.arbitrary_metadata.metadata),
    )


def opaque(values: dict[str, str]) -> Any:
    """An ``Opaque`` map of plain values."""
    return types_pb2.Opaque(
        map={key: types_pb2.OpaqueEntry(decoder="plain", value=value.encode()) for key, value in values.items()}
    )
