"""Stock jupyter-collaboration, without our extension, on our store: its server is killed, and what was typed is there."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from jupyter_ydoc import YNotebook
from pycrdt import Doc, YMessageType, create_sync_message, create_update_message, handle_sync_message
from support.notebooks import notebook, source_of
from support.sites import JupyterServer, Site, jupyter_server, site

from cs3collab.rooms.ysocket import raw_request
from ystore import Store, manifest, segment

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(180)]
BEFORE, WORDS = "x = 1", "\nnever saved, only in the log"
MARK = b"never saved"


def stock_server(at: Site, folder: Path, blobs_factory: str = "", **traits: Any) -> AbstractAsyncContextManager[JupyterServer]:
    """On local files; saves nothing by itself. The log is in the folder ``stored``."""
    return jupyter_server(
        at,
        "einstein",
        folder=folder,
        app="jupyter_server",
        config={
            "ServerApp": {
                "contents_manager_class": "jupyter_server.services.contents.largefilemanager.AsyncLargeFileManager",
                "identity_provider_class": "jupyter_server.auth.identity.IdentityProvider",
                "jpserver_extensions": {"jupyter_server_ydoc": True, "cs3collab": False, "jupyter_server_fileid": True},
            },
            "FileIdExtension": {"file_id_manager_class": "jupyter_server_fileid.manager.ArbitraryFileIdManager"},
            "YDocExtension": {"ystore_class": "ystore.pycrdt.CS3YStore", "document_save_delay": 1e6, **traits},
            "CS3YStore": {"directory": str(folder / "stored"), "blobs_factory": blobs_factory},
        },
    )


@asynccontextmanager
async def joined(server: JupyterServer, *first: bytes) -> AsyncIterator[YNotebook]:
    """The notebook, live, by the websocket of JupyterLab. Sends `first` once it is there."""
    status, session = await server.request("PUT", "api/collaboration/session/n.ipynb", {"format": "json", "type": "notebook"})
    assert status in (200, 201), session
    room = "{format}:{type}:{fileId}".format(**session)
    doc: Doc[Any] = Doc()
    shared = YNotebook(doc)
    synced = asyncio.Event()
    async with (
        aiohttp.ClientSession(headers=server.headers) as http,
        http.ws_connect(f"{server.url}api/collaboration/room/{room}", params={"sessionId": session["sessionId"]}) as ws,
    ):
        outgoing: asyncio.Queue[bytes] = asyncio.Queue()

        async def receive() -> None:
            async for frame in ws:
                if frame.data[0] == YMessageType.SYNC:
                    if reply := handle_sync_message(frame.data[1:], doc):
                        outgoing.put_nowait(reply)
                    if frame.data[1] == 1:
                        synced.set()

        async def send() -> None:
            while True:
                await ws.send_bytes(await outgoing.get())

        outgoing.put_nowait(create_sync_message(doc))
        tasks = [asyncio.create_task(receive()), asyncio.create_task(send())]
        try:
            async with asyncio.timeout(30):
                await synced.wait()
            for message in first:
                outgoing.put_nowait(message)
            subscription = doc.observe(lambda event: outgoing.put_nowait(create_update_message(event.update)))
            yield shared
            doc.unobserve(subscription)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def type_words(server: JupyterServer, *kept: Path) -> None:
    """Returns when they are in a file of each folder: that is when a store acknowledges."""
    async with joined(server) as shared:
        text = shared.ycells[0]["source"]
        text += WORDS
        for folder in kept:
            await found_in(folder, MARK)


async def found_in(folder: Path, word: bytes) -> None:
    def contents(path: Path) -> bytes:
        try:
            data = path.read_bytes()
            return data if path.suffix == segment.LOG else b"".join(r.update for r in segment.read_records(path.name, data))
        except FileNotFoundError:
            return b""

    await until(lambda: any(word in contents(path) for path in folder.rglob("*.y[ls][oe]g")))


async def until(true: Callable[[], bool]) -> None:
    def wait() -> None:
        while not given_up.is_set() and not true():
            given_up.wait(0.02)

    given_up = threading.Event()
    try:
        async with asyncio.timeout(30):
            await asyncio.to_thread(wait)
    finally:
        given_up.set()


def document(folder: Path) -> Path:
    """The directory of the only document."""
    (found,) = (folder / "stored").iterdir()
    return found


def saved_at(directory: Path) -> int:
    """The position at which the file last had the document's content."""
    base = manifest.decode((directory / "manifest").read_bytes()).base
    return base.position if base else 0


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "stock" / "work").mkdir(parents=True)
    (tmp_path / "stock" / "work" / "n.ipynb").write_bytes(notebook(BEFORE))
    return tmp_path / "stock"


async def test_an_edit_that_was_never_saved_is_there_after_kill_9(here: Site, folder: Path) -> None:
    async with stock_server(here, folder) as server:
        await type_words(server, folder / "stored")
        await server.kill()
        assert MARK not in (folder / "work" / "n.ipynb").read_bytes()
        await server.restart()
        async with joined(server) as shared:
            assert source_of(shared, 0) == BEFORE + WORDS
        status, timeline = await server.request("GET", "api/collaboration/timeline/n.ipynb?format=json&type=notebook")
        assert (status, len(timeline["timestamps"]) > 0) == (200, True), timeline


async def test_what_was_typed_after_a_save_is_there_too(here: Site, folder: Path) -> None:
    async with stock_server(here, folder) as server:
        async with joined(server) as shared:
            text = shared.ycells[0]["source"]
            text += "\nsaved"
            await found_in(folder / "stored", b"saved")
        async with joined(server, raw_request("save", 1)):
            await until(lambda: b"saved" in (folder / "work" / "n.ipynb").read_bytes())
            await until(lambda: saved_at(document(folder)) > 1)
        await type_words(server, folder / "stored")
        await server.kill()
        assert MARK not in (folder / "work" / "n.ipynb").read_bytes()
        await server.restart()
        async with joined(server) as shared:
            assert source_of(shared, 0) == f"{BEFORE}\nsaved{WORDS}"


async def test_it_comes_back_from_cs3_when_the_directory_is_lost(here: Site, folder: Path) -> None:
    async with stock_server(here, folder, "cs3collab.jupyter.stock.blobs") as server:
        await type_words(server, here.folder("einstein") / ".cs3collab")
        await server.kill()
        shutil.rmtree(folder / "stored")
        await server.restart()
        async with joined(server) as shared:
            assert source_of(shared, 0) == BEFORE + WORDS


async def test_a_file_that_others_changed_wins_and_the_edit_is_a_named_version(here: Site, folder: Path) -> None:
    async with stock_server(here, folder) as server:
        await type_words(server, folder / "stored")
        await server.kill()
        (folder / "work" / "n.ipynb").write_bytes(notebook("others wrote this"))
        await server.restart()
        async with joined(server) as shared:
            assert source_of(shared, 0) == "others wrote this"
        await server.kill()
    async with await Store.open(document(folder)) as store:
        (named,) = [version for version in await store.versions() if version.name]
        before = YNotebook(Doc())
        before.ydoc.apply_update(await store.load(named.position))
    assert source_of(before, 0) == BEFORE + WORDS
    assert named.name.startswith("before others' changes")


async def test_a_room_that_was_closed_opens_again(here: Site, folder: Path) -> None:
    async with stock_server(here, folder, document_cleanup_delay=0) as server:
        await type_words(server, folder / "stored")
        await until(lambda: "deleted" in server.tail())
        async with joined(server) as shared:
            assert source_of(shared, 0) == BEFORE + WORDS
