"""``api/cs3collab/merge/<path>``: brings another version of a live document in. ``docs/reference/merge-api.md``."""

from __future__ import annotations

from typing import Any

import msgspec
from jupyter_server.auth.decorator import authorized
from tornado import web

from cs3collab.errors import CollabError, InvalidInput
from cs3collab.jupyter.history import HistoryHandler, http_error
from cs3collab.jupyter.live import Live
from cs3collab.limits import DEFAULT
from cs3collab.rooms.room import Room, Seat
from cs3collab.types import MergedIn


class Version(msgspec.Struct, forbid_unknown_fields=True):
    """A request's body: the text of another version of the file, or the path (of the contents API) of a file that holds one.

    ``base`` is the text that it was made from, if that is known.
    """

    content: str | None = None
    base: str | None = None
    copy: str = ""


def parse_version(body: bytes) -> Version:
    """Raises `InvalidInput`."""
    if len(body) > 2 * DEFAULT.update_bytes:
        raise InvalidInput("the request is too long", hint=f"at most {2 * DEFAULT.update_bytes} bytes")
    try:
        version = msgspec.json.decode(body, type=Version)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the request cannot be read: {error}", hint='send {"content": "..."} or {"copy": "..."}') from error
    if (version.content is None) == (not version.copy):
        raise InvalidInput("either content or copy must be given", hint='send {"content": "..."} or {"copy": "..."}')
    return version


class MergeHandler(HistoryHandler):
    """As an edit of the user, who needs Editor."""

    @web.authenticated
    @authorized
    async def post(self, path: str) -> None:
        """`MergedIn` as JSON, when it is durable."""
        try:
            version = parse_version(self.request.body)
            theirs = await self._read(version.copy) if version.content is None else version.content.encode()
        except CollabError as error:
            raise http_error(error) from error
        base = None if version.base is None else version.base.encode()

        async def work(room: Room, seat: Seat) -> MergedIn:
            return await room.merge(seat, theirs, base, _beside(path, version.copy))

        self.finish_with(msgspec.json.encode(await self._asked(path, work)), "application/json")

    async def get(self, path: str) -> None:
        raise web.HTTPError(405)

    async def _read(self, path: str) -> bytes:
        spot = await self._live.settings.places.spot(path)
        return await spot.files.read(spot.ref, max_bytes=self._live.limits.document_bytes)


def _beside(path: str, copy: str) -> str:
    """The name of the copy if it is in the folder of the document, where all who edit it can look."""
    folder, _, name = copy.strip("/").rpartition("/")
    return name if folder == path.strip("/").rpartition("/")[0] else ""


def routes(live: Live) -> list[tuple[Any, ...]]:
    return [(r"/api/cs3collab/merge/(.+)", MergeHandler, {"live": live})]
