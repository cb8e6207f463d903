"""When the keeper saves, with whose token, and what it says."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from itertools import pairwise

from support import kept_room
from support.keeper_world import opened
from support.kept_room import (
    NEVER,
    SOON,
    HereDocument,
    sit,
)
from support.memory_storage import BOB, MemoryStorage

from cs3collab.rooms.ports import Rendered
from cs3collab.types import Capabilities, Role


async def test_a_save_writes_the_edits_under_the_lock_and_says_who_and_when() -> None:
    async with opened() as world:
        await world.type("two")
        result = await world.room.keeper.save(keep_version=True)
        assert world.file == ["one", "two"]
        assert (result.status, result.etag, result.position) == ("success", world.site.etag(world.id), world.log.position)
        assert world.site.writes == [("alice", "n.ipynb", True)]
        assert world.site.lock_of(world.id)
        status = world.room.status
        assert (status.saved_by, status.etag, status.problem) == ("Alice Home (alice)", result.etag, "")
        assert status.saved_position == status.position
        assert world.disk.meta["saved_position"] == str(world.log.position)
        assert world.disk.meta["attempted_digest"] == ""


async def test_opening_and_saving_without_an_edit_never_writes_nor_locks() -> None:
    async with opened() as world:
        assert await world.save() == "success"
        await world.room.keeper.finish()
        assert not world.site.calls["write"]
        assert not world.site.calls["set_lock"]


async def test_what_was_typed_and_taken_back_is_not_written() -> None:
    async with opened() as world:
        before = await world.room.document.render()
        await kept_room.mark_dirty(world.room, world.seat)
        assert (await world.room.document.render()).digest == before.digest
        await world.room.keeper.finish()
        assert not world.site.calls["write"]
        assert world.room.status.saved_position == world.log.position


async def test_the_dirty_flag_and_the_hash_go_with_the_save_and_are_no_edit_to_be_saved() -> None:
    async with opened() as world:
        await world.type("two")
        await kept_room.mark_dirty(world.room, world.seat)
        await world.save()
        assert isinstance(world.room.document, HereDocument)
        state = world.room.document.y._doc.get("state", type=kept_room.pycrdt.Map).to_py()
        assert state["dirty"] is False
        assert state["hash"] == hashlib.sha256(world.site.content(world.id)).hexdigest()
        assert not state.get("path")  # stock frontends take a change of it for a rename
        assert world.room.status.saved_position == world.log.position == int(world.disk.meta["saved_position"])
        await world.crash()
        await world.open()
        assert world.log.position == world.room.status.saved_position


async def test_autosave_after_a_pause_without_being_asked() -> None:
    async with opened(limits=SOON) as world:
        await world.type("two")
        await world.until(lambda status: status.saved_position >= 2)
        assert world.file == ["one", "two"]
        assert world.site.writes[-1] == ("alice", "n.ipynb", False)


async def test_where_each_save_leaves_a_version_autosaves_keep_their_distance_and_people_do_not_wait() -> None:
    async with opened(limits=replace(SOON, versioned_save_s=0.5)) as world:
        world.capabilities = Capabilities(quiet=False)
        times = []
        for word in ("two", "three", "four"):
            await world.type(word)
            await world.until(lambda status: status.saved_position == status.position)
            times.append(asyncio.get_running_loop().time())
        assert len(world.site.writes) == 3
        assert all(later - earlier > 0.45 for earlier, later in pairwise(times))
    async with opened(limits=replace(SOON, versioned_save_s=1e6)) as world:
        world.capabilities = Capabilities(quiet=False)
        await world.type("two")
        await world.until(lambda status: status.saved_position == status.position)
        await world.type("three")
        assert await world.save() == "success"
        await world.type("four")
        world.room.leave(world.seat)
        await world.until(lambda status: status.saved_position == status.position)
        assert world.file == ["one", "two", "three", "four"]


async def test_when_the_last_editor_leaves_it_is_saved_at_once_and_later_unlocked() -> None:
    limits = replace(NEVER, lease_grace_s=0.02)
    async with opened(limits=limits) as world:
        bystander = sit(world.room, MemoryStorage(world.site, BOB), Role.VIEWER)
        unlocking = asyncio.Event()
        world.site.inject("unlock", unlocking.set)
        await world.type("two")
        world.room.leave(world.seat)
        await world.until(lambda status: status.saved_position == world.log.position)
        assert world.file == ["one", "two"]
        async with asyncio.timeout(20):
            await unlocking.wait()
        assert world.site.lock_of(world.id) is None
        assert bystander.number in world.room.seats


async def test_closing_the_room_saves_unlocks_and_does_not_wait() -> None:
    async with opened() as world:
        await world.type("two")
        async with asyncio.timeout(10):  # of 30 s of grace
            await world.room.close()
        assert world.file == ["one", "two"]
        assert world.site.lock_of(world.id) is None
        assert await world.save() == "failed"


async def test_many_who_ask_at_once_get_one_save() -> None:
    async with opened() as world:
        await world.type("two")
        keeper = world.room.keeper
        results = await asyncio.gather(*(keeper.save(keep_version=n == 3) for n in range(10)))
        assert {r.status for r in results} == {"success"}
        assert world.site.writes == [("alice", "n.ipynb", True)]


async def test_an_edit_that_comes_while_it_renders_is_not_taken_for_saved() -> None:
    async with opened() as world:
        await world.type("two")
        render = world.room.document.render

        async def slow_render() -> Rendered:
            rendered = await render()
            world.room.document.render = render  # type: ignore[method-assign]
            await world.type("late")
            return rendered

        world.room.document.render = slow_render  # type: ignore[method-assign]
        await world.save()
        assert world.file == ["one", "two"]
        assert world.room.status.saved_position < world.log.position
        await world.save()
        assert world.file == ["one", "two", "late"]
        assert world.room.status.saved_position == world.log.position


async def test_the_token_of_the_latest_unsaved_edit_writes() -> None:
    async with opened() as world:
        bob = sit(world.room, MemoryStorage(world.site, BOB))
        await world.type("two")
        await world.type("three", bob)
        await world.save()
        assert world.room.status.saved_by == "Bob Away (bob)"
        world.site.roles[BOB.key] = Role.VIEWER
        await world.type("four", bob)
        await world.save()
        assert world.room.status.saved_by == "Alice Home (alice)"
        assert world.file == ["one", "two", "three", "four"]
