"""Three-way merge of notebooks."""

from __future__ import annotations

import copy
from typing import Any

import pytest

import cs3collab.merge
from cs3collab.merge.threeway import Conflict, Kind, merge_notebooks


def code(cell_id: str | None, source: str, **more: Any) -> dict[str, Any]:
    made = {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": None, **more}
    return made if cell_id is None else {"id": cell_id, **made}


def markdown(cell_id: str | None, source: str, **more: Any) -> dict[str, Any]:
    made = {"cell_type": "markdown", "source": source, "metadata": {}, **more}
    return made if cell_id is None else {"id": cell_id, **made}


def book(*cells: dict[str, Any], minor: int = 5, **metadata: Any) -> dict[str, Any]:
    return {"cells": list(cells), "metadata": metadata, "nbformat": 4, "nbformat_minor": minor}


def stream(text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": text}


def sources(nb: dict[str, Any]) -> list[str]:
    return [cell["source"] for cell in nb["cells"]]


def ids(nb: dict[str, Any]) -> list[str]:
    return [cell.get("id") for cell in nb["cells"]]


def kinds(conflicts: list[Conflict]) -> list[tuple[str, Kind]]:
    return [(conflict.cell_id, conflict.kind) for conflict in conflicts]


A, B, C = code("a", "a = 1"), markdown("b", "# b"), code("c", "c = 3")
BASE = book(A, B, C)
NEW, OTHER = code("n", "new"), code("o", "other")


def edited(cell: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**cell, **more}


CLEAN = {
    "nothing changed": (BASE, BASE, BASE, ["a", "b", "c"]),
    "theirs added": (BASE, BASE, book(A, NEW, B, C), ["a", "n", "b", "c"]),
    "both added, at different places": (BASE, book(NEW, A, B, C), book(A, B, C, OTHER), ["n", "a", "b", "c", "o"]),
    "both added at the same place: ours first": (BASE, book(A, NEW, B, C), book(A, OTHER, B, C), ["a", "n", "o", "b", "c"]),
    "both added first": (BASE, book(NEW, A, B, C), book(OTHER, A, B, C), ["n", "o", "a", "b", "c"]),
    "both added last": (BASE, book(A, B, C, NEW), book(A, B, C, OTHER), ["a", "b", "c", "n", "o"]),
    "both added the same": (BASE, book(A, NEW, B, C), book(A, NEW, B, C), ["a", "n", "b", "c"]),
    "both added equal ones": (BASE, book(A, NEW, B, C), book(A, edited(NEW, id="x"), B, C), ["a", "n", "b", "c"]),
    "theirs deleted": (BASE, BASE, book(A, C), ["a", "c"]),
    "both deleted": (BASE, book(A, C), book(A, C), ["a", "c"]),
    "each deleted another": (BASE, book(A, C), book(A, B), ["a"]),
    "theirs moved": (BASE, BASE, book(C, A, B), ["c", "a", "b"]),
    "ours moved, theirs added": (BASE, book(C, A, B), book(A, B, NEW, C), ["c", "a", "b", "n"]),
    "both moved the same": (BASE, book(C, A, B), book(C, A, B), ["c", "a", "b"]),
    "both moved differently: as ours": (BASE, book(C, A, B), book(A, C, B), ["c", "a", "b"]),
    "theirs moved, ours added": (BASE, book(A, NEW, B, C), book(C, A, B), ["c", "a", "n", "b"]),
    "theirs added behind one that ours deleted": (BASE, book(A, C), book(A, B, NEW, C), ["a", "n", "c"]),
    "theirs moved what ours deleted": (BASE, book(A, C), book(B, A, C), ["a", "c"]),
    "ours moved what theirs deleted": (BASE, book(B, A, C), book(A, C), ["a", "c"]),
    "a blank cell stands for none": (book(), book(code("z", "")), book(A, B), ["a", "b"]),
}


@pytest.mark.parametrize(("base", "ours", "theirs", "expected"), CLEAN.values(), ids=CLEAN)
def test_cells_come_go_and_move(base: Any, ours: Any, theirs: Any, expected: list[str]) -> None:
    before = copy.deepcopy((base, ours, theirs))
    result = merge_notebooks(base, ours, theirs)
    assert (ids(result.notebook), result.conflicts) == (expected, [])
    assert (base, ours, theirs) == before


def test_moved_by_one_and_edited_by_the_other() -> None:
    changed = edited(C, source="c = 4")
    assert merge_notebooks(BASE, book(C, A, B), book(A, B, changed)).notebook == book(changed, A, B)
    assert merge_notebooks(BASE, book(A, B, changed), book(C, A, B)).notebook == book(changed, A, B)


def test_the_same_line() -> None:
    mine, other = edited(A, source="a = 2"), edited(A, source="a = 3")
    result = merge_notebooks(BASE, book(mine, B, C), book(other, B, C))
    assert result.notebook == book(mine, B, C)
    assert result.conflicts == [Conflict("a", Kind.SOURCE, "a = 1", "a = 2", "a = 3")]


def test_deleted_and_edited() -> None:
    changed = edited(A, source="a = 2")
    stays = merge_notebooks(BASE, book(changed, B, C), book(B, C))
    assert ids(stays.notebook) == ["a", "b", "c"]
    assert stays.conflicts == [Conflict("a", Kind.DELETED, A, changed, None)]
    gone = merge_notebooks(BASE, book(B, C), book(changed, B, C))
    assert ids(gone.notebook) == ["b", "c"]
    assert gone.conflicts == [Conflict("a", Kind.DELETED, A, None, changed)]


@pytest.mark.parametrize(
    "more",
    [{"outputs": [stream("1")], "execution_count": 1}, {"metadata": {"tags": ["x"]}}, {"cell_type": "raw"}],
    ids=["run", "tagged", "of another type"],
)
def test_what_counts_as_an_edit_of_a_deleted_cell(more: dict[str, Any]) -> None:
    assert kinds(merge_notebooks(BASE, book(edited(A, **more), B, C), book(B, C)).conflicts) == [("a", Kind.DELETED)]


@pytest.mark.parametrize("more", [{"execution_count": 7}, {"metadata": {"collapsed": True, "trusted": True}}])
def test_what_does_not(more: dict[str, Any]) -> None:
    result = merge_notebooks(BASE, book(edited(A, **more), B, C), book(B, C))
    assert (ids(result.notebook), result.conflicts) == (["b", "c"], [])


OLD = edited(A, outputs=[stream("1")], execution_count=1)
RUN = edited(A, outputs=[stream("2")], execution_count=2)
RERUN = edited(A, outputs=[stream("3")], execution_count=3)
AGAIN = edited(A, outputs=[stream("1")], execution_count=9)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected", "conflicts"),
    [
        pytest.param(RUN, OLD, RUN, [], id="ours ran"),
        pytest.param(OLD, RUN, RUN, [], id="theirs ran"),
        pytest.param(RUN, RUN, RUN, [], id="the same"),
        pytest.param(AGAIN, OLD, AGAIN, [], id="ours counts"),
        pytest.param(OLD, AGAIN, AGAIN, [], id="theirs counts"),
        pytest.param(AGAIN, RUN, RUN, [], id="ours counts, theirs ran"),
        pytest.param(RUN, edited(RUN, execution_count=8), RUN, [], id="ran alike"),
        pytest.param(RUN, RERUN, RUN, [("a", Kind.OUTPUTS)], id="both ran"),
        pytest.param(edited(OLD, source="a = 2"), RUN, edited(RUN, source="a = 2"), [], id="edited and run"),
        pytest.param(
            edited(OLD, source="a = 2"),
            edited(RUN, source="a = 3"),
            edited(OLD, source="a = 2"),
            [("a", Kind.SOURCE), ("a", Kind.OUTPUTS)],
            id="outputs of a source that is left out",
        ),
    ],
)
def test_outputs_are_a_unit(ours: Any, theirs: Any, expected: Any, conflicts: Any) -> None:
    result = merge_notebooks(book(OLD), book(ours), book(theirs))
    assert result.notebook["cells"] == [expected]
    assert kinds(result.conflicts) == conflicts


def test_addresses_in_memory_are_no_difference() -> None:
    def shown(address: str) -> dict[str, Any]:
        data = {"text/plain": f"<Figure at {address}>"}
        return edited(A, outputs=[{"output_type": "execute_result", "data": data, "metadata": {}, "execution_count": 4}])

    result = merge_notebooks(book(A), book(shown("0x7f1234567890")), book(shown("0x7fabcdefabcd")))
    assert (result.notebook, result.conflicts) == (book(shown("0x7f1234567890")), [])


def with_metadata(**metadata: Any) -> dict[str, Any]:
    return book(edited(A, metadata=metadata), **metadata)


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "expected", "paths"),
    [
        pytest.param({}, {"x": 1}, {"y": 2}, {"x": 1, "y": 2}, [], id="other keys"),
        pytest.param({"d": {"x": 1}}, {"d": {"x": 2}}, {"d": {"x": 1, "y": 1}}, {"d": {"x": 2, "y": 1}}, [], id="nested"),
        pytest.param({"x": 1, "y": 1}, {"x": 1}, {"y": 1}, {}, [], id="each deleted one"),
        pytest.param({"x": 1}, {"x": 2}, {"x": 3}, {"x": 2}, [("x",)], id="the same key"),
        pytest.param({"x": 1}, {}, {"x": 3}, {}, [("x",)], id="deleted and changed"),
        pytest.param({"d": {"x": 1}}, {"d": {"x": 2}}, {"d": {"x": 3}}, {"d": {"x": 2}}, [("d", "x")], id="the same inside"),
        pytest.param({"x": 1}, {"x": 1.0}, {"x": 2}, {"x": 2}, [], id="1.0 is 1"),
        pytest.param({"x": 1}, {"x": 1}, {"x": True}, {"x": True}, [], id="true is not 1"),
        pytest.param({"collapsed": True}, {"collapsed": False}, {}, {"collapsed": False}, [], id="noise"),
        pytest.param(
            {"jupyter": {"source_hidden": True}}, {}, {"jupyter": {"source_hidden": False}}, {}, [], id="noise inside"
        ),
        pytest.param(
            {"tags": ["a", "b"]}, {"tags": ["b", "c"]}, {"tags": ["a", "b", "d"]}, {"tags": ["b", "c", "d"]}, [], id="tags"
        ),
    ],
)
def test_metadata_by_key(base: Any, ours: Any, theirs: Any, expected: Any, paths: Any) -> None:
    result = merge_notebooks(with_metadata(**base), with_metadata(**ours), with_metadata(**theirs))
    assert result.notebook == with_metadata(**expected)
    assert [(conflict.cell_id, conflict.path) for conflict in result.conflicts] == [
        (cell_id, path) for cell_id in ("a", "") for path in paths
    ]
    assert {conflict.kind for conflict in result.conflicts} <= {Kind.METADATA}


