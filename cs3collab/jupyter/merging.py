"""``api/cs3collab/merge/<path>`` and ``api/cs3collab/conflicts/<path>``. ``docs/reference/merge-api.md``."""

from __future__ import annotations

from typing import Any

import msgspec
from jupyter_server.auth.decorator import authorized
from tornado import web

from cs3collab.errors import CollabError, InvalidInput
from cs3collab.jupyter.history import MAX_BODY_BYTES, HistoryHandler, http_error
from cs3collab.jupyter.live import Live
from cs3collab.limits import DEFAULT, Limits
from cs3collab.rooms.room import Room, Seat
from cs3collab.types import MergedIn


class Version(msgspec.Struct, forbid_unknown_fields=True):
    """A request's body: the text of another version of the file, or the path (of the contents API) of a file that holds one.

    ``base`` is the text that it was made from, if that is known.
    """

    content: str | None = None
    base: str | None = None
    copy: str = ""


def parse_version(body: bytes, limits: Limits = DEFAULT) -> Version:
    """Raises `InvalidInput`."""
    if len(body) > 2 * limits.update_bytes:
        raise InvalidInput("the request is too long", hint=f"at most {2 * limits.update_bytes} bytes")
    try:
        version = msgspec.json.decode(body, type=Version)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the request cannot be read: {error}", hint='send {"content": "..."} or {"copy": "..."}') from error
    if (version.content is None) == (not version.copy):
        raise InvalidInput("either content or copy must be given", hint='send {"content": "..."} or {"copy": "..."}')
    return version


class Decision(msgspec.Struct, forbid_unknown_fields=True):
    """A request's body: the keys of the conflicts that somebody decides on, all or none."""

    keys: tuple[str, ...]


def parse_decision(body: bytes) -> Decision:
    """Raises `InvalidInput`."""
    hint = 'send {"keys": ["..."]}'
    if len(body) > MAX_BODY_BYTES:
        raise InvalidInput("the request is too long", hint=hint)
    try:
        return msgspec.json.decode(body, type=Decision)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the request cannot be read: {error}", hint=hint) from error


class MergeHandler(HistoryHandler):
    """As an edit of the user, who needs Editor."""

    @web.authenticated
    @authorized
    async def post(self, path: str) -> None:
        """`MergedIn` as JSON, when it is durable."""
        try:
            version = parse_version(self.request.body, self._live.limits)
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


class ConflictsHandler(HistoryHandler):
    """Of people who decide on a conflict in the same moment, one is told that they do: who is about to edit asks first."""

    @web.authenticated
    @authorized
    async def post(self, path: str) -> None:
        """``{"decided": bool}``, when it is durable."""
        try:
            keys = parse_decision(self.request.body).keys
        except CollabError as error:
            raise http_error(error) from error
        decided = await self._asked(path, lambda room, seat: room.decide(seat, keys))
        self.finish_with(msgspec.json.encode({"decided": decided}), "application/json")

    async def get(self, path: str) -> None:
        raise web.HTTPError(405)


def _beside(path: str, copy: str) -> str:
    """The name of the copy if it is in the folder of the document, where all who edit it can look."""
    folder, _, name = copy.strip("/").rpartition("/")
    return name if folder == path.strip("/").rpartition("/")[0] else ""


def routes(live: Live) -> list[tuple[Any, ...]]:
    return [
        (r"/api/cs3collab/merge/(.+)", MergeHandler, {"live": live}),
        (r"/api/cs3collab/conflicts/(.+)", ConflictsHandler, {"live": live}),
    ]
