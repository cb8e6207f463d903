import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from support import kept_room
from support.kept_room import (
    NEVER,
    SOON,
    Disk,
    DiskLog,
    HereDocument,
    Listener,
    drop_cells,
    notebook_file,
    sit,
    sources,
    type_cell,
)
from support.memory_storage import ALICE, BOB, Crash, Fault, MemorySite, MemoryStorage, foreign_lock

from cs3collab.limits import Limits
from cs3collab.rooms.authority import Authority
from cs3collab.rooms.ports import Rendered
from cs3collab.rooms.room import Seat
from cs3collab.types import Lock, Role, RoomStatus

START = 1_700_000_000.0


class World:
    """One file at one site, the authority that has it open, and Alice, who sits in it."""

    def __init__(self, content: bytes, *, name: str = "n.ipynb", limits: Limits = NEVER, locks: bool = True) -> None:
        self.at = START
        self.site = MemorySite(lambda: self.at, locks=locks)
        self.id = self.site.create(name, content)
        self.disk = Disk()
        self.limits = limits
        self.alice = MemoryStorage(self.site, ALICE)
        self.room: Authority
        self.seat: Seat

    async def open(self, storage: MemoryStorage | None = None) -> None:
        storage = storage or self.alice
        self.log = DiskLog(self.disk)
        self.room = await kept_room.open_room(storage, self.id, self.log, limits=self.limits, clock=lambda: self.at)
        self.seat = sit(self.room, storage)

    async def crash(self) -> None:
        """kill -9: the lock stays, nothing is said to anybody."""
        self.log.dead = self.alice.dead = True
        await self.room.tasks.cancel()
        self.alice = MemoryStorage(self.site, ALICE)

    async def type(self, source: str, seat: Seat | None = None) -> None:
        await type_cell(self.room, seat or self.seat, source)

    async def save(self) -> str:
        return (await self.room.keeper.save(keep_version=False)).status

    async def until(self, holds: Callable[[RoomStatus], bool]) -> None:
        listener = Listener()
        self.room.live(listener)
        async with asyncio.timeout(20):
            while not holds(self.room.status):
                listener.news.clear()
                await listener.news.wait()

    @property
    def file(self) -> list[str]:
        return sources(self.site.content(self.id))

    @property
    def copies(self) -> dict[str, list[str]]:
        return {name: sources(content) for name, content in self.site.files().items() if ".conflict-" in name}

    @property
    def problem(self) -> str:
        return self.room.keeper.state.problem


@contextlib.asynccontextmanager
async def opened(**options: object) -> AsyncIterator[World]:
    world = World(notebook_file("one"), **options)  # type: ignore[arg-type]
    await world.open()
    try:
        yield world
    finally:
        await world.room.tasks.cancel()


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


async def test_the_dirty_flag_goes_with_the_save_and_is_no_edit_to_be_saved() -> None:
    async with opened() as world:
        await world.type("two")
        await kept_room.mark_dirty(world.room, world.seat)
        await world.save()
        assert isinstance(world.room.document, HereDocument)
        state = world.room.document.y._doc.get("state", type=kept_room.pycrdt.Map).to_py()
        assert state["dirty"] is False
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


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("operation", ["set_lock", "stat", "write"])
async def test_a_storage_that_fails_once_costs_one_attempt_and_makes_no_false_conflict(operation: str, fault: Fault) -> None:
    async with opened() as world:
        await world.type("two")
        world.site.inject(operation, fault)
        assert await world.save() == "failed"
        assert "cannot be saved now" in world.problem
        assert "Edits are kept here" in world.problem
        assert await world.save() == "success"
        assert (world.file, world.copies, world.problem) == (["one", "two"], {}, "")


async def test_lost_answers_while_typing_goes_on_make_no_conflict_with_ourselves() -> None:
    async with opened() as world:
        for word in ("a", "b", "c", "d"):
            await world.type(word)
            world.site.inject("write", Fault.LOST)
            assert await world.save() == "failed"
        assert await world.save() == "success"
        assert world.file == ["one", "a", "b", "c", "d"]
        assert not world.copies


async def test_a_write_given_up_that_arrives_late_is_known_for_ours() -> None:
    async with opened() as world:
        await world.type("two")
        late = (await world.room.document.render()).content
        world.site.inject("write", Fault.DOWN, lambda: world.site.overwrite(world.id, late))
        assert await world.save() == "failed"
        await world.type("three")
        assert await world.save() == "success"
        assert (world.file, world.copies) == (["one", "two", "three"], {})


async def test_killed_twice_while_answers_were_lost_makes_no_conflict_with_ourselves() -> None:
    async with opened() as world:
        await world.type("two")
        world.site.inject("write", Fault.LOST, crash)
        assert await world.save() == "failed"
        await world.type("three")
        with pytest.raises(Crash):
            await world.save()
        await world.crash()
        await world.open()
        await world.type("four")
        assert await world.save() == "success"
        assert (world.file, world.copies) == (["one", "two", "three", "four"], {})


