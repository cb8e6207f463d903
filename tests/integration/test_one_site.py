"""Two people of one site, with and without a relay: real Jupyter servers, real relay, real storage."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator

import nbformat
import pytest
import pytest_asyncio
from support.notebooks import notebook, source_of
from support.relays import FAST, relay_of
from support.sites import JupyterServer, Site, jupyter_server, site

from cs3collab import client
from cs3collab.errors import NotAuthenticated, NotAuthorized, NotFound

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with site(tmp_path_factory.mktemp("one")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["alone", "relay"])
async def server(
    here: Site, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> AsyncIterator[JupyterServer]:
    """einstein's Jupyter server: with its authority in process, or at a relay."""
    async with contextlib.AsyncExitStack() as stack:
        url = None
        if request.param == "relay":
            url = (await stack.enter_async_context(relay_of(here, tmp_path_factory.mktemp("relay"), limits=FAST))).url
        yield await stack.enter_async_context(jupyter_server(here, "einstein", relay=url, app="jupyter_server"))


@pytest_asyncio.fixture(loop_scope="module")
async def path(here: Site) -> str:
    """A notebook of einstein's that no other test opens."""
    name = f"{uuid.uuid4().hex}.ipynb"
    await here.put("einstein", name, notebook("x = 1", "y = 2"))
    return name


async def test_two_windows_of_one_server_edit_live(here: Site, server: JupyterServer, path: str) -> None:
    before = await here.read("einstein", path)
    async with (
        client.open(server.url, path, token=server.token) as one,
        client.open(server.url, path, token=server.token) as two,
    ):
        assert await here.read("einstein", path) == before
        cell = one.shared.ycells[0]["source"]
        cell += "\none"
        await two.until(lambda nb: source_of(nb, 0) == "x = 1\none")
        cell = two.shared.ycells[1]["source"]
        cell += "\ntwo"
        await one.until(lambda nb: source_of(nb, 1) == "y = 2\ntwo")
        await two.durable()
        assert (await one.save())["status"] == "success"
    saved = nbformat.reads((await here.read("einstein", path)).decode(), as_version=4)
    assert [cell.source for cell in saved.cells] == ["x = 1\none", "y = 2\ntwo"]


async def test_what_was_durable_survives_the_servers_death(here: Site, server: JupyterServer, path: str) -> None:
    async with client.open(server.url, path, token=server.token) as document:
        cell = document.shared.ycells[0]["source"]
        cell += "\ndurable"
        await document.durable()
        await server.kill()
        cell += "\nwhile it was dead"
        await server.restart()
        await document.durable()
        async with client.open(server.url, path, token=server.token) as other:
            assert source_of(other.shared, 0) == "x = 1\ndurable\nwhile it was dead"
        assert (await document.save())["status"] == "success"
    saved = nbformat.reads((await here.read("einstein", path)).decode(), as_version=4)
    assert saved.cells[0].source == "x = 1\ndurable\nwhile it was dead"


async def test_opening_without_an_edit_does_not_write_the_file(
    here: Site, server: JupyterServer, path: str, request: pytest.FixtureRequest
) -> None:
    files, ref = await here.files("einstein"), await here.ref("einstein", path)
    before = await files.stat(ref)
    async with client.open(server.url, path, token=server.token) as document:
        document.shared.ystate["document_id"] = document.room  # as the stock frontend does when it opens a document
        await document.durable()
        assert (await document.save())["status"] == "success"
    after = await files.stat(ref)
    assert after.etag == before.etag
    # without a relay the lock says who may edit
    assert (after.lock is not None) == (request.node.callspec.params["server"] == "alone")


async def test_a_missing_file_and_a_wrong_token_are_said(server: JupyterServer, path: str) -> None:
    with pytest.raises(NotFound):
        async with client.open(server.url, "nowhere.ipynb", token=server.token):
            pass
    with pytest.raises((NotAuthenticated, NotAuthorized)):
        async with client.open(server.url, path, token="wrong"):
            pass


async def test_a_save_holds_what_was_typed_right_before_it(here: Site, server: JupyterServer, path: str) -> None:
    async with client.open(server.url, path, token=server.token) as document:
        for n in range(20):
            cell = document.shared.ycells[0]["source"]
            cell += f"<{n}>"
            assert (await document.save())["status"] == "success"
            saved = nbformat.reads((await here.read("einstein", path)).decode(), as_version=4)
            assert saved.cells[0].source.endswith(f"<{n}>")
