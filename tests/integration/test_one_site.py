"""Two people of one site, with and without a relay: real Jupyter servers, real relay, real storage."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import nbformat
import pytest
from support.notebooks import notebook, source_of
from support.relays import FAST, relay_of
from support.sites import JupyterServer, Site, jupyter_server, site

from cs3collab import client


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as running:
        await running.put("einstein", "n.ipynb", notebook("x = 1", "y = 2"))
        yield running


@pytest.fixture(params=["alone", "relay"])
async def server(here: Site, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[JupyterServer]:
    """einstein's Jupyter server: with its authority in process, or at a relay."""
    async with contextlib.AsyncExitStack() as stack:
        url = None
        if request.param == "relay":
            url = (await stack.enter_async_context(relay_of(here, tmp_path / "relay", limits=FAST))).url
        yield await stack.enter_async_context(jupyter_server(here, "einstein", relay=url, app="jupyter_server"))


async def test_two_windows_of_one_server_edit_live(here: Site, server: JupyterServer) -> None:
    before = await here.read("einstein", "n.ipynb")
    async with (
        client.open(server.url, "n.ipynb", token=server.token) as one,
        client.open(server.url, "n.ipynb", token=server.token) as two,
    ):
        assert await here.read("einstein", "n.ipynb") == before
        cell = one.shared.ycells[0]["source"]
        cell += "\none"
        await two.until(lambda nb: source_of(nb, 0) == "x = 1\none")
        cell = two.shared.ycells[1]["source"]
        cell += "\ntwo"
        await one.until(lambda nb: source_of(nb, 1) == "y = 2\ntwo")
        await two.durable()
        assert (await one.save())["status"] == "success"
    saved = nbformat.reads((await here.read("einstein", "n.ipynb")).decode(), as_version=4)
    assert [cell.source for cell in saved.cells] == ["x = 1\none", "y = 2\ntwo"]
