"""Shares within a site and, by OCM, between sites; and the invitations by which people of two sites come to know each other."""

from __future__ import annotations

from types import EllipsisType
from typing import Any

from cs3.ocm.invite.v1beta1 import invite_api_pb2 as invites
from cs3.ocm.invite.v1beta1 import resources_pb2 as invite_types
from cs3.ocm.provider.v1beta1 import provider_api_pb2 as mesh
from cs3.sharing.collaboration.v1beta1 import collaboration_api_pb2 as local
from cs3.sharing.collaboration.v1beta1 import resources_pb2 as local_types
from cs3.sharing.ocm.v1beta1 import ocm_api_pb2 as ocm
from cs3.sharing.ocm.v1beta1 import resources_pb2 as ocm_types
from cs3.storage.provider.v1beta1 import provider_api_pb2 as api
from google.protobuf.field_mask_pb2 import FieldMask

from cs3collab.cs3 import convert, locks, sharing
from cs3collab.cs3.finding import found
from cs3collab.cs3.session import Session
from cs3collab.cs3.sharing import Group, Invite, OCMReceived, Provider, Received, Share, State, domain_of
from cs3collab.errors import CollabError, InvalidInput, LockHeld, NotFound, StorageUnavailable
from cs3collab.types import Ref, ResourceId, Role, User

__all__ = [
    "Group",
    "Invite",
    "OCMReceived",
    "Provider",
    "Received",
    "Share",
    "State",
    "accept_ocm_share",
    "accept_share",
    "accepted_users",
    "create_ocm_share",
    "create_share",
    "domain_of",
    "forward_invite",
    "generate_invite",
    "get_ocm_share",
    "get_share",
    "list_invites",
    "list_ocm_shares",
    "list_providers",
    "list_received_ocm_shares",
    "list_received_shares",
    "list_shares",
    "provider_info",
    "received_ocm_share",
    "received_share",
    "remove_ocm_share",
    "remove_share",
    "set_ocm_share_state",
    "set_share_state",
    "update_ocm_share",
    "update_share",
]


async def create_share(
    session: Session, ref: Ref, grantee: User | Group, role: Role, *, expires_at: float | None = None
) -> Share:
    """Shares a file or folder with a user or group of this site. Raises `AlreadyExists` when it is.

    Reva does not ask whether the grantee exists, and answers a share with oneself with an unknown error: look before.
    """
    info = (await session.call("Stat", api.StatRequest(ref=convert.to_ref(ref)))).info
    permissions = sharing.permissions(role, is_dir=convert.is_container(info.type))
    grant = local_types.ShareGrant(
        grantee=sharing.to_grantee(grantee),
        permissions=local_types.SharePermissions(permissions=permissions),
        expiration=None if expires_at is None else convert.to_timestamp(expires_at),
    )
    response = await session.call("CreateShare", local.CreateShareRequest(resource_info=info, grant=grant))
    return sharing.from_share(response.share)


async def get_share(session: Session, share_id: str) -> Share:
    """A share within the site, for who gave or got it. Raises `NotFound`."""

    async def ask() -> Share:
        return sharing.from_share((await session.call("GetShare", local.GetShareRequest(ref=_local_ref(share_id)))).share)

    return await found(share_id, ask(), lambda: list_shares(session))


async def list_shares(session: Session, resource_id: ResourceId | None = None) -> list[Share]:
    """The shares this user gave, of one resource or of all."""
    request = local.ListSharesRequest()
    if resource_id is not None:
        request.filters.add(type=local_types.Filter.TYPE_RESOURCE_ID, resource_id=convert.to_id(resource_id))
    return [sharing.from_share(share) for share in await session.pages("ListShares", request, "shares")]


async def update_share(session: Session, share: Share, role: Role, *, expires_at: float | EllipsisType | None = ...) -> Share:
    """Gives a share another role and, unless it is ``...``, another end; `update_ocm_share` for one with another site."""
    if share.ocm:
        return await update_ocm_share(session, share, role, expires_at=expires_at)
    changed = local_types.Share(id=local_types.ShareId(opaque_id=share.id))
    # a change of the end alone leaves permissions that are no role of ours as they are
    if role is not share.role or isinstance(expires_at, EllipsisType):
        permissions = sharing.permissions(role, is_dir=await _is_dir(session, share.resource_id))
        changed.permissions.permissions.CopyFrom(permissions)
        share = await _change(session, share, changed, "permissions")
    if not isinstance(expires_at, EllipsisType):
        if expires_at is not None:
            changed.expiration.CopyFrom(convert.to_timestamp(expires_at))
        share = await _change(session, share, changed, "expiration")
    return share


