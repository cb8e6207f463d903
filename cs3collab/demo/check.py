"""``cs3collab demo --check``: what people would try in the demo, done by programs, and what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

from jupyter_ydoc.ybasedoc import YBaseDoc

from cs3collab import client
from cs3collab.client import LiveDocument
from cs3collab.demo import kernel, refusals
from cs3collab.demo.world import Lab, World
from cs3collab.errors import CollabError
from cs3collab.merge import notebook

WORDS = 25
"""How many words each of two people types into the same cell."""
PACE_S = 0.02
"""Between two words: a fast typist."""
CELL = "# cs3collab check\nprint(6 * 7)"


@dataclass(slots=True)
class Row:
    """One line of the table: somebody did something, and who saw it after how long."""

    who: str
    site: str
    did: str
    seen: dict[str, float]
    """Person to milliseconds."""
    ok: bool
    detail: str = ""


@dataclass(slots=True)
class Report:
    rows: list[Row] = field(default_factory=list)
    etag: str = ""
    position: int = 0

    @property
    def ok(self) -> bool:
        return bool(self.rows) and all(row.ok for row in self.rows)

    def as_data(self) -> dict[str, Any]:
        return {"ok": self.ok, "etag": self.etag, "position": self.position, "rows": [asdict(row) for row in self.rows]}


@dataclass(frozen=True, slots=True)
class Participant:
    lab: Lab
    document: LiveDocument

    @property
    def name(self) -> str:
        return self.lab.person.name


async def check(world: World) -> Report:
    """Never raises for what is off: that is a row which is not ok."""
    report = Report()
    original, _ = await world.stored()
    async with AsyncExitStack() as stack:
        people = [await _join(stack, lab) for lab in world.labs]
        owner, editor, viewer = people
        cell = await _add_cell(report, owner, people)
        await _type_together(report, cell, owner, editor, people)
        await _type_one_word(report, cell, owner, people)
        await _type_one_word(report, cell, editor, people)
        await _run(report, cell, editor, people)
        await _viewer_is_refused(report, cell, world, viewer, people)
        await _save(report, cell, owner, world, original)
    return report


async def _join(stack: AsyncExitStack, lab: Lab) -> Participant:
    opened = client.open(lab.url, lab.person.path, token=lab.token)
    return Participant(lab, await stack.enter_async_context(opened))


async def _add_cell(report: Report, who: Participant, people: list[Participant]) -> str:
    """A cell of our own at the end; returns its id."""
    document: Any = who.document.shared
    document.append_cell({"cell_type": "code", "source": CELL, "metadata": {}, "outputs": [], "execution_count": None})
    cell = str(document.ycells[-1]["id"])
    seen, problem = await _seen(who, people, lambda nb: _find(nb, cell) is not None)
    report.rows.append(_row(who, "added a cell", seen, problem))
    return cell


async def _type_together(report: Report, cell: str, one: Participant, two: Participant, people: list[Participant]) -> None:
    """Both type into the same cell at once; every word must be there once, for everybody."""
    words = await asyncio.gather(_type(one, cell, "a"), _type(two, cell, "b"))
    await asyncio.gather(one.document.durable(), two.document.durable())
    expected = [word for typed in words for word in typed]
    for who, typed in zip((one, two), words, strict=True):
        seen, problem = await _seen(who, people, lambda nb: _all_once(nb, cell, expected))
        row = _row(who, f"typed {len(typed)} words while {(two if who is one else one).name} did too", {}, problem)
        row.detail = row.detail or f"all {len(expected)} words once, with {' and '.join(seen)} too"
        report.rows.append(row)
    same = {_source(person.document.shared, cell) for person in people}
    if len(same) != 1:
        report.rows.append(_row(one, "compared the cell with the others", {}, "not everybody sees the same"))


async def _type(who: Participant, cell: str, tag: str) -> list[str]:
    words = []
    for number in range(WORDS):
        found = _find(who.document.shared, cell)
        text = found["source"]
        text += f"\n# {tag}{number:03}"
        words.append(f"# {tag}{number:03}")
        await asyncio.sleep(PACE_S)
    return words


async def _type_one_word(report: Report, cell: str, who: Participant, people: list[Participant]) -> None:
    word = f"# seen from {who.lab.person.site}"
    text = _find(who.document.shared, cell)["source"]
    text += f"\n{word}"
    seen, problem = await _seen(who, people, lambda nb: word in _source(nb, cell))
    report.rows.append(_row(who, "typed a line", seen, problem))


async def _run(report: Report, cell: str, who: Participant, people: list[Participant]) -> None:
    problem, seen = "", dict[str, float]()
    try:
        result = await kernel.run(who.lab.url, who.lab.token, _source(who.document.shared, cell))
        result.write(_find(who.document.shared, cell))
        seen, problem = await _seen(who, people, lambda nb: "42" in str(_find(nb, cell)["outputs"]))
    except CollabError as error:
        problem = str(error)
    report.rows.append(_row(who, "ran the cell in their kernel", seen, problem))


async def _viewer_is_refused(report: Report, cell: str, world: World, viewer: Participant, people: list[Participant]) -> None:
    """By their own server, and by both relays when asked directly; then nobody must have got anything."""
    forbidden = "# a viewer was here"
    text = _find(viewer.document.shared, cell)["source"]
    text += f"\n{forbidden}"
    await viewer.document.durable()
    said = await viewer.document.until_status(lambda status: status["role"] == "viewer")
    refused = {"Jupyter server": str(said["reason"]), **await refusals.ask(world, viewer.document, cell, forbidden)}
    others = [person for person in people if person is not viewer]
    await asyncio.gather(*(person.document.durable() for person in others))
    got = [person.name for person in others if forbidden in _source(person.document.shared, cell)]
    stored, _ = await world.stored()
    problem = f"{', '.join(got)} got it" if got else "it is in the file" if forbidden.encode() in stored else ""
    let_in = [hop for hop, answer in refused.items() if not answer]
    problem = problem or (f"not refused by the {', '.join(let_in)}" if let_in else "")
    row = _row(viewer, "tried to edit", {}, problem)
    row.detail = row.detail or f"refused by the {', the '.join(refused)}"
    report.rows.append(row)


async def _save(report: Report, cell: str, who: Participant, world: World, original: bytes) -> None:
    started = time.perf_counter()
    answer = await who.document.save()
    took = (time.perf_counter() - started) * 1000
    content, report.etag = await world.stored()
    status = await who.document.until_status(lambda status: status["savedPosition"] == status["position"])
    report.position = int(status["savedPosition"])
    problem = "" if answer["status"] == "success" else f"the save failed: {answer.get('message', '')}"
    try:
        problem = problem or compare(original, content, cell, _source(who.document.shared, cell))
    except CollabError as error:
        problem = f"the file is not a valid notebook: {error}"
    row = _row(who, "saved", {"storage": took}, problem)
    row.detail = row.detail or f"position {report.position}, etag {report.etag}; nothing else in the file changed"
    report.rows.append(row)


def compare(original: bytes, saved: bytes, cell: str, source: str) -> str:
    """What is wrong with `saved`, if it is not `original` with one more cell of that id and source. Raises `NotANotebook`."""
    before, after = notebook.parse(original), notebook.parse(saved)
    notebook.check(after)
    added = [c for c in after["cells"] if c.get("id") == cell]
    if len(added) != 1 or "".join(added[0]["source"]) != source:
        return "the file does not hold the cell that everybody sees"
    if not added[0].get("outputs"):
        return "the file does not hold the output"
    rest = {**after, "cells": [c for c in after["cells"] if c.get("id") != cell]}
    return "" if notebook.digest(rest) == notebook.digest(before) else "something else in the file changed"


async def _seen(who: Participant, people: list[Participant], true: Callable[[YBaseDoc], bool]) -> tuple[dict[str, float], str]:
    """Milliseconds until `true` for everybody but `who`, and what is wrong if that does not come."""
    started = time.perf_counter()

    async def one(person: Participant) -> float:
        await person.document.until(true)
        return (time.perf_counter() - started) * 1000

    others = [person for person in people if person is not who]
    times = await asyncio.gather(*(one(person) for person in others), return_exceptions=True)
    late = [person.name for person, taken in zip(others, times, strict=True) if isinstance(taken, BaseException)]
    seen = {person.name: taken for person, taken in zip(others, times, strict=True) if isinstance(taken, float)}
    return seen, f"{' and '.join(late)} did not see it" if late else ""


def _row(who: Participant, did: str, seen: dict[str, float], problem: str) -> Row:
    return Row(who.name, who.lab.person.site, did, seen, not problem, problem)


def _find(shared: Any, cell: str) -> Any:
    return next((c for c in shared.ycells if str(c["id"]) == cell), None)


def _source(shared: Any, cell: str) -> str:
    found = _find(shared, cell)
    return "" if found is None else str(found["source"])


def _all_once(shared: Any, cell: str, words: list[str]) -> bool:
    lines = _source(shared, cell).split("\n")
    return all(lines.count(word) == 1 for word in words)
