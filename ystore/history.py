"""What a history looks like to people, and what of it may go: decided without I/O from positions, times and authors."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from ystore.record import Record

DAY_S = 86400.0
MAX_NAME = 200
"""Characters in the name of a version."""


class Mark(NamedTuple):
    """A record without its update."""

    position: int
    at: float
    author: str


@dataclass(frozen=True, slots=True)
class Retention:
    """What of the history compaction may drop. Named versions and the base stay loadable whatever it says."""

    age_s: float | None = 30 * DAY_S
    """Seconds: records older than this may go. None: no limit by age."""
    bytes: int | None = 8 * 2**20
    """Compressed bytes of history kept beside the snapshot. None: no limit by size."""


@dataclass(frozen=True, slots=True)
class Version:
    """The state after the record at `position`, written at `at` (Unix seconds).

    ``authors`` edited since the version before, most edits first, in ``edits`` records. Both are empty for a state that is kept
    while the records that led to it are gone. ``name`` is empty for an automatic version.
    """

    position: int
    at: float
    authors: tuple[str, ...]
    edits: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Base:
    """The state that was last saved elsewhere: its position, the time of that record, and the `etag` it was saved as."""

    position: int
    at: float
    etag: str


@dataclass(frozen=True, slots=True)
class Named:
    """A name somebody gave to a position; empty when it was taken away. The greatest ``revision`` says which is valid.

    Position and time together say which record is meant: after a split brain two writers gave out the same position.
    """

    position: int
    at: float
    name: str
    revision: int


def merged(*groups: Iterable[Named]) -> tuple[Named, ...]:
    """The union of what several writers named; of two names for one record the later."""
    found: dict[tuple[int, float], Named] = {}
    for named in (named for group in groups for named in group):
        there = found.get(key := (named.position, named.at))
        if there is None or (named.revision, named.name) > (there.revision, there.name):
            found[key] = named
    return tuple(found[key] for key in sorted(found))


def given_way(ours: Iterable[Named], united: Iterable[Named]) -> list[tuple[Named, Named]]:
    """Our names of records that another writer named otherwise, and later, with those that count now."""
    now = {(named.position, named.at): named for named in united}
    return [(n, other) for n in ours if n.name and (other := now[n.position, n.at]).name and other.name != n.name]


def moved(names: Iterable[Named], to: Mapping[tuple[int, float], int]) -> tuple[Named, ...]:
    """The names after records were given new positions: `to` has them by old position and time."""
    return merged(replace(n, position=to.get((n.position, n.at), n.position)) for n in names)


def strayed(names: Iterable[Named], marks: Iterable[Mark]) -> dict[tuple[int, float], int]:
    """New positions of named records that another writer moved without knowing of the name, by old position and time.

    They are found by their time: at a later position, else at an earlier one, where a record is kept that was there twice.
    """
    lost = {(named.position, named.at) for named in names}
    by_time: dict[float, list[int]] = {}
    for position, at in lost:
        by_time.setdefault(at, []).append(position)
    to, earlier = {}, {}
    for mark in marks:
        for position in by_time.get(mark.at, ()):
            if position < mark.position and (position, mark.at) in lost:
                to[position, mark.at] = mark.position
                lost.discard((position, mark.at))
            elif position > mark.position:
                earlier[position, mark.at] = mark.position
        lost.discard(mark[:2])
    return {**{record: earlier[record] for record in lost if record in earlier}, **to}


def doubles(segments: Iterable[Iterable[Record]]) -> dict[Record, int]:
    """Records that are in an earlier one of these, too, with the same time, author and bytes: and at which position.

    Two writers rewrote one segment without knowing of each other. What is twice in one segment was written twice.
    """
    seen: dict[tuple[float, str, bytes], list[int]] = {}
    found = {}
    for records in segments:
        own = Counter[tuple[float, str, bytes]]()
        for record in records:
            key = record.at, record.author, record.update
            there, number = seen.setdefault(key, []), own[key]
            own[key] += 1
            if number < len(there):
                found[record] = there[number]
            else:
                there.append(record.position)
    return found


def checked_name(name: str) -> str:
    """Raises ValueError for what would not fit on one line of a list."""
    name = name.strip()
    if len(name) > MAX_NAME:
        raise ValueError(f"the name of a version has at most {MAX_NAME} characters")
    if not name.isprintable():
        raise ValueError("the name of a version is one line of printable characters")
    return name


def versions(marks: Iterable[Mark], names: Iterable[Named], gap_s: float, span_s: float) -> list[Version]:
    """Automatic and named versions of consecutive records, by position.

    An automatic one ends where nothing follows for `gap_s` seconds, before what follows its first record by `span_s`, or where
    the day (UTC) changes; a clock that goes back makes no pause. A name counts if its record is among `marks`.
    """
    by_record = {(named.position, named.at): named.name for named in names}
    found: list[Version] = []
    authors: Counter[str] = Counter()
    last: Mark | None = None
    began = math.inf

    def close(mark: Mark, name: str) -> None:
        ranked = tuple(author for author, _ in authors.most_common())
        found.append(Version(mark.position, mark.at, ranked, authors.total(), name))
        authors.clear()

    for mark in marks:
        if last is not None and authors and (_apart(last.at, mark.at, gap_s) or mark.at - began >= span_s):
            close(last, "")
        began = min(began, mark.at) if authors else mark.at
        authors[mark.author] += 1
        last = mark
        if name := by_record.get((mark.position, mark.at), ""):
            close(mark, name)
    if last is not None and authors:
        close(last, "")
    return found


def _apart(before: float, after: float, gap_s: float) -> bool:
    return after - before >= gap_s or (after > before and after // DAY_S != before // DAY_S)


def position_at(marks: Iterable[Mark], at: float, before: int = 0) -> int:
    """The last position of which no record up to it is later than `at`; `before` if there is none.

    Clocks may go back: what follows a later record is later.
    """
    for mark in marks:
        if mark.at > at:
            break
        before = mark.position
    return before


def last_up_to(marks: Iterable[Mark], position: int) -> Mark | None:
    found = None
    for mark in marks:
        if mark.position > position:
            break
        found = mark
    return found
