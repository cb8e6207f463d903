"""Whether a text has in it already what another made of their base.

It has if a shortest way from the base to it leads over the other one: then all that the other added is there, in its place, and
nothing that it removed. Ways are counted in lines removed and added, exactly, so it does not depend on which of several equal
lines a comparison takes for which.
"""

from __future__ import annotations

from collections.abc import Sequence

from cs3collab.merge.likeness import ALIKE, likeness
from cs3collab.merge.sequences import edits

_MOST = 400_000_000
"""Pairs of lines that are compared, about a second."""


def includes(base: Sequence[str], ours: Sequence[str], theirs: Sequence[str]) -> bool:
    """Whether `ours` has all that `theirs` made of `base`."""
    whole, first, rest = distance(base, ours), distance(base, theirs), distance(theirs, ours)
    if whole is None or first is None or rest is None or first + rest != whole:
        return False
    added = [edit for edit in edits(theirs, ours) if edit.new_lo < edit.new_hi]
    return not any(
        _may_be_made_of(
            base[gone.lo : gone.hi],
            theirs[gone.new_lo : gone.new_hi],
            theirs[edit.lo : edit.hi],
            ours[edit.new_lo : edit.new_hi],
        )
        for gone in edits(base, theirs)
        for edit in added
        if edit.lo <= gone.new_hi and gone.new_lo <= edit.hi
    )


def distance(one: Sequence[str], other: Sequence[str]) -> int | None:
    """How many lines have to be removed and added to make one of the other; None if it would take too long to tell."""
    lo, most = 0, min(len(one), len(other))
    while lo < most and one[lo] == other[lo]:
        lo += 1
    hi = 0
    while hi < most - lo and one[-1 - hi] == other[-1 - hi]:
        hi += 1
    left, right = one[lo : len(one) - hi], other[lo : len(other) - hi]
    return len(left) + len(right) - 2 * _common(left, right) if len(left) * len(right) <= _MOST else None


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest common subsequence; the lines of `one` are bits of a number (Hyyrö 2004)."""
    where: dict[str, int] = {}
    for at, line in enumerate(one):
        where[line] = where.get(line, 0) | 1 << at
    row = full = (1 << len(one)) - 1
    for line in other:
        both = row & where.get(line, 0)
        row = (row + both | row - both) & full
    return len(one) - row.bit_count()


def _may_be_made_of(gone: Sequence[str], instead: Sequence[str], was: Sequence[str], now: Sequence[str]) -> bool:
    """Theirs has `instead` of `gone`, and right there ours has `now` instead of `was`: whether that may stem from what is gone.

    Then it is what ours made of lines that theirs removed, and not what ours has besides.
    """
    if sum(bool(line.strip()) for line in instead) >= len(gone) or (was and set(was) <= set(instead)):
        return False
    if not was:
        return True
    blank = not any(line.strip() for line in was)
    return any(likeness(line, gone) >= (ALIKE if blank else likeness(line, was)) for line in now)
