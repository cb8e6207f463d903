"""``POST api/cs3collab/pen/<path>``: takes the right to edit a file that was edited on another server and is free now."""

from __future__ import annotations

from typing import Any

import msgspec
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from cs3collab import telemetry
from cs3collab.errors import CollabError, LockHeld, NotAuthorized, StorageUnavailable
from cs3collab.jupyter.handlers import Nobody, target_of
from cs3collab.jupyter.live import Live
from cs3collab.rooms.authority import Standing, may_edit
from cs3collab.rooms.room import Seat, Wants
from cs3collab.types import Role


class PenHandler(APIHandler):
    """To sit down in order to edit is to take the pen where it is free; the seat is left, for the browser has one."""

    auth_resource = "contents"

    def initialize(self, live: Live) -> None:
        self._live = live

    @web.authenticated
    @authorized
    async def post(self, path: str) -> None:
        """``{"role": "editor"}``; 423 when somebody else was faster, 403 for who may only read."""
        type = self.get_query_argument("type", "notebook" if path.endswith(".ipynb") else "file")
        try:
            target = await target_of(self.contents_manager, path, "json" if type == "notebook" else "text", type)
            room, seat = await self._live.join(target, lambda room: Nobody(), Wants.PEN)
            try:
                check(seat)
            finally:
                room.leave(seat)
        except CollabError as error:
            telemetry.REJECTED.labels(error.kind).inc()
            raise web.HTTPError(error.http_status, str(error)) from error
        self.finish(msgspec.json.encode({"role": "editor"}))


def check(seat: Seat) -> None:
    """Raises why the person has not got the pen. With a relay there is none, so whoever may not edit has no right to."""
    if seat.role is Role.EDITOR:
        return
    if not isinstance(seat.backing, Standing):
        raise NotAuthorized(seat.reason)
    if seat.offered:
        raise StorageUnavailable("the storage does not answer", hint="try again")
    raise LockHeld(seat.reason) if may_edit(seat) else NotAuthorized(seat.reason)


def routes(live: Live) -> list[tuple[Any, ...]]:
    return [(r"/api/cs3collab/pen/(.+)", PenHandler, {"live": live})]
