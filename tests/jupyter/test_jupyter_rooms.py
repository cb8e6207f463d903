"""The URLs of jupyter-collaboration at a real Jupyter server of ours, spoken to as its stock frontend speaks."""

from __future__ import annotations

import json

import aiohttp
import pytest
import pytest_asyncio
from pycrdt import Array, Awareness, Doc
from support.notebooks import notebook
from support.sites import jupyter_server, site

from cs3collab.rooms.lib0 import Reader
from cs3collab.rooms.ysocket import AWARENESS, RAW, STEP1, SYNC, awareness_message, body_of, sync_message

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(150)]
SESSION = "api/collaboration/session/n.ipynb"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(tmp_path_factory):
    async with site(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(home):
    await home.put("einstein", "n.ipynb", notebook("x = 1"))
    async with jupyter_server(home, "einstein", app="jupyter_server") as running:
        yield running


async def until(ws, true):
    """The first binary message that `true` is true of."""
    while True:
        message = await ws.receive(timeout=20)
        assert message.type is aiohttp.WSMsgType.BINARY, message
        if true(message.data):
            return message.data


async def test_the_stock_session_and_room(home, server):
    status, session = await server.request("PUT", SESSION, {"format": "json", "type": "notebook"})
    assert status == 200
    file_id = (await (await home.files("einstein")).stat(await home.ref("einstein", "n.ipynb"))).id.file_id
    assert session["fileId"] == file_id
    url = f"{server.url}api/collaboration/room/json:notebook:{file_id}"
    async with aiohttp.ClientSession(headers=server.headers) as http:
        async with http.ws_connect(url, params={"sessionId": session["sessionId"]}) as ws:
            status = json.loads(Reader((await until(ws, lambda m: m[0] == RAW))[1:]).var_bytes())
            assert (status["type"], status["role"], status["home"]) == ("cs3collab", "editor", home.name)
            await until(ws, lambda m: m[:2] == bytes((SYNC, STEP1)))
            await ws.send_bytes(sync_message(STEP1, Doc().get_state()))
            answer = await until(ws, lambda m: m[:2] == bytes((SYNC, 1)))
            doc = Doc()
            doc.apply_update(Reader(answer[2:]).var_bytes())
            assert "x = 1" in str(doc.get("cells", type=Array).to_py())
        async with http.ws_connect(url, params={"sessionId": "another-history"}) as ws:
            closed = await ws.receive(timeout=20)
            assert closed.type is aiohttp.WSMsgType.CLOSE
            assert closed.data == 1003
            assert json.loads(closed.extra) == {"reason": "unknown_session", "sessionId": "another-history", "reloadable": True}


async def test_global_awareness_tells_windows_of_each_other(server):
    url = f"{server.url}api/collaboration/room/JupyterLab:globalAwareness"

    def said(state):
        awareness = Awareness(Doc())
        awareness.set_local_state(state)
        return awareness_message(awareness.encode_awareness_update([awareness.client_id]))

    async with aiohttp.ClientSession(headers=server.headers) as http, http.ws_connect(url) as one:
        await one.send_bytes(said({"current": "notebook:n.ipynb"}))
        async with http.ws_connect(url) as two:
            first = body_of(await until(two, lambda m: m[0] == AWARENESS))
            assert b"notebook:n.ipynb" in first
            await two.send_bytes(said({"current": "second window"}))
            assert b"second window" in await until(one, lambda m: m[0] == AWARENESS)
        assert b"null" in await until(one, lambda m: m[0] == AWARENESS)


async def test_awareness_of_a_refused_browser_is_dropped(server):
    url = f"{server.url}api/collaboration/room/json:notebook:AAAA:timeline"
    awareness = Awareness(Doc())
    awareness.set_local_state({"user": "refused"})
    message = awareness_message(awareness.encode_awareness_update([awareness.client_id]))
    async with aiohttp.ClientSession(headers=server.headers) as http:
        async with http.ws_connect(url, autoclose=False) as ws:
            await ws.send_bytes(message)
            closed = await ws.receive(timeout=20)
            assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 4404)
        async with http.ws_connect(f"{server.url}api/collaboration/room/JupyterLab:globalAwareness"):
            pass  # what came before it was handled by now
    assert "Uncaught exception" not in server.tail()


@pytest.mark.parametrize("path", ["timeline/n.ipynb", "fork/x", "undo_redo/x"])
async def test_what_is_not_offered_says_so(server, path):
    status, answer = await server.request("GET", f"api/collaboration/{path}")
    assert status == 501
    assert "versions" in answer["message"]


async def test_the_stock_extension_beside_ours_is_refused_in_words(home):
    both = {
        "ServerApp": {"jpserver_extensions": {"jupyter_server_ydoc": True, "cs3collab": True, "jupyter_server_fileid": True}}
    }
    with pytest.raises(RuntimeError, match="jupyter server extension disable jupyter_server_ydoc"):
        async with jupyter_server(home, "einstein", app="jupyter_server", config=both):
            pass
