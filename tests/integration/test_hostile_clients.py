"""Clients that break the protocol or try what they may not, at real servers: they are sent away, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from support.hostile import (
    ANSWER_S,
    BAD_FRAMES,
    FIXTURES,
    IGNORED_FRAMES,
    PANIC,
    UPDATE_BYTES,
    Stack,
    answered,
    closed,
    company,
    jupyter_socket,
    relay_socket,
    session_of,
)

from cs3collab import client
from cs3collab.rooms.lib0 import AwarenessEntry, encode_awareness
from cs3collab.rooms.ysocket import UPDATE, awareness_message, sync_message

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]


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


async def test_nobody_printed_a_traceback(stack: Stack) -> None:
    """Last, over all that was tried above."""
    for printed in (stack.relay.tail(), *(server.tail(10**7) for server in (stack.linked, stack.alone, stack.marie))):
        ours = printed.replace(PANIC, "")
        assert "Traceback" not in ours, ours[max(0, ours.index("Traceback") - 500) :][:4000]
        assert await stack.token("einstein") not in printed
        assert "-secret" not in printed
