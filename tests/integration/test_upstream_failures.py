"""What duplicated or lost people's work in jupyter-collaboration and its relatives, done to real servers of ours.

Each test names the upstream issue that it repeats.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import nbformat
import pytest
from support.notebooks import notebook, source_of
from support.sites import JupyterServer, Site, jupyter_server, site

from cs3collab import client
from cs3collab.errors import LineageDiverged

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(240)]
FIRST = ("x = 1", "y = 2", "z = 3")


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as running:
        await running.put("einstein", "n.ipynb", notebook(*FIRST))
        yield running


@pytest.fixture
async def server(here: Site, tmp_path: Path) -> AsyncIterator[JupyterServer]:
    """Without a relay, as upstream has none."""
    async with jupyter_server(here, "einstein", app="jupyter_server", folder=tmp_path / "jupyter") as running:
        yield running


def cells(document: client.LiveDocument) -> list[str]:
    return [str(cell["source"]) for cell in document.shared.ycells]


def path_of(here: Site) -> Path:
    return here.folder("einstein") / "n.ipynb"


def in_file(here: Site) -> list[str]:
    parsed = nbformat.reads(path_of(here).read_text(), as_version=4)
    nbformat.validate(parsed)
    return [cell.source for cell in parsed.cells]


def write(document: client.LiveDocument, words: str, cell: int = 0) -> None:
    text = document.shared.ycells[cell]["source"]
    text += words


async def saved(document: client.LiveDocument) -> None:
    """Asked for, as people do with Ctrl+S: by itself it is saved once a minute."""
    position = await document.durable()
    assert (await document.save())["status"] == "success"
    await document.until_status(lambda s: s["savedPosition"] >= position)


async def forget(server: JupyterServer, here: Site) -> None:
    """The store is lost with everything in it, here and on CS3."""
    await asyncio.to_thread(shutil.rmtree, server.folder / "store" / "rooms")
    files = await here.files("einstein")
    await files.delete(await here.ref("einstein", ".cs3collab"))


async def test_jupyter_collaboration_594_no_cell_is_doubled_when_a_client_meets_a_server_that_lost_its_store(
    here: Site, server: JupyterServer
) -> None:
    """The client holds the old history, the server makes a new one from the file: as updates, both would add up."""
    async with contextlib.AsyncExitStack() as visit:
        document = await visit.enter_async_context(client.open(server.url, "n.ipynb", token=server.token))
        write(document, "\nsaved")
        await saved(document)
        await server.kill()
        write(document, "\ntyped while it was away", cell=1)
        await forget(server, here)
        await server.restart()
        with pytest.raises(LineageDiverged, match="was brought in"):
            await document.durable()
        with pytest.raises(LineageDiverged):
            await visit.aclose()
    async with client.open(server.url, "n.ipynb", token=server.token) as document:
        assert cells(document) == ["x = 1\nsaved", "y = 2\ntyped while it was away", "z = 3"]
        await saved(document)
    assert in_file(here) == ["x = 1\nsaved", "y = 2\ntyped while it was away", "z = 3"]


async def test_jupyter_collaboration_545_no_cell_is_doubled_when_a_room_was_unloaded_meanwhile(
    here: Site, server: JupyterServer
) -> None:
    """A laptop that slept: the room is loaded anew before it is back, with what it typed."""
    async with client.open(server.url, "n.ipynb", token=server.token) as asleep:
        await server.kill()
        write(asleep, "\ntyped asleep", cell=2)
        await server.restart()
        async with client.open(server.url, "n.ipynb", token=server.token) as awake:
            write(awake, "\ntyped awake")
            await awake.durable()
        await asleep.until(lambda nb: "typed awake" in source_of(nb, 0))
        assert cells(asleep) == ["x = 1\ntyped awake", "y = 2", "z = 3\ntyped asleep"]
        await saved(asleep)
    assert in_file(here) == ["x = 1\ntyped awake", "y = 2", "z = 3\ntyped asleep"]


async def test_jupyter_collaboration_621_no_content_is_written_again_on_top_of_a_healthy_store(
    here: Site, server: JupyterServer
) -> None:
    """File and store differ when the document is opened, for the file was changed while the server was down."""
    async with client.open(server.url, "n.ipynb", token=server.token) as document:
        write(document, "\nours")
        await saved(document)
        await server.kill()
        path_of(here).write_bytes(notebook("x = 1\nours", "y = 2 # theirs", "z = 3"))
        write(document, "\nwhile it was away", cell=2)
        await server.restart()
        await document.until(lambda nb: source_of(nb, 1) == "y = 2 # theirs")
        await saved(document)
        assert cells(document) == ["x = 1\nours", "y = 2 # theirs", "z = 3\nwhile it was away"]
    assert in_file(here) == ["x = 1\nours", "y = 2 # theirs", "z = 3\nwhile it was away"]


async def test_jupyverse_532_a_change_outside_a_lost_connection_and_a_reloaded_room_add_up_to_one_document(
    here: Site, server: JupyterServer
) -> None:
    async with client.open(server.url, "n.ipynb", token=server.token) as document:
        for n in range(3):
            write(document, f"\nround {n}")
            await saved(document)
            await server.kill()
            write(document, f"\naway {n}", cell=1)
            path_of(here).write_bytes(path_of(here).read_bytes().replace(b"z = ", b"z = 1 + "))
            await server.restart()
            await document.until(lambda nb, n=n: source_of(nb, 2) == "z = " + "1 + " * (n + 1) + "3")
        await saved(document)
        expected = ["x = 1\nround 0\nround 1\nround 2", "y = 2\naway 0\naway 1\naway 2", "z = 1 + 1 + 1 + 3"]
        assert cells(document) == expected
    assert in_file(here) == expected


async def test_jupyter_collaboration_240_changes_outside_neither_lose_edits_nor_make_the_document_grow(
    here: Site, server: JupyterServer
) -> None:
    """Upstream clears and fills the document: it grows by the file each time, and what is typed meanwhile is lost."""
    filling = "# " + "all of this stays as it is, " * 2000
    path_of(here).write_bytes(notebook("x = 1", "y = 2", filling))
    async with client.open(server.url, "n.ipynb", token=server.token) as document:
        before = len(document.ydoc.get_update())
        for n in range(10):
            path_of(here).write_bytes(notebook("x = 1", f"other = {n}", filling))
            write(document, f"\n{n}")
            await document.until(lambda nb, n=n: source_of(nb, 1) == f"other = {n}")
        await saved(document)
        typed = "x = 1\n" + "\n".join(map(str, range(10)))
        assert cells(document) == [typed, "other = 9", filling]
        assert len(document.ydoc.get_update()) - before < len(filling) / 10
    assert in_file(here) == [typed, "other = 9", filling]


async def test_jupyter_collaboration_340_a_file_put_back_with_an_older_time_is_seen(here: Site, server: JupyterServer) -> None:
    async with client.open(server.url, "n.ipynb", token=server.token) as document:
        path_of(here).write_bytes(notebook("x = 1", "y = 2 # from the archive", "z = 3"))
        os.utime(path_of(here), (1e9, 1e9))
        await document.until(lambda nb: source_of(nb, 1) == "y = 2 # from the archive")


async def test_jupyter_mcp_server_463_what_is_in_the_store_and_not_in_the_file_is_not_lost_when_it_is_opened(
    here: Site, server: JupyterServer
) -> None:
    """The server dies after the edit and before the save; upstream then takes the file for the truth."""
    with contextlib.suppress(Exception):
        async with client.open(server.url, "n.ipynb", token=server.token, timeout_s=5) as document:
            write(document, "\nnever saved")
            await document.durable()
            await server.kill()
    assert in_file(here) == list(FIRST)
    await server.restart()
    async with client.open(server.url, "n.ipynb", token=server.token) as document:
        assert cells(document)[0] == "x = 1\nnever saved"
        await saved(document)
    assert in_file(here)[0] == "x = 1\nnever saved"


async def test_jupyter_collaboration_485_saved_means_that_it_is_in_the_file(here: Site, server: JupyterServer) -> None:
    async with client.open(server.url, "n.ipynb", token=server.token) as document:
        for n in range(5):
            write(document, f"\n{n}")
            answer = await document.save()
            assert answer["status"] == "success"
            assert in_file(here)[0].endswith(f"\n{n}")
        os.chmod(path_of(here).parent, 0o555)
        try:
            path_of(here).write_bytes(b"")
            await document.until_status(lambda s: "emptied" in s["problem"])
        finally:
            os.chmod(path_of(here).parent, 0o755)
        assert (await document.save())["status"] == "success"
        assert in_file(here)[0].endswith("\n4")