async def test_after_an_outage_it_is_saved_without_being_asked() -> None:
    async with opened(limits=SOON) as world:
        world.room.keeper._retry = replace(world.room.keeper._retry, first_s=0.01, brief_s=0.05, slow_first_s=0.01)
        world.site.down = True
        await world.type("two")
        await world.until(lambda status: bool(status.problem))
        assert "the gateway does not answer" in world.room.status.problem
        world.site.heal()
        await world.until(lambda status: not status.problem)
        assert world.file == ["one", "two"]


async def test_a_full_quota_is_said_and_waited_out() -> None:
    async with opened() as world:
        await world.type("two")
        world.site.quota_left = 3
        assert await world.save() == "failed"
        assert "free some space" in world.problem
        world.site.quota_left = None
        assert await world.save() == "success"
        assert world.file == ["one", "two"]


async def test_another_apps_lock_is_named_and_waited_for() -> None:
    async with opened() as world:
        world.site.steal_lock(world.id, foreign_lock(world.at + 60, holder=BOB))
        await world.type("two")
        assert await world.save() == "failed"
        assert "locked by Bob Away (bob) with wopi" in world.problem
        assert world.room.keeper.state.holder == "Bob Away (bob) with wopi"
        assert world.file == ["one"]
        world.site.steal_lock(world.id, None)
        assert await world.save() == "success"
        assert (world.file, world.room.keeper.state.holder) == (["one", "two"], "")


@pytest.mark.parametrize("thief", [None, foreign_lock(None)], ids=["broken", "another app's"])
async def test_a_lock_lost_between_acquiring_and_writing_never_lets_the_old_one_write(thief: Lock | None) -> None:
    async with opened() as world:
        await world.type("two")
        world.site.inject("write", lambda: world.site.steal_lock(world.id, thief))
        status = await world.save()
        assert (status, world.file) == (("success", ["one", "two"]) if thief is None else ("failed", ["one"]))
        world.site.steal_lock(world.id, None)
        assert await world.save() == "success"
        assert world.file == ["one", "two"]


async def test_a_lease_that_ran_out_while_it_looked_at_the_file_is_taken_anew_before_writing() -> None:
    async with opened() as world:
        await world.type("two")

        def pass_time() -> None:
            world.at += 49

        world.site.inject("stat", pass_time)
        assert await world.save() == "success"
        assert world.site.calls["set_lock"] == 2
        assert world.file == ["one", "two"]


async def test_a_storage_whose_clock_is_far_ahead_is_said() -> None:
    async with opened() as world:
        world.site.clock = lambda: world.at + 1000
        await world.type("two")
        assert await world.save() == "failed"
        assert "compare the clocks" in world.problem
        assert world.file == ["one"]
        world.site.clock = lambda: world.at
        assert await world.save() == "success"


async def test_a_deleted_file_is_said_and_saved_when_it_is_back() -> None:
    async with opened() as world:
        await world.type("two")
        world.site.delete(world.id)
        assert await world.save() == "failed"
        assert "deleted or unshared" in world.problem
        assert not world.site.files()
        world.site.restore(world.id)
        assert await world.save() == "success"
        assert (world.file, world.problem) == (["one", "two"], "")


async def test_a_renamed_file_is_saved_under_its_new_name() -> None:
    async with opened() as world:
        world.site.rename(world.id, "renamed.ipynb")
        await world.type("two")
        await world.save()
        assert sources(world.site.files()["renamed.ipynb"]) == ["one", "two"]
        world.site.overwrite(world.id, notebook_file("theirs"))
        await world.type("three")
        await world.save()
        assert [name.split(".conflict")[0] for name in world.copies] == ["renamed"]
        assert world.site.files().keys() == {"renamed.ipynb", *world.copies}


@pytest.mark.parametrize("take_away", ["role", "share", "token"])
async def test_without_a_writer_edits_wait_and_the_status_says_so(take_away: str) -> None:
    async with opened() as world:
        await world.type("two")
        if take_away == "token":
            world.site.expired_tokens.add(ALICE.key)
        else:
            world.site.roles[ALICE.key] = Role.VIEWER if take_away == "role" else Role.NONE
        assert await world.save() == "failed"
        assert ("deleted or unshared" if take_away == "share" else "Nobody present may write") in world.problem
        assert world.file == ["one"]
        sit(world.room, MemoryStorage(world.site, BOB))
        assert await world.save() == "success"
        assert (world.file, world.problem) == (["one", "two"], "")


async def test_edits_of_people_who_left_during_an_outage_are_saved_with_their_token() -> None:
    async with opened() as world:
        await world.type("two")
        world.site.down = True
        world.room.leave(world.seat)
        await world.until(lambda status: bool(status.problem))
        world.site.heal()
        assert await world.save() == "success"
        assert (world.file, world.room.status.saved_by) == (["one", "two"], "Alice Home (alice)")


