"""The HTTP data endpoint: bytes in and out, for who holds a transfer token."""

from __future__ import annotations

import asyncio
import logging
from email.utils import formatdate
from typing import BinaryIO, Final

from aiohttp import web

from cs3collab.errors import NotAuthenticated
from cs3collab.gateway import identity, status, transfers
from cs3collab.gateway.index import Node
from cs3collab.gateway.local import Local, etag
from cs3collab.gateway.receiving import CHUNK_BYTES, Part
from cs3collab.gateway.sessions import Download, Upload
from cs3collab.gateway.site import Site
from cs3collab.gateway.status import Refused
from cs3collab.gateway.tus import Tus
from cs3collab.gateway.view import View

log = logging.getLogger(__name__)

TRANSFER_HEADER: Final = "X-Reva-Transfer"

# As measured on Reva 2.48: what the upload cannot know of is a 500 (a lock that came, a file that went), what it lost a 412.
_UPLOAD_STATUS: Final = {
    status.NOT_FOUND: 500,
    status.LOCKED: 500,
    status.ABORTED: 412,
    status.ALREADY_EXISTS: 412,
    status.FAILED_PRECONDITION: 412,
    status.INTERNAL: 412,
}


class ChecksumMismatch(web.HTTPClientError):
    """Reva v2's answer; no standard has this code."""

    status_code = 419


