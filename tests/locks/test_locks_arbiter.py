import pytest
from hypothesis import given
from hypothesis import strategies as st

from cs3collab.locks import arbiter
from cs3collab.locks.arbiter import (
    Claim,
    Doubt,
    Found,
    Gone,
    Granted,
    Look,
    NoLocks,
    Phase,
    Refresh,
    Refused,
    Release,
    Set,
    Unanswered,
    Unlock,
    Want,
    may_write,
    step,
)
from cs3collab.types import Lock, User

LIFETIME = 60.0
NOW, WALL = 1000.0, 1_700_000_000.0
FREE = Claim("relay-a", LIFETIME)
ACQUIRING, _ = step(FREE, Want(NOW, WALL))
HELD, _ = step(ACQUIRING, Granted())
REFRESHING, _ = step(HELD, Want(NOW + 25, WALL + 25))


def ours(authority: str = "relay-a", epoch: int = 7, expires_at: float | None = WALL + 10) -> Lock:
    return Lock(arbiter.lock_id(authority, epoch), app_name=arbiter.APP_NAME, expires_at=expires_at)


def test_a_free_file_is_locked_for_an_application_and_no_user() -> None:
    claim, action = step(FREE, Want(NOW, WALL))
    assert claim.phase is Phase.ACQUIRING
    assert action == Set(Lock(claim.lock_id, app_name="cs3collab", holder=None, expires_at=WALL + LIFETIME))
    assert not may_write(claim, NOW)


@pytest.mark.parametrize(("age", "may"), [(0, True), (47.9, True), (48.1, False), (60, False), (1e6, False)])
def test_the_holder_trusts_the_lease_for_a_part_of_its_life_counted_from_the_request(age: float, may: bool) -> None:
    assert may_write(HELD, NOW + age) is may


@pytest.mark.parametrize(("age", "asks"), [(0, False), (19.9, False), (20.1, True), (47, True)])
def test_it_is_refreshed_at_a_third_of_its_life(age: float, asks: bool) -> None:
    claim, action = step(HELD, Want(NOW + age, WALL + age))
    assert isinstance(action, Refresh) is asks
    assert may_write(claim, NOW + age)
    if isinstance(action, Refresh):
        assert action.lock.lock_id == HELD.lock_id
        assert not action.existing_lock_id
        granted, _ = step(claim, Granted())
        assert may_write(granted, NOW + age + 47)


def test_past_the_deadline_it_is_taken_anew_with_another_id() -> None:
    claim, action = step(HELD, Want(NOW + 50, WALL + 50))
    assert isinstance(action, Set)
    assert claim.epoch > HELD.epoch
    assert not may_write(claim, NOW + 50)


@pytest.mark.parametrize(
    ("lock", "takes_over"),
    [
        pytest.param(ours(), True, id="our own of before a restart"),
        pytest.param(ours("relay-b"), False, id="another relay's, alive"),
        pytest.param(ours("relay-b", expires_at=WALL - 19), False, id="another relay's, expired within what clocks differ"),
        pytest.param(ours("relay-b", expires_at=WALL - 21), True, id="another relay's, long expired"),
        pytest.param(ours("relay-b", expires_at=None), False, id="another relay's without end"),
        pytest.param(Lock("x", app_name="wopi", expires_at=WALL - 1000), False, id="another app's, expired"),
        pytest.param(Lock("x", app_name=arbiter.APP_NAME, expires_at=WALL - 1000), False, id="an id that is none of ours"),
        pytest.param(Lock(ours().lock_id, app_name="wopi"), False, id="our id in another app's hands"),
    ],
)
def test_what_is_taken_over(lock: Lock, takes_over: bool) -> None:
    claim, action = step(ACQUIRING, Refused())
    assert action == Look()
    claim, action = step(claim, Found(lock, NOW + 1, WALL))
    if takes_over:
        assert isinstance(action, Refresh)
        assert action.existing_lock_id == lock.lock_id
        assert action.lock.lock_id != lock.lock_id
        assert claim.epoch > ACQUIRING.epoch
    else:
        assert action is None
        assert claim.phase is Phase.BLOCKED
        assert claim.blocker == lock
        assert not may_write(claim, NOW + 1)


def test_a_lock_that_vanished_before_we_looked_is_tried_once_more() -> None:
    claim, action = step(ACQUIRING, Found(None, NOW, WALL))
    assert isinstance(action, Set)
    claim, action = step(claim, Found(None, NOW, WALL))
    assert (claim.phase, action) == (Phase.BLOCKED, None)


def test_a_refused_refresh_means_lost_at_once() -> None:
    claim, action = step(REFRESHING, Gone(NOW + 26, WALL + 26))
    assert (claim.phase, action) == (Phase.LOST, None)
    assert not may_write(claim, NOW + 26)


