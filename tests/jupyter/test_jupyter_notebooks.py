import asyncio
import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from cs3collab.errors import InvalidInput
from cs3collab.jupyter.notebooks import NotaryThread, node, parse, serialize


def test_a_notebook_comes_back_as_it_was():
    made = new_notebook(cells=[new_code_cell("ü = 1", id="one", outputs=[new_output("stream", text="x\n")])])
    data, problem = serialize(made, "x.ipynb")
    assert problem == {}
    assert data.endswith(b"}\n")
    assert b"\\u" not in data
    again, problem = parse(data, "x.ipynb")
    assert problem == {}
    assert again == made
    assert serialize(again, "x.ipynb")[0] == data


def test_a_notebook_is_written_in_its_own_version():
    made = nbformat.from_dict({"nbformat": 4, "nbformat_minor": 2, "metadata": {}, "cells": []})
    data, _ = serialize(made, "x.ipynb")
    assert json.loads(data)["nbformat_minor"] == 2


def test_a_damaged_but_readable_notebook_is_read_with_the_problem():
    cell = {"cell_type": "code", "metadata": {}, "source": "x", "outputs": [], "execution_count": None, "id": "one", "extra": 1}
    content = json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}).encode()
    found, problem = parse(content, "x.ipynb")
    assert found["cells"][0]["source"] == "x"
    assert "ValidationError" in problem


@pytest.mark.parametrize(
    "content", [b"\xff", b"null", b"[1]", b"{}", b'{"nbformat": 99}', b'{"nbformat": 4, "cells": 3}', b'{"nbformat": [4]}']
)
def test_what_is_no_notebook(content):
    with pytest.raises(InvalidInput, match=r"x\.ipynb"):
        parse(content, "x.ipynb")


@pytest.mark.parametrize("content", [None, [], "x", {}, {"nbformat": "4"}])
def test_models_that_hold_no_notebook(content):
    with pytest.raises(InvalidInput):
        node(content, "x.ipynb")


async def test_the_notary_works_from_many_tasks_for_its_store_has_one_thread(tmp_path):
    thread = NotaryThread()
    notary = thread.open(data_dir=str(tmp_path))
    made = [new_notebook(cells=[new_code_cell(str(n), outputs=[new_output("stream", text="x")])]) for n in range(10)]
    await asyncio.gather(*(thread.run(notary.sign, notebook) for notebook in made))
    assert await asyncio.gather(*(thread.run(notary.check_signature, notebook) for notebook in made)) == [True] * 10
