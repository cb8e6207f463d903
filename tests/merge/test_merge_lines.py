"""Three-way merge of texts by line."""

from __future__ import annotations

import pytest

from cs3collab.merge.lines import merge_texts

CLEAN = {
    "only ours changed": ("a\nb", "a\nB", "a\nb", "a\nB"),
    "only theirs changed": ("a\nb", "a\nb", "A\nb", "A\nb"),
    "both the same": ("a\nb", "a\nB", "a\nB", "a\nB"),
    "far apart": ("a\nb\nc\nd", "A\nb\nc\nd", "a\nb\nc\nD", "A\nb\nc\nD"),
    "neighbouring lines": ("a\nb\nc", "A\nb\nc", "a\nB\nc", "A\nB\nc"),
    "a line added beside one that is changed": ("a\nb", "A\nb", "a\nnew\nb", "A\nnew\nb"),
    "deletions beside each other": ("a\nb\nc\nd", "a\nc\nd", "a\nb\nd", "a\nd"),
    "what was added already": ("a\nb", "A\nnew\nb", "a\nnew\nb", "A\nnew\nb"),
    "what was changed already, in what was added around it": ("a", "b\nA\nc", "A", "b\nA\nc"),
    "added in two places": ("a\nb", "new\na\nb", "a\nb\nmore", "new\na\nb\nmore"),
    "both added the same": ("a\nb", "a\nx\nb", "a\nx\nb", "a\nx\nb"),
    "both deleted, one more": ("a\nb\nc\nd", "a\nd", "a\nc\nd", "a\nd"),
    "one added what the other did and more": ("a", "a\nx", "a\nx\ny", "a\nx\ny"),
    "ours did what theirs did and more": ("a\nb", "A\nB", "A\nb", "A\nB"),
    "theirs did what ours did and more": ("a\nb", "A\nb", "A\nB", "A\nB"),
    "from nothing, theirs more": ("", "x", "x\ny", "x\ny"),
    "a newline at the end and a line after it": ("a\nb", "a\nb\n", "a\nb\nc", "a\nb\nc\n"),
    "no newline at the end any more": ("a\nb\n", "a\nB\n", "a\nb", "a\nB"),
    "Windows line ends": ("a\nb\nc\n", "a\r\nb\r\nc\r\n", "a\nB\nc\n", "a\r\nB\r\nc\r\n"),
    "no Windows line ends any more": ("a\r\nb\r\n", "a\nb\n", "A\r\nb\r\n", "A\nb\n"),
    "one line has none": ("a", "b\r\n", "a\r\nc", "b\r\nc\r\n"),
    "other line separators are no line ends": ("a\x0bb\u2028c\nd", "a\x0bb\u2028c\nD", "a\x0bb\u2028C\nd", "a\x0bb\u2028C\nD"),
    "lines that are alike are the same line": ("# fit", "new\n# fit", "# fit it\nmore", "new\n# fit it\nmore"),
    "what was added already, in a line that repeats": ("x\nx\nx\ny", "x\nX\nx\nadded\ny", "x\nX\nx\ny", "x\nX\nx\nadded\ny"),
    "what was deleted already, beside a line that is changed": ("q = 3\nprint(q)", "q = 3.1", "q = 3", "q = 3.1"),
    "a moved line and another change": ("a\nb\nc\nd", "b\nc\na\nd", "a\nb\nc\nD", "b\nc\na\nD"),
}
CONFLICTS = {
    "a line added beside one that is deleted": ("a\nb\nc", "a\nc", "a\nb\nnew\nc", [("b", "", "b\nnew")]),
    "one line repeats, which was added?": ("b", "a", "b\nb", [("b", "a", "b\nb")]),
    "deleted and changed, another deleted": (
        "# H\na = b",
        "# H",
        "a = b + c\nmore",
        [("# H\na = b", "# H", "a = b + c\nmore")],
    ),
    "the same line": ("a\nb\nc", "a\nB\nc", "a\nβ\nc", [("b", "B", "β")]),
    "the same place": ("a\nc", "a\nb\nc", "a\nβ\nc", [("", "b", "β")]),
    "at the end": ("a", "a\nours", "a\ntheirs", [("", "ours", "theirs")]),
    "deleted and changed": ("a\nb\nc", "a\nc", "a\nB\nc", [("b", "", "B")]),
    "one line is left, which was it?": ("a\nb", "b", "A", [("a\nb", "b", "A")]),
    "a line made blank": ("a\nb", "\nb", "A\n\nB\nb", [("a", "", "A\n\nB")]),
    "all of a change is left out": ("a\nb\nc", "A\nb\nc", "α\nβ\nc", [("a\nb", "A\nb", "α\nβ")]),
    "what both did is no part of it": ("a\nb", "A\nB", "A\nβ", [("b", "B", "β")]),
    "two of them": ("a\nb\nc", "A\nb\nC", "α\nb\nγ", [("a", "A", "α"), ("c", "C", "γ")]),
    "another line is taken": ("a\nb\nc", "A\nb\nc", "α\nb\nγ", [("a", "A", "α")]),
}


@pytest.mark.parametrize(("base", "ours", "theirs", "expected"), CLEAN.values(), ids=CLEAN)
def test_merged(base: str, ours: str, theirs: str, expected: str) -> None:
    result = merge_texts(base, ours, theirs)
    assert (result.text, result.conflicts) == (expected, ())


@pytest.mark.parametrize(("base", "ours", "theirs", "conflicts"), CONFLICTS.values(), ids=CONFLICTS)
def test_conflicts(base: str, ours: str, theirs: str, conflicts: list[tuple[str, str, str]]) -> None:
    assert list(merge_texts(base, ours, theirs).conflicts) == conflicts
    assert list(merge_texts(base, theirs, ours).conflicts) == [(was, mine, other) for was, other, mine in conflicts]


def test_ours_stays_in_a_conflict_and_the_rest_of_theirs_is_taken() -> None:
    assert merge_texts("a\nb\nc", "A\nb\nc", "α\nb\nγ").text == "A\nb\nγ"
    assert merge_texts("a\nb\nc", "A\nb\nc", "α\nβ\nc").text == "A\nb\nc"
