"""Three-way merge of texts by line. What conflicts, says `cs3collab.merge.diff3`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from cs3collab.merge.diff3 import merge_lines

Hunk = tuple[str, str, str]
"""Base, ours, theirs."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TextResult:
    """``text`` has of each conflict what ours said; ``conflicts`` has its lines in all three, in order."""

    text: str
    conflicts: tuple[Hunk, ...] = ()


def merge_texts(base: str, ours: str, theirs: str) -> TextResult:
    """Line ends, and whether the last line has one, merge as properties of the text: they are no change of a line.

    Merged again, by either side, the result stays: where lines repeat so that it would not, there is a conflict.
    """
    if theirs in (ours, base):
        return TextResult(ours)
    if base == ours:
        return TextResult(theirs)
    merged = _merged(base, ours, theirs)
    mine, other, _ = merged
    again = ((mine, theirs), (ours, other), (mine, other))
    if all(merged == _merged(base, *pair) for pair in again):
        return TextResult(mine, tuple(merged.conflicts))
    return TextResult(ours, (_whole(base, ours, theirs),))


class _Merged(NamedTuple):
    with_ours: str
    with_theirs: str
    conflicts: list[Hunk]


def _merged(base: str, ours: str, theirs: str) -> _Merged:
    """The same whichever of the two is ours."""
    if ours == theirs:
        return _Merged(ours, ours, [])
    if ours <= theirs:
        return _merged_once(base, ours, theirs)
    mine, other, hunks = _merged_once(base, theirs, ours)
    return _Merged(other, mine, [(was, ours, theirs) for was, theirs, ours in hunks])


def _merged_once(base: str, ours: str, theirs: str) -> _Merged:
    ends = [_line_end(text) for text in (base, ours, theirs)]
    end = "\n"
    if "mixed" not in ends:
        end = _chosen(*(each or ends[0] or "\n" for each in ends))
        base, ours, theirs = (text.replace("\r\n", "\n") for text in (base, ours, theirs))
    final = _chosen(*(text.endswith("\n") for text in (base, ours, theirs)))
    *both, conflicts = merge_lines(*(split_lines(text) for text in (base, ours, theirs)))
    mine, other = ("\n".join(lines) + ("\n" if final and lines else "") for lines in both)
    if end != "\n":
        mine, other = (text.replace("\n", end) for text in (mine, other))
    return _Merged(mine, other, [("\n".join(was), "\n".join(left), "\n".join(right)) for was, left, right in conflicts])


def _whole(base: str, ours: str, theirs: str) -> Hunk:
    three = [split_lines(text) for text in (base, ours, theirs)]
    most = min(map(len, three))
    lo = next((at for at in range(most) if len({lines[at] for lines in three}) > 1), most)
    hi = next((at for at in range(most - lo) if len({lines[-1 - at] for lines in three}) > 1), most - lo)
    was, mine, other = ("\n".join(lines[lo : len(lines) - hi]) for lines in three)
    return was, mine, other


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
