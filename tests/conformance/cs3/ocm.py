"""Between two sites: invitations, shares, and the login at the home site that a share is."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from typing import Any, Final

import jwt
from conformance.cs3.cases import Area
from conformance.cs3.locks import get, lock, refresh, take, unlock
from conformance.cs3.metadata import put
from conformance.cs3.wire import Client, Fault, by_id, code, role
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

OLD_TOKENS: Final = "v3 lets a token in that was given before, until it expires"
NO_LOCKS: Final = "v3 has no locks on its local driver"
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
    """Two people who do not know each other, and the home site as the other one's sees it."""
    one, other = await w.here.person(here), await w.away.person(there)
    for client, domain in ((one, w.away.endpoint.domain), (other, w.here.endpoint.domain)):
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


# The login at home


async def _login(w: World, share_id: str, secret: str) -> str:
    try:
        return code(await w.here.nobody.authenticate("ocmshares", share_id, secret))
    except Fault as fault:
        return f"grpc {fault.code}"


@case(
    "the login of a share: with a wrong secret, of an unknown share",
    ["INTERNAL", "PERMISSION_DENIED"],
    v3=["UNAUTHENTICATED", "PERMISSION_DENIED"],
    why="the two lines give it another code",
)
async def _(w: World) -> list[str]:
    given = await give(w, await w.file(), editor=False)
    remote = given.received.remote_share_id
    return [await _login(w, remote, "wrong"), await _login(w, "unknown", given.secret)]


@case(
    "the login is the federated recipient's",
    ["federated", "opaque@idp", "away", "Marie Curie"],
    v3=["federated", "opaque", "away", "Marie Curie"],
    older=["federated", "opaque@idp in base64", "away", "Marie Curie"],
    why="each line writes the id of a person elsewhere in its own way",
)
async def _(w: World) -> list[str]:
    given = await give(w, await w.file(), editor=True)
    user, hers, domain = given.guest.user, given.marie.user.id, w.away.endpoint.domain
    plain = f"{hers.opaque_id}@{hers.idp}"
    names = {
        hers.opaque_id: "opaque",
        plain: "opaque@idp",
        base64.urlsafe_b64encode(plain.encode()).decode(): "opaque@idp in base64",
    }
    kind = "federated" if user.id.type == 6 else str(user.id.type)
    return [kind, names.get(user.id.opaque_id, user.id.opaque_id), user.id.idp.replace(domain, "away"), user.display_name]


@case(
    "WhoAmI of that login is the same person",
    ["OK", True],
    v3=["grpc PERMISSION_DENIED", False],
    why="in v3 the scope of a share does not reach WhoAmI",
)
async def _(w: World) -> list[Any]:
    from cs3.gateway.v1beta1 import gateway_api_pb2 as gw

    given = await give(w, await w.file(), editor=True)
    asked = await given.guest.ask("WhoAmI", gw.WhoAmIRequest(token=given.guest.token))
    if asked != "OK":
        return [asked, False]
    answer = await given.guest.ok("WhoAmI", gw.WhoAmIRequest(token=given.guest.token))
    return [asked, bool(answer.user.id == given.guest.user.id)]


@case("the token is for one share, with its role", [["ocmshare"], [4, 3]])
async def _(w: World) -> list[Any]:
    scopes = []
    for name, editor in (("a.ipynb", True), ("b.ipynb", False)):
        given = await give(w, await w.file(name=name), editor=editor)
        scopes.append(jwt.decode(given.guest.token, options={"verify_signature": False})["scope"])
    keys = {key.partition(":")[0] for scope in scopes for key in scope}
    return [sorted(keys), [entry["role"] for scope in scopes for entry in scope.values()]]


