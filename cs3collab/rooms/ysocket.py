"""One Yjs client on a room: the y-websocket protocol (y-protocols/sync.js, awareness.js) without its transport.

Jupyter's RAW messages (type 2, from jupyter-collaboration: ``save`` and its answer) are understood too, and carry our status to
the labextension: ``{"type": "cs3collab", …}``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from cs3collab.errors import CollabError, InvalidInput, NotAuthorized, PeerUnavailable, Unavailable
from cs3collab.rooms.lib0 import EMPTY_UPDATE, Reader, write_var_bytes, write_var_uint
from cs3collab.rooms.room import Room, Seat, Tasks
from cs3collab.types import Role, RoomStatus

SYNC, AWARENESS, RAW = 0, 1, 2
STEP1, STEP2, UPDATE = 0, 1, 2
RETRY_S = 1.0
STATUS_EVERY_S = 0.1
QUIET_S = 10.0


def sync_message(kind: int, payload: bytes) -> bytes:
    return bytes((SYNC, kind)) + write_var_bytes(payload)


def awareness_message(update: bytes) -> bytes:
    return bytes((AWARENESS,)) + write_var_bytes(update)


def body_of(message: bytes) -> bytes:
    """The payload of an awareness message. Raises `InvalidInput`."""
    return Reader(message[1:]).var_bytes()


def raw_message(value: dict[str, Any]) -> bytes:
    return bytes((RAW,)) + write_var_bytes(msgspec.json.encode(value))


class YSocket:
    """An `Outlet` that begins to speak with `start`. ``raw`` says whether the client understands type 2 as Jupyter does."""

    def __init__(self, *, raw: bool) -> None:
        self._send: Callable[[bytes], None] = lambda message: None
        self._close: Callable[[int, str], None] = lambda code, reason: None
        self._raw = raw
        self._tasks = Tasks("y-websocket client")
        self._carrying: set[asyncio.Task[None]] = set()
        self._question: bytes | None = None
        self._answering = False
        self._problem = ""
        self._status_due: asyncio.TimerHandle | None = None
        self._told_at = 0.0
        self.room: Room
        self.seat: Seat

    def sit(self, room: Room, seat: Seat) -> None:
        """Right after joining."""
        self.room, self.seat = room, seat
        seat.on_role = lambda role, reason: self._status_soon()
        seat.on_end = self.closed

    async def start(self, send: Callable[[bytes], None], close: Callable[[int, str], None]) -> None:
        """``send`` must not block; ``close`` takes a websocket close code and a reason."""
        self._send, self._close = send, close
        if self.seat.number not in self.room.seats:
            self.closed(PeerUnavailable("the document was closed while it was being opened", hint="open it again"))
            return
        if self._raw:
            self._tell_status()  # first, so that a viewer's browser writes nothing
        self._send(sync_message(STEP1, await self.room.document.state()))

    def receive(self, message: bytes) -> None:
        """Takes one message of the client. Raises `InvalidInput` for what is not the protocol."""
        if not message:
            raise InvalidInput("an empty message")
        kind, body = message[0], message[1:]
        if kind == SYNC:
            self._receive_sync(body)
        elif kind == AWARENESS:
            self.room.awareness(self.seat, body_of(message))
            self._say_something()
        elif kind == RAW and self._raw:
            self._receive_raw(Reader(body))

    def _receive_sync(self, body: bytes) -> None:
        reader = Reader(body)
        kind, payload = reader.var_uint(), reader.var_bytes()
        if kind == STEP1:
            self._question = payload
            if not self._answering:
                self._answering = True
                self._tasks.start(self._answer())
        elif kind in (STEP2, UPDATE):
            if payload != EMPTY_UPDATE:
                self._edit(payload)
        else:
            raise InvalidInput(f"unknown sync message {kind}")

    async def _answer(self) -> None:
        """One at a time, for it may be all of the document; of questions that come meanwhile the last counts."""
        try:
            while (state_vector := self._question) is not None:
                self._question = None
                snapshot = await self.room.sync(self, state_vector)
                self._send(sync_message(STEP2, snapshot.update))
                self.room.live(self)
        except CollabError as error:
            self.closed(error)
        finally:
            self._answering = False

    def _edit(self, update: bytes) -> None:
        try:
            self.room.check(self.seat, update)
        except NotAuthorized:
            self._status_soon()  # a viewer's edit goes nowhere; the status says so
            return
        except InvalidInput as error:
            self.closed(error)  # what this client writes next rests on this edit: it has to come again
            return
        self._status_soon()
        task = self._tasks.start(self._carry(update))
        self._carrying.add(task)
        task.add_done_callback(self._carried)

    async def _carry(self, update: bytes) -> None:
        try:
            while True:
                try:
                    await self.room.submit(self.seat, update)
                except Unavailable as error:
                    self._trouble(str(error))
                    await asyncio.sleep(RETRY_S)
                else:
                    self._trouble("")
                    return
        except NotAuthorized:
            pass
        except CollabError as error:
            self.closed(error)

    def _carried(self, task: asyncio.Task[None]) -> None:
        self._carrying.discard(task)
        self._status_soon()

    def _say_something(self) -> None:
        """y-websocket takes a server for gone that has said nothing for 30 s, and shows itself every 15 s."""
        if asyncio.get_running_loop().time() > self._told_at + QUIET_S:
            self._status_soon()

    def _receive_raw(self, reader: Reader) -> None:
        what = reader.var_bytes()
        if what == b"save" and not reader.done:
            self._tasks.start(self._save(reader.var_uint()))
        elif what == b"durable" and not reader.done:
            self._tasks.start(self._when_durable(reader.var_uint(), set(self._carrying)))

    async def _when_durable(self, number: int, carrying: set[asyncio.Task[None]]) -> None:
        """Answers when all that came before on this socket is durable or refused."""
        if carrying:
            await asyncio.wait(carrying)
        self._send(raw_message({"type": "durable", "responseTo": number, "position": self.room.status.position}))

    async def _save(self, number: int) -> None:
        try:
            result = await self.room.save(self.seat)
            status, message = result.status, result.message
        except CollabError as error:
            status, message = "failed", str(error)
        self._send(raw_message({"type": "save", "responseTo": number, "status": status, "message": message}))
        self._status_soon()

    def update(self, position: int, update: bytes, author: str) -> None:
        self._send(sync_message(UPDATE, update))
        self._status_soon()

    def awareness(self, update: bytes) -> None:
        self._send(awareness_message(update))

    def status(self, status: RoomStatus) -> None:
        self._status_soon()

    def closed(self, error: Exception) -> None:
        if self._raw:  # a close reason ends at 123 bytes and the stock frontend does not show it
            self._problem = str(error)
            self._tell_status()
        code = error.close_code if isinstance(error, CollabError) else 1011
        self._close(code, str(error)[:120])

    async def stop(self) -> None:
        """The client is out of sight at once; its seat goes when all it sent is durable or refused: it may be the only copy."""
        if self._status_due is not None:
            self._status_due.cancel()
        self._send = lambda message: None
        self._close = lambda code, reason: None
        self._raw = False
        self.room.fall_silent(self.seat)
        try:
            if self._carrying:
                await asyncio.wait(self._carrying)
        finally:
            self.room.leave(self.seat)

    def _trouble(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            self._status_soon()

    def _status_soon(self) -> None:
        if self._raw and self._status_due is None:
            self._status_due = asyncio.get_running_loop().call_later(STATUS_EVERY_S, self._tell_status)

    def _tell_status(self) -> None:
        self._status_due = None
        self._told_at = asyncio.get_running_loop().time()
        status = self.room.status
        self._send(
            raw_message(
                {
                    "type": "cs3collab",
                    "home": status.home,
                    "online": status.online,
                    "role": "editor" if self.seat.role is Role.EDITOR else "viewer",
                    "reason": self.seat.reason,
                    "offered": self.seat.offered,
                    "position": status.position,
                    "savedPosition": status.saved_position,
                    "savedAt": status.saved_at,
                    "savedBy": status.saved_by,
                    "pending": len(self._carrying),
                    "problem": self._problem or status.problem,
                    "etag": status.etag,
                }
            )
        )


def raw_request(what: str, number: int) -> bytes:
    """The client's side of ``save`` (jupyter-collaboration's) and ``durable`` (ours)."""
    return bytes((RAW,)) + write_var_bytes(what.encode()) + write_var_uint(number)
