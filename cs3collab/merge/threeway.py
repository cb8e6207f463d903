"""Three-way merge of notebooks, by cell. Where both sides changed the same, ours stays and the conflict tells of theirs."""

from __future__ import annotations

from collections.abc import Sequence

from nbformat.validator import ValidationError

from cs3collab.merge import notebook
from cs3collab.merge.alignment import Cell, ids
from cs3collab.merge.cells import is_edited, merge_cell, without_id
from cs3collab.merge.numbering import Numbered, number
from cs3collab.merge.ordering import merge_order
from cs3collab.merge.records import Conflict, Kind, MergeResult, Notebook
from cs3collab.merge.values import merge_objects

__all__ = ["Conflict", "Kind", "MergeResult", "merge_notebooks"]


def merge_notebooks(base: Notebook, ours: Notebook, theirs: Notebook, *, exact: bool = False) -> MergeResult:
    """What `ours` and `theirs` made of `base`. Cells keep the ids they have in `ours`.

    All are of nbformat 4. None of them is changed. The result is valid if all three are. Before nbformat 4.5 base and ours
    may have ids too: then it is known which cell of these is which, and what is merged again stays. `exact`: ours was made of
    base by edits that keep ids, so that these alone tell, though not one is left.
    """
    base, ours, theirs = (notebook.joined(nb) for nb in (base, ours, theirs))
    before, mine, other = _cells(base, ours, theirs)
    known = number(before, mine, other, exact=exact)
    order, cells, conflicts = _merge_cells(known)
    changed = frozenset(cell["id"] for at, cell in known.ours.items() if "id" in cell and not _equal(known.base.get(at), cell))
    cells = cells or (ours["cells"] if not mine else [])
    metadata, clashes = merge_objects(*(nb.get("metadata", {}) for nb in (base, ours, theirs)))
    conflicts += (Conflict("", Kind.METADATA, *clash[1:], path=clash.path) for clash in clashes)
    version = max((nb["nbformat"], nb["nbformat_minor"]) for nb in (ours, theirs))
    merged = {**ours, "metadata": metadata, "nbformat": version[0], "nbformat_minor": version[1], "cells": cells}
    if notebook.has_cell_ids(merged) or any("id" in cell for cell in ours["cells"]):
        merged["cells"] = notebook.with_cell_ids(cells)
    names = _names_of_theirs(known, dict(zip(order, merged["cells"], strict=False)))
    if not _is_valid(merged, (ours, theirs)):
        return MergeResult(ours, [Conflict("", Kind.INVALID, base, ours, theirs)], changed, names)
    return MergeResult(merged, conflicts, changed, names)


def _cells(base: Notebook, ours: Notebook, theirs: Notebook) -> tuple[list[Cell], list[Cell], list[Cell]]:
    """JupyterLab shows a notebook without cells as one that is blank; whoever adds cells does not add it to them."""
    before, mine, other = base["cells"], ours["cells"], theirs["cells"]
    if not before and [cell.get("id") for cell in mine[:1]] != [cell.get("id") for cell in other[:1]]:
        mine, other = (cells if not _is_placeholder(cells) else [] for cells in (mine, other))
    elif _is_placeholder(mine) and not _is_placeholder(before) and (named := ids(before)) and mine[0].get("id") not in named:
        mine = []  # all were deleted
    return before, mine, other


def _is_placeholder(cells: Sequence[Cell]) -> bool:
    if len(cells) != 1:
        return False
    metadata = {key: value for key, value in cells[0].get("metadata", {}).items() if key != "trusted"}
    return {**without_id(cells[0]), "metadata": metadata} == notebook.blank_cell()


def _merge_cells(known: Numbered) -> tuple[list[int], list[Cell], list[Conflict]]:
    """The cells, by number and themselves, and the conflicts in their order."""
    merged: dict[int, Cell] = {}
    conflicts: dict[int, list[Conflict]] = {}
    for at in {**known.ours, **known.base, **known.theirs}:
        cell, conflicts[at] = _merged(*(cells.get(at) for cells in (known.base, known.ours, known.theirs)))
        if cell is not None:
            merged[at] = cell
    dropped = conflicts.keys() - merged.keys()
    order = merge_order(list(known.base), list(known.ours), list(known.theirs), dropped)
    our_ids = {cell["id"] for cell in known.ours.values() if "id" in cell}
    cells = [
        merged[at] if "id" in known.ours.get(at, {}) else _named(merged[at], known.theirs.get(at, {}).get("id"), our_ids)
        for at in order
    ]
    return order, cells, [conflict for at in [*order, *sorted(dropped)] for conflict in conflicts[at]]


def _names_of_theirs(known: Numbered, merged: dict[int, Cell]) -> tuple[str, ...]:
    names = tuple(str(merged.get(at, cell).get("id", "")) for at, cell in known.theirs.items())
    return names if all(names) else ()


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


def _equal(one: Cell | None, other: Cell) -> bool:
    return one is not None and without_id(one) == without_id(other)


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
