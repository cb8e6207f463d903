"""Public links: shares with whoever knows their token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cs3.sharing.link.v1beta1 import link_api_pb2 as api
from cs3.sharing.link.v1beta1 import resources_pb2 as types
from cs3.storage.provider.v1beta1 import provider_api_pb2

from cs3collab.cs3 import convert, sharing
from cs3collab.cs3.finding import found
from cs3collab.cs3.session import Session
from cs3collab.types import Ref, ResourceId, Role, User

_Update = api.UpdatePublicShareRequest.Update


@dataclass(frozen=True, slots=True)
class PublicLink:
    """``token`` is what people need to open it. Times are Unix seconds; ``expires_at`` is None for a link without end."""

    id: str
    token: str
    resource_id: ResourceId
    role: Role
    creator: User
    owner: User
    name: str = ""
    password_protected: bool = False
    expires_at: float | None = None
    ctime: float = 0.0
    mtime: float = 0.0


async def create_link(
    session: Session, ref: Ref, role: Role, *, password: str = "", expires_at: float | None = None, name: str = ""
) -> PublicLink:
    """Raises `InvalidInput` where the site wants a (better) password, and `Unsupported` where it has no links."""
    info = (await session.call("Stat", provider_api_pb2.StatRequest(ref=convert.to_ref(ref)))).info
    # where Reva v2 looks for the name; without any metadata its json manager falls over
    info.arbitrary_metadata.metadata["name"] = name or info.name
    grant = _grant(sharing.permissions(role, is_dir=convert.is_container(info.type)), password, expires_at)
    response = await session.call("CreatePublicShare", api.CreatePublicShareRequest(resource_info=info, grant=grant))
    return _from_link(response.share)


async def get_link(session: Session, link_id: str) -> PublicLink:
    """Raises `NotFound`."""

    async def ask() -> PublicLink:
        return _from_link((await session.call("GetPublicShare", api.GetPublicShareRequest(ref=_ref(link_id)))).share)

    return await found(link_id, ask(), lambda: list_links(session))


async def list_links(session: Session, resource_id: ResourceId | None = None) -> list[PublicLink]:
    """The links this user made, of one resource or of all."""
    request = api.ListPublicSharesRequest()
    if resource_id is not None:
        kind = api.ListPublicSharesRequest.Filter.TYPE_RESOURCE_ID
        request.filters.add(type=kind, resource_id=convert.to_id(resource_id))
    return [_from_link(link) for link in await session.pages("ListPublicShares", request, "share")]


async def set_role(session: Session, link: PublicLink, role: Role) -> PublicLink:
    info = (await session.call("Stat", provider_api_pb2.StatRequest(ref=convert.to_ref(Ref.of(link.resource_id))))).info
    grant = _grant(sharing.permissions(role, is_dir=convert.is_container(info.type)))
    return await _update(session, link, _Update(type=_Update.TYPE_PERMISSIONS, grant=grant))


async def set_password(session: Session, link: PublicLink, password: str) -> PublicLink:
    """An empty `password` takes it away."""
    return await _update(session, link, _Update(type=_Update.TYPE_PASSWORD, grant=_grant(password=password)))


async def set_expiry(session: Session, link: PublicLink, expires_at: float | None) -> PublicLink:
    return await _update(session, link, _Update(type=_Update.TYPE_EXPIRATION, grant=_grant(expires_at=expires_at)))


async def set_name(session: Session, link: PublicLink, name: str) -> PublicLink:
    return await _update(session, link, _Update(type=_Update.TYPE_DISPLAYNAME, display_name=name))


async def remove_link(session: Session, link_id: str) -> None:
    await session.call("RemovePublicShare", api.RemovePublicShareRequest(ref=_ref(link_id)))


async def _update(session: Session, link: PublicLink, update: Any) -> PublicLink:
    request = api.UpdatePublicShareRequest(ref=_ref(link.id), update=update)
    return _from_link((await session.call("UpdatePublicShare", request)).share)


def _grant(permissions: Any = None, password: str = "", expires_at: float | None = None) -> Any:
    return types.Grant(
        permissions=None if permissions is None else types.PublicSharePermissions(permissions=permissions),
        password=password,
        expiration=None if expires_at is None else convert.to_timestamp(expires_at),
    )


def _ref(link_id: str) -> Any:
    return types.PublicShareReference(id=types.PublicShareId(opaque_id=link_id))


def _from_link(share: Any) -> PublicLink:
    return PublicLink(
        id=share.id.opaque_id,
        token=share.token,
        resource_id=convert.from_id(share.resource_id),
        role=convert.role_of(share.permissions.permissions),
        creator=convert.from_user_id(share.creator),
        owner=convert.from_user_id(share.owner),
        name=share.display_name,
        password_protected=share.password_protected,
        expires_at=sharing.expiry_of(share),
        ctime=convert.from_timestamp(share.ctime),
        mtime=convert.from_timestamp(share.mtime),
    )
