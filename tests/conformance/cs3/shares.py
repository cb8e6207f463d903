"""Shares within a site: giving, seeing, changing, ending them, and what they let be done."""

from __future__ import annotations

import time
from typing import Any, Final

from conformance.cs3.cases import Area, OneOf
from conformance.cs3.wire import FILE_EDITOR, FOLDER_EDITOR, VIEWER, Client, bits, by_id, by_path, code, permissions, role
from conformance.cs3.world import World
from cs3.identity.user.v1beta1 import resources_pb2 as identity
from cs3.sharing.collaboration.v1beta1 import collaboration_api_pb2 as api
from cs3.sharing.collaboration.v1beta1 import resources_pb2 as sharing
from cs3.storage.provider.v1beta1 import provider_api_pb2 as files
from cs3.storage.provider.v1beta1 import resources_pb2 as storage
from cs3.types.v1beta1 import types_pb2
from google.protobuf.field_mask_pb2 import FieldMask

case = Area("shares")

MEMORY: Final = "v3's gateway passes on what its share manager says, which minds little"
TAKEN: Final = "v3 takes shares as accepted until they are declined, and has no folder of them"
ONESELF: Final = "v2.48 passes on the refusal of its share manager, whatever it is"
NO_ACLS: Final = "v3's local driver keeps nobody out, and says that everybody may do everything"


def ref_of(share: Any) -> Any:
    return sharing.ShareReference(id=share.id)


async def given(client: Client, ref: Any) -> list[Any]:
    wish = sharing.Filter(type=sharing.Filter.TYPE_RESOURCE_ID, resource_id=ref.resource_id)
    return list((await client.ok("ListShares", api.ListSharesRequest(filters=[wish]))).shares)


async def received(client: Client, share: Any) -> Any:
    found = (await client.ok("ListReceivedShares", api.ListReceivedSharesRequest())).shares
    return next((one for one in found if one.share.id.opaque_id == share.id.opaque_id), None)


async def settle(client: Client, share: Any, state: int) -> str:
    request = api.UpdateReceivedShareRequest(
        share=sharing.ReceivedShare(share=sharing.Share(id=share.id), state=state), update_mask=FieldMask(paths=["state"])
    )
    return await client.ask("UpdateReceivedShare", request)


async def update(client: Client, share: Any, held: Any) -> str:
    changed = sharing.Share(id=share.id, permissions=sharing.SharePermissions(permissions=held))
    request = api.UpdateShareRequest(ref=ref_of(share), share=changed, update_mask=FieldMask(paths=["permissions"]))
    return await client.ask("UpdateShare", request)


# Giving


@case("a share says what, with whom, and by whom", ["OK", "the file", "marie", "einstein", True])
async def _(w: World) -> list[Any]:
    ref = await w.file()
    answer = await w.owner.call("CreateShare", await w.share_request(ref, w.marie, editor=True))
    share = answer.share
    names = {person.user.id.opaque_id: person.user.username for person in (w.owner, w.marie)}
    return [
        code(answer),
        "the file" if share.resource_id.opaque_id == ref.resource_id.opaque_id else str(share.resource_id),
        names.get(share.grantee.user_id.opaque_id),
        names.get(share.creator.opaque_id),
        bool(share.id.opaque_id),
    ]


@case("the same share again", "ALREADY_EXISTS", v3="grpc UNKNOWN", why=MEMORY)
async def _(w: World) -> str:
    ref = await w.file()
    await w.share(ref, w.marie, editor=False)
    return await w.owner.ask("CreateShare", await w.share_request(ref, w.marie, editor=True))


@case("with oneself", "grpc UNKNOWN", older="INVALID_ARGUMENT", why=ONESELF)
async def _(w: World) -> str:
    return await w.owner.ask("CreateShare", await w.share_request(await w.file(), w.owner, editor=True))


@case("with nobody who is known", "OK")
async def _(w: World) -> str:
    request = await w.share_request(await w.file(), w.marie, editor=True)
    request.grant.grantee.user_id.CopyFrom(identity.UserId(opaque_id="nobody", idp=w.owner.user.id.idp, type=1))
    return await w.owner.ask("CreateShare", request)


@case("what is not there", "grpc INTERNAL", v3=OneOf("OK", "NOT_FOUND"), why="v2 falls over; v3 looks since v3.12.2")
async def _(w: World) -> str:
    ref = await w.file()
    request = await w.share_request(ref, w.marie, editor=True)
    await w.owner.ok("Delete", files.DeleteRequest(ref=ref))
    return await w.owner.ask("CreateShare", request)


