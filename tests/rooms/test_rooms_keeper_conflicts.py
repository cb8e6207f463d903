"""What others wrote to the file is kept, whenever it comes."""

from __future__ import annotations

import contextlib
import json
import re
import time
from dataclasses import replace

import pytest
from jupyter_ydoc import YNotebook
from support.keeper_world import World, opened
from support.kept_room import NEVER, edit_book, notebook_file, sit
from support.memory_storage import ALICE, BOB, Crash, Fault, MemoryStorage, foreign_lock

from cs3collab.errors import UpdateRejected
from cs3collab.limits import Limits
from cs3collab.rooms.saving import Looks
from cs3collab.types import Role

LOOKS = Limits(idle_save_s=1e6, busy_save_s=1e6, recheck_s=1e6, look_s=0.01)


THEIRS = ["one, by someone else"]
"""The cell that we change too."""


async def conflicting(world: World) -> None:
    """Both change the same line."""
    await world.edit(0, "one, by us")
    world.site.overwrite(world.id, notebook_file(*THEIRS))


async def test_what_others_added_is_merged() -> None:
    async with opened() as world:
        await world.type("ours")
        world.site.overwrite(world.id, notebook_file("one", "theirs"))
        assert await world.save() == "success"
        assert sorted(world.file) == ["one", "ours", "theirs"]
        assert await world.live() == world.file
        assert (world.copies, world.problem, await world.notes()) == ({}, "", [])
        assert world.room.status.saved_position == world.log.position


async def test_where_both_changed_a_line_ours_stays_and_theirs_is_kept() -> None:
    async with opened() as world:
        world.at += 5
        await conflicting(world)
        result = await world.room.keeper.save(keep_version=False)
        copy = "n.conflict-2023-11-14T22-13-25-someone.ipynb"
        assert (world.file, world.copies) == (["one, by us"], {copy: THEIRS})
        assert result.status == "success"
        assert copy in result.message
        assert world.room.status.problem == result.message
        (note,) = await world.notes()
        assert note == {"cell": "cell-0", "kind": "source", "theirs": THEIRS[0], "copy": copy, "at": world.at, "who": ""}
        await world.type("more")
        await world.save()
        assert (world.file, len(world.copies), len(await world.notes())) == (["one, by us", "more"], 1, 1)


async def test_who_has_the_lock_is_named_as_who_changed_the_file() -> None:
    async with opened() as world:
        world.at = time.time()
        await world.edit(0, "one, by us")
        world.site.steal_lock(world.id, foreign_lock(world.at + 60, holder=BOB))
        assert await world.save() == "failed"
        await conflicting(world)
        world.site.steal_lock(world.id, None)
        await world.save()
        assert world.problem.startswith("The file was changed by Bob Away (bob), and one change conflicts with yours")
        (copy,) = world.copies
        assert copy.endswith("-Bob-Away-bob.ipynb")
        assert [note["who"] for note in await world.notes()] == ["Bob Away (bob)"]


async def test_the_notice_of_a_copy_ends_though_nobody_saves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cs3collab.rooms.keeper.NOTICE_S", 0.1)
    async with opened(limits=LOOKS) as world:
        await conflicting(world)
        await world.save()
        assert "kept as" in world.problem
        await world.until(lambda status: not status.problem)


async def test_what_did_not_conflict_is_merged_beside_what_did() -> None:
    async with opened() as world:
        await world.edit(0, "one, by us")
        world.site.overwrite(world.id, notebook_file(*THEIRS, "and more of theirs"))
        await world.save()
        assert world.file == ["one, by us", "and more of theirs"]
        assert list(world.copies.values()) == [[*THEIRS, "and more of theirs"]]


async def test_theirs_comes_in_and_stays_as_it_is_where_nothing_here_is_unsaved() -> None:
    async with opened() as world:
        theirs = notebook_file("theirs")
        world.site.overwrite(world.id, theirs)
        assert (await world.room.keeper.save(keep_version=True)).status == "success"
        assert (await world.live(), world.site.content(world.id), world.copies) == (["theirs"], theirs, {})
        assert world.room.status.saved_position == world.log.position


async def test_others_are_noticed_while_nobody_types() -> None:
    async with opened(limits=LOOKS) as world:
        world.site.overwrite(world.id, notebook_file("one", "theirs"))
        await world.until_live(["one", "theirs"])
        assert not world.site.writes


async def test_a_viewer_alone_sees_what_others_wrote() -> None:
    world = World(notebook_file("one"), limits=LOOKS)
    world.site.roles[ALICE.key] = Role.VIEWER
    await world.open(role=Role.VIEWER)
    world.site.overwrite(world.id, notebook_file("theirs"))
    await world.until_live(["theirs"])
    assert not world.site.writes
    await world.room.tasks.cancel()