async def _change(session: Session, share: Share, changed: Any, what: str) -> Share:
    """For Reva v2, which wants share and mask, and for v3, which reads the older ``field`` and cannot take an end away."""
    request = local.UpdateShareRequest(ref=_local_ref(share.id), share=changed, update_mask=FieldMask(paths=[what]))
    if changed.HasField(what):
        getattr(request.field, what).CopyFrom(getattr(changed, what))
    response = await locks.around_ours(session, Ref.of(share.resource_id), lambda: session.call("UpdateShare", request))
    return sharing.from_share(response.share)


async def remove_share(session: Session, share_id: str) -> None:
    """Also of a file that is edited live. Raises `LockHeld` while another program has it (Reva v2)."""
    request = local.RemoveShareRequest(ref=_local_ref(share_id))
    try:
        await session.call("RemoveShare", request)
    except LockHeld:
        ref = Ref.of((await get_share(session, share_id)).resource_id)
        await locks.around_ours(session, ref, lambda: session.call("RemoveShare", request))


async def list_received_shares(session: Session) -> list[Received]:
    """The shares within the site that this user got, in any state. One that is mounted nowhere has no name: Stat tells it."""
    received = await session.pages("ListReceivedShares", local.ListReceivedSharesRequest(), "shares")
    return [sharing.from_received(share) for share in received]


async def received_share(session: Session, share_id: str) -> Received:
    """One share within the site that this user got. Raises `NotFound`."""

    async def ask() -> Received:
        request = local.GetReceivedShareRequest(ref=_local_ref(share_id))
        return sharing.from_received((await session.call("GetReceivedShare", request)).share)

    return await found(share_id, ask(), lambda: list_received_shares(session))


async def accept_share(session: Session, share_id: str) -> None:
    """Lets a received share appear among the user's shares."""
    await set_share_state(session, share_id, State.ACCEPTED)


async def set_share_state(session: Session, share_id: str, state: State) -> None:
    """Accepts or rejects a received share; a rejected one can be accepted later."""
    received = local_types.ReceivedShare(
        share=local_types.Share(id=local_types.ShareId(opaque_id=share_id)), state=sharing.to_local_state(state)
    )
    request = local.UpdateReceivedShareRequest(share=received, update_mask=FieldMask(paths=["state"]))
    await session.call("UpdateReceivedShare", request)


async def create_ocm_share(
    session: Session, resource_id: ResourceId, recipient: User, role: Role, *, expires_at: float | None = None
) -> Share:
    """Shares with one of `accepted_users`. Raises `AlreadyExists`, and `NotFound` for an unknown site.

    Reva v2 makes the share before it looks whether this user may give it: look before.
    """
    provider = await _provider(session, domain_of(recipient))
    request = ocm.CreateOCMShareRequest(
        resource_id=convert.to_id(resource_id),
        grantee=sharing.to_grantee(recipient),
        recipient_mesh_provider=provider,
        access_methods=[sharing.access(role, is_dir=await _is_dir(session, resource_id))],
        expiration=None if expires_at is None else convert.to_timestamp(expires_at),
    )
    return sharing.from_ocm_share((await session.call("CreateOCMShare", request)).share)


async def get_ocm_share(session: Session, share_id: str) -> Share:
    """A share with another site that this user gave. Raises `NotFound`."""

    async def ask() -> Share:
        request = ocm.GetOCMShareRequest(ref=_ocm_ref(share_id))
        return sharing.from_ocm_share((await session.call("GetOCMShare", request)).share)

    return await found(share_id, ask(), lambda: list_ocm_shares(session))


async def list_ocm_shares(session: Session, resource_id: ResourceId | None = None) -> list[Share]:
    """The shares with other sites that this user gave, of one resource or of all."""
    request = ocm.ListOCMSharesRequest()
    if resource_id is not None:
        kind = ocm.ListOCMSharesRequest.Filter.TYPE_RESOURCE_ID
        request.filters.add(type=kind, resource_id=convert.to_id(resource_id))
    return [sharing.from_ocm_share(share) for share in await session.pages("ListOCMShares", request, "shares")]


async def update_ocm_share(
    session: Session, share: Share, role: Role, *, expires_at: float | EllipsisType | None = ...
) -> Share:
    """Replaces the share by one of another role or end, which gets another id. When that fails half-way the access is ended.

    Not by ``UpdateOCMShare``: Reva v2.48 then keeps the storage grant of the former role and end, and does not tell the other
    site.
    """
    until = share.expires_at if isinstance(expires_at, EllipsisType) else expires_at
    if role is share.role and until == share.expires_at:
        return share
    if share.grantee is None:
        raise InvalidInput("this share is not with a user of another site", hint="remove it and share anew")
    sharing.permissions(role, is_dir=False)  # before the old share is gone
    await remove_ocm_share(session, share.id)
    try:
        return await create_ocm_share(session, share.resource_id, share.grantee, role, expires_at=until)
    except CollabError as error:
        ended = f"the share was ended, but the new one could not be made: {error.message}"
        raise type(error)(ended, hint="share it again with this person") from error


