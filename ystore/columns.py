"""How the records of a sealed segment are laid out: by field instead of by record, so that they compress to a third. Pure.

A block holds up to `BLOCK` records and is read by itself: what is damaged costs no more than its block. Little endian::

    0  crc     4   CRC32C of everything after this field
    4  length  4   bytes of the frame
    8  frame       Zstandard, of

    count, first position                        unsigned LEB128, as is all below but the updates and the times
    position of each, less that of the one before and 1
    times: 1, milliseconds of each less those of the one before (zigzag); or 0, an IEEE double for each
    authors: how many, then length and UTF-8 of each; then for each record which
    length of each update
    the updates, those of one length together, the shortest first; of up to `SMALL` bytes first the first byte of each,
    then the second of each and so on: keystrokes differ in few of their bytes
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import google_crc32c
import zstandard

from ystore.record import Record

BLOCK = 16384
SMALL = 64
_LEVEL = 9
_HEAD = struct.Struct("<II")


@dataclass(frozen=True, slots=True)
class Outline:
    """A block without the updates."""

    positions: list[int]
    times: list[float]
    authors: list[str]
    lengths: list[int]


def encode(records: Sequence[Record]) -> bytes:
    return b"".join(_block(records[start : start + BLOCK]) for start in range(0, len(records), BLOCK))


def _block(records: Sequence[Record]) -> bytes:
    out = bytearray()
    _put(out, [len(records), records[0].position])
    _put(out, (b.position - a.position - 1 for a, b in pairwise(records)))
    _put_times(out, [record.at for record in records])
    authors = {author: n for n, author in enumerate(dict.fromkeys(record.author for record in records))}
    _put(out, [len(authors)])
    for author in authors:
        name = author.encode()
        _put(out, [len(name)])
        out += name
    _put(out, (authors[record.author] for record in records))
    _put(out, (len(record.update) for record in records))
    out += _by_byte([record.update for record in records])
    frame = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True).compress(bytes(out))
    head = len(frame).to_bytes(4, "little")
    return b"".join((google_crc32c.value(head + frame).to_bytes(4, "little"), head, frame))


def _by_byte(updates: Sequence[bytes]) -> bytes:
    groups: dict[int, list[bytes]] = {}
    for update in updates:
        groups.setdefault(len(update), []).append(update)
    parts: list[bytes] = []
    for size, group in sorted(groups.items()):
        data = b"".join(group)
        parts += [data[n::size] for n in range(size)] if size <= SMALL else [data]
    return b"".join(parts)


def _put(out: bytearray, numbers: Iterable[int]) -> None:
    for number in numbers:
        while number > 0x7F:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        out.append(number)


def _put_times(out: bytearray, times: list[float]) -> None:
    ticks = [round(at * 1000) if abs(at) < 2**40 else 0 for at in times]
    if struct.pack(f"<{len(times)}d", *(tick / 1000 for tick in ticks)) != struct.pack(f"<{len(times)}d", *times):
        out.append(0)
        out += struct.pack(f"<{len(times)}d", *times)
        return
    out.append(1)
    steps = (after - before for before, after in zip([0, *ticks], ticks, strict=False))
    _put(out, (step * 2 if step >= 0 else -step * 2 - 1 for step in steps))


def decode(data: bytes) -> Iterator[Record]:
    """The records, up to the first block that is not whole and sound."""
    for outline, updates in _blocks(data):
        fields = zip(outline.positions, outline.authors, outline.times, _from_bytes(updates, outline.lengths), strict=True)
        yield from (Record(*each) for each in fields)


def _from_bytes(data: bytes, lengths: list[int]) -> Iterator[bytes]:
    counts, groups, start = Counter(lengths), dict[int, Iterator[bytes]](), 0
    for size, count in sorted(counts.items()):
        part = data[start : start + size * count]
        start += len(part)
        groups[size] = _group(part, size, count)
    return (next(groups[size]) for size in lengths)


def _group(part: bytes, size: int, count: int) -> Iterator[bytes]:
    if size <= SMALL:
        return (part[n::count] for n in range(count))
    return (part[n * size : (n + 1) * size] for n in range(count))


def outlines(data: bytes) -> Iterator[tuple[int, float, str]]:
    """Position, time and author of each of those records."""
    for outline, _ in _blocks(data):
        yield from zip(outline.positions, outline.times, outline.authors, strict=True)


def _blocks(data: bytes) -> Iterator[tuple[Outline, bytes]]:
    offset = 0
    while offset + _HEAD.size <= len(data):
        crc, length = _HEAD.unpack_from(data, offset)
        end = offset + _HEAD.size + length
        if end > len(data) or google_crc32c.value(data[offset + 4 : end]) != crc:
            return
        yield _split(zstandard.ZstdDecompressor().decompress(data[offset + _HEAD.size : end]))
        offset = end


def _split(data: bytes) -> tuple[Outline, bytes]:
    (count, first), at = _take(data, 0, 2)
    gaps, at = _take(data, at, count - 1)
    positions = list(accumulate((gap + 1 for gap in gaps), initial=first))
    if data[at]:
        steps, at = _take(data, at + 1, count)
        times = [tick / 1000 for tick in accumulate(step >> 1 if not step & 1 else -(step >> 1) - 1 for step in steps)]
    else:
        times = list(struct.unpack_from(f"<{count}d", data, at + 1))
        at += 1 + 8 * count
    (number,), at = _take(data, at, 1)
    names = []
    for _ in range(number):
        (size,), at = _take(data, at, 1)
        names.append(data[at : at + size].decode())
        at += size
    which, at = _take(data, at, count)
    lengths, at = _take(data, at, count)
    return Outline(positions, times, [names[n] for n in which], lengths), data[at:]


def _take(data: bytes, offset: int, count: int) -> tuple[list[int], int]:
    numbers: list[int] = []
    value = shift = 0
    while len(numbers) < count:
        byte = data[offset]
        offset += 1
        value |= (byte & 0x7F) << shift
        if byte > 0x7F:
            shift += 7
        else:
            numbers.append(value)
            value = shift = 0
    return numbers, offset
