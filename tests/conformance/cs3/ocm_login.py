"""The recipient of a share of another site, who logs in with it at the home site and works there by the original id."""

from __future__ import annotations

import asyncio
import base64
from typing import Any, Final

import jwt
from conformance.cs3.cases import Area
from conformance.cs3.locks import get, lock, refresh, take, unlock
from conformance.cs3.metadata import put
from conformance.cs3.ocm import Given, again, give, remove
from conformance.cs3.wire import Client, Fault, by_id, code, role
from conformance.cs3.world import World
from cs3.gateway.v1beta1 import gateway_api_pb2 as gw
from cs3.sharing.ocm.v1beta1 import ocm_api_pb2 as api
from cs3.sharing.ocm.v1beta1 import resources_pb2 as ocm
from cs3.storage.provider.v1beta1 import provider_api_pb2 as files

case = Area("ocm_login")

OLD_TOKENS: Final = "v3 lets a token in that was given before, until it expires"
NO_LOCKS: Final = "v3 has no locks on its local driver"


async def login(w: World, share_id: str, secret: str) -> str:
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
    return [await login(w, remote, "wrong"), await login(w, "unknown", given.secret)]


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
    return [ended, len(left), await given.guest.seen(given.ref), await login(w, given.received.remote_share_id, given.secret)]


@case("an ended share at the other site", "still there", older="INTERNAL", why="only the older line tells the other site")
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


def _roles(client: Client) -> list[int]:
    scope = jwt.decode(client.token, options={"verify_signature": False})["scope"]
    return [entry["role"] for entry in scope.values()]


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
    why="v2.48 leaves the editor's grant on the file, and v3 believes the scope",
)
async def _(w: World) -> list[Any]:
    given = await give(w, await w.file(), editor=True)
    changed = await _downgrade(w, given)
    new = await again(w, given)
    return [changed, _roles(new), await new.may_upload(given.ref), await given.guest.may_upload(given.ref)]


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


@case(
    "a viewer made an editor by UpdateOCMShare: a new login's role, what it and the old one may write",
    ["OK", [4], "PERMISSION_DENIED", "PERMISSION_DENIED"],
    v3=["OK", [4], "OK", "grpc PERMISSION_DENIED"],
    older=["OK", [4], "OK", "PERMISSION_DENIED"],
    why="v2.48 leaves the viewer's grant on the file, and v3 believes the scope",
)
async def _(w: World) -> list[Any]:
    given = await give(w, await w.file(), editor=False)
    way = ocm.AccessMethod(webdav_options=ocm.WebDAVAccessMethod(permissions=role(editor=True)))
    field = api.UpdateOCMShareRequest.UpdateField(access_methods=way)
    request = api.UpdateOCMShareRequest(ref=ocm.ShareReference(id=given.share.id), field=[field])
    changed = await w.owner.ask("UpdateOCMShare", request)
    new = await again(w, given)
    return [changed, _roles(new), await new.may_upload(given.ref), await given.guest.may_upload(given.ref)]


@case(
    "what a recipient may who was made a viewer, as Stat says, and as it is: set metadata, lock, delete, of a folder make",
    [True, "PERMISSION_DENIED", "OK", "PERMISSION_DENIED", "PERMISSION_DENIED", "PERMISSION_DENIED"],
    v3=[True, *["grpc PERMISSION_DENIED"] * 5],
    older=[False, *["PERMISSION_DENIED"] * 5],
    why="v2.48 leaves the editor's grant on the file, which lets lock, and v3 believes the scope",
)
async def _(w: World) -> list[Any]:
    given = await give(w, await w.file(), editor=True)
    await _downgrade(w, given)
    new = await again(w, given)
    folder = await give(w, await w.dir(), editor=True)
    await _downgrade(w, folder)
    other = await again(w, folder)
    return [
        (await new.stat(given.ref)).permission_set.initiate_file_upload,
        await put(new, given.ref, {"test.a": "1"}),
        await take(new, given.ref),
        await new.ask("Delete", files.DeleteRequest(ref=given.ref, lock_id="one")),
        await other.mkdir(by_id(folder.ref.resource_id, "./sub")),
        await other.upload(by_id(folder.ref.resource_id, "./new"), b"new"),
    ]


@case("a ticket from before the end of a share, used after it", ["HTTP 200", "hers!"])
async def _(w: World) -> list[str]:
    given = await give(w, await w.file(), editor=True)
    granted = await given.guest.initiate(given.ref, 5)
    await remove(w, given)
    return [str(await given.guest.send(granted, b"hers!")), await w.owner.read(given.ref)]


@case("the share of a locked file is ended", ["OK", "one"], v3=["OK", "INTERNAL"], why=NO_LOCKS)
async def _(w: World) -> list[str]:
    given = await give(w, await w.file(), editor=True)
    await take(w.owner, given.ref, lock())
    return [await remove(w, given), await get(w.owner, given.ref)]
