"""Shares within one site."""

from __future__ import annotations

import time
from typing import Any

import pytest
from cs3.identity.group.v1beta1 import resources_pb2 as groups
from cs3.sharing.collaboration.v1beta1 import collaboration_api_pb2 as collaboration
from cs3.sharing.collaboration.v1beta1 import resources_pb2 as sharing
from cs3.storage.provider.v1beta1 import provider_api_pb2 as api
from cs3.storage.provider.v1beta1 import resources_pb2 as storage
from cs3.types.v1beta1 import types_pb2
from gateway_client import Client, Started, by_id, by_path, code, give, permissions
from google.protobuf.field_mask_pb2 import FieldMask

FILE = by_path("/users/id-einstein/a.txt")
SHARES = by_path("/users/id-marie/Shares")


@pytest.fixture
async def ref(einstein: Client) -> Any:
    await einstein.write(FILE, b"shared")
    return by_id((await einstein.stat(FILE)).id)


def by_share(share: Any) -> Any:
    return sharing.ShareReference(id=share.id)


async def accept(client: Client, share: Any, **more: Any) -> Any:
    received = sharing.ReceivedShare(share=share, state=sharing.SHARE_STATE_ACCEPTED, **more)
    request = collaboration.UpdateReceivedShareRequest(share=received, update_mask=FieldMask(paths=["state", *more]))
    return (await client.ok("UpdateReceivedShare", request)).share


async def test_a_viewer_reads_and_cannot_write_in_any_way(einstein: Client, marie: Client, ref: Any) -> None:
    assert await marie.stat_code(ref) == "NOT_FOUND"
    await give(einstein, marie, ref, editor=False)
    held = (await marie.stat(ref)).permission_set
    assert held == permissions(editor=False)
    assert await marie.read(ref) == b"shared"
    values = storage.ArbitraryMetadata(metadata={"a": "b"})
    for method, request in (
        ("InitiateFileUpload", api.InitiateFileUploadRequest(ref=ref)),
        ("SetArbitraryMetadata", api.SetArbitraryMetadataRequest(ref=ref, arbitrary_metadata=values)),
        ("Delete", api.DeleteRequest(ref=ref)),
        ("Move", api.MoveRequest(source=ref, destination=by_path("/users/id-marie/a.txt"))),
        ("ListFileVersions", api.ListFileVersionsRequest(ref=ref)),
        ("RestoreFileVersion", api.RestoreFileVersionRequest(ref=ref, key="x")),
        ("CreateShare", collaboration.CreateShareRequest(resource_info=await marie.stat(ref))),
    ):
        assert code(await marie.call(method, request)) == "PERMISSION_DENIED", method
    assert await einstein.read(ref) == b"shared"


async def test_an_editor_writes_and_still_cannot_delete_or_see_versions(einstein: Client, marie: Client, ref: Any) -> None:
    await give(einstein, marie, ref, editor=True)
    await marie.write(ref, b"marie's")
    assert await einstein.read(FILE) == b"marie's"
    assert code(await marie.call("Delete", api.DeleteRequest(ref=ref))) == "PERMISSION_DENIED"
    assert code(await marie.call("ListFileVersions", api.ListFileVersionsRequest(ref=ref))) == "PERMISSION_DENIED"


async def test_a_shared_folder_gives_its_children_and_not_its_neighbours(einstein: Client, marie: Client) -> None:
    for name in ("d", "d/e", "private"):
        await einstein.ok("CreateContainer", api.CreateContainerRequest(ref=by_path(f"/users/id-einstein/{name}")))
    folder = by_path("/users/id-einstein/d")
    await give(einstein, marie, folder, editor=True)
    root = (await einstein.stat(folder)).id
    assert await marie.stat_code(folder) == "NOT_FOUND"
    await marie.write(by_id(root, "./e/new.txt"), b"new")
    assert await marie.names(by_id(root)) == ["e"]
    await marie.ok("Move", api.MoveRequest(source=by_id(root, "./e/new.txt"), destination=by_id(root, "./moved.txt")))
    await marie.ok("Delete", api.DeleteRequest(ref=by_id(root, "./moved.txt")))
    assert await marie.stat_code(by_path("/users/id-einstein/private")) == "NOT_FOUND"
    assert await marie.stat_code(by_path("/users/id-einstein")) == "NOT_FOUND"
    assert not (await marie.stat(by_id(root))).HasField("parent_id")


async def test_an_accepted_share_is_mounted(einstein: Client, marie: Client, ref: Any) -> None:
    share = await give(einstein, marie, ref, editor=True)
    assert await marie.names(SHARES) == []
    received = (await marie.ok("ListReceivedShares", collaboration.ListReceivedSharesRequest())).shares
    assert [(r.share.id, r.state) for r in received] == [(share.id, sharing.SHARE_STATE_PENDING)]
    assert (await accept(marie, share)).mount_point.path == "a.txt"
    assert await marie.names(SHARES) == ["a.txt"]
    mounted = by_path("/users/id-marie/Shares/a.txt")
    assert (await marie.stat(mounted)).id == (await einstein.stat(ref)).id
    await marie.write(mounted, b"through the mount")
    assert await einstein.read(FILE) == b"through the mount"
    assert "Shares" in await marie.names(by_path("/users/id-marie"))
    assert (await marie.stat(SHARES)).type == storage.RESOURCE_TYPE_CONTAINER
    make = api.CreateContainerRequest(ref=SHARES)
    assert code(await marie.call("CreateContainer", make)) == "FAILED_PRECONDITION"
    again = (await marie.ok("GetReceivedShare", collaboration.GetReceivedShareRequest(ref=by_share(share)))).share
    assert again.state == sharing.SHARE_STATE_ACCEPTED


