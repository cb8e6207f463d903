"""An identity provider (OpenID Connect), whose tokens are logins too."""

from __future__ import annotations

import logging
from typing import Any, Final

import aiohttp
import msgspec

log = logging.getLogger(__name__)

DEADLINE_S: Final = 10.0
_MOST_BYTES: Final = 2**20


class Provider:
    """Asks the provider at `url` whose a token is, as Reva v2 does. Without one nobody is known. Used from the event loop."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http: aiohttp.ClientSession | None = None
        self._userinfo = ""

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()

    async def claims(self, token: str) -> dict[str, Any] | None:
        """What the provider says of the person; None for a token that it does not take, and when it does not answer."""
        if not self._url or not token.isascii() or not token.isprintable():
            return None
        try:
            if not self._userinfo:
                self._userinfo = str((await self._get(f"{self._url}/.well-known/openid-configuration"))["userinfo_endpoint"])
            return await self._get(self._userinfo, Authorization=f"Bearer {token}")
        except aiohttp.ClientResponseError as error:
            log.info("the identity provider does not take a token: HTTP %d", error.status)
        except (aiohttp.ClientError, TimeoutError, msgspec.MsgspecError, KeyError) as error:
            log.warning("the identity provider %s does not answer as it should: %s", self._url, type(error).__name__)
        return None

    async def _get(self, url: str, **headers: str) -> dict[str, Any]:
        if self._http is None:
            self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE_S))
        async with self._http.get(url, headers=headers, allow_redirects=False, raise_for_status=True) as answer:
            body = bytearray()
            while len(body) < _MOST_BYTES and (piece := await answer.content.read(_MOST_BYTES - len(body))):
                body += piece
            return msgspec.json.decode(body, type=dict[str, Any])