def test_a_refresh_without_answer_leaves_the_old_deadline() -> None:
    claim, _ = step(REFRESHING, Unanswered(NOW + 30))
    assert claim.phase is Phase.LOSING
    assert may_write(claim, NOW + 30)
    assert claim.deadline == HELD.deadline
    assert NOW + 30 < claim.refresh_at < claim.deadline
    late, _ = step(REFRESHING, Unanswered(NOW + 49))
    assert late.phase is Phase.LOST


def test_an_acquisition_without_answer_is_no_lease() -> None:
    claim, action = step(ACQUIRING, Unanswered(NOW))
    assert (claim.phase, action) == (Phase.LOST, None)
    assert not may_write(claim, NOW)


def test_a_storage_without_locks_is_written_to_by_etag_alone() -> None:
    claim, _ = step(ACQUIRING, NoLocks(NOW))
    assert may_write(claim, NOW + 1e9)
    assert step(claim, Want(NOW, WALL)) == (claim, None)
    assert step(claim, Release(WALL)) == (claim, None)


@pytest.mark.parametrize("doubt", [False, True])
def test_whether_a_storage_has_locks_is_asked_again_after_a_while_or_when_it_refuses_a_write(doubt: bool) -> None:
    claim, _ = step(ACQUIRING, NoLocks(NOW))
    at = NOW + (1 if doubt else arbiter.LOCKS_AGAIN_S)
    if doubt:
        claim, _ = step(claim, Doubt())
    claim, action = step(claim, Want(at, WALL))
    assert isinstance(action, Set)
    assert not may_write(claim, at)
    assert step(claim, NoLocks(at))[0].phase is Phase.UNSUPPORTED


def test_doubt_makes_the_next_write_ask_the_storage() -> None:
    claim, _ = step(HELD, Doubt())
    assert claim.phase is Phase.LOSING
    _, action = step(claim, Want(NOW + 1, WALL + 1))
    assert isinstance(action, Refresh)
    assert step(FREE, Doubt()) == (FREE, None)


LOSING, _ = step(HELD, Doubt())
LOST, _ = step(REFRESHING, Gone(NOW + 26, WALL + 26))
BLOCKED, _ = step(ACQUIRING, Found(Lock("x", app_name="wopi", expires_at=WALL + 50), NOW, WALL))
UNSUPPORTED, _ = step(ACQUIRING, NoLocks(NOW))
PHASES = {c.phase: c for c in (FREE, ACQUIRING, HELD, REFRESHING, LOSING, LOST, BLOCKED, UNSUPPORTED)}


def test_every_phase_is_tested() -> None:
    assert set(PHASES) == set(Phase)


@pytest.mark.parametrize(
    ("phase", "lock", "then"),
    [
        (Phase.FREE, None, Phase.FREE),
        (Phase.FREE, "foreign", Phase.BLOCKED),
        (Phase.FREE, "another relay's", Phase.BLOCKED),
        (Phase.FREE, "another relay's, long dead", Phase.FREE),
        (Phase.FREE, "ours", Phase.FREE),
        (Phase.ACQUIRING, None, Phase.ACQUIRING),
        (Phase.ACQUIRING, "foreign", Phase.ACQUIRING),
        (Phase.HELD, "ours", Phase.HELD),
        (Phase.HELD, None, Phase.LOSING),
        (Phase.HELD, "foreign", Phase.LOSING),
        (Phase.HELD, "another relay's", Phase.LOSING),
        (Phase.REFRESHING, "ours", Phase.REFRESHING),
        (Phase.REFRESHING, "foreign", Phase.LOSING),
        (Phase.LOSING, "ours", Phase.LOSING),
        (Phase.LOSING, None, Phase.LOSING),
        (Phase.LOST, None, Phase.LOST),
        (Phase.LOST, "foreign", Phase.BLOCKED),
        (Phase.BLOCKED, None, Phase.FREE),
        (Phase.BLOCKED, "foreign", Phase.BLOCKED),
        (Phase.BLOCKED, "another relay's, long dead", Phase.FREE),
        (Phase.UNSUPPORTED, None, Phase.UNSUPPORTED),
        (Phase.UNSUPPORTED, "foreign", Phase.BLOCKED),
    ],
)
def test_what_a_look_at_the_file_changes(phase: Phase, lock: str | None, then: Phase) -> None:
    locks = {
        "foreign": Lock("x", app_name="wopi", expires_at=WALL + 50),
        "ours": Lock(HELD.lock_id, app_name=arbiter.APP_NAME, expires_at=WALL + 50),
        "another relay's": ours("relay-b"),
        "another relay's, long dead": ours("relay-b", expires_at=WALL - 1000),
    }
    claim, action = step(PHASES[phase], arbiter.Seen(locks[lock] if lock else None, WALL))
    assert (claim.phase, action) == (then, None)
    assert (claim.blocker == locks[lock]) if lock and then is Phase.BLOCKED else claim.blocker is None


def test_what_is_in_doubt_is_asked_before_the_next_write() -> None:
    claim, _ = step(HELD, arbiter.Seen(None, WALL))
    claim, action = step(claim, Want(NOW + 1, WALL + 1))
    assert isinstance(action, Refresh)
    claim, _ = step(claim, Granted())
    assert claim.phase is Phase.HELD


