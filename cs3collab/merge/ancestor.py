"""Which of our versions somebody else's was made from: who writes an old copy back has not deleted what came after it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from cs3collab.merge.notebook import Notebook

_TELLING = 4
"""Characters that a line needs to be known again as a part of a longer one."""
_MUCH = 1_000_000
"""Pairs of lines that are compared; of larger texts only the beginning and the end that both have is common."""
_FEW = 200
"""More lines than that are not looked at one by one."""
RESTORED_S = 120.0
"""Who puts back a version older than this, in seconds, as it was, means it; a younger one was still on its way."""


class Difference(NamedTuple):
    """How many lines and outputs of the one are not in the other. A line that was only added to is not gone."""

    lacks: int
    adds: int


def differences(kind: str, bases: Sequence[bytes], theirs: bytes) -> list[Difference]:
    """What `theirs` lacks of each of `bases`, and has beyond. `kind` is ``notebook`` or ``file``."""
    after = _parts(kind, theirs)
    return [_difference(_parts(kind, base), after) for base in bases]


def _difference(before: Counter[Any], after: Counter[Any]) -> Difference:
    gone, new = _anywhere(before) - _anywhere(after), _anywhere(after) - _anywhere(before)
    grown = _grown([part for part in before if part[1:] in gone], [part for part in after if part[1:] in new])
    return Difference(max(0, gone.total() - grown), new.total())


def _anywhere(parts: Counter[Any]) -> Counter[Any]:
    """Whichever cell they stand in, for what is moved is not lost."""
    counted: Counter[Any] = Counter()
    for (_, *part), count in parts.items():
        counted[tuple(part)] += count
    return counted


def _grown(gone: list[Any], new: list[Any]) -> int:
    """How many lines go on in the same cell with something before or after them. Each is the continuation of one."""
    if len(gone) > _FEW or len(new) > _FEW:
        return 0
    count = 0
    for cell, kind, line in gone:
        longer = next((part for part in new if part[:2] == (cell, kind) and line in part[2]), None)
        if longer is not None and len(line.strip()) >= _TELLING:
            new.remove(longer)
            count += 1
    return count


def choose(found: Sequence[Difference], ages_s: Sequence[float]) -> int:
    """The index of the version that theirs was made from, of several, newest first: of what differs least from it.

    Where it is hard to say, that of which less is gone. What is one of them exactly was put back on purpose if it is old: then
    the newest was meant, all of it to be gone that came after.
    """
    best = min(range(len(found)), key=lambda n: (sum(found[n]), found[n].lacks, n))
    return 0 if found[best] == Difference(0, 0) and ages_s[best] > RESTORED_S else best


def common(ours: Notebook, theirs: Notebook) -> Notebook:
    """What two notebooks have in common, for want of what both were made from: so nothing of either counts as deleted.

    Where a cell has other outputs, other metadata or another type, ours is as if it were the newer.
    """
    mine = {cell["id"]: cell for cell in ours["cells"] if "id" in cell}
    both = [(mine[cell["id"]], cell) for cell in theirs["cells"] if cell.get("id") in mine]
    cells = [{**cell, "source": common_lines(my["source"], cell["source"])} for my, cell in both]
    return {**theirs, "cells": cells}


def common_lines(ours: str, theirs: str) -> str:
    """The lines that are in both, in order."""
    mine, other, lines = ours.splitlines(), theirs.splitlines(), theirs.splitlines(keepends=True)
    most = min(len(mine), len(other))
    start = next((n for n in range(most) if mine[n] != other[n]), most)
    end = next((n for n in range(most - start) if mine[-1 - n] != other[-1 - n]), most - start)
    left, right = mine[start : len(mine) - end], other[start : len(other) - end]
    blocks = SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks() if len(left) * len(right) < _MUCH else []
    between = [lines[start + block.b + n] for block in blocks for n in range(block.size)]
    return "".join([*lines[:start], *between, *lines[len(lines) - end :]])


def _parts(kind: str, content: bytes) -> Counter[Any]:
    """Lines, of a notebook those of its sources, and its outputs, as (cell, kind, text)."""
    if kind != "notebook":
        return Counter(("", "", line) for line in content.splitlines())
    try:
        cells = json.loads(content)["cells"]
        return Counter(part for cell in cells for part in _of_cell(cell))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Counter()


def _of_cell(cell: dict[str, Any]) -> Iterator[Any]:
    source, where = cell.get("source", ""), str(cell.get("id", ""))
    for line in ("".join(source) if isinstance(source, list) else source).splitlines():
        yield where, cell.get("cell_type"), line
    if outputs := cell.get("outputs"):
        yield where, "outputs", json.dumps(outputs, sort_keys=True)
