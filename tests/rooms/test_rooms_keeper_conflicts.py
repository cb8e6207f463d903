"""What others wrote to the file is kept, whenever it comes."""

from __future__ import annotations

import pytest
from support.keeper_world import World, opened
from support.kept_room import (
    notebook_file,
    sit,
)
from support.memory_storage import ALICE, BOB, Fault, MemoryStorage

from cs3collab.types import Role


async def test_a_file_changed_by_others_is_kept_beside_before_it_is_replaced() -> None:
    async with opened() as world:
        await world.type("ours")
        world.at += 5
        world.site.overwrite(world.id, notebook_file("theirs"))
        result = await world.room.keeper.save(keep_version=False)
        assert world.file == ["one", "ours"]
        assert world.copies == {"n.conflict-2023-11-14T22-13-25-someone.ipynb": ["theirs"]}
        assert result.status == "success"
        assert "n.conflict-2023-11-14T22-13-25-someone.ipynb" in result.message
        assert world.room.status.problem == result.message
        await world.type("more")
        await world.save()
        assert len(world.copies) == 1
        assert world.file == ["one", "ours", "more"]


@pytest.mark.parametrize(
    "theirs", [b"", b"not a notebook", b"\xff\xfe\x00", b'{"cells": ['], ids=["empty", "text", "binary", "cut off"]
)
async def test_whatever_others_put_there_is_kept_byte_for_byte(theirs: bytes) -> None:
    async with opened() as world:
        await world.type("ours")
        world.site.overwrite(world.id, theirs)
        await world.save()
        kept = {name: content for name, content in world.site.files().items() if ".conflict-" in name}
        assert list(kept.values()) == [theirs]
        assert world.file == ["one", "ours"]


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
        await world.type("ours")
        world.site.overwrite(world.id, notebook_file("theirs"))
        await world.save()
        assert world.copies == {taken: ["something else"], taken.replace("someone", "someone-2"): ["theirs"]}


async def test_a_copy_whose_answer_was_lost_is_found_again() -> None:
    async with opened() as world:
        await world.type("ours")
        world.site.overwrite(world.id, notebook_file("theirs"))
        world.site.inject("write", Fault.LOST)
        assert await world.save() == "failed"
        assert await world.save() == "success"
        assert list(world.copies.values()) == [["theirs"]]


@pytest.mark.parametrize("operation", ["set_lock", "stat", "read", "write"])
async def test_a_change_at_any_moment_of_the_save_is_never_overwritten(operation: str) -> None:
    async with opened() as world:
        world.site.overwrite(world.id, notebook_file("first of theirs"))
        await world.type("ours")
        world.site.inject(operation, lambda: world.site.overwrite(world.id, notebook_file("second of theirs")))
        await world.save()
        assert await world.save() == "success"
        assert world.file == ["one", "ours"]
        assert ["second of theirs"] in world.copies.values()
        kept = [cell for copy in world.copies.values() for cell in copy]
        assert len(kept) == len(set(kept)), "one copy of each is enough"


async def test_a_change_right_after_the_write_is_noticed() -> None:
    async with opened() as world:
        await world.type("ours")
        world.site.inject("stat", lambda: None, lambda: world.site.overwrite(world.id, notebook_file("theirs")))
        assert await world.save() == "success"
        assert world.file == ["one", "ours"]
        assert list(world.copies.values()) == [["theirs"]]


async def test_nothing_is_overwritten_where_nobody_may_keep_a_copy_until_somebody_may() -> None:
    async with opened() as world:
        for user in (ALICE, BOB):
            world.site.folder_roles[user.key] = Role.VIEWER
        await world.type("ours")
        world.site.overwrite(world.id, notebook_file("theirs"))
        assert await world.save() == "failed"
        assert "nobody present may keep a copy" in world.room.status.problem
        assert world.file == ["theirs"]
        world.site.folder_roles.clear()
        sit(world.room, MemoryStorage(world.site, BOB))
        assert await world.save() == "success"
        assert (world.file, list(world.copies.values())) == (["one", "ours"], [["theirs"]])


async def test_a_receiver_who_does_not_see_the_folder_leaves_the_copy_to_one_who_does() -> None:
    world = World(notebook_file("one"))
    bob = MemoryStorage(world.site, BOB, sees_folder=False)
    await world.open(bob)
    await world.type("ours")
    world.site.overwrite(world.id, notebook_file("theirs"))
    assert await world.save() == "failed"
    assert world.file == ["theirs"]
    sit(world.room, world.alice)
    assert await world.save() == "success"
    assert (world.file, list(world.copies.values())) == (["one", "ours"], [["theirs"]])
    await world.room.tasks.cancel()


async def test_their_version_stays_where_nothing_here_is_unsaved() -> None:
    async with opened() as world:
        world.site.overwrite(world.id, notebook_file("theirs"))
        result = await world.room.keeper.save(keep_version=True)
        assert result.status == "failed"
        assert "stays as they left it" in result.message
        assert (world.file, world.copies) == (["theirs"], {})
