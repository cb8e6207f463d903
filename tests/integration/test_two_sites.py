"""The main job with real processes: two sites, two relays, two Jupyter servers, one notebook."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from support.notebooks import notebook, source_of
from support.relays import FAST, RelayProcess, relay_of
from support.sites import JupyterServer, Site, jupyter_server, share_ocm, two_sites
from support.typist import Typist, all_once

from cs3collab import client
from cs3collab.types import Role

pytestmark = pytest.mark.timeout(180)


@dataclass
class World:
    a: Site
    b: Site
    relay_a: RelayProcess
    relay_b: RelayProcess
    owner: JupyterServer
    editor: JupyterServer


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """einstein at a.example owns n.ipynb, marie at b.example may edit it."""
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        a, b = await enter(two_sites(tmp_path))
        await a.put("einstein", "n.ipynb", notebook("x = 1", "y = 2"))
        await share_ocm(a, b, "einstein", "marie", "n.ipynb", Role.EDITOR)
        relay_a = await enter(relay_of(a, tmp_path / "relay-a", limits=FAST))
        relay_b = await enter(relay_of(b, tmp_path / "relay-b", relays={a.name: relay_a.url}, limits=FAST))
        owner = await enter(jupyter_server(a, "einstein", relay=relay_a.url, app="jupyter_server"))
        editor = await enter(jupyter_server(b, "marie", relay=relay_b.url, app="jupyter_server"))
        yield World(a, b, relay_a, relay_b, owner, editor)


async def test_both_see_what_both_type_and_the_file_holds_it(world: World) -> None:
    async with (
        client.open(world.owner.url, "n.ipynb", token=world.owner.token) as here,
        client.open(world.editor.url, "Shares/n.ipynb", token=world.editor.token) as there,
    ):
        for n in range(20):
            left, right = here.shared.ycells[0]["source"], there.shared.ycells[0]["source"]
            left += f"\nhere {n}"
            right.insert(0, f"there {n}\n")
            await asyncio.sleep(0)
        position = max(await asyncio.gather(here.durable(), there.durable()))
        await here.until(lambda nb: str(nb.ycells[0]["source"]).count("there") == 20)
        await there.until(lambda nb: str(nb.ycells[0]["source"]).count("here") == 40)
        text = str(here.shared.ycells[0]["source"])
        assert text == str(there.shared.ycells[0]["source"])
        assert all(text.count(f"\nhere {n}") >= 1 for n in range(20))
        await there.until_status(lambda s: s["savedPosition"] >= position and not s["problem"])
    saved = nbformat.reads((await world.a.read("einstein", "n.ipynb")).decode(), as_version=4)
    nbformat.validate(saved)
    assert saved.cells[0].source == text
    assert saved.cells[1].source == "y = 2"


@pytest.mark.slow
@pytest.mark.parametrize("home", [True, False], ids=["home relay", "other relay"])
async def test_a_relay_is_killed_while_both_sites_type(world: World, home: bool) -> None:
    async with (
        client.open(world.owner.url, "n.ipynb", token=world.owner.token) as here,
        client.open(world.editor.url, "Shares/n.ipynb", token=world.editor.token) as there,
    ):
        relay = world.relay_a if home else world.relay_b
        typists = [Typist(here, "a"), Typist(there, "b")]
        for typist in typists:
            await typist.has_typed(15)
        await relay.kill()
        await there.until_status(lambda s: not s["online"])
        for typist in typists:
            await typist.has_typed(15)
        await relay.start()
        await there.until_status(lambda s: s["online"])
        for typist in typists:
            await typist.has_typed(15)
        text = await all_once([here, there], [word for typist in typists for word in await typist.stop()])
    saved = nbformat.reads((await world.a.read("einstein", "n.ipynb")).decode(), as_version=4)
    nbformat.validate(saved)
    assert [cell.source for cell in saved.cells] == [text, "y = 2"]


async def test_who_has_left_for_a_moment_sees_what_others_type_at_once(world: World) -> None:
    """The seat that asks for the room and the one that stays are different ones; between them nobody may be forgotten."""
    async with client.open(world.owner.url, "n.ipynb", token=world.owner.token) as here:
        for n in range(3):
            async with client.open(world.editor.url, "Shares/n.ipynb", token=world.editor.token) as there:
                text = here.shared.ycells[0]["source"]
                text += f"<{n}>"
                await there.until(lambda nb, word=f"<{n}>": word in source_of(nb, 0))
