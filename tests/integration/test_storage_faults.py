"""Storage that is away, and files that are deleted, renamed, unshared or overwritten while open."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator
from pathlib import Path

import nbformat
import pytest
from support.notebooks import notebook, source_of
from support.relays import FAST, RelayProcess, relay_of
from support.sites import JupyterServer, Site, jupyter_server, share_local, site

from cs3collab import client
from cs3collab.cs3 import shares
from cs3collab.errors import CollabError
from cs3collab.gateway.server import EmbeddedGateway
from cs3collab.types import Ref, Role, Written

LINGER_S = 0.5
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def write(document: client.LiveDocument, words: str) -> None:
    text = document.shared.ycells[0]["source"]
    text += words


async def saved(document: client.LiveDocument) -> None:
    """Waits until all that was written is in the file."""
    position = await document.durable()
    await document.until_status(lambda s: s["savedPosition"] >= position)


def sources(content: bytes) -> list[str]:
    parsed = nbformat.reads(content.decode(), as_version=4)
    nbformat.validate(parsed)
    return [cell.source for cell in parsed.cells]


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as running:
        await running.put("einstein", "n.ipynb", notebook("x = 1", "y = 2"))
        yield running


@pytest.fixture
async def relay(here: Site, tmp_path: Path) -> AsyncIterator[RelayProcess]:
    async with relay_of(here, tmp_path / "relay", limits={**FAST, "room_linger_s": LINGER_S}) as running:
        yield running


@pytest.fixture
async def owner(here: Site, relay: RelayProcess) -> AsyncIterator[JupyterServer]:
    async with jupyter_server(here, "einstein", relay=relay.url, app="jupyter_server") as server:
        yield server


async def stays(relay: RelayProcess, line: str, *, seconds: float) -> None:
    """Looks at the metrics for some time: the line must be there all along."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert line in (await relay.get("/metrics"))[1]
        await asyncio.sleep(0.05)


async def holds(path: Path, word: bytes) -> None:
    """Waits until the file on the storage holds `word`."""
    end = time.monotonic() + 60
    while word not in await asyncio.to_thread(path.read_bytes):
        assert time.monotonic() < end, f"{word!r} does not come"
        await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def away(here: Site) -> AsyncIterator[None]:
    """The storage does not answer meanwhile; afterwards it is back under the same addresses until the site ends."""
    config = dataclasses.replace(
        here.config,
        grpc_port=int(here.address.rpartition(":")[2]),
        http_port=int(here.gateway.data_url.rpartition(":")[2].partition("/")[0]),
    )
    await here.gateway.stop()
    yield
    here.gateway = EmbeddedGateway(config)
    await here.gateway.start()


@pytest.fixture
async def stopped_at_the_end(here: Site) -> AsyncIterator[None]:
    """For a gateway that `away` started."""
    yield
    await here.gateway.stop()


@pytest.mark.usefixtures("stopped_at_the_end")
async def test_storage_is_away_while_somebody_types(here: Site, owner: JupyterServer) -> None:
    async with client.open(owner.url, "n.ipynb", token=owner.token) as document:
        async with away(here):
            write(document, "\nwhile it was away")
            await document.durable()
            status = await document.until_status(lambda s: bool(s["problem"]))
            assert status["savedPosition"] < status["position"]
            assert (await document.save())["status"] == "failed"
        await document.until_status(lambda s: s["savedPosition"] == s["position"] and not s["problem"])
        assert sources((here.folder("einstein") / "n.ipynb").read_bytes())[0] == "x = 1\nwhile it was away"


@pytest.mark.usefixtures("stopped_at_the_end")
async def test_what_was_written_while_storage_was_away_is_saved_when_everybody_has_left(
    here: Site, relay: RelayProcess, owner: JupyterServer
) -> None:
    async with contextlib.AsyncExitStack() as visit:
        document = await visit.enter_async_context(client.open(owner.url, "n.ipynb", token=owner.token))
        async with away(here):
            write(document, "\nleft unsaved")
            await document.durable()
            await visit.aclose()
            await owner.kill()
            await stays(relay, "cs3collab_rooms 1.0", seconds=4 * LINGER_S)
    await holds(here.folder("einstein") / "n.ipynb", b"left unsaved")


