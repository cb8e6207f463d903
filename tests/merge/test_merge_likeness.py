"""Which line became which."""

from __future__ import annotations

from cs3collab.merge.likeness import likeness, successors

EDITED = ["x = load(a)", "y = clean(x)", "plot(y)"]


def test_edited_lines_are_found_between_new_ones() -> None:
    assert successors(EDITED, ["# first", "x = load(b)", "z = 1", "plot(y, z)"]) == [(0, 1), (2, 3)]


def test_what_was_written_into_a_short_line_is_like_it() -> None:
    assert likeness("# fit to the first hundred values", ["# fit"]) > 0.6
    assert likeness("# fit", ["plot"]) < 0.6


def test_little_and_nothing_are_like_nothing() -> None:
    assert likeness("", [""]) == likeness("x", ["xx"]) == likeness("abc", []) == 0


def test_lines_that_repeat_go_in_order() -> None:
    assert successors(["print(i)", "print(i)"], ["print(i, 1)", "print(i, 2)", "new"]) == [(0, 0), (1, 1)]


def test_many_lines_are_not_compared() -> None:
    assert successors(["same text"] * 100, ["same text"] * 100) == []
