"""Join a live document from Python: scripts, agents and tests are co-authors like everybody else.

    async with cs3collab.client.open("http://localhost:8888", "analysis.ipynb", token="...") as doc:
        doc.shared.append_cell({"cell_type": "code", "source": "1 + 1"})
        await doc.durable()

The way in is that of JupyterLab's own frontend, through the user's Jupyter server. The synchronisation is `pycrdt.Provider`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any
from urllib.parse import quote

import aiohttp
from jupyter_ydoc import ydocs
from jupyter_ydoc.ybasedoc import YBaseDoc
from pycrdt import Awareness, Channel, Doc, Provider, TransactionEvent, create_awareness_message

from cs3collab.client_history import HistoryClient
from cs3collab.errors import (
    CollabError,
    DeadlineExceeded,
    InvalidInput,
    LineageDiverged,
    NotAuthenticated,
    NotAuthorized,
    NotFound,
    PeerUnavailable,
)
from cs3collab.rooms.lib0 import Reader
from cs3collab.rooms.ysocket import AWARENESS, RAW, SYNC, UPDATE, body_of, raw_request
from cs3collab.types import Version

log = logging.getLogger(__name__)
REFUSALS: dict[int, type[CollabError]] = {
    400: InvalidInput,
    401: NotAuthenticated,
    403: NotAuthorized,
    404: NotFound,
    4400: InvalidInput,
    4401: NotAuthenticated,
    4403: NotAuthorized,
    4404: NotFound,
    1003: LineageDiverged,
}
"""HTTP status and websocket close codes after which there is no use in trying again."""
FIRST_RETRY_S, LAST_RETRY_S = 0.1, 5.0


@asynccontextmanager
async def open(
    url: str, path: str, *, token: str = "", type: str = "", name: str = "", timeout_s: float = 60.0
) -> AsyncIterator[LiveDocument]:
    """Joins the document at `path` of the Jupyter server at `url`; leaves it when all that was written is durable.

    ``type`` is ``notebook`` or ``file``; by default the path's ending says. ``name`` is shown where the server cannot tell who
    this is. The connection is kept up; what is written while it is down goes out when it is back. Raises `NotAuthenticated`,
    `NotAuthorized`, `NotFound`, `InvalidInput`, `PeerUnavailable`, and `DeadlineExceeded` after `timeout_s`.
    """
    kind = type or ("notebook" if path.endswith(".ipynb") else "file")
    headers = {"Authorization": f"token {token}"} if token else {}
    async with aiohttp.ClientSession(headers=headers) as http:
        document = LiveDocument(http, url.rstrip("/"), path, kind, name, timeout_s)
        await document._join()
        try:
            yield document
            await document.durable()
        finally:
            await document._leave()


class LiveDocument:
    """``shared`` is a `jupyter_ydoc.YNotebook` (or `YUnicode`), live both ways; ``status`` is what the server last said."""

    def __init__(self, http: aiohttp.ClientSession, url: str, path: str, kind: str, name: str, timeout_s: float) -> None:
        self._http = http
        self._url = url
        self._path = path
        self._kind = kind
        self._timeout_s = timeout_s
        self._history = HistoryClient(http, url, path, kind, timeout_s)
        self._news = asyncio.Event()
        self.ydoc = _CountingDoc()
        self.ydoc.observe(lambda event: self._news.set())
        self.shared: YBaseDoc = ydocs[kind](self.ydoc)
        self.awareness = Awareness(self.ydoc)
        self.awareness.set_local_state_field("user", {"name": name or "cs3collab client"})
        self.status: dict[str, Any] = {}
        self._session: dict[str, str] = {}
        self._channel: _SocketChannel | None = None
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._numbers = count(1)
        self._synced = asyncio.Event()
        self._synced_once = False
        self._ended: CollabError | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def room(self) -> str:
        return "{format}:{type}:{fileId}".format(**self._session)

    @property
    def connected(self) -> bool:
        return self._channel is not None and not self._channel.closed.is_set() and self._synced.is_set()

    async def durable(self) -> int:
        """Waits until everything written here is durable at the home site; returns the position. Raises `DeadlineExceeded`."""
        answer = await self._ask("durable")
        return int(answer["position"])

    async def save(self) -> dict[str, Any]:
        """Has the file written, as Ctrl+S does: ``status`` is ``success`` or ``failed``, ``message`` says why."""
        return await self._ask("save")

    async def versions(self) -> list[Version]:
        """What the document said before, oldest first."""
        return list((await self._history.versions()).versions)

    async def at(self, position: int) -> bytes:
        """The file as it would have been after the edit at `position`. Raises `NotFound` for what is not kept."""
        return await self._history.at(position)

    async def restore(self, position: int) -> int:
        """Makes the document say what it said then, for everybody, as a new edit of this user; the position of that.

        Returns when the edit is durable and here. Raises `NotAuthorized` for viewers, `NotFound` for what is not kept.
        """
        restored = await self._history.restore(position)
        await self.until_status(lambda status: status["position"] >= restored.position)
        return restored.position

    async def name_version(self, name: str, position: int | None = None) -> Version:
        """Names what was said at `position`, or what is said now; this keeps it. An empty name takes the name away."""
        return await self._history.name_version(name, await self.durable() if position is None else position)

    async def until(self, true: Callable[[YBaseDoc], bool]) -> None:
        """Waits until `true` of the shared document. Raises `DeadlineExceeded`."""
        await self._until(lambda: true(self.shared), "the document does not become what was waited for")

    async def until_status(self, true: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Waits until `true` of the status, which it returns. Raises `DeadlineExceeded`."""
        await self._until(lambda: bool(self.status) and true(self.status), "the status does not become what was waited for")
        return self.status

    async def _until(self, true: Callable[[], bool], otherwise: str) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                while not true():
                    if self._ended is not None:
                        raise self._ended
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError as error:
            raise DeadlineExceeded(f"{otherwise} within {self._timeout_s:g} s", hint=str(self.status)) from error

    async def _ask(self, what: str) -> dict[str, Any]:
        """Asks again on each new connection: the question may have been lost with the old one."""
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    await self._until(lambda: self.connected, "no connection")
                    with contextlib.suppress(ConnectionError):
                        return await self._ask_once(what)
        except TimeoutError as error:
            raise DeadlineExceeded(f"no answer to {what!r} within {self._timeout_s:g} s", hint=str(self.status)) from error

    async def _ask_once(self, what: str) -> dict[str, Any]:
        number, channel = next(self._numbers), self._channel
        if channel is None:
            raise ConnectionError
        # What was written before goes first; the provider sends it in its own time.
        await channel.sent_all(self.ydoc)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            await channel.send(raw_request(what, number))
            result: dict[str, Any] = await answer
            return result
        finally:
            del self._answers[number]

    async def _join(self) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                self._session = await self._ask_for_room()
        except TimeoutError as error:
            raise DeadlineExceeded(f"{self._url} did not answer within {self._timeout_s:g} s") from error
        self._task = asyncio.create_task(self._stay_connected())
        await self._until(lambda: self.connected, "the document could not be loaded")

    async def _ask_for_room(self) -> dict[str, str]:
        body = {"format": "json" if self._kind == "notebook" else "text", "type": self._kind}
        url = f"{self._url}/api/collaboration/session/{quote(self._path)}"
        try:
            async with self._http.put(url, json=body) as response:
                if response.status < 300:
                    session: dict[str, str] = await response.json()
                    return session
                text = await response.text()
        except (aiohttp.ClientError, OSError) as error:
            raise PeerUnavailable(f"no Jupyter server answers at {self._url}", hint="is the address right?") from error
        raise REFUSALS.get(response.status, PeerUnavailable)(_message_of(text) or f"the server answered {response.status}")

    async def _stay_connected(self) -> None:
        delay = FIRST_RETRY_S
        while self._ended is None:
            try:
                if await self._connection():
                    delay = FIRST_RETRY_S
            except (aiohttp.ClientError, OSError, ConnectionError) as error:
                log.info("%s cannot be reached: %s", self._url, error)
            self._disconnected()
            await asyncio.sleep(delay)
            delay = min(delay * 2, LAST_RETRY_S)

    async def _connection(self) -> bool:
        """One websocket from open to close; says whether it got as far as a synchronised document."""
        url = f"{self._url}/api/collaboration/room/{self.room}"
        query = {"sessionId": self._session["sessionId"]}
        async with self._http.ws_connect(url, params=query, max_msg_size=0, heartbeat=20, compress=0) as ws:
            channel = self._channel = _SocketChannel(ws, self.room, self._take)
            provider = Provider(self.ydoc, channel)
            running = asyncio.create_task(provider.start())
            watching = asyncio.create_task(self._watch(provider, channel))
            try:
                await channel.closed.wait()
            finally:
                for task in (watching, running):
                    task.cancel()
                await asyncio.gather(watching, running, return_exceptions=True)
            if ws.close_code in REFUSALS:
                self._ended = await self._refusal(REFUSALS[ws.close_code])
            return self._synced.is_set()

    async def _refusal(self, kind: type[CollabError]) -> CollabError:
        """Another history cannot take our updates, so it gets our content."""
        if kind is not LineageDiverged or not self._synced_once:
            return kind(str(self.status.get("problem") or "the server closed the document"))
        said = "the document was started anew"
        try:
            merged = await self._history.merge(_file_of(self.shared, self._kind))
        except CollabError as error:
            return kind(f"{said}, and what was written here could not be brought in: {error.message}", hint="copy it elsewhere")
        conflicts = f"{merged.conflicts} changes conflict and are kept as {merged.copy}; " if merged.conflicts else ""
        return kind(f"{said}; what was written here was brought in", hint=f"{conflicts}open it again")

    async def _watch(self, provider: Provider, channel: _SocketChannel) -> None:
        await provider.synced.wait()
        me = self.awareness.encode_awareness_update([self.ydoc.client_id])
        await channel.send(create_awareness_message(me))
        self._synced.set()
        self._synced_once = True
        self._news.set()

    def _take(self, message: bytes) -> None:
        """What the provider does not speak: presence, and the server's JSON."""
        try:
            if message[0] == AWARENESS:
                self.awareness.apply_awareness_update(body_of(message), "remote")
                self._news.set()
            elif message[0] == RAW:
                self._take_json(json.loads(Reader(message[1:]).var_bytes()))
        except (CollabError, ValueError) as error:
            log.warning("an unreadable message of %s: %s", self._url, error)

    def _take_json(self, value: dict[str, Any]) -> None:
        if value.get("type") == "cs3collab":
            self.status = value
            self._news.set()
        elif (answer := self._answers.get(value.get("responseTo", 0))) is not None and not answer.done():
            answer.set_result(value)

    def _disconnected(self) -> None:
        self._channel = None
        self._synced.clear()
        self.status = {**self.status, "online": False}
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ConnectionError("the connection was lost before the answer came"))
        self._news.set()

    async def _leave(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


class _CountingDoc(Doc[Any]):
    """Counts what its `Provider` has to send, so that one can wait until it has sent it."""

    def __init__(self) -> None:
        super().__init__()
        self.made = 0
        self.observe(self._count)

    def events(self, *args: Any, **kwargs: Any) -> Any:
        """A provider's subscription begins here, and with it the count."""
        self.made = 0
        return super().events(*args, **kwargs)

    def _count(self, event: TransactionEvent) -> None:
        self.made += 1


class _SocketChannel(Channel):
    """`pycrdt.Channel` over an aiohttp websocket, with a side door for what is not Y synchronisation."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse, path: str, aside: Callable[[bytes], None]) -> None:
        self._ws = ws
        self._path = path
        self._aside = aside
        self._progress = asyncio.Event()
        self.updates_sent = 0
        self.closed = asyncio.Event()

    @property
    def path(self) -> str:
        return self._path

    async def send(self, message: bytes) -> None:
        try:
            await self._ws.send_bytes(message)
        except (ConnectionError, RuntimeError):
            self.closed.set()
            return
        if message[:2] == bytes((SYNC, UPDATE)):
            self.updates_sent += 1
            self._progress.set()

    async def recv(self) -> bytes:
        """The next Y synchronisation message. Raises `ConnectionError` at the end."""
        while True:
            frame = await self._ws.receive()
            if frame.type is not aiohttp.WSMsgType.BINARY:
                self.closed.set()
                raise ConnectionError("the websocket was closed")
            if frame.data[:1] == bytes((SYNC,)):
                return bytes(frame.data)
            self._aside(frame.data)

    async def __anext__(self) -> bytes:
        try:
            return await self.recv()
        except ConnectionError as error:
            raise StopAsyncIteration from error

    async def sent_all(self, doc: _CountingDoc) -> None:
        """Waits until the provider has sent what the document holds. Raises `ConnectionError`."""
        while self.updates_sent < doc.made:
            if self.closed.is_set():
                raise ConnectionError("the websocket was closed")
            self._progress.clear()
            await self._progress.wait()


def _file_of(shared: YBaseDoc, kind: str) -> bytes:
    source = shared.source
    return (json.dumps(source) if kind == "notebook" else str(source)).encode()


def _message_of(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return ""
