"""Who is in a room: awareness states with an owner, so that nobody speaks for another. Pure; the room does the sending."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import msgspec

from cs3collab.errors import InvalidInput, Overloaded
from cs3collab.limits import DEFAULT, Limits
from cs3collab.rooms.lib0 import AwarenessEntry, decode_awareness, encode_awareness
from cs3collab.types import User

REMOTE = 0
"""Owner of the states that come from the authority: everybody who sits elsewhere."""
GONE = b"null"
_REMEMBERED = 10_000
"""Clients who left whose last clock is kept, so that they are believed when they come back."""


@dataclass(slots=True)
class _Known:
    """``said`` is the clock the owner gave, ``clock`` the one we tell others: it only grows, whoever owned the client."""

    said: int
    clock: int
    state: bytes
    owner: int


def signed(state: bytes, user: User) -> bytes:
    """The state with the verified name in ``user``, whatever the client wrote there; colour and avatar stay the client's."""
    if state == GONE:
        return state
    try:
        value: Any = msgspec.json.decode(state)
    except (ValueError, RecursionError) as error:  # DecodeError and UnicodeDecodeError are ValueErrors
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
        self._last_clocks: OrderedDict[int, int] = OrderedDict()
        self._limits = limits

    def offer(self, update: bytes, *, owner: int, user: User | None = None) -> list[int]:
        """Takes what `owner` says; returns the clients whose state changed.

        Entries for a client that belongs to somebody else, or that are not newer, are ignored. Raises `InvalidInput` for what
        cannot be read and `Overloaded` past the bounds; nothing of the update counts then.
        """
        bound = self._limits.awareness_clients_per_seat
        if owner != REMOTE and len(update) > self._limits.awareness_bytes:
            raise Overloaded(f"awareness message of {len(update)} bytes", hint=f"at most {self._limits.awareness_bytes}")
        entries = decode_awareness(update, max_entries=bound * self._limits.seats_per_room if owner == REMOTE else 1000)
        if user is not None:
            entries = [AwarenessEntry(entry.client, entry.clock, signed(entry.state, user)) for entry in entries]
        new = {e.client for e in entries if e.state != GONE and e.client not in self._known}
        if owner != REMOTE and new and self._owned(owner) + len(new) > bound:
            raise Overloaded("too many awareness clients on one connection", hint=f"at most {bound}")
        return [entry.client for entry in entries if self._take(entry, owner)]

    def _take(self, entry: AwarenessEntry, owner: int) -> bool:
        known = self._known.get(entry.client)
        if known is None:
            if entry.state == GONE:
                return False  # nobody of ours: a tombstone would hide who comes with this id next
            clock = max(entry.clock, self._last_clocks.pop(entry.client, -1) + 1)
            self._known[entry.client] = _Known(entry.clock, clock, entry.state, owner)
            return True
        if known.owner != owner:
            if known.state != GONE or entry.state == GONE:
                return False
        elif entry.clock < known.said or (entry.clock == known.said and (entry.state != GONE or known.state == GONE)):
            return False
        self._known[entry.client] = _Known(entry.clock, max(entry.clock, known.clock + 1), entry.state, owner)
        return True

    def leave(self, owner: int) -> list[int]:
        """Marks every client of `owner` as gone; returns them."""
        gone = self.clients_of(owner)
        for client in gone:
            known = self._known[client]
            known.state, known.clock = GONE, known.clock + 1
        return gone

    def encode(self, clients: list[int]) -> bytes:
        """One awareness update with the present state of these clients."""
        return encode_awareness(
            [AwarenessEntry(c, self._known[c].clock, self._known[c].state) for c in clients if c in self._known]
        )

    def said_by(self, owner: int) -> bytes:
        """What `owner` has to say again where nobody heard it, with its own clocks; empty if that is nothing."""
        here = [AwarenessEntry(c, self._known[c].said, self._known[c].state) for c in self.clients_of(owner)]
        return encode_awareness(here) if here else b""

    def forget_gone(self) -> None:
        """Drops tombstones; call when the room has told everybody."""
        for client in [client for client, known in self._known.items() if known.state == GONE]:
            self._last_clocks[client] = self._known.pop(client).clock
        while len(self._last_clocks) > _REMEMBERED:
            self._last_clocks.popitem(last=False)

    @property
    def clients(self) -> list[int]:
        """Those that are here."""
        return [client for client, known in self._known.items() if known.state != GONE]

    def clients_of(self, owner: int) -> list[int]:
        """Those that are here and belong to `owner`."""
        return [client for client, known in self._known.items() if known.owner == owner and known.state != GONE]

    def _owned(self, owner: int) -> int:
        return len(self.clients_of(owner))
