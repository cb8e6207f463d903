"""Shares with a group: marie and richard are physicists."""

from __future__ import annotations

from typing import Any, Final

from conformance.cs3.cases import Area
from conformance.cs3.shares import MEMORY, NO_ACLS, TAKEN, received, ref_of, settle
from conformance.cs3.wire import Client, code
from conformance.cs3.world import World
from cs3.identity.group.v1beta1 import group_api_pb2 as groups
from cs3.identity.group.v1beta1 import resources_pb2 as group_types
from cs3.sharing.collaboration.v1beta1 import collaboration_api_pb2 as api
from cs3.sharing.collaboration.v1beta1 import resources_pb2 as sharing
from cs3.storage.provider.v1beta1 import resources_pb2 as storage

case = Area("groups")

PHYSICS: Final = "physics"


async def request(w: World, ref: Any, *, editor: bool, group: str = PHYSICS) -> Any:
    made = await w.share_request(ref, w.marie, editor=editor)
    grantee = storage.Grantee(type=storage.GRANTEE_TYPE_GROUP, group_id=group_types.GroupId(opaque_id=group))
    grantee.group_id.idp = w.owner.user.id.idp
    made.grant.grantee.CopyFrom(grantee)
    return made


async def give(w: World, ref: Any, *, editor: bool) -> Any:
    return (await w.owner.ok("CreateShare", await request(w, ref, editor=editor))).share


@case("a group by its id, and an unknown one", ["OK", "physics", "NOT_FOUND"])
async def _(w: World) -> list[str]:
    ids = [group_types.GroupId(opaque_id=name, idp=w.owner.user.id.idp) for name in (PHYSICS, "alchemy")]
    answers = [await w.owner.call("GetGroup", groups.GetGroupRequest(group_id=one)) for one in ids]
    return [code(answers[0]), answers[0].group.group_name, code(answers[1])]


@case("a share with a group", ["OK", "group", "physics"])
async def _(w: World) -> list[str]:
    answer = await w.owner.call("CreateShare", await request(w, await w.file(), editor=True))
    grantee = answer.share.grantee
    kind = "group" if grantee.type == storage.GRANTEE_TYPE_GROUP else str(grantee.type)
    return [code(answer), kind, grantee.group_id.opaque_id]


@case("the same group again", "ALREADY_EXISTS", v3="grpc UNKNOWN", why=MEMORY)
async def _(w: World) -> str:
    ref = await w.file()
    await give(w, ref, editor=False)
    return await w.owner.ask("CreateShare", await request(w, ref, editor=False))


@case("all who are in the group receive it, and nobody else", [True, True, False])
async def _(w: World) -> list[bool]:
    share = await give(w, await w.file(), editor=True)
    return [await received(client, share) is not None for client in (w.marie, w.richard, w.owner)]


@case("each of them takes it or not", ["OK", "accepted", "pending"], v3=["OK", "accepted", "accepted"], why=TAKEN)
async def _(w: World) -> list[str]:
    share = await give(w, await w.file(), editor=True)
    settled = await settle(w.marie, share, sharing.SHARE_STATE_ACCEPTED)
    return [settled, *[await _state(client, share) for client in (w.marie, w.richard)]]


async def _state(client: Client, share: Any) -> str:
    found = await received(client, share)
    names = {sharing.SHARE_STATE_ACCEPTED: "accepted", sharing.SHARE_STATE_PENDING: "pending"}
    return "not listed" if found is None else names.get(found.state, str(found.state))


@case(
    "a viewers' group reads, an editors' group writes",
    ["first", "PERMISSION_DENIED", "OK", "hers"],
    v3=["first", "OK", "OK", "hers"],
    why=NO_ACLS,
)
async def _(w: World) -> list[str]:
    seen, written = await w.file(), await w.file(name="other")
    await give(w, seen, editor=False)
    await give(w, written, editor=True)
    read = [await w.marie.read(seen), await w.marie.may_upload(seen)]
    return [*read, await w.marie.upload(written, b"hers"), await w.owner.read(written)]


@case("the greater of what the group and the person were given", "OK")
async def _(w: World) -> str:
    ref = await w.file()
    await give(w, ref, editor=False)
    await w.share(ref, w.marie, editor=True)
    return await w.marie.may_upload(ref)


@case("an ended share", ["OK", "NOT_FOUND", "not listed"], v3=["OK", "OK", "not listed"], why=NO_ACLS)
async def _(w: World) -> list[str]:
    ref = await w.file()
    share = await give(w, ref, editor=True)
    ended = await w.owner.ask("RemoveShare", api.RemoveShareRequest(ref=ref_of(share)))
    return [ended, await w.marie.seen(ref), await _state(w.marie, share)]


@case("a group that nobody knows", "OK")
async def _(w: World) -> str:
    return await w.owner.ask("CreateShare", await request(w, await w.file(), editor=False, group="alchemy"))
