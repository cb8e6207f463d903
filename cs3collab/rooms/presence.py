"""Who is in a room: awareness states with an owner, so that nobody speaks for another. Pure; the room does the sending."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from cs3collab.errors import InvalidInput, Overloaded
from cs3collab.limits import DEFAULT, Limits
from cs3collab.rooms.lib0 import AwarenessEntry, decode_awareness, encode_awareness
from cs3collab.types import User

REMOTE = 0
"""Owner of the states that come from the authority: everybody who sits elsewhere."""


@dataclass(slots=True)
class _Known:
    clock: int
    state: bytes
    owner: int


def signed(state: bytes, user: User) -> bytes:
    """The state with the verified name in ``user``, whatever the client wrote there; colour and avatar stay the client's."""
    if state == b"null":
        return state
    try:
        value: Any = msgspec.json.decode(state)
    except msgspec.DecodeError as error:
        raise InvalidInput("awareness state is not JSON") from error
    if not isinstance(value, dict):
        raise InvalidInput("awareness state is not an object")
    claimed = value.get("user")
    name = user.display_name or user.username or user.opaque_id
    verified = {"username": user.key, "name": name, "display_name": name}
    if isinstance(claimed, dict):
        if all(claimed.get(key) == value for key, value in verified.items()):
            return state
        verified = {**claimed, **verified}
    return msgspec.json.encode({**value, "user": verified})


class Presence:
    """The awareness states of one room. ``clock`` and ``null`` semantics are those of y-protocols/awareness.js."""

    def __init__(self, limits: Limits = DEFAULT) -> None:
        self._known: dict[int, _Known] = {}
        self._limits = limits

    def offer(self, update: bytes, *, owner: int, user: User | None = None) -> list[int]:
        """Takes what `owner` says; returns the clients whose state changed.

        Entries for a client that belongs to somebody else, or that are not newer, are ignored. Raises `InvalidInput` for what
        cannot be read and `Overloaded` past the bounds.
        """
        if owner != REMOTE and len(update) > self._limits.awareness_bytes:
            raise Overloaded(f"awareness message of {len(update)} bytes", hint=f"at most {self._limits.awareness_bytes}")
        changed = []
        for entry in decode_awareness(update):
            known = self._known.get(entry.client)
            if known is not None and known.owner != owner and known.state != b"null":
                continue
            if known is not None and known.owner == owner and entry.clock < known.clock:
                continue
            if known is not None and known.owner == owner and entry.clock == known.clock and entry.state != b"null":
                continue
            if known is None and owner != REMOTE and self._owned(owner) >= self._limits.awareness_clients_per_seat:
                raise Overloaded("too many awareness clients on one connection")
            clock = max(entry.clock, known.clock + 1) if known is not None and known.owner != owner else entry.clock
            state = entry.state if user is None else signed(entry.state, user)
            self._known[entry.client] = _Known(clock, state, owner)
            changed.append(entry.client)
        return changed

    def leave(self, owner: int) -> list[int]:
        """Marks every client of `owner` as gone; returns them."""
        gone = [client for client, known in self._known.items() if known.owner == owner and known.state != b"null"]
        for client in gone:
            known = self._known[client]
            known.state, known.clock = b"null", known.clock + 1
        return gone

    def encode(self, clients: list[int]) -> bytes:
        """One awareness update with the present state of these clients."""
        return encode_awareness(
            [AwarenessEntry(c, self._known[c].clock, self._known[c].state) for c in clients if c in self._known]
        )

    def forget_gone(self) -> None:
        """Drops tombstones; call when the room has told everybody."""
        self._known = {c: k for c, k in self._known.items() if k.state != b"null"}

    @property
    def clients(self) -> list[int]:
        """Those that are here."""
        return [client for client, known in self._known.items() if known.state != b"null"]

    def _owned(self, owner: int) -> int:
        return sum(1 for known in self._known.values() if known.owner == owner and known.state != b"null")
