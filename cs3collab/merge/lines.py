"""Three-way merge of texts by line.

What one side changed is taken; what both changed alike is taken once. Changes conflict where they have a line of the base in
common, or where both add lines at the same place: which should come first, nobody can tell. Changes of neighbouring lines do
not conflict. Where they conflict ours stays, and theirs is left out as a whole: half of a change is worth less than none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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
    def grows(self) -> bool:
        return len(self.lines) > self.hi - self.lo

    def collides(self, other: _Change) -> bool:
        if self.lo < other.hi and other.lo < self.hi:
            return True
        return self.grows and other.grows and (self.lo == other.hi or self.hi == other.lo)


def merge_lines(base: Sequence[str], ours: Sequence[str], theirs: Sequence[str]) -> tuple[list[str], list[Hunk]]:
    """The merged lines, and the conflicts."""
    merged: list[str] = []
    conflicts: list[Hunk] = []
    done = 0
    for group in _groups(_told_apart(_changes(base, ours), _changes(base, theirs))):
        lo, hi = min(change.lo for _, change in group), max(change.hi for _, change in group)
        merged += base[done:lo]
        done = hi
        if len(group) == 1:
            merged += group[0][1].lines
            continue
        was = list(base[lo:hi])
        mine = _applied(base, lo, hi, (change for side, change in group if side == "ours"))
        other = _applied(base, lo, hi, (change for side, change in group if side == "theirs"))
        settled = _settled(was, mine, other)
        merged += mine if settled is None else settled
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


def _groups(changes: list[tuple[Side, _Change]]) -> Iterator[list[tuple[Side, _Change]]]:
    """Those that collide with each other together."""
    group: list[tuple[Side, _Change]] = []
    for side, change in changes:
        if not any({side, other} == {"ours", "theirs"} and change.collides(each) for other, each in group):
            if group:
                yield group
            group = []
        group.append((side, change))
    if group:
        yield group


def _applied(base: Sequence[str], lo: int, hi: int, changes: Iterable[_Change]) -> list[str]:
    """``base[lo:hi]`` as one side has it."""
    lines: list[str] = []
    for change in changes:
        lines += base[lo : change.lo]
        lines += change.lines
        lo = change.hi
    return [*lines, *base[lo:hi]]


def _settled(base: list[str], ours: list[str], theirs: list[str]) -> list[str] | None:
    """What both sides make of the same lines if one did what the other did and more; None is a conflict."""
    if ours == theirs:
        return ours
    if _goes_beyond(base, theirs, ours):
        return ours
    return theirs if _goes_beyond(base, ours, theirs) else None


def _goes_beyond(base: list[str], less: list[str], more: list[str]) -> bool:
    """Whether `more` is `less` with further changes, in lines that `less` left alone or added behind or before its own."""
    most = min(len(less), len(more))
    start = next((at for at in range(most) if less[at] != more[at]), most)
    end = next((at for at in range(most - start) if less[-1 - at] != more[-1 - at]), most - start)
    rest, added = less[start : len(less) - end], more[start : len(more) - end]
    if not rest:
        return len(less) >= len(base) and not set(added) & set(base)
    untouched = base[len(base) - len(rest) :] if not end else base[: len(rest)] if not start else None
    return rest == untouched and len(rest) < len(base)
