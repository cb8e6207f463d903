"""A file's content as edits: the document becomes the file, and what others typed meanwhile stays."""

from __future__ import annotations

import json
from typing import Any

import pycrdt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jupyter_ydoc import YNotebook

from cs3collab.errors import Corrupt, NotANotebook
from cs3collab.merge import notebook
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
