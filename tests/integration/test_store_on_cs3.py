"""The cold part of the store on CS3: what is durable outlives the machine that made it so."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.notebooks import notebook, source_of
from support.relays import FAST, relay_of
from support.reva import ANYWHERE, site_on
from support.sites import SiteBase, jupyter_server

from cs3collab import client
from cs3collab.cs3.blobs import CS3Blobs
from cs3collab.relay.config import AccountConfig
from ystore import segment

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(180)]
NEVER_SAVED = {**FAST, "idle_save_s": 1e6, "busy_save_s": 1e6}
WORDS = "\nnever saved, only durable"


@pytest.fixture(params=ANYWHERE)
async def here(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SiteBase]:
    async with site_on(request.param, tmp_path) as started:
        yield started


async def shipped(here: SiteBase, username: str, folder: str, word: bytes) -> None:
    """Waits until a segment that holds `word` is in that folder of the user's home."""
    blobs = CS3Blobs(await here.files(username), await here.ref(username, folder))

    async with asyncio.timeout(30):
        while True:
            for name in await blobs.list(""):
                if name.endswith(".yseg"):
                    records = segment.read_records(name, await blobs.get(name))
                    if any(word in record.update for record in records):
                        return
            await asyncio.sleep(0.1)


def account(here: SiteBase, tmp_path: Path) -> AccountConfig:
    secret = tmp_path / "secret"
    secret.write_text(here.password("richard"))
    return AccountConfig("basic", "richard", str(secret))


async def test_a_relay_that_lost_its_disk_goes_on_from_cs3(here: SiteBase, tmp_path: Path) -> None:
    await here.put("einstein", "n.ipynb", notebook("x = 1"))
    home = (await here.ref("richard")).path
    store = {"service_account": account(here, tmp_path), "store_on_cs3": f"{home}/cold"}
    async with (
        relay_of(here, tmp_path / "relay", limits=NEVER_SAVED, **store) as relay,
        jupyter_server(here, "einstein", relay=relay.url, app="jupyter_server") as server,
    ):
        async with client.open(server.url, "n.ipynb", token=server.token) as document:
            text = document.shared.ycells[0]["source"]
            text += WORDS
            await document.durable()
            await shipped(here, "richard", "cold", b"only durable")
        await server.kill()
        await relay.kill()
        shutil.rmtree(tmp_path / "relay" / "store")
        assert b"only durable" not in await here.read("einstein", "n.ipynb")
        await relay.start()
        await server.restart()
        async with client.open(server.url, "n.ipynb", token=server.token) as document:
            assert source_of(document.shared, 0) == f"x = 1{WORDS}"


async def test_a_jupyter_server_without_relay_keeps_its_cold_part_in_the_home(here: SiteBase, tmp_path: Path) -> None:
    await here.put("einstein", "n.ipynb", notebook("x = 1"))
    async with (
        jupyter_server(here, "einstein", app="jupyter_server") as server,
        client.open(server.url, "n.ipynb", token=server.token) as document,
    ):
        text = document.shared.ycells[0]["source"]
        text += WORDS
        await document.durable()
        await shipped(here, "einstein", ".cs3collab", b"only durable")
