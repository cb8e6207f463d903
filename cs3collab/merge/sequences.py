"""What two sequences have in common, in bounded time: the ground under the merge of lines and of cells.

Anchors are the items that occur once in both (patience diff, as Bram Cohen described it); what lies between two of them is
compared by `difflib`, unless so much repeats there that this would take long. Then it counts as replaced as a whole.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

_MAX_COMPARISONS = 3_000_000
"""Of items between two anchors, about half a second of difflib at worst."""
_MAX_ROUNDS = 12
"""Between anchors there can be new ones, and so on."""


class Edit(NamedTuple):
    """``old[lo:hi]`` became ``new[new_lo:new_hi]``. Edits of one pair are ordered, and a common item lies between two."""

    lo: int
    hi: int
    new_lo: int
    new_hi: int

    @property
    def grows(self) -> bool:
        return self.new_hi - self.new_lo > self.hi - self.lo


def edits(old: Sequence[Hashable], new: Sequence[Hashable]) -> list[Edit]:
    """How `old` becomes `new`."""
    result = []
    lo = new_lo = 0
    for i, j in [*matches(old, new), (len(old), len(new))]:
        if lo < i or new_lo < j:
            result.append(Edit(lo, i, new_lo, j))
        lo, new_lo = i + 1, j + 1
    return result


def matches(old: Sequence[Hashable], new: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Pairs of equal items, growing in both."""
    found: list[tuple[int, int]] = []
    todo = [(0, len(old), 0, len(new), 0)]
    while todo:
        lo, hi, new_lo, new_hi, rounds = todo.pop()
        while lo < hi and new_lo < new_hi and old[lo] == new[new_lo]:
            found.append((lo, new_lo))
            lo, new_lo = lo + 1, new_lo + 1
        while lo < hi and new_lo < new_hi and old[hi - 1] == new[new_hi - 1]:
            hi, new_hi = hi - 1, new_hi - 1
            found.append((hi, new_hi))
        if lo == hi or new_lo == new_hi:
            continue
        anchors = _anchors(old, new, (lo, hi), (new_lo, new_hi)) if rounds < _MAX_ROUNDS else []
        if not anchors:
            found += ((lo + i, new_lo + j) for i, j in _plainly(old[lo:hi], new[new_lo:new_hi]))
            continue
        for i, j in anchors:
            todo.append((lo, i, new_lo, j, rounds + 1))
            found.append((i, j))
            lo, new_lo = i + 1, j + 1
        todo.append((lo, hi, new_lo, new_hi, rounds + 1))
    return sorted(found)


def _anchors(
    old: Sequence[Hashable], new: Sequence[Hashable], within: tuple[int, int], new_within: tuple[int, int]
) -> list[tuple[int, int]]:
    counts, new_counts = Counter(old[slice(*within)]), Counter(new[slice(*new_within)])
    where = {new[j]: j for j in range(*new_within) if new_counts[new[j]] == 1}
    pairs = [(i, where[old[i]]) for i in range(*within) if counts[old[i]] == 1 and old[i] in where]
    return [pairs[at] for at in heaviest_rising([j for _, j in pairs])]


def _plainly(old: Sequence[Hashable], new: Sequence[Hashable]) -> Iterator[tuple[int, int]]:
    counts, new_counts = Counter(old), Counter(new)
    comparisons = sum(count * new_counts[item] for item, count in counts.items())
    if comparisons * min(len(old), len(new)) > _MAX_COMPARISONS:
        return
    for block in SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks():
        yield from ((block.a + k, block.b + k) for k in range(block.size))


def heaviest_rising(values: Sequence[int], weights: Sequence[int] | None = None) -> list[int]:
    """Indices of the strictly rising subsequence of distinct `values` with the greatest weight, by default the longest."""
    ends: list[int] = []  # values, rising; with them the weight of the best subsequence that ends there, rising too
    best: list[tuple[int, int]] = []
    before: list[int] = []
    for index, value in enumerate(values):
        at = bisect_left(ends, value)
        weight = (best[at - 1][0] if at else 0) + (weights[index] if weights else 1)
        before.append(best[at - 1][1] if at else -1)
        stop = at
        while stop < len(ends) and best[stop][0] <= weight:
            stop += 1
        if at == stop and at < len(ends) and ends[at] == value:
            continue
        ends[at:stop] = [value]
        best[at:stop] = [(weight, index)]
    chain = []
    index = best[-1][1] if best else -1
    while index >= 0:
        chain.append(index)
        index = before[index]
    return chain[::-1]
