"""Sealed objects: compressed segments of records, and snapshots. The same bytes on disk and in a blob store. Pure.

An object never changes. It names what it ``covers``: objects whose content it holds, which a reader then leaves out.
The union of all objects that no other covers is the document, whoever wrote them: after a split brain no agreement is needed.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass

import google_crc32c
import zstandard

from ystore import record as records
from ystore.errors import StoreCorrupt
from ystore.record import Record

MAGIC = b"YsO\x01"
_FRAME = struct.Struct("<4sIIIQ")
"""magic, CRC32C of header, bytes of header, CRC32C of payload, bytes of payload."""
LOG, SEGMENT, SNAPSHOT = ".ylog", ".yseg", ".ysnap"
_LEVEL = 3


@dataclass(frozen=True, slots=True)
class Info:
    """What a header says. ``name`` is the file's; ``first`` and ``last`` are positions; a snapshot holds all up to ``last``."""

    name: str
    lineage: str
    first: int
    last: int
    count: int
    covers: frozenset[str] = frozenset()

    @property
    def is_snapshot(self) -> bool:
        return self.name.endswith(SNAPSHOT)


def stem(first: int, writer: str, sequence: int) -> str:
    """Names sort by position and are unique, for no two opens share a writer id."""
    return f"{first:012x}-{writer}-{sequence:06x}"


def first_of(name: str) -> int:
    """The first position an object may hold, from its name. Raises ValueError for a foreign file."""
    return int(name.split("-", 1)[0], 16)


def pack(info: Info, payload: bytes) -> bytes:
    header = json.dumps(
        {
            "kind": "snapshot" if info.is_snapshot else "segment",
            "lineage": info.lineage,
            "first": info.first,
            "last": info.last,
            "count": info.count,
            "covers": sorted(info.covers),
        }
    ).encode()
    packed = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True).compress(payload)
    frame = _FRAME.pack(MAGIC, google_crc32c.value(header), len(header), google_crc32c.value(packed), len(packed))
    return b"".join((frame, header, packed))


def read_info(name: str, data: bytes) -> Info:
    """The header of an object; `data` may end after it. Raises `StoreCorrupt`."""
    header, _, _ = _split(name, data)
    fields = json.loads(header)
    return Info(name, fields["lineage"], fields["first"], fields["last"], fields["count"], frozenset(fields["covers"]))


def unpack(name: str, data: bytes) -> bytes:
    """The payload. Raises `StoreCorrupt` unless every byte is as it was written."""
    _, crc, packed = _split(name, data)
    if len(packed) != _FRAME.unpack_from(data)[4] or google_crc32c.value(packed) != crc:
        raise StoreCorrupt(f"{name} is damaged")
    try:
        return zstandard.ZstdDecompressor().decompress(packed)
    except zstandard.ZstdError as error:
        raise StoreCorrupt(f"{name} is damaged: {error}") from error


LOST_TAIL = 2**20
"""Positions left out when nobody can know how many were lost, so that none is ever given out twice."""


def last_of(name: str, data: bytes) -> int:
    """The last position of an object that may be damaged, or a safe distance past it."""
    try:
        return read_info(name, data).last
    except StoreCorrupt:
        return first_of(name) + LOST_TAIL


def salvage(name: str, data: bytes) -> list[Record]:
    """The records of a damaged segment up to the damage; each was checked by its own CRC."""
    try:
        _, _, packed = _split(name, data)
    except StoreCorrupt:
        return []
    out, reader = bytearray(), zstandard.ZstdDecompressor().decompressobj()
    try:
        for start in range(0, len(packed), 256):
            out += reader.decompress(packed[start : start + 256])
    except zstandard.ZstdError:
        pass
    return [record for record, _ in records.read(bytes(out))]


def _split(name: str, data: bytes) -> tuple[bytes, int, bytes]:
    if len(data) < _FRAME.size:
        raise StoreCorrupt(f"{name} is too short")
    magic, header_crc, header_length, crc, _ = _FRAME.unpack_from(data)
    header = data[_FRAME.size : _FRAME.size + header_length]
    if magic != MAGIC or len(header) != header_length or google_crc32c.value(header) != header_crc:
        raise StoreCorrupt(f"{name} is damaged, or of a format this version cannot read")
    return header, crc, data[_FRAME.size + header_length :]


def live(infos: Iterable[Info]) -> list[Info]:
    """What makes up the document: snapshots first, then segments, by position."""
    infos = list(infos)
    covered = {name for info in infos for name in info.covers}
    return sorted((i for i in infos if i.name not in covered), key=lambda i: (not i.is_snapshot, i.first, i.name))


def replaced(infos: Iterable[Info]) -> set[str]:
    """Names nobody needs any more: snapshots under another snapshot, and segments rewritten into another segment."""
    infos = list(infos)
    return {name for info in infos for name in info.covers if name.endswith(SNAPSHOT if info.is_snapshot else SEGMENT)}


def history(infos: Iterable[Info]) -> list[Info]:
    """Segments that hold records nobody rewrote into another segment, by position."""
    infos = list(infos)
    rewritten = {name for info in infos if not info.is_snapshot for name in info.covers}
    return sorted((i for i in infos if not i.is_snapshot and i.name not in rewritten), key=lambda i: (i.first, i.name))


def divergent(infos: Iterable[Info]) -> list[Info]:
    """Segments whose positions another segment also gave out. The longest branch keeps its positions."""
    kept_to, out = 0, []
    for info in sorted(history(infos), key=lambda i: (i.first, -i.last, i.name)):
        if info.first <= kept_to:
            out.append(info)
        else:
            kept_to = info.last
    return out
