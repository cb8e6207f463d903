"""The nouns of sharing, and what CS3 messages say of them. Pure."""

from __future__ import annotations

import enum
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from cs3.identity.group.v1beta1 import resources_pb2 as groups
from cs3.sharing.collaboration.v1beta1 import resources_pb2 as local_types
from cs3.sharing.ocm.v1beta1 import resources_pb2 as ocm_types
from cs3.storage.provider.v1beta1 import resources_pb2 as storage

from cs3collab.cs3 import convert
from cs3collab.errors import InvalidInput
from cs3collab.types import ResourceId, Role, SiteId, User


class State(enum.Enum):
    """What the recipient made of a share."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Group:
    """A group of users of a site (``cs3.identity.group.v1beta1.Group``)."""

    opaque_id: str
    idp: str = ""
    name: str = ""
    display_name: str = ""
    mail: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """A share that this user gave. A share with a group has no `grantee` but a `group`; ``ocm`` is one with another site.

    Times are Unix seconds, 0 where they are not said; ``expires_at`` is None for a share without end.
    """

    id: str
    resource_id: ResourceId
    role: Role
    creator: User
    grantee: User | None = None
    group: str = ""
    ocm: bool = False
    name: str = ""
    owner: User | None = None
    ctime: float = 0.0
    mtime: float = 0.0
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """A share within the site that this user got, themselves or as one of a `group`; times as in `Share`.

    ``name`` is empty until it is mounted.
    """

    id: str
    name: str
    resource_id: ResourceId
    role: Role
    owner: User
    state: State
    ctime: float = 0.0
    mtime: float = 0.0
    expires_at: float | None = None
    creator: User | None = None
    group: str = ""


@dataclass(frozen=True, slots=True)
class OCMReceived:
    """A share of another site that this user got.

    ``home`` is the domain of the site that holds the file. There the share is called ``remote_share_id``, and with
    ``shared_secret`` it is a login (`cs3collab.cs3.auth.OCMShareToken`). ``role`` is what the share promised when it was made
    (``ctime``, Unix seconds); storage decides.
    """

    id: str
    remote_share_id: str
    name: str
    owner: User
    home: SiteId
    shared_secret: str = field(repr=False)
    role: Role
    state: State
    ctime: float = 0.0
    mtime: float = 0.0
    expires_at: float | None = None
    creator: User | None = None
    is_dir: bool = False


@dataclass(frozen=True, slots=True)
class Provider:
    """A site of the mesh. ``services`` maps a kind, as the mesh spells it and in lower case, to its URL or address."""

    domain: SiteId
    name: str
    services: dict[str, str]

    @property
    def gateway(self) -> str:
        """``host:port`` of its CS3 gateway, empty where the mesh does not say."""
        address = self.services.get("gateway", "")
        return urlsplit(address).netloc if "://" in address else address.rstrip("/")


@dataclass(frozen=True, slots=True)
class Invite:
    """``token`` goes to a person at another site, who forwards it. ``expires_at`` in Unix seconds."""

    token: str = field(repr=False)
    description: str = ""
    expires_at: float | None = None


def domain_of(user: User) -> SiteId:
    """The domain of the site a user of the mesh belongs to: its idp, else what follows the last ``@`` of its id."""
    idp = user.idp or (user.opaque_id.rpartition("@")[2] if "@" in user.opaque_id else "")
    return SiteId(urlsplit(idp).netloc if "://" in idp else idp.rstrip("/"))


def mesh_key(user: User) -> str:
    """``opaque@domain`` of a user of another site, whether or not the gateway has the domain in the id as well (Reva has)."""
    domain = domain_of(user)
    return f"{user.opaque_id.removesuffix(f'@{domain}')}@{domain}"


def permissions(role: Role, *, is_dir: bool) -> Any:
    """``ResourcePermissions`` of a share. Raises `InvalidInput` for `Role.NONE`, which nobody can be given."""
    if role is Role.NONE:
        raise InvalidInput("a share gives at least the right to read", hint="remove the share instead")
    return convert.permissions_for(role, is_dir=is_dir)


def access(role: Role, *, is_dir: bool) -> Any:
    """The ``AccessMethod`` of an OCM share: WebDAV, the one every site knows."""
    options = ocm_types.WebDAVAccessMethod(permissions=permissions(role, is_dir=is_dir))
    return ocm_types.AccessMethod(webdav_options=options)


def to_grantee(grantee: User | Group) -> Any:
    if isinstance(grantee, Group):
        group_id = groups.GroupId(opaque_id=grantee.opaque_id, idp=grantee.idp)
        return storage.Grantee(type=storage.GRANTEE_TYPE_GROUP, group_id=group_id)
    return storage.Grantee(type=storage.GRANTEE_TYPE_USER, user_id=convert.to_user_id(grantee))


def expiry_of(message: Any) -> float | None:
    """The ``expiration`` of a share or invitation in Unix seconds; None for one without end, which v3 writes as 0."""
    return (convert.from_timestamp(message.expiration) or None) if message.HasField("expiration") else None


def from_share(share: Any) -> Share:
    return _given(share, convert.role_of(share.permissions.permissions), ocm=False)


def from_ocm_share(share: Any) -> Share:
    roles = [convert.role_of(way.webdav_options.permissions) for way in share.access_methods]
    return _given(share, max(roles, default=Role.NONE), ocm=True)


def from_received(received: Any) -> Received:
    share = received.share
    return Received(
        id=share.id.opaque_id,
        name=posixpath.basename(received.mount_point.path.rstrip("/")),
        resource_id=convert.from_id(share.resource_id),
        role=convert.role_of(share.permissions.permissions),
        owner=convert.from_user_id(share.owner),
        state=_LOCAL_STATES.get(received.state, State.UNKNOWN),
        ctime=convert.from_timestamp(share.ctime),
        mtime=convert.from_timestamp(share.mtime),
        expires_at=expiry_of(share),
        creator=convert.from_user_id(share.creator),
        group=share.grantee.group_id.opaque_id,
    )


def from_ocm_received(share: Any) -> OCMReceived:
    """The WebDAV protocol says secret and role; a share without one is for other uses and gets `Role.NONE`."""
    role, secret = Role.NONE, ""
    for protocol in share.protocols:
        if protocol.WhichOneof("term") == "webdav_options":
            dav = protocol.webdav_options
            # cs3apis moved the permissions from one field to the other
            role = max(convert.role_of(dav.permissions.permissions), convert.role_of(dav.share_permissions))
            secret = dav.shared_secret
    creator, owner = convert.from_user_id(share.creator), convert.from_user_id(share.owner)
    return OCMReceived(
        id=share.id.opaque_id,
        remote_share_id=share.remote_share_id,
        name=share.name,
        owner=owner if owner.opaque_id else creator,
        home=domain_of(owner) or domain_of(creator),
        shared_secret=secret,
        role=role,
        state=_OCM_STATES.get(share.state, State.UNKNOWN),
        ctime=convert.from_timestamp(share.ctime),
        mtime=convert.from_timestamp(share.mtime),
        expires_at=expiry_of(share),
        creator=creator if creator.opaque_id else owner,
        is_dir=convert.is_container(share.resource_type)
        or share.shared_resource_type == ocm_types.SHARE_RESOURCE_TYPE_CONTAINER,
    )


def from_invite(token: Any) -> Invite:
    return Invite(token.token, token.description, expiry_of(token))


def from_provider(info: Any) -> Provider:
    """Services by the name of their endpoint's type; the endpoint's path is a URL on Reva, else the host stands."""
    named = {service.endpoint.type.name: service.endpoint.path or service.host for service in info.services}
    return Provider(SiteId(info.domain), info.name, {kind.lower(): address for kind, address in named.items()} | named)


def _given(share: Any, role: Role, *, ocm: bool) -> Share:
    to_group = share.grantee.type == storage.GRANTEE_TYPE_GROUP
    return Share(
        id=share.id.opaque_id,
        resource_id=convert.from_id(share.resource_id),
        role=role,
        creator=convert.from_user_id(share.creator),
        grantee=None if to_group else convert.from_user_id(share.grantee.user_id),
        group=share.grantee.group_id.opaque_id if to_group else "",
        ocm=ocm,
        name=share.name if ocm else "",
        owner=convert.from_user_id(share.owner),
        ctime=convert.from_timestamp(share.ctime),
        mtime=convert.from_timestamp(share.mtime),
        expires_at=expiry_of(share),
    )


_LOCAL_STATES: Final = {
    local_types.SHARE_STATE_PENDING: State.PENDING,
    local_types.SHARE_STATE_ACCEPTED: State.ACCEPTED,
    local_types.SHARE_STATE_REJECTED: State.REJECTED,
}
_OCM_STATES: Final = {
    ocm_types.SHARE_STATE_PENDING: State.PENDING,
    ocm_types.SHARE_STATE_ACCEPTED: State.ACCEPTED,
    ocm_types.SHARE_STATE_REJECTED: State.REJECTED,
}


def to_local_state(state: State) -> int:
    """``ShareState`` of cs3.sharing.collaboration."""
    return _number(state, _LOCAL_STATES)


def to_ocm_state(state: State) -> int:
    """``ShareState`` of cs3.sharing.ocm."""
    return _number(state, _OCM_STATES)


def _number(state: State, states: Mapping[int, State]) -> int:
    return next(number for number, known in states.items() if known is state)
