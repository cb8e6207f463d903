"""The URLs of jupyter-collaboration's server extension, served from our rooms, for its stock frontend.

``PUT api/collaboration/session/<path>`` names the room of a file, the websocket ``api/collaboration/room/<room>`` is the way
in. ``sessionId`` is the lineage: a browser that comes back with another one holds another history, and must load anew.
"""

from __future__ import annotations

import json
import re
from typing import Any

from jupyter_server.auth.decorator import authorized, ws_authenticated
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado import web
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from cs3collab import telemetry
from cs3collab.errors import CollabError, InvalidInput, LineageDiverged, NotFound
from cs3collab.jupyter.contents import CS3ContentsManager
from cs3collab.jupyter.live import Live, not_here
from cs3collab.jupyter.transient import TransientRoom
from cs3collab.relay.outbound import Outbound, plain_outbound
from cs3collab.rooms.room import Room, Tasks, Wants
from cs3collab.rooms.ysocket import YSocket
from cs3collab.types import RoomId, RoomStatus, Target

FRONTEND_CODES = {400: 4400, 404: 4404, 422: 4400}
"""HTTP status to the close codes that make the stock frontend give up, with what it says to the user."""
GLOBAL_AWARENESS = "JupyterLab:globalAwareness"


class Nobody:
    """The outlet of a seat that is taken only to ask whether one may."""

    def update(self, position: int, update: bytes, author: str) -> None: ...
    def awareness(self, update: bytes) -> None: ...
    def status(self, status: RoomStatus) -> None: ...
    def closed(self, error: Exception) -> None: ...


async def target_of(contents_manager: Any, path: str, format: str, type: str) -> Target:
    """What to join for the file at an API path. Raises what `CS3ContentsManager.resolve` does."""
    return (await check_contents(contents_manager).resolve(path)).target(format, type)


def check_contents(contents_manager: Any) -> CS3ContentsManager:
    """The manager, if paths mean what they do to us. Raises `InvalidInput`."""
    if not isinstance(contents_manager, CS3ContentsManager):
        raise InvalidInput(
            "this server's files are not on CS3 storage",
            hint="set c.ServerApp.contents_manager_class = 'cs3collab.jupyter.contents.CS3ContentsManager'",
        )
    return contents_manager


class SessionHandler(APIHandler):
    """Lets the user into a file's room for a moment, to say its id and lineage, or why not with an HTTP status.

    A browser asks when a document is opened, and not when its websocket comes back.
    """

    auth_resource = "contents"

    def initialize(self, live: Live) -> None:
        self.live = live

    @web.authenticated
    @authorized
    async def put(self, path: str) -> None:
        body = self.get_json_body() or {}
        try:
            target = await target_of(self.contents_manager, path, str(body.get("format", "")), str(body.get("type", "")))
            room, seat = await self.live.join(target, lambda room: Nobody(), Wants.PEN)
            room.leave(seat)
        except CollabError as error:
            telemetry.REJECTED.labels(error.kind).inc()
            raise web.HTTPError(error.http_status, str(error)) from error
        self.settings["file_id_manager"].remember(path, room.id.file_id)
        answer = {
            "format": room.id.format,
            "type": room.id.type,
            "fileId": room.id.file_id,
            "sessionId": room.lineage,
        }
        self.finish(json.dumps(answer))


class TornadoSocket:
    """`outbound.Socket` over a Tornado handler."""

    def __init__(self, handler: WebSocketHandler) -> None:
        self._handler = handler

    async def send_bytes(self, data: bytes) -> None:
        try:
            await self._handler.write_message(data, binary=True)
        except WebSocketClosedError as error:
            raise ConnectionError("the browser is gone") from error

    async def close(self, *, code: int = 1000, message: bytes = b"") -> None:
        self._handler.close(code, message.decode(errors="ignore"))


