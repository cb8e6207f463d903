import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.memory_storage import foreign_lock

from cs3collab.errors import (
    CollabError,
    LeaseLost,
    LockHeld,
    NotANotebook,
    NotAuthenticated,
    NotAuthorized,
    NotFound,
    StorageUnavailable,
    VersionConflict,
)
from cs3collab.limits import Limits
from cs3collab.locks.foreign import held_error
from cs3collab.rooms import saving
from cs3collab.rooms.saving import Base, Retry, SaveState, Schedule
from cs3collab.types import Lock
from ystore.errors import StoreUnavailable

LIMITS = Limits(idle_save_s=2, busy_save_s=10)


@pytest.mark.parametrize(
    ("edits", "due"),
    [
        pytest.param([], None, id="nothing to save"),
        pytest.param([100.0], 102.0, id="two seconds after the only edit"),
        pytest.param([100.0, 101.5], 103.5, id="two seconds after the last"),
        pytest.param([100.0 + n for n in range(12)], 110.0, id="ten seconds after the first while typing goes on"),
    ],
)
def test_when_a_save_is_due(edits: list[float], due: float | None) -> None:
    schedule = Schedule()
    for at in edits:
        schedule = schedule.touched(at)
    assert schedule.due(LIMITS) == due


def test_a_failed_save_leaves_its_edits_due_but_not_before_the_backoff_ends() -> None:
    before = Schedule().touched(100)
    during = before.started().touched(103)
    assert before.started().due(LIMITS) is None
    failed = during.failed(before, retry_at=120)
    assert failed.first == 100
    assert failed.due(LIMITS) == 120
    assert failed.touched(119).due(LIMITS) == 120
    assert failed.succeeded().due(LIMITS) == 105


def test_saves_that_each_leave_a_version_keep_their_distance() -> None:
    written = Schedule().written(100).touched(101)
    assert written.due(LIMITS) == 103
    assert written.due(LIMITS, quiet=False) == 160
    assert Schedule().touched(101).due(LIMITS, quiet=False) == 103


def test_a_failure_with_nothing_to_save_is_not_repeated() -> None:
    assert Schedule().failed(Schedule(), retry_at=120).due(LIMITS) is None


@given(st.integers(1, 1000), st.floats(0, 1e5), st.floats(0, 1), st.booleans())
def test_the_backoff_is_bounded_and_short_for_short_outages(failures: int, down_for: float, jitter: float, slow: bool) -> None:
    retry = Retry()
    delay = retry.delay(failures, down_for, jitter, slow=slow)
    assert retry.first_s <= delay <= retry.long_s
    if not slow and down_for < retry.brief_outage_s:
        assert delay <= retry.brief_s < 10


def test_the_backoff_grows() -> None:
    delays = [Retry().delay(n, 1000, 1.0) for n in (1, 2, 3, 4, 9)]
    assert delays == [1, 2, 4, 8, 30]


@pytest.mark.parametrize(
    ("theirs", "known"),
    [
        pytest.param("ours", True, id="what we are about to write"),
        pytest.param("base", True, id="what was there before"),
        pytest.param("attempt", True, id="what we wrote without hearing of it"),
        pytest.param("earlier", True, id="the one before that"),
        pytest.param("theirs", False, id="another"),
        pytest.param("", False, id="unknown"),
    ],
)
def test_what_is_recognised_in_a_file_that_changed(theirs: str, known: bool) -> None:
    base = Base('"1"', "base", "attempt")
    assert saving.recognised(theirs, ours="ours", base=base, attempts=["earlier", ""]) == known


def test_the_last_saves_are_remembered() -> None:
    meta: dict[str, str] = {}
    for position in range(1, 20):
        meta["recent_saves"] = saving.with_recent(meta, position, 1000.0 + position)
    assert saving.recent(meta) == [(position, 1000.0 + position) for position in range(12, 20)]


@pytest.mark.parametrize(
    ("error", "says", "holder", "slow"),
    [
        (
            LockHeld("the file is locked by Eve", holder="Eve", app_name="wopi"),
            "locked by Eve. Edits are kept",
            "Eve with an office application (WOPI)",
            False,
        ),
        (LockHeld("the file is locked"), "The file is locked.", "someone else", False),
        (LeaseLost("gone"), "compare the clocks", "", False),
        (NotFound("gone"), "was deleted or unshared", "", True),
        (NotAuthorized("no"), "Nobody present may write", "", False),
        (NotAuthenticated("expired"), "Nobody present may write", "", False),
        (NotANotebook("no cells", hint="undo"), "cannot be written: no cells", "", True),
        (VersionConflict("it changed", hint="look"), "It changed (look).", "", True),
        (StorageUnavailable("upload failed", hint="the quota is used up: free some space"), "the quota is used up", "", False),
        (StoreUnavailable("disk full"), "disk full", "", False),
        (OSError(5, "Input/output error"), "Input/output error", "", False),
        (ValueError("a secret"), "failed that should not (ValueError)", "", True),
    ],
)
def test_trouble_is_said_in_words(error: Exception, says: str, holder: str, slow: bool) -> None:
    trouble = saving.trouble(error)
    assert says in trouble.problem
    assert trouble.problem.endswith(".")
    assert (trouble.holder, trouble.slow) == (holder, slow)


