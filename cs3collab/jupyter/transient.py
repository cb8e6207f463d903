"""A room without a document and without memory: JupyterLab's global awareness, who of this server's user has what open."""

from __future__ import annotations

from cs3collab.errors import CollabError
from cs3collab.limits import DEFAULT
from cs3collab.relay.outbound import Outbound
from cs3collab.rooms.lib0 import EMPTY_UPDATE
from cs3collab.rooms.presence import Presence
from cs3collab.rooms.ysocket import AWARENESS, STEP1, STEP2, SYNC, awareness_message, body_of, sync_message


class TransientRoom:
    """Awareness states are kept as long as their window is here, so that a window that comes later sees the others at once."""

    def __init__(self) -> None:
        self._presence = Presence(DEFAULT)
        self._windows: dict[Outbound[bytes], int] = {}
        self._next = 1

    def join(self, window: Outbound[bytes]) -> None:
        self._windows[window] = self._next
        self._next += 1
        if clients := self._presence.clients:
            window.send(awareness_message(self._presence.encode(clients)))

    def receive(self, window: Outbound[bytes], message: bytes) -> None:
        """Takes awareness; a document sync is answered with an empty one, for there is none. Anything else is dropped."""
        try:
            if message[:1] == bytes((AWARENESS,)):
                self._tell(window, self._presence.offer(body_of(message), owner=self._windows[window]))
            elif message[:2] == bytes((SYNC, STEP1)):
                window.send(sync_message(STEP2, EMPTY_UPDATE))
        except CollabError:
            window.close(1007, "not an awareness message")

    def leave(self, window: Outbound[bytes]) -> None:
        owner = self._windows.pop(window, None)
        if owner is not None:
            self._tell(window, self._presence.leave(owner))
            self._presence.forget_gone()

    def _tell(self, source: Outbound[bytes], clients: list[int]) -> None:
        if clients:
            message = awareness_message(self._presence.encode(clients))
            for window in self._windows:
                if window is not source:
                    window.send(message)
