"""Uploads and downloads: conditions, races, tokens, versions."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from cs3.storage.provider.v1beta1 import provider_api_pb2 as api
from cs3.storage.provider.v1beta1 import resources_pb2 as storage
from gateway_client import Client, Sites, Started, by_id, by_path, code, until

FILE = by_path("/users/id-einstein/a.txt")


async def test_if_not_exist_lets_one_of_many_create(einstein: Client) -> None:
    granted = [await einstein.initiate(FILE, 2, if_not_exist=True) for _ in range(8)]
    answers = await asyncio.gather(*(einstein.send(g, b"%02d" % n) for n, g in enumerate(granted)))
    assert sorted(status for status, _ in answers) == [200] + [412] * 7
    assert code(await einstein.initiate(FILE, 2, if_not_exist=True)) == "ALREADY_EXISTS"


async def test_another_length_is_believed_and_what_was_there_is_a_version(einstein: Client) -> None:
    etag = await einstein.write(FILE, b"whole")
    granted = await einstein.initiate(FILE, 20)
    assert (await einstein.send(granted, b"short"))[0] == 200
    info = await einstein.stat(FILE)
    assert info.size == 20
    assert info.etag != etag
    with pytest.raises(aiohttp.ClientPayloadError):
        await einstein.fetch(FILE)
    assert [size for _, size in await versions(einstein)] == [5]


async def test_a_file_cut_short_is_as_long_as_it_is_once_another_program_writes_it(site: Started, einstein: Client) -> None:
    assert (await einstein.send(await einstein.initiate(FILE, 20), b"short"))[0] == 200
    (site.root / "users" / "id-einstein" / "a.txt").write_bytes(b"from a terminal")
    assert (await einstein.stat(FILE)).size == 15
    assert await einstein.read(FILE) == b"from a terminal"


async def test_an_upload_that_breaks_off_leaves_nothing(site: Started, einstein: Client) -> None:
    etag = await einstein.write(FILE, b"whole")
    offer = (await einstein.initiate(FILE, 1000)).protocols[0]
    host, port = offer.upload_endpoint.split("/")[2].split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = f"PUT /data HTTP/1.1\r\nHost: {host}\r\nX-Reva-Transfer: {offer.token}\r\nContent-Length: 1000\r\n\r\n"
    writer.write(head.encode() + b"half")
    await writer.drain()
    uploads = site.root / ".cs3" / "uploads"
    await until(lambda: bool(list(uploads.iterdir())))
    writer.transport.abort()
    await until(lambda: not list(uploads.iterdir()))
    assert (await einstein.stat(FILE)).etag == etag
    assert await einstein.read(FILE) == b"whole"


async def test_an_upload_without_a_length_is_of_nothing(einstein: Client) -> None:
    await einstein.write(FILE, b"before")
    granted = await einstein.initiate(FILE, None)
    assert (await einstein.send(granted, b"any"))[0] == 500
    assert await einstein.read(FILE) == b""
    assert [size for _, size in await versions(einstein)] == [6]


async def test_an_empty_file_is_done_with_the_asking(einstein: Client) -> None:
    await einstein.write(FILE, b"full")
    granted = await einstein.initiate(FILE, 0)
    assert (await einstein.stat(FILE)).size == 0
    assert (await einstein.send(granted, b""))[0] == 400


async def test_past_the_limit_nothing_is_stored(sites: Sites, site: Started) -> None:
    small = await sites.start(site.root.parent / "small", upload_bytes=1000)
    einstein = await small.user("einstein")
    granted = await einstein.initiate(FILE, 1001)
    assert (await einstein.send(granted, b"x" * 1001))[0] == 413
    assert await einstein.stat_code(FILE) == "NOT_FOUND"
    assert list((small.root / ".cs3" / "uploads").iterdir()) == []


async def test_a_transfer_needs_its_token_and_works_once(einstein: Client, site: Started) -> None:
    granted = await einstein.initiate(FILE, 1)
    url = granted.protocols[0].upload_endpoint
    for headers in ({}, {"X-Reva-Transfer": "nonsense"}, {"X-Reva-Transfer": einstein.token}):
        async with einstein.http.put(url, data=b"x", headers=headers) as answer:
            assert answer.status == 403
        async with einstein.http.get(url, headers=headers) as answer:
            assert answer.status == 403
    assert (await einstein.send(granted, b"1"))[0] == 200
    assert (await einstein.send(granted, b"2"))[0] == 500
    assert await einstein.read(FILE) == b"1"


async def test_a_download_token_cannot_upload_nor_the_reverse(einstein: Client) -> None:
    await einstein.write(FILE, b"x")
    up = (await einstein.initiate(FILE, 1)).protocols[0]
    down = (await einstein.ok("InitiateFileDownload", api.InitiateFileDownloadRequest(ref=FILE))).protocols[0]
    async with einstein.http.put(up.upload_endpoint, data=b"y", headers={"X-Reva-Transfer": down.token}) as answer:
        assert answer.status == 403
    async with einstein.http.get(down.download_endpoint, headers={"X-Reva-Transfer": up.token}) as answer:
        assert answer.status == 403


async def test_transfer_tokens_expire(sites: Sites, site: Started) -> None:
    hasty = await sites.start(site.root.parent / "hasty", transfer_lifetime_s=0)
    einstein = await hasty.user("einstein")
    granted = await einstein.initiate(FILE, 1)
    assert (await einstein.send(granted, b"x"))[0] == 403
    assert await einstein.stat_code(FILE) == "NOT_FOUND"


async def test_folders_are_no_files(einstein: Client) -> None:
    home = by_path("/users/id-einstein")
    assert code(await einstein.initiate(home, 1)) == "FAILED_PRECONDITION"
    assert await einstein.fetch(home) == (200, b"")
    await einstein.write(FILE, b"four")
    with pytest.raises(aiohttp.ClientPayloadError):
        await einstein.fetch(home)
    assert code(await einstein.initiate(by_path("/users/id-einstein/no/file"), 1)) == "FAILED_PRECONDITION"


async def test_who_lost_the_right_meanwhile_cannot_finish(site: Started, einstein: Client) -> None:
    await einstein.write(FILE, b"x")
    granted = await einstein.initiate(FILE, 1)
    info = await einstein.stat(FILE)
    await einstein.ok("Delete", api.DeleteRequest(ref=by_id(info.id)))
    assert (await einstein.send(granted, b"y"))[0] == 500


async def versions(client: Client) -> list[tuple[str, int]]:
    found = (await client.ok("ListFileVersions", api.ListFileVersionsRequest(ref=FILE))).versions
    return [(v.key, v.size) for v in found]


async def test_each_overwrite_leaves_a_version_that_can_be_read_and_restored(einstein: Client) -> None:
    for content in (b"1", b"22", b"333"):
        await einstein.write(FILE, content)
    found = await versions(einstein)
    assert [size for _, size in found] == [2, 1]
    info = await einstein.stat(FILE)
    rid = storage.ResourceId(storage_id=info.id.storage_id, space_id=info.id.space_id, opaque_id=found[1][0])
    assert await einstein.read(by_id(rid)) == b"1"
    await einstein.ok("RestoreFileVersion", api.RestoreFileVersionRequest(ref=FILE, key=found[1][0]))
    assert await einstein.read(FILE) == b"1"
    restored = await einstein.stat(FILE)
    assert restored.id == info.id
    assert restored.etag != info.etag
    assert [size for _, size in await versions(einstein)] == [3, 2, 1]
    await einstein.write(FILE, b"4444")
    assert await einstein.read(by_id(rid)) == b"1"
    unknown = api.RestoreFileVersionRequest(ref=FILE, key="../../a")
    assert code(await einstein.call("RestoreFileVersion", unknown)) == "NOT_FOUND"


async def test_a_version_of_another_is_not_for_everybody(einstein: Client, marie: Client) -> None:
    await einstein.write(FILE, b"1")
    await einstein.write(FILE, b"2")
    info = await einstein.stat(FILE)
    rid = storage.ResourceId(
        storage_id=info.id.storage_id, space_id=info.id.space_id, opaque_id=(await versions(einstein))[0][0]
    )
    assert (await marie.fetch(by_id(rid)))[0] == 404
    assert code(await marie.call("ListFileVersions", api.ListFileVersionsRequest(ref=by_id(info.id)))) == "NOT_FOUND"


async def test_the_recycle_bin_gives_back_what_was_deleted(site: Started, einstein: Client, marie: Client) -> None:
    home = by_path("/users/id-einstein")
    await einstein.write(FILE, b"gone")
    info = await einstein.stat(FILE)
    await einstein.ok("Delete", api.DeleteRequest(ref=FILE))
    assert await einstein.stat_code(FILE) == "NOT_FOUND"
    assert await einstein.stat_code(by_id(info.id)) == "NOT_FOUND"
    items = (await einstein.ok("ListRecycle", api.ListRecycleRequest(ref=home))).recycle_items
    assert [i.ref.path for i in items] == ["/a.txt"]
    key = items[0].key
    assert code(await marie.call("ListRecycle", api.ListRecycleRequest(ref=home))) == "NOT_FOUND"
    assert (
        code(await marie.call("PurgeRecycle", api.PurgeRecycleRequest(ref=by_path("/users/id-marie"), key=key))) == "NOT_FOUND"
    )
    nowhere = api.RestoreRecycleItemRequest(ref=home, key=key)
    assert code(await einstein.call("RestoreRecycleItem", nowhere)) == "INVALID_ARGUMENT"
    await einstein.write(FILE, b"new")
    back = api.RestoreRecycleItemRequest(ref=home, key=key, restore_ref=FILE)
    assert code(await einstein.call("RestoreRecycleItem", back)) == "ALREADY_EXISTS"
    back.restore_ref.CopyFrom(by_path("/users/id-einstein/b.txt"))
    await einstein.ok("RestoreRecycleItem", back)
    assert (await einstein.stat(by_path("/users/id-einstein/b.txt"))).id == info.id
    assert await einstein.read(by_id(info.id)) == b"gone"


async def test_purging_removes_for_good(site: Started, einstein: Client) -> None:
    home = by_path("/users/id-einstein")
    for name in ("a", "b"):
        await einstein.write(by_path(f"/users/id-einstein/{name}"), b"1")
        await einstein.write(by_path(f"/users/id-einstein/{name}"), b"2")
        await einstein.ok("Delete", api.DeleteRequest(ref=by_path(f"/users/id-einstein/{name}")))
    items = (await einstein.ok("ListRecycle", api.ListRecycleRequest(ref=home))).recycle_items
    await einstein.ok("PurgeRecycle", api.PurgeRecycleRequest(ref=home, key=items[0].key))
    left = (await einstein.ok("ListRecycle", api.ListRecycleRequest(ref=home))).recycle_items
    assert [i.key for i in left] == [items[1].key]
    await einstein.ok("PurgeRecycle", api.PurgeRecycleRequest(ref=home))
    assert list((site.root / ".cs3" / "trash").iterdir()) == []
    assert list((site.root / ".cs3" / "versions").iterdir()) == []
