"""One user's way into one room over a link: outbox, acknowledgements, and what the relay said at attach."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from cs3collab.errors import (
    CollabError,
    NotAuthenticated,
    NotFound,
    Overloaded,
    PeerUnavailable,
    Unavailable,
    Unsupported,
    from_kind,
)
from cs3collab.relay import protocol as p
from cs3collab.relay.history import AsksHistory
from cs3collab.rooms.registry import Credentials
from cs3collab.rooms.room import SaveResult
from cs3collab.types import Credential, Role, SiteId, Target, User

if TYPE_CHECKING:
    from cs3collab.relay.link import Link

R = TypeVar("R")
RETRY_AFTER_REFUSAL_S = 2.0
OVERHEAD_BYTES = 512
"""What a waiting update takes beyond its bytes, so that the bound on the outbox also bounds a million tiny ones."""


def authorization(credential: Credential) -> str:
    """The upgrade's ``Authorization`` header."""
    if credential.kind == "bearer":
        return f"Bearer {credential.secret}"
    return "OCM " + base64.b64encode(f"{credential.client_id}:{credential.secret}".encode()).decode()


def credential_of(header: str) -> Credential:
    """Inverse of `authorization`. Raises `NotAuthenticated`."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return Credential("bearer", value.strip())
    if scheme == "OCM":
        with contextlib.suppress(ValueError):
            client_id, colon, secret = base64.b64decode(value, validate=True).decode().partition(":")
            if client_id and colon:
                return Credential("ocm", secret, client_id)
    raise NotAuthenticated("no credential was shown", hint="send Authorization: Bearer with a token of this site")


class LinkChannel(AsksHistory):
    """One user's way into one room. Survives reconnections: what is not acknowledged is sent again."""

    def __init__(self, link: Link, number: int, target: Target, credentials: Credentials) -> None:
        self._link = link
        self.number = number
        self.target = target
        self.credentials = credentials
        self.attached: p.Attached | None = None
        self.shown: Credential | None = None
        self.ready = False
        self.parted = False
        """The authority's history is now another one: what is in the outbox belongs to the old, and is not for it."""
        self.outbox_bytes = 0
        self.ended: CollabError | None = None
        self._outbox: OrderedDict[int, tuple[bytes, asyncio.Future[int]]] = OrderedDict()
        self._seq = count(1)
        self.on_role: Callable[[Role, str], None] = lambda role, reason: None
        self.on_detached: Callable[[CollabError], None] = lambda error: None

    @property
    def speaks(self) -> bool:
        return self.ready and not self.parted

    @property
    def said(self) -> p.Attached:
        """What the relay answered when this channel was last attached."""
        assert self.attached is not None
        return self.attached

    @property
    def room(self) -> str:
        return self.said.room

    @property
    def role(self) -> Role:
        return self.said.role

    @property
    def reason(self) -> str:
        return self.said.reason

    @property
    def name(self) -> str:
        return self.said.name

    @property
    def home(self) -> SiteId:
        return SiteId(self.said.home)

    @property
    def user(self) -> User:
        return User(self.said.user_id, self.said.user_idp, self.said.username, self.said.display_name)

    def push(self, update: bytes) -> Awaitable[int]:
        """Raises the error that ended this channel, if one did."""
        seq = next(self._seq)
        durable: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self.ended is not None:
            durable.set_exception(self.ended)
            return durable
        self._outbox[seq] = (update, durable)
        self.outbox_bytes += len(update) + OVERHEAD_BYTES
        if self.speaks:
            self._link.send(p.Push(self.number, seq, update))
        return durable

    async def resend(self) -> None:
        """Everything unacknowledged, in order, as fast as the relay reads; what is pushed meanwhile comes after it."""
        sent = 0
        while waiting := [seq for seq in self._outbox if seq > sent]:
            for seq in waiting:
                await self._link.drain()
                if (entry := self._outbox.get(seq)) is not None:
                    self._link.send(p.Push(self.number, seq, entry[0]))
                sent = seq

    def acknowledged(self, seq: int, position: int) -> None:
        if (durable := self._taken_out(seq)) is not None:
            durable.set_result(position)

    def refused(self, message: p.Refuse) -> None:
        """What may pass later stays in the outbox; the rest is told to whoever waits."""
        error = from_kind(message.kind, message.message, message.hint)
        if isinstance(error, NotFound) and not self.ready:
            return  # it came after its channel had been closed; it is sent again on the next
        if isinstance(error, Unavailable | Overloaded):
            self._link.tasks.start(self._retry(message.seq))
        elif (durable := self._taken_out(message.seq)) is not None:
            durable.set_exception(error)

    def _taken_out(self, seq: int) -> asyncio.Future[int] | None:
        """Who still waits for it."""
        update, durable = self._outbox.pop(seq, (None, None))
        if update is None or durable is None:
            return None
        self.outbox_bytes -= len(update) + OVERHEAD_BYTES
        return None if durable.done() else durable

    def role_changed(self, role: Role, reason: str) -> None:
        self.said.role, self.said.reason = role, reason
        self.on_role(role, reason)

    async def _retry(self, seq: int) -> None:
        await asyncio.sleep(RETRY_AFTER_REFUSAL_S)
        if self.speaks and (entry := self._outbox.get(seq)) is not None:
            self._link.send(p.Push(self.number, seq, entry[0]))

    def awareness(self, update: bytes) -> None:
        if self.speaks:
            self._link.send(p.Speak(self.number, update))

    async def save(self) -> SaveResult:
        if not self.ready:
            return SaveResult(
                "failed", message="the home site cannot be reached; your edits are kept and go up when it is back"
            )
        try:
            saved = await self._link.request(lambda request: p.Save(request, self.number), p.Saved)
        except CollabError as error:
            return SaveResult("failed", message=str(error))
        return SaveResult(saved.status, saved.position, saved.etag, saved.message)

    @property
    def update_bytes(self) -> int:
        return self._link.update_bytes

    async def asked(self, build: Callable[[int], p.Message], answer: type[R], feature: str = p.HISTORY) -> R:
        """Raises `PeerUnavailable`, and `Unsupported` before a relay that does not know the question would cut the link."""
        if not self.speaks:
            raise self.ended or PeerUnavailable("the home site cannot be reached", hint="try again when it is back")
        if feature not in self.said.features:
            url = self._link.url.removesuffix(p.LINK_PATH)
            raise Unsupported(f"the relay at {url} is too old for {feature}", hint="ask its operators to update cs3collab")
        return await self._link.request(build, answer)

    def pending(self) -> list[bytes]:
        return [update for update, _ in self._outbox.values()]

    def close(self) -> None:
        self._link.drop(self)
        for _, durable in self._emptied():
            durable.cancel()

    def fail(self, error: CollabError) -> None:
        self.ready = False
        self.ended = error
        for _, durable in self._emptied():
            if not durable.done():
                durable.set_exception(error)
                durable.exception()  # whoever waits sees it; nobody waiting is no leak
        self.on_detached(error)

    def _emptied(self) -> list[tuple[bytes, asyncio.Future[int]]]:
        entries = list(self._outbox.values())
        self._outbox.clear()
        self.outbox_bytes = 0
        return entries