def test_a_kernel_is_not_made_of_two() -> None:
    def on(name: str, display: str) -> dict[str, Any]:
        return book(A, kernelspec={"name": name, "display_name": display})

    result = merge_notebooks(on("python3", "Python 3"), on("python3", "My Python"), on("julia", "Julia"))
    assert result.notebook == on("python3", "My Python")
    assert kinds(result.conflicts) == [("", Kind.METADATA)]


def attached(**files: str) -> dict[str, Any]:
    return book(edited(B, attachments={name: {"text/plain": text} for name, text in files.items()}))


def test_attachments_by_name() -> None:
    assert merge_notebooks(attached(f="1"), attached(f="2"), attached(f="1", g="3")).notebook == attached(f="2", g="3")
    result = merge_notebooks(attached(f="1"), attached(f="2"), attached(f="3"))
    assert result.notebook == attached(f="2")
    assert [(c.kind, c.path, c.theirs) for c in result.conflicts] == [(Kind.ATTACHMENTS, ("f",), {"text/plain": "3"})]


def test_the_type_of_a_cell() -> None:
    note = markdown("a", "a = 1")
    result = merge_notebooks(BASE, book(edited(A, source="a = 1\nb"), B, C), book(note, B, C))
    assert (result.notebook["cells"][0], result.conflicts) == (markdown("a", "a = 1\nb"), [])
    ran = edited(A, outputs=[stream("1")], execution_count=1)
    result = merge_notebooks(BASE, book(ran, B, C), book(note, B, C))
    assert (result.notebook["cells"][0], kinds(result.conflicts)) == (ran, [("a", Kind.CELL_TYPE)])
    result = merge_notebooks(BASE, book(note, B, C), book(ran, B, C))
    assert (result.notebook["cells"][0], kinds(result.conflicts)) == (note, [("a", Kind.OUTPUTS)])


