"""Notebook files: what is read, what is refused and why, what counts as equal."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cs3collab.errors import NotANotebook
from cs3collab.merge import notebook

NOTEBOOKS = sorted((Path(__file__).parent.parent / "fixtures" / "notebooks").glob("*.ipynb"))


def code(source: str = "1", **more: Any) -> dict[str, Any]:
    return {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": None, **more}


def nb(*cells: dict[str, Any], minor: int = 5, **more: Any) -> dict[str, Any]:
    return {"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": minor, **more}


def encode(tree: Any) -> bytes:
    return json.dumps(tree).encode()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_written_again_it_is_the_same_notebook(path: Path) -> None:
    before = notebook.parse(path.read_bytes())
    content = notebook.serialize(before)
    assert notebook.digest(notebook.parse(content)) == notebook.digest(before)
    nbformat.validate(json.loads(content))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_written_twice_it_is_the_same_file(path: Path) -> None:
    once = notebook.serialize(notebook.parse(path.read_bytes()))
    assert notebook.serialize(notebook.parse(once)) == once


REFUSED = {
    "not UTF-8": (b'{"cells": "\xe9"}', "not UTF-8", "iconv"),
    "UTF-16": ('{"nbformat": 4}'.encode("utf-16"), "not UTF-8", "iconv"),
    "plain text": (b"hello", "plain text", "as a text file"),
    "Python": (b"import this\n", "plain text", "as a text file"),
    "cut off": (encode(nb(code()))[:-9], "not JSON", "cut off"),
    "merge conflict marks": (b'{\n<<<<<<< HEAD\n "cells": []\n}', "not JSON", "conflict marks"),
    "a list": (b"[1, 2]", "not a notebook", "as a text file"),
    "a string": (b'"nbformat"', "not a notebook", "as a text file"),
    "other JSON": (b'{"name": "package"}', "says no nbformat", "as a text file"),
    "Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer", "git lfs pull"),
    "nbformat 2": (encode({"nbformat": 2, "worksheets": []}), "too old", "nbconvert"),
    "nbformat 5": (encode({**nb(), "nbformat": 5}), "not known", "newer"),
    "nbformat true": (encode({**nb(), "nbformat": True}), "not known", "expected 3 or 4"),
    "no minor": (encode({"nbformat": 4, "cells": [], "metadata": {}}), "nbformat_minor", "text file"),
    "no cells": (encode({"nbformat": 4, "nbformat_minor": 5, "metadata": {}}), "damaged", "text file"),
    "cells of another type": (encode(nb() | {"cells": "none"}), "damaged", "text file"),
    "a cell without type": (encode(nb({"source": "x", "metadata": {}})), "damaged", "text file"),
    "a cell of unknown type": (encode(nb({"cell_type": "sql", "source": "x", "metadata": {}})), "damaged", "text file"),
    "a number as source": (encode(nb(code() | {"source": 1})), "damaged", "text file"),
    "an output of unknown type": (encode(nb(code(outputs=[{"output_type": "video"}]))), "damaged", "text file"),
    "unknown top-level key": (encode(nb(code(), comment="mine")), "comment", "text file"),
    "half a surrogate pair": (b'{"nbformat":4,"nbformat_minor":5,"metadata":{"a":"\\ud83c"},"cells":[]}', "surrogate", "text"),
    "a number too large": (b'{"nbformat":4,"nbformat_minor":5,"metadata":{"a":' + b"7" * 400 + b'},"cells":[]}', "large", "t"),
    "a number that pycrdt changes": (encode(nb() | {"metadata": {"a": 2**63 - 1}}), "large", "text file"),
    "nested beyond reason": (b'{"nbformat":4,"x":' + b"[" * 100_000, "cannot be read", "text file"),
    "nbformat 3 without lists": (encode({"nbformat": 3, "nbformat_minor": 0, "worksheets": [{"cells": 1}]}), "damaged", "text"),
}


@pytest.mark.parametrize(("content", "message", "hint"), REFUSED.values(), ids=REFUSED)
def test_refused_with_a_reason_and_a_hint(content: bytes, message: str, hint: str) -> None:
    with pytest.raises(NotANotebook) as caught:
        notebook.parse(content)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert len(str(caught.value)) < 600
    assert "\n" not in caught.value.message


@settings(deadline=None)
@given(
    st.binary(max_size=200)
    | st.text(max_size=200).map(str.encode)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["cells", "metadata", "nbformat", "nbformat_minor", "source", "cell_type", "worksheets"]), inner
            )
        ),
    ).map(encode)
)
def test_anything_is_read_or_refused(content: bytes) -> None:
    try:
        read = notebook.parse(content)
    except NotANotebook:
        return
    nbformat.validate(read)


@pytest.mark.parametrize("content", [b"", b"  \n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_a_new_notebook(content: bytes) -> None:
    assert notebook.parse(content)["cells"] == []


def test_missing_invalid_and_duplicate_ids_get_the_same_new_ones_each_time() -> None:
    cells = [code("a", id="x"), code("b", id="x"), code("c"), code("c"), code("d", id="no space"), code("e", id="y" * 65)]
    first, second = (notebook.parse(encode(nb(*cells)))["cells"] for _ in range(2))
    assert first == second
    ids = [cell["id"] for cell in first]
    assert ids[0] == "x"
    assert len(set(ids)) == len(ids)
    assert [cell["source"] for cell in first] == ["a", "b", "c", "c", "d", "e"]


def test_no_ids_before_nbformat_4_5() -> None:
    read = notebook.parse(encode(nb(code("a"), code("b"), minor=4)))
    assert all("id" not in cell for cell in read["cells"])
    written = json.loads(notebook.serialize({**read, "cells": [{**cell, "id": "given"} for cell in read["cells"]]}))
    assert written["nbformat_minor"] == 4
    assert all("id" not in cell for cell in written["cells"])


def test_nbformat_3_is_upgraded() -> None:
    path = next(path for path in NOTEBOOKS if path.stem == "nbformat_3")
    read = notebook.parse(path.read_bytes())
    assert read["nbformat"] == 4
    assert [cell["cell_type"] for cell in read["cells"]] == ["markdown", "markdown", "code"]
    assert read["cells"][0]["source"] == "## A heading"
    assert [output["output_type"] for output in read["cells"][2]["outputs"]] == [
        "stream",
        "execute_result",
        "display_data",
        "error",
    ]


@pytest.mark.parametrize("more", [{}, {"worksheets": []}, {"worksheets": [{"metadata": {}}]}])
def test_nbformat_3_without_cells_is_an_empty_notebook(more: dict[str, Any]) -> None:
    assert notebook.parse(encode({"nbformat": 3, "nbformat_minor": 0, "metadata": {}, **more}))["cells"] == []


def test_serialize_refuses_what_is_no_notebook() -> None:
    with pytest.raises(NotANotebook, match="left as it was"):
        notebook.serialize(nb(code(cell_type="sql")))


SAME = {
    "split lines": lambda t: t["cells"][0].update(source=["a = 1\n", "b"]),
    "a number's spelling": lambda t: t["metadata"].update(version=2.0),
    "what JupyterLab adds to the metadata": lambda t: t["metadata"].update(
        kernelspec={"name": "", "display_name": ""}, language_info={"name": ""}
    ),
    "execution state": lambda t: t["cells"][0].update(execution_state="idle"),
    "empty attachments": lambda t: t["cells"][1].update(attachments={}),
}
DIFFERENT = {
    "source": lambda t: t["cells"][0].update(source="a = 1\nb "),
    "cell type": lambda t: t["cells"][1].update(cell_type="raw"),
    "cell id": lambda t: t["cells"][0].update(id="other"),
    "order": lambda t: t["cells"].reverse(),
    "one cell less": lambda t: t["cells"].pop(),
    "execution count": lambda t: t["cells"][0].update(execution_count=2),
    "output": lambda t: t["cells"][0]["outputs"].append({"output_type": "stream", "name": "stdout", "text": "x"}),
    "cell metadata": lambda t: t["cells"][0].update(metadata={"tags": ["x"]}),
    "notebook metadata": lambda t: t["metadata"].update(version=2.5),
    "kernel": lambda t: t["metadata"].update(kernelspec={"name": "python3", "display_name": "Python"}),
    "minor version": lambda t: t.update(nbformat_minor=4),
    "attachments": lambda t: t["cells"][1].update(attachments={"a.txt": {"text/plain": "x"}}),
}


def sample() -> dict[str, Any]:
    text = {"cell_type": "markdown", "source": "text", "metadata": {}, "id": "m"}
    return nb(code("a = 1\nb", id="c", execution_count=1), text, metadata={"version": 2})


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_digest_overlooks(change: Any) -> None:
    before, after = sample(), sample()
    change(after)
    assert json.dumps(before) != json.dumps(after)
    assert notebook.digest(before) == notebook.digest(after)


@pytest.mark.parametrize("change", DIFFERENT.values(), ids=DIFFERENT)
def test_digest_sees(change: Any) -> None:
    before, after = sample(), sample()
    change(after)
    assert notebook.digest(before) != notebook.digest(after)


def test_nothing_changes_its_argument() -> None:
    tree = nb(code(["a\n", "b"], outputs=[{"output_type": "stream", "name": "stdout", "text": ["x"]}]), minor=4)  # type: ignore[arg-type]
    before = copy.deepcopy(tree)
    notebook.digest(tree)
    notebook.semantic(tree)
    notebook.serialize(tree)
    assert tree == before


def test_a_lone_blank_cell_is_no_cell() -> None:
    assert notebook.digest(nb(code(""))) == notebook.digest(nb())
    assert notebook.digest(nb(code(" "))) != notebook.digest(nb())


def test_nan_and_infinity_have_a_digest() -> None:
    nan = notebook.parse(b'{"nbformat":4,"nbformat_minor":5,"metadata":{"a":[NaN,Infinity,-Infinity]},"cells":[]}')
    assert notebook.digest(nan) == notebook.digest(copy.deepcopy(nan))


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1.0, int), (-0.0, int), (1.5, float), (1e20, int), (1e21, float), (float("inf"), float), (True, bool), (7, int)],
)
def test_integers_are_spelled_as_javascript_does(value: float, expected: type) -> None:
    result = notebook.with_integers({"deep": [value]})["deep"][0]
    assert result == value
    assert type(result) is expected


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@settings(deadline=None)
@given(JSON_VALUES, st.booleans(), st.sampled_from(["", "\\u00e9", "\\ud83d\\ude00", "\\ud83d", "\\ude00", "\t", "\x00"]))
def test_json_is_read_as_by_the_standard_library(value: object, ascii_only: bool, odd: str) -> None:
    text = json.dumps({"nbformat": 4, "a": value, "b": "@"}, ensure_ascii=ascii_only).replace("@", odd)
    try:
        expected = json.loads(text, parse_int=notebook._integer)
        json.dumps(expected, ensure_ascii=False).encode()
    except ValueError:
        with pytest.raises(NotANotebook):
            notebook._read_json(text)
    else:
        assert repr(notebook._read_json(text)) == repr(expected)


def test_two_files_are_read_as_one_by_one_and_share_what_is_the_same() -> None:
    cells = [{"cell_type": "markdown", "id": name, "metadata": {}, "source": [f"{name}\n", "x"]} for name in "abc"]
    one, two = nb(*cells), nb(cells[2], {**cells[0], "source": ["new"]}, cells[1])
    for other in (two, {**two, "nbformat_minor": 4}, {**two, "cells": []}):
        contents = encode(one), encode(other)
        assert notebook.parse_two(*contents) == tuple(map(notebook.parse, contents))
    first, second = notebook.parse_two(encode(one), encode(two))
    assert [first["cells"][at] is second["cells"][new] for at, new in ((0, 1), (1, 2), (2, 0))] == [False, True, True]
    bare = [{**tree, "nbformat_minor": 4} for tree in (one, nb(*cells[:2], {**cells[2], "source": "new"}))]
    first, second = notebook.parse_two(*map(encode, bare))
    assert [one is other for one, other in zip(first["cells"], second["cells"], strict=True)] == [True, True, False]
    true, number = (encode(nb({**cells[0], "metadata": {"x": value}})) for value in (True, 1))
    assert notebook.parse_two(number, true)[1]["cells"][0]["metadata"]["x"] is True
    assert notebook.parse_two(b"", encode(one)) == (notebook.parse(b""), notebook.parse(encode(one)))


@pytest.mark.parametrize("wrong", [{"cell_type": "markdown", "id": "a", "metadata": {}}, {"cell_type": 3}, 3])
def test_of_two_files_each_is_checked(wrong: Any) -> None:
    good = encode(nb({"cell_type": "markdown", "id": "a", "metadata": {}, "source": "a"}))
    for contents in ((good, encode(nb(wrong))), (encode(nb(wrong)), good)):
        with pytest.raises(NotANotebook, match="damaged"):
            notebook.parse_two(*contents)
