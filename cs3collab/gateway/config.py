"""What an embedded gateway needs to know, and the files it is read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from cs3collab.errors import InvalidInput

PROFILES = ("decomposed", "nolocks")
"""Which real gateway is imitated: Reva 2.48 with the decomposed driver, or Reva v3 with the local one."""

PRIMARY = 1
"""``USER_TYPE_PRIMARY`` of cs3.identity.user.v1beta1."""


@dataclass(frozen=True, slots=True)
class UserRecord:
    """One account. ``opaque_id`` names the home folder ``users/<opaque_id>``; an empty ``idp`` is the gateway's site."""

    opaque_id: str
    username: str
    secret: str = field(default="", repr=False)
    idp: str = ""
    type: int = PRIMARY
    mail: str = ""
    display_name: str = ""
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProjectRecord:
    """A project space, the folder ``projects/<name>``. ``members`` maps opaque user ids to manager, editor or viewer."""

    name: str
    members: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PeerRecord:
    """Another site of the mesh: ``host:port`` of its gRPC gateway; ``ocm_url`` is asked of that gateway when empty."""

    gateway: str
    name: str = ""
    ocm_url: str = ""


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """``site`` is the domain in the mesh and the default idp. A port of 0 takes a free one.

    ``peers`` is read at each use, so a site can be added at any time. ``jwt_secret`` (at least 32 bytes) is made once and kept
    under ``root`` when empty; machine login is off without ``machine_secret``. ``profile`` is one of `PROFILES`.
    ``issuer`` is the URL of an identity provider (OpenID Connect) whose tokens are logins, too.
    """

    root: Path
    users: tuple[UserRecord, ...] | list[UserRecord]
    projects: tuple[ProjectRecord, ...] = ()
    site: str = "localhost"
    grpc_host: str = "127.0.0.1"
    grpc_port: int = 0
    http_host: str = "127.0.0.1"
    http_port: int = 0
    jwt_secret: str = field(default="", repr=False)
    machine_secret: str = field(default="", repr=False)
    token_lifetime_s: int = 86400
    transfer_lifetime_s: int = 60
    upload_bytes: int = 2**30
    peers: dict[str, PeerRecord] = field(default_factory=dict)
    service_accounts: Mapping[str, str] = field(default_factory=dict, repr=False)
    profile: str = PROFILES[0]
    issuer: str = ""

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise InvalidInput(f"there is no profile {self.profile!r}", hint=f"use one of {', '.join(PROFILES)}")
        names = [u.username for u in self.users]
        ids = [u.opaque_id for u in self.users]
        for twice in {n for n in names if names.count(n) > 1} | {i for i in ids if ids.count(i) > 1}:
            raise InvalidInput(f"two users are called {twice!r}", hint="give each user its own username and opaque_id")
        for name in [*ids, *(p.name for p in self.projects)]:
            if not is_name(name):
                raise InvalidInput(f"{name!r} cannot name a folder", hint="use letters, digits, dots and dashes")
        if self.jwt_secret and len(self.jwt_secret.encode()) < 32:
            raise InvalidInput("the jwt_secret is too short", hint="give at least 32 bytes, or none to have one made")

    @property
    def locks(self) -> bool:
        """Does the storage know locks, conditions and rights?"""
        return self.profile != "nolocks"


def is_name(name: str) -> bool:
    """Can `name` be one file name on disk and in a protobuf string?"""
    try:
        raw = name.encode()
    except UnicodeEncodeError:
        return False
    return 0 < len(raw) <= 255 and name not in (".", "..") and "/" not in name and "\0" not in name


class _UserId(msgspec.Struct):
    opaque_id: str
    idp: str = ""
    type: int = PRIMARY


class _User(msgspec.Struct):
    id: _UserId
    username: str
    secret: str = ""
    mail: str = ""
    display_name: str = ""
    groups: list[str] = []


class _Project(msgspec.Struct):
    members: dict[str, str] = {}


class _UsersFile(msgspec.Struct):
    users: list[_User]
    projects: dict[str, _Project] = {}


class _Peer(msgspec.Struct):
    gateway: str
    name: str = ""
    ocm_url: str = ""


_HINT = "see `cs3collab gateway --help`"


def _decode(path: Path, kind: Any, what: str) -> Any:
    decode = msgspec.toml.decode if path.suffix == ".toml" else msgspec.json.decode
    try:
        return decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise InvalidInput(f"cannot read the {what} file {path}: {error.strerror}", hint="check the path") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the {what} file {path} is not valid: {error}", hint=_HINT) from error


def _users_file(path: Path) -> _UsersFile:
    found = _decode(path, Any, "users")
    try:
        return msgspec.convert({"users": found} if isinstance(found, list) else found, _UsersFile)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the users file {path} is not valid: {error}", hint=_HINT) from error


def load_users(path: Path | str) -> list[UserRecord]:
    """Accounts from Reva's ``users.json`` (a list), or JSON or TOML with ``users`` and ``projects``. Raises `InvalidInput`."""
    users = _users_file(Path(path)).users
    if not users:
        raise InvalidInput(f"the users file {path} has no users", hint="add at least one")
    return [
        UserRecord(u.id.opaque_id, u.username, u.secret, u.id.idp, u.id.type, u.mail, u.display_name, tuple(u.groups))
        for u in users
    ]


def load_projects(path: Path | str) -> tuple[ProjectRecord, ...]:
    """Project spaces of a users file of the second form; none in Reva's own. Raises `InvalidInput`."""
    projects = _users_file(Path(path)).projects
    for name, project in projects.items():
        if bad := set(project.members.values()) - {"manager", "editor", "viewer"}:
            raise InvalidInput(f"project {name!r} has a member role {bad.pop()!r}", hint="use manager, editor or viewer")
    return tuple(ProjectRecord(name, project.members) for name, project in projects.items())


def load_mesh(path: Path | str) -> dict[str, PeerRecord]:
    """Peers from JSON or TOML: ``{"site-b.test": {"gateway": "127.0.0.1:19100", "name": "Site B"}}``. Raises `InvalidInput`."""
    peers: dict[str, _Peer] = _decode(Path(path), dict[str, _Peer], "mesh")
    return {domain: PeerRecord(p.gateway, p.name, p.ocm_url) for domain, p in peers.items()}