@case(
    "an editor works by the original id: stat, read, write with if_match, metadata",
    ["OK", "first", "OK", "ABORTED", "OK", "hers"],
    v3=["OK", "first", "OK", "OK", "OK", "hers"],
    older=["OK", "first", "OK", "FAILED_PRECONDITION", "OK", "hers"],
    why="v3 ignores if_match, the older line says it with another code",
)
async def _(w: World) -> list[str]:
    given = await give(w, await w.file(), editor=True)
    guest, ref = given.guest, given.ref
    old = (await guest.stat(ref)).etag
    return [
        await guest.seen(ref),
        await guest.read(ref),
        await guest.upload(ref, b"hers", if_match=old),
        await guest.may_upload(ref, if_match=old),
        await put(guest, ref, {"test.a": "1"}),
        await w.owner.read(ref),
    ]


@case(
    "an editor locks, refreshes, writes and unlocks",
    ["OK", "one", "OK", "LOCKED", "OK", "OK"],
    v3=["INTERNAL", "INTERNAL", "INTERNAL", "OK", "OK", "INTERNAL"],
    why=NO_LOCKS,
)
async def _(w: World) -> list[str]:
    given = await give(w, await w.file(), editor=True)
    guest, ref = given.guest, given.ref
    return [
        await take(guest, ref),
        await get(guest, ref),
        await refresh(guest, ref),
        await w.owner.may_upload(ref),
        await guest.upload(ref, b"hers", lock_id="one"),
        await unlock(guest, ref),
    ]


@case(
    "a viewer reads, and does not write, lock, touch metadata or delete",
    ["OK", "first", *["PERMISSION_DENIED"] * 4],
    v3=["OK", "first", *["grpc PERMISSION_DENIED"] * 4],
    why="v3 judges by the scope, before the storage",
)
async def _(w: World) -> list[str]:
    given = await give(w, await w.file(), editor=False)
    guest, ref = given.guest, given.ref
    return [
        await guest.seen(ref),
        await guest.read(ref),
        await guest.may_upload(ref),
        await take(guest, ref),
        await put(guest, ref, {"test.a": "1"}),
        await guest.ask("Delete", files.DeleteRequest(ref=ref)),
    ]


@case("a viewer sees who holds the lock", "one", v3="INTERNAL", why=NO_LOCKS)
async def _(w: World) -> str:
    given = await give(w, await w.file(), editor=False)
    await take(w.owner, given.ref, lock())
    return await get(given.guest, given.ref)


@case(
    "what Stat says that a recipient may",
    [[True, True], [True, False]],
    v3=[[True, True], [True, True]],
    why="v3's local driver says that everybody may do everything; the token's role is the limit",
)
async def _(w: World) -> list[list[bool]]:
    seen = []
    for name, editor in (("a.ipynb", True), ("b.ipynb", False)):
        given = await give(w, await w.file(name=name), editor=editor)
        held = (await given.guest.stat(given.ref)).permission_set
        seen.append([held.initiate_file_download, held.initiate_file_upload])
    return seen


@case(
    "what is beside the share is not seen",
    ["NOT_FOUND", "NOT_FOUND"],
    v3=["grpc PERMISSION_DENIED"] * 2,
    why="v3 judges by the scope, before the storage",
)
async def _(w: World) -> list[str]:
    beside = await w.file(name="beside")
    given = await give(w, await w.file(), editor=True)
    return [await given.guest.seen(beside), await given.guest.seen(w.folder)]


@case("a recipient lists no versions", "grpc PERMISSION_DENIED")
async def _(w: World) -> str:
    given = await give(w, await w.file(), editor=True)
    return await given.guest.ask("ListFileVersions", files.ListFileVersionsRequest(ref=given.ref))


async def _content(client: Client, ref: Any) -> str:
    granted = await client.call("InitiateFileDownload", files.InitiateFileDownloadRequest(ref=ref))
    if code(granted) != "OK":
        return code(granted)
    status, body = await client.get(granted)
    return body.decode() if status == 200 else f"HTTP {status}"


