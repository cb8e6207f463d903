"""Whether one text has what another made of the base."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cs3collab.merge.included import distance, includes

LINES = st.lists(st.sampled_from("abc"), max_size=7)


def commons(one: list[str], other: list[str]) -> int:
    """The longest common subsequence, by trying all."""
    every = (some for n in range(len(one), -1, -1) for some in itertools.combinations(one, n))
    return next(len(some) for some in every if is_within(some, other))


def is_within(some: tuple[str, ...], other: list[str]) -> bool:
    rest = iter(other)
    return all(item in rest for item in some)


@settings(deadline=None)
@given(LINES, LINES)
def test_the_distance_is_exact(one: list[str], other: list[str]) -> None:
    assert distance(one, other) == distance(other, one) == len(one) + len(other) - 2 * commons(one, other)


def test_what_would_take_long_is_not_known() -> None:
    one, other = (["x", *side * 30_000, "y"] for side in (["a"], ["b"]))
    assert distance(one, other) is None
    assert not includes(one, other, [*one, "z"])


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "included"),
    [
        ("a|b", "a|B|c", "a|B", True),
        ("a|b", "a|b", "a|B", False),
        ("a|b|c", "a", "a|b", True),
        ("b", "a|b", "b|b", False),
        ("x|x|y", "x|X|added|y", "x|X|y", True),
        ("line one|line two", "line one!", "line one", True),
        ("line one|line two", "line two!", "line one", False),
        ("line one|line two", "line one|new", "line one", False),
        ("a|b", "A", "b", False),
    ],
)
def test_included(base: str, ours: str, theirs: str, included: bool) -> None:
    assert includes(base.split("|"), ours.split("|"), theirs.split("|")) is included