class RoomHandler(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """One browser in one room. Jupyter's own login comes first, then storage decides."""

    auth_resource = "contents"

    def initialize(self, live: Live, transient: TransientRoom, tasks: Tasks) -> None:
        self._live = live
        self._transient = transient
        self._tasks = tasks
        self._socket: YSocket | None = None
        self._in_global_awareness = False
        self._outbound: Outbound[bytes] | None = None

    @property
    def max_message_size(self) -> int:
        return self._live.limits.update_bytes + 2**20

    @ws_authenticated
    @authorized
    async def get(self, *args: Any, **kwargs: Any) -> None:
        await super().get(*args, **kwargs)

    async def open(self, room: str) -> None:
        super().open(room)
        self.set_nodelay(True)
        limits = self._live.limits
        self._outbound = plain_outbound(TornadoSocket(self), limits.outlet_bytes + limits.document_bytes)
        if room == GLOBAL_AWARENESS:
            self._transient.join(self._outbound)
            self._in_global_awareness = True
            return
        try:
            await self._enter(room)
        except CollabError as error:
            self._refuse(error)

    async def _enter(self, name: str) -> None:
        assert self._outbound is not None
        if name.count(":") != 2:
            raise not_here("a timeline or fork")
        target = await self._live.target(RoomId.parse(name))
        socket = YSocket(raw=True)
        room, seat = await self._live.join(target, lambda room: socket)
        socket.sit(room, seat)
        self._socket = socket
        self._same_history(name, room)
        await socket.start(self._outbound.send, self._outbound.close)

    def _same_history(self, name: str, room: Room) -> None:
        if str(room.id) != name:
            raise NotFound("this share now leads to another file", hint="close the notebook and open it again")
        if self.get_query_argument("sessionId", "") != room.lineage:
            raise LineageDiverged("the document was started anew", hint="reload the page")

    def _refuse(self, error: CollabError) -> None:
        telemetry.REJECTED.labels(error.kind).inc()
        self.log.info("a browser was not let into a room: %s", error)
        assert self._outbound is not None
        if isinstance(error, LineageDiverged):
            # only what lineages are made of, for a close reason ends at 123 bytes and JSON must not be cut
            session = re.sub(r"[^\w-]", "", self.get_query_argument("sessionId", ""), flags=re.ASCII)[:40]
            self._outbound.close(1003, json.dumps({"reason": "unknown_session", "sessionId": session, "reloadable": True}))
        else:
            self._outbound.close(FRONTEND_CODES.get(error.http_status, error.close_code), str(error))

    def on_message(self, message: str | bytes) -> None:
        """What comes from a browser that was refused, until it hears of it, is dropped."""
        if self._outbound is None:
            return
        if isinstance(message, str):
            reason = {"reason": "initialization_error", "errorReason": "text frames are not spoken here"}
            self._outbound.close(1003, json.dumps(reason))
        elif self._in_global_awareness:
            self._transient.receive(self._outbound, message)
        elif self._socket is not None:
            try:
                self._socket.receive(message)
            except CollabError as error:
                self._outbound.close(error.close_code, str(error))

    def on_close(self) -> None:
        if self._outbound is not None:
            self._transient.leave(self._outbound)
            self._outbound.stop()
        if self._socket is not None:
            # the room may still have to carry what this browser sent last
            self._tasks.start(self._socket.stop())
        super().on_close()


class NotOfferedHandler(APIHandler):
    """Timelines, forks and server-side undo of the stock extension: refused in words, so that its UI can say so."""

    auth_resource = "contents"

    @web.authenticated
    @authorized
    def get(self, path: str) -> None:
        raise web.HTTPError(501, str(not_here("the timeline, a fork or undo on the server")))

    put = delete = get


def routes(live: Live, tasks: Tasks) -> list[tuple[Any, ...]]:
    return [
        (r"/api/collaboration/session/(.*)", SessionHandler, {"live": live}),
        (r"/api/collaboration/room/(.*)", RoomHandler, {"live": live, "transient": TransientRoom(), "tasks": tasks}),
        (r"/api/collaboration/(?:timeline|fork|undo_redo)/(.*)", NotOfferedHandler),
    ]
