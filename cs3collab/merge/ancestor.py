"""Which of our versions somebody else's was made from: who writes an old copy back has not deleted what came after it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from cs3collab.merge.notebook import Notebook

RESTORED_S = 120.0
"""Who puts back a version older than this, in seconds, as it was, means it; a younger one was still on its way."""


class Difference(NamedTuple):
    """How many lines and outputs of the one are not in the other."""

    lacks: int
    adds: int


def differences(kind: str, bases: Sequence[bytes], theirs: bytes) -> list[Difference]:
    """What `theirs` lacks of each of `bases`, and has beyond. `kind` is ``notebook`` or ``file``."""
    after = _parts(kind, theirs)
    told = [_parts(kind, base) for base in bases]
    return [Difference((before - after).total(), (after - before).total()) for before in told]


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
    other = theirs.splitlines(keepends=True)
    blocks = SequenceMatcher(None, ours.splitlines(), theirs.splitlines(), autojunk=False).get_matching_blocks()
    return "".join(line for block in blocks for line in other[block.b : block.b + block.size])


def _parts(kind: str, content: bytes) -> Counter[Any]:
    """Lines, of a notebook those of its sources, and its outputs: wherever they stand, for what is moved is not lost."""
    if kind != "notebook":
        return Counter(content.splitlines())
    try:
        cells = json.loads(content)["cells"]
        return Counter(part for cell in cells for part in _of_cell(cell))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Counter()


def _of_cell(cell: dict[str, Any]) -> Iterator[Any]:
    source = cell.get("source", "")
    for line in ("".join(source) if isinstance(source, list) else source).splitlines():
        yield cell.get("cell_type"), line
    if outputs := cell.get("outputs"):
        yield json.dumps(outputs, sort_keys=True)
