"""Between two sites: invitations, shares, and the login at the home site that a share is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from conformance.cs3.cases import Area
from conformance.cs3.wire import Client, code, role
from conformance.cs3.world import World
from cs3.ocm.invite.v1beta1 import invite_api_pb2 as invites
from cs3.ocm.invite.v1beta1 import resources_pb2 as invite_types
from cs3.ocm.provider.v1beta1 import provider_api_pb2 as mesh
from cs3.ocm.provider.v1beta1 import resources_pb2 as mesh_types
from cs3.sharing.ocm.v1beta1 import ocm_api_pb2 as api
from cs3.sharing.ocm.v1beta1 import resources_pb2 as ocm
from cs3.storage.provider.v1beta1 import provider_api_pb2 as files
from cs3.storage.provider.v1beta1 import resources_pb2 as storage
from google.protobuf.field_mask_pb2 import FieldMask

case = Area("ocm")

PATIENCE_S: Final = 10.0


# Sites and invitations


@case("the sites of the mesh", ["OK", True, True])
async def _(w: World) -> list[Any]:
    answer = await w.owner.call("ListAllProviders", mesh.ListAllProvidersRequest())
    domains = [provider.domain for provider in answer.providers]
    return [code(answer), w.here.endpoint.domain in domains, w.away.endpoint.domain in domains]


@case("one site, and one that nobody knows", ["OK", "INTERNAL"])
async def _(w: World) -> list[str]:
    domains = (w.away.endpoint.domain, "nowhere.test")
    return [await w.owner.ask("GetInfoByDomain", mesh.GetInfoByDomainRequest(domain=domain)) for domain in domains]


@case("the mesh says where the gateway of a site is", True)
async def _(w: World) -> bool:
    answer = await w.owner.ok("GetInfoByDomain", mesh.GetInfoByDomainRequest(domain=w.away.endpoint.domain))
    kinds = {service.endpoint.type.name.lower(): service for service in answer.provider_info.services}
    service = kinds.get("gateway")
    return service is not None and w.away.endpoint.address in (service.host, service.endpoint.path)


async def provider(client: Client, domain: str) -> Any:
    return (await client.ok("GetInfoByDomain", mesh.GetInfoByDomainRequest(domain=domain))).provider_info


async def invite(client: Client) -> str:
    answer = await client.ok("GenerateInviteToken", invites.GenerateInviteTokenRequest(description="come"))
    return str(answer.invite_token.token)


async def forward(client: Client, token: str, home: Any) -> str:
    request = invites.ForwardInviteRequest(invite_token=invite_types.InviteToken(token=token), origin_system_provider=home)
    return await client.ask("ForwardInvite", request)


async def accepted(client: Client, query: str = "") -> list[Any]:
    return list((await client.ok("FindAcceptedUsers", invites.FindAcceptedUsersRequest(filter=query))).accepted_users)


def belongs(user: Any, domain: str) -> bool:
    """Is this a person of that site? Gateways say so in the idp, in the id, or in both."""
    return user.id.idp.rpartition("//")[2] == domain or user.id.opaque_id.endswith(f"@{domain}")


async def strangers(w: World, here: str, there: str) -> tuple[Client, Client, Any]:
    """Two people who know nobody of the other's site, nor einstein them, and the home site as the other one's sees it."""
    one, other = await w.here.person(here), await w.away.person(there)
    for client, domain in ((one, w.away.endpoint.domain), (w.owner, w.away.endpoint.domain), (other, w.here.endpoint.domain)):
        for user in await accepted(client):
            if belongs(user, domain):
                await client.ask("DeleteAcceptedUser", invites.DeleteAcceptedUserRequest(remote_user_id=user.id))
    return one, other, await provider(other, w.here.endpoint.domain)


@case("an invitation has a token, and an end", ["OK", True, True])
async def _(w: World) -> list[Any]:
    answer = await w.owner.call("GenerateInviteToken", invites.GenerateInviteTokenRequest(description="come"))
    return [code(answer), bool(answer.invite_token.token), answer.invite_token.expiration.seconds > 0]


@case("an accepted invitation makes two people known to each other", ["OK", ["Marie Curie"], ["Richard Feynman"]])
async def _(w: World) -> list[Any]:
    richard, marie, home = await strangers(w, "richard", "marie")
    answer = await forward(marie, await invite(richard), home)
    return [answer, *[[user.display_name for user in await accepted(client)] for client in (richard, marie)]]


@case("an invitation is accepted once by the same person", ["OK", "ALREADY_EXISTS"])
async def _(w: World) -> list[str]:
    richard, marie, home = await strangers(w, "richard", "marie")
    token = await invite(richard)
    return [await forward(marie, token, home), await forward(marie, token, home)]


@case("an invitation nobody gave", "NOT_FOUND", v3="INVALID_ARGUMENT", why="the two lines give it another code")
async def _(w: World) -> str:
    _, marie, home = await strangers(w, "richard", "marie")
    return await forward(marie, "unknown", home)


@case("an invitation from a site that nobody knows", "grpc UNKNOWN")
async def _(w: World) -> str:
    marie = await w.away.person("marie")
    return await forward(marie, "unknown", mesh_types.ProviderInfo(domain="nowhere.test"))


@case("people of the other site by a part of the name", [["Marie Curie"], []])
async def _(w: World) -> list[Any]:
    guest = await acquainted(w)
    return [[user.display_name for user in await accepted(w.owner, query) if user.id == guest.id] for query in ("Curie", "zzz")]


@case(
    "one person of the other site, and nobody",
    ["OK", "INTERNAL"],
    v3=["INVALID_ARGUMENT", "INVALID_ARGUMENT"],
    why="v3 wants another form of the id than it gives",
)
async def _(w: World) -> list[str]:
    guest = await acquainted(w)
    unknown = type(guest.id)()
    unknown.CopyFrom(guest.id)
    unknown.opaque_id = "nobody"
    ids = (guest.id, unknown)
    return [await w.owner.ask("GetAcceptedUser", invites.GetAcceptedUserRequest(remote_user_id=one)) for one in ids]


async def acquainted(w: World) -> Any:
    """Marie of the other site, as einstein knows her."""
    marie = await w.away.person("marie")
    for _ in range(2):
        for user in await accepted(w.owner):
            if user.display_name == "Marie Curie" and belongs(user, w.away.endpoint.domain):
                return user
        await forward(marie, await invite(w.owner), await provider(marie, w.here.endpoint.domain))
    raise AssertionError(f"einstein knows {await accepted(w.owner)}")


# Shares


@dataclass(frozen=True, slots=True)
class Given:
    """A share with marie of the other site. ``guest`` is she, at the home site."""

    ref: Any
    share: Any
    received: Any
    secret: str
    marie: Client
    guest: Client


async def share_request(w: World, ref: Any, *, editor: bool) -> Any:
    info = await w.owner.stat(ref)
    held = role(editor=editor, folder=info.type == storage.RESOURCE_TYPE_CONTAINER)
    person = await acquainted(w)
    return api.CreateOCMShareRequest(
        resource_id=info.id,
        grantee=storage.Grantee(type=storage.GRANTEE_TYPE_USER, user_id=person.id),
        recipient_mesh_provider=await provider(w.owner, w.away.endpoint.domain),
        access_methods=[ocm.AccessMethod(webdav_options=ocm.WebDAVAccessMethod(permissions=held))],
    )


async def find_received(client: Client, share: Any) -> Any:
    """What the other site has of a share, which may take a moment to arrive."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer = await client.ok("ListReceivedOCMShares", api.ListReceivedOCMSharesRequest())
            for found in answer.shares:
                if found.remote_share_id in (share.id.opaque_id, share.token):
                    return found
            await asyncio.sleep(0.02)


