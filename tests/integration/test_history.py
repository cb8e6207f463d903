"""History between two sites, each hop a real process: through the other site's relay, and over kill -9 of the home relay."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from support.notebooks import notebook, source_of
from support.relays import FAST, RelayProcess, relay_of
from support.sites import JupyterServer, Site, jupyter_server, share_ocm, two_sites

from cs3collab import client
from cs3collab.errors import NotAuthorized
from cs3collab.types import Role

pytestmark = pytest.mark.timeout(180)
PATH = "Shares/n.ipynb"


@dataclass
class World:
    a: Site
    relay_a: RelayProcess
    editor: JupyterServer
    viewer: JupyterServer


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """einstein at a.example owns n.ipynb; at b.example marie may edit it, and richard may look."""
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        a, b = await enter(two_sites(tmp_path))
        await a.put("einstein", "n.ipynb", notebook("x = 1", "y = 2"))
        await share_ocm(a, b, "einstein", "marie", "n.ipynb", Role.EDITOR)
        await share_ocm(a, b, "einstein", "richard", "n.ipynb", Role.VIEWER)
        relay_a = await enter(relay_of(a, tmp_path / "relay-a", limits=FAST))
        relay_b = await enter(relay_of(b, tmp_path / "relay-b", relays={a.name: relay_a.url}, limits=FAST))
        editor = await enter(jupyter_server(b, "marie", relay=relay_b.url, app="jupyter_server"))
        viewer = await enter(jupyter_server(b, "richard", relay=relay_b.url, app="jupyter_server"))
        yield World(a, relay_a, editor, viewer)


def live(server: JupyterServer) -> contextlib.AbstractAsyncContextManager[client.LiveDocument]:
    return client.open(server.url, PATH, token=server.token)


async def terminal(server: JupyterServer, *arguments: str) -> tuple[int | None, str, str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "CS3COLLAB"))}
    environment["JUPYTER_RUNTIME_DIR"] = str(server.folder / "runtime")
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, "-m", "cs3collab", "history", PATH, *arguments]
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=pipe, stderr=pipe)
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_the_other_site_lists_reads_and_restores_and_its_viewers_only_look(world: World) -> None:
    async with live(world.editor) as there, live(world.viewer) as looking:
        source = there.shared.ycells[0]["source"]
        source += " + 2"
        good = await there.durable()
        source += " + oops"
        await there.durable()
        code, out, err = await terminal(world.viewer)
        assert (code, err) == (0, "")
        assert "Marie Curie" in out
        code, out, err = await terminal(world.viewer, "--at", str(good))
        assert (code, nbformat.reads(out, as_version=4).cells[0].source) == (0, "x = 1 + 2")
        for option in (["--restore", str(good)], ["--name", "mine", "--at", str(good)]):
            code, out, err = await terminal(world.viewer, *option)
            assert (code, out, err.count("\n"), "Viewer" in err) == (1, "", 1, True)
        with pytest.raises(NotAuthorized):
            await looking.restore(good)
        assert source_of(there.shared, 0) == "x = 1 + 2 + oops"
        code, out, err = await terminal(world.editor, "--restore", str(good))
        assert (code, err) == (0, "")
        await looking.until(lambda nb: source_of(nb, 0) == "x = 1 + 2")
        await there.until_status(lambda s: s["savedPosition"] >= s["position"] > good and not s["problem"])
    saved = nbformat.reads((await world.a.read("einstein", "n.ipynb")).decode(), as_version=4)
    nbformat.validate(saved)
    assert [cell.source for cell in saved.cells] == ["x = 1 + 2", "y = 2"]


@pytest.mark.slow
async def test_a_restore_that_was_acknowledged_survives_kill_9_of_the_home_relay(world: World) -> None:
    async with live(world.editor) as there:
        source = there.shared.ycells[0]["source"]
        source += " + 2"
        good = await there.durable()
        await there.name_version("good", good)
        source += " + oops"
        await there.durable()
        code, out, _ = await terminal(world.editor, "--restore", "good")
        await world.relay_a.kill()
        assert code == 0
        restored = int(out.split()[-1])
        await world.relay_a.start()  # before leaving, which waits until all that was sent is durable
    async with live(world.viewer) as looking:
        assert source_of(looking.shared, 0) == "x = 1 + 2"
        versions = await looking.versions()
        assert [version.position for version in versions if version.name == "good"] == [good]
        assert nbformat.reads((await looking.at(restored)).decode(), as_version=4).cells[0].source == "x = 1 + 2"
        assert "oops" in (await looking.at(restored - 1)).decode()