def test_it_is_remembered_since_when_a_lock_is_in_the_way() -> None:
    claim = BLOCKED
    for later in (10.0, 20.0):
        claim, _ = step(claim, Want(NOW + later, WALL + later))
        claim, _ = step(claim, Refused())
        claim, _ = step(claim, Found(Lock("x", app_name="wopi", expires_at=WALL + later + 50), NOW + later, WALL + later))
    assert claim.sighted == ("x", WALL)
    claim, _ = step(claim, arbiter.Seen(Lock("y"), WALL + 30))
    assert claim.sighted == ("y", WALL + 30)


def test_a_holder_who_was_named_once_stays_named() -> None:
    named = Lock("x", "wopi", User("e-1", "a.test", "eve", "Eve"), WALL + 50)
    claim, _ = step(FREE, arbiter.Seen(named, WALL))
    claim, _ = step(claim, arbiter.Seen(Lock("x", "wopi", User("e-1", "a.test"), WALL + 90), WALL + 30))
    assert claim.blocker == Lock("x", "wopi", named.holder, WALL + 90)


@pytest.mark.parametrize(
    ("claim", "unlocks"),
    [(FREE, False), (HELD, True), (REFRESHING, True), (LOSING, True), (LOST, True), (BLOCKED, False), (ACQUIRING, False)],
)
def test_release_unlocks_what_is_ours(claim: Claim, unlocks: bool) -> None:
    free, action = step(claim, Release(WALL))
    assert free.phase is Phase.FREE
    assert not may_write(free, NOW)
    assert isinstance(action, Unlock) is unlocks
    if isinstance(action, Unlock):
        assert action.lock.lock_id == claim.lock_id


@pytest.mark.parametrize(
    "text", ["", "cs3collab", "cs3collab:a", "cs3collab::1", "cs3collab:a:x", "wopi:a:1", "cs3collab:a:-1"]
)
def test_foreign_lock_ids_are_not_taken_for_ours(text: str) -> None:
    assert arbiter.parse_lock_id(text) is None


@given(st.text(min_size=1), st.integers(min_value=0, max_value=10**20 - 1))
def test_lock_ids_come_back_as_they_were(authority: str, epoch: int) -> None:
    assert arbiter.parse_lock_id(arbiter.lock_id(authority, epoch)) == (authority, epoch)


EVENTS = st.one_of(
    st.builds(lambda: "want"),
    st.sampled_from([Granted(), Refused(), Doubt()]),
    st.just("found"),
    st.just("gone"),
    st.just("unanswered"),
    st.just("release"),
    st.sampled_from(["seen nothing", "seen another", "no locks"]),
)


@given(st.lists(st.tuples(EVENTS, st.floats(0, 40), st.floats(-1000, 1000))))
def test_no_lock_id_is_ever_used_twice_and_nothing_is_written_past_a_deadline(
    events: list[tuple[object, float, float]],
) -> None:
    claim, now, seen, granted = FREE, NOW, [0], float("-inf")
    for event, passed, skew in events:
        now += passed
        wall = WALL + now + skew
        made = {
            "want": Want(now, wall),
            "found": Found(ours("relay-b"), now, wall),
            "gone": Gone(now, wall),
            "unanswered": Unanswered(now),
            "release": Release(wall),
            "seen nothing": arbiter.Seen(None, wall),
            "seen another": arbiter.Seen(ours("relay-b"), wall),
            "no locks": NoLocks(now),
        }
        if event == Granted() and claim.phase in (Phase.ACQUIRING, Phase.REFRESHING):
            granted = claim.started
        claim, action = step(claim, made[event] if isinstance(event, str) else event)  # type: ignore[arg-type]
        if isinstance(action, Set) or (isinstance(action, Refresh) and action.existing_lock_id):
            assert claim.epoch > max(seen)
            seen.append(claim.epoch)
        if claim.phase is not Phase.UNSUPPORTED and may_write(claim, now):
            assert now < granted + LIFETIME


@given(st.floats(-0.19 * LIFETIME, 0.19 * LIFETIME), st.floats(-0.3 * LIFETIME, 0.3 * LIFETIME), st.floats(0, 3 * LIFETIME))
def test_whoever_comes_next_gets_in_after_the_last_ones_deadline(skew: float, other_skew: float, age: float) -> None:
    """By the storage's clock, which ends the lock, and where it ends none by the next one's own."""
    claim, action = step(Claim("relay-a", LIFETIME), Want(NOW, WALL + skew))
    claim, _ = step(claim, Granted())
    assert isinstance(action, Set)
    assert action.lock.expires_at is not None
    ended = WALL + age >= action.lock.expires_at
    taken_over = arbiter.may_take_over(Claim("relay-b", LIFETIME), action.lock, WALL + age + other_skew)
    if ended or taken_over:
        assert not may_write(claim, NOW + age)
