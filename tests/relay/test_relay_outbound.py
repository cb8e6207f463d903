"""The writing side of a websocket, on real sockets: order, joined frames, slow and dead readers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from cs3collab.relay import outbound as module
from cs3collab.relay import protocol as p
from cs3collab.relay.outbound import FRAME_BYTES, Outbound, link_outbound, plain_outbound

Scene = Callable[[web.WebSocketResponse, web.Request], Awaitable[None]]


@asynccontextmanager
async def serving(scene: Scene) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A websocket server that runs `scene` for its first client; the event is set when the scene is over."""
    over = asyncio.Event()

    async def handle(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        try:
            await scene(ws, request)
        finally:
            over.set()
        return ws

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/", over
    finally:
        await runner.cleanup()


@asynccontextmanager
async def client(url: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with aiohttp.ClientSession() as http, http.ws_connect(url, max_msg_size=2**30) as ws:
        yield ws


async def test_what_one_turn_of_the_loop_made_is_one_frame_in_order() -> None:
    async def scene(ws: web.WebSocketResponse, request: web.Request) -> None:
        outbound = link_outbound(ws, 2**20)
        for seq in range(100):
            outbound.send(p.Ack(1, seq, seq))
        await outbound.drain()
        outbound.close(1000, "done")
        await outbound.closed()

    async with serving(scene) as (url, _), client(url) as ws:
        messages = p.decode((await ws.receive()).data)
        assert [message.seq for message in messages if isinstance(message, p.Ack)] == list(range(100))
        assert (await ws.receive()).type is aiohttp.WSMsgType.CLOSE
        assert ws.close_code == 1000


async def test_frames_stay_below_what_a_peer_takes_at_once() -> None:
    """A whole outbox that is sent again must not make one frame that the relay refuses, again and again."""
    sizes = [300_000] * 8 + [3 * FRAME_BYTES, 10, 10]

    async def scene(ws: web.WebSocketResponse, request: web.Request) -> None:
        outbound = link_outbound(ws, 2**30)
        for seq, size in enumerate(sizes):
            outbound.send(p.Push(1, seq, bytes(size)))
        outbound.close(1000, "")
        await outbound.closed()

    async with serving(scene) as (url, _), client(url) as ws:
        frames = [p.decode(frame.data) async for frame in ws]
    got = [message for frame in frames for message in frame]
    assert [len(message.update) for message in got if isinstance(message, p.Push)] == sizes
    assert all(sum(len(m.update) for m in frame) <= FRAME_BYTES or len(frame) == 1 for frame in frames)  # type: ignore[union-attr]


@pytest.mark.parametrize("how", ["too much is queued", "it is closed"])
async def test_a_reader_that_does_not_read_is_cut_and_its_connection_ended(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOSE_S", 0.2)
    told: list[Outbound[bytes]] = []

    async def scene(ws: web.WebSocketResponse, request: web.Request) -> None:
        transport = request.transport
        assert transport is not None
        outbound = plain_outbound(ws, 8 * 2**20, transport.abort)
        told.append(outbound)
        for _ in range(200):
            outbound.send(bytes(100_000))
            if how == "it is closed" and outbound.queued_bytes > 6 * 2**20:
                break
            await asyncio.sleep(0)
        if how == "it is closed":
            outbound.stop()
        await outbound.closed()
        while not transport.is_closing():  # noqa: ASYNC110 - a transport tells nobody that it was aborted
            await asyncio.sleep(0.01)

    async with serving(scene) as (url, over):
        host, port = url.removeprefix("http://").rstrip("/").split(":")
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.setblocking(False)
            await asyncio.get_running_loop().sock_connect(deaf, (host, int(port)))
            await asyncio.get_running_loop().sock_sendall(
                deaf,
                b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
            )
            async with asyncio.timeout(20):
                await over.wait()
        outbound = told[0]
        outbound.send(b"more")
        assert outbound.queued_bytes <= 9 * 2**20


async def test_one_message_may_be_larger_than_the_bound() -> None:
    async def scene(ws: web.WebSocketResponse, request: web.Request) -> None:
        outbound = plain_outbound(ws, 1000)
        outbound.send(bytes(100_000))
        outbound.close(1000, "")
        await outbound.closed()

    async with serving(scene) as (url, _), client(url) as ws:
        assert len((await ws.receive()).data) == 100_000


async def test_the_reason_of_a_cut_reaches_the_peer() -> None:
    async def scene(ws: web.WebSocketResponse, request: web.Request) -> None:
        outbound = plain_outbound(ws, 1000)
        outbound.send(b"x")
        await asyncio.sleep(0)
        outbound.cut(4403, "ä" * 100)
        outbound.stop()
        await outbound.closed()

    async with serving(scene) as (url, _), client(url) as ws:
        while (frame := await ws.receive()).type is aiohttp.WSMsgType.BINARY:
            pass
        assert ws.close_code == 4403
        assert frame.extra.startswith("ä" * 50)


async def test_a_peer_that_went_away_ends_the_writing_quietly() -> None:
    async def scene(ws: web.WebSocketResponse, request: web.Request) -> None:
        outbound = plain_outbound(ws, 2**30)
        assert request.transport is not None
        request.transport.abort()
        outbound.send(b"x")
        await outbound.closed()
        outbound.send(b"y")
        await outbound.drain()

    async with serving(scene) as (url, over):
        with contextlib.suppress(aiohttp.ClientError):
            async with client(url) as ws:
                await ws.receive()
        async with asyncio.timeout(10):
            await over.wait()
