"""The order of merged cells: that of ours, with what theirs added and moved put where it stands there."""

from __future__ import annotations

from collections.abc import Container, Sequence

from cs3collab.merge.sequences import heaviest_rising


def merge_order(base: Sequence[int], ours: Sequence[int], theirs: Sequence[int], dropped: Container[int]) -> list[int]:
    """Each argument has the numbers of its cells in its order; the same number is the same cell. Without `dropped`.

    What both added at the same place comes ours first. What both moved stands where ours has it. Merged again, the order stays.
    """
    base, ours, theirs = ([cell for cell in cells if cell not in dropped] for cells in (base, ours, theirs))
    seen = [ours]
    while (order := _merged_once(base, seen[-1], theirs)) not in seen:
        seen.append(order)
    return min(seen[seen.index(order) :])  # one, but where both moved the same cells some go round in circles


def _merged_once(base: list[int], ours: list[int], theirs: list[int]) -> list[int]:
    moved_by_us = _moved(base, ours)
    moved = (_moved(base, theirs) - moved_by_us) & set(ours)
    moved -= {cell for cell in moved if _is_there(cell, ours, theirs, moved)}
    order = [cell for cell in ours if cell not in moved]
    known = set(ours) | set(base)
    steady = set(theirs) - moved_by_us
    done = set(order)
    last = None
    for cell in theirs:
        if cell not in done and (cell in moved or cell not in known):
            place = 0 if last is None else order.index(last) + 1
            while place < len(order) and order[place] not in steady:
                place += 1
            order.insert(place, cell)
            done.add(cell)
        if cell in done:
            last = cell
    return order


def _moved(base: Sequence[int], side: Sequence[int]) -> set[int]:
    """The fewest cells of `side` that, moved, explain its order."""
    where = {cell: at for at, cell in enumerate(base)}
    common = [cell for cell in side if cell in where]
    kept = {common[at] for at in heaviest_rising([where[cell] for cell in common])}
    return set(common) - kept


def _is_there(cell: int, ours: Sequence[int], theirs: Sequence[int], moved: Container[int]) -> bool:
    """Whether ours has it behind or before the same cell as theirs, as it is when the merge was done once."""
    mine, other = (_neighbours(cell, cells, others, moved) for cells, others in ((ours, theirs), (theirs, ours)))
    return mine[0] == other[0] or mine[1] == other[1]


def _neighbours(cell: int, cells: Sequence[int], others: Sequence[int], moved: Container[int]) -> tuple[int | None, int | None]:
    known = set(others)
    row = [each for each in cells if each == cell or (each in known and each not in moved)]
    at = row.index(cell)
    return row[at - 1] if at else None, row[at + 1] if at + 1 < len(row) else None
