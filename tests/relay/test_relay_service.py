"""The relay's HTTP side: plain Yjs clients, health, metrics, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import aiohttp
import pycrdt
import pytest
from jupyter_ydoc import YNotebook
from support import links
from support.links import Person, Proxy, node, relay
from support.notebooks import source_of
from support.relay_world import World

from cs3collab import telemetry
from cs3collab.relay.channel import authorization
from cs3collab.rooms.lib0 import Reader
from cs3collab.rooms.ysocket import RAW, STEP1, STEP2, SYNC, UPDATE, raw_request, sync_message
from cs3collab.types import Credential


async def get(world: World, path: str, **headers: str) -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as http, http.get(world.url + path, headers=headers) as answer:
        return answer.status, await answer.text(), answer.headers["Content-Type"]


class Plain:
    """A Yjs client without anything of Jupyter's."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.doc: pycrdt.Doc[Any] = pycrdt.Doc()
        self.notebook = YNotebook(self.doc)

    async def until(self, true: Any) -> None:
        async with asyncio.timeout(30):
            while not true():
                frame = await self.ws.receive()
                assert frame.type is aiohttp.WSMsgType.BINARY, (self.ws.close_code, frame.extra)
                assert frame.data[0] != RAW
                if frame.data[:2] in (bytes((SYNC, STEP2)), bytes((SYNC, UPDATE))):
                    self.doc.apply_update(Reader(frame.data[2:]).var_bytes())

    async def write(self, text: str) -> None:
        before = self.doc.get_state()
        source = self.notebook.ycells[0]["source"]
        source += text
        await self.ws.send_bytes(sync_message(UPDATE, self.doc.get_update(before)))


def plain(world: World, http: aiohttp.ClientSession, credential: Credential, room: str = "") -> Any:
    return http.ws_connect(f"{world.url}/y/{room or world.room}", headers={"Authorization": authorization(credential)})


async def test_any_yjs_client_can_join_with_a_token(world: World) -> None:
    async with (
        aiohttp.ClientSession() as http,
        plain(world, http, await world.credential("einstein")) as one,
        plain(world, http, await world.credential("marie")) as two,
    ):
        clients = Plain(one), Plain(two)
        for client in clients:
            await client.ws.send_bytes(sync_message(STEP1, b"\0"))
            await client.until(lambda client=client: len(client.notebook.ycells) == 2)
        await clients[0].write("hello")
        await clients[1].until(lambda: source_of(clients[1].notebook, 0) == "hello")


async def test_a_plain_viewer_cannot_write_either(world: World) -> None:
    async with (
        aiohttp.ClientSession() as http,
        plain(world, http, await world.credential("richard")) as viewing,
        plain(world, http, await world.credential("einstein")) as owning,
    ):
        viewer, owner = Plain(viewing), Plain(owning)
        for client in (viewer, owner):
            await client.ws.send_bytes(sync_message(STEP1, b"\0"))
            await client.until(lambda client=client: len(client.notebook.ycells) == 2)
        await viewer.write("smuggled")
        await viewer.ws.send_bytes(sync_message(STEP2, viewer.doc.get_update()))
        await viewer.ws.send_bytes(raw_request("save", 1))
        await owner.write("mine")
        fresh = pycrdt.Doc()
        await viewer.ws.send_bytes(sync_message(STEP1, fresh.get_state()))
        await viewer.until(lambda: "mine" in source_of(viewer.notebook, 0))
        async with plain(world, http, await world.credential("einstein")) as late:
            newcomer = Plain(late)
            await late.send_bytes(sync_message(STEP1, b"\0"))
            await newcomer.until(lambda: len(newcomer.notebook.ycells) == 2)
            assert source_of(newcomer.notebook, 0) == "mine"


@pytest.mark.parametrize(
    "message", [b"\0", b"\0\0\xff\xff", b"\1\xff", sync_message(UPDATE, b"\1\2\3\xff"), sync_message(STEP1, b"\xff" * 9)]
)
async def test_a_plain_client_that_talks_nonsense_is_told_and_cut(world: World, message: bytes) -> None:
    """After the upgrade only a closing frame can say it: anything else would be rubbish in the stream."""
    async with aiohttp.ClientSession() as http, plain(world, http, await world.credential("einstein")) as ws:
        await ws.send_bytes(message)
        async with asyncio.timeout(20):
            while (await ws.receive()).type is aiohttp.WSMsgType.BINARY:
                pass
        assert ws.close_code == 1007
    assert (await get(world, "/healthz"))[0] == 200


@pytest.mark.parametrize(
    ("room", "user", "status"),
    [
        ("nonsense", "einstein", 400),
        ("json:notebook:x", "einstein", 400),
        ("", "", 401),
        ("json:notebook:eCR5IXo", "einstein", 404),
    ],
)
async def test_who_may_not_join_gets_an_answer_before_the_upgrade(world: World, room: str, user: str, status: int) -> None:
    credential = await world.credential(user) if user else Credential("bearer", "none")
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await plain(world, http, credential, room)
    assert refused.value.status == status
    code, text, _ = await get(world, f"/y/{room or world.room}", Authorization=authorization(credential))
    assert code == status
    assert set(json.loads(text)) == {"error", "message", "hint"}


