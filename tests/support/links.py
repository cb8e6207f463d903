"""Relays in this process, the network between them, and peers that speak to them: raw frames, or people who type."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
import pycrdt
from jupyter_ydoc import YNotebook
from support.sites import Site

from cs3collab.errors import CollabError
from cs3collab.limits import DEFAULT
from cs3collab.relay import protocol as p
from cs3collab.relay.channel import authorization
from cs3collab.relay.config import GatewayConfig, RelayConfig, ServeConfig, StoreConfig
from cs3collab.relay.node import Node, open_node
from cs3collab.relay.service import open_relay
from cs3collab.rooms.lib0 import Reader
from cs3collab.rooms.registry import Admission, Credentials, Forward
from cs3collab.rooms.ysocket import (
    AWARENESS,
    RAW,
    STEP1,
    STEP2,
    SYNC,
    UPDATE,
    YSocket,
    awareness_message,
    body_of,
    raw_request,
    sync_message,
)
from cs3collab.types import Credential, RoomId, SiteId, Target

WAIT_S = 45.0
LIMITS = {"idle_save_s": 0.1, "busy_save_s": 0.5, "recheck_s": 1000.0, "anti_entropy_s": 1000.0, "room_linger_s": 1000.0}
LIMITS |= {"versioned_save_s": 0.5, "attach_timeout_s": 50.0, "request_timeout_s": 50.0}  # a busy machine is not what is tested
"""What is periodic does not help a test."""
M = TypeVar("M")


@asynccontextmanager
async def relay(site: Site, folder: Path, *, relays: Mapping[str, str] | None = None, **limits: float) -> AsyncIterator[str]:
    """A relay of `site` in this process; its URL."""
    config = RelayConfig(
        site=site.name,
        gateway=GatewayConfig(site.address),
        store=StoreConfig(str(folder / "store")),
        serve=ServeConfig(port=0),
        relays=dict(relays or {}),
        limits={**LIMITS, **limits},
    )
    async with open_relay(config) as url:
        yield url


@asynccontextmanager
async def node(folder: Path, url: str, credentials: Callable[[], str], **limits: float) -> AsyncIterator[Node]:
    """What a Jupyter server has: rooms that follow the relay at `url`. ``credentials`` gives the token of now."""

    async def credential() -> Credential:
        return Credential("bearer", credentials())

    async def admit(target: Target, given: Credentials) -> Admission | Forward:
        return Forward(url, target, credential)

    bounds = replace(DEFAULT, **{**LIMITS, **limits})
    async with open_node(site=SiteId("here.example"), directory=folder, admit=admit, limits=bounds) as opened:
        yield opened


async def token(site: Site, user: str) -> str:
    return await (await site.session(user)).tokens.token()


async def target(site: Site, user: str, path: str) -> Target:
    info = await (await site.files(user)).stat(await site.ref(user, path))
    return Target("json", "notebook", info.id)


class Proxy:
    """A TCP hop that can be cut, made to swallow everything, or be closed for a while."""

    def __init__(self, url: str) -> None:
        self.lead_to(url)
        self._pipes: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self.url = ""
        self.connections = 0
        self.closed = False

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def lead_to(self, url: str) -> None:
        """Where new connections go."""
        parts = urlsplit(url)
        self._to = (parts.hostname, parts.port)

    def cut(self) -> None:
        """Every connection ends at once."""
        for writer in self._pipes:
            writer.transport.abort()
        self._pipes.clear()

    def freeze(self) -> None:
        """Connections stay, and nothing goes through."""
        self._flowing.clear()

    def thaw(self) -> None:
        self._flowing.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.closed:
            writer.transport.abort()
            return
        try:
            there_reader, there = await asyncio.open_connection(*self._to)
        except OSError:
            writer.transport.abort()
            return
        self._pipes |= {writer, there}
        for source, sink in ((reader, there), (there_reader, writer)):
            task = asyncio.create_task(self._pump(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                await self._flowing.wait()
                sink.write(data)
                await sink.drain()
        sink.transport.abort()


class Peer:
    """Speaks the link protocol frame by frame, as no well-behaved server would."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.seen: list[p.Message] = []
        self._requests = count(1)

    async def send(self, *messages: p.Message) -> None:
        await self.ws.send_bytes(p.encode(list(messages)))

    async def expect(self, kind: type[M], true: Callable[[M], bool] = lambda message: True) -> M:
        """The next message of that kind; what came before it stays in `seen`."""
        async with asyncio.timeout(WAIT_S):
            while True:
                for index, message in enumerate(self.seen):
                    if isinstance(message, kind) and true(message):
                        del self.seen[index]
                        return message
                frame = await self.ws.receive()
                if frame.type is not aiohttp.WSMsgType.BINARY:
                    raise ConnectionError(f"the relay closed the link: {self.ws.close_code} {frame.extra}")
                self.seen += p.decode(frame.data)

    async def ask(self, build: Callable[[int], p.Message]) -> Any:
        """The answer to a request, `Failed` or not."""
        number = next(self._requests)
        await self.send(build(number))
        return await self.expect(p.Answer, lambda message: message.request == number)  # type: ignore[arg-type]

    async def attach(self, channel: int, where: Target, credential: Credential) -> Any:
        return await self.ask(lambda number: p.attach_message(number, channel, where, credential))

    async def sync(self, room: str, lineage: str = "", state_vector: bytes = b"") -> Any:
        return await self.ask(lambda number: p.Sync(number, room, lineage, state_vector))

    async def closed(self) -> int:
        """The code with which the relay closes the link."""
        async with asyncio.timeout(WAIT_S):
            while (frame := await self.ws.receive()).type is aiohttp.WSMsgType.BINARY:
                self.seen += p.decode(frame.data)
        assert self.ws.close_code is not None
        return self.ws.close_code


