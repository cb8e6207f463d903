"""The blobs of the store in a folder on CS3, on the embedded gateway."""

from __future__ import annotations

import asyncio

import pytest
from support.sites import Site

from cs3collab.cs3.blobs import CS3Blobs
from cs3collab.cs3.files import Files
from cs3collab.errors import NotAuthorized, NotFound, Overloaded
from cs3collab.types import Ref
from ystore.blobs import BlobStore
from ystore.errors import BlobConflict, BlobNotFound


@pytest.fixture
async def blobs(files: Files) -> BlobStore:
    return CS3Blobs(files, f"{await files.home()}/.cs3collab/store/room")


async def test_the_folder_is_made_with_the_first_blob(files: Files, blobs: BlobStore) -> None:
    assert await blobs.list("") == []
    with pytest.raises(BlobNotFound):
        await blobs.get("seg/1")
    await blobs.delete("seg/1")
    with pytest.raises(NotFound):
        await files.stat(Ref(f"{await files.home()}/.cs3collab"))
    await blobs.put("seg/0001-a.seg", b"content")
    assert await blobs.get("seg/0001-a.seg") == b"content"
    assert await blobs.list("") == ["seg/0001-a.seg"]


async def test_the_folder_may_be_named_by_its_id(running: Site, files: Files) -> None:
    root = next(space.root for space in await files.spaces() if space.kind == "project")
    blobs = CS3Blobs(files, Ref("./.store/room", root))
    await blobs.put("a/b/c", b"1")
    await blobs.put("a/d", b"2")
    assert await blobs.list("") == ["a/b/c", "a/d"]
    assert await files.read(Ref("/projects/detector/.store/room/a/b/c"), max_bytes=10) == b"1"
    top = CS3Blobs(files, Ref.of(root))
    await top.put("here", b"3")
    assert await top.get("here") == b"3"


@pytest.mark.parametrize("data", [b"", b"\x00", bytes(range(256)) * 8192])
async def test_a_blob_comes_back_as_it_was(blobs: BlobStore, data: bytes) -> None:
    await blobs.put("blob", data)
    assert await blobs.get("blob") == data


async def test_names_are_listed_by_prefix_and_in_order(blobs: BlobStore) -> None:
    for name in ("b/2", "a/1", "b/10", "b.x", "ba/1", "b/c/d/3", "c"):
        await blobs.put(name, b"")
    assert await blobs.list("b/") == ["b/10", "b/2", "b/c/d/3"]
    assert await blobs.list("b") == ["b.x", "b/10", "b/2", "b/c/d/3", "ba/1"]
    assert await blobs.list("b/c/d") == ["b/c/d/3"]
    assert await blobs.list("b/1") == ["b/10"]
    assert await blobs.list("x/") == []
    assert await blobs.list("") == sorted(["b/2", "a/1", "b/10", "b.x", "ba/1", "b/c/d/3", "c"])


async def test_a_blob_made_once_is_not_made_again(blobs: BlobStore) -> None:
    await blobs.put("seg/1", b"first", if_absent=True)
    with pytest.raises(BlobConflict):
        await blobs.put("seg/1", b"second", if_absent=True)
    assert await blobs.get("seg/1") == b"first"


async def test_a_note_is_changed_on_its_etag_only(blobs: BlobStore) -> None:
    with pytest.raises(BlobConflict):
        await blobs.put("note", b"0", if_match='"none"')
    with pytest.raises(BlobConflict):
        await blobs.put("no/folder/note", b"0", if_match='"none"')
    first = await blobs.put("note", b"1")
    second = await blobs.put("note", b"2", if_match=first)
    with pytest.raises(BlobConflict):
        await blobs.put("note", b"late", if_match=first)
    assert await blobs.get("note") == b"2"
    assert second != first


async def test_a_deleted_blob_is_gone_and_deleting_it_again_is_no_error(blobs: BlobStore) -> None:
    await blobs.put("seg/1", b"content")
    await blobs.delete("seg/1")
    await blobs.delete("seg/1")
    assert await blobs.list("") == []
    with pytest.raises(BlobNotFound):
        await blobs.get("seg/1")


async def test_a_reader_sees_one_whole_content_or_another(blobs: BlobStore) -> None:
    contents = [bytes([n]) * 2**20 for n in range(6)]
    await blobs.put("note", contents[0])
    seen: set[bytes] = set()
    writing = asyncio.ensure_future(_put_all(blobs, contents))
    while not writing.done():
        seen.add(await blobs.get("note"))
    await writing
    assert seen <= set(contents)
    assert await blobs.get("note") == contents[-1]


async def _put_all(blobs: BlobStore, contents: list[bytes]) -> None:
    for content in contents:
        await blobs.put("note", content)


async def test_first_writers_that_race_make_the_folder_together(files: Files) -> None:
    folder = f"{await files.home()}/.cs3collab/raced"
    stores = [CS3Blobs(files, folder) for _ in range(6)]
    await asyncio.gather(*(store.put(f"seg/{n}", b"x") for n, store in enumerate(stores)))
    assert await stores[0].list("seg/") == [f"seg/{n}" for n in range(6)]


@pytest.mark.parametrize("name", ["", "/", "a//b", "../a", "a/../b", ".hidden", "a/", "/a"])
async def test_names_that_could_leave_the_folder_are_refused(blobs: BlobStore, name: str) -> None:
    for call in (blobs.get(name), blobs.put(name, b""), blobs.delete(name)):
        with pytest.raises(ValueError, match="not a blob name"):
            await call


async def test_a_blob_past_the_bound_is_not_read(files: Files) -> None:
    blobs = CS3Blobs(files, Ref(await files.home()), max_bytes=3)
    await blobs.put("blob", b"1234")
    with pytest.raises(Overloaded):
        await blobs.get("blob")


async def test_where_one_may_not_write_nothing_is_put(running: Site) -> None:
    blobs = CS3Blobs(await running.files("marie"), Ref("/projects/detector/store"))
    with pytest.raises(NotAuthorized):
        await blobs.put("seg/1", b"content")
    assert await blobs.list("") == []
