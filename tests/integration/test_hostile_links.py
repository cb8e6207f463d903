"""Peers that break the link protocol, or ask for what they may not have."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from support.hostile import (
    ANSWER_S,
    PANIC,
    UPDATE_BYTES,
    Stack,
    closed,
    company,
    relay_socket,
)

from cs3collab.relay import protocol as p
from cs3collab.types import Credential, RoomId, Target

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]


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