async def test_two_shares_of_one_name_get_two_mounts(einstein: Client, marie: Client, ref: Any) -> None:
    await einstein.ok("CreateContainer", api.CreateContainerRequest(ref=by_path("/users/id-einstein/d")))
    other = by_path("/users/id-einstein/d/a.txt")
    await einstein.write(other, b"other")
    await accept(marie, await give(einstein, marie, ref, editor=False))
    second = await give(einstein, marie, other, editor=False)
    assert (await accept(marie, second)).mount_point.path == "a (2).txt"
    assert await marie.read(by_path("/users/id-marie/Shares/a (2).txt")) == b"other"
    renamed = storage.Reference(path="mine.txt")
    assert (await accept(marie, second, mount_point=renamed)).mount_point.path == "mine.txt"
    assert await marie.names(SHARES) == ["a.txt", "mine.txt"]


async def test_changing_and_ending_a_share_acts_at_once(einstein: Client, marie: Client, ref: Any) -> None:
    share = await give(einstein, marie, ref, editor=True)
    granted = await marie.initiate(ref, 5)
    viewer = sharing.Share(id=share.id, permissions=sharing.SharePermissions(permissions=permissions(editor=False)))
    mask = FieldMask(paths=["permissions"])
    mine = collaboration.UpdateShareRequest(ref=by_share(share), share=viewer, update_mask=mask)
    assert code(await marie.call("UpdateShare", mine)) == "PERMISSION_DENIED"
    await einstein.ok("UpdateShare", mine)
    assert (await marie.send(granted, b"quick"))[0] == 200  # a ticket outlives the right it was given by
    assert code(await marie.initiate(ref, 1)) == "PERMISSION_DENIED"
    assert await marie.read(ref) == b"quick"
    assert code(await marie.call("RemoveShare", collaboration.RemoveShareRequest(ref=by_share(share)))) == "PERMISSION_DENIED"
    await einstein.ok("RemoveShare", collaboration.RemoveShareRequest(ref=by_share(share)))
    assert await marie.stat_code(ref) == "NOT_FOUND"
    assert (await marie.ok("ListReceivedShares", collaboration.ListReceivedSharesRequest())).shares == []


async def test_shares_end_when_they_expire(einstein: Client, marie: Client, ref: Any) -> None:
    share = await give(einstein, marie, ref, editor=True)
    ended = sharing.Share(id=share.id, expiration=types_pb2.Timestamp(seconds=int(time.time()) - 1))
    request = collaboration.UpdateShareRequest(share=ended, update_mask=FieldMask(paths=["expiration"]))
    await einstein.ok("UpdateShare", request)
    assert await marie.stat_code(ref) == "NOT_FOUND"


async def test_only_the_owner_lists_and_makes_shares(site: Started, einstein: Client, marie: Client, ref: Any) -> None:
    share = await give(einstein, marie, ref, editor=True)
    only = collaboration.ListSharesRequest(
        filters=[sharing.Filter(type=sharing.Filter.TYPE_RESOURCE_ID, resource_id=ref.resource_id)]
    )
    assert [s.id for s in (await einstein.ok("ListShares", only)).shares] == [share.id]
    other = sharing.Filter(type=sharing.Filter.TYPE_RESOURCE_ID, resource_id=storage.ResourceId(opaque_id="x"))
    assert (await einstein.ok("ListShares", collaboration.ListSharesRequest(filters=[other]))).shares == []
    assert (await marie.ok("ListShares", only)).shares == []
    moss = await site.user("moss")
    request = collaboration.GetShareRequest(ref=by_share(share))
    assert code(await moss.call("GetShare", request)) == "NOT_FOUND"
    assert (await einstein.ok("GetShare", request)).share == share
    remove = collaboration.RemoveShareRequest(ref=by_share(share))
    assert code(await moss.call("RemoveShare", remove)) == "INTERNAL"


async def test_shares_that_cannot_be(einstein: Client, marie: Client, ref: Any) -> None:
    info = await einstein.stat(ref)

    async def attempt(grantee: Any, held: Any) -> str:
        grant = sharing.ShareGrant(grantee=grantee, permissions=sharing.SharePermissions(permissions=held))
        return code(await einstein.call("CreateShare", collaboration.CreateShareRequest(resource_info=info, grant=grant)))

    to_marie = storage.Grantee(type=storage.GRANTEE_TYPE_USER, user_id=marie.user.id)
    assert await attempt(to_marie, permissions(editor=True, folder=True)) == "INVALID_ARGUMENT"
    assert await attempt(to_marie, storage.ResourcePermissions()) == "INVALID_ARGUMENT"
    assert await attempt(to_marie, storage.ResourcePermissions(stat=True, add_grant=True)) == "INVALID_ARGUMENT"
    assert await attempt(storage.Grantee(type=storage.GRANTEE_TYPE_USER), permissions(editor=False)) == "INVALID_ARGUMENT"
    assert await attempt(to_marie, permissions(editor=False)) == "OK"
    assert await attempt(to_marie, permissions(editor=True)) == "ALREADY_EXISTS"


async def test_a_share_with_a_group_is_for_its_members(site: Started, einstein: Client, marie: Client, ref: Any) -> None:
    grant = sharing.ShareGrant(
        grantee=storage.Grantee(type=storage.GRANTEE_TYPE_GROUP, group_id=groups.GroupId(opaque_id="physics")),
        permissions=sharing.SharePermissions(permissions=permissions(editor=False)),
    )
    info = await einstein.stat(ref)
    await einstein.ok("CreateShare", collaboration.CreateShareRequest(resource_info=info, grant=grant))
    assert await marie.read(ref) == b"shared"
    moss = await site.user("moss")
    assert await moss.stat_code(ref) == "NOT_FOUND"
