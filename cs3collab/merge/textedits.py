"""How one text becomes another by small edits: by line, within changed lines by word, within changed words by character."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from cs3collab.merge.sequences import edits

_LINE = re.compile(r"[^\n]*\n|[^\n]+\Z")
_TOKEN = re.compile(r"\w+|\s|[^\w\s]")
_MAX_REFINED = 20_000
"""Characters of changed lines that are compared by word."""


class TextEdit(NamedTuple):
    """``old[start:end]`` is replaced by `text`."""

    start: int
    end: int
    text: str


def text_edits(old: str, new: str) -> list[TextEdit]:
    """In order, none empty, and something that stays between each two."""
    return [
        _trimmed(token_start, token, other)
        for start, was, now in _replaced(_LINE, 0, old, new)
        for token_start, token, other in (
            _replaced(_TOKEN, start, was, now) if len(was) + len(now) <= _MAX_REFINED else [(start, was, now)]
        )
    ]


def _replaced(unit: re.Pattern[str], start: int, old: str, new: str) -> Iterator[tuple[int, str, str]]:
    """Where, what and by what, in whole units."""
    units, new_units = unit.findall(old), unit.findall(new)
    done = 0
    for edit in edits(units, new_units):
        start += sum(map(len, units[done : edit.lo]))
        was = "".join(units[edit.lo : edit.hi])
        yield start, was, "".join(new_units[edit.new_lo : edit.new_hi])
        start += len(was)
        done = edit.hi


def _trimmed(start: int, old: str, new: str) -> TextEdit:
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    return TextEdit(start + head, start + len(old) - tail, new[head : len(new) - tail])


def _common(one: str, other: str) -> int:
    """How many characters both begin with: by halves, for a loop over characters takes long where there are millions."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
