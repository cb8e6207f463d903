"""Which line became which other where a comparison only knows that these lines stand in place of those."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

ALIKE = 0.6
"""From here on one is taken for what became of the other; `difflib.get_close_matches` has the same."""
_MOST_COMPARED = 400
"""Pairs of lines; among more, nothing is said to be alike."""
_COMPARED_CHARACTERS = 200
_TELLING = 3
"""Characters that a line needs to be known again."""
_WRITTEN_INTO = 0.9
"""Of a line with all of the other, and more in one place."""


def likeness(line: str, others: Sequence[str]) -> float:
    """From 0 to 1: to the likest of `others`."""
    if len(others) > _MOST_COMPARED:
        return 0.0
    return max((_ratio(line.strip(), other.strip()) for other in others), default=0.0)


def successors(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """Index in `old` and in `new` of what is alike, growing in both, as much alike in all as can be."""
    if len(old) * len(new) > _MOST_COMPARED:
        return []
    ratios = [[_ratio(line.strip(), other.strip()) for other in new] for line in old]
    best = [[0.0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i in reversed(range(len(old))):
        for j in reversed(range(len(new))):
            taken = best[i + 1][j + 1] + ratios[i][j] if ratios[i][j] >= ALIKE else 0.0
            best[i][j] = max(taken, best[i + 1][j], best[i][j + 1])
    pairs = []
    i = j = 0
    while i < len(old) and j < len(new):
        if best[i][j] == best[i + 1][j]:
            i += 1
        elif best[i][j] == best[i][j + 1]:
            j += 1
        else:
            pairs.append((i, j))
            i, j = i + 1, j + 1
    return pairs


def _ratio(line: str, other: str) -> float:
    short, long = sorted((line[:_COMPARED_CHARACTERS], other[:_COMPARED_CHARACTERS]), key=len)
    if len(short) < _TELLING:
        return 0.0
    head = next((at for at, (one, two) in enumerate(zip(short, long, strict=False)) if one != two), len(short))
    if long.endswith(short[head:]):
        return _WRITTEN_INTO
    return SequenceMatcher(None, short, long, autojunk=False).ratio()
