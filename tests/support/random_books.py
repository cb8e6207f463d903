"""Notebooks at random, small and full of repetitions, and what two people made of them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from cs3collab.merge.lines import split_lines

Notebook = dict[str, Any]

LINES = st.sampled_from(["", "a", "b", "c", "  a", "x = 1"])
STREAM = st.sampled_from(["1\n", "2\n"]).map(lambda text: {"output_type": "stream", "name": "stdout", "text": text})
NAMES = st.sampled_from("abcdefg")
METADATA = st.dictionaries(st.sampled_from(["x", "collapsed"]), st.booleans(), max_size=2)


@st.composite
def cells(draw: st.DrawFn) -> Notebook:
    lines = draw(st.lists(LINES, max_size=4, unique=True))
    cell = {"id": draw(NAMES), "source": "\n".join(lines), "metadata": draw(METADATA)}
    if draw(st.integers(0, 3)) == 0:
        return {**cell, "cell_type": "markdown"}
    outputs = draw(st.lists(STREAM, max_size=1))
    return {**cell, "cell_type": "code", "outputs": outputs, "execution_count": draw(st.none() | st.integers(1, 2))}


def book(parts: list[Notebook], **metadata: Any) -> Notebook:
    return {"cells": parts, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


BOOKS = st.lists(cells(), max_size=5, unique_by=lambda cell: cell["id"]).map(book)


@st.composite
def related(draw: st.DrawFn) -> tuple[Notebook, Notebook, Notebook]:
    """A notebook and what two made of it, of whom one moves cells. What they write is like nothing else, so it can be found."""
    base, mover = draw(BOOKS), draw(st.sampled_from(["ours", "theirs"]))
    ours, theirs = (draw(_edits_of(base, who, moves=who == mover)) for who in ("ours", "theirs"))
    return base, ours, theirs


@st.composite
def _edits_of(draw: st.DrawFn, base: Notebook, who: str, *, moves: bool) -> Notebook:
    parts = [dict(cell) for cell in base["cells"]]
    for step in range(draw(st.integers(0, 4))):
        what = draw(st.sampled_from(["source", "delete", "add", "replace"] + ["move"] * moves))
        at = draw(st.integers(0, max(0, len(parts) - 1)))
        if what == "add":
            parts.insert(at, draw(cells()) | {"id": f"{who}-{step}", "source": f"{who} added {step}"})
        elif not parts:
            continue
        elif what == "source":
            lines = split_lines(parts[at]["source"])
            written = [line for n in range(len(lines) + 1) for line in draw(written_beside(lines, n, f"{who} {step}"))]
            parts[at] = {**parts[at], "source": "\n".join(written)}
        elif what == "move":
            parts.insert(draw(st.integers(0, len(parts) - 1)), parts.pop(at))
        elif what == "delete":
            del parts[at]
        else:
            parts[at] = {**draw(cells()), "id": parts[at]["id"], "source": parts[at]["source"]}
    return book(list({cell["id"]: cell for cell in parts}.values()))


def written_beside(base: list[str], at: int, who: str) -> st.SearchStrategy[list[str]]:
    """The line `at`, kept, changed or deleted, and what somebody added before it."""
    added = st.lists(st.just(""), max_size=2).map(lambda some: [f"{who} {at} {n}" for n in range(len(some))])
    kept = st.sampled_from([base[at : at + 1]] * 3 + [[f"{who} {at}"], []]) if at < len(base) else st.just([])
    return st.builds(lambda before, line: before + line, st.just([]) | st.just([]) | added, kept)
