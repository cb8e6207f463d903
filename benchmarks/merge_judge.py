"""What a merge made of a case, whoever merged it: what it asked without need, and what it got wrong without a word."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from benchmarks.merge_cases import Case, Notebook, marks
from cs3collab.merge import notebook
from cs3collab.merge.notebook import ValidationError
from cs3collab.merge.threeway import merge_notebooks

OPENS, CLOSES = "<<<<<<<", ">>>>>>>"


@dataclass(slots=True)
class Verdict:
    """Sums over cases. A line counts where it can be told from all others; what stands between conflict markers does not."""

    cases: int = 0
    asked: int = 0
    """Cells of the base with conflicts."""
    false: int = 0
    """Of these, those where the two did nothing to the same line, place or outputs, nor one deleted what the other changed."""
    unasked: int = 0
    """Cells in which they did, but no conflict was seen. Where lines repeat, nobody can tell which of them somebody deleted."""
    markers: int = 0
    """Conflict markers in the result."""
    lost: int = 0
    """Lines of either side, or that both kept, which are neither in the result nor in a conflict."""
    doubled: int = 0
    back: int = 0
    """Lines that somebody deleted or changed and that are there all the same, where there is no conflict."""
    mixed: int = 0
    """Lines that nobody wrote."""
    invalid: int = 0
    """Results that are no valid notebook."""
    failed: int = 0
    """Cases in which the merge raised an error."""

    @property
    def wrong(self) -> int:
        return self.lost + self.doubled + self.back + self.mixed + self.invalid

    def __iadd__(self, other: Verdict) -> Verdict:
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))
        return self


def ours(case: Case) -> Verdict:
    result = merge_notebooks(case.base, case.ours, case.theirs)
    told = [[conflict.base, conflict.ours, conflict.theirs] for conflict in result.conflicts]
    return judge(case, result.notebook, {conflict.cell_id for conflict in result.conflicts}, told)


def nbdime(case: Case) -> Verdict:
    """By nbdime as ``nbmerge`` calls it, with its defaults."""
    import nbformat
    from nbdime.merging import merge_notebooks as merge

    three = [nbformat.from_dict(nb) for nb in (case.base, case.ours, case.theirs)]
    try:
        merged, decisions = merge(*three)
    except Exception:  # noqa: BLE001 - whatever it is, there is no result
        return Verdict(cases=1, failed=1)
    conflicts = [decision for decision in decisions if decision.conflict]
    ids = {case.base["cells"][at]["id"] if at < len(case.base["cells"]) else "" for at in _places(conflicts)}
    return judge(case, notebook.plain(merged), ids, [json.loads(json.dumps(decision)) for decision in conflicts])


def _places(decisions: list[Any]) -> Iterator[int]:
    for decision in decisions:
        path = decision.common_path
        if len(path) > 1 and path[0] == "cells":
            yield path[1]
        elif tuple(path) == ("cells",):
            yield from {entry.key for diff in (decision.local_diff, decision.remote_diff) for entry in diff or ()}


def judge(case: Case, merged: Notebook, asked: set[str], told: Any) -> Verdict:
    """`asked`: ids of the cells with conflicts. `told`: all that is said of these."""
    three = [Counter(_lines(nb)) for nb in (case.base, case.ours, case.theirs)]
    base, mine, other = three
    settled, everything = Counter(_settled_lines(merged)), Counter(_lines(merged))
    either = (case.we.deleted & case.they.moved) | (case.we.moved & case.they.deleted)  # may stay or go
    said = set(_strings(told))
    for nb in (case.base, case.ours, case.theirs):
        said |= set(_lines({"cells": [cell for cell in nb["cells"] if cell["id"] in asked | either]}))
    single = {line for line in {*base, *mine, *other} if line.strip() and max(each[line] for each in three) == 1}
    kept = {line for line in single if line in base and line in mine and line in other}
    gone = {line for line in single if line in base and not (line in mine and line in other)}
    text = json.dumps([merged, told])
    lost = {mark for who, nb in (("ours", case.ours), ("theirs", case.theirs)) for mark in marks(nb, who) if mark not in text}
    return Verdict(
        cases=1,
        asked=len(asked),
        false=len(asked - case.disputed()),
        unasked=len(case.disputed() - asked),
        markers=json.dumps(merged).count(OPENS),
        lost=len(lost) + sum(line not in everything and line not in said for line in kept),
        doubled=sum(settled[line] > 1 for line in single),
        back=sum(line in settled and line not in said for line in gone),
        mixed=sum(line not in ("", *base, *mine, *other) for line in settled),
        invalid=not _is_valid(merged),
    )


def _lines(nb: Notebook) -> Iterator[str]:
    for cell in nb["cells"]:
        yield from cell["source"].replace("\r\n", "\n").split("\n")


def _settled_lines(nb: Notebook) -> Iterator[str]:
    """Without what nbdime marks: what stands between two lines or cells, or in a whole cell if both marks are in one line."""
    inside = False
    for cell in nb["cells"]:
        lines = list(_lines({"cells": [cell]}))
        if OPENS in lines[0] and CLOSES in lines[0]:
            continue
        for line in lines:
            inside = inside or OPENS in line
            if not inside:
                yield line
            inside = inside and CLOSES not in line


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, str):
        yield from value.replace("\r\n", "\n").split("\n")


def _is_valid(nb: Notebook) -> bool:
    ids = [cell["id"] for cell in nb["cells"] if "id" in cell]
    try:
        notebook.check(nb)
    except ValidationError:
        return False
    return len(set(ids)) == len(nb["cells"])