@asynccontextmanager
async def peer(url: str, credential: Credential, protocol: str = p.SUBPROTOCOL) -> AsyncIterator[Peer]:
    headers = {"Authorization": authorization(credential)}
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(url + p.LINK_PATH, protocols=[protocol], headers=headers, max_msg_size=2**28) as ws,
    ):
        yield Peer(ws)


@dataclass(eq=False)
class Person:
    """A browser's worth of a document, on a `YSocket` of a node in this process; comes back when it is sent away."""

    node: Node
    where: Target
    raw: bool = True
    doc: pycrdt.Doc[Any] = field(default_factory=pycrdt.Doc)
    status: dict[str, Any] = field(default_factory=dict)
    closes: list[tuple[int, str]] = field(default_factory=list)
    awareness: dict[int, bytes] = field(default_factory=dict)
    socket: YSocket | None = None
    comes_back: bool = True
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.notebook = YNotebook(self.doc)
        self._answers: dict[int, dict[str, Any]] = {}
        self._numbers = count(1)
        self._quiet = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self.doc.observe(self._changed)

    async def __aenter__(self) -> Person:
        await self.join()
        await self.until(lambda: len(self.notebook.ycells) > 0)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.leave()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def join(self) -> None:
        async def none() -> Credential:
            return Credential("bearer", "the node has its own")

        socket = YSocket(raw=self.raw)
        room, seat = await self.node.registry.join(self.where, none, lambda room: socket)
        socket.sit(room, seat)
        self.socket = socket
        await socket.start(lambda message: self._take(socket, message), lambda code, why: self._sent_away(socket, code, why))
        socket.receive(sync_message(STEP1, self.doc.get_state()))

    async def leave(self) -> None:
        socket, self.socket = self.socket, None
        if socket is not None:
            await socket.stop()

    def write(self, text: str, cell: int = 0) -> None:
        source = self.notebook.ycells[cell]["source"]
        source += text

    def text(self, cell: int = 0) -> str:
        return str(self.notebook.ycells[cell]["source"]) if len(self.notebook.ycells) > cell else ""

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not true():
                self.news.clear()
                await self.news.wait()

    async def ask(self, what: str) -> dict[str, Any]:
        """The answer to ``save`` or ``durable``."""
        number = next(self._numbers)
        assert self.socket is not None
        self.socket.receive(raw_request(what, number))
        await self.until(lambda: number in self._answers)
        return self._answers[number]

    def say(self, client: int, clock: int, state: bytes) -> None:
        from cs3collab.rooms.lib0 import AwarenessEntry, encode_awareness

        assert self.socket is not None
        self.socket.receive(awareness_message(encode_awareness([AwarenessEntry(client, clock, state)])))

    def _changed(self, event: pycrdt.TransactionEvent) -> None:
        if not self._quiet and self.socket is not None:
            self.socket.receive(sync_message(UPDATE, event.update))

    def _take(self, socket: YSocket, message: bytes) -> None:
        if socket is not self.socket:
            return
        if message[0] == SYNC:
            kind, payload = message[1], Reader(message[2:]).var_bytes()
            if kind == STEP1:
                socket.receive(sync_message(STEP2, self.doc.get_update(payload)))
            else:
                self._quiet = True
                try:
                    self.doc.apply_update(payload)
                finally:
                    self._quiet = False
        elif message[0] == AWARENESS:
            from cs3collab.rooms.lib0 import decode_awareness

            self.awareness |= {entry.client: entry.state for entry in decode_awareness(body_of(message))}
        elif message[0] == RAW:
            self._take_json(Reader(message[1:]).var_bytes())
        self.news.set()

    def _take_json(self, body: bytes) -> None:
        import msgspec

        value = msgspec.json.decode(body)
        if value["type"] == "cs3collab":
            self.status = value
        else:
            self._answers[value["responseTo"]] = value

    def _sent_away(self, socket: YSocket, code: int, why: str) -> None:
        self.closes.append((code, why))
        self.news.set()
        if socket is self.socket:
            self.socket = None
            self._start(socket.stop())
            if self.comes_back:
                self._start(self._come_back())

    async def _come_back(self) -> None:
        while self.comes_back and self.socket is None:
            await asyncio.sleep(0.05)
            with contextlib.suppress(CollabError):
                await self.join()

    def _start(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def room_of(where: Target) -> RoomId:
    assert where.resource_id is not None
    return RoomId(where.format, where.type, where.resource_id.file_id)
