"""The gatekeeper: turns a credential and a target into an admission at our own storage, or into where to ask instead.

Storage decides. A bearer token is shown to our gateway (WhoAmI, then Stat). An OCM share's credential becomes
a scoped token of our gateway (``Authenticate("ocmshares", …)``); the role is the smaller of the token's and the file's, as Reva
v2.48 leaves one of them too high after a downgrade.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from cs3collab.cs3 import shares
from cs3collab.cs3.auth import BearerToken, OCMShareToken, TokenProvider, shared_resource, shared_role
from cs3collab.cs3.capabilities import Noticed, NoticingFiles
from cs3collab.cs3.files import Files
from cs3collab.cs3.gateway import Gateway
from cs3collab.cs3.session import Session
from cs3collab.errors import (
    InvalidInput,
    NotAuthenticated,
    NotAuthorized,
    NotFound,
    StorageUnavailable,
    Unavailable,
    Unsupported,
)
from cs3collab.rooms.authority import Standing
from cs3collab.rooms.registry import Admission, Credentials, Forward
from cs3collab.types import Credential, FileInfo, Ref, Role, RoomId, SiteId, Target

VIEWER_REASON = "your share of this document says Viewer; you can watch, but not change it"
REACHABLE_S = 10.0
"""How long the gateway may take to say that it is there."""
KINDS = {("json", "notebook"), ("text", "file")}
"""What jupyter-collaboration opens together: pairs of format and type."""


class HeldToken:
    """The bearer token of a channel, as its owner last renewed it."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def token(self) -> str:
        return (await self._credentials()).secret

    async def renew(self) -> str:
        """We cannot renew somebody else's token: the channel's owner sends a new one. Raises `NotAuthenticated`."""
        raise NotAuthenticated("the token of this user is no longer valid", hint="log in again")


@dataclass(frozen=True, slots=True)
class Gatekeeper:
    """``relays`` maps the domain of another site to the URL of its relay; ``noticed`` learns from saves of the admitted."""

    site: SiteId
    gateway: Gateway
    relays: dict[str, str]
    noticed: Noticed = field(default_factory=Noticed)

    async def identify(self, credential: Credential) -> None:
        """Proves a credential before anything is allocated for it. Raises `NotAuthenticated` or `Unavailable`."""
        await Session.open(self.gateway, self._tokens(_constant(credential), credential))

    async def reachable(self) -> None:
        """Raises `Unavailable` while our gateway does not answer within `REACHABLE_S`."""
        try:
            async with asyncio.timeout(REACHABLE_S):
                with contextlib.suppress(NotAuthenticated):
                    await Session(self.gateway, BearerToken("none")).whoami()
        except (Unavailable, TimeoutError) as error:
            reason = error.message if isinstance(error, Unavailable) else f"no answer within {REACHABLE_S:.0f} s"
            hint = f"check gateway.address and gateway.tls, and that it runs; {reason}"
            raise StorageUnavailable(f"the gateway at {self.gateway.address} cannot be reached", hint=hint) from error

    def _tokens(self, credentials: Credentials, credential: Credential) -> TokenProvider:
        if credential.kind == "ocm":
            return OCMShareToken(self.gateway, credential.client_id, credential.secret)
        return HeldToken(credentials)

    async def admit(self, target: Target, credentials: Credentials) -> Admission | Forward:
        if (target.format, target.type) not in KINDS:
            raise InvalidInput(
                f"{target.type[:20]!r} in the format {target.format[:20]!r} cannot be edited together",
                hint="open it as a notebook or as text",
            )
        credential = await credentials()
        if target.share_id:
            return await self._forward(target, credentials, credential)
        tokens = self._tokens(credentials, credential)
        session = await Session.open(self.gateway, tokens)
        files = NoticingFiles(session, self.noticed)
        resource = target.resource_id
        if credential.kind == "ocm":
            resource = shared_resource(await tokens.token())
        if resource is None:
            raise InvalidInput("no document was named", hint="give a resource id or a share")
        info = await files.stat(Ref(path_in_share(target.path), resource))
        if info.is_dir:
            raise InvalidInput(f"{info.name} is a folder", hint="open a file in it")
        standing = Standing(files, _recheck(files, tokens, info, credential.kind))
        role, reason = role_of(info, shared_role(await tokens.token()) if credential.kind == "ocm" else None)
        if role is Role.NONE:
            raise NotAuthorized(f"you may not read {info.name}", hint="ask its owner to share it with you")
        room_id = RoomId(target.format, target.type, info.id.file_id)
        return Admission(room_id, info, session.user, role, reason, standing)

    async def _forward(self, target: Target, credentials: Credentials, credential: Credential) -> Forward:
        if credential.kind != "bearer":
            raise InvalidInput("a received share is opened with a token of the receiving site", hint="log in at your own site")
        session = await Session.open(self.gateway, HeldToken(credentials))
        return await forward_share(session, target, self.relays)


async def forward_share(session: Session, target: Target, relays: dict[str, str]) -> Forward:
    """Where a received OCM share lives, and the credential the home site takes for it. Raises `NotFound`, `Unsupported`."""
    received = await shares.received_ocm_share(session, target.share_id)
    url = relays.get(received.home)
    if url is None:
        raise Unsupported(
            f"no relay is known for {received.home}, where {received.name} lives",
            hint="ask your operator to add it to the relay's [relays]",
        )
    onward = Target(target.format, target.type, None, "", target.path)
    credential = Credential("ocm", received.shared_secret, received.remote_share_id)
    return Forward(url, onward, _constant(credential))


def _constant(credential: Credential) -> Credentials:
    async def same() -> Credential:
        return credential

    return same


def role_of(info: FileInfo, token_role: Role | None) -> tuple[Role, str]:
    """The smaller of what the file's permissions and the token's scope allow, and why it is not more."""
    role = info.role if token_role is None else min(info.role, token_role)
    return role, VIEWER_REASON if role is Role.VIEWER else ""


def path_in_share(path: str) -> str:
    """As CS3 wants it under a resource id. Raises `InvalidInput` for a way out of the share."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise InvalidInput("a path leads out of what is shared", hint="name a file in the share")
    return "/".join((".", *parts))


def _recheck(files: Files, tokens: TokenProvider, info: FileInfo, kind: str) -> Callable[[], Awaitable[tuple[Role, str]]]:
    user = files.user

    async def recheck() -> tuple[Role, str]:
        token_role = shared_role(await tokens.renew()) if kind == "ocm" else None
        if (now := await files.session.whoami()).key != user.key:
            raise NotAuthenticated(f"this is a credential of {now.label}, not of {user.label}", hint="log in again")
        try:
            return role_of(await files.stat(Ref.of(info.id)), token_role)
        except NotFound:
            if kind == "bearer" and info.owner == user.opaque_id:
                return Role.EDITOR, ""  # nobody takes a file from its owner: it was deleted, which the keeper says
            raise

    return recheck
