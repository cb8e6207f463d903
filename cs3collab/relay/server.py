"""The downward end of a link: what a relay does with one connection of a Jupyter server or of another relay."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

import aiohttp
from aiohttp import web

from cs3collab import telemetry
from cs3collab.errors import CollabError, InvalidInput, NotFound, Overloaded, ProtocolViolation
from cs3collab.limits import Limits
from cs3collab.relay import history
from cs3collab.relay import protocol as p
from cs3collab.relay.channel import OVERHEAD_BYTES
from cs3collab.relay.outbound import link_outbound
from cs3collab.rooms.registry import Registry
from cs3collab.rooms.replica import Replica
from cs3collab.rooms.room import Room, Seat, Tasks
from cs3collab.types import Credential, RoomStatus

log = logging.getLogger(__name__)


class RoomOutlet:
    """Where a room's news go for this link, whatever the number of its users there."""

    def __init__(self, connection: Connection, room: Room) -> None:
        self.room = room
        self.syncing = asyncio.Lock()
        """An answer may be all of the document: there is one at a time."""
        self._connection = connection
        self._room = str(room.id)

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
    """A channel: a seat in a room, the credential it rests on, and the updates that are on their way from it."""

    room: Room
    seat: Seat
    credential: HeldCredential
    carrying: set[asyncio.Task[None]] = field(default_factory=set)

    async def leave(self) -> None:
        """When all that was sent is durable or refused."""
        if self.carrying:
            await asyncio.wait(self.carrying)
        self.room.leave(self.seat)


