"""Opening a document: file and store are compared, the history is begun, resumed, or brought up to what others wrote."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pycrdt
import pytest
from jupyter_ydoc import YNotebook
from support.kept_room import NEVER, SOON, Disk, DiskLog, edit_cell, listen, notebook_file, open_room, sit, sources, type_cell
from support.memory_storage import ALICE, MemorySite, MemoryStorage

from cs3collab.errors import Overloaded, StorageUnavailable
from cs3collab.limits import Limits
from cs3collab.merge import notebook
from cs3collab.rooms.authority import Authority
from cs3collab.rooms.opening import store_folder
from cs3collab.types import ResourceId


class Desk:
    """A file and the disk of its relay; `open` as after a restart."""

    def __init__(self, content: bytes, name: str = "n.ipynb") -> None:
        self.site = MemorySite(lambda: 1000.0)
        self.id: ResourceId = self.site.create(name, content)
        self.disk = Disk()
        self.storage = MemoryStorage(self.site, ALICE)

    async def open(self, limits: Limits = NEVER) -> Authority:
        return await open_room(self.storage, self.id, DiskLog(self.disk), limits=limits)

    async def content(self, room: Authority) -> list[str]:
        return sources((await room.document.render()).content)


async def test_opening_seeds_once_and_writes_nothing() -> None:
    desk = Desk(notebook_file("one"))
    room = await desk.open()
    assert (room.status.position, room.status.saved_position, desk.site.writes) == (1, 1, [])
    await room.close()
    again = await desk.open()
    assert (again.status.position, again.lineage, desk.site.writes) == (1, room.lineage, [])
    assert await desk.content(again) == ["one"]
    await again.close()


async def test_what_was_not_saved_is_there_after_a_restart() -> None:
    desk = Desk(notebook_file("one"))
    room = await desk.open()
    await type_cell(room, sit(room, desk.storage), "two")
    await room.tasks.cancel()  # as if killed
    again = await desk.open()
    assert await desk.content(again) == ["one", "two"]
    assert again.status.position > again.status.saved_position
    assert again.unsaved_s > 0
    await again.close()


async def test_a_file_that_others_changed_goes_on_in_the_same_history() -> None:
    """So that a copy that was offline meanwhile can be merged, instead of losing what was typed into it."""
    desk = Desk(notebook_file("one", "two"))
    room = await desk.open()
    offline: pycrdt.Doc[Any] = pycrdt.Doc()
    offline.apply_update(await room.document.diff(b""))
    await room.close()
    desk.site.overwrite(desk.id, notebook_file("one, by another app", "two"))
    again = await desk.open()
    assert again.lineage == room.lineage
    assert await desk.content(again) == ["one, by another app", "two"]
    assert again.status.saved_position == again.status.position
    before = offline.get_state()
    YNotebook(offline).ycells[1]["source"].insert(3, ", typed offline")
    await again.submit(sit(again, desk.storage), offline.get_update(before))
    assert await desk.content(again) == ["one, by another app", "two, typed offline"]
    await again.keeper.save(keep_version=False)
    assert sources(desk.site.content(desk.id)) == ["one, by another app", "two, typed offline"]
    assert list(desk.site.files()) == ["n.ipynb"]
    await again.close()


async def test_where_the_file_became_something_else_people_see_what_it_was_and_decide() -> None:
    desk = Desk(notebook_file("one"))
    room = await desk.open()
    await room.close()
    before = (desk.disk.updates.copy(), desk.disk.lineages)
    desk.site.overwrite(desk.id, b"not a notebook")
    again = await desk.open(SOON)
    sit(again, desk.storage)
    listener = listen(again)
    async with asyncio.timeout(20):
        while "plain text" not in again.status.problem:
            listener.news.clear()
            await listener.news.wait()
    assert await desk.content(again) == ["one"]
    assert (desk.disk.updates, desk.disk.lineages) == before
    assert desk.site.content(desk.id) == b"not a notebook"
    await again.keeper.save(keep_version=True)
    assert sources(desk.site.content(desk.id)) == ["one"]
    assert b"not a notebook" in desk.site.files().values()
    await again.close()


async def test_both_sides_changed_keeps_both() -> None:
    desk = Desk(notebook_file("one"))
    room = await desk.open()
    await edit_cell(room, sit(room, desk.storage), 0, "ours")
    await room.tasks.cancel()
    desk.site.overwrite(desk.id, notebook_file("theirs", "more of theirs"))
    again = await desk.open()
    assert await desk.content(again) == ["ours", "more of theirs"]
    sit(again, desk.storage)
    await again.keeper.save(keep_version=False)
    files = {name: sources(content) for name, content in desk.site.files().items()}
    assert files.pop("n.ipynb") == ["ours", "more of theirs"]
    assert list(files.values()) == [["theirs", "more of theirs"]]
    await again.close()


async def test_only_the_formatting_of_the_file_changed() -> None:
    desk = Desk(notebook_file("one"))
    room = await desk.open()
    await room.close()
    desk.site.overwrite(desk.id, notebook.serialize(notebook.parse(notebook_file("one"))))
    again = await desk.open()
    assert (again.lineage, again.status.position) == (room.lineage, room.status.position)
    await again.close()


async def test_text_files_are_opened_too() -> None:
    desk = Desk(b"hello", "a.txt")
    room = await desk.open()
    assert (await room.document.render()).content == b"hello"
    await room.close()
    desk.site.overwrite(desk.id, b"hello world")
    again = await desk.open()
    assert ((await again.document.render()).content, again.lineage) == (b"hello world", room.lineage)
    await again.close()


async def test_a_file_past_the_bound_is_refused_before_it_is_read() -> None:
    desk = Desk(notebook_file("x" * 100))
    with pytest.raises(Overloaded, match="bytes"):
        await desk.open(Limits(document_bytes=100))
    assert not desk.site.calls["read"]


async def test_storage_that_is_away_leaves_no_trace() -> None:
    desk = Desk(notebook_file("one"))
    desk.site.inject("read", lambda: (_ for _ in ()).throw(StorageUnavailable("away")))
    with pytest.raises(StorageUnavailable):
        await desk.open()
    assert (desk.disk.updates, desk.disk.meta) == ([], {})
    room = await desk.open()
    assert await desk.content(room) == ["one"]
    await room.close()


def test_folder_names_fit_every_file_system(tmp_path: Any) -> None:
    assert store_folder(tmp_path, "abc") == tmp_path / "rooms" / "abc"
    long = store_folder(tmp_path, "x" * 400)
    assert long.name == hashlib.sha256(b"x" * 400).hexdigest()