async def test_the_file_is_renamed_while_open(here: Site, owner: JupyterServer) -> None:
    async with client.open(owner.url, "n.ipynb", token=owner.token) as document:
        await (await here.files("einstein")).move(await here.ref("einstein", "n.ipynb"), await here.ref("einstein", "m.ipynb"))
        write(document, "\nafter the rename")
        await document.durable()
        assert (await document.save())["status"] == "success"
    assert sources(await here.read("einstein", "m.ipynb"))[0] == "x = 1\nafter the rename"
    assert not (here.folder("einstein") / "n.ipynb").exists()


async def test_the_file_is_deleted_while_open(here: Site, owner: JupyterServer) -> None:
    async with client.open(owner.url, "n.ipynb", token=owner.token) as document:
        await (await here.files("einstein")).delete(await here.ref("einstein", "n.ipynb"))
        write(document, "\nafter the end")
        answer = await document.save()
        assert answer["status"] == "failed"
        assert "deleted" in answer["message"]
        status = await document.until_status(lambda s: "deleted" in s["problem"])
        assert status["savedPosition"] < status["position"]
        assert source_of(document.shared, 0).endswith("after the end")


async def test_another_program_overwrites_the_file_while_people_edit(here: Site, owner: JupyterServer) -> None:
    async with client.open(owner.url, "n.ipynb", token=owner.token) as document:
        write(document, "\nours")
        await saved(document)
        await _overwrite(here, notebook("x = 1\nours", "y = 2", "theirs"))
        write(document, "\nours again")
        await saved(document)
        await document.until(lambda nb: len(nb.ycells) == 3)
        await document.until_status(lambda s: s["savedPosition"] == s["position"])
    assert sources(await here.read("einstein", "n.ipynb")) == ["x = 1\nours\nours again", "y = 2", "theirs"]
    assert not [path for path in here.folder("einstein").iterdir() if ".conflict-" in path.name]


async def _overwrite(here: Site, content: bytes) -> None:
    """As a web editor that ignores locks would: with the room's own lock id, which storage shows."""
    files, ref = await here.files("einstein"), await here.ref("einstein", "n.ipynb")
    info = await files.stat(ref)
    written = await files.write(Ref.of(info.id), content, lock_id=info.lock.lock_id if info.lock else "")
    assert isinstance(written, Written)


async def test_a_share_is_taken_back_while_open(here: Site, relay: RelayProcess, owner: JupyterServer) -> None:
    share = await share_local(here, "einstein", "marie", "n.ipynb", Role.EDITOR)
    async with (
        jupyter_server(here, "marie", relay=relay.url, app="jupyter_server") as server,
        client.open(owner.url, "n.ipynb", token=owner.token) as mine,
    ):
        with contextlib.suppress(CollabError):
            async with client.open(server.url, "Shares/n.ipynb", token=server.token) as hers:
                write(hers, "\nhers")
                await hers.durable()
                await mine.until(lambda nb: "hers" in source_of(nb, 0))
                await shares.remove_share(await here.session("einstein"), share)
                status = await hers.until_status(lambda s: bool(s["problem"]) or s["role"] != "editor")
                assert "no longer shared" in status["problem"] + status["reason"]
                write(hers, "\nforbidden")
        write(mine, "\nmine")
        await mine.durable()
        assert (await mine.save())["status"] == "success"
    assert sources(await here.read("einstein", "n.ipynb"))[0] == "x = 1\nhers\nmine"


async def test_an_editor_becomes_a_viewer_while_open(here: Site, relay: RelayProcess, owner: JupyterServer) -> None:
    share = await share_local(here, "einstein", "marie", "n.ipynb", Role.EDITOR)
    async with (
        jupyter_server(here, "marie", relay=relay.url, app="jupyter_server") as server,
        client.open(owner.url, "n.ipynb", token=owner.token) as mine,
        client.open(server.url, "Shares/n.ipynb", token=server.token) as hers,
    ):
        session = await here.session("einstein")
        given = next(s for s in await shares.list_shares(session) if s.id == share)
        await shares.update_share(session, given, Role.VIEWER)
        status = await hers.until_status(lambda s: s["role"] == "viewer")
        assert status["reason"]
        write(hers, "\nforbidden")
        await hers.durable()
        write(mine, "\nmine")
        await hers.until(lambda nb: "mine" in source_of(nb, 0))
        assert "forbidden" not in source_of(mine.shared, 0)
        assert (await mine.save())["status"] == "success"
    assert sources(await here.read("einstein", "n.ipynb"))[0] == "x = 1\nmine"
