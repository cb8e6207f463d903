"""A browser reduced to its websocket: speaks y-websocket to a Jupyter server, applies nothing, notes when what arrives."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import quote

import aiohttp
from pycrdt import Array, Awareness, Doc, Text, TransactionEvent

from cs3collab.errors import CollabError
from cs3collab.rooms.lib0 import EMPTY_UPDATE, Reader
from cs3collab.rooms.ysocket import STEP1, STEP2, SYNC, awareness_message, sync_message

MARK = re.compile(rb"~(\d{8})~")
"""What every keystroke types, so that it is found in any frame, joined and re-encoded as it may be."""
_marks = count(1)
JOIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Door:
    """A Jupyter server, and a notebook there."""

    url: str
    token: str = field(repr=False)
    path: str


@dataclass(frozen=True, slots=True)
class Keystroke:
    """The frames a browser sends for one: the edit, and, as JupyterLab does, where the cursor now stands."""

    mark: int
    update: bytes
    cursor: bytes


class Peer:
    """``arrived`` has for each mark received the time (`time.perf_counter`, seconds)."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self._ws = ws
        self._reading: asyncio.Task[None] | None = None
        self._doc: Doc[Any] | None = None
        self._awareness: Awareness
        self.arrived: dict[int, float] = {}
        self.state = b""
        """The document as SYNC_STEP2 brought it."""

    async def synchronise(self) -> None:
        """Raises `CollabError` when the server closes instead, `TimeoutError` when it says nothing."""
        await self._ws.send_bytes(sync_message(STEP1, b"\0"))
        async with asyncio.timeout(JOIN_S):
            while not self.state:
                frame = await self._ws.receive()
                if frame.type is not aiohttp.WSMsgType.BINARY:
                    raise CollabError(f"the server closed the websocket: {self._ws.close_code} {frame.extra}")
                if frame.data[:2] == bytes((SYNC, STEP2)):
                    self.state = Reader(frame.data[2:]).var_bytes()
        await self._ws.send_bytes(sync_message(STEP2, EMPTY_UPDATE))
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for frame in self._ws:
            now = time.perf_counter()
            for mark in MARK.findall(frame.data):
                self.arrived.setdefault(int(mark), now)

    def keystrokes(self, number: int, cell: int) -> list[Keystroke]:
        """The next `number` of them, into cell `cell` of a document of this peer's own."""
        if self._doc is None:
            self._doc = Doc()
            self._doc.apply_update(self.state)
            self._awareness = Awareness(self._doc)
        doc, awareness = self._doc, self._awareness
        source: Text = doc.get("cells", type=Array)[cell]["source"]
        updates: list[bytes] = []
        subscription = doc.observe(lambda event: updates.append(_update_of(event)))
        made: list[Keystroke] = []
        for _ in range(number):
            mark = next(_marks)
            source += f"~{mark:08}~"
            awareness.set_local_state(_cursor(doc.client_id, len(made)))
            cursor = awareness_message(awareness.encode_awareness_update([doc.client_id]))
            made.append(Keystroke(mark, sync_message(2, updates[-1]), cursor))
        doc.unobserve(subscription)
        return made

    async def type(self, key: Keystroke, *, cursor: bool) -> float:
        """Returns the moment before it was sent."""
        now = time.perf_counter()
        await self._ws.send_bytes(key.update)
        if cursor:
            await self._ws.send_bytes(key.cursor)
        return now

    @property
    def alive(self) -> bool:
        return self._reading is not None and not self._reading.done()

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        await self._ws.close()


def _update_of(event: TransactionEvent) -> bytes:
    return bytes(event.update)


def _cursor(client: int, at: int) -> dict[str, Any]:
    """About what JupyterLab says of a user: who it is, and relative positions of the selection."""
    position = {"type": {"client": client, "clock": 1}, "tname": None, "item": {"client": client, "clock": at}, "assoc": 0}
    user = {"username": "0f2c4f8a9b", "name": "Anonymous Io", "display_name": "Anonymous Io", "initials": "AI", "color": "#7dd"}
    return {"user": user, "cursors": [{"anchor": position, "head": position, "primary": True, "empty": True}]}


@asynccontextmanager
async def connected(door: Door) -> AsyncIterator[Peer]:
    """Opens the notebook as JupyterLab does: asks for the session, then the websocket, then the document."""
    headers = {"Authorization": f"token {door.token}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        session = await _session(http, door)
        room = "{format}:{type}:{fileId}".format(**session)
        url = f"{door.url}/api/collaboration/room/{quote(room, safe=':')}"
        async with asyncio.timeout(JOIN_S):
            ws = await http.ws_connect(url, params={"sessionId": session["sessionId"]}, max_msg_size=0, compress=0)
        peer = Peer(ws)
        try:
            await peer.synchronise()
            yield peer
        finally:
            await peer.close()


async def _session(http: aiohttp.ClientSession, door: Door) -> dict[str, str]:
    url = f"{door.url}/api/collaboration/session/{quote(door.path)}"
    async with asyncio.timeout(JOIN_S), http.put(url, json={"format": "json", "type": "notebook"}) as answer:
        if answer.status not in (200, 201):
            raise CollabError(f"{door.url} did not open {door.path}: {answer.status} {(await answer.text())[:300]}")
        session: dict[str, str] = await answer.json()
        return session
