"""The order of merged cells: that of ours, with what theirs added and moved put where it stands there."""

from __future__ import annotations

from collections.abc import Container, Sequence

from cs3collab.merge.sequences import heaviest_rising


def merge_order(base: Sequence[int], ours: Sequence[int], theirs: Sequence[int], dropped: Container[int]) -> list[int]:
    """Each argument has the numbers of its cells in its order; the same number is the same cell. Without `dropped`.

    What both added at the same place comes ours first. What both moved stands where ours has it.
    """
    kept = [cell for cell in ours if cell not in dropped]
    moved_by_us = _moved(base, ours)
    moved = (_moved(base, theirs) - moved_by_us) & set(kept)
    if _common(kept, theirs) == _common(theirs, kept):
        moved = set()
    order = [cell for cell in kept if cell not in moved]
    known = set(ours) | set(base)
    steady = set(theirs) - moved_by_us
    place = 0
    done = set(order)
    for cell in theirs:
        if cell in done:
            place = order.index(cell) + 1
        elif cell not in dropped and (cell in moved or cell not in known):
            while place < len(order) and order[place] not in steady:
                place += 1
            order.insert(place, cell)
            done.add(cell)
            place += 1
    return order


def _moved(base: Sequence[int], side: Sequence[int]) -> set[int]:
    """The fewest cells of `side` that, moved, explain its order."""
    where = {cell: at for at, cell in enumerate(base)}
    common = [cell for cell in side if cell in where]
    kept = {common[at] for at in heaviest_rising([where[cell] for cell in common])}
    return set(common) - kept


def _common(cells: Sequence[int], others: Sequence[int]) -> list[int]:
    known = set(others)
    return [cell for cell in cells if cell in known]