def test_what_to_do_about_a_stuck_lock_is_said_after_that_nothing_is_lost() -> None:
    lock = Lock("x", "Collabora")
    said = saving.trouble(held_error(lock, 1234.0), lock).problem
    assert said.startswith(
        "The file is locked by Collabora Online. Edits are kept here and saved when the lock is gone. This lock "
    )
    assert "cs3collab doctor --unlock" in said
    assert "doctor" not in saving.trouble(held_error(Lock("x", expires_at=1300.0), 1234.0)).problem


def test_the_end_of_a_foreign_lock_is_when_to_try_again() -> None:
    assert saving.trouble(LockHeld("locked"), foreign_lock(1234.0)).not_after == 1234.0
    assert saving.trouble(StorageUnavailable("down"), foreign_lock(1234.0)).not_after is None


@pytest.mark.parametrize(
    ("refusals", "kind"),
    [
        ([NotFound("a"), NotFound("b")], NotFound),
        ([NotFound("a"), NotAuthorized("b")], NotAuthorized),
        ([NotAuthenticated("a")], NotAuthorized),
        ([], NotAuthorized),
    ],
)
def test_a_file_is_gone_only_if_nobody_sees_it(refusals: list[CollabError], kind: type[CollabError]) -> None:
    assert type(saving.refused(refusals)) is kind


AT = 1_700_000_000.9  # 2023-11-14 22:13:20 UTC


@pytest.mark.parametrize(
    ("name", "who", "nth", "copy"),
    [
        ("a.ipynb", "Marie Curie (marie)", 0, "a.conflict-2023-11-14T22-13-20-Marie-Curie-marie.ipynb"),
        ("a.ipynb", "J.-P. Serre", 1, "a.conflict-2023-11-14T22-13-20-J-P-Serre-2.ipynb"),
        ("a.ipynb", "../../etc\0/", 0, "a.conflict-2023-11-14T22-13-20-etc.ipynb"),
        ("a.ipynb", "x" * 99, 0, f"a.conflict-2023-11-14T22-13-20-{'x' * 40}.ipynb"),
        ("analysis.ipynb", "", 0, "analysis.conflict-2023-11-14T22-13-20-someone.ipynb"),
        ("analysis.ipynb", "", 1, "analysis.conflict-2023-11-14T22-13-20-someone-2.ipynb"),
        ("notes.tar.md", "", 0, "notes.tar.conflict-2023-11-14T22-13-20-someone.md"),
        ("README", "", 0, "README.conflict-2023-11-14T22-13-20-someone"),
        ("Größe 数据.ipynb", "", 0, "Größe 数据.conflict-2023-11-14T22-13-20-someone.ipynb"),
    ],
)
def test_the_name_of_a_conflict_copy(name: str, who: str, nth: int, copy: str) -> None:
    assert saving.conflict_name(name, who, AT, nth) == copy


@pytest.mark.parametrize(
    ("seen", "mtime", "who"),
    [
        ([("Bob", 100.0)], 90.0, ""),  # before he came
        ([("Bob", 100.0)], 5000.0, "Bob"),  # he is there still
        ([("Bob", 100.0), ("Bob", 150.0)], 101.0, "Bob"),  # refreshed
        ([("Bob", 100.0), ("", 150.0)], 149.0, "Bob"),
        ([("Bob", 100.0), ("", 150.0), ("", 200.0)], 190.0, ""),  # after he went
        ([("Bob", 100.0), ("Ann", 150.0)], 149.0, "Ann"),
        ([("Bob", 100.0), ("Ann", 150.0)], 120.0, ""),
        ([("", 100.0)], 99.0, ""),
        ([], 99.0, ""),
    ],
)
def test_who_had_the_lock_wrote_the_file(seen: list[tuple[str, float]], mtime: float, who: str) -> None:
    sighting = saving.UNSEEN
    for whose, at in seen:
        sighting = sighting.now(whose, at)
    assert sighting.wrote(mtime) == who


@given(
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=255),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.integers(0, 20),
)
def test_a_conflict_copy_is_another_file_with_a_name_that_file_systems_take(name: str, who: str, nth: int) -> None:
    copy = saving.conflict_name(name, who, AT, nth)
    assert copy != name
    assert "/" not in copy
    assert len(copy.encode()) <= 255 or len(name.encode()) > 255


def test_what_was_saved_survives_in_the_log() -> None:
    meta = {"saved_position": "7", "base_etag": '"e"', "saved_at": "12.5", "saved_by": "Alice"}
    assert SaveState.of(meta) == SaveState(7, '"e"', 12.5, "Alice")
    assert dataclasses.astuple(SaveState.of({})) == (0, "", 0.0, "", "", "")