async def test_health_is_said(world: World) -> None:
    assert (await get(world, "/healthz"))[0] == 200
    assert (await get(world, "/readyz"))[0] == 200
    await world.site.gateway.stop()
    status, text, _ = await get(world, "/readyz")
    assert (status, json.loads(text)["error"]) == (503, "storage_unavailable")
    assert (await get(world, "/healthz"))[0] == 200


def value(exposition: str, name: str) -> float:
    return sum(float(line.rpartition(" ")[2]) for line in exposition.splitlines() if line.startswith((f"{name} ", f"{name}{{")))


async def test_every_metric_is_set_by_what_happens(world: World) -> None:
    """Each metric of `telemetry.METRICS` moves on /metrics of this relay."""
    _, before, kind = await get(world, "/metrics")
    assert kind.startswith("text/plain")
    token = await links.token(world.site, "einstein")
    async with (
        Proxy(world.url) as proxy,
        relay(world.site, world.folder / "other") as elsewhere,
        node(world.folder / "node", proxy.url, lambda: token) as server,
        Person(server, world.target) as person,
    ):
        person.write("a")
        await person.ask("durable")
        during = (await get(world, "/metrics"))[1]
        for name in ("cs3collab_rooms", "cs3collab_seats", "cs3collab_links", "cs3collab_saved_age_seconds"):
            assert value(during, name) > 0, name
        for name in ("cs3collab_updates_total", "cs3collab_append_seconds_count"):
            assert value(during, name) > value(before, name), name
        assert 'outcome="accepted"' in during
        await person.ask("save")
        async with aiohttp.ClientSession() as http, plain(world, http, await world.credential("einstein")) as ws:
            await ws.send_bytes(sync_message(UPDATE, b"\1\2\3\xff"))
            while (await ws.receive()).type is aiohttp.WSMsgType.BINARY:
                pass
        await get(world, "/link")
        proxy.closed = True
        proxy.cut()
        await person.until(lambda: person.status["online"] is False)
        person.write("waits here")
        await person.until(lambda: person.status["pending"] == 1)
        server.registry.measure()
        assert value(telemetry.exposition().decode(), "cs3collab_unacked_bytes") > 0
        after = (await get(world, "/metrics"))[1]
        for name in ("cs3collab_saves_total", "cs3collab_quarantined_total", "cs3collab_rejected_total"):
            assert value(after, name) > value(before, name), name
        assert value(after, "cs3collab_saved_age_seconds") == 0
        assert "cs3collab_worker_restarts_total" in after
        assert elsewhere
        proxy.closed = False
        await person.until(lambda: person.status["pending"] == 0)
    names = {metric._name for metric in telemetry.METRICS}
    assert all(f"# TYPE {name}" in after for name in names)


async def test_the_end_of_a_relay_saves_and_says_goodbye(world: World) -> None:
    async with aiohttp.ClientSession() as http, contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(relay(world.site, world.folder / "short"))
        headers = {"Authorization": authorization(await world.credential("einstein"))}
        ws = await http.ws_connect(f"{url}/y/{world.room}", headers=headers)
        client = Plain(ws)
        await ws.send_bytes(sync_message(STEP1, b"\0"))
        await client.until(lambda: len(client.notebook.ycells) == 2)
        await client.write("last words")
        await client.ws.send_bytes(sync_message(STEP1, b"\0"))
        frame = await ws.receive()
        assert frame.type is aiohttp.WSMsgType.BINARY
        ending = asyncio.ensure_future(closing(ws))
        await stack.aclose()
        assert await ending == 1012
    assert b"last words" in await world.site.read("einstein", "n.ipynb")


async def closing(ws: aiohttp.ClientWebSocketResponse) -> int | None:
    while (await ws.receive()).type is aiohttp.WSMsgType.BINARY:
        pass
    return ws.close_code


async def test_a_document_that_two_relays_open_is_not_opened_twice(world: World) -> None:
    """The second relay of a site edits on its own store: the lock keeps it from the file, and people are told."""
    token = await links.token(world.site, "einstein")
    async with (
        relay(world.site, world.folder / "second") as second,
        node(world.folder / "one", world.url, lambda: token) as a,
        node(world.folder / "two", second, lambda: token) as b,
        Person(a, world.target) as one,
        Person(b, world.target) as two,
    ):
        one.write("first")
        assert (await one.ask("save"))["status"] == "success"
        two.write("second")
        answer = await two.ask("save")
        assert answer["status"] == "failed"
        assert "is being edited by Albert Einstein" in answer["message"]
        assert b"first" in await world.site.read("einstein", "n.ipynb")
