"""Which cell is which in three notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cs3collab.merge import notebook
from cs3collab.merge.alignment import Cell, align, ids, key
from cs3collab.merge.cells import without_id


@dataclass(slots=True)
class Numbered:
    """The cells of three notebooks by number: the same number is the same cell. If those of base have ids, all do."""

    base: dict[int, Cell]
    ours: dict[int, Cell]
    theirs: dict[int, Cell]


def number(base: Sequence[Cell], ours: Sequence[Cell], theirs: Sequence[Cell], *, exact: bool = False) -> Numbered:
    """`exact`: between base and ours, ids tell, and nothing else."""
    both_added = (ids(ours) & ids(theirs)) - ids(base)
    pairs = align(base, theirs)
    if any(theirs[j].get("id") in both_added for j in pairs.values()):  # only then, so that it is the same when merged again
        pairs = align(base, theirs, both_added)
    if ids(base) and not ids(base) & ids(theirs):
        theirs = named_by(base, theirs, pairs)
        both_added = (ids(ours) & ids(theirs)) - ids(base)
    to_theirs = {j: i for i, j in pairs.items()}
    to_ours = _by_id(base, ours) if exact else _numbers_of_ours(base, ours, theirs, to_theirs, both_added)
    our_numbers = [to_ours.get(j, len(base) + j) for j in range(len(ours))]
    added = {j: number for j, number in enumerate(our_numbers) if j not in to_ours}
    nothing_known = not base and not ids(theirs)
    alike = align(theirs, ours) if nothing_known else _added_alike(ours, theirs, to_ours, to_theirs)
    fresh = len(base) + len(ours)
    their_numbers = [to_theirs[j] if j in to_theirs else added.get(alike.get(j, -1), fresh + j) for j in range(len(theirs))]
    return Numbered(
        dict(enumerate(base)), dict(zip(our_numbers, ours, strict=True)), dict(zip(their_numbers, theirs, strict=True))
    )


def named_by(old: Sequence[Cell], new: Sequence[Cell], pairs: dict[int, int]) -> list[Cell]:
    """The cells `new` with the ids of those of `old` that they are by `pairs`. Others keep theirs, or get one.

    All depends on these two only, so that it is the same when what comes of it is merged again.
    """
    own = ids(new)
    names = {j: cell["id"] for j, cell in enumerate(new) if cell.get("id") in own}
    names |= {j: old[i]["id"] for i, j in pairs.items() if "id" in old[i]}
    cells = [without_id(cell) | ({"id": names[j]} if j in names else {}) for j, cell in enumerate(new)]
    return notebook.with_cell_ids(cells, ids(old))


def _by_id(base: Sequence[Cell], ours: Sequence[Cell]) -> dict[int, int]:
    at = {cell["id"]: i for i, cell in enumerate(base)}
    return {j: at[cell["id"]] for j, cell in enumerate(ours) if cell.get("id") in at}


def _numbers_of_ours(
    base: Sequence[Cell], ours: Sequence[Cell], theirs: Sequence[Cell], to_theirs: dict[int, int], apart: set[str]
) -> dict[int, int]:
    """Index in ours to index in base. Where content has to tell and ours is more like theirs than base, it has theirs."""
    directly = align(base, ours, apart)
    over_theirs = align(theirs, ours, apart) if 2 * len(ids(base) & ids(ours)) < min(len(base), len(ours)) else {}
    if not over_theirs or _differences(theirs, ours, over_theirs) >= _differences(base, ours, directly):
        return {j: i for i, j in directly.items()}
    known = {j: to_theirs[at] for at, j in over_theirs.items() if at in to_theirs}
    left = sorted(set(range(len(base))) - set(to_theirs.values()))
    our_left = sorted(set(range(len(ours))) - set(over_theirs.values()))
    rest = align([base[i] for i in left], [ours[j] for j in our_left], apart)
    return known | {our_left[j]: left[i] for i, j in rest.items()}


def _differences(old: Sequence[Cell], new: Sequence[Cell], pairs: dict[int, int]) -> int:
    return len(old) + len(new) - 2 * sum(key(old[i]) == key(new[j]) for i, j in pairs.items())


def _added_alike(
    ours: Sequence[Cell], theirs: Sequence[Cell], to_ours: dict[int, int], to_theirs: dict[int, int]
) -> dict[int, int]:
    """Index in theirs to index in ours of cells that both added: with the same id, or equal and between the same cells."""
    left = [j for j in range(len(ours)) if j not in to_ours]
    by_id = {ours[j]["id"]: j for j in left if "id" in ours[j]}
    names = notebook.with_cell_ids(list(theirs)) if by_id else list(theirs)
    alike = {j: by_id[names[j]["id"]] for j in range(len(theirs)) if j not in to_theirs and names[j].get("id") in by_id}
    places: dict[tuple[object, ...], list[int]] = {}
    gaps, their_gaps = _gaps(len(ours), to_ours), _gaps(len(theirs), to_theirs)
    for j in set(left) - set(alike.values()):
        for end in gaps[j]:
            places.setdefault((key(ours[j]), end), []).append(j)
    used = set(alike.values())
    for j in range(len(theirs)):
        if j in to_theirs or j in alike:
            continue
        found = [i for end in their_gaps[j] for i in places.get((key(theirs[j]), end), ()) if i not in used]
        if found:
            alike[j] = min(found)
            used.add(alike[j])
    return alike


def _gaps(length: int, to_base: dict[int, int]) -> list[tuple[tuple[str, int], tuple[str, int]]]:
    """For each cell the last known one before it and the first one after it."""
    before, last = [], -1
    for at in range(length):
        last = to_base.get(at, last)
        before.append(last)
    after, first = [], -1
    for at in reversed(range(length)):
        first = to_base.get(at, first)
        after.append(first)
    return [(("after", i), ("before", j)) for i, j in zip(before, reversed(after), strict=True)]
