"""The order of merged cells."""

from __future__ import annotations

import itertools

from hypothesis import example, given, settings
from hypothesis import strategies as st

from cs3collab.merge.ordering import merge_order

CELLS = range(6)


@st.composite
def side(draw: st.DrawFn, added: range) -> list[int]:
    """Some of the cells of the base, in some order, and some new ones."""
    some = draw(st.lists(st.sampled_from(CELLS), unique=True, max_size=6))
    kept = sorted(some) if draw(st.booleans()) else some
    for cell in added:
        if draw(st.booleans()):
            kept.insert(draw(st.integers(0, len(kept))), cell)
    return kept


OURS, THEIRS = side(range(10, 13)), side(range(20, 23))


@settings(deadline=None, max_examples=300)
@given(OURS, THEIRS)
def test_every_cell_is_there_once(ours: list[int], theirs: list[int]) -> None:
    dropped = set(CELLS) - (set(ours) & set(theirs))
    order = merge_order(list(CELLS), ours, theirs, dropped)
    assert sorted(order) == sorted((set(ours) | set(theirs)) - dropped)


@settings(deadline=None, max_examples=300)
@given(OURS, THEIRS)
def test_who_did_not_move_cells_gets_the_order_of_the_other(ours: list[int], theirs: list[int]) -> None:
    dropped = set(CELLS) - (set(ours) & set(theirs))
    assert merge_order(list(CELLS), ours, list(CELLS), ()) == ours
    plain = sorted(set(CELLS) & set(ours))
    order = merge_order(list(CELLS), plain, theirs, dropped)
    assert order == [cell for cell in theirs if cell not in dropped]


@settings(deadline=None, max_examples=300)
@given(OURS, THEIRS)
@example([300, 0, 3, 5, 2, 1, 4, 100], [0, 3, 4, 300, 1, 2, 5])
def test_merged_again_it_is_the_same(ours: list[int], theirs: list[int]) -> None:
    dropped = set(CELLS) - (set(ours) & set(theirs))
    order = merge_order(list(CELLS), ours, theirs, dropped)
    assert merge_order(list(CELLS), order, theirs, dropped) == order


@settings(deadline=None)
@given(OURS)
def test_ours_keeps_its_order_when_theirs_moved_nothing(ours: list[int]) -> None:
    theirs = [*CELLS[:3], 20, *CELLS[3:]]
    order = merge_order(list(CELLS), ours, theirs, set(CELLS) - set(ours))
    assert [cell for cell in order if cell in ours] == ours
    assert all(cell in (*ours, 20) for cell in order)
    assert len(list(itertools.groupby(order))) == len(order)
