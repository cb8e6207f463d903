"""Sets of object names that stay small for ever: what a writer covers of another is nearly always all it wrote. Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

Run = tuple[int, int]
"""First and last of consecutive sequence numbers."""
_NAME = re.compile(r"[0-9a-f]{12,}-([0-9a-f]{16})-([0-9a-f]{6,})\.[a-z]+")


@dataclass(frozen=True, slots=True)
class Covers:
    """Objects by writer and sequence number, which together are unique; names of another form are kept whole."""

    runs: Mapping[str, tuple[Run, ...]] = field(default_factory=dict)
    others: frozenset[str] = frozenset()

    @classmethod
    def of(cls, names: Iterable[str]) -> Covers:
        numbers: dict[str, list[Run]] = {}
        others = set()
        for name in names:
            if found := _NAME.fullmatch(name):
                number = int(found[2], 16)
                numbers.setdefault(found[1], []).append((number, number))
            else:
                others.add(name)
        return cls({writer: _joined(runs) for writer, runs in numbers.items()}, frozenset(others))

    def __contains__(self, name: str) -> bool:
        if not (found := _NAME.fullmatch(name)):
            return name in self.others
        runs, number = self.runs.get(found[1], ()), int(found[2], 16)
        at = bisect_right(runs, number, key=lambda run: run[0]) - 1
        return at >= 0 and number <= runs[at][1]

    def __bool__(self) -> bool:
        return bool(self.runs or self.others)

    def meets(self, other: Covers) -> bool:
        """Whether any object is in both."""
        if self.others & other.others:
            return True
        return any(_meet(runs, other.runs[writer]) for writer, runs in self.runs.items() if writer in other.runs)


def union(several: Iterable[Covers]) -> Covers:
    numbers: dict[str, list[Run]] = {}
    others: set[str] = set()
    for covers in several:
        others |= covers.others
        for writer, runs in covers.runs.items():
            numbers.setdefault(writer, []).extend(runs)
    return Covers({writer: _joined(runs) for writer, runs in numbers.items()}, frozenset(others))


def meeting(several: Sequence[Covers]) -> list[list[int]]:
    """Which of these have an object in common, also by way of a third: their numbers, in groups of two or more."""
    found: dict[str, list[tuple[Run, int]]] = {}
    for number, covers in enumerate(several):
        for writer, runs in covers.runs.items():
            found.setdefault(writer, []).extend((run, number) for run in runs)
        for name in covers.others:
            found.setdefault(f"/{name}", []).append(((0, 0), number))
    group = list(range(len(several)))
    for meant in found.values():
        meant.sort()
        (_, end), owner = meant[0]
        for (first, last), number in meant[1:]:
            if first <= end:
                _join(group, owner, number)
            if last > end:
                end, owner = last, number
    together: dict[int, list[int]] = {}
    for number in range(len(several)):
        together.setdefault(_root(group, number), []).append(number)
    return [numbers for numbers in together.values() if len(numbers) > 1]


def _root(group: list[int], number: int) -> int:
    while group[number] != number:
        number = group[number]
    return number


def _join(group: list[int], one: int, two: int) -> None:
    group[_root(group, two)] = _root(group, one)


def to_json(covers: Covers) -> dict[str, object]:
    return {**{writer: list(covers.runs[writer]) for writer in sorted(covers.runs)}, "names": sorted(covers.others)}


def from_json(written: Mapping[str, list[list[int]]] | list[str]) -> Covers:
    """Format 1 had a list of names."""
    if isinstance(written, list):
        return Covers.of(written)
    runs = {writer: tuple((first, last) for first, last in found) for writer, found in written.items() if writer != "names"}
    return Covers(runs, frozenset(str(name) for name in written.get("names", ())))


def _joined(runs: Iterable[Run]) -> tuple[Run, ...]:
    out: list[Run] = []
    for first, last in sorted(runs):
        if out and first <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(last, out[-1][1]))
        else:
            out.append((first, last))
    return tuple(out)


def _meet(one: tuple[Run, ...], two: tuple[Run, ...]) -> bool:
    return any(a <= d and c <= b for a, b in one for c, d in two)
