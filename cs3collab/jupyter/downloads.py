"""``/files/PATH`` from CS3, as JupyterLab's Download asks for it: straight through, in pieces, with its exact length."""

from __future__ import annotations

import mimetypes
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.files.handlers import FilesHandler
from tornado import web
from tornado.iostream import StreamClosedError

from cs3collab.errors import NotFound
from cs3collab.jupyter import paths
from cs3collab.jupyter.models import http_errors
from cs3collab.types import FileInfo


def content_type(name: str) -> str:
    """As jupyter_server's own handler says it, but for text without a known ending, which cannot be told before it was read."""
    if name.lower().endswith(".ipynb"):
        return "application/x-ipynb+json"
    kind, encoding = mimetypes.guess_type(name)
    if encoding is not None:
        return "application/gzip" if encoding == "gzip" else "application/octet-stream"  # RFC 6713
    return "text/plain; charset=UTF-8" if kind == "text/plain" else kind or "application/octet-stream"


class CS3FilesHandler(FilesHandler):
    """The base class reads the whole file, in base64, on the event loop."""

    _etag: str | None = None

    @web.authenticated
    @authorized
    async def head(self, path: str) -> None:  # type: ignore[override]
        await self._serve(path, include_body=False)

    @web.authenticated
    @authorized
    async def get(self, path: str, include_body: bool = True) -> None:  # type: ignore[override]
        await self._serve(path, include_body=include_body)

    async def _serve(self, path: str, *, include_body: bool) -> None:
        self.check_xsrf_cookie()
        manager: Any = self.contents_manager
        path = path.strip("/")
        with http_errors():
            if not manager.allow_hidden and paths.is_hidden(path):
                raise NotFound(f"no such file: {path}")
            spot = await manager.places.spot(path)
            if not include_body:
                self._announce(await spot.files.stat(spot.ref), path)
                return
            async with spot.files.reading(spot.ref, max_bytes=manager.max_download_bytes) as (info, pieces):
                self._announce(info, path)
                await self._send(path, pieces)

    def _announce(self, info: FileInfo, path: str) -> None:
        name = paths.split(path)[1]
        if info.is_dir:
            raise web.HTTPError(400, f"{path} is a folder")
        if self.get_argument("download", None):
            self.set_attachment_header(name)
        self.set_header("Content-Type", content_type(name))
        self.set_header("Content-Length", str(info.size))
        self._etag = info.etag

    def compute_etag(self) -> str | None:
        """The storage's, for what is answered at once; the base class would look for a file on this machine."""
        return self._etag

    async def _send(self, path: str, pieces: Any) -> None:
        """Once it has begun, a failure can only be told by an end that comes too early."""
        try:
            async for piece in pieces:
                self.write(piece)
                await self.flush()
        except StreamClosedError:
            return
        except BaseException as error:
            self.log.warning("the download of %s ends early: %r", path, error)
            connection: Any = self.request.connection
            connection.stream.close()
            raise
