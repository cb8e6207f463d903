"""A document's history as the REST of a Jupyter server tells it: for `cs3collab.client` and the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from cs3collab.errors import (
    CollabError,
    Conflict,
    Corrupt,
    DeadlineExceeded,
    InvalidInput,
    NotAuthenticated,
    NotAuthorized,
    NotFound,
    Overloaded,
    PeerUnavailable,
    Unsupported,
)
from cs3collab.types import History, MergedIn, Restored, Version

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Bytes that came, and all that will (0: unknown)."""
REFUSALS: dict[int, type[CollabError]] = {
    cls.http_status: cls
    for cls in (
        *(InvalidInput, NotAuthenticated, NotAuthorized, NotFound, Conflict, Corrupt),
        *(Overloaded, Unsupported, PeerUnavailable, DeadlineExceeded),
    )
}
_CHUNK_BYTES = 2**18


class HistoryClient:
    """Asks about the document at `path` of the Jupyter server at `url`. `http` shows the user's token, in a header.

    Every method raises one of `cs3collab.errors`: what the server said, `PeerUnavailable`, or `DeadlineExceeded`.
    """

    def __init__(self, http: aiohttp.ClientSession, url: str, path: str, kind: str, timeout_s: float = 120.0) -> None:
        self._http = http
        self._server = url.rstrip("/")
        self._path = quote(path.strip("/"))
        self._kind = kind
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)

    async def versions(self, at: float | None = None) -> History:
        """``found`` is the position at the time `at` (Unix seconds)."""
        query = {} if at is None else {"at": repr(at)}
        return _decoded(await self._request("GET", query), History)

    async def at(self, position: int, progress: Progress = lambda done, total: None) -> bytes:
        """The file as it would have been after the edit at `position`."""
        return await self._request("GET", {"position": str(position)}, progress=progress)

    async def restore(self, position: int) -> Restored:
        """Makes the live document say what it said then, as a new edit; returns when that is durable."""
        return _decoded(await self._request("POST", {}, {"position": position}), Restored)

    async def name_version(self, name: str, position: int) -> Version:
        """An empty `name` takes the name away."""
        return _decoded(await self._request("POST", {}, {"position": position, "name": name}), Version)

    async def merge(self, content: bytes, base: bytes | None = None) -> MergedIn:
        """Brings another version of the file in, made from `base` (None: not known), as an edit; returns when it is durable.

        Raises `NotAuthorized` for viewers, `NotANotebook`.
        """
        body = {"content": content.decode(), "base": None if base is None else base.decode()}
        return _decoded(await self._request("POST", {}, body, about="merge"), MergedIn)

    async def _request(
        self,
        method: str,
        query: dict[str, str],
        body: Any = None,
        progress: Progress = lambda done, total: None,
        about: str = "history",
    ) -> bytes:
        url = f"{self._server}/api/cs3collab/{about}/{self._path}"
        data = bytearray()
        query = {"type": self._kind, **query}
        try:
            options: dict[str, Any] = {"params": query, "json": body, "timeout": self._timeout, "allow_redirects": False}
            async with self._http.request(method, url, **options) as answer:
                async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
                    data += chunk
                    progress(len(data), answer.content_length or 0)
        except TimeoutError as error:
            raise DeadlineExceeded(f"{self._server} did not answer in time", hint="try again") from error
        except (aiohttp.ClientError, OSError) as error:
            raise PeerUnavailable(f"no Jupyter server answers at {self._server}", hint="is the address right?") from error
        if answer.status >= 300:
            raise self._refusal(answer.status, bytes(data))
        return bytes(data)

    def _refusal(self, status: int, body: bytes) -> CollabError:
        try:
            message = str(json.loads(body)["message"])
        except (ValueError, KeyError, TypeError):
            message = ""
        if status in (401, 403) and message in ("", "Forbidden"):
            return NotAuthenticated(f"{self._server} does not accept the token", hint="give the server's token")
        if not message and status == 404:
            return Unsupported(f"{self._server} knows no history", hint="is cs3collab switched on there, and up to date?")
        return REFUSALS.get(status, PeerUnavailable)(message or f"{self._server} answered {status}")


def _decoded(data: bytes, type: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=type)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PeerUnavailable("the Jupyter server's answer cannot be read", hint="is it of another version?") from error
