"""Three-way merge of JSON values: objects by key, tags as a set, everything else as a unit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

Json = Any


class Absent:
    """The value of a key that is not there."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent()
UNITS = {"kernelspec", "language_info"}
"""Keys whose values mean something only as a whole."""
NOISE = {
    ("ExecuteTime",),
    ("collapsed",),
    ("execution",),
    ("jupyter", "outputs_hidden"),
    ("jupyter", "source_hidden"),
    ("language_info",),
    ("scrolled",),
    ("trusted",),
}
"""What tools note without anybody's doing, or how somebody looks at a cell: of two changes ours stays, and nobody is asked."""
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,16}\b")


class Clash(NamedTuple):
    """Both sides changed the value at `path`. Absent values are None."""

    path: tuple[str, ...]
    base: Json
    ours: Json
    theirs: Json


def same(one: Json, other: Json) -> bool:
    """Whether two JSON values are equal: 1 is 1.0, NaN is NaN, but true is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other) or (one != one and other != other)


def merge_objects(
    base: Mapping[str, Json], ours: Mapping[str, Json], theirs: Mapping[str, Json], *, deep: bool = True
) -> tuple[dict[str, Json], list[Clash]]:
    """In the order of ours; what theirs adds comes last. Ours stays where both changed a value, and there is a clash.

    Not `deep`, the values are units.
    """
    merge = _ObjectMerge(deep)
    return dict(merge.items(base, ours, theirs, ())), merge.clashes


class _ObjectMerge:
    def __init__(self, deep: bool) -> None:
        self._deep = deep
        self.clashes: list[Clash] = []

    def items(
        self, base: Mapping[str, Json], ours: Mapping[str, Json], theirs: Mapping[str, Json], path: tuple[str, ...]
    ) -> Iterator[tuple[str, Json]]:
        for key in [*ours, *(key for key in theirs if key not in ours)]:
            merged = self._value((*path, key), *(values.get(key, ABSENT) for values in (base, ours, theirs)))
            if merged is not ABSENT:
                yield key, merged

    def _value(self, path: tuple[str, ...], base: Json, ours: Json, theirs: Json) -> Json:
        if same(ours, theirs) or same(base, theirs):
            return ours
        if same(base, ours):
            return theirs
        if isinstance(ours, dict) and isinstance(theirs, dict) and self._deep and path[-1] not in UNITS:
            return dict(self.items(base if isinstance(base, dict) else {}, ours, theirs, path))
        if path[-1] == "tags" and isinstance(ours, list) and isinstance(theirs, list):
            return _merged_set(base if isinstance(base, list) else [], ours, theirs)
        was, mine, other = (_meant(value, path) for value in (base, ours, theirs))
        if same(was, mine) and not same(was, other):
            return theirs
        if not same(was, other) and not same(mine, other):
            self.clashes.append(Clash(path, *(None if value is ABSENT else value for value in (base, ours, theirs))))
        return ours


def _meant(value: Json, path: tuple[str, ...]) -> Json:
    """Without noise."""
    if path in NOISE:
        return ABSENT
    return (without_noise(value, path) or ABSENT) if isinstance(value, dict) else value


def _merged_set(base: list[Json], ours: list[Json], theirs: list[Json]) -> list[Json]:
    kept = [item for item in ours if item in theirs or item not in base]
    return kept + [item for item in theirs if item not in ours and item not in base]


def without_noise(metadata: Mapping[str, Json], path: tuple[str, ...] = ()) -> dict[str, Json]:
    """What people put there."""
    kept = {}
    for key, value in metadata.items():
        here = (*path, key)
        if here in NOISE:
            continue
        if not isinstance(value, dict):
            kept[key] = value
        elif rest := without_noise(value, here):
            kept[key] = rest
    return kept


def same_outputs(one: list[Json], other: list[Json]) -> bool:
    """Whether two runs gave the same, but for the execution count and addresses in memory."""
    return one == other or (len(one) == len(other) and same(_settled(one), _settled(other)))


def _settled(outputs: Json) -> Json:
    if isinstance(outputs, dict):
        return {key: _settled(value) for key, value in outputs.items() if key != "execution_count"}
    if isinstance(outputs, list):
        return [_settled(item) for item in outputs]
    return _ADDRESS.sub("0x", outputs) if isinstance(outputs, str) and "0x" in outputs else outputs
