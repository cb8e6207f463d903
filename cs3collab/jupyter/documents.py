"""``settings["jupyter_server_ydoc"]``: how other server extensions get at live documents, as with the stock extension."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from jupyter_ydoc import ydocs
from jupyter_ydoc.ybasedoc import YBaseDoc
from pycrdt import Doc, TransactionEvent

from cs3collab.errors import CollabError, NotFound, Overloaded, Unavailable
from cs3collab.jupyter.live import Live
from cs3collab.rooms.room import Room, Seat, Tasks, Wants
from cs3collab.rooms.ysocket import RETRY_S
from cs3collab.types import RoomId, RoomStatus, Target

log = logging.getLogger(__name__)


class Documents:
    """The part of the stock extension's Python API that others use: `get_document`."""

    def __init__(self, live: Live, serverapp: Any) -> None:
        self._live = live
        self._serverapp = serverapp
        self._open: dict[str, LiveDocument] = {}

    async def get_document(
        self,
        *,
        path: str | None = None,
        content_type: str | None = None,
        file_format: str | None = None,
        room_id: str | None = None,
        copy: bool = True,
        create: bool = False,
    ) -> YBaseDoc | None:
        """As ``YDocExtension.get_document``: a fork with `copy`, else the live document, whose changes go to everybody.

        None when the file does not exist or may not be read. `create` is accepted; a room is always opened when it has to be.
        Raises `ValueError` unless either `room_id` or all of `path`, `content_type` and `file_format` are given.
        """
        parts = (path, content_type, file_format)
        if (room_id is None) == all(part is None for part in parts) or (room_id is None and None in parts):
            raise ValueError("give either room_id, or path, content_type and file_format")
        try:
            if room_id is not None:
                target = await self._live.target(RoomId.parse(room_id))
            else:
                resolved = await self._serverapp.contents_manager.resolve(path)
                target = resolved.target(file_format, content_type)
            return await self._fork(target) if copy else await self._live_document(target)
        except NotFound:
            return None

    async def _fork(self, target: Target) -> YBaseDoc:
        document = LiveDocument(target.type)
        room, seat = await self._live.join(target, lambda room: document, Wants.ANSWER)
        try:
            snapshot = await room.sync(document, b"")
        finally:
            room.leave(seat)
        document.ydoc.apply_update(snapshot.update)
        return document.shared

    async def _live_document(self, target: Target) -> YBaseDoc:
        document = LiveDocument(target.type)
        room, seat = await self._live.join(target, lambda room: document)
        try:
            snapshot = await room.sync(document, b"")
        except BaseException:
            room.leave(seat)
            raise
        known = self._open.get(str(room.id))
        if known is not None and known.place is not None and known.place[0] is room:
            room.leave(seat)
            return known.shared
        document.enter(room, seat, snapshot.update)
        self._open = {name: open for name, open in self._open.items() if open.place is not None}
        self._open[str(room.id)] = document
        return document.shared

    async def close(self) -> None:
        for document in self._open.values():
            document.leave()
        self._open.clear()


class LiveDocument:
    """A Y document in this process that follows a room, and whose own changes go there."""

    def __init__(self, type: str) -> None:
        self.ydoc: Doc[Any] = Doc()
        self.shared: YBaseDoc = ydocs.get(type, ydocs["file"])(self.ydoc)
        self.place: tuple[Room, Seat] | None = None
        self._from_room = False
        self._tasks = Tasks("live document of another extension")

    def enter(self, room: Room, seat: Seat, update: bytes) -> None:
        self.place = room, seat
        seat.on_end = self.closed
        self._apply(update)
        self.ydoc.observe(self._changed)
        room.live(self)

    def leave(self) -> None:
        """Whoever asks for the document from now on gets another: this one no longer follows the room."""
        place, self.place = self.place, None
        if place is not None:
            room, seat = place
            room.leave(seat)

    def update(self, position: int, update: bytes, author: str) -> None:
        self._apply(update)

    def awareness(self, update: bytes) -> None: ...
    def status(self, status: RoomStatus) -> None: ...
    def closed(self, error: Exception) -> None:
        self.leave()

    def _apply(self, update: bytes) -> None:
        self._from_room = True
        try:
            self.ydoc.apply_update(update)
        finally:
            self._from_room = False

    def _changed(self, event: TransactionEvent) -> None:
        if not self._from_room and self.place is not None:
            self._tasks.start(self._carry(event.update, *self.place))

    async def _carry(self, update: bytes, room: Room, seat: Seat) -> None:
        """As long as the document follows the room; one that holds what the room refuses no longer does."""
        try:
            while self.place is not None:
                try:
                    await room.submit(seat, update)
                except (Unavailable, Overloaded) as error:
                    log.info("an edit of %s by another extension waits: %s", room.name, error)
                    await asyncio.sleep(RETRY_S)
                else:
                    return
        except CollabError as error:
            log.warning("an edit of %s by another extension was refused: %s", room.name, error)
            self.leave()
