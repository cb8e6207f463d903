"""How one text becomes another by small edits: by line, within changed lines by word, within changed words by character."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from cs3collab.merge.sequences import edits

_LINE = re.compile(r"[^\n]*\n|[^\n]+\Z")
_TOKEN = re.compile(r"\w+|\s|[^\w\s]")


class TextEdit(NamedTuple):
    """``old[start:end]`` is replaced by `text`."""

    start: int
    end: int
    text: str


def text_edits(old: str, new: str) -> list[TextEdit]:
    """In order, none empty, and something that stays between each two."""
    return [
        each
        for start, was, now in _replaced(_LINE, 0, old, new)
        for token_start, token, other in _replaced(_TOKEN, start, was, now)
        for each in _trimmed(token_start, token, other)
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


def _trimmed(start: int, old: str, new: str) -> Iterator[TextEdit]:
    most = min(len(old), len(new))
    head = next((at for at in range(most) if old[at] != new[at]), most)
    tail = next((at for at in range(most - head) if old[-1 - at] != new[-1 - at]), most - head)
    yield TextEdit(start + head, start + len(old) - tail, new[head : len(new) - tail])
