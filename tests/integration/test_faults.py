"""kill -9 of every process, and storage that refuses, while two people type: nothing is lost, nothing is doubled."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from support.notebooks import notebook
from support.relays import FAST, RelayProcess, relay_of
from support.sites import JupyterServer, Site, jupyter_server, share_local, site
from support.typist import Typist, all_once

from cs3collab import client
from cs3collab.client import LiveDocument
from cs3collab.types import Role

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@dataclass
class World:
    site: Site
    relay: RelayProcess
    owner: JupyterServer
    editor: JupyterServer

    async def saved(self) -> list[str]:
        content = await self.site.read("einstein", "n.ipynb")
        notebook = nbformat.reads(content.decode(), as_version=4)
        nbformat.validate(notebook)
        return [cell.source for cell in notebook.cells]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """einstein's notebook, which marie of the same site may edit; each has a Jupyter server at the site's relay."""
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        here = await enter(site(tmp_path))
        await here.put("einstein", "n.ipynb", notebook("", "y = 2"))
        await share_local(here, "einstein", "marie", "n.ipynb", Role.EDITOR)
        relay = await enter(relay_of(here, tmp_path / "relay", limits=FAST))
        owner = await enter(jupyter_server(here, "einstein", relay=relay.url, app="jupyter_server"))
        editor = await enter(jupyter_server(here, "marie", relay=relay.url, app="jupyter_server"))
        yield World(here, relay, owner, editor)


@contextlib.asynccontextmanager
async def both(world: World) -> AsyncIterator[tuple[LiveDocument, LiveDocument]]:
    async with (
        client.open(world.owner.url, "n.ipynb", token=world.owner.token) as one,
        client.open(world.editor.url, "Shares/n.ipynb", token=world.editor.token) as two,
    ):
        yield one, two


async def all_there_once(world: World, one: LiveDocument, two: LiveDocument, words: list[str]) -> None:
    text = await all_once([one, two], words)
    assert await world.saved() == [text, "y = 2"]


async def test_the_relay_is_killed_while_both_type(world: World) -> None:
    async with both(world) as (one, two):
        typists = [Typist(one, "a"), Typist(two, "b")]
        for typist in typists:
            await typist.has_typed(20)
        await world.relay.kill()
        await one.until_status(lambda s: not s["online"])
        for typist in typists:
            await typist.has_typed(20)
        await world.relay.start()
        await one.until_status(lambda s: s["online"])
        for typist in typists:
            await typist.has_typed(20)
        words = [word for typist in typists for word in await typist.stop()]
        await all_there_once(world, one, two, words)


async def test_the_room_worker_is_killed_while_both_type(world: World) -> None:
    async with both(world) as (one, two):
        typists = [Typist(one, "a"), Typist(two, "b")]
        for _ in range(3):
            for typist in typists:
                await typist.has_typed(20)
            world.relay.kill_workers()
        for typist in typists:
            await typist.has_typed(20)
        words = [word for typist in typists for word in await typist.stop()]
        await all_there_once(world, one, two, words)
        metrics = (await world.relay.get("/metrics"))[1]
        restarts = re.search(r"^cs3collab_worker_restarts_total (\d+)", metrics, re.MULTILINE)
        assert restarts is not None
        assert int(restarts[1]) >= 1


async def test_a_jupyter_server_is_killed_while_both_type(world: World) -> None:
    async with both(world) as (one, two):
        typists = [Typist(one, "a"), Typist(two, "b")]
        for typist in typists:
            await typist.has_typed(20)
        await world.editor.kill()
        await typists[1].has_typed(20)
        await world.editor.restart()
        for typist in typists:
            await typist.has_typed(20)
        words = [word for typist in typists for word in await typist.stop()]
        await all_there_once(world, one, two, words)