def secret_of(received: Any) -> str:
    return next(p.webdav_options.shared_secret for p in received.protocols if p.WhichOneof("term") == "webdav_options")


async def give(w: World, ref: Any, *, editor: bool) -> Given:
    answer = await w.owner.call("CreateOCMShare", await share_request(w, ref, editor=editor))
    assert code(answer) == "OK", answer.status
    marie = await w.away.person("marie")
    received = await find_received(marie, answer.share)
    secret = secret_of(received)
    guest = await w.here.nobody.login("ocmshares", received.remote_share_id, secret)
    return Given(ref, answer.share, received, secret, marie, guest)


async def again(w: World, given: Given) -> Client:
    return await w.here.nobody.login("ocmshares", given.received.remote_share_id, given.secret)


async def remove(w: World, given: Given) -> str:
    return await w.owner.ask("RemoveOCMShare", api.RemoveOCMShareRequest(ref=ocm.ShareReference(id=given.share.id)))


@case("a share arrives with all it takes to log in at home", ["OK", "file.ipynb", "the share's id", "pending", True])
async def _(w: World) -> list[Any]:
    ref = await w.file()
    answer = await w.owner.call("CreateOCMShare", await share_request(w, ref, editor=True))
    received = await find_received(await w.away.person("marie"), answer.share)
    remote = "the share's id" if received.remote_share_id == answer.share.id.opaque_id else received.remote_share_id
    state = "pending" if received.state == ocm.SHARE_STATE_PENDING else str(received.state)
    return [code(answer), received.name, remote, state, bool(secret_of(received))]