async def test_looking_gets_seldom_while_nothing_happens() -> None:
    limits = Limits(look_s=5, idle_look_s=60)
    looks, now, intervals = Looks(limits, 0), 0.0, []
    for _ in range(10):
        looks = looks.looked(now, changed=False)
        intervals.append(looks.at - now)
        now = looks.at
    assert intervals[0] == 5
    assert intervals == sorted(intervals)
    assert intervals[-1] == 60
    assert looks.sooner(now - 30).at == now - 25
    assert looks.looked(now, changed=True).at == now + 5


BROKEN = pytest.mark.parametrize(
    ("theirs", "reason"),
    [
        pytest.param(b"", "emptied", id="empty"),
        pytest.param(b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "emptied", id="no cells"),
        pytest.param(b"not a notebook", "plain text", id="text"),
        pytest.param(b"\xff\xfe\x00", "not UTF-8", id="binary"),
        pytest.param(b'{"cells": [', "not JSON", id="cut off"),
    ],
)


@BROKEN
async def test_a_file_that_is_none_any_more_waits_for_people(theirs: bytes, reason: str) -> None:
    async with opened() as world:
        await world.type("ours")
        world.site.overwrite(world.id, theirs)
        await world.room.keeper.finish()  # nobody asked for this save
        assert world.site.content(world.id) == theirs
        assert await world.live() == ["one", "ours"]
        assert reason in world.problem
        assert "when you save" in world.problem
        assert await world.save() == "success"
        assert world.file == ["one", "ours"]
        kept = [content for name, content in world.site.files().items() if ".conflict-" in name]
        assert kept == ([theirs] if theirs else [])


@BROKEN
async def test_people_get_it_back_though_nothing_was_unsaved(theirs: bytes, reason: str) -> None:
    async with opened() as world:
        world.site.overwrite(world.id, theirs)
        await world.room.keeper.finish()
        assert world.site.content(world.id) == theirs
        assert await world.save() == "success"
        assert world.file == ["one"]


@pytest.mark.parametrize("theirs", [["one"], ["one", "ours"]], ids=["as before", "as here"])
async def test_no_copy_of_what_is_the_same_notebook(theirs: list[str]) -> None:
    async with opened() as world:
        await world.type("ours")
        rendered = (await world.room.document.render()).content if len(theirs) == 2 else notebook_file("one") + b"\n"
        world.site.overwrite(world.id, rendered)
        assert await world.save() == "success"
        assert world.file == ["one", "ours"]
        assert not world.copies
        assert world.room.status.saved_position == world.log.position


async def test_the_name_of_a_copy_that_is_taken_is_not_overwritten() -> None:
    async with opened() as world:
        taken = "n.conflict-2023-11-14T22-13-20-someone.ipynb"
        world.site.create(taken, notebook_file("something else"))
        await conflicting(world)
        await world.save()
        assert world.copies == {taken: ["something else"], taken.replace("someone", "someone-2"): THEIRS}


async def test_a_copy_whose_answer_was_lost_is_found_again() -> None:
    async with opened() as world:
        await conflicting(world)
        world.site.inject("write", Fault.LOST)
        assert await world.save() == "failed"
        assert await world.save() == "success"
        assert list(world.copies.values()) == [THEIRS]


@pytest.mark.parametrize("operation", ["set_lock", "stat", "read", "write"])
async def test_a_change_at_any_moment_of_the_save_is_never_overwritten(operation: str) -> None:
    async with opened() as world:
        world.site.overwrite(world.id, notebook_file("one", "first of theirs"))
        await world.type("ours")
        world.site.inject(operation, lambda: world.site.overwrite(world.id, notebook_file("one", "second of theirs")))
        await world.save()
        assert await world.save() == "success"
        kept = {cell for copy in world.copies.values() for cell in copy}
        assert {"one", "ours", "second of theirs"} <= {*world.file, *kept}
        assert len(world.file) == len(set(world.file))


async def test_a_change_right_after_the_write_is_noticed() -> None:
    async with opened() as world:
        await world.type("ours")
        world.site.inject("stat", lambda: None, lambda: world.site.overwrite(world.id, notebook_file("one", "theirs")))
        assert await world.save() == "success"
        assert sorted(world.file) == ["one", "ours", "theirs"]


