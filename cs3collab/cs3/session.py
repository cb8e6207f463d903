"""One identity at one gateway: adds the token to every call, and renews it once when it turns out to be why it was refused."""

from __future__ import annotations

import asyncio
import copy
import time
from typing import Any, Final, Self

from cs3.gateway.v1beta1 import gateway_api_pb2

from cs3collab.cs3 import convert
from cs3collab.cs3.auth import LoginToken, TokenProvider, token_expiry
from cs3collab.cs3.gateway import Gateway
from cs3collab.cs3.status import Unexplained
from cs3collab.errors import NotAuthenticated, NotAuthorized, NotFound
from cs3collab.types import User

_LOOKS_S: Final = (0.0, 0.05, 0.15)
"""Pauses before each further look for a file that was there: Reva v3's local storage has none while it replaces one."""
_REMEMBERED: Final = 1000
"""Files that are known to have been there, for each identity."""


class Session:
    """Made with `open` when ``user`` is needed at once; otherwise the first `whoami` fills it."""

    def __init__(self, gateway: Gateway, tokens: TokenProvider) -> None:
        self.gateway = gateway
        self.tokens = tokens
        self.timeout_s = gateway.timeout_s
        self._user: tuple[str, User] | None = None
        self._there: dict[bytes, None] = {}

    @classmethod
    async def open(cls, gateway: Gateway, tokens: TokenProvider) -> Self:
        """Proves the credential. Raises `NotAuthenticated` or `Unavailable`."""
        session = cls(gateway, tokens)
        await session.whoami()
        return session

    def patient(self, timeout_s: float) -> Self:
        """The same identity for calls that nobody waits for: each may take so long (seconds)."""
        other = copy.copy(self)
        other.timeout_s = timeout_s
        return other

    @property
    def user(self) -> User:
        """Raises `NotAuthenticated` before the first `whoami`."""
        if self._user is None:
            raise NotAuthenticated("nobody has asked the gateway yet who this is", hint="open the session first")
        return self._user[1]

    async def whoami(self) -> User:
        """Whom the gateway takes us for; a login says it, of other tokens it is asked once."""
        token = await self.tokens.token()
        if self._user is not None and self._user[0] == token:
            return self._user[1]
        user = self.tokens.user if isinstance(self.tokens, LoginToken) else None
        try:
            user = user or await self._who(token)
        except NotAuthenticated:
            token = await self._renewed(token)
            user = await self._who(token)
        self._user = (token, user)
        return user

    async def call(self, method: str, request: Any, timeout_s: float | None = None) -> Any:
        """`Gateway.call` with our token. A `NotFound` or `NotAuthorized` that escapes is real.

        Reva v2 answers NOT_FOUND, PERMISSION_DENIED, INTERNAL or UNKNOWN to an expired token; they are believed only once it is
        proved good. That a file which was there is gone is believed after several looks, a fifth of a second in all.
        """
        return await self._look(request, timeout_s) if method == "Stat" else await self._call(method, request, timeout_s)

    async def _look(self, request: Any, timeout_s: float | None) -> Any:
        which = request.ref.SerializeToString(deterministic=True)
        pauses = iter(_LOOKS_S if which in self._there else ())
        while True:
            try:
                response = await self._call("Stat", request, timeout_s)
            except NotFound:
                self._there.pop(which, None)
                pause = next(pauses, None)
                if pause is None:
                    raise
                await asyncio.sleep(pause)
            else:
                self._remember(which)
                return response

    def _remember(self, which: bytes) -> None:
        self._there.pop(which, None)
        self._there[which] = None
        if len(self._there) > _REMEMBERED:
            del self._there[next(iter(self._there))]

    async def _call(self, method: str, request: Any, timeout_s: float | None) -> Any:
        token, timeout_s = await self.tokens.token(), timeout_s or self.timeout_s
        try:
            return await self.gateway.call(method, request, token=token, timeout_s=timeout_s)
        except NotAuthenticated:
            pass
        except (NotFound, NotAuthorized, Unexplained):
            if await self._accepted(token):
                raise
        return await self.gateway.call(method, request, token=await self._renewed(token), timeout_s=timeout_s)

    async def pages(self, method: str, request: Any, field: str) -> list[Any]:
        """The entries of `field` of all pages of a listing."""
        return [entry for answer in await self.answers(method, request) for entry in getattr(answer, field)]

    async def answers(self, method: str, request: Any) -> list[Any]:
        """All pages of a listing."""
        found: list[Any] = []
        while True:
            response = await self.call(method, request)
            found.append(response)
            if response.next_page_token in ("", request.page_token):
                return found
            request.page_token = response.next_page_token

    async def _accepted(self, token: str) -> bool:
        expiry = token_expiry(token)
        if expiry is not None and expiry <= time.time():
            return False
        # a token may also have been revoked, or the gateway's secret changed: only the gateway knows
        try:
            await self._who(token)
        except (NotAuthenticated, NotAuthorized):  # v3 says the latter, also to a share's token, which a new login then proves
            return False
        return True

    async def _renewed(self, refused: str) -> str:
        current = await self.tokens.token()
        return current if current != refused else await self.tokens.renew()

    async def _who(self, token: str) -> User:
        request = gateway_api_pb2.WhoAmIRequest(token=token)
        return convert.from_user((await self.gateway.call("WhoAmI", request, token=token, timeout_s=self.timeout_s)).user)