def bare(nb: dict[str, Any], minor: int = 4) -> dict[str, Any]:
    cells = [{key: value for key, value in cell.items() if key != "id"} for cell in nb["cells"]]
    return {**nb, "cells": cells, "nbformat_minor": minor}


def renamed(nb: dict[str, Any]) -> dict[str, Any]:
    return {**nb, "cells": [{**cell, "id": f"{at}"} for at, cell in enumerate(nb["cells"])]}


@pytest.mark.parametrize("plain", [bare, renamed], ids=["dropped", "numbered"])
@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        pytest.param(BASE, book(A, NEW, B, C), ["a", "?", "b", "c"], id="added"),
        pytest.param(book(A, edited(B, source="# B"), C), book(A, B, edited(C, source="c = 4")), ["a", "b", "c"], id="edited"),
        pytest.param(BASE, book(C, A, B), ["c", "a", "b"], id="moved"),
        pytest.param(BASE, book(A, C), ["a", "c"], id="deleted"),
        pytest.param(book(A, B, NEW, C), book(A, B, NEW, C), ["a", "b", "n", "c"], id="added by both"),
    ],
)
def test_a_tool_that_does_not_keep_ids(plain: Any, ours: Any, theirs: Any, expected: list[str]) -> None:
    result = merge_notebooks(BASE, ours, plain(theirs))
    assert result.conflicts == []
    assert ["?" if name not in "abcno" else name for name in ids(result.notebook)] == expected
    merged = merge_notebooks(BASE, ours, theirs).notebook
    assert sources(result.notebook) == sources(merged)
    assert result.notebook["nbformat_minor"] == 5
    again = merge_notebooks(BASE, result.notebook, plain(theirs))
    assert (again.notebook, again.conflicts) == (result.notebook, [])