async def test_the_copy_goes_home_where_the_folder_cannot_be_written() -> None:
    async with opened() as world:
        world.site.folder_roles[ALICE.key] = Role.VIEWER
        await conflicting(world)
        result = await world.room.keeper.save(keep_version=False)
        assert world.file == ["one, by us"]
        (home,) = [name for name in world.site.files() if name.startswith("/home/alice/n.conflict-")]
        assert world.copies[home] == THEIRS
        assert "in the home of Alice" in result.message
        (note,) = await world.notes()
        assert note["copy"] == ""


async def test_nothing_is_overwritten_where_nobody_may_keep_a_copy_until_somebody_may() -> None:
    world = World(notebook_file("one"))
    bob = MemoryStorage(world.site, BOB, sees_folder=False)
    await world.open(bob)
    await conflicting(world)
    assert await world.save() == "failed"
    assert "nobody present may keep a copy" in world.room.status.problem
    assert world.file == THEIRS
    sit(world.room, world.alice)
    assert await world.save() == "success"
    assert (world.file, list(world.copies.values())) == (["one, by us"], [THEIRS])
    await world.room.tasks.cancel()


async def test_what_was_merged_and_then_deleted_here_does_not_come_back() -> None:
    async with opened() as world:
        await world.type("ours")
        world.site.overwrite(world.id, notebook_file("one", "theirs"))
        world.site.inject("write", Fault.DOWN)
        assert await world.save() == "failed"
        assert "theirs" in await world.live()
        await world.delete("theirs")
        assert await world.save() == "success"
        assert world.file == ["one", "ours"]


async def test_merging_twice_after_a_crash_changes_nothing_more() -> None:
    async with opened() as world:
        await world.type("ours")
        world.site.overwrite(world.id, notebook_file("one", "theirs"))
        world.disk.crash_on_meta = 1
        with contextlib.suppress(Crash):
            await world.save()
        await world.crash()
        await world.open()
        merged = await world.live()
        assert sorted(merged) == ["one", "ours", "theirs"]
        assert await world.save() == "success"
        assert (world.file, world.copies) == (merged, {})


async def test_text_is_merged_by_line() -> None:
    async with opened(content=b"a\nb\nc\n", name="n.md") as world:
        await world.write(b"a\nb\nc, by us\n")
        world.site.overwrite(world.id, b"a, by someone else\nb\nc\n")
        assert await world.save() == "success"
        assert world.site.content(world.id) == b"a, by someone else\nb\nc, by us\n"
        await world.write(b"ours\nb\nc, by us\n")
        world.site.overwrite(world.id, b"theirs\nb\nc, by us\n")
        assert await world.save() == "success"
        assert world.site.content(world.id) == b"ours\nb\nc, by us\n"
        (copy,) = [content for name, content in world.site.files().items() if ".conflict-" in name]
        assert copy == b"theirs\nb\nc, by us\n"
        (note,) = await world.notes()
        assert (note["cell"], note["kind"]) == ("", "source")


@pytest.mark.parametrize("theirs", [b"", b" \n", b"\xff\xfe"])
async def test_a_text_that_is_none_any_more_waits_for_people(theirs: bytes) -> None:
    async with opened(content=b"a\nb\n", name="n.md") as world:
        world.site.overwrite(world.id, theirs)
        await world.room.keeper.finish()
        assert world.site.content(world.id) == theirs
        assert await world.save() == "success"
        assert world.site.content(world.id) == b"a\nb\n"


async def test_an_old_copy_written_back_does_not_stay_in_the_file_for_what_was_saved() -> None:
    """Nothing of it is new, so nothing changes here: all the more it has to be written again."""
    async with opened() as world:
        await world.type("ours")
        assert await world.save() == "success"
        world.site.overwrite(world.id, notebook_file("one"))
        assert await world.save() == "success"
        assert await world.live() == world.file == ["one", "ours"]
        world.site.overwrite(world.id, notebook_file("one"))
        await world.crash()
        await world.open()
        assert await world.live() == ["one", "ours"]
        assert world.room.status.saved_position < world.log.position
        assert await world.save() == "success"
        assert world.file == ["one", "ours"]


async def test_the_same_conflict_again_is_written_over_again() -> None:
    async with opened() as world:
        await conflicting(world)
        await world.save()
        world.site.overwrite(world.id, notebook_file(*THEIRS))
        await world.save()
        assert await world.live() == world.file == ["one, by us"]