@case("the same share again", "ALREADY_EXISTS")
async def _(w: World) -> str:
    given = await give(w, await w.file(), editor=False)
    return await w.owner.ask("CreateOCMShare", await share_request(w, given.ref, editor=True))


@case("what is not there", "NOT_FOUND")
async def _(w: World) -> str:
    ref = await w.file()
    request = await share_request(w, ref, editor=False)
    await w.owner.ok("Delete", files.DeleteRequest(ref=ref))
    return await w.owner.ask("CreateOCMShare", request)


@case("the shares of a file", ["OK", 1])
async def _(w: World) -> list[Any]:
    given = await give(w, await w.file(), editor=False)
    kind = api.ListOCMSharesRequest.Filter
    wish = kind(type=kind.TYPE_RESOURCE_ID, resource_id=given.ref.resource_id)
    answer = await w.owner.call("ListOCMShares", api.ListOCMSharesRequest(filters=[wish]))
    return [code(answer), len(answer.shares)]


@case("one share by its id, and an unknown one", ["OK", "INTERNAL"])
async def _(w: World) -> list[str]:
    given = await give(w, await w.file(), editor=False)
    ids = (given.share.id, ocm.ShareId(opaque_id="unknown"))
    return [await w.owner.ask("GetOCMShare", api.GetOCMShareRequest(ref=ocm.ShareReference(id=one))) for one in ids]


@case("a received share by its id, and an unknown one", ["OK", "INTERNAL"])
async def _(w: World) -> list[str]:
    given = await give(w, await w.file(), editor=False)
    refs = (ocm.ShareReference(id=one) for one in (given.received.id, ocm.ShareId(opaque_id="unknown")))
    return [await given.marie.ask("GetReceivedOCMShare", api.GetReceivedOCMShareRequest(ref=ref)) for ref in refs]


@case("accepted and declined", ["OK", "accepted", "OK", "rejected"])
async def _(w: World) -> list[str]:
    given = await give(w, await w.file(), editor=False)
    names = {ocm.SHARE_STATE_ACCEPTED: "accepted", ocm.SHARE_STATE_REJECTED: "rejected"}
    seen = []
    for state in names:
        changed = ocm.ReceivedShare(id=given.received.id, state=state)
        request = api.UpdateReceivedOCMShareRequest(share=changed, update_mask=FieldMask(paths=["state"]))
        seen.append(await given.marie.ask("UpdateReceivedOCMShare", request))
        ref = ocm.ShareReference(id=given.received.id)
        now = (await given.marie.ok("GetReceivedOCMShare", api.GetReceivedOCMShareRequest(ref=ref))).share.state
        seen.append(names.get(now, str(now)))
    return seen
