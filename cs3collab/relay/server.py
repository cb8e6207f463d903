"""The downward end of a link: what a relay does with one connection of a Jupyter server or of another relay."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from cs3collab.errors import CollabError, InvalidInput, NotFound, Overloaded, ProtocolViolation
from cs3collab.limits import Limits
from cs3collab.relay import protocol as p
from cs3collab.relay.outbound import link_outbound
from cs3collab.rooms.registry import Registry
from cs3collab.rooms.room import Room, Seat, Tasks
from cs3collab.types import Credential, RoomStatus

log = logging.getLogger(__name__)


class RoomOutlet:
    """Where a room's news go for this link, whatever the number of its users there."""

    def __init__(self, connection: Connection, room: str) -> None:
        self._connection = connection
        self._room = room

    def update(self, position: int, update: bytes, author: str) -> None:
        self._connection.outbound.send(p.Update(self._room, position, author, update))

    def awareness(self, update: bytes) -> None:
        self._connection.outbound.send(p.Presence(self._room, update))

    def status(self, status: RoomStatus) -> None:
        self._connection.outbound.send(p.status_message(self._room, status))

    def closed(self, error: Exception) -> None:
        kind = error.kind if isinstance(error, CollabError) else "internal"
        self._connection.outbound.send(p.Closed(self._room, kind, str(error)))


@dataclass(eq=False, slots=True)
class HeldCredential:
    """A channel's credential as the peer last gave it."""

    value: Credential

    async def __call__(self) -> Credential:
        return self.value


@dataclass(eq=False, slots=True)
class Chair:
    """A channel: a seat in a room, and the credential it rests on."""

    room: Room
    seat: Seat
    credential: HeldCredential
    last: asyncio.Task[None] | None = field(default=None)