async def test_a_change_too_large_for_an_edit_waits_for_people_and_the_document_opens() -> None:
    limits = Limits(idle_save_s=1e6, busy_save_s=1e6, recheck_s=1e6, look_s=1e6, update_bytes=2000)
    async with opened(limits=limits) as world:
        large = notebook_file("one", "x" * 5000)
        world.site.overwrite(world.id, large)
        await world.room.keeper.look()
        says = re.compile(r"takes an edit of 5,\d\d\d bytes, and at most 2,000 are")  # random client ids are of several lengths
        assert says.search(world.problem)
        assert "what is here stays, and is written again when you save; what is there now is then kept" in world.problem
        assert "raise update_bytes" in world.problem
        await world.type("two")
        assert world.site.content(world.id) == large
        await world.crash()
        await world.open()
        await world.until(lambda status: says.search(status.problem) is not None)
        assert await world.live() == ["one", "two"]
        assert await world.save() == "success"
        assert (world.file, list(world.copies.values())) == (["one", "two"], [["one", "x" * 5000]])
        assert "kept as n.conflict-" in world.problem


async def test_a_version_too_large_for_an_edit_is_not_brought_in_and_who_brings_it_is_told_why() -> None:
    async with opened(limits=replace(NEVER, update_bytes=3000)) as world:
        theirs = notebook_file("one", *("é" for _ in range(28)))
        assert len(theirs) <= 3000
        with pytest.raises(UpdateRejected, match=r"takes an edit of 3,\d\d\d bytes, and at most 3,000 .*raise update_bytes"):
            await world.room.merge(world.seat, theirs)
        assert await world.live() == ["one"]


async def test_people_get_into_a_document_that_is_no_valid_notebook_though_the_file_changed() -> None:
    async with opened() as world:

        def spoil(book: YNotebook) -> None:
            del book.ycells[0]["source"]

        await edit_book(world.room, world.seat, spoil)
        assert await world.save() == "failed"
        world.site.overwrite(world.id, notebook_file("one", "theirs"))
        await world.crash()
        await world.open()
        assert await world.save() == "failed"
        assert world.file == ["one", "theirs"]


def old_notebook(*cells: str) -> bytes:
    """Of nbformat 4.4: only the document knows which cell is which."""
    book = json.loads(notebook_file(*cells))
    for cell in book["cells"]:
        del cell["id"]
    return json.dumps({**book, "nbformat_minor": 4}).encode()


async def work_between_blank_cells(world: World) -> None:
    """The first is deleted, and one of two equal cells is written into."""
    await edit_book(world.room, world.seat, lambda book: book.ycells.pop(0))
    await world.edit(2, "a, by us")


ALIKE = ["", "a", "", "a", ""]


async def test_an_old_notebook_merged_twice_after_a_crash_stays() -> None:
    async with opened(old_notebook(*ALIKE)) as world:
        await work_between_blank_cells(world)
        world.site.overwrite(world.id, old_notebook("theirs", "", *ALIKE))
        world.disk.crash_on_meta = 1
        with contextlib.suppress(Crash):
            await world.save()
        merged = ["theirs", "", "a", "", "a, by us", ""]
        assert await world.live() == merged
        await world.crash()
        await world.open()
        assert await world.live() == merged
        assert await world.save() == "success"
        assert (world.file, world.copies) == (merged, {})


@pytest.mark.parametrize("restarted", [False, True])
async def test_every_version_of_an_old_notebook_that_cannot_be_written_is_merged_once(restarted: bool) -> None:
    async with opened(old_notebook(*ALIKE)) as world:
        await work_between_blank_cells(world)
        for theirs in (["1", *ALIKE], ["1", *ALIKE, "2"], ["1", *ALIKE, "2", "3"]):
            world.site.overwrite(world.id, old_notebook(*theirs))
            world.site.inject("write", Fault.DOWN)
            assert await world.save() == "failed"
            assert await world.live() == ["1", "a", "", "a, by us", *theirs[5:]]
            if restarted:
                await world.crash()
                await world.open()
        assert (await world.save(), world.file[4:], world.copies) == ("success", ["", "2", "3"], {})


async def test_what_was_merged_last_is_the_base_with_the_cells_it_became() -> None:
    """Of two equal ones that others added, the second is deleted here, and the first written into there."""
    async with opened(old_notebook("a")) as world:
        await world.edit(0, "a, by us")
        world.site.overwrite(world.id, old_notebook("a", "x = 1", "x = 1"))
        world.site.inject("write", Fault.DOWN)
        assert await world.save() == "failed"
        assert await world.live() == ["a, by us", "x = 1", "x = 1"]
        await edit_book(world.room, world.seat, lambda book: book.ycells.pop(2))
        world.site.overwrite(world.id, old_notebook("a", "x = 1, theirs", "x = 1"))
        assert await world.save() == "success"
        assert (world.file, await world.notes()) == (["a, by us", "x = 1, theirs"], [])