@case(
    "a folder's children by their id and by the folder's",
    [["file.ipynb"], "first", "OK", "OK", "hers"],
    older=[["file.ipynb"], "PERMISSION_DENIED", "PERMISSION_DENIED", "OK", "first"],
    why="the older line lets a recipient to the children of a folder by its id alone",
)
async def _(w: World) -> list[Any]:
    rid = (await w.dir()).resource_id
    child = await w.file(name="dir/file.ipynb")
    guest = (await give(w, by_id(rid), editor=True)).guest
    return [
        await guest.names(by_id(rid)),
        await _content(guest, child),
        await guest.upload(child, b"hers"),
        await guest.upload(by_id(rid, "./new.ipynb"), b"new"),
        await w.owner.read(child),
    ]


@case(
    "an ended share: the owner's list, the old token, a new login",
    ["OK", 0, "NOT_FOUND", "INTERNAL"],
    v3=["OK", 0, "OK", "UNAUTHENTICATED"],
    why=OLD_TOKENS,
)
async def _(w: World) -> list[Any]:
    given = await give(w, await w.file(), editor=True)
    ended = await remove(w, given)
    kind = api.ListOCMSharesRequest.Filter
    wish = kind(type=kind.TYPE_RESOURCE_ID, resource_id=given.ref.resource_id)
    left = (await w.owner.ok("ListOCMShares", api.ListOCMSharesRequest(filters=[wish]))).shares
    return [ended, len(left), await given.guest.seen(given.ref), await _login(w, given.received.remote_share_id, given.secret)]


@case(
    "an ended share at the other site",
    "still there",
    older="INTERNAL",
    embedded="INTERNAL",
    why="v2.48 does not tell the other site",
)
async def _(w: World) -> str:
    given = await give(w, await w.file(), editor=True)
    await remove(w, given)
    request = api.GetReceivedOCMShareRequest(ref=ocm.ShareReference(id=given.received.id))
    for _ in range(20):  # the other site is told in the background, if it is
        if (answer := await given.marie.ask("GetReceivedOCMShare", request)) != "OK":
            return answer
        await asyncio.sleep(0.05)
    return "still there"


@case("a share that was ended is given anew, with another id", ["OK", "another id"])
async def _(w: World) -> list[str]:
    given = await give(w, await w.file(), editor=True)
    ended = await remove(w, given)
    anew = await give(w, given.ref, editor=False)
    return [ended, "another id" if anew.share.id.opaque_id != given.share.id.opaque_id else "the same id"]


async def _downgrade(w: World, given: Given) -> str:
    way = ocm.AccessMethod(webdav_options=ocm.WebDAVAccessMethod(permissions=role(editor=False)))
    field = api.UpdateOCMShareRequest.UpdateField(access_methods=way)
    request = api.UpdateOCMShareRequest(ref=ocm.ShareReference(id=given.share.id), field=[field])
    return await w.owner.ask("UpdateOCMShare", request)


@case(
    "an editor made a viewer by UpdateOCMShare: a new login's role, what it and the old one may write",
    ["OK", [3], "PERMISSION_DENIED", "OK"],
    v3=["OK", [3], "grpc PERMISSION_DENIED", "OK"],
    older=["OK", [3], "PERMISSION_DENIED", "PERMISSION_DENIED"],
    embedded=["OK", [3], "PERMISSION_DENIED", "PERMISSION_DENIED"],
    why="v2.48 leaves the editor's grant on the file, and v3 believes the scope",
)
async def _(w: World) -> list[Any]:
    given = await give(w, await w.file(), editor=True)
    changed = await _downgrade(w, given)
    new = await again(w, given)
    scope = jwt.decode(new.token, options={"verify_signature": False})["scope"]
    roles = [entry["role"] for entry in scope.values()]
    return [changed, roles, await new.may_upload(given.ref), await given.guest.may_upload(given.ref)]


@case(
    "an editor made a viewer by ending the share and giving it anew",
    ["OK", "PERMISSION_DENIED", "PERMISSION_DENIED"],
    v3=["OK", "grpc PERMISSION_DENIED", "OK"],
    why=OLD_TOKENS,
)
async def _(w: World) -> list[str]:
    given = await give(w, await w.file(), editor=True)
    ended = await remove(w, given)
    anew = await give(w, given.ref, editor=False)
    return [ended, await anew.guest.may_upload(given.ref), await given.guest.may_upload(given.ref)]
