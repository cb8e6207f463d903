"""Every real notebook is opened through the whole stack, gets a cell, and is saved as the same notebook with that cell.

The corpus is ``../shared/corpus`` beside the checkout, or where ``CS3COLLAB_CORPUS`` says; without one, our own few are taken.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import nbformat
import pytest
from support.relays import FAST, relay_of
from support.sites import JupyterServer, Site, jupyter_server, site

from cs3collab import client
from cs3collab.errors import CollabError, NotANotebook
from cs3collab.merge import notebook

HERE = Path(__file__).resolve().parents[2]
CORPUS = Path(os.environ.get("CS3COLLAB_CORPUS") or HERE.parent / "shared" / "corpus")
NOTEBOOKS = sorted(CORPUS.rglob("*.ipynb")) or sorted((HERE / "tests" / "fixtures" / "notebooks").glob("*.ipynb"))
AT_ONCE = 4
ADDED = {"cell_type": "markdown", "id": "added-by-the-test", "metadata": {}, "source": "# added 🎉"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.integration,
    pytest.mark.timeout(280),
    pytest.mark.filterwarnings("ignore::nbformat.warnings.DuplicateCellId", "ignore::nbformat.warnings.MissingIDFieldWarning"),
]


async def test_every_notebook_is_saved_as_it_was_with_the_cell_that_was_added(tmp_path: Path) -> None:
    assert NOTEBOOKS
    turn = asyncio.Semaphore(AT_ONCE)
    async with (
        site(tmp_path) as here,
        relay_of(here, tmp_path / "relay", limits=FAST) as relay,
        jupyter_server(here, "einstein", relay=relay.url, app="jupyter_server") as server,
    ):

        async def one(number: int, path: Path) -> Exception | None:
            async with turn:
                try:
                    await opened_edited_and_saved(
                        here, server, f"{number}-{path.name}", await asyncio.to_thread(path.read_bytes)
                    )
                except Exception as error:  # noqa: BLE001 - told below, with all others
                    error.add_note(str(path))
                    return error
            return None

        ended = await asyncio.gather(*(one(number, path) for number, path in enumerate(NOTEBOOKS)))
    if failures := [error for error in ended if error is not None]:
        raise ExceptionGroup(f"{len(failures)} of {len(NOTEBOOKS)} notebooks", failures)


async def opened_edited_and_saved(here: Site, server: JupyterServer, name: str, content: bytes) -> None:
    before = await here.put("einstein", name, content)
    try:
        expected = notebook.parse(content)
    except NotANotebook as refused:
        await refused_and_left_alone(here, server, name, content, refused)
        return
    async with client.open(server.url, name, token=server.token) as document:
        assert (await document.save())["status"] == "success"
        assert (await document.until_status(lambda s: bool(s["etag"])))["etag"] == before.etag
        assert await here.read("einstein", name) == content, "it was written without an edit"
        document.shared.append_cell(dict(ADDED))
        await document.durable()
        assert (await document.save())["status"] == "success"
    saved = await here.read("einstein", name)
    nbformat.validate(nbformat.reads(saved.decode(), as_version=nbformat.NO_CONVERT))
    cells = expected["cells"] or [notebook.blank_cell()]
    added = {**expected, "cells": [*cells, ADDED]}
    got = notebook.semantic(notebook.parse(saved))
    if not expected["cells"]:  # a document never has no cell, and JupyterLab's blank one has an id of its own
        added["cells"][0]["id"] = got["cells"][0].get("id", "")
    assert got == notebook.semantic(added)


async def refused_and_left_alone(here: Site, server: JupyterServer, name: str, content: bytes, refused: NotANotebook) -> None:
    with pytest.raises(CollabError) as told:
        async with client.open(server.url, name, token=server.token):
            pass
    assert refused.message in str(told.value)
    assert refused.hint in str(told.value)
    assert await here.read("einstein", name) == content
