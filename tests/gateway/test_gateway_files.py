"""Files over a real channel: references, permissions, ids, etags, metadata, spaces."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from cs3.storage.provider.v1beta1 import provider_api_pb2 as api
from cs3.storage.provider.v1beta1 import resources_pb2 as storage
from cs3.storage.provider.v1beta1 import spaces_api_pb2 as spaces
from gateway_client import Client, Sites, Started, by_id, by_path, code

HOME = "/users/id-einstein"


async def test_what_was_written_is_read_by_path_and_by_id(einstein: Client) -> None:
    etag = await einstein.write(by_path(f"{HOME}/a.ipynb"), b"hello")
    info = await einstein.stat(by_path(f"{HOME}/a.ipynb"))
    assert (info.etag, info.size, info.name, info.mime_type) == (etag, 5, "a.ipynb", "application/octet-stream")
    assert info.type == storage.RESOURCE_TYPE_FILE
    assert info.owner.opaque_id == "id-einstein"
    assert info.permission_set.initiate_file_upload
    assert info.permission_set.add_grant
    assert await einstein.read(by_path(f"{HOME}/a.ipynb")) == b"hello"
    assert await einstein.read(by_id(info.id)) == b"hello"
    home = await einstein.stat(by_path(HOME))
    assert info.parent_id == home.id
    assert await einstein.read(by_id(home.id, "./a.ipynb")) == b"hello"
    assert (await einstein.stat(by_id(home.id, "./a.ipynb"))).id == info.id


async def test_the_plain_file_is_on_disk(site: Started, einstein: Client) -> None:
    await einstein.write(by_path(f"{HOME}/a.txt"), b"plain")
    assert (site.root / "users" / "id-einstein" / "a.txt").read_bytes() == b"plain"


async def test_every_write_gives_a_new_etag_even_of_the_same_bytes(einstein: Client) -> None:
    ref = by_path(f"{HOME}/a.txt")
    etags = {await einstein.write(ref, b"same") for _ in range(5)}
    assert len(etags) == 5


async def test_a_foreign_write_on_disk_changes_the_etag_and_keeps_the_id(site: Started, einstein: Client) -> None:
    ref = by_path(f"{HOME}/a.txt")
    await einstein.write(ref, b"ours")
    before = await einstein.stat(ref)
    file = site.root / "users" / "id-einstein" / "a.txt"
    temp = file.with_name("temp")
    temp.write_bytes(b"theirs")
    os.replace(temp, file)
    after = await einstein.stat(by_id(before.id))
    assert after.id == before.id
    assert after.etag != before.etag
    assert await einstein.read(ref) == b"theirs"


async def test_a_change_below_shows_in_every_folder_above(einstein: Client) -> None:
    await einstein.ok("CreateContainer", api.CreateContainerRequest(ref=by_path(f"{HOME}/d")))
    await einstein.ok("CreateContainer", api.CreateContainerRequest(ref=by_path(f"{HOME}/d/e")))
    before = [(await einstein.stat(by_path(p))).etag for p in (HOME, f"{HOME}/d", f"{HOME}/d/e")]
    await einstein.write(by_path(f"{HOME}/d/e/a.txt"), b"x")
    after = [(await einstein.stat(by_path(p))).etag for p in (HOME, f"{HOME}/d", f"{HOME}/d/e")]
    assert all(a != b for a, b in zip(before, after, strict=True))


async def test_ids_survive_moves_of_the_file_and_of_its_folder(einstein: Client) -> None:
    await einstein.ok("CreateContainer", api.CreateContainerRequest(ref=by_path(f"{HOME}/d")))
    await einstein.write(by_path(f"{HOME}/a.txt"), b"x")
    info = await einstein.stat(by_path(f"{HOME}/a.txt"))
    for source, target in (("a.txt", "d/b.txt"), ("d", "e")):
        request = api.MoveRequest(source=by_path(f"{HOME}/{source}"), destination=by_path(f"{HOME}/{target}"))
        await einstein.ok("Move", request)
    moved = await einstein.stat(by_path(f"{HOME}/e/b.txt"))
    assert (moved.id, moved.etag) == (info.id, info.etag)
    path = await einstein.ok("GetPath", api.GetPathRequest(resource_id=info.id))
    assert path.path == "/e/b.txt"


async def test_a_foreign_rename_on_disk_keeps_the_id(site: Started, einstein: Client) -> None:
    await einstein.write(by_path(f"{HOME}/a.txt"), b"x")
    info = await einstein.stat(by_path(f"{HOME}/a.txt"))
    home = site.root / "users" / "id-einstein"
    (home / "a.txt").rename(home / "b.txt")
    assert (await einstein.stat(by_id(info.id))).name == "b.txt"


async def test_codes_of_what_cannot_be_done(einstein: Client) -> None:
    await einstein.write(by_path(f"{HOME}/a.txt"), b"x")
    await einstein.ok("CreateContainer", api.CreateContainerRequest(ref=by_path(f"{HOME}/d")))

    async def said(method: str, request: Any) -> str:
        return code(await einstein.call(method, request))

    into_itself = api.MoveRequest(source=by_path(f"{HOME}/d"), destination=by_path(f"{HOME}/d/d"))
    assert await said("Move", into_itself) == "FAILED_PRECONDITION"
    assert await said("Stat", api.StatRequest(ref=by_path("relative"))) == "INVALID_ARGUMENT"
    project = api.MoveRequest(source=by_path(f"{HOME}/a.txt"), destination=by_path("/projects/lhc/a.txt"))
    assert await said("Move", project) == "UNIMPLEMENTED"
    assert await said("Delete", api.DeleteRequest(ref=by_path(HOME))) == "PERMISSION_DENIED"


async def test_touch_makes_an_empty_file(einstein: Client) -> None:
    await einstein.ok("TouchFile", api.TouchFileRequest(ref=by_path(f"{HOME}/empty")))
    assert (await einstein.stat(by_path(f"{HOME}/empty"))).size == 0
    assert await einstein.read(by_path(f"{HOME}/empty")) == b""


@pytest.mark.parametrize("path", ["/users/id-einstein/a.txt", "/users/id-einstein", "/users/nobody", "/nowhere", "/.cs3"])
async def test_another_user_sees_nothing(einstein: Client, marie: Client, path: str) -> None:
    await einstein.write(by_path(f"{HOME}/a.txt"), b"secret")
    assert await marie.stat_code(by_path(path)) == "NOT_FOUND"
    assert code(await marie.initiate(by_path(path), 1)) in ("NOT_FOUND", "FAILED_PRECONDITION", "PERMISSION_DENIED")
    status, _ = await marie.fetch(by_path(path))
    assert status == 404


async def test_another_user_sees_nothing_by_id(einstein: Client, marie: Client) -> None:
    await einstein.write(by_path(f"{HOME}/a.txt"), b"secret")
    info = await einstein.stat(by_path(f"{HOME}/a.txt"))
    for ref in (by_id(info.id), by_id(info.parent_id, "./a.txt"), by_id(info.parent_id)):
        assert await marie.stat_code(ref) == "NOT_FOUND"
    assert (await marie.fetch(by_id(info.id)))[0] == 404


@pytest.mark.parametrize("path", ["../id-marie/a.txt", "d/../../id-marie/a.txt", "..", "../../.cs3/index.sqlite"])
async def test_paths_cannot_climb(einstein: Client, marie: Client, path: str) -> None:
    await marie.write(by_path("/users/id-marie/a.txt"), b"marie's")
    home = await einstein.stat(by_path(HOME))
    assert await einstein.stat_code(by_path(f"{HOME}/{path}/a.txt")) == "NOT_FOUND"
    for ref in (by_id(home.id, f"./{path}"), by_id(home.id, path)):
        assert await einstein.stat_code(ref) == "INVALID_ARGUMENT"
        assert code(await einstein.initiate(ref, 3)) == "INVALID_ARGUMENT"
        move = api.MoveRequest(source=by_path(f"{HOME}/x"), destination=ref)
        await einstein.write(by_path(f"{HOME}/x"), b"x")
        assert code(await einstein.call("Move", move)) == "INVALID_ARGUMENT"


async def test_symbolic_links_do_not_exist(site: Started, einstein: Client, marie: Client) -> None:
    await marie.write(by_path("/users/id-marie/a.txt"), b"marie's")
    home = site.root / "users" / "id-einstein"
    (home / "file").symlink_to(site.root / "users" / "id-marie" / "a.txt")
    (home / "folder").symlink_to(site.root / "users" / "id-marie")
    (home / "out").symlink_to("/etc")
    assert await einstein.names(by_path(HOME)) == ["Shares"]
    for path in ("file", "folder", "folder/a.txt", "out/passwd"):
        assert await einstein.stat_code(by_path(f"{HOME}/{path}")) == "NOT_FOUND"
        assert (await einstein.fetch(by_path(f"{HOME}/{path}")))[0] == 404
    granted = await einstein.initiate(by_path(f"{HOME}/folder/new.txt"), 1)
    assert code(granted) != "OK"
    assert not (site.root / "users" / "id-marie" / "new.txt").exists()


async def test_a_link_put_in_place_after_the_upload_began_is_not_followed(site: Started, einstein: Client) -> None:
    outside = site.root.parent / "outside"
    outside.write_bytes(b"outside")
    granted = await einstein.initiate(by_path(f"{HOME}/a.txt"), 3)
    (site.root / "users" / "id-einstein" / "a.txt").symlink_to(outside)
    await einstein.send(granted, b"new")
    assert outside.read_bytes() == b"outside"


async def test_names_that_are_none(einstein: Client) -> None:
    for name in ("x" * 300, "a\0b"):
        assert await einstein.stat_code(by_path(f"{HOME}/{name}")) == "INVALID_ARGUMENT"


async def test_metadata_travels_with_stat_and_leaves_the_etag(einstein: Client) -> None:
    ref = by_path(f"{HOME}/a.txt")
    etag = await einstein.write(ref, b"x")
    values = storage.ArbitraryMetadata(metadata={"one": "1", "two": "2"})
    await einstein.ok("SetArbitraryMetadata", api.SetArbitraryMetadataRequest(ref=ref, arbitrary_metadata=values))
    info = await einstein.stat(ref)
    assert dict(info.arbitrary_metadata.metadata) == {"one": "1", "two": "2"}
    assert info.etag == etag
    only = await einstein.ok("Stat", api.StatRequest(ref=ref, arbitrary_metadata_keys=["two"]))
    assert dict(only.info.arbitrary_metadata.metadata) == {"two": "2"}
    unset = api.UnsetArbitraryMetadataRequest(ref=ref, arbitrary_metadata_keys=["one", "missing"])
    await einstein.ok("UnsetArbitraryMetadata", unset)
    assert dict((await einstein.stat(ref)).arbitrary_metadata.metadata) == {"two": "2"}
    huge = storage.ArbitraryMetadata(metadata={"big": "x" * 100_000})
    refused = await einstein.call("SetArbitraryMetadata", api.SetArbitraryMetadataRequest(ref=ref, arbitrary_metadata=huge))
    assert code(refused) == "INVALID_ARGUMENT"


async def test_homes_and_spaces(einstein: Client, marie: Client) -> None:
    assert (await einstein.ok("GetHome", api.GetHomeRequest())).path == HOME
    await einstein.ok("CreateHome", api.CreateHomeRequest())
    found = (await einstein.ok("ListStorageSpaces", spaces.ListStorageSpacesRequest())).storage_spaces
    assert [(s.space_type, s.opaque.map["path"].value.decode()) for s in found] == [
        ("personal", HOME),
        ("project", "/projects/lhc"),
        ("virtual", ""),
    ]
    one = spaces.ListStorageSpacesRequest.Filter(
        type=spaces.ListStorageSpacesRequest.Filter.TYPE_SPACE_TYPE, space_type="project"
    )
    projects = (await marie.ok("ListStorageSpaces", spaces.ListStorageSpacesRequest(filters=[one]))).storage_spaces
    assert [s.name for s in projects] == ["lhc"]
    assert (await marie.stat(by_id(projects[0].root))).type == storage.RESOURCE_TYPE_CONTAINER


async def test_members_of_a_project_have_their_role(site: Started, einstein: Client, marie: Client) -> None:
    ref = by_path("/projects/lhc/a.txt")
    await einstein.write(ref, b"project")
    assert await marie.read(ref) == b"project"
    assert not (await marie.stat(ref)).permission_set.initiate_file_upload
    assert code(await marie.initiate(ref, 1)) == "PERMISSION_DENIED"
    moss = await site.user("moss")
    assert await moss.stat_code(ref) == "NOT_FOUND"
    assert await moss.names(by_path("/projects")) == []


async def test_the_loop_answers_while_a_large_file_is_sent(site: Started, einstein: Client) -> None:
    size = 40 * 2**20
    granted = await einstein.initiate(by_path(f"{HOME}/large"), size)
    sending = asyncio.create_task(einstein.send(granted, bytes(size)))
    asked = 0
    while not sending.done():
        await einstein.stat(by_path(HOME))
        asked += 1
    assert (await sending)[0] == 200
    assert asked > 5
    assert (await einstein.stat(by_path(f"{HOME}/large"))).size == size


async def test_one_gateway_serves_a_root(sites: Sites, site: Started) -> None:
    from cs3collab.errors import Unavailable

    with pytest.raises(Unavailable, match="another gateway"):
        await sites.start(site.root)