def test_ids_that_a_tool_gave_to_other_cells_are_not_believed() -> None:
    theirs = book(edited(A, id="b", source="a = 2"), edited(B, id="x", cell_type="markdown"), C)
    result = merge_notebooks(BASE, BASE, theirs)
    assert len(set(ids(result.notebook))) == 3
    assert sorted(sources(result.notebook)) == sorted(["a = 2", "# b", "c = 3"])


def test_without_a_base_cells_are_found_again_all_the_same() -> None:
    ours, theirs = book(A, edited(B, source="# b\n\nx"), C), bare(book(A, B, edited(C, source="c = 3\nd = 4"), NEW))
    result = merge_notebooks(book(), ours, theirs)
    assert ids(result.notebook)[:3] == ["a", "b", "c"]
    assert sources(result.notebook) == ["a = 1", "# b\n\nx", "c = 3\nd = 4", "new"]
    assert result.conflicts == []


def test_notebooks_as_files_have_them() -> None:
    def lines(nb: dict[str, Any]) -> dict[str, Any]:
        split = [{**cell, "source": cell["source"].splitlines(keepends=True)} for cell in nb["cells"]]
        return {**nb, "cells": split}

    ours, theirs = book(edited(A, source="x\ny"), B, C), book(A, B, edited(C, source="z\nz"))
    assert merge_notebooks(lines(BASE), lines(ours), theirs) == merge_notebooks(BASE, ours, theirs)
    ran = edited(A, outputs=[{**stream("1\n2\n"), "text": ["1\n", "2\n"]}])
    assert merge_notebooks(book(A), book(ran), book(edited(A, outputs=[stream("1\n2\n")]))).conflicts == []


def test_what_is_no_notebook_together_is_not_merged() -> None:
    ours = book(markdown("a", "a = 1", metadata={"collapsed": "a code cell wants a boolean here"}), C)
    theirs = book(code("a", "a = 1"), edited(C, source="c = 4"))
    result = merge_notebooks(book(markdown("a", "a = 1"), C), ours, theirs)
    assert (result.notebook, kinds(result.conflicts)) == (ours, [("", Kind.INVALID)])
    assert result.conflicts[0].theirs == theirs


def test_the_newer_format() -> None:
    result = merge_notebooks(bare(BASE, 2), bare(BASE, 2), BASE)
    assert (result.notebook["nbformat_minor"], ids(result.notebook)) == (5, ["a", "b", "c"])


def test_reachable_without_paying_for_it_at_import() -> None:
    assert cs3collab.merge.merge_notebooks is merge_notebooks
