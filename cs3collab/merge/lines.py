"""Three-way merge of texts by line.

What one side changed is taken; what both changed alike is taken once. Changes of neighbouring lines do not conflict. Changes
conflict where they have a line of the base in common, where both add lines at the same place, for nobody can tell which come
first, and where one adds lines right beside those that the other deletes, for they may have been meant to go together. Then
ours stays, and that change of theirs is left out as a whole: half of it is worth less than nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from cs3collab.merge.sequences import edits

Hunk = tuple[str, str, str]
"""Base, ours, theirs."""
Side = Literal["both", "ours", "theirs"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TextResult:
    """``text`` has of each conflict what ours said; ``conflicts`` has its lines in all three, in order."""

    text: str
    conflicts: tuple[Hunk, ...] = ()


def merge_texts(base: str, ours: str, theirs: str) -> TextResult:
    """Line ends, and whether the last line has one, merge as properties of the text: they are no change of a line."""
    if theirs in (ours, base):
        return TextResult(ours)
    if base == ours:
        return TextResult(theirs)
    ends = [_line_end(text) for text in (base, ours, theirs)]
    end = "\n"
    if "mixed" not in ends:
        end = _chosen(*(each or ends[0] or "\n" for each in ends))
        base, ours, theirs = (text.replace("\r\n", "\n") for text in (base, ours, theirs))
    final = _chosen(*(text.endswith("\n") for text in (base, ours, theirs)))
    lines, conflicts = merge_lines(*(split_lines(text) for text in (base, ours, theirs)))
    text = "\n".join(lines) + ("\n" if final and lines else "")
    return TextResult(text if end == "\n" else text.replace("\n", end), tuple(conflicts))


def split_lines(text: str) -> list[str]:
    """Lines as editors and git count them: of all that Unicode calls a line end only the newline is one."""
    return text.removesuffix("\n").split("\n") if text else []


def _line_end(text: str) -> str:
    lines, windows = text.count("\n"), text.count("\r\n")
    if not windows:
        return "\n" if lines else ""
    return "\r\n" if lines == windows else "mixed"


def _chosen(base: T, ours: T, theirs: T) -> T:
    return theirs if base == ours else ours


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


def merge_lines(base: Sequence[str], ours: Sequence[str], theirs: Sequence[str]) -> tuple[list[str], list[Hunk]]:
    """The merged lines, and the conflicts."""
    merged: list[str] = []
    conflicts: list[Hunk] = []
    done = 0
    for lo, hi, group in _groups(_told_apart(_changes(base, ours), _changes(base, theirs)), _Change.touches):
        merged += base[done:lo]
        done = hi
        whole = _settled(*_three(base, lo, hi, group))
        if whole is not None:
            merged += whole
            continue
        for start, end, part in _groups(group, _Change.collides):
            was, mine, other = _three(base, start, end, part)
            settled = _settled(was, mine, other)
            merged += [*base[lo:start], *(mine if settled is None else settled)]
            lo = end
            if settled is None:
                conflicts.append(("\n".join(was), "\n".join(mine), "\n".join(other)))
    merged += base[done:]
    return merged, conflicts


def _changes(base: Sequence[str], side: Sequence[str]) -> list[_Change]:
    return [_Change(edit.lo, edit.hi, tuple(side[edit.new_lo : edit.new_hi])) for edit in edits(base, side)]


def _told_apart(ours: list[_Change], theirs: list[_Change]) -> list[tuple[Side, _Change]]:
    """What both did, ours alone and theirs alone, in order. Only what both did of a change is taken out of it."""
    our_parts, their_parts = _parts(ours), _parts(theirs)
    both = set(our_parts) & set(their_parts)
    told: list[tuple[Side, _Change]] = [("both", change) for change in both]
    told += (("ours", change) for change in _joined(part for part in our_parts if part not in both))
    told += (("theirs", change) for change in _joined(part for part in their_parts if part not in both))
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


def _groups(
    changes: list[tuple[Side, _Change]], belong: Callable[[_Change, _Change], bool]
) -> Iterator[tuple[int, int, list[tuple[Side, _Change]]]]:
    """Changes of different sides that belong together, and from which line of the base to which they reach."""
    groups: list[list[tuple[Side, _Change]]] = []
    for side, change in changes:
        if groups and any({side, other} == {"ours", "theirs"} and belong(change, each) for other, each in groups[-1]):
            groups[-1].append((side, change))
        else:
            groups.append([(side, change)])
    for group in groups:
        yield group[0][1].lo, max(change.hi for _, change in group), group


def _three(
    base: Sequence[str], lo: int, hi: int, changes: list[tuple[Side, _Change]]
) -> tuple[list[str], list[str], list[str]]:
    """``base[lo:hi]`` as it was, and as each side has it."""
    ours, theirs = ([change for whose, change in changes if whose in (side, "both")] for side in ("ours", "theirs"))
    return list(base[lo:hi]), _applied(base, lo, hi, ours), _applied(base, lo, hi, theirs)


def _applied(base: Sequence[str], lo: int, hi: int, changes: list[_Change]) -> list[str]:
    lines: list[str] = []
    for change in changes:
        lines += [*base[lo : change.lo], *change.lines]
        lo = change.hi
    return [*lines, *base[lo:hi]]


def _settled(base: list[str], ours: list[str], theirs: list[str]) -> list[str] | None:
    """What both sides make of the same lines if one did what the other did and perhaps more; None is a conflict."""
    if ours == theirs:
        return ours
    ours_is_more, theirs_is_more = _goes_beyond(base, theirs, ours), _goes_beyond(base, ours, theirs)
    if ours_is_more == theirs_is_more:
        return None
    return ours if ours_is_more else theirs


def _goes_beyond(base: list[str], less: list[str], more: list[str]) -> bool:
    """Whether `more` is `less` with other changes too, in what `less` left as it was, or beside its lines.

    So a merge that is done again, because nobody noted that it was done, finds all of theirs in ours.
    """
    if less == base:
        return True
    most = min(len(less), len(more))
    start = next((at for at in range(most) if less[at] != more[at]), most)
    end = next((at for at in range(most - start) if less[-1 - at] != more[-1 - at]), most - start)
    rest, added = less[start : len(less) - end], more[start : len(more) - end]
    if not rest or _is_within(less, more):
        return bool(less) and not set(added) & set(base)
    return _is_within(rest, base) and bool(start or end or not added)


def _is_within(part: list[str], lines: list[str]) -> bool:
    within, whole = ("".join(f"{line}\n" for line in each) for each in (part, lines))
    return f"\n{within}" in f"\n{whole}"
