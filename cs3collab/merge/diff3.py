"""Three-way merge of lines.

What one side changed is taken; what both changed alike is taken once. Changes of neighbouring lines do not conflict. Changes
conflict where they have a line of the base in common, where both add lines at the same place, for nobody can tell which come
first, and where one adds lines right beside those that the other deletes, for they may have been meant to go together. Then
ours stays, and that change of theirs is left out as a whole: half of it is worth less than nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from cs3collab.merge.included import includes
from cs3collab.merge.likeness import successors
from cs3collab.merge.sequences import edits

Side = Literal["both", "ours", "theirs"]
Lines = list[str]


@dataclass(frozen=True, slots=True)
class _Change:
    """``base[lo:hi]`` became `lines`."""

    lo: int
    hi: int
    lines: tuple[str, ...]

    @property
    def growth(self) -> int:
        return len(self.lines) - (self.hi - self.lo)

    def collides(self, other: _Change) -> bool:
        if self.lo < other.hi and other.lo < self.hi:
            return True
        growths = self.growth, other.growth
        return self.touches(other) and all(growths) and max(growths) > 0

    def touches(self, other: _Change) -> bool:
        return self.lo <= other.hi and other.lo <= self.hi

    def adds_at_its_edge(self, other: _Change) -> bool:
        """Whether this has all of what `other` adds, which is right before or after it."""
        size = len(other.lines)
        before, after = other.hi == self.lo, other.lo == self.hi
        return (before and self.lines[:size] == other.lines) or (after and self.lines[-size:] == other.lines)


@dataclass(frozen=True, slots=True)
class _Group:
    """Changes that belong together, in order, and what they are changes of: ``base[lo:hi]``."""

    base: Sequence[str]
    ours: list[_Change]
    theirs: list[_Change]

    @property
    def lo(self) -> int:
        return min(change.lo for change in (*self.ours, *self.theirs))

    @property
    def hi(self) -> int:
        return max(change.hi for change in (*self.ours, *self.theirs))

    def applied(self, changes: Iterable[_Change]) -> Lines:
        lines: Lines = []
        at = self.lo
        for change in changes:
            lines += [*self.base[at : change.lo], *change.lines]
            at = change.hi
        return [*lines, *self.base[at : self.hi]]

    def settled(self) -> Lines | None:
        """What comes of it if one did what the other did, and perhaps more; None is a conflict."""
        ours, theirs = self.applied(self.ours), self.applied(self.theirs)
        if ours == theirs:
            return ours
        in_ours, in_theirs = self._has(ours, self.ours, self.theirs), self._has(theirs, self.theirs, self.ours)
        if in_ours == in_theirs:
            return None
        return ours if in_ours else theirs

    def _has(self, result: Lines, made_by: list[_Change], changes: list[_Change]) -> bool:
        """Whether all of `changes` are in `result` already: their lines are there, in order, and those they removed are not."""
        if not any(change.lines for change in made_by):
            return all(
                not change.lines and any(each.lo <= change.lo <= change.hi <= each.hi for each in made_by) for change in changes
            )
        whole, at = _joined_text(result), 0
        for change in changes:
            removed, added = self.base[change.lo : change.hi], _joined_text(change.lines)
            at = whole.find(added, at)
            if at < 0 or not change.lines or (removed and not added.strip()) or not set(removed).isdisjoint(result):
                return False
            at += len(added) - 1
        return self.lo < self.hi or all(each.adds_at_its_edge(change) for change in changes for each in made_by)


def _joined_text(lines: Iterable[str]) -> str:
    """Searched faster than lines, and only found where lines begin and end."""
    return "\n" + "".join(f"{line}\n" for line in lines)


def merge_lines(
    base: Sequence[str], ours: Sequence[str], theirs: Sequence[str]
) -> tuple[Lines, Lines, list[tuple[Lines, Lines, Lines]]]:
    """The merged lines, in conflicts those of ours; the same with those of theirs; of each conflict base, ours and theirs."""
    if includes(base, ours, theirs):
        return list(ours), list(ours), []
    if includes(base, theirs, ours):
        return list(theirs), list(theirs), []
    with_ours: Lines = []
    with_theirs: Lines = []
    conflicts = []
    done = 0
    for near in _groups(base, _told_apart(_changes(base, ours), _changes(base, theirs)), _Change.touches):
        for group in _settled_if_possible(near):
            settled, mine, other = group.settled(), group.applied(group.ours), group.applied(group.theirs)
            if settled is None:
                conflicts.append((list(base[group.lo : group.hi]), mine, other))
            with_ours += [*base[done : group.lo], *(mine if settled is None else settled)]
            with_theirs += [*base[done : group.lo], *(other if settled is None else settled)]
            done = group.hi
    return [*with_ours, *base[done:]], [*with_theirs, *base[done:]], conflicts


def _settled_if_possible(near: _Group) -> list[_Group]:
    """Which line became which is guessed only where that leaves no conflict: else a change is taken as a whole or not."""
    if near.settled() is not None:
        return [near]
    ours, theirs = ([part for each in changes for part in _by_line(near.base, each)] for changes in (near.ours, near.theirs))
    groups = list(_colliding(_Group(near.base, ours, theirs)))
    return groups if all(group.settled() is not None for group in groups) else list(_colliding(near))


def _by_line(base: Sequence[str], change: _Change) -> Iterator[_Change]:
    """Lines that became others, as far as they are alike, and what was added and removed between them."""
    lo, done = change.lo, 0
    for i, j in [*successors(base[change.lo : change.hi], change.lines), (change.hi - change.lo, len(change.lines))]:
        hi = change.lo + i
        if lo < hi or done < j:
            yield _Change(lo, hi, change.lines[done:j])
        if hi < change.hi:
            yield _Change(hi, hi + 1, change.lines[j : j + 1])
        lo, done = hi + 1, j + 1


def _groups(
    base: Sequence[str], changes: Iterable[tuple[Side, _Change]], belong: Callable[[_Change, _Change], bool]
) -> list[_Group]:
    """Changes that belong to one of the other side together with it."""
    groups: list[_Group] = []
    for side, change in changes:
        others = (groups[-1].theirs if side == "ours" else groups[-1].ours) if groups and side != "both" else []
        if not any(belong(change, each) for each in others):
            groups.append(_Group(base, [], []))
        if side != "theirs":
            groups[-1].ours.append(change)
        if side != "ours":
            groups[-1].theirs.append(change)
    return groups


def _colliding(near: _Group) -> Iterator[_Group]:
    """Without what one adds where a change of the other, if it is taken, adds it too."""
    groups = _groups(near.base, _in_order(near.ours, near.theirs), _Change.collides)
    taken = [change for group in groups if group.settled() is not None for change in group.theirs]
    for group in groups:
        alone, others = (group.ours, taken) if not group.theirs else (group.theirs if not group.ours else [], near.ours)
        known = (change.lo == change.hi and any(each.adds_at_its_edge(change) for each in others) for change in alone)
        if not alone or not all(known):
            yield group


def _changes(base: Sequence[str], side: Sequence[str]) -> list[_Change]:
    return [_Change(edit.lo, edit.hi, tuple(side[edit.new_lo : edit.new_hi])) for edit in edits(base, side)]


def _told_apart(ours: list[_Change], theirs: list[_Change]) -> list[tuple[Side, _Change]]:
    """Only what both did of a change is taken out of it."""
    our_parts, their_parts = _parts(ours), _parts(theirs)
    both = set(our_parts) & set(their_parts)
    alone = [list(_joined(part for part in parts if part not in both)) for parts in (our_parts, their_parts)]
    return _in_order([*both, *alone[0]], [*both, *alone[1]])


def _in_order(ours: list[_Change], theirs: list[_Change]) -> list[tuple[Side, _Change]]:
    """What both did, ours alone and theirs alone."""
    both = set(ours) & set(theirs)
    told: list[tuple[Side, _Change]] = [("both", change) for change in both]
    told += (("ours", change) for change in ours if change not in both)
    told += (("theirs", change) for change in theirs if change not in both)
    return sorted(told, key=lambda each: (each[1].lo, each[1].hi, each[0]))


def _parts(changes: list[_Change]) -> list[_Change]:
    """Line by line, where as many lines stand for as many."""
    return [
        part
        for change in changes
        for part in (
            (_Change(change.lo + at, change.lo + at + 1, (line,)) for at, line in enumerate(change.lines))
            if len(change.lines) == change.hi - change.lo
            else (change,)
        )
    ]


def _joined(parts: Iterable[_Change]) -> Iterator[_Change]:
    last: _Change | None = None
    for part in parts:
        if last is not None and last.hi == part.lo:
            last = _Change(last.lo, part.hi, last.lines + part.lines)
            continue
        if last is not None:
            yield last
        last = part
    if last is not None:
        yield last
