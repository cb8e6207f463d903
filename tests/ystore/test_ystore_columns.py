"""Records laid out by field: nothing is lost, nothing damaged passes, and it is small."""

from __future__ import annotations

import math

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from ystore import columns, record
from ystore.record import Record

Times = st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 2**41).map(lambda ms: ms / 1000)
Fields = st.tuples(st.integers(1, 2**40), st.text(max_size=5), Times, st.binary(max_size=40))


def numbered(fields: list[tuple[int, str, float, bytes]]) -> list[Record]:
    position, found = 0, []
    for gap, author, at, update in fields:
        position += gap
        found.append(Record(position, author, at, update))
    return found


@given(st.lists(Fields, max_size=30))
def test_what_was_encoded_is_decoded(fields: list[tuple[int, str, float, bytes]]) -> None:
    records = numbered(fields)
    data = columns.encode(records)
    assert list(columns.decode(data)) == records
    assert list(columns.outlines(data)) == [(r.position, r.at, r.author) for r in records]


@pytest.mark.parametrize("at", [0.0, -0.0, -1.5, 1e300, 5e-324, 1763726400.123, 2147483648.0, -62135596800.0])
def test_times_are_kept_to_the_last_bit(at: float) -> None:
    (found,) = columns.decode(columns.encode([Record(1, "", at, b"")]))
    assert (found.at, math.copysign(1, found.at)) == (at, math.copysign(1, at))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**9), st.integers(0, 7))
def test_up_to_a_changed_bit_blocks_are_read(byte: int, bit: int) -> None:
    data = bytearray(MANY)
    data[byte % len(data)] ^= 1 << bit
    found = list(columns.decode(bytes(data)))
    assert found == RECORDS[: len(found)]
    assert len(found) % columns.BLOCK == 0
    assert len(found) < len(RECORDS)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**9))
def test_of_a_cut_segment_whole_blocks_are_read(end: int) -> None:
    found = list(columns.decode(MANY[: end % len(MANY)]))
    assert found == RECORDS[: len(found)]


def test_it_is_a_tenth_of_what_compressed_records_are() -> None:
    rows = b"".join(map(record.encode, RECORDS))
    assert len(MANY) < len(zstandard.ZstdCompressor(level=9).compress(rows)) / 10


RECORDS = [Record(n, ("ann", "bob")[n % 3 // 2], n / 10, b"\1\1\x87\x43%05d\4" % n) for n in range(1, 2 * columns.BLOCK + 7)]
MANY = columns.encode(RECORDS)
