"""Another version of a document comes in that is not the file: of a copy that parted, or what another program kept aside."""

from __future__ import annotations

import asyncio
import json

import pytest
from support.keeper_world import opened
from support.kept_room import notebook_file, sit
from support.memory_storage import BOB, MemoryStorage

from cs3collab.errors import InvalidInput, NotANotebook, NotAuthorized, Overloaded
from cs3collab.types import Role


async def test_with_its_base_it_is_merged_like_the_file() -> None:
    async with opened(content=notebook_file("one", "two")) as world:
        await world.edit(0, "one, by us")
        before = world.log.position
        merged = await world.room.merge(world.seat, notebook_file("one"), notebook_file("one", "two"))
        assert (merged.conflicts, merged.copy, merged.position) == (0, "", world.log.position)
        assert merged.position > before
        assert await world.live() == ["one, by us"]
        assert await world.save() == "success"
        assert (world.file, world.copies) == (["one, by us"], {})


async def test_without_a_base_nothing_counts_as_deleted() -> None:
    async with opened(content=notebook_file("a\nb", "two")) as world:
        await world.edit(0, "a\nours\nb")
        merged = await world.room.merge(world.seat, notebook_file("a\nb\ntheirs"))
        assert merged.conflicts == 0
        assert await world.live() == ["a\nours\nb\ntheirs", "two"]


async def test_what_conflicts_is_kept_beside_and_noted_with_who_brought_it() -> None:
    async with opened() as world:
        await world.edit(0, "ours")
        bob = sit(world.room, MemoryStorage(world.site, BOB))
        merged = await world.room.merge(bob, notebook_file("bob's"), notebook_file("one"))
        assert merged.conflicts == 1
        assert world.copies == {merged.copy: ["bob's"]}
        (note,) = await world.notes()
        assert (note["who"], note["theirs"], note["copy"]) == (BOB.label, "bob's", merged.copy)
        assert await world.live() == ["ours"]


async def test_a_version_that_is_a_file_already_is_not_kept_twice() -> None:
    async with opened() as world:
        await world.edit(0, "ours")
        merged = await world.room.merge(world.seat, notebook_file("theirs"), notebook_file("one"), "n-conflict.ipynb")
        assert (merged.copy, world.copies) == ("n-conflict.ipynb", {})
        (note,) = await world.notes()
        assert note["copy"] == "n-conflict.ipynb"


async def test_the_same_again_changes_nothing() -> None:
    async with opened() as world:
        for _ in range(2):
            merged = await world.room.merge(world.seat, notebook_file("one", "theirs"))
        assert await world.live() == ["one", "theirs"]
        assert merged.position == world.log.position == 2


async def test_it_is_an_edit_of_who_brought_it() -> None:
    async with opened() as world:
        bob = sit(world.room, MemoryStorage(world.site, BOB))
        await world.room.merge(bob, notebook_file("one", "bob's"))
        assert bob.last_edit == world.log.position
        await world.save()
        assert world.room.status.saved_by == BOB.label


@pytest.mark.parametrize("theirs", [b"no notebook", json.dumps([]).encode()])
async def test_what_is_no_notebook_is_refused(theirs: bytes) -> None:
    async with opened() as world:
        with pytest.raises(NotANotebook):
            await world.room.merge(world.seat, theirs)
        assert await world.live() == ["one"]


async def test_viewers_bring_nothing() -> None:
    async with opened() as world:
        viewer = sit(world.room, MemoryStorage(world.site, BOB), Role.VIEWER)
        with pytest.raises(NotAuthorized):
            await world.room.merge(viewer, notebook_file("theirs"))
        assert await world.live() == ["one"]


async def test_text_without_a_base() -> None:
    async with opened(content=b"a\nb\n", name="n.md") as world:
        merged = await world.room.merge(world.seat, b"a\ntheirs\nb\n")
        assert (merged.conflicts, (await world.room.document.render()).content) == (0, b"a\ntheirs\nb\n")


async def test_who_lost_the_right_while_it_waited_brings_nothing() -> None:
    async with opened() as world:
        bob = sit(world.room, MemoryStorage(world.site, BOB))
        async with world.room.keeper._busy:
            asked = asyncio.create_task(world.room.merge(bob, notebook_file("one", "bob's")))
            await asyncio.sleep(0)
            world.room.set_role(bob, Role.VIEWER, "no more")
        with pytest.raises(NotAuthorized):
            await asked
        assert await world.live() == ["one"]


@pytest.mark.parametrize("copy", ["a/b", "x" * 256, "new\nline"])
async def test_what_is_no_name_of_a_copy_is_refused(copy: str) -> None:
    async with opened() as world:
        with pytest.raises(InvalidInput):
            await world.room.merge(world.seat, notebook_file("one"), copy=copy)


async def test_versions_are_bounded_in_size_and_number() -> None:
    async with opened() as world:
        with pytest.raises(Overloaded):
            await world.room.merge(world.seat, b"x" * (world.limits.update_bytes + 1))
        async with world.room.keeper._busy:
            asked = [asyncio.create_task(world.room.merge(world.seat, notebook_file("one"))) for _ in range(8)]
            refused = [task for task in asked if isinstance(await settled(task), Overloaded)]
        assert len(refused) == 4
        await asyncio.gather(*asked, return_exceptions=True)


async def settled(task: asyncio.Task[object]) -> BaseException | None:
    """Its error once it is there; None for one that waits."""
    await asyncio.wait([task], timeout=0.05)
    return task.exception() if task.done() else None
