"""What browsing needs beyond the storage contract, on the embedded gateway."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

import pytest
from support.sites import Site, share_local

from cs3collab.cs3.files import Files
from cs3collab.errors import AlreadyExists, CollabError, Conflict, InvalidInput, LockHeld, NotAuthorized, NotFound, Overloaded
from cs3collab.types import Lock, NotLatest, Ref, Role


async def read(files: Files, ref: Ref) -> bytes:
    return await files.read(ref, max_bytes=2**20)


async def test_home_is_a_folder_and_its_path(running: Site, files: Files) -> None:
    home = await files.home()
    assert home == "/users/einstein-id"
    assert (await files.stat(Ref(home))).is_dir


async def test_a_folder_is_not_read_as_a_file(running: Site, files: Files) -> None:
    await running.put("einstein", "folder/a.ipynb", b"content")
    with pytest.raises(InvalidInput):
        await files.read(await running.ref("einstein", "folder"), max_bytes=100)


async def test_folders_list_what_is_in_them(running: Site, files: Files) -> None:
    await files.mkdir(await running.ref("einstein", "Größe"))
    await running.put("einstein", "Größe/a.ipynb", b"a")
    await running.put("einstein", "Größe/.hidden", b"")
    await files.mkdir(await running.ref("einstein", "Größe/sub folder"))
    folder = await files.stat(await running.ref("einstein", "Größe"))
    by_path = await files.list(await running.ref("einstein", "Größe"))
    assert {(i.name, i.is_dir, i.size) for i in by_path if not i.is_dir} == {("a.ipynb", False, 1), (".hidden", False, 0)}
    assert [i.name for i in by_path if i.is_dir] == ["sub folder"]
    assert {i.id for i in await files.list(Ref.of(folder.id))} == {i.id for i in by_path}
    assert all(i.parent_id == folder.id for i in by_path)
    child = await files.stat(Ref("./a.ipynb", folder.id))
    assert child.id == next(i.id for i in by_path if i.name == "a.ipynb")


async def test_whether_a_file_is_locked_its_stat_says_and_a_listing_does_not_ask(running: Site, files: Files) -> None:
    info = await running.put("einstein", "folder/a.ipynb", b"a")
    await files.set_lock(Ref.of(info.id), Lock("one", "office", None, time.time() + 60))
    (listed,) = await files.list(await running.ref("einstein", "folder"))
    seen = await files.stat(Ref.of(info.id))
    assert listed.lock is None
    assert seen.lock is not None
    assert listed == replace(seen, lock=None)


async def asked_for(files: Files, monkeypatch: pytest.MonkeyPatch, work: Awaitable[object]) -> list[str]:
    """The gateway's methods that `work` calls."""
    called, call = [], files.session.gateway.call

    async def recorded(method: str, *args: Any, **more: Any) -> Any:
        called.append(method)
        return await call(method, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(files.session.gateway, "call", recorded)
        await work
    return called


async def test_what_was_seen_a_moment_before_is_not_looked_at_again(
    running: Site, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = await running.put("einstein", "a.ipynb", b"a")
    ref = Ref.of(info.id)
    again = await asked_for(files, monkeypatch, files.write(ref, b"b", if_match=info.etag))
    assert again == ["Stat", "InitiateFileUpload"]
    info = await files.stat(ref)
    once = await asked_for(files, monkeypatch, files.write(ref, b"c", if_match=info.etag, seen=info))
    assert once == ["InitiateFileUpload"]
    assert await read(files, ref) == b"c"


async def test_who_saw_something_older_does_not_replace_what_is_there(running: Site, files: Files) -> None:
    info = await running.put("einstein", "a.ipynb", b"a")
    await files.write(Ref.of(info.id), b"newer")
    assert isinstance(await files.write(Ref.of(info.id), b"c", if_match=info.etag, seen=info), NotLatest)
    assert await read(files, Ref.of(info.id)) == b"newer"


async def test_a_long_listing_comes_whole(running: Site, files: Files) -> None:
    await files.mkdir(await running.ref("einstein", "many"))
    for n in range(120):
        await files.touch(await running.ref("einstein", f"many/{n:03}"))
    assert sorted(i.name for i in await files.list(await running.ref("einstein", "many"))) == [f"{n:03}" for n in range(120)]


async def test_making_what_is_there_is_refused_and_a_missing_parent_too(running: Site, files: Files) -> None:
    await files.mkdir(await running.ref("einstein", "folder"))
    await files.touch(await running.ref("einstein", "file"))
    with pytest.raises(AlreadyExists):
        await files.mkdir(await running.ref("einstein", "folder"))
    with pytest.raises(AlreadyExists):
        await files.mkdir(await running.ref("einstein", "file"))
    with pytest.raises(AlreadyExists):
        await files.touch(await running.ref("einstein", "file"))
    with pytest.raises((NotFound, Conflict)):
        await files.mkdir(await running.ref("einstein", "no/folder"))
    assert await read(files, await running.ref("einstein", "file")) == b""


async def test_a_moved_file_keeps_its_id_and_content_and_a_move_never_replaces(running: Site, files: Files) -> None:
    info = await running.put("einstein", "before.ipynb", b"content")
    await running.put("einstein", "other.ipynb", b"other")
    with pytest.raises(AlreadyExists):
        await files.move(await running.ref("einstein", "before.ipynb"), await running.ref("einstein", "other.ipynb"))
    await files.mkdir(await running.ref("einstein", "sub"))
    await files.move(await running.ref("einstein", "before.ipynb"), await running.ref("einstein", "sub/after.ipynb"))
    moved = await files.stat(Ref.of(info.id))
    assert (moved.id, moved.name) == (info.id, "after.ipynb")
    assert (await files.path_of(info.id)).endswith("/sub/after.ipynb")
    assert await read(files, await running.ref("einstein", "sub/after.ipynb")) == b"content"
    with pytest.raises(NotFound):
        await files.stat(await running.ref("einstein", "before.ipynb"))
    assert await read(files, await running.ref("einstein", "other.ipynb")) == b"other"


async def test_a_locked_file_is_deleted_and_moved_with_the_lock_s_id_only(running: Site, files: Files) -> None:
    info = await running.put("einstein", "locked.ipynb", b"content")
    ref = Ref.of(info.id)
    await files.set_lock(ref, Lock("room", "cs3collab", None, time.time() + 60))
    for call in (
        files.delete(ref),
        files.move(await running.ref("einstein", "locked.ipynb"), await running.ref("einstein", "away.ipynb")),
        files.set_metadata(ref, {"k": "v"}),
    ):
        with pytest.raises(LockHeld):
            await call
    await files.set_metadata(ref, {"k": "v"}, lock_id="room")
    await files.move(await running.ref("einstein", "locked.ipynb"), await running.ref("einstein", "away.ipynb"), lock_id="room")
    held = await files.get_lock(ref)
    assert held is not None
    assert held.lock_id == "room"
    await files.delete(ref, lock_id="room")
    with pytest.raises(NotFound):
        await files.stat(ref)


async def test_each_overwrite_leaves_a_version_that_can_be_read_and_restored(running: Site, files: Files) -> None:
    info = await running.put("einstein", "file.ipynb", b"one")
    ref = Ref.of(info.id)
    await files.write(ref, b"two - longer")
    await files.write(ref, b"three")
    versions = await files.versions(ref)
    contents = [await files.read_version(ref, v.key, max_bytes=2**20) for v in versions]
    assert sorted(contents) == [b"one", b"two - longer"]
    assert [v.size for v in versions] == [len(content) for content in contents]
    with pytest.raises(Overloaded):
        await files.read_version(ref, versions[contents.index(b"two - longer")].key, max_bytes=3)
    with pytest.raises(NotFound):
        await files.read_version(ref, "no such version", max_bytes=2**20)
    await files.restore_version(ref, versions[contents.index(b"one")].key)
    assert await read(files, ref) == b"one"
    assert (await files.stat(ref)).id == info.id


async def test_receivers_of_a_share_see_no_versions(running: Site, files: Files) -> None:
    info = await running.put("einstein", "file.ipynb", b"one")
    await files.write(Ref.of(info.id), b"two")
    await share_local(running, "einstein", "marie", "file.ipynb", Role.EDITOR)
    with pytest.raises(NotAuthorized):
        await (await running.files("marie")).versions(Ref.of(info.id))


async def test_metadata_is_kept_and_is_no_change_of_the_file(running: Site, files: Files) -> None:
    info = await running.put("einstein", "file.ipynb", b"content")
    ref = Ref.of(info.id)
    await files.set_metadata(ref, {"a": "1", "größe": "ß=&;"})
    await files.set_metadata(ref, {"a": "2"})
    seen = await files.stat(ref)
    assert (seen.metadata["a"], seen.metadata["größe"], seen.etag) == ("2", "ß=&;", info.etag)
    await files.unset_metadata(ref, ["a", "never set"])
    assert "a" not in (await files.stat(ref)).metadata


async def test_what_was_deleted_comes_back_with_its_id(running: Site, files: Files) -> None:
    info = await running.put("einstein", "file.ipynb", b"content")
    await files.delete(Ref.of(info.id))
    home = Ref(await files.home())
    (item,) = await files.recycled(home)
    assert (item.path.rpartition("/")[2], item.is_dir) == ("file.ipynb", False)
    assert item.deleted_at == pytest.approx(time.time(), abs=30)
    await running.put("einstein", "file.ipynb", b"another")
    with pytest.raises(AlreadyExists):
        await files.restore_recycled(home, item.key, await running.ref("einstein", "file.ipynb"))
    await files.restore_recycled(home, item.key, await running.ref("einstein", "back.ipynb"))
    assert (await files.stat(Ref.of(info.id))).name == "back.ipynb"
    assert await read(files, Ref.of(info.id)) == b"content"
    assert await files.recycled(home) == []


async def test_spaces_are_the_home_and_the_projects_one_is_in(running: Site, files: Files) -> None:
    spaces = {space.kind: space for space in await files.spaces()}
    assert set(spaces) == {"personal", "project", "virtual"}
    assert spaces["project"].name == "detector"
    assert spaces["project"].path == "/projects/detector"
    assert (await files.stat(Ref.of(spaces["project"].root))).is_dir
    await files.write(Ref("./shared.ipynb", spaces["project"].root), b"content")
    marie = await running.files("marie")
    assert (await marie.stat(Ref("/projects/detector/shared.ipynb"))).role is Role.VIEWER
    assert [space.kind for space in await (await running.files("richard")).spaces()] == ["personal", "virtual"]


async def test_errors_of_files_are_ours_and_on_one_line(running: Site, files: Files) -> None:
    with pytest.raises(CollabError) as caught:
        await files.list(await running.ref("einstein", "nowhere\nat all"))
    assert "\n" not in str(caught.value)
