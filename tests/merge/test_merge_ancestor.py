"""Which of our versions somebody else's was made from."""

from __future__ import annotations

import json
import random

import pytest
from support.kept_room import notebook_file

from cs3collab.merge.ancestor import RESTORED_S, Difference, choose, common, common_lines, differences
from cs3collab.merge.notebook import blank_cell

OLD = RESTORED_S + 1


@pytest.mark.parametrize(
    ("found", "ages", "best"),
    [
        pytest.param([(0, 1)], [0], 0, id="the only one"),
        pytest.param([(1, 1), (0, 1)], [0, 5], 1, id="an old copy, and a line more"),
        pytest.param([(1, 1), (0, 2)], [0, 5], 1, id="as close, but less is gone"),
        pytest.param([(1, 0), (0, 5)], [0, 5], 0, id="a line deleted in the newest"),
        pytest.param([(1, 0), (0, 0)], [0, 5], 1, id="what was saved a moment ago, written again"),
        pytest.param([(1, 0), (0, 0)], [0, OLD], 0, id="an old version put back on purpose"),
        pytest.param([(3, 1), (1, 1), (1, 1)], [0, 5, OLD], 1, id="the newer of two alike"),
    ],
)
def test_what_theirs_was_made_from(found: list[tuple[int, int]], ages: list[float], best: int) -> None:
    assert choose([Difference(*each) for each in found], ages) == best


def test_notebooks_differ_in_lines_and_outputs_wherever_they_stand() -> None:
    before, after = notebook_file("a\nb", "c"), notebook_file("c", "a\nB", "d")
    assert differences("notebook", [before, after], after) == [(1, 2), (0, 0)]
    code = {"cell_type": "code", "id": "x", "metadata": {}, "source": ["1 + 1\n"], "execution_count": 1}
    output = {"output_type": "stream", "name": "stdout", "text": "2"}
    books = [{"cells": [{**code, "outputs": outputs}], "metadata": {}} for outputs in ([], [output])]
    without, with_output = (json.dumps(book).encode() for book in books)
    assert differences("notebook", [without], with_output) == [(0, 1)]


@pytest.mark.parametrize("broken", [b"", b"[1]", b'{"cells": 3}', b'{"cells": [3]}', b"\xff"])
def test_what_is_no_notebook_lacks_everything(broken: bytes) -> None:
    assert differences("notebook", [notebook_file("a", "b")], broken) == [(2, 0)]


def test_a_line_that_goes_on_is_not_gone() -> None:
    newest, oldest = notebook_file("a", "first = 1"), notebook_file("a")
    theirs = notebook_file("a", "first = 1  # and more")
    assert differences("notebook", [newest, oldest], theirs) == [(0, 1), (0, 1)]
    assert choose(differences("notebook", [newest, oldest], theirs), [0, 5]) == 0
    elsewhere = notebook_file("a, and first = 1 too")
    assert differences("notebook", [newest], elsewhere) == [(2, 1)]
    assert differences("file", [b"some line\n", b"x\n"], b"some line x\n") == [(0, 1), (1, 1)]
    assert differences("file", [b"some line\nsome line\n"], b"some line x\n") == [(1, 1)]


def test_texts_differ_in_lines() -> None:
    assert differences("file", [b"a\nb\n", b"b\nc\n"], b"b\na\n") == [(0, 0), (1, 1)]


def test_the_lines_of_both_in_order() -> None:
    assert common_lines("a\nmine\nb\nc\n", "a\nb\ntheirs\nc\n") == "a\nb\nc\n"
    assert common_lines("x\na\n", "a\ny\n") == "a\n"
    assert common_lines("", "a") == common_lines("a", "") == ""


@pytest.mark.timeout(30)
def test_without_a_base_large_texts_have_only_their_ends_in_common() -> None:
    """Unbounded, the comparison takes minutes, and the test's time is up."""
    middle = ["\n".join(random.Random(seed).choices("ab", k=20_000)) for seed in range(2)]
    mine, theirs = (f"first\n{lines}\nlast\n" for lines in middle)
    common = common_lines(mine, theirs)
    assert common.startswith("first\n")
    assert common.endswith("last\n")
    assert len(common) < 200


@pytest.mark.timeout(30)
def test_what_two_notebooks_have_in_common_is_found_in_bounded_time() -> None:
    cells = [{**blank_cell(), "id": "x", "source": "\n".join(random.Random(seed).choices("ab", k=20_000))} for seed in range(2)]
    ours, theirs = ({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5} for cell in cells)
    assert len(common(ours, theirs)["cells"][0]["source"]) < 200