class Connection:
    """Lives as long as its websocket. A frame that breaks the protocol ends it; a request that fails is answered."""

    def __init__(self, ws: web.WebSocketResponse, registry: Registry, limits: Limits) -> None:
        self._ws = ws
        self._registry = registry
        self._limits = limits
        self._chairs: dict[int, Chair] = {}
        self._attaching: set[int] = set()
        self._outlets: dict[str, RoomOutlet] = {}
        self._tasks = Tasks("link from a peer")
        self._unanswered_bytes = 0
        self._room_for_more = asyncio.Event()
        self._room_for_more.set()
        self.outbound = link_outbound(ws, limits.outlet_bytes + limits.document_bytes)

    async def run(self) -> None:
        try:
            async for frame in self._ws:
                if frame.type is not aiohttp.WSMsgType.BINARY:
                    break
                for message in p.decode(frame.data):
                    self._receive(message)
                await self._room_for_more.wait()
        except CollabError as error:
            log.warning("a link was cut: %s", error)
            await self._ws.close(code=error.close_code, message=str(error)[:120].encode())
        finally:
            self.outbound.stop()
            await self._leave()

    async def _leave(self) -> None:
        chairs, self._chairs = list(self._chairs.values()), {}
        for chair in chairs:
            chair.room.fall_silent(chair.seat)
        for chair in chairs:
            if chair.last is not None:
                await asyncio.wait([chair.last])
            chair.room.leave(chair.seat)
        await self._tasks.cancel()

    def _receive(self, message: p.Message) -> None:
        match message:
            case p.Push():
                self._push(message)
            case p.Speak():
                if (chair := self._chairs.get(message.channel)) is not None:
                    chair.room.awareness(chair.seat, message.update)
            case p.Attach():
                self._answer(message.request, self._attach(message))
            case p.Sync():
                self._answer(message.request, self._sync(message))
            case p.Save():
                self._answer(message.request, self._save(message))
            case p.Renew():
                self._answer(message.request, self._renew(message))
            case p.Detach():
                self._tasks.start(self._detach(message.channel))
            case p.Forget():
                self._outlets.pop(message.room, None)
            case _:
                raise ProtocolViolation(f"a peer sent a {type(message).__name__}")

    def _answer(self, request: int, work: Coroutine[Any, Any, p.Message | None]) -> None:
        async def answered() -> None:
            answer: p.Message | None
            try:
                async with asyncio.timeout(self._limits.request_timeout_s):
                    answer = await work
            except CollabError as error:
                answer = p.Failed(request, error.kind, error.message, error.hint)
            except TimeoutError:
                answer = p.Failed(request, "deadline_exceeded", "the relay took too long", "try again")
            except Exception:
                log.exception("a request of a peer failed")
                answer = p.Failed(request, "internal", "the relay failed to answer", "see its log")
            if answer is not None:
                self.outbound.send(answer)

        self._tasks.start(answered())

    async def _attach(self, message: p.Attach) -> p.Message:
        if message.channel in self._chairs or message.channel in self._attaching:
            raise InvalidInput(f"channel {message.channel} is taken")
        if len(self._chairs) + len(self._attaching) >= self._limits.channels_per_link:
            raise Overloaded("too many channels on one link")
        target, credential = p.attach_parts(message)
        held = HeldCredential(credential)
        self._attaching.add(message.channel)
        try:
            room, seat = await self._registry.join(target, held, self._outlet_for)
        finally:
            self._attaching.discard(message.channel)
        number = message.channel
        seat.on_role = lambda role, reason: self.outbound.send(p.RoleChanged(number, role, reason))
        seat.on_end = lambda error: self._ended(number, error)
        self._chairs[number] = Chair(room, seat, held)
        return p.Attached(
            message.request,
            str(room.id),
            seat.role,
            seat.reason,
            room.lineage,
            room.name,
            room.status.home,
            seat.user.opaque_id,
            seat.user.idp,
            seat.user.username,
            seat.user.display_name,
        )

    def _outlet_for(self, room: Room) -> RoomOutlet:
        return self._outlets.setdefault(str(room.id), RoomOutlet(self, str(room.id)))

    def _ended(self, number: int, error: CollabError) -> None:
        self._chairs.pop(number, None)
        self.outbound.send(p.Detached(number, error.kind, error.message))

    async def _detach(self, number: int) -> None:
        if (chair := self._chairs.pop(number, None)) is not None:
            chair.room.leave(chair.seat)

    async def _sync(self, message: p.Sync) -> None:
        room = next((chair.room for chair in self._chairs.values() if str(chair.room.id) == message.room), None)
        outlet = self._outlets.get(message.room)
        if room is None or outlet is None:
            raise NotFound("no such document on this link", hint="attach first")
        same = message.lineage == room.lineage
        snapshot = await room.sync(outlet, message.state_vector if same else b"")
        synced = p.Synced(
            message.request,
            room.lineage,
            snapshot.position,
            snapshot.update,
            snapshot.state_vector,
            p.status_message(message.room, room.status),
        )
        # Nothing may come between the answer and the live updates that follow it.
        self.outbound.send(synced)
        room.live(outlet)

    def _push(self, message: p.Push) -> None:
        chair = self._chairs.get(message.channel)
        if chair is None:
            self.outbound.send(p.Refuse(message.channel, message.seq, "not_found", "this channel is closed", ""))
            return
        self._unanswered_bytes += len(message.update)
        if self._unanswered_bytes > self._limits.outbox_bytes:
            self._room_for_more.clear()
        chair.last = self._tasks.start(self._carry(chair, message))

    async def _carry(self, chair: Chair, message: p.Push) -> None:
        try:
            position = await chair.room.submit(chair.seat, message.update)
        except CollabError as error:
            self.outbound.send(p.Refuse(message.channel, message.seq, error.kind, error.message, error.hint))
        else:
            self.outbound.send(p.Ack(message.channel, message.seq, position))
        finally:
            self._unanswered_bytes -= len(message.update)
            if self._unanswered_bytes <= self._limits.outbox_bytes:
                self._room_for_more.set()

    async def _save(self, message: p.Save) -> p.Message:
        chair = self._chairs.get(message.channel)
        if chair is None:
            raise NotFound("this channel is closed")
        if chair.last is not None and not chair.last.done():
            # Ctrl+S means: with everything I typed until now.
            with contextlib.suppress(Exception):
                await asyncio.shield(chair.last)
        result = await chair.room.save(chair.seat)
        return p.Saved(message.request, result.status, result.position, result.etag, result.message)

    async def _renew(self, message: p.Renew) -> p.Message:
        chair = self._chairs.get(message.channel)
        if chair is None:
            raise NotFound("this channel is closed")
        chair.credential.value = Credential(message.kind, message.secret, message.client_id)
        return p.Renewed(message.request)
