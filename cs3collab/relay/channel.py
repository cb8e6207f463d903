"""One user's way into one room over a link: outbox, acknowledgements, and what the relay said at attach."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from itertools import count
from typing import TYPE_CHECKING

from cs3collab.errors import CollabError, NotAuthenticated, from_kind
from cs3collab.relay import protocol as p
from cs3collab.rooms.room import SaveResult
from cs3collab.types import Credential, Role, SiteId, Target, User

if TYPE_CHECKING:
    from cs3collab.relay.link import Link

Credentials = Callable[[], Awaitable[Credential]]
"""Gives the user's credential as it is now; asked again on every connection, so a rotated token is picked up."""
RETRY_AFTER_REFUSAL_S = 2.0


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


class LinkChannel:
    """One user's way into one room. Survives reconnections: what is not acknowledged is sent again."""

    def __init__(self, link: Link, number: int, target: Target, credentials: Credentials) -> None:
        self._link = link
        self.number = number
        self.target = target
        self.credentials = credentials
        self.attached: p.Attached | None = None
        self.shown: Credential | None = None
        self.ready = False
        self.outbox_bytes = 0
        self._outbox: OrderedDict[int, tuple[bytes, asyncio.Future[int]]] = OrderedDict()
        self._seq = count(1)
        self.on_role: Callable[[Role, str], None] = lambda role, reason: None
        self.on_detached: Callable[[CollabError], None] = lambda error: None

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
        return Role(self.said.role)

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
        seq = next(self._seq)
        durable: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._outbox[seq] = (update, durable)
        self.outbox_bytes += len(update)
        if self.ready:
            self._link.send(p.Push(self.number, seq, update))
        return durable

    def resend(self) -> None:
        """Everything unacknowledged, in order."""
        for seq, (update, _) in self._outbox.items():
            self._link.send(p.Push(self.number, seq, update))

    def acknowledged(self, seq: int, position: int) -> None:
        if (entry := self._outbox.pop(seq, None)) is not None:
            self.outbox_bytes -= len(entry[0])
            if not entry[1].done():
                entry[1].set_result(position)

    def refused(self, message: p.Refuse) -> None:
        """What may pass later stays in the outbox; the rest is told to whoever waits."""
        error = from_kind(message.kind, message.message, message.hint)
        if error.http_status == 503:
            self._link.tasks.start(self._retry(message.seq))
            return
        if (entry := self._outbox.pop(message.seq, None)) is not None:
            self.outbox_bytes -= len(entry[0])
            if not entry[1].done():
                entry[1].set_exception(error)

    async def _retry(self, seq: int) -> None:
        await asyncio.sleep(RETRY_AFTER_REFUSAL_S)
        if self.ready and (entry := self._outbox.get(seq)) is not None:
            self._link.send(p.Push(self.number, seq, entry[0]))

    def awareness(self, update: bytes) -> None:
        if self.ready:
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

    def pending(self) -> list[bytes]:
        return [update for update, _ in self._outbox.values()]

    def close(self) -> None:
        self._link.drop(self)
        for _, durable in self._outbox.values():
            durable.cancel()
        self._outbox.clear()

    def fail(self, error: CollabError) -> None:
        for _, durable in self._outbox.values():
            if not durable.done():
                durable.set_exception(error)
                durable.exception()  # whoever waits sees it; nobody waiting is no leak
        self._outbox.clear()
        self.on_detached(error)
