"""A Y document: what an update did to it, what a peer lacks, what the file would be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pycrdt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jupyter_ydoc import YNotebook
from pycrdt import Array, Doc, Map, Text

from cs3collab.errors import Corrupt, InvalidInput, NotANotebook, UpdateRejected
from cs3collab.limits import Limits
from cs3collab.merge import notebook
from cs3collab.merge.ydoc import YDocument

NOTEBOOKS = sorted((Path(__file__).parent.parent / "fixtures" / "notebooks").glob("*.ipynb"))


class Peer:
    """A browser: a plain document that notes the update of each of its edits."""

    def __init__(self, client_id: int = 1) -> None:
        self.doc: Doc[Any] = Doc(client_id=client_id)
        self.text = self.doc.get("source", type=Text)
        self.updates: list[bytes] = []
        self._subscription = self.doc.observe(lambda event: self.updates.append(event.update))

    def type(self, text: str) -> list[bytes]:
        """The updates, one for each character."""
        before = len(self.updates)
        for character in text:
            self.text.insert(len(self.text), character)
        return self.updates[before:]


def content(document: YDocument) -> str:
    return document.render()[0].decode()


def copy_of(update: bytes) -> str:
    doc: Doc[Any] = Doc()
    doc.apply_update(update)
    return str(doc.get("source", type=Text))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_seeded_notebook_renders_as_it_was(path: Path) -> None:
    before = notebook.parse(path.read_bytes())
    document = YDocument("notebook")
    document.seed(path.read_bytes())
    rendered, digest = document.render()
    assert digest == notebook.digest(before)
    assert notebook.digest(notebook.parse(rendered)) == digest


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_stock_frontend_reads_the_seed(path: Path) -> None:
    before = notebook.parse(path.read_bytes())
    doc: Doc[Any] = Doc()
    ynotebook = YNotebook(doc)
    doc.apply_update(YDocument("notebook").seed(path.read_bytes()))
    shown = ynotebook.get()
    assert [cell["source"] for cell in shown["cells"]] == [cell["source"] for cell in before["cells"]] or not before["cells"]
    assert ynotebook.dirty is False


def test_the_seed_makes_the_document_from_nothing() -> None:
    document, other = YDocument("file"), YDocument("file")
    assert other.apply(document.seed("é🎉\r\n".encode())) == "changed"
    assert content(other) == content(document) == "é🎉\r\n"


def test_seeds_of_one_file_never_share_a_client() -> None:
    first, second = (YDocument("file") for _ in range(2))
    assert first.seed(b"a") != second.seed(b"a")
    assert first.state() != second.state()


def test_changed_known_pending() -> None:
    document, peer = YDocument("file"), Peer()
    one, two, three, four = peer.type("abcd")
    assert document.apply(one) == "changed"
    assert document.apply(one) == "known"
    assert document.apply(three) == "pending"
    assert document.apply(three) == "pending"
    assert document.apply(four) == "pending"
    assert content(document) == "a"
    assert document.apply(two) == "changed"
    assert content(document) == "abcd"
    assert document.apply(three) == document.apply(four) == "known"


def test_deletions_are_changed_once_then_known() -> None:
    document, peer = YDocument("file"), Peer()
    for update in peer.type("abc"):
        document.apply(update)
    del peer.text[1:2]
    deletion = peer.updates[-1]
    assert document.apply(deletion) == "changed"
    assert document.apply(deletion) == "known"
    assert content(document) == "ac"


def test_a_deletion_of_what_has_not_come_is_pending() -> None:
    document, peer = YDocument("file"), Peer()
    (insertion,) = peer.type("a")
    peer.text.clear()
    assert document.apply(peer.updates[-1]) == "pending"
    assert copy_of(pycrdt.merge_updates(document.diff(b""), insertion)) == ""
    document.apply(insertion)
    assert content(document) == ""


def test_the_empty_update_is_known() -> None:
    assert YDocument("file").apply(b"\0\0") == "known"


def test_diff_carries_pending_updates() -> None:
    document, peer = YDocument("file"), Peer()
    one, two, three = peer.type("abc")
    document.apply(one)
    document.apply(three)
    assert copy_of(pycrdt.merge_updates(document.diff(b""), two)) == "abc"
    assert copy_of(pycrdt.merge_updates(one, document.diff(document.state()), two)) == "abc"


def test_load_keeps_pending_updates_too() -> None:
    peer = Peer()
    one, two, three = peer.type("abc")
    document = YDocument("file")
    document.load([three, one])
    assert copy_of(pycrdt.merge_updates(document.diff(b""), two)) == "abc"
    assert document.apply(two) == "changed"
    assert document.diff(document.state()) == b"\0\0"


def test_too_many_pending_updates_are_refused_and_the_rest_lives() -> None:
    document, peer = YDocument("file", limits=Limits(document_bytes=14)), Peer()
    first, _, *late = peer.type("x" * 30)
    assert [document.apply(update) for update in (first, late[0])] == ["changed", "pending"]
    with pytest.raises(UpdateRejected, match="never came"):
        document.apply(late[1])
    assert content(document) == "x"
    document.apply(peer.doc.get_update())
    assert content(document) == "x" * 30


def test_updates_of_several_gaps_are_all_taken_in_the_end() -> None:
    """yrs loses some of these by itself."""
    document, one, two = YDocument("file"), Peer(1), Peer(2)
    (other,) = two.type("a")
    early = one.type("aaaaaa")
    one.doc.apply_update(other)
    (bridge, last) = (*one.type("a"), *one.type("a"))
    for update in (other, *early[1:], last, early[0], bridge):
        document.apply(update)
    assert content(document) == "a" * 9
    document.load([other, *early[1:], last, early[0], bridge])
    assert content(document) == "a" * 9


@pytest.mark.parametrize("update", [b"", b"\x01", b"\xff" * 20, b"not an update"])
def test_what_cannot_be_decoded_is_refused_and_changes_nothing(update: bytes) -> None:
    document = YDocument("file")
    document.seed(b"text")
    before = document.diff(b"")
    with pytest.raises(UpdateRejected):
        document.apply(update)
    with pytest.raises(UpdateRejected):
        document.load([before, update])
    assert document.diff(b"") == before


def test_an_update_past_the_limit_is_refused() -> None:
    document = YDocument("file", limits=Limits(update_bytes=10))
    with pytest.raises(UpdateRejected, match="at most 10 bytes"):
        document.apply(bytes(11))


@pytest.mark.parametrize("vector", [b"\x01", b"\x01\x01", b"\x80", b"\xff" * 30, b"\x00\x00", bytes(3 * 2**20)])
def test_a_malformed_state_vector_is_refused(vector: bytes) -> None:
    document = YDocument("file")
    document.seed(b"text")
    with pytest.raises(InvalidInput):
        document.diff(vector)
    assert content(document) == "text"


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), st.sampled_from(["a", "é", "🎉", "\n", ""])), max_size=25),
    st.data(),
)
@settings(max_examples=100, deadline=None)
def test_any_order_with_duplicates_converges(edits: list[tuple[int, int, str]], data: st.DataObject) -> None:
    peers = [Peer(client) for client in (1, 2, 3)]
    for who, where, what in edits:
        text, peer = peers[who].text, peers[who]
        if what:
            peer.type(what)
        elif str(text).isascii() and len(text) > where:
            del text[where : where + 1]
        if where == 9:  # now and then somebody hears of the others
            for other in peers:
                peer.doc.apply_update(other.doc.get_update())
    updates = [update for peer in peers for update in peer.updates]
    expected: Doc[Any] = Doc()
    for peer in peers:
        expected.apply_update(peer.doc.get_update())
    document = YDocument("file")
    order = data.draw(st.permutations(updates + data.draw(st.lists(st.sampled_from(updates), max_size=5)) if updates else []))
    outcomes = [document.apply(update) for update in order]
    assert content(document) == str(expected.get("source", type=Text))
    assert document.state() == expected.get_state()
    assert [document.apply(update) for update in order] == ["known"] * len(order)
    assert "changed" in outcomes or not any(peer.updates for peer in peers)


def test_rendering_writes_nothing() -> None:
    document = YDocument("notebook")
    document.seed(next(path for path in NOTEBOOKS if path.stem == "duplicate_ids").read_bytes())
    before = document.diff(b"")
    document.render()
    assert document.diff(b"") == before


def test_mark_saved_clears_the_flag_and_notes_the_hash_once() -> None:
    document = YDocument("notebook")
    seed = document.seed(b"")
    assert document.mark_saved("", clean=True) == b""
    doc: Doc[Any] = Doc()
    doc.apply_update(seed)
    state = doc.get("state", type=Map)
    state["dirty"] = True
    document.apply(doc.get_update())
    doc.apply_update(document.mark_saved("abc", clean=False))
    assert state.to_py() == {"dirty": True, "hash": "abc", "hash_algorithm": "sha256"}
    update = document.mark_saved("abc", clean=True)
    doc.apply_update(update)
    assert state["dirty"] is False
    assert document.apply(update) == "known"
    assert document.mark_saved("abc", clean=True) == b""


def test_execution_state_stays_out_of_the_file() -> None:
    document = YDocument("notebook")
    doc: Doc[Any] = Doc()
    doc.apply_update(document.seed(b""))
    doc.get("cells", type=Array)[0]["execution_state"] = "running"
    document.apply(doc.get_update())
    assert b"execution_state" not in document.render()[0]


def test_what_is_no_notebook_is_not_rendered() -> None:
    with pytest.raises(NotANotebook, match="left as it was"):
        YDocument("notebook").render()
    document = YDocument("notebook")
    doc: Doc[Any] = Doc()
    doc.apply_update(document.seed(b""))
    doc.get("cells", type=Array)[0]["cell_type"] = "sql"
    document.apply(doc.get_update())
    with pytest.raises(NotANotebook, match="not a valid notebook"):
        document.render()


def test_text_that_is_not_utf8_is_refused() -> None:
    document = YDocument("file")
    with pytest.raises(Corrupt, match="UTF-8"):
        document.seed(b"\xe9")
    assert content(document) == ""


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(InvalidInput):
        YDocument("directory")


def test_integers_stay_integers_in_what_a_browser_wrote() -> None:
    document = YDocument("notebook")
    doc: Doc[Any] = Doc()
    doc.apply_update(document.seed(b""))
    doc.get("cells", type=Array)[0]["execution_count"] = 3.0  # Yjs knows only floats
    document.apply(doc.get_update())
    assert json.loads(document.render()[0])["cells"][0]["execution_count"] == 3
