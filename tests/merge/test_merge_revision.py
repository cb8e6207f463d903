"""A file's content as edits: the document becomes the file, and what others typed meanwhile stays."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pycrdt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jupyter_ydoc import YNotebook

from cs3collab.errors import Corrupt, NotANotebook
from cs3collab.merge import notebook
from cs3collab.merge.revision import revise_to
from cs3collab.merge.threeway import merge_notebooks
from cs3collab.merge.ydoc import YDocument


def cell(cell_id: str, source: str, kind: str = "code", **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"id": cell_id, "cell_type": kind, "source": source, "metadata": {}}
    if kind == "code":
        made |= {"outputs": [], "execution_count": None}
    return made | more


def book(*cells: dict[str, Any], **metadata: Any) -> bytes:
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}).encode()


STREAM = {"output_type": "stream", "name": "stdout", "text": "42\n"}
DATA = {"output_type": "display_data", "data": {"text/plain": "x", "application/json": {"a": [1, 2.5]}}, "metadata": {}}
KINDS = st.sampled_from(["code", "markdown", "raw"])
CELLS = st.lists(
    st.builds(
        lambda n, text, kind, outputs, count: (
            cell(f"c{n}", text, kind) | ({"outputs": outputs, "execution_count": count} if kind == "code" else {})
        ),
        st.integers(0, 5),
        st.text(alphabet="ab\n🎉é", max_size=12),
        KINDS,
        st.lists(st.sampled_from([STREAM, DATA]), max_size=2),
        st.none() | st.integers(0, 9),
    ),
    max_size=6,
    unique_by=lambda made: made["id"],
)
VALUES = st.none() | st.integers(0, 3) | st.dictionaries(st.just("x"), st.text(max_size=2))
METADATA = st.dictionaries(st.sampled_from("abc"), VALUES)


def digest(content: bytes) -> str:
    return notebook.digest(notebook.parse(content))


@settings(max_examples=150, deadline=None)
@given(CELLS, CELLS, METADATA, METADATA)
def test_the_document_becomes_the_file(before: Any, after: Any, old: Any, new: Any) -> None:
    document = YDocument("notebook")
    document.seed(book(*before, **old))
    peer: pycrdt.Doc = pycrdt.Doc()
    peer.apply_update(document.diff(b""))
    content = book(*after, **new)
    update = document.revise(content)
    assert document.render()[1] == digest(content)
    if update:
        peer.apply_update(update)
    assert peer.get_state() == document.state()
    assert document.revise(content) == b""


def offline_edit(document: YDocument, index: int, at: int, text: str) -> bytes:
    peer: pycrdt.Doc = pycrdt.Doc()
    peer.apply_update(document.diff(b""))
    before = peer.get_state()
    YNotebook(peer).ycells[index]["source"].insert(at, text)
    return peer.get_update(before)


@pytest.mark.parametrize(
    "theirs",
    [
        book(cell("a", "x = 1"), cell("b", "y = 3")),
        book(cell("a", "x = 1\n# more", outputs=[STREAM], execution_count=3)),
        book(cell("new", "z"), cell("a", "import q\nx = 1"), kernelspec={"name": "n", "display_name": "N"}),
        book(cell("a", "x = 1"), cell("c", "w", "markdown", attachments={"f": {"text/plain": "x"}})),
    ],
    ids=["another cell", "the same cell", "a cell before", "cells after"],
)
def test_what_was_typed_elsewhere_meanwhile_is_merged(theirs: bytes) -> None:
    document = YDocument("notebook")
    document.seed(book(cell("a", "x = 1"), cell("b", "y = 2")))
    typed = offline_edit(document, 0, 5, "00  # typed offline")
    document.revise(theirs)
    document.apply(typed)
    sources = [c["source"] for c in notebook.parse(document.render()[0])["cells"]]
    expected = [c["source"] for c in notebook.parse(theirs)["cells"]]
    assert [source.replace("00  # typed offline", "") for source in sources] == expected
    assert "".join(sources).count("typed offline") == 1


def test_text_files_change_where_they_differ() -> None:
    document = YDocument("file")
    document.seed("eins zwei drei 🎉".encode())
    peer: pycrdt.Doc = pycrdt.Doc()
    peer.apply_update(document.diff(b""))
    before = peer.get_state()
    peer.get("source", type=pycrdt.Text).insert(0, "null ")
    document.revise("eins zwei vier 🎉".encode())
    document.apply(peer.get_update(before))
    assert document.render()[0] == "null eins zwei vier 🎉".encode()


@settings(deadline=None)
@given(st.text(max_size=20), st.text(max_size=20))
def test_any_text_becomes_any_other(old: str, new: str) -> None:
    document = YDocument("file")
    document.seed(old.encode())
    document.revise(new.encode())
    assert document.render()[0] == new.encode()


def test_what_is_no_document_changes_nothing() -> None:
    document = YDocument("notebook")
    document.seed(book(cell("a", "x")))
    before = document.diff(b"")
    with pytest.raises(NotANotebook):
        document.revise(b"no notebook")
    assert document.diff(b"") == before
    text = YDocument("file")
    text.seed(b"x")
    with pytest.raises(Corrupt):
        text.revise(b"\xff")
    assert text.render()[0] == b"x"


def typed(document: YDocument, edit: Callable[[YNotebook], None]) -> bytes:
    """The update of somebody who has not yet seen what happens now."""
    peer: pycrdt.Doc = pycrdt.Doc()
    peer.apply_update(document.diff(b""))
    before = peer.get_state()
    edit(YNotebook(peer))
    return peer.get_update(before)


def seeded(content: bytes) -> YDocument:
    document = YDocument("notebook")
    document.seed(content)
    return document


def cells_of(document: YDocument) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = notebook.parse(document.render()[0])["cells"]
    return cells


def test_only_what_differs_in_a_line_is_touched() -> None:
    """So that what somebody types between two changes of theirs stays where it was typed."""
    document = seeded(book(cell("a", "naïve = f(x, 1)\nsame 🎉\nplot(naïve, 'red')\n")))
    update = typed(document, lambda nb: nb.ycells[0]["source"].insert(len("naïve = f(x".encode()), ", typed"))
    second = typed(document, lambda nb: nb.ycells[0]["source"].insert(len("naïve = f(x, 1)\nsame 🎉".encode()), " too"))
    document.revise(book(cell("a", "naïve = g(x, 2)\nsame 🎉\nplot(naïve, 'blue')\n")))
    document.apply(update)
    document.apply(second)
    assert cells_of(document)[0]["source"] == "naïve = g(x, typed, 2)\nsame 🎉 too\nplot(naïve, 'blue')\n"


@pytest.mark.parametrize("busy", ["a", "b"])
def test_of_two_cells_that_change_places_the_busy_one_stays(busy: str) -> None:
    document = seeded(book(cell("a", "x"), cell("b", "y")))
    update = typed(document, lambda nb: nb.ycells["ab".index(busy)]["source"].insert(0, "typed "))
    revise_to(document._doc, notebook.parse(book(cell("b", "y"), cell("a", "x"))), busy=[busy])
    document.apply(update)
    sources = {each["id"]: each["source"] for each in cells_of(document)}
    assert list(sources) == ["b", "a"]
    assert sources[busy].startswith("typed ")


def test_the_fewest_and_smallest_cells_are_made_anew() -> None:
    parts = [cell(f"c{at}", "long " * 20) for at in range(6)]
    parts[4] = cell("c4", "s")
    document = seeded(book(*parts))
    edits = [typed(document, lambda nb, at=at: nb.ycells[at]["source"].insert(0, f"typed {at} ")) for at in range(6)]
    moved = [parts[at] for at in (0, 4, 1, 2, 5, 3)]
    document.revise(book(*moved))
    for update in edits:
        document.apply(update)
    made_anew = [each["id"] for each in cells_of(document) if not each["source"].startswith("typed")]
    assert [each["id"] for each in cells_of(document)] == ["c0", "c4", "c1", "c2", "c5", "c3"]
    assert len(made_anew) == 2
    assert "c4" in made_anew


def test_a_stream_is_written_on() -> None:
    """A kernel here goes on printing into the output that theirs has more of."""
    document = seeded(book(cell("a", "x", outputs=[STREAM | {"text": "1\n"}])))
    update = typed(document, lambda nb: nb.ycells[0]["outputs"][0]["text"].insert(2, "printed here\n"))
    document.revise(book(cell("a", "x", outputs=[STREAM | {"text": "0\n1\n"}, DATA])))
    document.apply(update)
    outputs = cells_of(document)[0]["outputs"]
    assert outputs == [STREAM | {"text": "0\n1\nprinted here\n"}, DATA]


def test_outputs_that_are_the_same_are_not_sent_again() -> None:
    large = DATA | {"data": {"image/png": "x" * 100_000}}
    document = seeded(book(cell("a", "x", outputs=[large, STREAM, large])))
    update = document.revise(book(cell("a", "x", outputs=[large, DATA, STREAM, large])))
    assert len(update) < 1000
    assert cells_of(document)[0]["outputs"] == [large, DATA, STREAM, large]


@settings(max_examples=100, deadline=None)
@given(CELLS, CELLS, CELLS, METADATA)
def test_a_merge_into_a_live_document(base: Any, mine: Any, other: Any, metadata: Any) -> None:
    document, plain = seeded(book(*mine, **metadata)), seeded(book(*mine, **metadata))
    live = document._notebook()
    result = merge_notebooks(notebook.parse(book(*base)), live, notebook.parse(book(*other)))
    revise_to(document._doc, result.notebook, live=live, busy=result.changed)
    revise_to(plain._doc, result.notebook)
    assert document.render() == plain.render()
    assert document.render()[1] == notebook.digest(result.notebook)
    state = document.state()
    revise_to(document._doc, document._notebook())
    assert document.state() == state, "there was nothing more to do"
