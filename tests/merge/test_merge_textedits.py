"""How one text becomes another."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cs3collab.merge.textedits import TextEdit, text_edits


def applied(old: str, edits: list[TextEdit]) -> str:
    for start, end, text in reversed(edits):
        old = old[:start] + text + old[end:]
    return old


@pytest.mark.parametrize(
    ("old", "new", "edits"),
    [
        ("", "", []),
        ("same", "same", []),
        ("", "new", [(0, 0, "new")]),
        ("gone", "", [(0, 4, "")]),
        ("a\nb\nc\n", "a\nB\nc\n", [(2, 3, "B")]),
        ("one two three", "one 2 three", [(4, 7, "2")]),
        ("f(alpha, beta)", "f(alpine, beta, c)", [(5, 7, "ine"), (13, 13, ", c")]),
        ("a\nb", "b", [(0, 2, "")]),
        ("x = 1\ny = 2\n", "x = 10\ny = 2\nz\n", [(5, 5, "0"), (12, 12, "z\n")]),
    ],
)
def test_the_edits(old: str, new: str, edits: list[tuple[int, int, str]]) -> None:
    assert text_edits(old, new) == edits


TEXT = st.text(alphabet="ab \n(é🎉\r\u2028", max_size=30)


@settings(deadline=None)
@given(TEXT, TEXT)
def test_they_lead_from_one_to_the_other(old: str, new: str) -> None:
    edits = text_edits(old, new)
    assert applied(old, edits) == new
    assert all(edit.start < edit.end or edit.text for edit in edits)
    assert all(edit.end < after.start for edit, after in itertools.pairwise(edits))


def test_a_long_line_is_not_compared_by_word() -> None:
    old = "a " * 500_000 + "b" + " c" * 500_000
    assert text_edits(old, old.replace("b", "B")) == [(1_000_000, 1_000_001, "B")]
