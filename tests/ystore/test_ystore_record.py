"""Frames: what is whole is told from what is torn and what is damaged."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ystore import record
from ystore.record import Record

authors = st.text(st.characters(codec="utf-8"), max_size=20)
payloads = st.lists(st.tuples(authors, st.floats(allow_nan=False, allow_infinity=False), st.binary(max_size=60)), max_size=8)


def numbered(found: list[tuple[str, float, bytes]]) -> list[Record]:
    return [Record(n, *fields) for n, fields in enumerate(found, 1)]


@given(payloads)
def test_a_log_is_read_as_it_was_written(found: list[tuple[str, float, bytes]]) -> None:
    written = numbered(found)
    data = b"".join(map(record.encode, written))
    scan = record.scan(data)
    assert (scan.records, scan.good_end, scan.damaged) == (written, len(data), False)


def test_a_log_cut_anywhere_gives_exactly_the_whole_records() -> None:
    written = [Record(n, "ann", n / 2, bytes([n]) * (n * 7)) for n in range(1, 8)]
    ends = [0]
    for item in written:
        ends.append(ends[-1] + len(record.encode(item)))
    data = b"".join(map(record.encode, written))
    for cut in range(len(data) + 1):
        scan = record.scan(data[:cut])
        whole = sum(end <= cut for end in ends) - 1
        assert (scan.records, scan.good_end, scan.damaged) == (written[:whole], ends[whole], False)


def test_zeros_behind_are_room_and_in_between_damage() -> None:
    written = [Record(n, "ann", 1.0, b"update %d" % n) for n in range(1, 4)]
    first, second, third = map(record.encode, written)
    for data, good, damaged in (
        (first + second + bytes(999), 2, False),
        (first + bytes(len(second)), 1, False),
        (first + bytes(len(second)) + third + bytes(999), 1, True),
        (bytes(999), 0, False),
    ):
        scan = record.scan(data)
        assert (scan.records, scan.damaged) == (written[:good], damaged)
        assert scan.end == len(data.rstrip(b"\0"))
        assert (scan.good_end == scan.end) is not damaged
    torn = record.scan(first + second[:9] + bytes(999))
    assert (torn.good_end, torn.end, torn.damaged) == (len(first), len(first) + 9, False)


def test_no_single_flipped_bit_changes_a_record() -> None:
    written = [Record(n, "ann", 1.0, b"update %d" % n) for n in range(1, 4)]
    data = b"".join(map(record.encode, written))
    length = len(data) // 3
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        scan = record.scan(bytes(flipped))
        hit = bit // 8 // length
        assert scan.records == written[:hit]
        assert scan.damaged == (hit < 2), "records behind the damage tell it from a torn write"
        assert scan.highest == (3 if hit < 2 else 2)


@given(st.binary(max_size=300))
def test_foreign_bytes_are_no_records(data: bytes) -> None:
    scan = record.scan(b"x" + data)
    assert scan.records == []
    assert scan.good_end == 0


def test_a_record_inside_an_update_is_not_taken_for_one() -> None:
    inner = record.encode(Record(10**9, "", 0.0, b""))
    data = record.encode(Record(1, "", 0.0, b"a")) + record.encode(Record(2, "", 0.0, inner))[:-1]
    assert record.scan(data).highest == 1


@pytest.mark.parametrize(
    "wrong",
    [
        Record(0, "", 0.0, b""),
        Record(-1, "", 0.0, b""),
        Record(2**63, "", 0.0, b""),
        Record(1, "x" * 65536, 0.0, b""),
        Record(1, "", math.nan, b""),
        Record(1, "", math.inf, b""),
    ],
)
def test_what_the_frame_cannot_hold_is_refused(wrong: Record) -> None:
    with pytest.raises(ValueError, match=r"."):
        record.encode(wrong)
