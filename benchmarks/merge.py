"""Three-way merges: how long a large one takes, and what becomes of many small ones, against nbdime."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import random
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import merge_cases, merge_judge
from benchmarks.merge_judge import Verdict
from benchmarks.results import Row
from cs3collab.merge import notebook
from cs3collab.merge.revision import revise_to
from cs3collab.merge.threeway import merge_notebooks
from cs3collab.merge.ydoc import YDocument

CELLS = 500
OUTPUT_BYTES = 10 * 2**20
SOON_MS = 100.0
NBDIME = "nbdime, the same three"


async def measure(console: Console, *, cases: int, rounds: int) -> list[Row]:
    return await asyncio.to_thread(_measure, console, cases, rounds)


def _measure(console: Console, cases: int, rounds: int) -> list[Row]:
    warnings.simplefilter("ignore")
    logging.getLogger("nbdime").setLevel(logging.CRITICAL)
    ours, theirs = compare(cases)
    _show(console, ours, theirs)
    return [
        *_time(rounds),
        Row(f"conflicts without need in {cases} random merges", ours.false, theirs.false, "nbdime", 0.1),
        Row(f"wrong in {cases} random merges, unseen (lines, results)", ours.wrong, theirs.wrong, "nbdime", 0.0),
    ]


def compare(number: int, seed: int = 0) -> tuple[Verdict, Verdict]:
    """What becomes of the same cases here and with nbdime."""
    ours, theirs = Verdict(), Verdict()
    for case in merge_cases.cases(number, seed):
        ours += merge_judge.ours(case)
        theirs += merge_judge.nbdime(case)
    return ours, theirs


def _show(console: Console, ours: Verdict, theirs: Verdict) -> None:
    table = Table("", "ours", "nbdime")
    for each in fields(Verdict):
        table.add_row(each.name, str(getattr(ours, each.name)), str(getattr(theirs, each.name)))
    table.add_row("wrong", str(ours.wrong), str(theirs.wrong))
    console.print(table)


def _time(rounds: int) -> list[Row]:
    texts = [json.dumps(nb, indent=1) for nb in large()]
    three = [notebook.parse(text.encode()) for text in texts]
    taken: dict[str, list[float]] = {"merge": [], "json": [], "live": [], "read": []}
    for _ in range(rounds):
        taken["merge"].append(_timed(lambda: merge_notebooks(*three)))
        taken["json"].append(_timed(lambda: [json.loads(text) for text in texts]))
        live = YDocument("notebook")
        live.seed(texts[1].encode())
        taken["live"].append(_timed(partial(_into, live, three)))
        taken["read"].append(_timed(lambda: [notebook.parse(texts[at].encode()) for at in (0, 2)]))
    merge, parsing, into, reading = (1000 * statistics.median(taken[what]) for what in ("merge", "json", "live", "read"))
    by_nbdime = 1000 * _by_nbdime(three)
    what = f"merge of {CELLS} cells with {OUTPUT_BYTES >> 20} MB of outputs (ms)"
    return [
        Row(what, merge, by_nbdime, NBDIME, 0.1),
        Row(what, merge, parsing, "parsing their JSON", 1.0),
        Row("the same into the live document (ms)", into, SOON_MS, f"{SOON_MS:g} ms", 1.0),
        Row("the same, with reading both files (ms)", into + reading, SOON_MS, f"{SOON_MS:g} ms", 1.0),
    ]


def _into(live: YDocument, three: list[dict[str, Any]]) -> None:
    """As the worker does it, but for reading the files."""
    ours = live._notebook()
    result = merge_notebooks(three[0], ours, three[2])
    revise_to(live._doc, result.notebook, live=ours, busy=result.changed)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _by_nbdime(three: list[dict[str, Any]]) -> float:
    import nbformat
    from nbdime.merging import merge_notebooks as merge

    nodes = [nbformat.from_dict(nb) for nb in three]
    return _timed(lambda: merge(*nodes))


def large() -> list[dict[str, Any]]:
    """Base, ours and theirs; each of the two edited every tenth cell, ran some, added, deleted and moved one."""
    chance = random.Random(0)
    base = {"cells": [_cell(chance, at) for at in range(CELLS)], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    sides = []
    for who, first in (("ours", 0), ("theirs", 5)):
        side = copy.deepcopy(base)
        for at in range(first, CELLS, 10):
            cell = side["cells"][at]
            cell["source"] = cell["source"].replace("f(3)", f"{who}(3)")
        for at in range(first, CELLS, 50):
            side["cells"][at]["outputs"][0]["data"]["text/plain"] = who
        side["cells"].insert(100 + first, {**_cell(chance, CELLS), "id": who})
        side["cells"].append(side["cells"].pop(201 + first))
        del side["cells"][301 + first]
        sides.append(side)
    return [base, *sides]


def _cell(chance: random.Random, at: int) -> dict[str, Any]:
    picture = chance.randbytes(OUTPUT_BYTES // CELLS // 2).hex()
    return {
        "cell_type": "code",
        "id": f"c{at}",
        "metadata": {},
        "execution_count": at,
        "source": "\n".join(f"x{at}_{line} = f({line})" for line in range(20)),
        "outputs": [{"output_type": "display_data", "metadata": {}, "data": {"image/png": picture, "text/plain": "x"}}],
    }
