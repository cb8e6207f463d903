"""Three-way merge of notebooks, by cell. Where both sides changed the same, ours stays and the conflict tells of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nbformat.validator import ValidationError

from cs3collab.merge import notebook
from cs3collab.merge.alignment import Cell, align, ids, key
from cs3collab.merge.cells import is_edited, merge_cell, without_id
from cs3collab.merge.ordering import merge_order
from cs3collab.merge.records import Conflict, Kind, MergeResult, Notebook
from cs3collab.merge.values import merge_objects

__all__ = ["Conflict", "Kind", "MergeResult", "merge_notebooks"]


def merge_notebooks(base: Notebook, ours: Notebook, theirs: Notebook) -> MergeResult:
    """What `ours` and `theirs` made of `base`, as `notebook.parse` gives them. Cells keep the ids they have in `ours`.

    None of them is changed. The result is valid if all three are.
    """
    cells, conflicts, changed = _merge_cells(*_cells(base, ours, theirs))
    cells = cells or (ours["cells"] if not base["cells"] else [])
    metadata, clashes = merge_objects(*(nb.get("metadata", {}) for nb in (base, ours, theirs)))
    conflicts += (Conflict("", Kind.METADATA, *clash[1:], path=clash.path) for clash in clashes)
    version = max((nb["nbformat"], nb["nbformat_minor"]) for nb in (ours, theirs))
    merged = {**ours, "metadata": metadata, "nbformat": version[0], "nbformat_minor": version[1], "cells": cells}
    if notebook.has_cell_ids(merged) or any("id" in cell for cell in ours["cells"]):
        merged["cells"] = notebook.with_cell_ids(cells)
    if not _is_valid(merged, (ours, theirs)):
        return MergeResult(ours, [Conflict("", Kind.INVALID, base, ours, theirs)], changed)
    return MergeResult(merged, conflicts, changed)


def _cells(base: Notebook, ours: Notebook, theirs: Notebook) -> tuple[list[Cell], list[Cell], list[Cell]]:
    """JupyterLab shows a notebook without cells as one that is blank; whoever adds cells does not add it to them."""
    before, mine, other = base["cells"], ours["cells"], theirs["cells"]
    if not before and [cell.get("id") for cell in mine[:1]] != [cell.get("id") for cell in other[:1]]:
        mine, other = (cells if len(cells) != 1 or not _is_placeholder(cells[0]) else [] for cells in (mine, other))
    return before, mine, other


def _is_placeholder(cell: Cell) -> bool:
    metadata = {key: value for key, value in cell.get("metadata", {}).items() if key != "trusted"}
    return {**without_id(cell), "metadata": metadata} == notebook.blank_cell()


@dataclass(slots=True)
class _Numbered:
    """The cells of three notebooks by number: the same number is the same cell."""

    base: dict[int, Cell]
    ours: dict[int, Cell]
    theirs: dict[int, Cell]


def _number(base: Sequence[Cell], ours: Sequence[Cell], theirs: Sequence[Cell]) -> _Numbered:
    both_added = (ids(ours) & ids(theirs)) - ids(base)
    to_ours = {j: i for i, j in align(base, ours, both_added).items()}
    to_theirs = {j: i for i, j in align(base, theirs, both_added).items()}
    our_numbers = [to_ours.get(j, len(base) + j) for j in range(len(ours))]
    added = {j: number for j, number in enumerate(our_numbers) if j not in to_ours}
    nothing_known = not base and not ids(theirs)
    alike = align(theirs, ours) if nothing_known else _added_alike(ours, theirs, to_ours, to_theirs)
    fresh = len(base) + len(ours)
    their_numbers = [to_theirs[j] if j in to_theirs else added.get(alike.get(j, -1), fresh + j) for j in range(len(theirs))]
    return _Numbered(
        dict(enumerate(base)), dict(zip(our_numbers, ours, strict=True)), dict(zip(their_numbers, theirs, strict=True))
    )


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


def _merge_cells(base: list[Cell], ours: list[Cell], theirs: list[Cell]) -> tuple[list[Cell], list[Conflict], frozenset[str]]:
    numbered = _number(base, ours, theirs)
    merged: dict[int, Cell] = {}
    conflicts: dict[int, list[Conflict]] = {}
    for number in {**numbered.ours, **numbered.base, **numbered.theirs}:
        cell, conflicts[number] = _merged(*(cells.get(number) for cells in (numbered.base, numbered.ours, numbered.theirs)))
        if cell is not None:
            merged[number] = cell
    dropped = (numbered.base.keys() | numbered.ours.keys() | numbered.theirs.keys()) - merged.keys()
    order = merge_order(list(numbered.base), list(numbered.ours), list(numbered.theirs), dropped)
    our_ids = {cell["id"] for cell in ours if "id" in cell}
    cells = [
        cell if number in numbered.ours and "id" in cell else _named(cell, numbered.theirs.get(number, {}).get("id"), our_ids)
        for number, cell in ((number, merged[number]) for number in order)
    ]
    changed = (
        cell["id"]
        for number, cell in numbered.ours.items()
        if "id" in cell and not (number in numbered.base and _equal(numbered.base[number], cell))
    )
    found = [conflict for number in [*order, *sorted(dropped)] for conflict in conflicts[number]]
    return cells, found, frozenset(changed)


def _merged(base: Cell | None, ours: Cell | None, theirs: Cell | None) -> tuple[Cell | None, list[Conflict]]:
    """The cell, or None if it goes."""
    if ours is not None and theirs is not None:
        return merge_cell(base, ours, theirs)
    left = ours or theirs
    if base is None or left is None:
        return left, []
    if not is_edited(base, left):
        return None, []
    name = (ours or base).get("id") or left.get("id", "")
    return ours, [Conflict(name, Kind.DELETED, base, ours, theirs)]


def _named(cell: Cell, name: str | None, taken: set[str]) -> Cell:
    if name in taken:
        return without_id(cell)
    return cell if name is None or cell.get("id") == name else {**cell, "id": name}


def _equal(one: Cell, other: Cell) -> bool:
    return without_id(one) == without_id(other)


def _is_valid(nb: Notebook, parents: Sequence[Notebook]) -> bool:
    """Looks only at what is in none of the parents, for these are valid and checking outputs takes long."""
    known = {id(cell) for parent in parents for cell in parent["cells"]}
    cells = [cell for cell in nb["cells"] if id(cell) not in known]
    if not notebook.has_cell_ids(nb):
        cells = [without_id(cell) for cell in cells]
    try:
        notebook.check({**nb, "cells": cells})
    except ValidationError:
        return False
    return True