class DataEndpoint:
    """``/data``, where InitiateFileUpload and InitiateFileDownload point to."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._tus = Tus(site.sessions, self._part, self._put, exact=site.config.locks)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.put("/data", self.put),
            web.patch("/data", self.patch),
            web.get("/data", self.get, allow_head=False),
            web.head("/data", self.head),
        ]

    def _session(self, request: web.Request) -> tuple[str, Upload | Download]:
        try:
            key = self._site.tokens.check_transfer(request.headers.get(TRANSFER_HEADER, ""))
        except NotAuthenticated as error:
            raise web.HTTPForbidden(text=f"{error}\n") from error
        try:
            return key, self._site.sessions.get(key)
        except Refused as refused:
            lost = web.HTTPInternalServerError if request.method == "PUT" else web.HTTPNotFound
            raise lost(text=f"{refused}\n") from refused

    def _upload(self, request: web.Request) -> tuple[str, Upload]:
        key, session = self._session(request)
        if not isinstance(session, Upload):
            raise web.HTTPForbidden(text="this token is for a download\n")
        if not self._site.config.locks:
            self._check_login(request)
        return key, session

    def _check_login(self, request: web.Request) -> None:
        """Reva wants an access token too, and without one finds nothing."""
        try:
            identity.caller_of(self._site, request.headers.get("X-Access-Token", ""))
        except NotAuthenticated as error:
            text = f"{error}\n"
            raise (web.HTTPNotFound(text=text) if self._site.config.locks else web.HTTPUnauthorized(text=text)) from error

    async def _part(self) -> Part:
        return Part(await self._site.run(self._site.tree.new_temp))

    async def put(self, request: web.Request) -> web.Response:
        """Stores the body, whatever length was announced, as Reva does. 413 past the limit, 507 when the disk is full.

        419 for another checksum than was announced: it is what keeps a body that was cut on its way from being stored.
        """
        key, upload = self._upload(request)
        if self._site.config.locks:
            _check_announced(upload)
        limit, expected = self._site.config.upload_bytes, max(upload.size or 0, request.content_length or 0)
        if expected > limit:
            raise web.HTTPRequestEntityTooLarge(limit, expected)
        part = await self._part()
        try:
            await self._receive(part, request, limit)
        except BaseException:
            await part.discard()
            raise
        return await self._put(key, upload, part)

    async def _receive(self, part: Part, request: web.Request, limit: int) -> None:
        """The body; for Reva v3 what has come of one that broke off is a body too."""
        try:
            await part.receive(request, limit)
        except ConnectionError:
            if self._site.config.locks:
                raise

    async def patch(self, request: web.Request) -> web.Response:
        """A piece of a body. 500 for another checksum than was announced, else as `Tus.patch` and `put`."""
        try:
            return await self._tus.patch(request, *self._upload(request), self._site.config.upload_bytes)
        except ChecksumMismatch as error:
            raise web.HTTPInternalServerError(text=error.text) from error

    async def head(self, request: web.Request) -> web.StreamResponse:
        key, session = self._session(request)
        return await self._tus.head(key, session) if isinstance(session, Upload) else await self.get(request)

    async def _put(self, key: str, upload: Upload, part: Part) -> web.Response:
        try:
            self._site.sessions.take(key)
            if upload.checksum and not await asyncio.to_thread(upload.checksum.fits, part.temp, part.sha1):
                raise ChecksumMismatch(text="the bytes have another checksum than was announced\n")
            return web.Response(headers=await self._finish(upload, part))
        except Refused as refused:
            code = _UPLOAD_STATUS.get(refused.code, 500) if self._site.config.locks else 500
            raise _http_error(code, str(refused)) from refused
        except OSError as error:
            if status.no_space(error):
                raise web.HTTPInsufficientStorage(text="no space left\n") from error
            raise
        finally:
            await part.discard()

    async def _finish(self, upload: Upload, part: Part) -> dict[str, str]:
        """The headers that say what is there now; Reva v3 says nothing."""
        if not self._site.config.locks:
            local = Local(self._site, upload.caller)
            await self._site.run(lambda: local.finish(upload.name, part.temp))
            return {}
        node = await self._site.run(lambda: transfers.finish(View(self._site, upload.caller), upload, part.temp, part.sha1))
        return _describe(self._site, node)

    def _open(self, session: Download) -> transfers.Content:
        if self._site.config.locks:
            return transfers.open_content(View(self._site, session.caller), session)
        file, info = Local(self._site, session.caller).open(session.ref)
        return transfers.Content(file, info.st_size, etag(info), "", info.st_mtime_ns)

    async def get(self, request: web.Request) -> web.StreamResponse:
        _, session = self._session(request)
        if not isinstance(session, Download):
            raise web.HTTPForbidden(text="this token is for an upload\n")
        if not session.caller.share_id:  # the guest of another site is known to its own gateway only
            self._check_login(request)
        try:
            content = await self._site.run(lambda: self._open(session))
        except FileNotFoundError as error:
            raise web.HTTPNotFound(text="the file is gone\n") from error
        except Refused as refused:
            raise _http_error(403 if refused.code == status.PERMISSION_DENIED else 404, str(refused)) from refused
        try:
            headers = {"ETag": content.etag, "Last-Modified": formatdate(content.mtime_ns / 1e9, usegmt=True)}
            response = web.StreamResponse(headers=headers)
            response.content_length = content.size
            response.content_type = "application/octet-stream"
            await response.prepare(request)
            if request.method != "HEAD":
                await _send(response, content.file, content.size)
            return response
        finally:
            await asyncio.to_thread(content.file.close)


def _check_announced(upload: Upload) -> None:
    if upload.size is None:
        raise web.HTTPInternalServerError(text="the upload was announced without its length\n")
    if upload.size == 0:
        raise web.HTTPBadRequest(text="an empty file needs no upload\n")


async def _send(response: web.StreamResponse, file: BinaryIO, size: int) -> None:
    while size > 0:
        chunk = await asyncio.to_thread(file.read, min(size, CHUNK_BYTES))
        if not chunk:  # breaking the connection is the only way left to say so
            response.force_close()
            raise ConnectionResetError("the file is shorter than was said")
        await response.write(chunk)
        size -= len(chunk)


def _describe(site: Site, node: Node) -> dict[str, str]:
    return {
        "ETag": node.etag,
        "OC-ETag": node.etag,
        "OC-Fileid": f"{site.storage_id}${node.space}!{node.id}",
        "Last-Modified": formatdate(node.mtime_ns / 1e9, usegmt=True),
    }


def _http_error(code: int, text: str) -> web.HTTPException:
    kinds: dict[int, type[web.HTTPException]] = {
        403: web.HTTPForbidden,
        404: web.HTTPNotFound,
        412: web.HTTPPreconditionFailed,
        500: web.HTTPInternalServerError,
    }
    return kinds[code](text=f"{text}\n")
