"""Which cell of one notebook is which of the other: by id, and by content where ids are missing or were made anew.

Ids came with nbformat 4.5. Tools that do not know them drop them, some number the cells instead (nbstripout), and then an id
says nothing about a cell. Where most ids are there, they are believed: a cell with another id is another cell, however alike.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import product
from typing import Any

from cs3collab.merge.sequences import matches

Cell = dict[str, Any]
_TOKEN = re.compile(r"\w+|[^\w\s]")
_MAX_TOKENS = 2000
_MAX_COMPARED = 2500
"""Pairs of cells whose similarity is looked at; of more only those that are as far from the beginning."""
_SIMILAR = 0.6
_SIMILAR_AND_BETWEEN_THE_SAME = 0.4
_CONTAINED_AND_BETWEEN_THE_SAME = 0.7


def align(old: Sequence[Cell], new: Sequence[Cell], apart: Container[str] = ()) -> dict[int, int]:
    """Index in `old` to index in `new`, for cells that are the same. No index comes twice.

    `apart`: ids of cells in `new` of which it is known that they are none of `old`.
    """
    pairs = _by_id(old, new)
    if 2 * len(pairs) < min(len(old), len(new)):
        new_left = [at for at in _left(pairs.values(), new) if new[at].get("id") not in apart]
        _add(pairs, _by_content(old, new, _left(pairs, old), new_left))
        _add(pairs, _by_similarity(old, new, pairs, apart))
    return pairs


def ids(cells: Sequence[Cell]) -> set[str]:
    """Those that are worth anything."""
    return set() if _are_numbers(cells) else {cell["id"] for cell in cells if cell.get("id")}


def key(cell: Cell) -> tuple[Any, str]:
    """What a cell is known by where it has no id."""
    return cell.get("cell_type"), str(cell.get("source", ""))


def is_blank(cell: Cell) -> bool:
    return not str(cell.get("source", "")).strip()


def _left(taken: Iterable[int], cells: Sequence[Cell]) -> list[int]:
    known = set(taken)
    return [at for at in range(len(cells)) if at not in known]


def _add(pairs: dict[int, int], more: Iterable[tuple[int, int]]) -> None:
    used = set(pairs.values())
    for i, j in more:
        if i not in pairs and j not in used:
            pairs[i] = j
            used.add(j)


def _by_id(old: Sequence[Cell], new: Sequence[Cell]) -> dict[int, int]:
    if _are_numbers(old) or _are_numbers(new):
        return {}
    where = {cell["id"]: at for at, cell in enumerate(new) if cell.get("id")}
    pairs = {at: where[cell["id"]] for at, cell in enumerate(old) if cell.get("id") in where}
    places, new_places = _places(old), _places(new)
    return {
        i: j
        for i, j in pairs.items()
        if key(old[i]) == key(new[j]) or not (_is_elsewhere(old[i], new_places) and _is_elsewhere(new[j], places))
    }


def _are_numbers(cells: Sequence[Cell]) -> bool:
    """Whether ids count the cells, so that they change when one is added before."""
    return len(cells) > 1 and all(str(cell.get("id")) in (str(at), str(at + 1)) for at, cell in enumerate(cells))


def _places(cells: Sequence[Cell]) -> dict[tuple[Any, str], int]:
    return Counter(key(cell) for cell in cells if not is_blank(cell))


def _is_elsewhere(cell: Cell, places: dict[tuple[Any, str], int]) -> bool:
    return key(cell) in places


def _by_content(old: Sequence[Cell], new: Sequence[Cell], left: list[int], new_left: list[int]) -> Iterator[tuple[int, int]]:
    """Equal cells: in order first, then moved ones."""
    in_order = [(left[i], new_left[j]) for i, j in matches([key(old[at]) for at in left], [key(new[at]) for at in new_left])]
    yield from in_order
    taken, new_taken = {i for i, _ in in_order}, {j for _, j in in_order}
    moved = defaultdict(list)
    for j in reversed(new_left):
        if j not in new_taken and not is_blank(new[j]):
            moved[key(new[j])].append(j)
    yield from ((i, moved[key(old[i])].pop()) for i in left if i not in taken and moved.get(key(old[i])))


def _by_similarity(
    old: Sequence[Cell], new: Sequence[Cell], pairs: dict[int, int], apart: Container[str]
) -> list[tuple[int, int]]:
    left = [at for at in _left(pairs, old) if not is_blank(old[at])]
    new_left = [at for at in _left(pairs.values(), new) if not is_blank(new[at]) and new[at].get("id") not in apart]
    words, new_words = {i: _words(old[i]["source"]) for i in left}, {j: _words(new[j]["source"]) for j in new_left}
    many = len(left) * len(new_left) > _MAX_COMPARED
    gaps, new_gaps = _gaps(len(old), pairs), _new_gaps(len(new), pairs)
    scored = []
    for i, j in zip(left, new_left, strict=False) if many else product(left, new_left):
        if old[i].get("cell_type") == new[j].get("cell_type"):
            similar, contained = _similarity(words[i], new_words[j])
            here = similar >= _SIMILAR_AND_BETWEEN_THE_SAME or contained >= _CONTAINED_AND_BETWEEN_THE_SAME
            if similar >= _SIMILAR or (here and gaps[i] == new_gaps[j]):
                scored.append((-similar, abs(i - j), i, j))
    return [(i, j) for _, _, i, j in sorted(scored)]


def _gaps(length: int, pairs: dict[int, int]) -> list[int]:
    """For each old cell the last paired one before it, -1 if none is."""
    last, gaps = -1, []
    for at in range(length):
        last = at if at in pairs else last
        gaps.append(last)
    return gaps


def _new_gaps(length: int, pairs: dict[int, int]) -> list[int]:
    """For each new cell the old one that is paired with the last paired one before it."""
    back = {j: i for i, j in pairs.items()}
    last, gaps = -1, []
    for at in range(length):
        last = back.get(at, last)
        gaps.append(last)
    return gaps


def _similarity(words: Counter[str], others: Counter[str]) -> tuple[float, float]:
    """From 0 to 1: which share of the words of both, and of the words of the shorter, two texts have in common.

    In any order, and long words count more.
    """
    common = sum(_weight(word) * min(count, others[word]) for word, count in words.items())
    sizes = [sum(_weight(word) * count for word, count in each.items()) for each in (words, others)]
    return (2 * common / sum(sizes), common / min(sizes)) if all(sizes) else (0.0, 0.0)


def _words(text: str) -> Counter[str]:
    return Counter(_TOKEN.findall(text[: 8 * _MAX_TOKENS])[:_MAX_TOKENS])


def _weight(word: str) -> float:
    return float(min(len(word), 8)) if word[0].isalnum() or word[0] == "_" else 0.3