@case("rights of a folder for a file", "INVALID_ARGUMENT", v3="OK", why=MEMORY)
async def _(w: World) -> str:
    request = await w.share_request(await w.file(), w.marie, editor=True)
    request.grant.permissions.permissions.CopyFrom(permissions(FOLDER_EDITOR))
    return await w.owner.ask("CreateShare", request)


@case("what others shared with one, by an editor", "PERMISSION_DENIED", v3="OK", why=NO_ACLS)
async def _(w: World) -> str:
    ref = await w.file()
    await w.share(ref, w.marie, editor=True)
    request = await w.share_request(ref, w.richard, editor=False)
    return await w.marie.ask("CreateShare", request)


@case("what a stranger cannot see", "grpc INTERNAL", v3="OK", why=NO_ACLS)
async def _(w: World) -> str:
    return await w.richard.ask("CreateShare", await w.share_request(await w.file(), w.marie, editor=False))


# Seeing


@case("the shares of a file, as its owner and as others see them", [1, 0], v3=[1, 1], why=MEMORY)
async def _(w: World) -> list[int]:
    ref = await w.file()
    await w.share(ref, w.marie, editor=True)
    await w.share(await w.file(name="other"), w.marie, editor=True)
    return [len(await given(w.owner, ref)), len(await given(w.richard, ref))]


@case("one share by its id, and an unknown one", ["OK", "NOT_FOUND"], v3=["OK", "grpc UNKNOWN"], why=MEMORY)
async def _(w: World) -> list[str]:
    share = await w.share(await w.file(), w.marie, editor=True)
    unknown = sharing.ShareReference(id=sharing.ShareId(opaque_id="unknown"))
    return [await w.owner.ask("GetShare", api.GetShareRequest(ref=ref)) for ref in (ref_of(share), unknown)]


@case(
    "a received share waits to be accepted",
    ["pending", "einstein", "the file"],
    v3=["accepted", "einstein", "the file"],
    why=TAKEN,
)
async def _(w: World) -> Any:
    ref = await w.file()
    found = await received(w.marie, await w.share(ref, w.marie, editor=True))
    if found is None:
        return "not listed"
    states = {sharing.SHARE_STATE_PENDING: "pending", sharing.SHARE_STATE_ACCEPTED: "accepted"}
    owner = "einstein" if found.share.owner.opaque_id == w.owner.user.id.opaque_id else found.share.owner.opaque_id
    same = found.share.resource_id.opaque_id == ref.resource_id.opaque_id
    return [states.get(found.state, str(found.state)), owner, "the file" if same else "another"]


@case("nobody else receives it", None)
async def _(w: World) -> Any:
    return await received(w.richard, await w.share(await w.file(), w.marie, editor=True))


@case("accepted and declined", ["OK", "accepted", "OK", "rejected"])
async def _(w: World) -> list[str]:
    share = await w.share(await w.file(), w.marie, editor=True)
    names = {sharing.SHARE_STATE_ACCEPTED: "accepted", sharing.SHARE_STATE_REJECTED: "rejected"}
    seen = []
    for state in names:
        seen.append(await settle(w.marie, share, state))
        found = await received(w.marie, share)
        seen.append(names.get(found.state, str(found.state)) if found else "not listed")
    return seen


@case("an unknown share is not accepted", "NOT_FOUND", v3="INTERNAL", why=MEMORY)
async def _(w: World) -> str:
    return await settle(w.marie, sharing.Share(id=sharing.ShareId(opaque_id="unknown")), sharing.SHARE_STATE_ACCEPTED)


# What they let be done


@case("a receiver finds a file by id, accepted or not, and not by its path", ["OK", "NOT_FOUND"], v3=["OK", "OK"], why=NO_ACLS)
async def _(w: World) -> list[str]:
    ref = await w.file()
    await w.share(ref, w.marie, editor=False)
    return [await w.marie.seen(ref), await w.marie.seen(w.at("file.ipynb"))]


ALL_V3: Final = [
    "add_grant", "create_container", "delete", "get_path", "get_quota", "initiate_file_download", "initiate_file_upload",
    "list_container", "list_file_versions", "list_grants", "list_recycle", "move", "purge_recycle", "remove_grant",
    "restore_file_version", "restore_recycle_item", "stat", "update_grant",
]  # fmt: skip


@case("what Stat says that a viewer of a file may", sorted(VIEWER), v3=ALL_V3, why=NO_ACLS)
async def _(w: World) -> list[str]:
    ref = await w.file()
    await w.share(ref, w.marie, editor=False)
    return bits((await w.marie.stat(ref)).permission_set)


