"""Models for the contents API, and what refuses them."""

from __future__ import annotations

import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from tornado.web import HTTPError

NOTEBOOK = new_notebook(cells=[new_code_cell("a = 1", id="one"), new_code_cell("print(a)", id="two")])


async def refused(status, awaitable, match=""):
    with pytest.raises(HTTPError) as info:
        await awaitable
    assert info.value.status_code == status, info.value
    assert match in str(info.value.log_message)
    return info.value


def text(content, **more):
    return {"type": "file", "format": "text", "content": content, **more}


def notebook_model(notebook=NOTEBOOK, **more):
    return {"type": "notebook", "format": "json", "content": json.loads(nbformat.writes(notebook)), **more}


async def names(manager, path=""):
    return [entry["name"] for entry in (await manager.get(path))["content"]]


# Listing and reading
