"""The cold part of the store on CS3: what is durable outlives the machine that made it so."""

from __future__ import annotations

import asyncio
import shutil
import threading
from pathlib import Path

import pytest
from support.notebooks import notebook, source_of
from support.relays import FAST, relay_of
from support.sites import Site, jupyter_server, site

from cs3collab import client
from cs3collab.relay.config import AccountConfig
from ystore import segment

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
NEVER_SAVED = {**FAST, "idle_save_s": 1e6, "busy_save_s": 1e6}
WORDS = "\nnever saved, only durable"


async def shipped(folder: Path, word: bytes) -> None:
    """Waits until a segment that holds `word` is in `folder` of the storage."""

    def wait() -> None:
        while not given_up.is_set() and not any(
            word in record.update
            for path in folder.rglob("*.yseg")
            for record in segment.read_records(path.name, path.read_bytes())
        ):
            given_up.wait(0.05)

    given_up = threading.Event()
    try:
        async with asyncio.timeout(30):
            await asyncio.to_thread(wait)
    finally:
        given_up.set()


def account(here: Site, tmp_path: Path) -> AccountConfig:
    secret = tmp_path / "secret"
    secret.write_text(here.password("richard"))
    return AccountConfig("basic", "richard", str(secret))


async def test_a_relay_that_lost_its_disk_goes_on_from_cs3(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
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
                await shipped(here.folder("richard") / "cold", b"only durable")
            await server.kill()
            await relay.kill()
            shutil.rmtree(tmp_path / "relay" / "store")
            assert b"only durable" not in await here.read("einstein", "n.ipynb")
            await relay.start()
            await server.restart()
            async with client.open(server.url, "n.ipynb", token=server.token) as document:
                assert source_of(document.shared, 0) == f"x = 1{WORDS}"


async def test_a_jupyter_server_without_relay_keeps_its_cold_part_in_the_home(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        await here.put("einstein", "n.ipynb", notebook("x = 1"))
        async with (
            jupyter_server(here, "einstein", app="jupyter_server") as server,
            client.open(server.url, "n.ipynb", token=server.token) as document,
        ):
            text = document.shared.ycells[0]["source"]
            text += WORDS
            await document.durable()
            await shipped(here.folder("einstein") / ".cs3collab", b"only durable")
