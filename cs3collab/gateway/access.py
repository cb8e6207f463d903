"""Who is calling, and what a role permits. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cs3.storage.provider.v1beta1 import resources_pb2

from cs3collab.gateway.locks import UserKey
from cs3collab.gateway.status import denied, not_found

Permissions = frozenset[str]
"""Names of set bits of ``ResourcePermissions``."""

NOTHING: Permissions = frozenset()
VISIT: Permissions = frozenset({"get_path", "list_container", "stat"})
VIEWER = VISIT | {"get_quota", "initiate_file_download", "list_recycle"}
FILE_EDITOR = VIEWER | {"initiate_file_upload", "restore_recycle_item"}
FOLDER_EDITOR = FILE_EDITOR | {"create_container", "delete", "move"}
MANAGER = FOLDER_EDITOR | {
    "add_grant", "deny_grant", "list_grants", "remove_grant", "update_grant",
    "list_file_versions", "restore_file_version", "purge_recycle",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Caller:
    """The user of a token. With ``share_id`` the token opens one OCM share only, or the public link of the token ``link``.

    ``editor`` is then its scope's role, and ``resource`` the opaque id of what was shared.
    """

    user: Any
    local: bool = False
    service: bool = False
    share_id: str = ""
    editor: bool = False
    resource: str = ""
    link: str = ""

    @property
    def opaque_id(self) -> str:
        return str(self.user.id.opaque_id)

    @property
    def key(self) -> UserKey:
        return (self.user.id.opaque_id, self.user.id.idp)


def role(editor: bool, is_dir: bool) -> Permissions:
    """What a share gives: the roles of Reva's ``pkg/conversions``."""
    if not editor:
        return VIEWER
    return FOLDER_EDITOR if is_dir else FILE_EDITOR


def is_editor(permissions: Any) -> bool:
    """Does this ``ResourcePermissions`` amount to the editor role?"""
    return bool(permissions.initiate_file_upload)


def bits(permissions: Any) -> Permissions:
    """The set bits of a ``ResourcePermissions`` that mean anything here."""
    return frozenset(name for name in MANAGER if getattr(permissions, name))


def permission_set(permissions: Iterable[str]) -> Any:
    """As ``cs3.storage.provider.v1beta1.ResourcePermissions``."""
    return resources_pb2.ResourcePermissions(**dict.fromkeys(permissions, True))


def require(held: Permissions, needed: str) -> None:
    """Raises NOT_FOUND for what the caller cannot see, PERMISSION_DENIED for what they may not do."""
    if not held:
        raise not_found()
    if needed not in held:
        raise denied(f"needs the permission {needed}")