async def remove_ocm_share(session: Session, share_id: str) -> None:
    await session.call("RemoveOCMShare", ocm.RemoveOCMShareRequest(ref=_ocm_ref(share_id)))


async def received_ocm_share(session: Session, share_id: str) -> OCMReceived:
    """One share of another site, with what it takes to log in there. Raises `NotFound`."""

    async def ask() -> OCMReceived:
        request = ocm.GetReceivedOCMShareRequest(ref=_ocm_ref(share_id))
        return sharing.from_ocm_received((await session.call("GetReceivedOCMShare", request)).share)

    return await found(share_id, ask(), lambda: list_received_ocm_shares(session))


async def list_received_ocm_shares(session: Session) -> list[OCMReceived]:
    """The shares of other sites that this user got, in any state; dead ones stay where their end was not told (Reva v2.48)."""
    received = await session.pages("ListReceivedOCMShares", ocm.ListReceivedOCMSharesRequest(), "shares")
    return [sharing.from_ocm_received(share) for share in received]


async def accept_ocm_share(session: Session, share_id: str) -> None:
    """Lets a share of another site appear among the user's files."""
    await set_ocm_share_state(session, share_id, State.ACCEPTED)


async def set_ocm_share_state(session: Session, share_id: str, state: State) -> None:
    """Accepts or rejects a share of another site; a rejected one can be accepted later."""
    received = ocm_types.ReceivedShare(id=ocm_types.ShareId(opaque_id=share_id), state=sharing.to_ocm_state(state))
    request = ocm.UpdateReceivedOCMShareRequest(share=received, update_mask=FieldMask(paths=["state"]))
    await session.call("UpdateReceivedOCMShare", request)


async def generate_invite(session: Session, description: str = "") -> Invite:
    """An invitation for somebody at another site."""
    response = await session.call("GenerateInviteToken", invites.GenerateInviteTokenRequest(description=description))
    return sharing.from_invite(response.invite_token)


async def list_invites(session: Session) -> list[Invite]:
    """The invitations of this user that have not expired, also those that were accepted."""
    response = await session.call("ListInviteTokens", invites.ListInviteTokensRequest())
    return [sharing.from_invite(token) for token in response.invite_tokens]


async def forward_invite(session: Session, token: str, home: str) -> User:
    """Accepts an invitation from a user of the site `home` (a domain); that user. Raises `AlreadyExists` the second time."""
    request = invites.ForwardInviteRequest(
        invite_token=invite_types.InviteToken(token=token), origin_system_provider=await _provider(session, home)
    )
    response = await session.call("ForwardInvite", request)
    user = convert.from_user_id(response.user_id)
    return User(user.opaque_id, user.idp, "", response.display_name, response.email, federated=True)


async def accepted_users(session: Session, query: str = "") -> list[User]:
    """People of other sites with whom an invitation was exchanged."""
    response = await session.call("FindAcceptedUsers", invites.FindAcceptedUsersRequest(filter=query))
    return [convert.from_user(user) for user in response.accepted_users]


async def provider_info(session: Session, domain: str) -> Provider:
    """What the mesh knows of a site. Raises `NotFound`."""
    return sharing.from_provider(await _provider(session, domain))


async def list_providers(session: Session) -> list[Provider]:
    """The sites of the mesh."""
    response = await session.call("ListAllProviders", mesh.ListAllProvidersRequest())
    return [sharing.from_provider(provider) for provider in response.providers]


async def _provider(session: Session, domain: str) -> Any:
    try:
        return (await session.call("GetInfoByDomain", mesh.GetInfoByDomainRequest(domain=domain))).provider_info
    except StorageUnavailable as error:
        # Reva says INTERNAL for a site that it does not know
        if any(provider.domain == domain for provider in await list_providers(session)):
            raise
        raise NotFound(f"{domain[:80]} is not in the mesh of this site", hint="ask the operators to add it") from error


async def _is_dir(session: Session, resource_id: ResourceId) -> bool:
    info = (await session.call("Stat", api.StatRequest(ref=convert.to_ref(Ref.of(resource_id))))).info
    return convert.is_container(info.type)


def _local_ref(share_id: str) -> Any:
    return local_types.ShareReference(id=local_types.ShareId(opaque_id=share_id))


def _ocm_ref(share_id: str) -> Any:
    return ocm_types.ShareReference(id=ocm_types.ShareId(opaque_id=share_id))