@case("what Stat says that an editor of a file may", sorted((*FILE_EDITOR, "move")), v3=ALL_V3, why=NO_ACLS)
async def _(w: World) -> list[str]:
    ref = await w.file()
    await w.share(ref, w.marie, editor=True)
    return bits((await w.marie.stat(ref)).permission_set)


@case(
    "what Stat says that an editor of a folder may, there and below", [sorted(FOLDER_EDITOR)] * 2, v3=[ALL_V3] * 2, why=NO_ACLS
)
async def _(w: World) -> list[list[str]]:
    folder = await w.dir()
    ref = await w.file(name="dir/file.ipynb")
    await w.share(folder, w.marie, editor=True)
    return [bits((await w.marie.stat(one)).permission_set) for one in (folder, ref)]


@case(
    "a viewer reads, and does not write, delete, move or touch metadata",
    ["first", "PERMISSION_DENIED", "PERMISSION_DENIED", "NOT_FOUND", "PERMISSION_DENIED"],
    v3=["first", "OK", "OK", "OK", "NOT_FOUND"],
    why=NO_ACLS,
)
async def _(w: World) -> list[str]:
    ref = await w.file()
    await w.share(ref, w.marie, editor=False)
    values = storage.ArbitraryMetadata(metadata={"a": "b"})
    request = files.SetArbitraryMetadataRequest(ref=ref, arbitrary_metadata=values)
    return [
        await w.marie.read(ref),
        await w.marie.may_upload(ref),
        await w.marie.ask("SetArbitraryMetadata", request),
        await w.marie.ask("Move", files.MoveRequest(source=ref, destination=w.at("moved.ipynb"))),
        await w.marie.ask("Delete", files.DeleteRequest(ref=ref)),
    ]


@case(
    "an editor of a file writes, and does not delete or move it",
    ["OK", "hers", "NOT_FOUND", "PERMISSION_DENIED"],
    v3=["OK", "hers", "OK", "NOT_FOUND"],
    why=NO_ACLS,
)
async def _(w: World) -> list[str]:
    ref = await w.file()
    await w.share(ref, w.marie, editor=True)
    return [
        await w.marie.upload(ref, b"hers", if_match=(await w.marie.stat(ref)).etag),
        await w.owner.read(ref),
        await w.marie.ask("Move", files.MoveRequest(source=ref, destination=w.at("moved.ipynb"))),
        await w.marie.ask("Delete", files.DeleteRequest(ref=ref)),
    ]


@case("an editor of a folder makes, writes, moves and deletes in it", ["OK", "OK", "OK", "OK", ["sub"]])
async def _(w: World) -> list[Any]:
    rid = (await w.dir()).resource_id
    await w.share(by_id(rid), w.marie, editor=True)
    move = files.MoveRequest(source=by_id(rid, "./new"), destination=by_id(rid, "./sub/moved"))
    return [
        await w.marie.upload(by_id(rid, "./new"), b"hers"),
        await w.marie.mkdir(by_id(rid, "./sub")),
        await w.marie.ask("Move", move),
        await w.marie.ask("Delete", files.DeleteRequest(ref=by_id(rid, "./sub/moved"))),
        await w.marie.names(by_id(rid)),
    ]


@case("an editor of a folder sees nothing beside it, and may delete it", ["NOT_FOUND", "OK"], v3=["OK", "OK"], why=NO_ACLS)
async def _(w: World) -> list[str]:
    folder, beside = await w.dir(), await w.file()
    await w.share(folder, w.marie, editor=True)
    return [await w.marie.seen(beside), await w.marie.ask("Delete", files.DeleteRequest(ref=folder))]


@case(
    "a viewer of a folder lists and reads in it, and makes nothing",
    [["file.ipynb"], "first", "PERMISSION_DENIED", "PERMISSION_DENIED"],
    v3=[["file.ipynb"], "first", "OK", "OK"],
    why=NO_ACLS,
)
async def _(w: World) -> list[Any]:
    rid = (await w.dir()).resource_id
    ref = await w.file(name="dir/file.ipynb")
    await w.share(by_id(rid), w.marie, editor=False)
    upload = await w.marie.may_upload(by_id(rid, "./new"))
    return [await w.marie.names(by_id(rid)), await w.marie.read(ref), upload, await w.marie.mkdir(by_id(rid, "./sub"))]


# Changing and ending


@case(
    "a viewer is made an editor and a viewer again",
    ["PERMISSION_DENIED", "OK", "OK", "OK", "PERMISSION_DENIED"],
    v3=["OK", "OK", "OK", "OK", "OK"],
    why=NO_ACLS,
)
async def _(w: World) -> list[str]:
    ref = await w.file()
    share = await w.share(ref, w.marie, editor=False)
    seen = [await w.marie.may_upload(ref)]
    for editor in (True, False):
        seen += [await update(w.owner, share, role(editor=editor)), await w.marie.may_upload(ref)]
    return seen


