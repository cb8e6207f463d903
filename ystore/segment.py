"""Sealed objects: compressed segments of records, and states. The same bytes on disk and in a blob store. Pure.

An object never changes. It names what it ``covers``: objects whose content it holds, which a reader then leaves out.
The union of all objects that no other covers is the document, whoever wrote them: after a split brain no agreement is needed.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import google_crc32c
import zstandard

from ystore import columns
from ystore import covers as cover
from ystore import record as records
from ystore.covers import Covers
from ystore.errors import StoreCorrupt
from ystore.record import Record

MAGIC = b"YsO"
FORMAT = 2
_FRAME = struct.Struct("<3sBIIIQ")
"""magic, format, CRC32C of header as stored, bytes of header, CRC32C of payload, bytes of payload."""
LOG, SEGMENT, SNAPSHOT, HORIZON, PIN = ".ylog", ".yseg", ".ysnap", ".yhor", ".ypin"
SEALED = (SEGMENT, PIN, HORIZON, SNAPSHOT)
"""In the order in which they must reach a blob store."""
_KINDS = {SEGMENT: "segment", SNAPSHOT: "snapshot", HORIZON: "horizon", PIN: "pin"}
_LEVEL = 1
"""Of a state: 3 gives a tenth less at best, and more of numbers, but takes twice as long to pack and a third longer to open."""
_WORDS = (
    b'.yseg.ypin.yhor.ysnap"label": ""at": 0.0"horizon": 0, "kind": "pin", "kind": "horizon", '
    b'"kind": "snapshot", {"kind": "segment", "lineage": "", "first": 1, "last": 1, "count": 1, "raw": 1, '
    b'"covers": {"names": []}, "newest": 179, "sealed": 179}'
)
"""What headers have in common, for their compression; part of the format."""


@dataclass(frozen=True, slots=True)
class Info:
    """What a header says. ``name`` is the file's; ``first`` and ``last`` are positions.

    A segment holds records. The others hold a state: all up to ``last``. A snapshot is there to be opened from; a horizon is
    where the history begins, for it stands for the segments that were dropped; a pin is kept for its position alone.
    """

    name: str
    lineage: str
    first: int
    last: int
    count: int
    covers: Covers = field(default_factory=Covers)
    newest: float | None = None
    """Greatest time (Unix seconds) of the records of a segment, or up to a horizon; None if nobody noted it."""
    at: float = 0.0
    """Of a horizon or a pin: the time of the record at ``last``."""
    sealed: float | None = None
    """Of a segment: when the last of its records was sealed; None if nobody noted it."""
    label: str = ""
    """Of a pin: the name it was kept for."""
    horizon: int = 0
    """Of a snapshot: where the history began when it was written."""
    size: int = field(default=0, compare=False)
    """Bytes of the whole object."""
    raw: int = field(default=0, compare=False)
    """Bytes of its payload; 0 if nobody noted it."""

    @property
    def kind(self) -> str:
        return "." + self.name.rpartition(".")[2]

    @property
    def dated(self) -> float:
        """When its last record came, for retention: what is written now is not old, whatever time it was given."""
        return math.inf if self.sealed is None else max(self.sealed, self.newest or 0.0)

    @property
    def is_segment(self) -> bool:
        return self.kind == SEGMENT

    @property
    def is_snapshot(self) -> bool:
        return self.kind == SNAPSHOT

    @property
    def is_kept(self) -> bool:
        """Holds the state at exactly ``last``, for those who ask for it."""
        return self.kind in (HORIZON, PIN)


def stem(first: int, writer: str, sequence: int) -> str:
    """Names sort by position and are unique, for no two opens share a writer id."""
    return f"{first:012x}-{writer}-{sequence:06x}"


def first_of(name: str) -> int:
    """The first position an object may hold, from its name. Raises ValueError for a foreign file."""
    return int(name.split("-", 1)[0], 16)


def pack(info: Info, payload: bytes) -> bytes:
    """An object that holds a state."""
    packed = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True).compress(payload)
    return _framed(info, len(payload), packed)


def pack_records(info: Info, found: Sequence[Record]) -> bytes:
    """A segment."""
    return _framed(info, info.raw, columns.encode(found))


def _framed(info: Info, raw: int, packed: bytes) -> bytes:
    fields = {
        "kind": _KINDS[info.kind],
        "lineage": info.lineage,
        "first": info.first,
        "last": info.last,
        "count": info.count,
        "raw": raw,
        "covers": cover.to_json(info.covers),
    }
    told = {"newest": info.newest, "at": info.at, "sealed": info.sealed, "label": info.label, "horizon": info.horizon}
    header = _squeezed(
        json.dumps(
            {
                **fields,
                **{key: value for key, value in told.items() if value is not None and (value or key in ("newest", "sealed"))},
            }
        ).encode()
    )
    frame = _FRAME.pack(MAGIC, FORMAT, google_crc32c.value(header), len(header), google_crc32c.value(packed), len(packed))
    return b"".join((frame, header, packed))


def read_info(name: str, data: bytes) -> Info:
    """The header of an object; `data` may end after it. Raises `StoreCorrupt`."""
    header, _, _ = _split(name, data)
    fields = json.loads(header if data[3:4] == b"\x01" else zlib.decompressobj(-15, _WORDS).decompress(header))
    return Info(
        name,
        fields["lineage"],
        fields["first"],
        fields["last"],
        fields["count"],
        cover.from_json(fields["covers"]),
        fields.get("newest"),
        fields.get("at", 0.0),
        fields.get("sealed"),
        fields.get("label", ""),
        fields.get("horizon", 0),
        _FRAME.size + len(header) + _FRAME.unpack_from(data)[5],
        fields.get("raw", 0),
    )


def _squeezed(header: bytes) -> bytes:
    """While somebody types an object goes out every second or two, and its header would be most of it."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=_WORDS)
    return deflate.compress(header) + deflate.flush()


