"""Several servers with one file open and no relay: one may edit, the others follow, and get the pen when it is free."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from support.kept_room import edit_cell, notebook_file, sources
from support.memory_storage import ALICE, BOB, Fault, foreign_lock
from support.pen_desk import LIMITS, Desk, Server

from cs3collab.errors import LockHeld, NotAuthorized
from cs3collab.locks import lasting
from cs3collab.locks.foreign import CS3API4LAB_KEY
from cs3collab.rooms.pen import HERE, Stand, edited_by, stand, takes_pen
from cs3collab.rooms.room import Wants
from cs3collab.types import Lock, Role, User

OURS = Lock("cs3collab:other:7", "cs3collab", editing="Bob Away (bob) at a.test")
OFFICE = Lock("wopi", "Collabora")
BY = "by Bob Away (bob) at a.test"


@pytest.mark.parametrize(
    ("before", "blocker", "may_write", "wanted", "after"),
    [
        (HERE, None, False, True, HERE),
        (HERE, OURS, False, True, Stand(True, BY)),
        (HERE, OURS, False, False, Stand(True, BY)),
        (HERE, OFFICE, False, True, HERE),
        (Stand(True, BY), OURS, False, True, Stand(True, BY)),
        (Stand(True, "by A"), OURS, False, True, Stand(True, BY)),
        (Stand(True, BY), None, False, True, Stand(True, BY, free=True)),
        (Stand(True, BY), OFFICE, False, True, Stand(True, BY, free=True)),
        (Stand(True, BY), OFFICE, True, True, HERE),
        (Stand(True, BY, free=True), None, False, True, Stand(True, BY, free=True)),
        (Stand(True, BY, free=True), OURS, False, True, Stand(True, BY)),
        (Stand(True, BY, free=True), None, True, True, HERE),
        (Stand(True, BY, free=True), None, False, False, HERE),
    ],
)
def test_who_follows(before: Stand, blocker: Lock | None, may_write: bool, wanted: bool, after: Stand) -> None:
    assert stand(before, blocker, BY, may_write=may_write, wanted=wanted) == after


def test_only_who_may_edit_is_kept_from_it_and_offered_the_pen() -> None:
    following, free = Stand(True, BY), Stand(True, BY, free=True)
    assert HERE.seen_by(Role.EDITOR, "") == (Role.EDITOR, "", False)
    assert following.seen_by(Role.EDITOR, "") == (Role.VIEWER, f"this file is being edited {BY}", False)
    assert free.seen_by(Role.EDITOR, "") == (Role.VIEWER, f"this file is no longer edited {BY}", True)
    for one in (HERE, following, free):
        assert one.seen_by(Role.VIEWER, "your share says so") == (Role.VIEWER, "your share says so", False)


@pytest.mark.parametrize(
    ("lock", "holder", "whom"),
    [
        (OURS, "Bob Away (bob) at a.test", BY),
        (Lock("cs3collab:other:7", "cs3collab"), "", "on another server"),
        (Lock("cs3collab:me.file:7", "cs3collab", editing="Bob"), "Bob", "in another view on this server"),
        (Lock("a", "cs3-jupyter"), "bob", "by bob with JupyterLab (cs3-jupyter)"),
        (Lock(CS3API4LAB_KEY), "bob", "by bob"),
    ],
)
def test_people_are_told_who_edits(lock: Lock, holder: str, whom: str) -> None:
    assert takes_pen(lock)
    assert edited_by(lock, LockHeld("", holder=holder, app_name=lock.app_name), "me") == whom


@pytest.mark.parametrize("lock", [OFFICE, Lock("x", "wopi"), Lock("opaquelocktoken:1")])
def test_programs_that_are_no_jupyter_leave_people_the_pen(lock: Lock) -> None:
    assert not takes_pen(lock)


@pytest.fixture(params=[True, False], ids=["locks", "claims"])
async def any_desk(request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    desk = Desk(locks=request.param)
    yield desk
    for room in desk.rooms:
        await room.tasks.cancel()


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    yield desk
    for room in desk.rooms:
        await room.tasks.cancel()


async def test_who_opens_first_edits_and_the_next_follows(any_desk: Desk) -> None:
    a, b = any_desk.a, any_desk.b
    assert (await a.open()).role is Role.EDITOR
    seat = await b.open()
    assert (seat.role, seat.reason, seat.offered) == (
        Role.VIEWER,
        "this file is being edited by Alice Home (alice) at a.test",
        False,
    )
    with pytest.raises(NotAuthorized, match="Alice Home"):
        await b.type("not accepted")
    with pytest.raises(NotAuthorized, match="Alice Home"):
        await b.room.save(seat)
    await a.type("two")
    await b.until_live(["one", "two"])
    assert any_desk.file == ["one", "two"]
    assert {who for who, *_ in any_desk.site.writes} == {"alice"}
    assert b.room.status.problem == ""


async def test_the_pen_is_offered_when_it_is_free_and_taken_by_who_asks(any_desk: Desk) -> None:
    a, b = any_desk.a, any_desk.b
    await a.open()
    await b.open()
    await a.type("two")
    a.room.leave(a.seat)
    await b.until(lambda: b.seat.offered)
    assert b.seat.role is Role.VIEWER
    assert b.seat.reason == "this file is no longer edited by Alice Home (alice) at a.test"
    with pytest.raises(NotAuthorized):
        await b.type("not yet")
    await b.room.welcome(b.seat, Wants.PEN)
    assert (b.seat.role, b.seat.reason, b.seat.offered) == (Role.EDITOR, "", False)
    await b.type("three")
    await b.until_saved()
    assert any_desk.file == ["one", "two", "three"]

    back = await a.enter()
    assert (back.role, back.reason) == (Role.VIEWER, "this file is being edited by Bob Away (bob) at a.test")
    await a.until_live(["one", "two", "three"])


async def test_handing_it_over_many_times_leaves_one_document_and_no_copies(desk: Desk) -> None:
    a, b = desk.a, desk.b
    await a.open()
    await b.open()
    lines = "one"
    for n in range(8):
        holder, other = (a, b) if n % 2 == 0 else (b, a)
        lines += f", line {n}" if n % 3 else f"\nline {n}"
        await edit_cell(holder.room, holder.seat, 0, lines)
        await holder.type(f"cell {n}")
        if n % 4:  # else what is saved last is seen when the pen is taken
            await holder.until_saved()
        holder.room.leave(holder.seat)
        holder.seat = await holder.enter(wants=Wants.SEAT)
        holder.room.leave(holder.seat)
        await other.until(lambda other=other: other.seat.offered)  # type: ignore[misc]
        await other.room.welcome(other.seat, Wants.PEN)
        holder.seat = await holder.enter()
        assert (holder.seat.role, other.seat.role) == (Role.VIEWER, Role.EDITOR)
    expected = [lines, *(f"cell {n}" for n in range(8))]
    await a.until_live(expected)
    await b.until_live(expected)
    await b.until(lambda: desk.file == expected)
    assert desk.copies == []


async def test_who_edited_last_is_named_as_long_as_the_lock_is_there(desk: Desk) -> None:
    desk.limits = replace(LIMITS, lease_grace_s=1e6)
    await desk.a.open()
    desk.a.room.leave(desk.a.seat)
    desk.at += LIMITS.lease_s / 2  # it is refreshed
    lock = desk.site.lock_of(desk.id)
    await desk.a.until(lambda: desk.site.lock_of(desk.id) != lock)
    assert "being edited by Alice Home" in (await desk.b.open()).reason


async def test_of_several_who_press_one_gets_it(any_desk: Desk) -> None:
    a, b, c = any_desk.a, any_desk.b, Server(any_desk, "cccc", User("carol-3", "https://a.test", "carol", "Carol"))
    await a.open()
    await b.open()
    await c.open()
    a.room.leave(a.seat)
    await b.until(lambda: b.seat.offered and c.seat.offered)
    await asyncio.gather(b.room.welcome(b.seat, Wants.PEN), c.room.welcome(c.seat, Wants.PEN))
    await b.until(lambda: not b.seat.offered and not c.seat.offered)
    assert sorted([b.seat.role, c.seat.role]) == [Role.VIEWER, Role.EDITOR]
    loser, winner = sorted((b, c), key=lambda server: server.seat.role)
    assert winner.user.label in loser.seat.reason


async def test_who_opens_it_when_it_is_free_edits_at_once(desk: Desk) -> None:
    a, b = desk.a, desk.b
    await a.open()
    await b.open()
    a.room.leave(a.seat)
    await b.until(lambda: b.seat.offered)
    assert (await a.enter()).role is Role.EDITOR
    await b.until(lambda: not b.seat.offered)
    assert "being edited by Alice Home" in b.seat.reason


async def test_a_line_that_others_change_after_us_is_no_conflict(desk: Desk) -> None:
    """The file has said three things: that theirs is as close to the first as to the last is no reason to doubt."""
    a, b = desk.a, desk.b
    await a.open()
    await a.type("two")
    await a.until_saved()
    await edit_cell(a.room, a.seat, 1, "two, more")
    await a.until_saved()
    await b.open()
    a.room.leave(a.seat)
    await b.until(lambda: b.seat.offered)
    await b.room.welcome(b.seat, Wants.PEN)
    await edit_cell(b.room, b.seat, 1, "two, more, and b")
    await b.until_saved()
    await a.enter()
    await a.until_live(["one", "two, more, and b"])
    assert a.room.status.problem == ""


async def test_a_browser_that_only_comes_back_is_offered_the_pen(desk: Desk) -> None:
    a, b = desk.a, desk.b
    await a.open()
    await b.open()
    b.room.leave(b.seat)
    b.seat = await b.enter(wants=Wants.SEAT)
    assert b.seat.role is Role.VIEWER
    a.room.leave(a.seat)
    await b.until(lambda: b.seat.offered)
    b.room.leave(b.seat)
    b.seat = await b.enter(wants=Wants.SEAT)
    assert (b.seat.role, b.seat.offered) == (Role.VIEWER, True)


async def test_who_only_asks_something_leaves_the_pen_to_others(desk: Desk) -> None:
    await desk.a.open()
    desk.a.room.leave(desk.a.seat)
    await desk.a.until(lambda: desk.site.lock_of(desk.id) is None)
    seat = await desk.a.enter(wants=Wants.ANSWER)
    assert (seat.role, desk.site.lock_of(desk.id)) == (Role.EDITOR, None)


async def test_whom_storage_lets_read_only_stays_a_viewer(desk: Desk) -> None:
    a, b = desk.a, desk.b
    await a.open()
    await b.open()
    reader = await b.enter(Role.VIEWER, "your share says Viewer")
    a.room.leave(a.seat)
    await b.until(lambda: b.seat.offered)
    assert (reader.offered, reader.reason) == (False, "your share says Viewer")
    await b.room.welcome(reader, Wants.PEN)
    assert b.seat.role is Role.VIEWER
    await b.room.welcome(b.seat, Wants.PEN)
    assert (b.seat.role, reader.role, reader.reason) == (Role.EDITOR, Role.VIEWER, "your share says Viewer")
    b.room.set_role(b.seat, Role.VIEWER, "no more")
    assert b.seat.reason == "no more"


async def test_a_room_with_readers_alone_keeps_nobody_from_editing(desk: Desk) -> None:
    await desk.a.open(Role.VIEWER)
    assert (await desk.b.open()).role is Role.EDITOR
    await desk.b.type("two")
    await desk.a.until_live(["one", "two"])


async def test_two_windows_of_one_server_both_edit(desk: Desk) -> None:
    await desk.a.open()
    assert (await desk.a.enter()).role is Role.EDITOR


async def test_a_text_view_of_a_notebook_that_is_edited_follows_it(desk: Desk) -> None:
    await desk.a.open()
    text = Server(desk, "aaaa", ALICE, kind="file")
    seat = await text.open()
    assert (seat.role, seat.reason) == (Role.VIEWER, "this file is being edited in another view on this server")
    await desk.a.type("two")
    async with asyncio.timeout(20):
        while '"two"' not in (await text.room.document.render()).content.decode():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_who_lost_the_lock_follows_and_keeps_what_was_not_saved(desk: Desk) -> None:
    """Frozen past its lock; another took it."""
    a, b = desk.a, desk.b
    await a.open()
    await a.type("two")
    await a.until_saved()
    desk.site.inject("write", Fault.DOWN, Fault.DOWN, Fault.DOWN)
    await a.type("unsaved")
    desk.site.steal_lock(desk.id, None)
    await b.open()
    desk.site.cancel_faults()
    if b.seat.role is not Role.EDITOR:  # A was faster to take its lock again
        desk.site.steal_lock(desk.id, replace(OURS, expires_at=desk.at + 60))
    await a.until(lambda: a.seat.role is Role.VIEWER)
    assert "being edited by Bob Away" in a.seat.reason


async def test_unsaved_edits_of_a_follower_are_merged_when_it_gets_the_pen_again(desk: Desk) -> None:
    a = desk.a
    desk.limits = replace(LIMITS, idle_save_s=1e6, busy_save_s=1e6)
    await a.open()
    await a.type("unsaved")
    theirs = replace(OURS, expires_at=desk.at + 60)
    desk.site.steal_lock(desk.id, theirs)
    await a.until(lambda: a.seat.role is Role.VIEWER)
    desk.site.overwrite(desk.id, notebook_file("one, by them"))
    await a.until_live(["one, by them", "unsaved"])
    assert desk.file == ["one, by them"]
    await a.until(lambda: "Edits that were made here are not in the file" in a.room.status.problem)
    assert "Bob Away (bob) at a.test" in a.room.status.problem
    desk.site.steal_lock(desk.id, None)
    await a.until(lambda: a.seat.offered)
    assert desk.file == ["one, by them"]
    await a.room.welcome(a.seat, Wants.PEN)
    await a.room.save(a.seat)
    assert desk.file == ["one, by them", "unsaved"]
    assert a.room.status.problem == ""
    assert desk.copies == []


async def test_what_conflicts_with_unsaved_edits_is_decided_by_who_has_the_pen(desk: Desk) -> None:
    a = desk.a
    desk.limits = replace(LIMITS, idle_save_s=1e6, busy_save_s=1e6)
    await a.open()
    await edit_cell(a.room, a.seat, 0, "one, by me")
    desk.site.steal_lock(desk.id, replace(OURS, expires_at=desk.at + 60))
    await a.until(lambda: a.seat.role is Role.VIEWER)
    for n in range(3):
        desk.site.overwrite(desk.id, notebook_file(f"one, by them {n}"))
        await a.until(lambda: "conflict with what is in the file" in a.room.status.problem)
    assert await a.live() == ["one, by me"]
    assert desk.copies == []
    desk.site.steal_lock(desk.id, None)
    await a.until(lambda: a.seat.offered)
    await a.room.welcome(a.seat, Wants.PEN)
    await a.room.save(a.seat)
    assert desk.file == ["one, by me"]
    assert len(desk.copies) == 1
    assert sources(desk.site.files()[desk.copies[0]]) == ["one, by them 2"]


async def test_unsaved_edits_of_people_who_left_are_saved_when_the_lock_is_gone(desk: Desk) -> None:
    a = desk.a
    desk.limits = replace(LIMITS, idle_save_s=1e6, busy_save_s=1e6)
    await a.open()
    await a.type("unsaved")
    desk.site.steal_lock(desk.id, replace(OURS, expires_at=desk.at + 60))
    await a.until(lambda: a.seat.role is Role.VIEWER)
    a.room.leave(a.seat)
    desk.site.steal_lock(desk.id, None)
    await a.until_saved()
    assert desk.file == ["one", "unsaved"]
    await a.until(lambda: desk.site.lock_of(desk.id) is None)


async def test_a_killed_holder_gets_its_lock_back_at_once(desk: Desk) -> None:
    a, b = desk.a, desk.b
    await a.open()
    await a.type("two")
    await a.crash()
    assert (await b.open()).role is Role.VIEWER
    assert (await a.open()).role is Role.EDITOR
    assert b.seat.role is Role.VIEWER


async def test_of_a_killed_holder_others_get_the_pen_when_its_lock_has_ended(desk: Desk) -> None:
    a, b = desk.a, desk.b
    await a.open()
    await a.type("two")
    await a.crash()
    await b.open()
    desk.at += LIMITS.lease_s + 1
    await b.until(lambda: b.seat.offered)
    await b.room.welcome(b.seat, Wants.PEN)
    assert b.seat.role is Role.EDITOR
    await b.type("three")
    await b.until_saved()
    assert (await a.open()).role is Role.VIEWER
    assert sorted(await a.live()) == ["one", "three", "two"]  # with what it had acknowledged and not saved
    assert await b.live() == ["one", "three"]


async def test_a_lock_of_an_office_program_leaves_people_the_pen(desk: Desk) -> None:
    desk.site.steal_lock(desk.id, foreign_lock(desk.at + 1000))
    assert (await desk.a.open()).role is Role.EDITOR
    await desk.a.type("two")
    await desk.a.until(lambda: "locked by" in desk.a.room.status.problem)
    desk.site.steal_lock(desk.id, None)
    await desk.a.until_saved()
    assert desk.file == ["one", "two"]


async def test_another_jupyters_lock_takes_the_pen(desk: Desk) -> None:
    desk.site.steal_lock(desk.id, foreign_lock(desk.at + 1000, app="cs3-jupyter", holder=BOB))
    seat = await desk.a.open()
    assert (seat.role, seat.reason) == (
        Role.VIEWER,
        "this file is being edited by Bob Away (bob) with JupyterLab (cs3-jupyter)",
    )


async def test_storage_that_does_not_answer_keeps_nobody_from_editing_and_is_asked_again(desk: Desk) -> None:
    desk.site.inject("set_lock", Fault.DOWN)
    assert (await desk.a.open()).role is Role.EDITOR
    await desk.a.until(lambda: desk.site.lock_of(desk.id) is not None)


async def test_the_lease_stays_while_an_editor_is_here_and_goes_with_the_last(desk: Desk) -> None:
    a = desk.a
    await a.open()
    lock = desk.site.lock_of(desk.id)
    other = await a.enter()
    a.room.leave(a.seat)
    a.room.leave(other)
    again = await a.enter()
    await asyncio.sleep(5 * LIMITS.lease_grace_s)
    assert desk.site.lock_of(desk.id) == lock
    a.room.leave(again)
    await a.until(lambda: desk.site.lock_of(desk.id) is None)
    assert desk.site.writes == []


async def test_who_comes_back_when_it_is_free_finds_no_conflict_with_a_line_that_others_went_on_with(desk: Desk) -> None:
    a = desk.a
    await a.open()
    await a.type("two")
    await a.until_saved()
    await edit_cell(a.room, a.seat, 1, "two, more")
    await a.until_saved()
    a.room.leave(a.seat)
    book = desk.site.content(desk.id)
    desk.site.overwrite(desk.id, book.replace(b"two, more", b"two, more, and b"))
    await a.enter()
    await a.until_live(["one", "two, more, and b"])
    assert a.room.status.problem == ""
    assert desk.copies == []


async def test_a_bug_is_said_and_does_not_end_taking_the_pen_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def a_bug() -> bool:
        raise RuntimeError("a bug")

    monkeypatch.setattr(lasting, "FIRST_S", 0.01)
    a = desk.a
    await a.open()
    assert a.room.pen is not None
    with monkeypatch.context() as patch:
        patch.setattr(a.room.pen, "_missing", a_bug)
        await a.until(lambda: "(RuntimeError)" in a.room.status.problem)
    desk.site.steal_lock(desk.id, None)
    a.room.keeper._lease.doubt()
    await a.until(lambda: desk.site.lock_of(desk.id) is not None)
    await a.type("two")
    await a.until_saved()
    assert desk.file == ["one", "two"]
