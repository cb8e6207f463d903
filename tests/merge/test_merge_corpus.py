"""The cases that nbdime merges in its own tests, which are in the corpus of real notebooks."""

from __future__ import annotations

import pytest

from benchmarks.merge_cases import CORPUS
from cs3collab.merge import notebook
from cs3collab.merge.threeway import Kind, merge_notebooks

FOLDER = CORPUS / "merge"
pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="there is no corpus"),
    pytest.mark.filterwarnings("ignore::nbformat.warnings.MissingIDFieldWarning"),
]


@pytest.mark.parametrize(
    ("names", "kinds", "sources"),
    [
        pytest.param(
            ("cellids--base", "cellids--local", "cellids--remote"),
            [],
            ["x = 5", "x = 7", "LOCAL - with unique ID", "LOCAL #2 - with unique ID", "REMOTE #2 - with unique ID"],
            id="cells that both replaced by others",
        ),
        pytest.param(
            ("inline-conflict--1", "inline-conflict--2", "inline-conflict--3"),
            [Kind.SOURCE],
            ["x = 1\ny = 3\nz = 4\nprint(x * y / z)"],
            id="lines beside each other",
        ),
        pytest.param(
            ("source-conflict--1", "source-conflict--2", "source-conflict--3"),
            [Kind.SOURCE],
            ["test 2\nhello 2\nmore\ntext 2\nworld 2"],
            id="the same lines",
        ),
        pytest.param(
            ("multi_cell_nb", "multi_cell_nb--local", "multi_cell_nb--remote"),
            [],
            ["l = f(3, 7)\n\nprint(l)", "def g(z):\n    return z**2 + 3.0\ng(9)", "Latex text: $a = b$"],
            id="several cells",
        ),
        pytest.param(
            ("multi_cell_nb", "multi_cell_nb--local", "multi_cell_nb--cellchange"),
            [Kind.DELETED, Kind.DELETED],
            ["l = f(3, 7)\n\nprint(l)", "## from Inserted Markdown cell!", "f(6, -2)", "Latex text: $a = b$"],
            id="cells that one replaced and the other edited",
        ),
    ],
)
def test_merged(names: tuple[str, str, str], kinds: list[Kind], sources: list[str]) -> None:
    result = merge_notebooks(*(notebook.parse((FOLDER / f"{name}.ipynb").read_bytes()) for name in names))
    notebook.check(result.notebook)
    merged = [cell["source"] for cell in result.notebook["cells"]]
    assert [conflict.kind for conflict in result.conflicts] == kinds
    assert [source for source in merged if source in sources] == sources
    assert not any("<<<<" in source for source in merged)