def check(name: str, data: bytes) -> bytes:
    """The payload as stored. Raises `StoreCorrupt` unless every byte is as it was written."""
    _, crc, begin = _split(name, data)
    packed = data[begin:]
    if len(packed) != _FRAME.unpack_from(data)[5] or google_crc32c.value(packed) != crc:
        raise StoreCorrupt(f"{name} is damaged")
    return packed


def read_records(name: str, data: bytes) -> Iterator[Record]:
    """Of a segment, in order. Raises `StoreCorrupt` unless every byte is as it was written."""
    if data[3:4] == b"\x01":
        return (record for record, _ in records.read(unpack(name, data)))
    return columns.decode(check(name, data))


def read_outline(name: str, data: bytes) -> Iterator[tuple[int, float, str]]:
    """Position, time and author of each of those records. Raises `StoreCorrupt`."""
    if data[3:4] == b"\x01":
        return records.outline(unpack(name, data))
    return columns.outlines(check(name, data))


def unpack(name: str, data: bytes) -> bytes:
    """The state an object holds; of a segment of format 1 its records. Raises `StoreCorrupt` unless it is intact."""
    packed = check(name, data)
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
    """The records of a damaged segment up to the damage, each checked by a CRC of its own or of its block."""
    try:
        packed = data[_split(name, data)[2] :]
    except StoreCorrupt:
        return []
    if data[3:4] != b"\x01":
        return list(columns.decode(packed))
    out, reader = bytearray(), zstandard.ZstdDecompressor().decompressobj()
    try:
        for start in range(0, len(packed), 256):
            out += reader.decompress(packed[start : start + 256])
    except zstandard.ZstdError:
        pass
    return [record for record, _ in records.read(bytes(out))]


def _split(name: str, data: bytes) -> tuple[bytes, int, int]:
    """The header, the CRC of the payload, and where that begins."""
    if len(data) < _FRAME.size:
        raise StoreCorrupt(f"{name} is too short")
    magic, written, header_crc, header_length, crc, _ = _FRAME.unpack_from(data)
    header = data[_FRAME.size : _FRAME.size + header_length]
    if magic != MAGIC or len(header) != header_length or google_crc32c.value(header) != header_crc:
        raise StoreCorrupt(f"{name} is damaged")
    if not 1 <= written <= FORMAT:
        raise StoreCorrupt(f"{name} is damaged, or of a format this version cannot read")
    return header, crc, _FRAME.size + header_length