async def test_a_storage_without_locks_is_saved_to_by_etag() -> None:
    async with opened(locks=False) as world:
        await world.type("two")
        assert await world.save() == "success"
        world.site.inject("write", lambda: world.site.overwrite(world.id, notebook_file("theirs")))
        await world.type("three")
        assert await world.save() == "success"
        assert (world.file, list(world.copies.values())) == (["one", "two", "three"], [["theirs"]])


async def test_all_cells_deleted_by_a_person_is_saved() -> None:
    async with opened() as world:
        await drop_cells(world.room, world.seat)
        await world.save()
        assert world.file == []


async def test_a_worker_that_lost_everything_does_not_empty_the_file() -> None:
    async with opened() as world:
        assert isinstance(world.room.document, HereDocument)
        world.room.document.y.seed(notebook_file())
        assert await world.save() == "success"
        assert world.file == ["one"]


async def test_a_document_that_makes_no_notebook_leaves_the_file() -> None:
    async with opened() as world:
        await world.type("two")
        assert isinstance(world.room.document, HereDocument)
        world.room.document.y.load([])
        assert await world.save() == "failed"
        assert "The file is as it was" in world.problem
        assert world.file == ["one"]


async def test_a_disk_that_refuses_the_note_of_a_save_makes_no_conflict() -> None:
    async with opened() as world:
        await world.type("two")
        world.site.inject("write", lambda: setattr(world.disk, "refuses_meta", 1))
        assert await world.save() == "failed"
        assert "the disk is full" in world.problem
        await world.type("three")
        assert await world.save() == "success"
        assert (world.file, world.copies) == (["one", "two", "three"], {})


def crash() -> None:
    raise Crash


@pytest.mark.parametrize("later_edit", [False, True], ids=["same", "typed on"])
@pytest.mark.parametrize(
    "where",
    [
        "before set_lock",
        "before the first stat",
        "before the attempt is noted",
        "before write",
        "after write",
        "before noting the save",
    ],
)
async def test_killed_at_any_moment_of_a_save(where: str, later_edit: bool) -> None:
    async with opened() as world:
        await world.type("two")
        if where == "before the attempt is noted":
            world.disk.crash_on_meta = 1
        elif where == "before noting the save":
            world.disk.crash_on_meta = 2
        elif where == "after write":
            world.site.inject("stat", lambda: None, crash)
        else:
            world.site.inject({"before set_lock": "set_lock", "before the first stat": "stat"}.get(where, "write"), crash)
        with pytest.raises(Crash):
            await world.save()
        await world.crash()
        await world.open()
        if later_edit:
            await world.type("three")
        assert await world.save() == "success"
        assert world.file == ["one", "two", *(["three"] if later_edit else [])]
        assert not world.copies
        assert world.room.status.saved_position == world.log.position


async def test_killed_between_the_copy_and_the_write_keeps_one_copy() -> None:
    async with opened() as world:
        await world.type("ours")
        world.site.overwrite(world.id, notebook_file("theirs"))
        world.site.inject("write", lambda: None, crash)
        with pytest.raises(Crash):
            await world.save()
        await world.crash()
        assert (world.file, list(world.copies.values())) == (["theirs"], [["theirs"]])
        await world.open()
        assert await world.save() == "success"
        assert (world.file, list(world.copies.values())) == (["one", "ours"], [["theirs"]])


async def test_two_authorities_of_one_file_do_not_overwrite_each_other() -> None:
    async with opened() as world:
        other = World(b"")
        other.site, other.id = world.site, world.id
        other.alice = MemoryStorage(world.site, BOB)
        other.log = DiskLog(other.disk)
        other.room = await kept_room.open_room(other.alice, world.id, other.log, name="relay-b", clock=lambda: world.at)
        other.seat = sit(other.room, other.alice)
        await world.type("by one")
        await other.type("by the other")
        assert await world.save() == "success"
        assert await other.save() == "failed"
        assert "another server that edits this notebook" in other.problem
        await world.room.close()
        assert await other.save() == "success"
        assert other.file == ["one", "by the other"]
        assert list(other.copies.values()) == [["one", "by one"]]
        await other.room.tasks.cancel()


async def test_a_text_file_is_kept_the_same_way() -> None:
    world = World(b"alpha\n", name="notes.md")
    await world.open()
    client: kept_room.pycrdt.Doc[object] = kept_room.pycrdt.Doc()
    client.apply_update(await world.room.document.diff(b""))
    before = client.get_state()
    client.get("source", type=kept_room.pycrdt.Text).insert(0, "ours ")
    await world.room.submit(world.seat, client.get_update(before))
    world.site.overwrite(world.id, b"alpha\n")
    assert await world.save() == "success"
    assert world.site.files() == {"notes.md": b"ours alpha\n"}
    await world.room.tasks.cancel()


async def test_a_deleted_file_costs_few_calls_in_a_full_room() -> None:
    async with opened() as world:
        for n in range(100):
            sit(world.room, MemoryStorage(world.site, replace(BOB, opaque_id=f"user-{n}")))
        await world.type("two")
        world.site.delete(world.id)
        before = sum(world.site.calls.values())
        assert await world.save() == "failed"
        assert sum(world.site.calls.values()) - before < 20
