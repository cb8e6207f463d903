"""Uploads in pieces, by the tus protocol 1.0: https://tus.io/protocols/resumable-upload"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from cs3collab.gateway.receiving import Part
from cs3collab.gateway.sessions import Sessions, Upload
from cs3collab.gateway.status import Refused

VERSION: Final = "1.0.0"
_TYPE: Final = "application/offset+octet-stream"

Finish = Callable[[str, Upload, Part], Awaitable[web.Response]]


class Tus:
    """``HEAD`` and ``PATCH`` of an upload. `new` makes a part, `finish` puts a whole one in its place.

    With ``exact`` more than was announced is refused, as by Reva v2; v3 leaves away the rest.
    """

    def __init__(self, sessions: Sessions, new: Callable[[], Awaitable[Part]], finish: Finish, *, exact: bool) -> None:
        self._sessions = sessions
        self._new = new
        self._finish = finish
        self._exact = exact
        self._parts: dict[str, Part] = {}

    async def head(self, key: str, upload: Upload) -> web.Response:
        part = self._parts.get(key)
        return _said(200, part.size if part else 0, **{"Upload-Length": str(upload.size or 0), "Cache-Control": "no-store"})

    async def patch(self, request: web.Request, key: str, upload: Upload, limit: int) -> web.Response:
        """Raises 412 for another version, 400 for another type, 409 for another place than the last piece ended at, 413."""
        if request.headers.get("Tus-Resumable") != VERSION:
            raise web.HTTPPreconditionFailed(text="Tus-Resumable is not 1.0.0\n", headers={"Tus-Version": VERSION})
        if request.content_type != _TYPE:
            raise web.HTTPBadRequest(text=f"the type of a piece is {_TYPE}\n")
        size = min(upload.size or 0, limit)
        if not size:
            raise web.HTTPNotFound(text="an empty file needs no upload\n")
        await self._forget_expired()
        part = self._parts.get(key) or await self._begin(key)
        async with part.busy:
            if request.headers.get("Upload-Offset") != str(part.size):
                raise web.HTTPConflict(text=f"the next piece is from {part.size} on\n")
            await part.receive(request, size, cut=not self._exact)
            if part.size < size:
                return _said(204, part.size)
            del self._parts[key]
            done = await self._finish(key, upload, part)
            done.set_status(204)
            done.headers.update(_said(204, part.size).headers)
            return done

    async def _begin(self, key: str) -> Part:
        made = await self._new()
        part = self._parts.setdefault(key, made)
        if part is not made:  # another request was faster
            await made.discard()
        return part

    async def _forget_expired(self) -> None:
        for key in list(self._parts):
            try:
                self._sessions.get(key)
            except Refused:
                await self._parts.pop(key).discard()


def _said(status: int, offset: int, **headers: str) -> web.Response:
    return web.Response(status=status, headers={"Tus-Resumable": VERSION, "Upload-Offset": str(offset)} | headers)
