"""A merge into a Y document, as the worker computes it: what comes of it as an update, what is noted for people."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jupyter_ydoc import YNotebook
from pycrdt import Doc, Map, Text
from support.kept_room import notebook_file, sources

from cs3collab.errors import Corrupt, NotANotebook
from cs3collab.merge import live
from cs3collab.merge.ydoc import YDocument


def seeded(*cells: str) -> YDocument:
    document = YDocument("notebook")
    document.seed(notebook_file(*cells))
    return document


def text(content: str) -> YDocument:
    document = YDocument("file")
    document.seed(content.encode())
    return document


def peer_of(document: YDocument) -> Doc[Any]:
    doc: Doc[Any] = Doc()
    doc.apply_update(document.diff(b""))
    return doc


def notes_of(document: YDocument) -> dict[str, Any]:
    noted: dict[str, Any] = peer_of(document).get("conflicts", type=Map).to_py() or {}
    return noted


def test_merging_changes_nothing_until_its_update_is_applied() -> None:
    document = seeded("one", "ours")
    update, notes, _ = document.merge(notebook_file("one"), notebook_file("ONE"))
    assert sources(document.render()[0]) == ["one", "ours"]
    assert document.apply(update) == "changed"
    assert (sources(document.render()[0]), notes) == (["ONE", "ours"], "")


def test_what_is_typed_while_it_is_computed_is_merged_with_it() -> None:
    document = seeded("a\nb\nc")
    peer = peer_of(document)
    update, *_ = document.merge(notebook_file("a\nb\nc"), notebook_file("a\nb\nc, by someone else"))
    before = peer.get_state()
    YNotebook(peer).ycells[0]["source"].insert(0, "typed\n")
    document.apply(peer.get_update(before))
    document.apply(update)
    assert sources(document.render()[0]) == ["typed\na\nb\nc, by someone else"]


def test_nothing_new_is_no_update() -> None:
    document = seeded("one", "theirs")
    assert document.merge(notebook_file("one"), notebook_file("one", "theirs"))[:2] == (b"", "")


def test_conflicts_are_noted_once_and_are_no_part_of_the_file() -> None:
    document = seeded("ours", "same")
    update, notes, _ = document.merge(notebook_file("one", "same"), notebook_file("theirs", "same"))
    assert update == b""
    (told,) = json.loads(notes)
    assert (told["cell"], told["kind"], told["theirs"]) == ("cell-0", "source", "theirs")
    filled = json.dumps([{**told, "copy": "c.ipynb", "at": 5.0, "who": "Marie"}])
    before = document.render()
    assert document.note_conflicts(filled)
    assert document.note_conflicts(filled) == b""
    assert document.render() == before
    (note,) = notes_of(document).values()
    assert note == {"cell": "cell-0", "kind": "source", "theirs": "theirs", "copy": "c.ipynb", "at": 5.0, "who": "Marie"}


def test_who_decides_takes_all_notes_off_or_none() -> None:
    document = seeded("ours")
    document.note_conflicts(json.dumps([{"id": key, "cell": "", "kind": "source", "theirs": None} for key in "abc"]))
    assert document.decide(["a", "gone"]) == b""
    assert set(notes_of(document)) == {"a", "b", "c"}
    assert document.decide(["a", "b", "a"])
    assert set(notes_of(document)) == {"c"}
    assert document.decide(["b", "c"]) == b""
    assert set(notes_of(document)) == {"c"}


def test_long_versions_are_in_their_file_alone_and_notes_are_bounded() -> None:
    document = seeded("ours")
    _, notes, _ = document.merge(notebook_file("one"), notebook_file("x" * (live.LONGEST_TEXT + 1)))
    assert json.loads(notes)[0]["theirs"] is None
    many = [{"id": str(n), "cell": "", "kind": "source", "theirs": None} for n in range(live.MOST_NOTES + 50)]
    document.note_conflicts(json.dumps(many))
    assert len(notes_of(document)) == live.MOST_NOTES


@pytest.mark.parametrize(
    "broken", [b"nothing", b"{", b"", b"\xff", b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}']
)
def test_what_is_no_notebook_any_more_is_refused(broken: bytes) -> None:
    document = seeded("one")
    with pytest.raises(NotANotebook):
        document.merge(notebook_file("one"), broken)
    assert sources(document.render()[0]) == ["one"]


def test_an_empty_notebook_may_stay_empty() -> None:
    document = YDocument("notebook")
    document.seed(b"")
    assert document.merge(b"", b"") == (b"", "", ())
    update, *_ = document.merge(b"", notebook_file("first"))
    document.apply(update)
    assert "first" in sources(document.render()[0])


def test_text_by_line() -> None:
    document = text("a\nb\nc\n")
    peer = peer_of(document)
    update, notes, _ = document.merge(b"a\nb\nc\n", b"A\nb\nc\n")
    peer.get("source", type=Text).insert(len(b"a\nb\nc\n"), "d\n")
    document.apply(peer.get_update(document.state()))
    document.apply(update)
    assert (document.render()[0], notes) == (b"A\nb\nc\nd\n", "")


@pytest.mark.parametrize("broken", [b"", b"\n \n", b"\xff"])
def test_text_that_is_none_any_more_is_refused(broken: bytes) -> None:
    with pytest.raises(Corrupt):
        text("a\n").merge(b"a\n", broken)
