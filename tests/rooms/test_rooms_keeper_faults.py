"""Storage that fails, people who may not write any more, and deaths in the middle of a save."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
from support import kept_room
from support.keeper_world import World, opened
from support.kept_room import (
    SOON,
    DiskLog,
    HereDocument,
    drop_cells,
    notebook_file,
    sit,
    sources,
)
from support.memory_storage import ALICE, BOB, Crash, Fault, MemoryStorage, foreign_lock

from cs3collab.locks import lasting
from cs3collab.rooms.saving import Retry
from cs3collab.types import Lock, Role


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
        assert "locked by Bob Away (bob) with an office application (WOPI) until 22:14:20 UTC" in world.problem
        assert world.room.keeper.state.holder == "Bob Away (bob) with an office application (WOPI)"
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

        world.site.inject("stat", lambda: None, pass_time)  # the lease looks first
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
        await world.edit(0, "ours")
        world.site.overwrite(world.id, notebook_file("theirs"))
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
        await world.edit(0, "ours")
        assert await world.save() == "success"
        assert (world.file, list(world.copies.values())) == (["ours", "two"], [["theirs"]])


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
        await world.edit(0, "ours")
        world.site.overwrite(world.id, notebook_file("theirs"))
        world.site.inject("write", lambda: None, crash)
        with pytest.raises(Crash):
            await world.save()
        await world.crash()
        assert (world.file, list(world.copies.values())) == (["theirs"], [["theirs"]])
        await world.open()
        assert await world.save() == "success"
        assert (world.file, list(world.copies.values())) == (["ours"], [["theirs"]])


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
        assert "being edited by Alice Home (alice) at a.test" in other.problem
        await world.room.close()
        assert await other.save() == "success"
        assert sorted(other.file) == ["by one", "by the other", "one"]
        assert not other.copies
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


def a_bug(*args: object, **options: object) -> Any:
    raise RuntimeError("token=hush-hush-hush")


LOOKS_TOO = replace(SOON, look_s=0.02, idle_look_s=0.02)


@pytest.mark.parametrize("where", ["a look", "the lease", "a save's end", "a save"])
async def test_a_bug_is_said_and_logged_and_does_not_end_saving(
    where: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lasting, "FIRST_S", 0.01)
    async with opened(limits=LOOKS_TOO) as world:
        keeper = world.room.keeper
        keeper._retry = Retry(first_s=0.01, slow_first_s=0.01)
        broken: Any = {
            "a look": (keeper._file, "look"),
            "the lease": (keeper._lease, "_pause"),
            "a save's end": (keeper, "_succeeded"),
            "a save": (keeper, "_save"),
        }[where]
        with monkeypatch.context() as patch:
            patch.setattr(*broken, a_bug)
            keeper._lease._wake.set()
            await world.type("two")
            await world.until(lambda status: "(RuntimeError)" in status.problem)
            assert "tell whoever runs the server" in world.problem
            assert "hush" not in world.problem
        await world.type("three")
        await world.until(lambda status: status.saved_position >= world.log.position)
        assert world.file == ["one", "two", "three"]
        assert any(record.exc_info for record in caplog.records if record.levelno >= logging.ERROR)
        keeper._notice = (keeper._notice[0], 0.0)
        await world.until(lambda status: status.problem == "")
