"""Others write to the file while people edit it live: another Jupyter, a web editor, a script. Nothing of anyone is lost."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from pycrdt import Map
from support.notebooks import notebook, source_of
from support.relays import FAST, RelayProcess, relay_of
from support.sites import JupyterServer, Site, jupyter_server, share_local, site

from cs3collab import client

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(400)]
TYPING_S = 180.0
SAVES_EVERY_S = 2.0
KEY_S = 0.15


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as running:
        await running.put("einstein", "n.ipynb", notebook("x = 1", "y = 2"))
        await running.put("einstein", "n.md", b"one\ntwo\nthree\n")
        yield running


@pytest.fixture
async def relay(here: Site, tmp_path: Path) -> AsyncIterator[RelayProcess]:
    async with relay_of(here, tmp_path / "relay", limits={**FAST, "look_s": 0.2}) as running:
        yield running


@pytest.fixture
async def owner(here: Site, relay: RelayProcess) -> AsyncIterator[JupyterServer]:
    async with jupyter_server(here, "einstein", relay=relay.url, app="jupyter_server") as server:
        yield server


def plain_jupyter(here: Site, tmp_path: Path) -> contextlib.AbstractAsyncContextManager[JupyterServer]:
    """Stock Jupyter on the folder that is einstein's home on storage: no rooms, no locks, no idea of CS3."""
    config = {
        "ServerApp": {
            "root_dir": str(here.folder("einstein")),
            "contents_manager_class": "jupyter_server.services.contents.largefilemanager.AsyncLargeFileManager",
            "identity_provider_class": "jupyter_server.auth.identity.IdentityProvider",
        },
        "FileIdExtension": {"file_id_manager_class": "jupyter_server_fileid.manager.ArbitraryFileIdManager"},
    }
    return jupyter_server(here, "einstein", folder=tmp_path / "plain", live=False, app="jupyter_server", config=config)


def file_of(here: Site, name: str = "n.ipynb") -> Path:
    return here.folder("einstein") / name


def sources(content: bytes) -> list[str]:
    parsed = nbformat.reads(content.decode(), as_version=4)
    nbformat.validate(parsed)
    return [cell.source for cell in parsed.cells]


def copies(here: Site) -> list[Path]:
    return [path for path in here.folder("einstein").iterdir() if ".conflict-" in path.name]


async def put(plain: JupyterServer, model: dict[str, Any]) -> None:
    """As ``PUT /api/contents`` of JupyterLab's Save."""
    status, answer = await plain.request(
        "PUT", "api/contents/n.ipynb", {key: model[key] for key in ("type", "format", "content")}
    )
    assert status == 200, answer


async def get(plain: JupyterServer) -> dict[str, Any]:
    status, model = await plain.request("GET", "api/contents/n.ipynb?content=1")
    assert status == 200, model
    return dict(model)


def write(document: client.LiveDocument, words: str) -> None:
    text = document.shared.ycells[0]["source"]
    text += words


async def saved(document: client.LiveDocument) -> None:
    position = await document.durable()
    await document.until_status(lambda s: s["savedPosition"] >= position)


async def test_a_plain_jupyter_saves_the_file_while_two_people_type(
    here: Site, relay: RelayProcess, owner: JupyterServer, tmp_path: Path
) -> None:
    """It keeps what it read for up to a second before it writes it back, so that half of its saves are of an old copy."""
    await share_local(here, "einstein", "marie", "n.ipynb")
    typed: dict[str, int] = {"einstein": 0, "marie": 0}
    ticks: list[str] = []
    end = time.monotonic() + TYPING_S

    async def types(document: client.LiveDocument, who: str, cell: int) -> None:
        while time.monotonic() < end:
            text = document.shared.ycells[cell]["source"]
            text += f"\n{who} {typed[who]}"
            typed[who] += 1
            await asyncio.sleep(KEY_S)

    async def saves(plain: JupyterServer) -> None:
        chance = random.Random(5)
        for n in itertools.count():
            if time.monotonic() > end:
                return
            model = await get(plain)
            await asyncio.sleep(hold := chance.random() * SAVES_EVERY_S / 2)
            cell = {"id": f"tick-{n}", "cell_type": "markdown", "metadata": {}, "source": f"tick {n}"}
            model["content"]["cells"].append(cell)
            await put(plain, model)
            ticks.append(cell["source"])
            await asyncio.sleep(SAVES_EVERY_S - hold)

    async with (
        plain_jupyter(here, tmp_path) as plain,
        jupyter_server(here, "marie", relay=relay.url, app="jupyter_server") as server,
        client.open(owner.url, "n.ipynb", token=owner.token) as mine,
        client.open(server.url, "Shares/n.ipynb", token=server.token) as hers,
    ):
        await asyncio.gather(types(mine, "einstein", 0), types(hers, "marie", 1), saves(plain))
        await hers.durable()
        await saved(mine)
        await mine.until(lambda nb: {str(cell["source"]) for cell in nb.ycells} >= set(ticks))
        live = [str(cell["source"]) for cell in mine.shared.ycells]
        await hers.until(lambda nb: [str(cell["source"]) for cell in nb.ycells] == live)
        await saved(mine)
    cells = sources(file_of(here).read_bytes())
    assert cells == live
    for (who, number), first in zip(typed.items(), ("x = 1", "y = 2"), strict=True):
        lines = [line for cell in cells for line in cell.splitlines() if line.startswith(who)]
        assert number > 100
        assert lines == [f"{who} {n}" for n in range(number)]
        assert any(cell.startswith(first) for cell in cells)
    assert sorted(cell for cell in cells if cell.startswith("tick")) == sorted(ticks)
    assert len(ticks) > TYPING_S / SAVES_EVERY_S / 2
    assert not copies(here), "nobody changed a line that somebody else changed"


