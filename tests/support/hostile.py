"""A site under attack: real servers, well-behaved company, and raw sockets for those who are not."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import pytest_asyncio
from support.notebooks import notebook, source_of
from support.relays import FAST, RelayProcess, relay_of
from support.sites import JupyterServer, Site, jupyter_server, share_local, site

from cs3collab import client
from cs3collab.rooms.lib0 import AwarenessEntry, encode_awareness, write_var_uint
from cs3collab.rooms.ysocket import STEP1, STEP2, SYNC, UPDATE, awareness_message, sync_message
from cs3collab.types import Role, RoomId

FIXTURES = Path(__file__).parent.parent / "fixtures"
ANSWER_S = 20.0
PANIC = "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\nTraceback"
"""A room worker that dies of a crashing update says where."""
UPDATE_BYTES = 2**20
"""The relay's limit here; a Jupyter server takes 64 MiB."""

BAD_FRAMES: dict[str, bytes] = {
    "empty": b"",
    "nothing but a type": bytes((SYNC,)),
    "an unknown sync": bytes((SYNC, 9, 0)),
    "a cut-off length": bytes((SYNC, UPDATE, 0x80)),
    "a length past the end": bytes((SYNC, UPDATE, 100, 1, 2, 3)),
    "a length past all memory": bytes((SYNC, UPDATE)) + write_var_uint(2**62) + b"x",
    "a length without end": bytes((SYNC, UPDATE)) + b"\xff" * 1000,
    "an update of noise": sync_message(UPDATE, b"\xde\xad\xbe\xef" * 9),
    "an answer of noise": sync_message(STEP2, b"\xff" * 40),
    "a state vector of noise": sync_message(STEP1, b"\xff" * 40),
    "a state vector of a billion": sync_message(STEP1, write_var_uint(10**9) + b"\1\1"),
    "awareness of noise": awareness_message(b"\xff" * 40),
    "awareness that is no JSON": awareness_message(encode_awareness([AwarenessEntry(5, 1, b"{")])),
    "awareness that is a list": awareness_message(encode_awareness([AwarenessEntry(5, 1, b"[]")])),
    "awareness of a megabyte": awareness_message(encode_awareness([AwarenessEntry(5, 1, b'"' + b"x" * 2**20 + b'"')])),
    "a thousand clients on one socket": awareness_message(encode_awareness([AwarenessEntry(n, 1, b"{}") for n in range(1000)])),
}
IGNORED_FRAMES: dict[str, bytes] = {
    "an unknown type": b"\x63what",
    "a question that nobody knows": b"\x02\x05hello\x01",
    "half a question": b"\x02\x04save",
}


@dataclass
class Stack:
    """einstein at the relay and alone, marie at the relay; two notebooks that she may edit, one that nobody else sees."""

    site: Site
    relay: RelayProcess
    linked: JupyterServer
    alone: JupyterServer
    marie: JupyterServer

    async def token(self, user: str) -> str:
        return await (await self.site.session(user)).tokens.token()

    async def room(self, path: str, user: str = "einstein") -> str:
        info = await (await self.site.files(user)).stat(await self.site.ref(user, path))
        return str(RoomId("json", "notebook", info.id.file_id))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("hostile")
    async with contextlib.AsyncExitStack() as exits:
        enter = exits.enter_async_context
        here = await enter(site(folder))
        for name in ("linked", "alone", "private"):
            await here.put("einstein", f"{name}.ipynb", notebook("", "y = 2"))
        await here.put("marie", "hers.ipynb", notebook("secret"))
        await share_local(here, "einstein", "marie", "linked.ipynb", Role.EDITOR)
        limits = {**FAST, "update_bytes": UPDATE_BYTES, "request_timeout_s": 10}
        relay = await enter(relay_of(here, folder / "relay", limits=limits))
        linked = await enter(jupyter_server(here, "einstein", relay=relay.url, app="jupyter_server"))
        alone = await enter(jupyter_server(here, "einstein", app="jupyter_server"))
        marie = await enter(jupyter_server(here, "marie", relay=relay.url, app="jupyter_server"))
        yield Stack(here, relay, linked, alone, marie)


@dataclass
class Company:
    """Two well-behaved people in the document under attack."""

    stack: Stack
    path: str
    one: client.LiveDocument
    two: client.LiveDocument
    said: int = 0

    async def is_well(self) -> None:
        """Both still sit where they sat, what one writes the other sees, and it reaches the file."""
        assert self.one.connected
        assert self.two.connected
        self.said += 1
        word = f"<{self.said}>"
        text = self.one.shared.ycells[0]["source"]
        text += word
        await self.two.until(lambda nb: word in source_of(nb, 0))
        assert (await self.two.save())["status"] == "success"
        saved = json.loads(await self.stack.site.read("einstein", self.path))
        assert word in "".join(saved["cells"][0]["source"])
        assert (await self.stack.relay.get("/healthz"))[0] == 200
        assert (await self.stack.relay.get("/readyz"))[0] == 200


@contextlib.asynccontextmanager
async def company(stack: Stack, path: str) -> AsyncIterator[Company]:
    server = stack.alone if path == "alone.ipynb" else stack.linked
    async with (
        client.open(server.url, path, token=server.token) as one,
        client.open(server.url, path, token=server.token) as two,
    ):
        yield Company(stack, path, one, two)


@contextlib.asynccontextmanager
async def jupyter_socket(
    server: JupyterServer, room: str, session: str, headers: Mapping[str, str] | None = None
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """As a browser's, but for what the test does with it. Raises `aiohttp.WSServerHandshakeError`."""
    url = f"{server.url}api/collaboration/room/{quote(room)}"
    async with (
        aiohttp.ClientSession(headers=server.headers if headers is None else headers) as http,
        http.ws_connect(url, params={"sessionId": session}, max_msg_size=0) as ws,
    ):
        yield ws


@contextlib.asynccontextmanager
async def relay_socket(
    stack: Stack, path: str, token: str | None, **options: Any
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.ws_connect(stack.relay.url + path, max_msg_size=0, **options) as ws,
    ):
        yield ws


async def session_of(server: JupyterServer, path: str) -> tuple[str, str]:
    """Room and session id."""
    body = {"format": "json", "type": "notebook"}
    status, answer = await server.request("PUT", f"api/collaboration/session/{quote(path)}", body)
    assert status == 200, answer
    return "{format}:{type}:{fileId}".format(**answer), answer["sessionId"]


async def closed(ws: aiohttp.ClientWebSocketResponse) -> tuple[int | None, str]:
    """Waits for the close; its code and reason."""
    async with asyncio.timeout(ANSWER_S):
        while True:
            frame = await ws.receive()
            if frame.type is aiohttp.WSMsgType.CLOSE:
                return frame.data, frame.extra or ""
            if frame.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.ERROR):
                return ws.close_code, ""


async def answered(ws: aiohttp.ClientWebSocketResponse) -> bool:
    """Does it still speak? Asks for the whole document, and waits for it."""
    await ws.send_bytes(sync_message(STEP1, b"\0"))
    async with asyncio.timeout(ANSWER_S):
        async for frame in ws:
            if frame.type is aiohttp.WSMsgType.BINARY and frame.data[:2] == bytes((SYNC, STEP2)):
                return True
    return False


# Frames
