"""The few lib0 encodings a room must read without Yjs: varints, state vectors, awareness. Pure and bounded.

Source: lib0/encoding.js and y-protocols/awareness.js. Everything raises `InvalidInput` on a short or oversized input.
"""

from __future__ import annotations

from dataclasses import dataclass

from cs3collab.errors import InvalidInput

MAX_STATE_VECTOR_CLIENTS = 100_000
MAX_NUMBER = 2**53 - 1
"""JavaScript's largest exact integer: lib0 throws at anything above, in every browser that is sent it."""
MAX_CLOCK = 2**52
"""Awareness clocks count up from 0; above this there would be no room to count on."""
EMPTY_UPDATE = b"\0\0"


def write_var_uint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(0x80 | (value & 0x7F))
        value >>= 7
    out.append(value)
    return bytes(out)


def write_var_bytes(data: bytes) -> bytes:
    return write_var_uint(len(data)) + data


class Reader:
    """Reads one buffer from front to back."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def var_uint(self) -> int:
        value = shift = 0
        while True:
            if self._at >= len(self._data) or shift > 63:
                raise InvalidInput("truncated or oversized number in a Yjs message")
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def var_bytes(self) -> bytes:
        size = self.var_uint()
        if self._at + size > len(self._data):
            raise InvalidInput("truncated string in a Yjs message")
        self._at += size
        return self._data[self._at - size : self._at]

    def rest(self) -> bytes:
        return self._data[self._at :]

    @property
    def done(self) -> bool:
        return self._at >= len(self._data)


def decode_state_vector(data: bytes) -> dict[int, int]:
    """Client id to the number of its updates known."""
    if not data:
        return {}
    reader = Reader(data)
    count = reader.var_uint()
    if count > MAX_STATE_VECTOR_CLIENTS:
        raise InvalidInput(f"state vector with {count} clients", hint=f"at most {MAX_STATE_VECTOR_CLIENTS}")
    return {reader.var_uint(): reader.var_uint() for _ in range(count)}


def lacks(theirs: dict[int, int], ours: dict[int, int]) -> bool:
    """Whether a peer with state `theirs` misses something of `ours` (deletions apart: those are not in state vectors)."""
    return any(theirs.get(client, 0) < clock for client, clock in ours.items())


@dataclass(frozen=True, slots=True)
class AwarenessEntry:
    """One client's state: JSON text, ``null`` when it left."""

    client: int
    clock: int
    state: bytes


def decode_awareness(update: bytes, *, max_entries: int = 1000) -> list[AwarenessEntry]:
    reader = Reader(update)
    count = reader.var_uint()
    if count > max_entries:
        raise InvalidInput(f"awareness update with {count} clients", hint=f"at most {max_entries}")
    entries = [AwarenessEntry(reader.var_uint(), reader.var_uint(), reader.var_bytes()) for _ in range(count)]
    if any(entry.client > MAX_NUMBER or entry.clock > MAX_CLOCK for entry in entries):
        raise InvalidInput("awareness update with a number that browsers cannot hold")
    return entries


def encode_awareness(entries: list[AwarenessEntry]) -> bytes:
    out = [write_var_uint(len(entries))]
    for entry in entries:
        out += [write_var_uint(entry.client), write_var_uint(entry.clock), write_var_bytes(entry.state)]
    return b"".join(out)