async def test_both_change_a_line_and_people_see_which(here: Site, owner: JupyterServer, tmp_path: Path) -> None:
    async with plain_jupyter(here, tmp_path) as plain, client.open(owner.url, "n.ipynb", token=owner.token) as document:
        model = await get(plain)
        write(document, " # ours")
        await document.durable()
        model["content"]["cells"][0]["source"] = "x = 1 # theirs"
        model["content"]["cells"][1]["source"] = "y = 2 # theirs"
        await put(plain, model)
        await document.until(lambda nb: source_of(nb, 1) == "y = 2 # theirs")
        await document.until(lambda nb: len(nb.ydoc.get("conflicts", type=Map)) == 1)
        await document.until_status(lambda s: s["savedPosition"] == s["position"] and "kept as" in s["problem"])
        assert source_of(document.shared, 0) == "x = 1 # ours"
    (copy,) = copies(here)
    assert sources(copy.read_bytes()) == ["x = 1 # theirs", "y = 2 # theirs"]
    assert sources(file_of(here).read_bytes()) == ["x = 1 # ours", "y = 2 # theirs"]


async def test_nobody_types_and_what_others_save_is_seen_at_once_and_stays_as_they_wrote_it(
    here: Site, owner: JupyterServer, tmp_path: Path
) -> None:
    async with plain_jupyter(here, tmp_path) as plain, client.open(owner.url, "n.ipynb", token=owner.token) as document:
        model = await get(plain)
        model["content"]["cells"].reverse()
        await put(plain, model)
        theirs = file_of(here).read_bytes()
        await document.until(lambda nb: source_of(nb, 0) == "y = 2")
        await document.until_status(lambda s: s["savedPosition"] == s["position"])
        assert file_of(here).read_bytes() == theirs


@pytest.mark.parametrize("broken", [b"", b"no notebook", json.dumps({"cells": []}).encode()[:-3]], ids=["empty", "text", "cut"])
async def test_a_file_that_is_broken_by_others_waits_for_people(here: Site, owner: JupyterServer, broken: bytes) -> None:
    async with client.open(owner.url, "n.ipynb", token=owner.token) as document:
        write(document, "\nours")
        await saved(document)
        file_of(here).write_bytes(broken)
        await document.until_status(lambda s: "changed by someone else" in s["problem"])
        write(document, "\nmore")
        await document.durable()
        assert file_of(here).read_bytes() == broken
        assert (await document.save())["status"] == "success"
        assert sources(file_of(here).read_bytes())[0] == "x = 1\nours\nmore"
        assert [copy.read_bytes() for copy in copies(here)] == ([broken] if broken else [])


async def test_others_change_it_while_nobody_is_there_and_edits_here_were_never_saved(
    here: Site, relay: RelayProcess, owner: JupyterServer
) -> None:
    async with client.open(owner.url, "n.ipynb", token=owner.token) as document:
        write(document, "\nours")
        await document.durable()
        await relay.kill()
    file_of(here).write_bytes(notebook("x = 1", "y = 2 # theirs", "theirs"))
    await relay.start()
    async with client.open(owner.url, "n.ipynb", token=owner.token) as document:
        await document.until(lambda nb: len(nb.ycells) == 3)
        assert [source_of(document.shared, n) for n in range(3)] == ["x = 1\nours", "y = 2 # theirs", "theirs"]
        await document.until_status(lambda s: s["savedPosition"] == s["position"])
    assert sources(file_of(here).read_bytes()) == ["x = 1\nours", "y = 2 # theirs", "theirs"]
    assert not copies(here)


async def test_text_is_merged_by_line(here: Site, owner: JupyterServer) -> None:
    async with client.open(owner.url, "n.md", token=owner.token) as document:
        document.shared.source = "one\ntwo\nthree, by us\n"
        await document.durable()
        file_of(here, "n.md").write_bytes(b"one, by someone else\ntwo\nthree\n")
        await document.until(lambda text: str(text.source) == "one, by someone else\ntwo\nthree, by us\n")
        await document.until_status(lambda s: s["savedPosition"] == s["position"])
    assert file_of(here, "n.md").read_bytes() == b"one, by someone else\ntwo\nthree, by us\n"
