"""What a history looks like and what of it may go: decided from positions, times, authors and sizes."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ystore import Retention, Version, covers, history, segment, snapshot
from ystore.covers import Covers
from ystore.history import DAY_S, Mark, Named
from ystore.segment import Info

NOON = 1_000 * DAY_S + DAY_S / 2
KIB = 2**10


def marks(*written: tuple[float, str]) -> list[Mark]:
    return [Mark(position, NOON + at, author) for position, (at, author) in enumerate(written, 1)]


def test_a_version_ends_at_a_pause_a_name_and_midnight() -> None:
    found = marks((0, "ann"), (10, "bob"), (20, "bob"), (700, "ann"), (710, "ann"), (DAY_S / 2 - 1, "eve"), (DAY_S / 2, "eve"))
    names = [Named(4, NOON + 700, "draft", 1), Named(5, NOON, "of another record", 2), Named(1, NOON, "", 3)]
    assert history.versions(found, names, 600, math.inf) == [
        Version(3, NOON + 20, ("bob", "ann"), 3),
        Version(4, NOON + 700, ("ann",), 1, "draft"),
        Version(5, NOON + 710, ("ann",), 1),
        Version(6, NOON + DAY_S / 2 - 1, ("eve",), 1),
        Version(7, NOON + DAY_S / 2, ("eve",), 1),
    ]


def test_a_clock_that_goes_back_ends_no_version() -> None:
    assert [v.position for v in history.versions(marks((0, ""), (-7200, ""), (-7199, ""), (1, "")), [], 600, 3600)] == [3, 4]


def test_a_day_of_steady_typing_has_hourly_versions() -> None:
    found = [Mark(n, 1_000 * DAY_S + 10 * n, "ann") for n in range(8640)]
    assert [(v.position, v.edits) for v in history.versions(found, [], 600, 3600)] == [(360 * h + 359, 360) for h in range(24)]
    name = [Named(100, found[100].at, "draft", 1)]
    assert [v.position for v in history.versions(found[:500], name, 600, 3600)] == [100, 460, 499], "an hour after the name"
    back = [mark._replace(at=mark.at - 7200 * (mark.position >= 100)) for mark in found[:500]]
    assert [v.position for v in history.versions(back, [], 600, 3600)] == [459, 499], "an hour by the clock that was put back"


EDITS = st.lists(st.tuples(st.floats(-1e5, 1e5), st.sampled_from(["ann", "bob", ""])), max_size=40)


@given(EDITS, st.floats(0, 1e5), st.floats(0, 1e5), st.sets(st.integers(1, 40)))
def test_versions_divide_the_history(edits: list[tuple[float, str]], gap_s: float, span_s: float, named: set[int]) -> None:
    found = marks(*edits)
    names = [Named(mark.position, mark.at, f"v{mark.position}", 1) for mark in found if mark.position in named]
    versions = history.versions(found, names, gap_s, span_s)
    positions = [version.position for version in versions]
    assert positions == sorted(set(positions))
    assert sum(version.edits for version in versions) == len(found)
    assert {n.position for n in names} <= set(positions)
    assert positions[-1:] == [mark.position for mark in found[-1:]]
    for before, version in pairwise([Version(0, 0, (), 0), *versions]):
        own = found[before.position : version.position]
        assert all(mark.at - min(m.at for m in own[:n]) < span_s for n, mark in enumerate(own) if n)
        assert (version.at, version.edits, set(version.authors)) == (own[-1].at, len(own), {mark.author for mark in own})


@pytest.mark.parametrize(
    ("at", "position"), [(-1, 0), (0, 1), (9, 1), (10, 2), (19, 2), (20, 3), (21, 5), (1000, 5)], ids=lambda value: str(value)
)
def test_a_position_by_time_goes_by_the_latest_time_so_far(at: float, position: int) -> None:
    found = marks((0, ""), (10, ""), (20, ""), (21, ""), (-50, ""))
    assert history.position_at(found, NOON + at) == position


@given(
    st.lists(st.tuples(st.integers(1, 5), st.sampled_from([1.0, 2.0]), st.sampled_from("ab"), st.integers(1, 9)), max_size=20)
)
def test_names_of_several_writers_are_united_in_any_order(written: list[tuple[int, float, str, int]]) -> None:
    names = [Named(*fields) for fields in written]
    half = len(names) // 2
    united = history.merged(names)
    assert united == history.merged(names[half:], names[:half]) == history.merged(united, names)
    assert {(n.position, n.at) for n in united} == {(n.position, n.at) for n in names}
    assert all(n.revision == max(o.revision for o in names if (o.position, o.at) == (n.position, n.at)) for n in united)


def test_names_go_with_their_records() -> None:
    names = [Named(3, 1.0, "ours", 1), Named(3, 2.0, "theirs", 1)]
    assert history.moved(names, {(3, 2.0): 9}) == (Named(3, 1.0, "ours", 1), Named(9, 2.0, "theirs", 1))


def test_a_named_record_that_was_moved_is_found_by_its_time() -> None:
    found = [Mark(1, 1.0, ""), Mark(2, 9.0, ""), Mark(3, 5.0, ""), Mark(7, 2.0, ""), Mark(8, 3.0, ""), Mark(9, 1.0, "")]
    names = [Named(1, 1.0, "there", 1), Named(2, 2.0, "moved", 1), Named(8, 5.0, "once twice", 1), Named(4, 4.0, "gone", 1)]
    assert history.strayed(names, found) == {(2, 2.0): 7, (8, 5.0): 3}


@pytest.mark.parametrize("name", ["x" * 201, "two\nlines", "\x1b[2J"])
def test_a_name_is_a_short_line(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        history.checked_name(name)
    assert history.checked_name("  sent to the reviewers ") == "sent to the reviewers"


OBJECTS = st.sets(st.tuples(st.sampled_from(["a" * 16, "b" * 16]), st.integers(0, 30)))


def named(objects: set[tuple[str, int]]) -> set[str]:
    return {f"{number:012x}-{writer}-{number:06x}.yseg" for writer, number in objects}


@given(OBJECTS, OBJECTS, st.sets(st.sampled_from(["x.yseg", "y.ysnap"])))
def test_covers_are_sets_of_names(one: set[tuple[str, int]], two: set[tuple[str, int]], odd: set[str]) -> None:
    left, right = Covers.of(named(one) | odd), Covers.of(named(two))
    united = covers.union([left, right])
    assert united == Covers.of(named(one | two) | odd)
    assert {name for name in named({(w, n) for w in ("a" * 16, "b" * 16) for n in range(32)}) if name in united} == named(
        one | two
    )
    assert all(name in united for name in odd)
    assert left.meets(right) == bool(one & two)
    assert bool(left) == bool(one or odd)
    assert covers.from_json(covers.to_json(united)) == united
    assert covers.from_json(sorted(named(one) | odd)) == left


def test_what_a_writer_wrote_in_a_row_takes_no_room() -> None:
    assert len(str(covers.to_json(Covers.of(named({("a" * 16, n) for n in range(100_000)}))))) < 60


def seg(first: int, last: int, size: int = KIB, dated: float = NOON, covered: Covers | None = None, raw: int = 0) -> Info:
    name = f"{first:012x}-{'a' * 16}-{first:06x}.yseg"
    return Info(name, "line", first, last, 1, covered or Covers(), dated, sealed=dated, size=size, raw=raw)


def days(*ages: float) -> list[Info]:
    return [seg(n, n, dated=NOON - age * DAY_S) for n, age in enumerate(ages, 1)]


@pytest.mark.parametrize(
    ("past", "retention", "count"),
    [
        ([], Retention(), 0),
        (days(40, 32, 29, 1), Retention(), 2),
        (days(30.5, 29), Retention(), 0),
        (days(32, 30.5, 29), Retention(), 2),
        (days(400, 300), Retention(None, None), 0),
        (days(1, 40), Retention(), 0),
        (days(-20_000, 40), Retention(), 0),
        (days(1, 0.1), Retention(age_s=0), 2),
        ([seg(n, n, 100) for n in range(1, 11)], Retention(None, 1000), 0),
        ([seg(n, n, 101) for n in range(1, 11)], Retention(None, 1000), 3),
        ([seg(1, 1, 5000)], Retention(None, 1000), 1),
        ([seg(1, 1, 1)], Retention(None, 0), 1),
        ([Info("old.yseg", "line", 1, 1, 1, size=10), *days(0)], Retention(), 0),
    ],
)
def test_what_may_go(past: list[Info], retention: Retention, count: int) -> None:
    assert snapshot.outlived(past, retention, NOON) == count


def firsts(groups: list[list[Info]]) -> list[list[int]]:
    return [[info.first for info in group] for group in groups]


MOST = snapshot.limits(Retention())


def test_segments_behind_the_snapshot_become_one() -> None:
    past = [seg(n, n) for n in range(1, 6)]
    assert firsts(snapshot.groups(past, {i.name for i in past[2:]}, MOST)) == [[3, 4, 5]]
    assert snapshot.groups(past, {past[-1].name}, MOST) == []
    assert snapshot.groups(past, set(), MOST) == []


def test_only_neighbours_are_merged() -> None:
    past = [seg(n, n) for n in range(1, 7)]
    tail = {past[n].name for n in (0, 1, 3, 4, 5)}
    assert firsts(snapshot.groups(past, tail, MOST)) == [[1, 2], [4, 5, 6]]


def test_merged_segments_stay_small_and_of_one_time() -> None:
    large = [seg(n, n, MOST.size // 2) for n in range(1, 6)]
    assert firsts(snapshot.groups(large, {i.name for i in large}, MOST)) == [[1, 2], [3, 4]]
    apart = days(29, 28, 20, 19)
    assert firsts(snapshot.groups(apart, {i.name for i in apart}, MOST)) == [[1, 2], [3, 4]]
    loose = [seg(n, n, raw=MOST.raw // 2) for n in range(1, 4)]
    assert firsts(snapshot.groups(loose, {i.name for i in loose}, MOST)) == [[1, 2]]


def test_many_merges_leave_few_segments_and_rewrite_each_record_seldom() -> None:
    past: list[Info] = []
    written = 0
    for position in range(1, 3001):
        past += [seg(2 * position, 2 * position, 500), seg(2 * position + 1, 2 * position + 1, 500)]
        for group in snapshot.groups(past, {i.name for i in past[-2:]}, MOST):
            size = sum(i.size for i in group)
            written += size
            start = past.index(group[0])
            past[start : start + len(group)] = [seg(group[0].first, group[-1].last, size)]
    assert sum(i.size for i in past) == 3_000_000
    assert len(past) < 40
    assert written < 4.5 * 3_000_000


def test_a_few_keystrokes_more_do_not_rewrite_those_of_before() -> None:
    past: list[Info] = []
    rewritten = 0
    for n in range(200):
        past.append(seg(64 * n + 1, 64 * n + 64, 450))
        for group in snapshot.groups(past, {past[-1].name}, MOST):
            first, last = group[0].first, group[-1].last
            rewritten += last - first + 1
            start = past.index(group[0])
            past[start : start + len(group)] = [seg(first, last, 250 + 3 * (last - first + 1))]
    assert rewritten < 3 * 200 * 64
    assert len(past) < 20


def kept(kind: str, last: int, *stands_for: Info, horizon: int = 0) -> Info:
    return Info(f"{last}{kind}", "line", 1, last, 1, snapshot.covered_by(stands_for), horizon=horizon)


def test_behind_a_horizon_nothing_is_left_but_what_is_pinned() -> None:
    a, b, c = seg(1, 10), seg(11, 20), seg(21, 30)
    begin, pin = kept(".yhor", 20, a, b), kept(".ypin", 7)
    snap = kept(".ysnap", 30, a, b, c, begin, pin, horizon=20)
    everything = [a, b, c, begin, pin, snap]
    assert segment.horizon(everything) == 20
    assert segment.live(everything) == [snap]
    assert segment.history(everything) == [c]
    assert segment.replaced(everything) == {a.name, b.name}
    assert segment.state_at(everything, 7) == [pin]
    assert segment.state_at(everything, 8) is None
    assert segment.state_at(everything, 20) == [begin]
    assert segment.state_at(everything, 25) == [begin, c]
    assert segment.state_at(everything, 30) == [snap]
    without_snapshot = [c, begin, pin]
    assert segment.live(without_snapshot) == [begin, pin, c], "the document is whole without its snapshot"


def test_a_lost_horizon_is_not_taken_for_an_empty_beginning() -> None:
    c = seg(21, 30)
    snap, later = kept(".ysnap", 30, c, horizon=20), seg(31, 40)
    assert segment.horizon([c, snap, later]) == 30
    assert segment.state_at([c, snap, later], 25) is None
    assert segment.state_at([c, snap, later], 35) == [snap, later]


def test_a_branch_that_a_horizon_passed_by_gets_new_positions() -> None:
    a, b, foreign = seg(1, 10), seg(11, 20), Info("f.yseg", "line", 5, 8, 4)
    begin = kept(".yhor", 10, a)
    assert segment.divergent([b, begin, foreign]) == [foreign]
    straddling = seg(6, 20, covered=Covers.of([a.name, b.name]))
    assert segment.divergent([begin, straddling]) == []


def test_a_state_with_records_that_were_moved_is_no_base() -> None:
    ours, theirs = seg(1, 5), Info("t.yseg", "line", 4, 5, 2)
    snap = kept(".ysnap", 5, theirs)
    moved = Info("m.yseg", "line", 6, 7, 2, snapshot.covered_by([theirs]))
    assert segment.state_at([ours, snap, moved], 5) == [ours]
