"""Which cell of one notebook is which of the other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cs3collab.merge.alignment import align


def cells(*sources: str, names: str = "", kind: str = "code") -> list[dict[str, Any]]:
    """With as many ids as there are letters in `names`."""
    made: list[dict[str, Any]] = [{"cell_type": kind, "source": source} for source in sources]
    return [{**cell, **({"id": names[at]} if at < len(names) else {})} for at, cell in enumerate(made)]


LOAD, FIT, PLOT = "data = load('muons.root')", "result = fit(data, model)", "plt.plot(result.x, result.y)"
THREE = cells(LOAD, FIT, PLOT)


@pytest.mark.parametrize(
    ("old", "new", "pairs"),
    [
        pytest.param(cells("a", "b", names="xy"), cells("b", "c", names="yx"), {0: 1, 1: 0}, id="by id"),
        pytest.param(cells("a", "b", names="xy"), cells("a", "b", names="yx"), {0: 0, 1: 1}, id="ids given to other cells"),
        pytest.param(cells("a", "b", names="xy"), cells("a", "b", names="pq"), {0: 0, 1: 1}, id="new ids"),
        pytest.param(
            cells("a", "b", "c", names="xyz"), cells("a", "x", "c", names="xwz"), {0: 0, 2: 2}, id="another id, another cell"
        ),
        pytest.param(cells("a", "b", names="01"), cells("n", "a", "b", names="012"), {0: 1, 1: 2}, id="numbers"),
        pytest.param(THREE, cells(LOAD, FIT, PLOT), {0: 0, 1: 1, 2: 2}, id="equal"),
        pytest.param(THREE, cells(PLOT, LOAD, FIT), {0: 1, 1: 2, 2: 0}, id="moved"),
        pytest.param(THREE, cells(LOAD, "result = fit(data, other_model)", PLOT), {0: 0, 1: 1, 2: 2}, id="edited"),
        pytest.param(
            THREE, cells(LOAD, f"# first\nx = 1\ny = 2\n{FIT}\nprint(x)\nprint(y)", PLOT), {0: 0, 1: 1, 2: 2}, id="grown"
        ),
        pytest.param(THREE, cells(LOAD, "nothing like it", PLOT), {0: 0, 2: 2}, id="replaced"),
        pytest.param(THREE, cells(LOAD, FIT, kind="markdown"), {}, id="of another type"),
        pytest.param(cells("", "a", ""), cells("", "a", ""), {0: 0, 1: 1, 2: 2}, id="blank ones in order"),
        pytest.param(cells("a", "a", "b"), cells("a", "b", "a"), {0: 0, 2: 1, 1: 2}, id="equal among themselves"),
        pytest.param([], THREE, {}, id="none"),
    ],
)
def test_pairs(old: Any, new: Any, pairs: dict[int, int]) -> None:
    assert align(old, new) == pairs


def test_cells_that_are_known_to_be_new_are_left_alone() -> None:
    assert align(cells(FIT), cells(FIT, names="n"), apart={"n"}) == {}


def test_many_cells_are_aligned_in_bounded_time() -> None:
    """Compared each with each they would take minutes."""
    old, new = (cells(*(f"{who} {at} " + "word " * 200 for at in range(2000))) for who in ("old", "new"))
    assert align(old, new) == {at: at for at in range(2000)}
    assert align(cells(*["a"] * 3000), cells(*["a"] * 2000, "b")) == {at: at for at in range(2000)}


SOURCES = st.lists(st.sampled_from(["", "a", "b", LOAD, FIT]), max_size=6)


@settings(deadline=None)
@given(SOURCES, SOURCES, st.text("abcd", max_size=4), st.text("abcd", max_size=4))
def test_no_cell_is_two(old: list[str], new: list[str], names: str, new_names: str) -> None:
    unique, new_unique = "".join(dict.fromkeys(names)), "".join(dict.fromkeys(new_names))
    pairs = align(cells(*old, names=unique), cells(*new, names=new_unique))
    assert len(set(pairs.values())) == len(pairs)
    assert all(i < len(old) and j < len(new) for i, j in pairs.items())