def live(infos: Iterable[Info]) -> list[Info]:
    """What makes up the document: states first, then segments, by position."""
    infos = list(infos)
    covered = cover.union(info.covers for info in infos)
    return sorted((i for i in infos if i.name not in covered), key=lambda i: (i.is_segment, i.first, i.name))


_MADE_NEEDLESS = {SNAPSHOT: (SNAPSHOT,), SEGMENT: (SEGMENT,), HORIZON: (SEGMENT, HORIZON), PIN: ()}


def replaced(infos: Iterable[Info], names: Iterable[str] | None = None) -> set[str]:
    """Which of `names` (default: their own) nobody needs any more.

    Snapshots under another snapshot, segments rewritten into another segment, and what is behind a horizon.
    """
    infos = list(infos)
    names = {info.name for info in infos} if names is None else set(names)
    by_kind = {kind: cover.union(i.covers for i in infos if i.kind == kind) for kind in SEALED}
    return {name for name in names if any(name.endswith(_MADE_NEEDLESS[kind]) and name in by_kind[kind] for kind in SEALED)}


def history(infos: Iterable[Info]) -> list[Info]:
    """Segments that hold records which are in no other and behind no horizon, by position."""
    infos = list(infos)
    gone = cover.union(i.covers for i in infos if i.kind in (SEGMENT, HORIZON))
    return sorted((i for i in infos if i.is_segment and i.name not in gone), key=lambda i: (i.first, i.name))


def horizon(infos: Iterable[Info]) -> int:
    """The lowest position whose state can be told from these, pins aside.

    Where a snapshot tells of a horizon that was lost, it is itself the earliest state.
    """
    infos = list(infos)
    lowest = max((i.last for i in infos if i.kind == HORIZON), default=0)
    return max((i.last for i in infos if i.horizon > lowest), default=lowest)


def state_at(infos: Iterable[Info], position: int) -> list[Info] | None:
    """What has the state at `position`, states first; of segments only the records up to it count. None if it is not kept."""
    infos = list(infos)
    if position < horizon(infos):
        return sorted((i for i in infos if i.is_kept and i.last == position), key=lambda i: i.name) or None
    past = history(infos)
    states = [i for i in infos if i.last <= position and (i.kind == HORIZON or (i.is_snapshot and not _is_displaced(i, past)))]
    return live([*states, *(i for i in past if i.last <= position)]) + [i for i in past if i.first <= position < i.last]


def behind(infos: Iterable[Info], position: int) -> list[Info] | None:
    """What has the state at `position`, which is behind the horizon, if all of it is still here: another writer let it go."""
    infos = list(infos)
    begin = max((i for i in infos if i.kind == HORIZON and i.last <= position), key=lambda i: i.last, default=None)
    gone = cover.union(i.covers for i in infos if i.is_segment or i is begin)
    reached, found = (begin.last, [begin]) if begin else (0, [])
    for info in sorted((i for i in infos if i.is_segment and i.name not in gone), key=lambda i: (i.first, i.name)):
        if reached < info.last and info.first <= position:
            if info.first > reached + 1:
                return None
            reached = info.last
            found.append(info)
    return found if reached >= position else None


def _is_displaced(state: Info, past: Iterable[Info]) -> bool:
    """Records in it were given later positions."""
    return any(i.first > state.last and i.covers.meets(state.covers) for i in past)


def divergent(infos: Iterable[Info]) -> list[Info]:
    """Segments whose positions another segment also gave out, or one behind a horizon. The longest branch keeps its own."""
    infos = list(infos)
    horizons = [i for i in infos if i.kind == HORIZON]
    begin = max((i.last for i in horizons), default=0)
    kept_to, out = 0, []
    for info in sorted(history(infos), key=lambda i: (i.first, -i.last, i.name)):
        foreign = info.first <= begin and not any(i.covers.meets(info.covers) for i in horizons)
        if info.first <= kept_to or foreign:
            out.append(info)
        else:
            kept_to = info.last
    return out
