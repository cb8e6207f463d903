"""What two sequences have in common."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cs3collab.merge.lines import merge_texts
from cs3collab.merge.sequences import edits, heaviest_rising, matches

ITEMS = st.lists(st.sampled_from("abcd"), max_size=12)


@settings(deadline=None)
@given(ITEMS, ITEMS)
def test_edits_lead_from_one_to_the_other(old: list[str], new: list[str]) -> None:
    made, done = [], 0
    for edit in edits(old, new):
        assert edit.lo < edit.hi or edit.new_lo < edit.new_hi
        made += old[done : edit.lo] + new[edit.new_lo : edit.new_hi]
        done = edit.hi
    assert made + old[done:] == new


@settings(deadline=None)
@given(ITEMS, ITEMS)
def test_matches_are_equal_and_rise(old: list[str], new: list[str]) -> None:
    pairs = matches(old, new)
    assert all(old[i] == new[j] for i, j in pairs)
    assert all(i < k and j < n for (i, j), (k, n) in itertools.pairwise(pairs))
    assert len(matches(old, old)) == len(old)


@settings(deadline=None)
@given(st.permutations(range(7)), st.lists(st.integers(1, 9), min_size=7, max_size=7))
def test_the_heaviest_rising_subsequence(values: list[int], weights: list[int]) -> None:
    chosen = heaviest_rising(values, weights)
    assert all(i < j and values[i] < values[j] for i, j in itertools.pairwise(chosen))
    every = (some for n in range(8) for some in itertools.combinations(range(7), n))
    rising = (some for some in every if all(values[i] < values[j] for i, j in itertools.pairwise(some)))
    assert sum(weights[at] for at in chosen) == max(sum(weights[at] for at in some) for some in rising)


def random_lines(seed: int, alphabet: str, number: int) -> str:
    return "\n".join(random.Random(seed).choices(alphabet, k=number))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "three",
    [
        [random_lines(seed, "ab", 20_000) for seed in range(3)],
        [random_lines(seed, "abcdefghijklmnopqrstuvwxyz", 5_000) for seed in range(3)],
        ["a\n" * 50_000, "a\n" * 50_000 + "b", "b\n" + "a\n" * 49_000],
        ["b\n" * 20_000, "a\n" * 20_000, "a\n" * 10_000 + "c"],
        ["\n".join(map(str, range(30_000))), "\n".join(map(str, reversed(range(30_000)))), "x"],
    ],
    ids=["two lines", "few lines", "one line", "one for another", "the other way round"],
)
def test_the_worst_texts_are_merged_in_seconds(three: list[str]) -> None:
    """Unbounded, they take minutes, and the test's time is up."""
    merge_texts(*three)
