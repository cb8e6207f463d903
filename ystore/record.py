"""How one update is written: a frame that tells a whole record from a torn or a damaged one. Pure.

A frame, little endian (see docs/reference/ystore-format.md)::

    0  magic     4   b"YsR" and the format version, 1
    4  crc       4   CRC32C of everything after this field
    8  length    4   bytes of author and update together
    12 position  8   from 1, strictly growing in a log
    20 at        8   IEEE double, Unix seconds, for people only: order is by position
    28 author    2   bytes of the author
    30 reserved  2   zero
    32 author in UTF-8, then the update
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import google_crc32c

MAGIC = b"YsR\x01"
_HEAD = struct.Struct("<4sIIQdHH")
_BODY = struct.Struct("<IQdHH")
"""What of it the CRC is of."""
_CHECKED_FROM = 8
MAX_UPDATE = 2**32 - 2**17
"""Bytes; the length field has 32 bits."""


@dataclass(frozen=True, slots=True)
class Record:
    """One update in the log. ``at`` is Unix seconds by the writer's clock, ``author`` whatever the caller passed."""

    position: int
    author: str
    at: float
    update: bytes


@dataclass(frozen=True, slots=True)
class Scan:
    """What the bytes of a log hold. ``good_end`` is the offset behind the last record that may be trusted, ``end`` that behind
    which there are only zeros, room for more.

    ``damaged`` means whole records stand behind a bad one: not a torn write but a changed byte. ``highest`` is the
    highest position among those and the good ones, so that no position is given out twice.
    """

    records: list[Record]
    good_end: int
    end: int
    damaged: bool
    highest: int


def encode(record: Record) -> bytes:
    """Raises ValueError for what the frame cannot hold."""
    return frame(record.position, record.author, record.at, record.update)


def frame(position: int, author: str, at: float, update: bytes) -> bytes:
    """The bytes of such a record. Raises ValueError for what they cannot hold."""
    name = author.encode()
    if len(name) > 0xFFFF:
        raise ValueError("author is longer than 65535 bytes")
    if not 0 < position < 2**63:
        raise ValueError(f"not a position: {position}")
    if len(update) > MAX_UPDATE:
        raise ValueError("update is longer than 4 GiB")
    if not math.isfinite(at):
        raise ValueError("time is not a finite number")
    body = b"".join((_BODY.pack(len(name) + len(update), position, at, len(name), 0), name, update))
    crc: int = google_crc32c.value(body)
    return MAGIC + crc.to_bytes(4, "little") + body


def size(record: Record) -> int:
    """Bytes of its frame."""
    return _HEAD.size + len(record.author.encode()) + len(record.update)


def decode(data: bytes, offset: int = 0) -> tuple[Record, int] | None:
    """The record at `offset` and the offset behind it, or None if no whole and sound record starts there."""
    if len(data) - offset < _HEAD.size:
        return None
    magic, crc, length, position, at, author_length, reserved = _HEAD.unpack_from(data, offset)
    start = offset + _HEAD.size
    end = start + length
    if magic != MAGIC or end > len(data) or author_length > length or reserved:
        return None
    if google_crc32c.value(data[offset + _CHECKED_FROM : end]) != crc:
        return None
    try:
        author = data[start : start + author_length].decode()
    except UnicodeDecodeError:
        return None
    return Record(position, author, at, data[start + author_length : end]), end


def read(data: bytes) -> Iterator[tuple[Record, int]]:
    """Records from the start, each with the offset behind it, up to the first that is not sound or not in order."""
    offset, last = 0, 0
    while (found := decode(data, offset)) is not None and found[0].position > last:
        last, offset = found[0].position, found[1]
        yield found


def outline(data: bytes) -> Iterator[tuple[int, float, str]]:
    """Position, time and author of each record in bytes that are known to be sound: much faster than `read`."""
    offset, authors = 0, dict[bytes, str]()
    while offset < len(data):
        _, _, length, position, at, author_length, _ = _HEAD.unpack_from(data, offset)
        offset += _HEAD.size
        name = data[offset : offset + author_length]
        if (author := authors.get(name)) is None:
            author = authors[name] = name.decode()
        yield position, at, author
        offset += length


def scan(data: bytes) -> Scan:
    """The good prefix of a log, and whether what follows it is a torn write or damage."""
    records, good_end = [], 0
    for record, end in read(data):
        records.append(record)
        good_end = end
    last = records[-1].position if records else 0
    end = max(good_end, len(data.rstrip(b"\0")))
    behind = _highest_behind(data[:end], good_end, last)
    return Scan(records, good_end, end, behind > 0, max(last, behind))


def _highest_behind(data: bytes, offset: int, last: int) -> int:
    """Highest position of a sound record behind the damage at `offset`, 0 if there is none.

    Bytes of an update may look like a record; a position that could not have been reached in that room is not believed.
    """
    tail, highest = len(data) - offset, 0
    while (offset := data.find(MAGIC, offset + 1)) >= 0:
        found = decode(data, offset)
        if found and (last == 0 or found[0].position <= last + tail // _HEAD.size + 1):
            highest = max(highest, found[0].position)
            offset = found[1] - 1
    return highest
