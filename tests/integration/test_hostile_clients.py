"""Clients that break the protocol or try what they may not, at real servers: they are sent away, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
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
from cs3collab.relay import protocol as p
from cs3collab.rooms.lib0 import AwarenessEntry, encode_awareness, write_var_uint
from cs3collab.rooms.ysocket import STEP1, STEP2, SYNC, UPDATE, awareness_message, sync_message
from cs3collab.types import Credential, Role, RoomId, Target

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]
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


@pytest.mark.parametrize("path", ["linked.ipynb", "alone.ipynb"])
async def test_a_bad_frame_ends_its_own_socket_at_jupyter(stack: Stack, path: str) -> None:
    server = stack.alone if path == "alone.ipynb" else stack.linked
    async with company(stack, path) as others:
        for name, frame in BAD_FRAMES.items():
            async with jupyter_socket(server, *await session_of(server, path)) as ws:
                await ws.send_bytes(frame)
                code, reason = await closed(ws)
                assert code in (1002, 1007, 1013), (name, code, reason)
                assert reason, name
        for name, frame in IGNORED_FRAMES.items():
            async with jupyter_socket(server, *await session_of(server, path)) as ws:
                await ws.send_bytes(frame)
                if name != "half a question":
                    assert await answered(ws), name
        await others.is_well()
        async with jupyter_socket(server, *await session_of(server, path)) as ws:
            await ws.send_str("hello")
            code, reason = await closed(ws)
            assert code == 1003
            assert json.loads(reason)["reason"] == "initialization_error"
        async with jupyter_socket(server, *await session_of(server, path)) as ws:
            with contextlib.suppress(ConnectionError):
                await ws.send_bytes(bytes(66 * 2**20))
            assert (await closed(ws))[0] in (1009, 1006, None)
        await others.is_well()


async def test_a_bad_frame_ends_its_own_socket_at_the_relay(stack: Stack) -> None:
    token, room = await stack.token("einstein"), await stack.room("linked.ipynb")
    async with company(stack, "linked.ipynb") as others:
        for name, frame in BAD_FRAMES.items():
            async with relay_socket(stack, f"/y/{room}", token) as ws:
                await ws.send_bytes(frame)
                code, reason = await closed(ws)
                assert code in (1002, 1007, 1013), (name, code, reason)
        async with relay_socket(stack, f"/y/{room}", token) as ws:
            await ws.send_bytes(b"\x63what")
            assert await answered(ws)
            await ws.send_str("hello")
            await closed(ws)
        async with relay_socket(stack, f"/y/{room}", token) as ws:
            with contextlib.suppress(ConnectionError):
                await ws.send_bytes(bytes(UPDATE_BYTES + 2**20 + 1))
            assert (await closed(ws))[0] in (1009, 1006, None)
        await others.is_well()


@pytest.mark.parametrize("path", ["linked.ipynb", "alone.ipynb"])
async def test_an_update_that_crashes_yrs_ends_its_sender_alone(stack: Stack, path: str) -> None:
    server = stack.alone if path == "alone.ipynb" else stack.linked
    command = [sys.executable, str(FIXTURES / "crashing_updates.py"), "2"]
    finder = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    output, _ = await finder.communicate()
    pairs = [tuple(map(bytes.fromhex, line.split())) for line in output.decode().splitlines()]
    assert pairs
    async with company(stack, path) as others:
        for base, update in pairs:
            async with jupyter_socket(server, *await session_of(server, path)) as ws:
                await ws.send_bytes(sync_message(UPDATE, base))
                assert await answered(ws)
                await ws.send_bytes(sync_message(UPDATE, update))
                code, reason = await closed(ws)
                assert (code, bool(reason)) == (1007, True)
            await others.is_well()


# Who may come in


@pytest.mark.parametrize("session", ["", "another", "x" * 500, "é🎉" * 60])
async def test_another_session_is_told_to_load_anew(stack: Stack, session: str) -> None:
    for server, path in ((stack.linked, "linked.ipynb"), (stack.alone, "alone.ipynb")):
        room, _ = await session_of(server, path)
        async with jupyter_socket(server, room, session) as ws:
            code, reason = await closed(ws)
        assert code == 1003, reason
        told = json.loads(reason)
        assert told["reason"] == "unknown_session"
        assert told["reloadable"] is True


@pytest.mark.parametrize("headers", [{}, {"Authorization": "token wrong"}], ids=["no token", "wrong token"])
async def test_strangers_do_not_reach_a_room_of_jupyter(stack: Stack, headers: dict[str, str]) -> None:
    room, session = await session_of(stack.linked, "linked.ipynb")
    for name in (room, "JupyterLab:globalAwareness"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with jupyter_socket(stack.linked, name, session, headers):
                pass
        assert refused.value.status in (401, 403)


async def test_a_page_of_another_origin_does_not_get_in_with_the_browsers_cookie(stack: Stack) -> None:
    room, session = await session_of(stack.linked, "linked.ipynb")
    own = stack.linked.url.rstrip("/")
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        async with http.get(f"{own}/api/status", params={"token": stack.linked.token}) as answer:
            assert answer.status == 200
        for name in (room, "JupyterLab:globalAwareness"):
            url = f"{own}/api/collaboration/room/{quote(name)}"
            async with http.ws_connect(url, params={"sessionId": session}, origin=own):
                pass
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with http.ws_connect(url, params={"sessionId": session}, origin="https://evil.example"):
                    pass
            assert refused.value.status == 403


async def test_the_token_of_another_servers_user_opens_nothing(stack: Stack) -> None:
    room, session = await session_of(stack.linked, "linked.ipynb")
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with jupyter_socket(stack.linked, room, session, stack.marie.headers):
            pass
    assert refused.value.status in (401, 403)


@pytest.mark.parametrize("token", [None, "", "wrong", "x" * 4000, "a.b.c"])
async def test_strangers_do_not_reach_the_relay(stack: Stack, token: str | None) -> None:
    for path in (f"/y/{await stack.room('linked.ipynb')}", "/link"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with relay_socket(stack, path, token):
                pass
        assert refused.value.status == 401, path


async def test_a_file_one_may_not_read_cannot_be_joined_by_its_id(stack: Stack) -> None:
    room = await stack.room("private.ipynb")
    for server in (stack.marie, stack.linked):
        name = room if server is stack.marie else await stack.room("hers.ipynb", "marie")
        async with jupyter_socket(server, name, "any") as ws:
            code, reason = await closed(ws)
        assert code in (4403, 4404), reason
        assert "secret" not in reason
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with relay_socket(stack, f"/y/{room}", await stack.token("marie")):
            pass
    assert refused.value.status in (403, 404)


UNKNOWN_ROOMS = [
    "x",
    "json:notebook",
    "json:notebook:nonsense",
    "json:notebook:Zm9v",
    "a:b:c:d",
    "::",
    "json:sheet:Zm9v",
    "é:🎉:x",
]


@pytest.mark.parametrize("room", UNKNOWN_ROOMS)
async def test_an_unknown_room_is_refused_in_words(stack: Stack, room: str) -> None:
    for server in (stack.linked, stack.alone):
        async with jupyter_socket(server, room, "any") as ws:
            code, reason = await closed(ws)
        assert code in (4400, 4404), (code, reason)
        assert reason
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with relay_socket(stack, f"/y/{quote(room)}", await stack.token("einstein")):
            pass
    assert refused.value.status in (400, 404)


async def test_a_known_file_under_another_kind_is_refused(stack: Stack) -> None:
    file_id = (await stack.room("linked.ipynb")).rpartition(":")[2]
    for kind in ("text:notebook", "json:file", "json:directory"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with relay_socket(stack, f"/y/{kind}:{file_id}", await stack.token("einstein")):
                pass
        assert refused.value.status == 400
        async with jupyter_socket(stack.linked, f"{kind}:{file_id}", "any") as ws:
            assert (await closed(ws))[0] == 4400


@pytest.mark.parametrize(
    "path",
    [
        "../marie-id/hers.ipynb",
        "../../../../etc/passwd",
        "..%2f..%2fmarie-id%2fhers.ipynb",
        "%2e%2e/%2e%2e/users/marie-id/hers.ipynb",
        "x/../../marie-id/hers.ipynb",
        "%2fusers%2fmarie-id%2fhers.ipynb",
        "Shares/../../marie-id/hers.ipynb",
        "..%5cmarie-id%5chers.ipynb",
        "linked.ipynb%00.txt",
        "%ff%fe.ipynb",
        "a" * 5000,
    ],
)
async def test_no_path_leads_out_of_what_the_user_may_see(stack: Stack, path: str) -> None:
    for server in (stack.linked, stack.alone):
        parts = server.url.removeprefix("http://").partition("/")
        body = json.dumps({"format": "json", "type": "notebook"})
        # by hand: HTTP clients tidy paths up before they send them
        request = (
            f"PUT /{parts[2]}api/collaboration/session/{path} HTTP/1.1\r\nHost: {parts[0]}\r\nConnection: close\r\n"
            f"Authorization: token {server.token}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        )
        host, _, port = parts[0].partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request.encode())
        async with asyncio.timeout(ANSWER_S):
            answer = (await reader.read()).decode()
        writer.close()
        status = int(answer.split()[1])
        assert 400 <= status < 500, answer
        assert "sessionId" not in answer


# Who is who


async def until_seen(document: client.LiveDocument, true: Callable[[dict[int, Any]], bool]) -> None:
    """Waits until `true` of the awareness states."""
    news = asyncio.Event()
    heard = document.awareness.observe(lambda *_: news.set())
    try:
        async with asyncio.timeout(ANSWER_S):
            while not true(document.awareness.states):
                news.clear()
                await news.wait()
    finally:
        document.awareness.unobserve(heard)


async def test_nobody_speaks_under_anothers_name(stack: Stack) -> None:
    async with company(stack, "linked.ipynb") as others:
        einstein = others.one.ydoc.client_id
        await until_seen(others.two, lambda states: einstein in states)
        room, session = await session_of(stack.marie, "Shares/linked.ipynb")
        me = others.two.ydoc.client_id + 1
        claim = json.dumps({"user": {"name": "Albert Einstein", "username": "einstein", "color": "red"}}).encode()
        async with jupyter_socket(stack.marie, room, session) as ws:
            assert await answered(ws)
            forged = [AwarenessEntry(einstein, 2**40, b"null"), AwarenessEntry(me, 1, claim)]
            await ws.send_bytes(awareness_message(encode_awareness(forged)))
            await until_seen(others.two, lambda states: me in states)
            assert others.two.awareness.states[einstein]["user"]["name"] == "Albert Einstein"
            said = others.two.awareness.states[me]["user"]
            assert (said["name"], said["color"]) == ("Marie Curie", "red")
            assert "einstein" not in json.dumps(said)
        await until_seen(others.two, lambda states: me not in states)
        assert einstein in others.two.awareness.states
        await others.is_well()


async def test_what_is_written_under_anothers_client_id_is_known_for_the_writers(stack: Stack) -> None:
    async with (
        company(stack, "linked.ipynb") as others,
        client.open(stack.marie.url, "Shares/linked.ipynb", token=stack.marie.token) as hers,
    ):
        await others.is_well()
        assert "einstein" in others.one.status["savedBy"].lower()
        text = hers.shared.ycells[1]["source"]
        text += "\nmarie's"
        position = await hers.durable()
        await others.one.until_status(lambda s: s["savedPosition"] >= position)
        assert "marie" in others.one.status["savedBy"].lower()


# Links


@contextlib.asynccontextmanager
async def link(stack: Stack, user: str = "einstein") -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with relay_socket(stack, p.LINK_PATH, await stack.token(user), protocols=(p.SUBPROTOCOL,)) as ws:
        yield ws


async def ask(ws: aiohttp.ClientWebSocketResponse, *messages: p.Message) -> Any:
    """Sends and gives the first message of what comes back."""
    await ws.send_bytes(p.encode(list(messages)))
    async with asyncio.timeout(ANSWER_S):
        frame = await ws.receive()
        assert frame.type is aiohttp.WSMsgType.BINARY, frame
        return p.decode(frame.data)[0]


async def attach(stack: Stack, path: str, user: str, *, channel: int = 1, kind: str = "bearer", secret: str = "") -> p.Attach:
    room = RoomId.parse(await stack.room(path))
    credential = Credential(kind, secret or await stack.token(user))
    return p.attach_message(1, channel, Target(room.format, room.type, room.resource_id), credential)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xff" * 100,
        b"\x90",
        b"\x91\x90",
        b"\x91\x91\xcc\xc8",
        b"\xdf\xff\xff\xff\xff",
        b"\x91" * 100_000,
        p.encode([p.Ack(1, 1, 1)]),
        p.encode([p.Attached(1, "r", 9, "", "", "", "", "", "", "", "")]),
        p.encode([p.Detach(n) for n in range(70_000)]),
        bytes(UPDATE_BYTES + 2**20 + 1),
    ],
    ids=["empty", "noise", "no messages", "no tag", "unknown tag", "map", "nested", "ack", "attached", "too many", "too large"],
)
async def test_a_bad_frame_ends_its_own_link(stack: Stack, frame: bytes) -> None:
    async with company(stack, "linked.ipynb") as others:
        async with link(stack) as ws:
            with contextlib.suppress(ConnectionError):
                await ws.send_bytes(frame)
            if frame == b"\x90":
                assert isinstance(await ask(ws, await attach(stack, "linked.ipynb", "einstein")), p.Attached)
            else:
                assert (await closed(ws))[0] in (1002, 1006, 1007, 1009, None)
        await others.is_well()


async def test_a_link_gets_nothing_without_the_credential_for_it(stack: Stack) -> None:
    async with link(stack, "marie") as ws:
        refused = await ask(ws, await attach(stack, "private.ipynb", "marie"))
        assert isinstance(refused, p.Failed)
        assert refused.kind in ("not_found", "not_authorized")
        for kind, secret in (("bearer", "wrong"), ("ocm", "wrong"), ("password", "x"), ("bearer", "x" * 10_000)):
            refused = await ask(ws, await attach(stack, "private.ipynb", "marie", kind=kind, secret=secret))
            assert isinstance(refused, p.Failed), kind
            assert secret not in refused.message
        room = await stack.room("private.ipynb")
        assert isinstance(await ask(ws, p.Sync(2, room, "", b"\0")), p.Failed)
        assert isinstance(await ask(ws, p.Save(3, 1)), p.Failed)
        assert isinstance(await ask(ws, p.Renew(4, 1, "bearer", "", "x")), p.Failed)
        assert isinstance(await ask(ws, p.Push(1, 1, b"\0\0")), p.Refuse)
        assert isinstance(await ask(ws, await attach(stack, "linked.ipynb", "marie")), p.Attached)
        twice = await ask(ws, await attach(stack, "linked.ipynb", "marie"))
        assert isinstance(twice, p.Failed)
        assert "taken" in twice.message
        assert isinstance(await ask(ws, p.Sync(5, room, "", b"\0")), p.Failed), "one document does not open another"


async def test_noise_in_a_channel_is_refused_and_the_document_lives_on(stack: Stack) -> None:
    async with company(stack, "linked.ipynb") as others:
        async with link(stack, "marie") as ws:
            attached = await ask(ws, await attach(stack, "linked.ipynb", "marie"))
            assert isinstance(attached, p.Attached)
            refused = await ask(ws, p.Push(1, 1, b"\xde\xad\xbe\xef" * 9))
            assert isinstance(refused, p.Refuse)
            assert refused.kind == "update_rejected"
            assert isinstance(await ask(ws, p.Sync(2, attached.room, attached.lineage, b"\xff" * 40)), p.Failed)
            await ws.send_bytes(p.encode([p.Speak(1, b"\xff" * 40)]))
        await others.is_well()


async def test_nobody_printed_a_traceback(stack: Stack) -> None:
    """Last, over all that was tried above."""
    for printed in (stack.relay.tail(), *(server.tail(10**7) for server in (stack.linked, stack.alone, stack.marie))):
        ours = printed.replace(PANIC, "")
        assert "Traceback" not in ours, ours[max(0, ours.index("Traceback") - 500) :][:4000]
        assert await stack.token("einstein") not in printed
        assert "-secret" not in printed