@case("the older way to change a share", "INTERNAL", v3="OK", why="the two lines read different fields")
async def _(w: World) -> str:
    share = await w.share(await w.file(), w.marie, editor=False)
    field = api.UpdateShareRequest.UpdateField(permissions=sharing.SharePermissions(permissions=role(editor=True)))
    return await w.owner.ask("UpdateShare", api.UpdateShareRequest(ref=ref_of(share), field=field))


@case("both ways at once, which every line understands", ["OK", True, "OK", True])
async def _(w: World) -> list[Any]:
    share = await w.share(await w.file(), w.marie, editor=False)
    until = types_pb2.Timestamp(seconds=int(time.time()) + 3600)
    held = sharing.SharePermissions(permissions=role(editor=True))
    seen: list[Any] = []
    for what, value in (("permissions", held), ("expiration", until)):
        changed = sharing.Share(id=share.id, **{what: value})
        field = api.UpdateShareRequest.UpdateField(**{what: value})
        request = api.UpdateShareRequest(ref=ref_of(share), share=changed, field=field, update_mask=FieldMask(paths=[what]))
        answer = await w.owner.ask("UpdateShare", request)
        now = (await w.owner.ok("GetShare", api.GetShareRequest(ref=ref_of(share)))).share
        seen += [answer, now.expiration == until if what == "expiration" else now.permissions.permissions.initiate_file_upload]
    return seen


@case(
    "the receiver does not change or end it",
    ["PERMISSION_DENIED", "PERMISSION_DENIED"],
    v3=["grpc UNKNOWN", "grpc UNKNOWN"],
    why=MEMORY,
)
async def _(w: World) -> list[str]:
    share = await w.share(await w.file(), w.marie, editor=False)
    changed = await update(w.marie, share, role(editor=True))
    return [changed, await w.marie.ask("RemoveShare", api.RemoveShareRequest(ref=ref_of(share)))]


@case(
    "a stranger does not find it to change or end it", ["INTERNAL", "INTERNAL"], v3=["grpc UNKNOWN", "grpc UNKNOWN"], why=MEMORY
)
async def _(w: World) -> list[str]:
    share = await w.share(await w.file(), w.marie, editor=True)
    ended = await w.richard.ask("RemoveShare", api.RemoveShareRequest(ref=ref_of(share)))
    return [await update(w.richard, share, role(editor=False)), ended]


@case("an ended share", ["OK", "NOT_FOUND", None, 0], v3=["OK", "OK", None, 0], why=NO_ACLS)
async def _(w: World) -> list[Any]:
    ref = await w.file()
    share = await w.share(ref, w.marie, editor=True)
    ended = await w.owner.ask("RemoveShare", api.RemoveShareRequest(ref=ref_of(share)))
    return [ended, await w.marie.seen(ref), await received(w.marie, share), len(await given(w.owner, ref))]


@case("an ended share is not ended twice", "INTERNAL", v3="grpc UNKNOWN", why=MEMORY)
async def _(w: World) -> str:
    share = await w.share(await w.file(), w.marie, editor=True)
    await w.owner.ok("RemoveShare", api.RemoveShareRequest(ref=ref_of(share)))
    return await w.owner.ask("RemoveShare", api.RemoveShareRequest(ref=ref_of(share)))


@case("a ticket from before the end, used after it", ["HTTP 200", "hers!"])
async def _(w: World) -> list[str]:
    ref = await w.file()
    share = await w.share(ref, w.marie, editor=True)
    granted = await w.marie.initiate(ref, 5)
    await w.owner.ok("RemoveShare", api.RemoveShareRequest(ref=ref_of(share)))
    return [str(await w.marie.send(granted, b"hers!")), await w.owner.read(ref)]


@case("an accepted file lies in the folder of shares", ["OK", "first"], v3=["NOT_FOUND", "nothing"], why=TAKEN)
async def _(w: World) -> list[str]:
    name = f"{w.folder.path.rpartition('/')[2]}.ipynb"
    share = await w.share(await w.file(name=name), w.marie, editor=True)
    await settle(w.marie, share, sharing.SHARE_STATE_ACCEPTED)
    path = by_path(f"{await w.here.home('marie')}/Shares/{name}")
    seen = await w.marie.seen(path)
    return [seen, await w.marie.read(path) if seen == "OK" else "nothing"]
