"""``api/cs3collab/history/<path>``: what a document said before, for the command line, for scripts and for the frontend.

``GET`` lists versions, or with ``position`` reads one; ``POST`` restores one or names it. ``docs/reference/history.md``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from cs3collab import telemetry
from cs3collab.errors import CollabError, DeadlineExceeded, InvalidInput
from cs3collab.jupyter.handlers import Nobody, target_of
from cs3collab.jupyter.live import Live
from cs3collab.rooms.room import Room, Seat, Wants

R = TypeVar("R")
MAX_BODY_BYTES = 10_000


class Change(msgspec.Struct, forbid_unknown_fields=True):
    """A request's body: with ``name`` the version is named (empty: its name is taken away), else it is restored."""

    position: int
    name: str | None = None


def parse_change(body: bytes) -> Change:
    """Raises `InvalidInput`."""
    if len(body) > MAX_BODY_BYTES:
        raise InvalidInput("the request is too long", hint=f"at most {MAX_BODY_BYTES} bytes")
    try:
        return msgspec.json.decode(body, type=Change)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"the request cannot be read: {error}", hint='send {"position": 12}, and a "name" to name it'
        ) from error


class HistoryHandler(APIHandler):
    """Takes a seat in the document for as long as the answer takes: storage decides who may ask, as for live editing."""

    auth_resource = "contents"

    def initialize(self, live: Live) -> None:
        self._live = live

    @web.authenticated
    @authorized
    async def get(self, path: str) -> None:
        """`History` as JSON; with ``at`` (Unix seconds) its ``found`` is filled in. With ``position`` the file as it was."""
        position, at = self._number("position", int), self._number("at", float)
        if position is not None:
            number = position
            self.finish_with(await self._asked(path, lambda room, seat: room.version(seat, number)), "application/octet-stream")
        else:
            history = await self._asked(path, lambda room, seat: room.versions(seat, at or 0.0))
            self.finish_with(msgspec.json.encode(history), "application/json")

    @web.authenticated
    @authorized
    async def post(self, path: str) -> None:
        """`Restored` or `Version` as JSON, when it is durable."""
        try:
            change = parse_change(self.request.body)
        except CollabError as error:
            raise http_error(error) from error

        async def work(room: Room, seat: Seat) -> Any:
            if change.name is None:
                return await room.restore(seat, change.position)
            return await room.name_version(seat, change.name, change.position)

        self.finish_with(msgspec.json.encode(await self._asked(path, work)), "application/json")

    def finish_with(self, content: bytes, type: str) -> None:
        self.set_header("Cache-Control", "no-store")
        self.finish(content, set_content_type=type)

    def _number(self, name: str, kind: Callable[[str], R]) -> R | None:
        text = self.get_query_argument(name, "")
        try:
            return kind(text) if text else None
        except ValueError as error:
            raise http_error(InvalidInput(f"{name} is not a number: {text[:40]!r}")) from error

    async def _asked(self, path: str, work: Callable[[Room, Seat], Awaitable[R]]) -> R:
        """Raises `tornado.web.HTTPError`."""
        limits = self._live.limits
        try:
            async with asyncio.timeout(limits.attach_timeout_s + 2 * limits.request_timeout_s):
                return await self._in_room(path, work)
        except TimeoutError as error:
            raise http_error(DeadlineExceeded("the history could not be had in time", hint="try again")) from error
        except CollabError as error:
            telemetry.REJECTED.labels(error.kind).inc()
            raise http_error(error) from error

    async def _in_room(self, path: str, work: Callable[[Room, Seat], Awaitable[R]]) -> R:
        notebook = path.endswith(".ipynb")
        type = self.get_query_argument("type", "notebook" if notebook else "file")
        target = await target_of(self.contents_manager, path, "json" if type == "notebook" else "text", type)
        wants = Wants.PEN if self.request.method == "POST" else Wants.ANSWER
        room, seat = await self._live.join(target, lambda room: Nobody(), wants)
        try:
            return await work(room, seat)
        finally:
            room.leave(seat)


def http_error(error: CollabError) -> web.HTTPError:
    """What the browser is told."""
    return web.HTTPError(error.http_status, str(error))


def routes(live: Live) -> list[tuple[Any, ...]]:
    return [(r"/api/cs3collab/history/(.+)", HistoryHandler, {"live": live})]
