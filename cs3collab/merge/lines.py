"""Three-way merge of texts by line. What conflicts, says `cs3collab.merge.diff3`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

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
    hunks = [("\n".join(was), "\n".join(mine), "\n".join(other)) for was, mine, other in conflicts]
    return TextResult(text if end == "\n" else text.replace("\n", end), tuple(hunks))


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