class Connection:
    """Lives as long as its websocket. A frame that breaks the protocol ends it; a request that fails is answered."""

    def __init__(
        self, ws: web.WebSocketResponse, registry: Registry, limits: Limits, abort: Callable[[], None] = lambda: None
    ) -> None:
        self._ws = ws
        self._registry = registry
        self._limits = limits
        self._chairs: dict[int, Chair] = {}
        self._attaching: dict[int, asyncio.Task[None]] = {}
        self._outlets: WeakValueDictionary[str, RoomOutlet] = WeakValueDictionary()
        self._requests = Tasks("a request of a peer")
        self._updates = Tasks("an update of a peer")
        self._unanswered_bytes = 0
        self._merging_bytes = 0
        self._room_for_more = asyncio.Event()
        self._room_for_more.set()
        self.outbound = link_outbound(ws, limits.outlet_bytes + limits.document_bytes, abort)

    async def run(self) -> None:
        try:
            async for frame in self._ws:
                if frame.type is not aiohttp.WSMsgType.BINARY:
                    break
                for message in p.decode(frame.data):
                    self._receive(message)
                await self._room_for_more.wait()
        except CollabError as error:
            telemetry.REJECTED.labels(error.kind).inc()
            log.warning("a link was cut: %s", error)
            self.outbound.cut(error.close_code, str(error))
        finally:
            self.outbound.stop()
            await self._leave()
            await self.outbound.closed()

    async def _leave(self) -> None:
        """Who sat here is out of sight at once; a seat goes when what came from it is durable: it may be the only copy."""
        await self._requests.cancel()
        chairs, self._chairs = list(self._chairs.values()), {}
        for chair in chairs:
            chair.room.fall_silent(chair.seat)
        try:
            await asyncio.gather(*(chair.leave() for chair in chairs))
        finally:
            for chair in chairs:
                chair.room.leave(chair.seat)
            await self._updates.cancel()

    def _receive(self, message: p.Message) -> None:
        match message:
            case p.Push():
                self._push(message)
            case p.Speak():
                self._speak(message)
            case p.Attach():
                self._begin_attach(message)
            case p.Sync():
                self._answer(message.request, lambda: self._sync(message))
            case p.Save():
                self._answer(message.request, lambda: self._save(message))
            case p.Renew():
                self._answer(message.request, lambda: self._renew(message))
            case p.Versions() | p.ReadVersion() | p.Restore() | p.NameVersion() | p.Merge() | p.Decide():
                self._recall(message)
            case p.Detach():
                self._detach(message.channel)
            case p.Forget():
                pass  # its channels are detached, which is what counts
            case _:
                raise ProtocolViolation(f"a peer sent a {type(message).__name__}")

    def _answer(self, request: int, work: Callable[[], Coroutine[Any, Any, p.Message | None]]) -> asyncio.Task[None]:
        too_many = len(self._requests) >= self._limits.channels_per_link

        async def answered() -> None:
            answer: p.Message | None
            try:
                if too_many:
                    raise Overloaded("too many requests at once on one link", hint="wait for answers")
                async with asyncio.timeout(self._limits.request_timeout_s):
                    answer = await work()
            except CollabError as error:
                answer = p.Failed(request, error.kind, error.message, error.hint)
            except TimeoutError:
                answer = p.Failed(request, "deadline_exceeded", "the relay took too long", "try again")
            except asyncio.CancelledError:
                self.outbound.send(p.Failed(request, "peer_unavailable", "this is no longer wanted", ""))
                raise
            except Exception:
                log.exception("a request of a peer failed")
                answer = p.Failed(request, "internal", "the relay failed to answer", "see its log")
            if isinstance(answer, p.Failed):
                telemetry.REJECTED.labels(answer.kind).inc()
            if answer is not None:
                self.outbound.send(answer)

        return self._requests.start(answered())

    def _begin_attach(self, message: p.Attach) -> None:
        number = message.channel
        taken = number in self._chairs or number in self._attaching
        task = self._answer(message.request, lambda: self._attach(message, taken))
        if not taken:
            self._attaching[number] = task
            task.add_done_callback(lambda done: self._attaching.pop(number, None))

    async def _attach(self, message: p.Attach, taken: bool) -> p.Message:
        number = message.channel
        if taken:
            raise InvalidInput(f"channel {number} is taken", hint="give each channel of a link its own number")
        if len(self._chairs) + len(self._attaching) > self._limits.channels_per_link:
            raise Overloaded("too many channels on one link")
        target, credential = p.attach_parts(message)
        held = HeldCredential(credential)
        room, seat = await self._registry.join(target, held, self._outlet_for)
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
            (p.HISTORY, p.MERGE, p.DECIDE),
        )

    def _outlet_for(self, room: Room) -> RoomOutlet:
        """One per room, for as long as somebody of this link sits there. Raises `InvalidInput`."""
        outlet = self._outlets.get(str(room.id))
        if outlet is None:
            outlet = self._outlets[str(room.id)] = RoomOutlet(self, room)
        if outlet.room is not room:
            raise InvalidInput("another document of this name is open", hint="close it first")
        return outlet

    def _ended(self, number: int, error: CollabError) -> None:
        self._chairs.pop(number, None)
        self.outbound.send(p.Detached(number, error.kind, str(error)))

    def _detach(self, number: int) -> None:
        if (attaching := self._attaching.pop(number, None)) is not None:
            attaching.cancel()
        if (chair := self._chairs.pop(number, None)) is not None:
            self._updates.start(chair.leave())

    async def _sync(self, message: p.Sync) -> None:
        chair = next((chair for chair in self._chairs.values() if str(chair.room.id) == message.room), None)
        if chair is None:
            raise NotFound("no such document on this link", hint="attach first")
        outlet = self._outlets[message.room]
        async with outlet.syncing:
            return await self._sync_in_turn(message, chair.room, outlet)

    async def _sync_in_turn(self, message: p.Sync, room: Room, outlet: RoomOutlet) -> None:
        same = message.lineage == room.lineage
        snapshot = await room.sync(outlet, message.state_vector if same else b"")
        if len(snapshot.update) > self._limits.document_bytes:
            raise Overloaded("this document is too large to be followed", hint="make a copy without its history")
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

    def _speak(self, message: p.Speak) -> None:
        """What is wrong with one person's cursor is no reason to cut everybody's link."""
        if (chair := self._chairs.get(message.channel)) is None:
            return
        try:
            chair.room.awareness(chair.seat, message.update)
        except CollabError as error:
            telemetry.REJECTED.labels(error.kind).inc()
            log.info("awareness of %s was refused: %s", chair.seat.user.key, error)

    def _push(self, message: p.Push) -> None:
        chair = self._chairs.get(message.channel)
        if chair is None:
            self.outbound.send(
                p.Refuse(message.channel, message.seq, "not_found", "this channel is closed", "open the document again")
            )
            return
        # what waits for another site is bounded by its room, and may wait for hours
        weight = 0 if isinstance(chair.room, Replica) else len(message.update) + OVERHEAD_BYTES
        self._unanswered_bytes += weight
        if self._unanswered_bytes > self._limits.outbox_bytes:
            self._room_for_more.clear()
        task = self._updates.start(self._carry(chair, message, weight))
        chair.carrying.add(task)
        task.add_done_callback(chair.carrying.discard)

    async def _carry(self, chair: Chair, message: p.Push, weight: int) -> None:
        try:
            position = await chair.room.submit(chair.seat, message.update)
        except CollabError as error:
            telemetry.REJECTED.labels(error.kind).inc()
            self.outbound.send(p.Refuse(message.channel, message.seq, error.kind, error.message, error.hint))
        except Exception:
            log.exception("an update of a peer failed")
            self.outbound.send(p.Refuse(message.channel, message.seq, "unavailable", "the relay failed", "see its log"))
        else:
            self.outbound.send(p.Ack(message.channel, message.seq, position))
        finally:
            self._unanswered_bytes -= weight
            if self._unanswered_bytes <= self._limits.outbox_bytes:
                self._room_for_more.set()

    def _chair(self, channel: int) -> Chair:
        if (chair := self._chairs.get(channel)) is None:
            raise NotFound("this channel is closed", hint="open the document again")
        return chair

    async def _save(self, message: p.Save) -> p.Message:
        chair = self._chair(message.channel)
        result = await chair.room.save(chair.seat)
        return p.Saved(message.request, result.status, result.position, result.etag, result.message)

    def _recall(self, message: p.HistoryRequest) -> None:
        """A seat is not taken away from under a restore: its credential may have to write the file."""
        chair = self._chairs.get(message.channel)
        weight = len(message.content) + len(message.base or b"") + OVERHEAD_BYTES if isinstance(message, p.Merge) else 0
        fits = not (weight and self._merging_bytes) or self._merging_bytes + weight <= self._limits.outbox_bytes

        async def work() -> p.Message:
            if chair is None:
                raise NotFound("this channel is closed", hint="open the document again")
            if not fits:
                much = f"at most {self._limits.outbox_bytes} bytes of them at once"
                raise Overloaded("too many versions of documents wait on one link to be merged", hint=f"{much}; try again")
            return await history.answer(chair.room, chair.seat, message, self._limits)

        task = self._answer(message.request, work)
        if isinstance(message, p.Restore | p.Merge | p.Decide) and chair is not None:
            chair.carrying.add(task)
            task.add_done_callback(chair.carrying.discard)
        if fits:
            self._merging_bytes += weight
            task.add_done_callback(lambda done: self._merged(weight))

    def _merged(self, weight: int) -> None:
        self._merging_bytes -= weight

    async def _renew(self, message: p.Renew) -> p.Message:
        chair = self._chair(message.channel)
        if message.kind != chair.credential.value.kind:
            raise InvalidInput("a credential is renewed by one of its kind")
        chair.credential.value = Credential(message.kind, message.secret, message.client_id)
        await chair.room.renewed(chair.seat)
        return p.Renewed(message.request)
