"""The upward end of a link: one websocket to a relay, kept up, with the channels and rooms that live on it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp

from cs3collab.errors import (
    CollabError,
    DeadlineExceeded,
    NotAuthenticated,
    NotAuthorized,
    Overloaded,
    PeerUnavailable,
    ProtocolViolation,
    Unavailable,
    from_kind,
)
from cs3collab.limits import DEFAULT, Limits
from cs3collab.relay import protocol as p
from cs3collab.relay.channel import LinkChannel, authorization
from cs3collab.relay.outbound import Outbound, link_outbound
from cs3collab.rooms.registry import Credentials
from cs3collab.rooms.room import Snapshot, Tasks
from cs3collab.types import Credential, Lineage, RoomStatus, Target

if TYPE_CHECKING:
    from cs3collab.rooms.replica import Replica

log = logging.getLogger(__name__)
R = TypeVar("R")

RENEW_EVERY_S = 5.0
"""How soon after its rotation a new token goes up; that comes a minute before the old one ends, or a third of its life."""
FIRST_RETRY_S, LAST_RETRY_S = 0.2, 10.0
HELD_S = 2.0
"""A connection that lasted as long was a good one: the next is made again at once."""
ATTACHING_AT_ONCE = 16


class Link:
    """One connection to one relay. Connects when the first channel is attached, reconnects for ever, closes when told."""

    def __init__(self, url: str, *, limits: Limits = DEFAULT) -> None:
        self.url = url.rstrip("/") + p.LINK_PATH
        self.tasks = Tasks(f"link to {url}")
        self.rooms: dict[str, Replica] = {}
        self._limits = limits
        self._channels: dict[int, LinkChannel] = {}
        self._numbers = count(1)
        self._requests: dict[int, asyncio.Future[Any]] = {}
        self._request_numbers = count(1)
        self._outbound: Outbound[p.Message] | None = None
        self._http: aiohttp.ClientSession | None = None
        self._connecting = asyncio.Lock()
        self._coming_back: asyncio.Task[None] | None = None
        self._closed = False
        self._delay = FIRST_RETRY_S
        self._connected_at = 0.0
        self.tasks.start(self._renew_for_ever())

    async def attach(self, target: Target, credentials: Credentials) -> LinkChannel:
        """Opens a channel. Raises `NotAuthenticated`, `NotAuthorized`, `NotFound`, `PeerUnavailable`, …"""
        channel = LinkChannel(self, next(self._numbers), target, credentials)
        credential = await credentials()
        await self._connected(credential)
        self._channels[channel.number] = channel
        try:
            channel.attached = await self._attach(channel, credential)
        except BaseException:
            self.drop(channel)
            raise
        channel.ready = True
        return channel

    async def _attach(self, channel: LinkChannel, credential: Credential) -> p.Attached:
        channel.shown = credential
        return await self.request(
            lambda request: p.attach_message(request, channel.number, channel.target, credential),
            p.Attached,
            self._limits.attach_timeout_s,
        )

    def drop(self, channel: LinkChannel) -> None:
        if self._channels.pop(channel.number, None) is not None:
            self.send(p.Detach(channel.number))

    @property
    def update_bytes(self) -> int:
        """The largest thing that can be sent at once."""
        return self._limits.update_bytes

    async def sync(self, room: str, lineage: Lineage, state_vector: bytes) -> tuple[Snapshot, RoomStatus]:
        """Raises `PeerUnavailable`."""
        answer = await self.request(lambda request: p.Sync(request, room, lineage, state_vector), p.Synced)
        snapshot = Snapshot(Lineage(answer.lineage), answer.position, answer.update, answer.state_vector)
        return snapshot, p.status_of(answer.status)

    def forget(self, replica: Replica) -> None:
        room = str(replica.id)
        if self.rooms.get(room) is replica:
            del self.rooms[room]
            self.send(p.Forget(room))

    def send(self, message: p.Message) -> None:
        if self._outbound is not None:
            self._outbound.send(message)

    async def drain(self) -> None:
        """Waits until the relay has read nearly all that was sent. Raises `PeerUnavailable` while there is no connection."""
        if (outbound := self._outbound) is not None:
            await outbound.drain()
        if outbound is None or self._outbound is not outbound:
            raise PeerUnavailable("the connection to the relay was lost", hint="edits are kept and sent when it is back")

    async def request(self, build: Callable[[int], p.Message], answer: type[R], timeout_s: float | None = None) -> R:
        """Sends what `build` makes of the request number, waits for the answer. Raises the error the peer names."""
        number = next(self._request_numbers)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if (connection := self._outbound) is None:
            raise PeerUnavailable("the relay cannot be reached", hint="edits are kept and sent when it is back")
        self._requests[number] = future
        try:
            self.send(build(number))
            result = await asyncio.wait_for(future, timeout_s or self._limits.request_timeout_s)
        except TimeoutError as error:
            raise DeadlineExceeded("the relay did not answer in time", hint="try again") from error
        finally:
            self._requests.pop(number, None)
        if self._outbound is not connection:
            raise PeerUnavailable("the connection to the relay was lost", hint="edits are kept and sent when it is back")
        if not isinstance(result, answer):
            raise ProtocolViolation(f"the relay answered with {type(result).__name__}")
        return result

    async def _connected(self, credential: Credential) -> None:
        async with self._connecting:
            if self._outbound is None and not self._closed:
                await self._connect(credential)

    async def _connect(self, credential: Credential) -> None:
        if self._http is None:
            self._http = aiohttp.ClientSession()
        try:
            async with asyncio.timeout(self._limits.attach_timeout_s):
                ws = await self._http.ws_connect(
                    self.url,
                    protocols=[p.SUBPROTOCOL],
                    headers={"Authorization": authorization(credential)},
                    max_msg_size=self._limits.document_bytes + 2**20,
                    heartbeat=20,
                    compress=0,
                )
        except aiohttp.WSServerHandshakeError as error:
            if error.status in (401, 403):
                refusal = NotAuthenticated if error.status == 401 else NotAuthorized
                raise refusal("the relay does not accept your credential", hint="log in again") from error
            raise PeerUnavailable(f"the relay answered {error.status}", hint=f"is there a relay at {self.url}?") from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise PeerUnavailable("the relay cannot be reached", hint=f"is it running at {self.url}?") from error
        if ws.protocol != p.SUBPROTOCOL:
            await ws.close()
            raise PeerUnavailable("the relay does not speak our protocol version", hint="upgrade the older side")
        self._connected_at = asyncio.get_running_loop().time()
        self._outbound = link_outbound(ws, self._limits.outbox_bytes * 2)
        self.tasks.start(self._read(ws, self._outbound))

    async def _read(self, ws: aiohttp.ClientWebSocketResponse, outbound: Outbound[p.Message]) -> None:
        reason = "the connection to the home site was lost; edits are kept"
        try:
            async for frame in ws:
                if frame.type is not aiohttp.WSMsgType.BINARY:
                    break
                for message in p.decode(frame.data):
                    self._receive(message)
        except CollabError as error:
            reason = str(error)
        finally:
            self._outbound = None
            outbound.stop()
            self._lost(reason)  # before the next connection is made, which the relay's answer to the closing may outlast
            with contextlib.suppress(Exception):
                await ws.close()

    def _receive(self, message: p.Message) -> None:
        if isinstance(message, p.Answer):
            self._answered(message)
        elif isinstance(message, p.Update | p.Presence | p.Status | p.Closed):
            if (replica := self.rooms.get(message.room)) is not None:
                self._to_room(replica, message)
        elif isinstance(message, p.Ack | p.Refuse | p.RoleChanged | p.Detached):
            if (channel := self._channels.get(message.channel)) is not None:
                self._to_channel(channel, message)
        else:
            raise ProtocolViolation(f"the relay sent a {type(message).__name__}")

    def _answered(self, message: p.Answer) -> None:
        future = self._requests.get(message.request)
        if future is None or future.done():
            return
        if isinstance(message, p.Failed):
            future.set_exception(from_kind(message.kind, message.message, message.hint))
        else:
            future.set_result(message)

    def _to_room(self, replica: Replica, message: p.Update | p.Presence | p.Status | p.Closed) -> None:
        if isinstance(message, p.Update):
            replica.on_update(message.position, message.update, message.author)
        elif isinstance(message, p.Presence):
            replica.on_awareness(message.update)
        elif isinstance(message, p.Status):
            replica.on_status(p.status_of(message))
        else:
            self.tasks.start(replica.resync())

    def _to_channel(self, channel: LinkChannel, message: p.Ack | p.Refuse | p.RoleChanged | p.Detached) -> None:
        if isinstance(message, p.Ack):
            channel.acknowledged(message.seq, message.position)
        elif isinstance(message, p.Refuse):
            channel.refused(message)
        elif isinstance(message, p.RoleChanged):
            channel.role_changed(message.role, message.reason)
        elif isinstance(error := from_kind(message.kind, message.message), NotAuthenticated):
            channel.ready = False  # a token that ran out: there may be a new one by now
            self._come_back()
        else:
            del self._channels[channel.number]
            channel.fail(error)

    def _lost(self, reason: str) -> None:
        for future in self._requests.values():
            if not future.done():
                future.set_exception(PeerUnavailable(reason, hint="try again when it is back"))
        for channel in self._channels.values():
            channel.ready = False
        for replica in self.rooms.values():
            replica.on_offline(reason)
        if asyncio.get_running_loop().time() - self._connected_at > HELD_S:
            self._delay = FIRST_RETRY_S
        self._come_back()

    def _come_back(self) -> None:
        if self._channels and not self._closed and (self._coming_back is None or self._coming_back.done()):
            self._coming_back = self.tasks.start(self._reconnect())

    async def _reconnect(self) -> None:
        while not self._closed and any(not channel.ready for channel in self._channels.values()):
            await asyncio.sleep(self._delay * random.uniform(0.5, 1.0))
            self._delay = min(self._delay * 2, LAST_RETRY_S)
            try:
                if await self._connected_with_any():
                    await self._reattach()
            except Exception:  # whatever happened: nobody else brings the link back
                log.exception("connecting to %s again", self.url)

    async def _connected_with_any(self) -> bool:
        """One credential that is still good brings the connection back; the others are shown on it later."""
        for channel in list(self._channels.values()):
            try:
                await self._connected(await channel.credentials())
            except PeerUnavailable as error:
                log.info("no link to %s yet: %s", self.url, error)
                return False
            except CollabError as error:
                log.warning("no link to %s with the credential of one user: %s", self.url, error)
            else:
                return True
        return False

    async def _reattach(self) -> None:
        """Puts the channels on the new connection. A refusal ends a channel, a site that is not ready yet is asked again."""
        turns = asyncio.Semaphore(ATTACHING_AT_ONCE)

        async def in_turn(channel: LinkChannel) -> bool:
            async with turns:
                return await self._is_back(channel)

        waiting = [channel for channel in self._channels.values() if channel.attached and not channel.ready]
        back = await asyncio.gather(*map(in_turn, waiting))
        for room in {channel.room for channel, is_back in zip(waiting, back, strict=True) if is_back} & self.rooms.keys():
            self.tasks.start(self.rooms[room].resync())

    async def _is_back(self, channel: LinkChannel) -> bool:
        try:
            await self._attach_again(channel)
        except (Unavailable, Overloaded) as error:
            log.info("cannot attach again yet: %s", error)
            self.send(p.Detach(channel.number))  # it may yet succeed there
        except CollabError as error:
            if self._channels.pop(channel.number, None) is not None:
                channel.fail(error)
        return channel.ready

    async def _attach_again(self, channel: LinkChannel) -> None:
        before, channel.attached = channel.said, await self._attach(channel, await channel.credentials())
        channel.parted = (before.room, before.lineage) != (channel.said.room, channel.said.lineage)
        channel.on_role(channel.role, channel.reason)
        if not channel.parted:
            await channel.resend()
        channel.ready = channel.number in self._channels

    async def _renew_for_ever(self) -> None:
        """Shows the relay each token that was rotated, before the one it holds ends."""
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            for channel in [channel for channel in self._channels.values() if channel.ready]:
                try:
                    await self._renew(channel)
                except CollabError as error:
                    log.warning("a credential could not be renewed at %s: %s", self.url, error)
                except Exception:
                    log.exception("renewing a credential at %s", self.url)

    async def _renew(self, channel: LinkChannel) -> None:
        now = await channel.credentials()
        if now != channel.shown:
            number = channel.number
            await self.request(lambda request: p.Renew(request, number, now.kind, now.client_id, now.secret), p.Renewed)
            channel.shown = now

    async def close(self) -> None:
        self._closed = True
        await self.tasks.cancel()
        if self._http is not None:
            await self._http.close()
