"""People edit and save for longer than any of their tokens lives."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import nbformat
import pytest
from support.notebooks import notebook
from support.relays import FAST, relay_of
from support.reva import reva_mesh
from support.sites import jupyter_server, share_ocm, two_sites
from support.typist import Typist, all_once

from cs3collab import client
from cs3collab.types import Role

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(300)]
LIFE_S = 30
MESHES = [
    pytest.param(lambda path: two_sites(path, token_lifetime_s=LIFE_S), id="embedded"),
    pytest.param(lambda path: reva_mesh("v2", path, token_lifetime_s=LIFE_S), id="reva-v2", marks=pytest.mark.reva),
]


@pytest.mark.parametrize("mesh", MESHES)
async def test_two_sites_type_and_save_while_every_token_ends_twice(mesh, tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        a, b = await enter(mesh(tmp_path))
        await a.put("einstein", "n.ipynb", notebook("x = 1", "y = 2"))
        await share_ocm(a, b, "einstein", "marie", "n.ipynb", Role.EDITOR)
        relay_a = await enter(relay_of(a, tmp_path / "relay-a", limits=FAST))
        relay_b = await enter(relay_of(b, tmp_path / "relay-b", relays={a.name: relay_a.url}, limits=FAST))
        owner = await enter(jupyter_server(a, "einstein", relay=relay_a.url, app="jupyter_server"))
        editor = await enter(jupyter_server(b, "marie", relay=relay_b.url, app="jupyter_server"))
        loop = asyncio.get_running_loop()
        begin = loop.time()
        async with (
            client.open(owner.url, "n.ipynb", token=owner.token, timeout_s=300) as here,
            client.open(editor.url, "Shares/n.ipynb", token=editor.token, timeout_s=300) as there,
        ):
            documents = {"a": here, "b": there}
            typed = []
            noticed = [
                asyncio.create_task(document.until_status(lambda status: not status["online"] or status["problem"]))
                for document in documents.values()
            ]
            while loop.time() - begin < 2 * LIFE_S + 10:
                typists = [Typist(document, f"{tag}{len(typed)}.") for tag, document in documents.items()]
                for typist in typists:
                    await typist.has_typed(5)
                words = [word for typist in typists for word in await typist.stop()]
                text = await all_once([here, there], words)
                typed += words
            assert all(text.count(word) == 1 for word in typed)
            assert [task.result() for task in noticed if not task.cancel()] == []
        saved = nbformat.reads((await a.read("einstein", "n.ipynb")).decode(), as_version=4)
        assert saved.cells[0].source == text
        assert owner.tail().count("Traceback") == editor.tail().count("Traceback") == 0
        for relay in (relay_a, relay_b):
            assert "Traceback" not in relay.tail()
