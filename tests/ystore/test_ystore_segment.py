"""Sealed objects: every byte is checked, and which of them make up the document."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ystore import manifest, segment, snapshot
from ystore.covers import Covers
from ystore.errors import StoreCorrupt
from ystore.manifest import Manifest
from ystore.record import Record
from ystore.segment import Info

RECORDS = [Record(n, "ann", 1.0, b"update %d" % n) for n in range(1, 30)]
INFO = Info("1.yseg", "line", 1, 29, 29, Covers.of(["0.yseg"]))
PACKED = segment.pack_records(INFO, RECORDS)


def seg(name: str, first: int, last: int, *covers: str) -> Info:
    return Info(f"{name}.yseg", "line", first, last, last - first + 1, Covers.of(covers))


def snap(name: str, last: int, *covers: str) -> Info:
    return Info(f"{name}.ysnap", "line", 1, last, 1, Covers.of(covers))


def names(infos: list[Info]) -> list[str]:
    return [info.name for info in infos]


def test_an_object_is_read_as_it_was_written() -> None:
    assert segment.read_info("1.yseg", PACKED) == INFO
    assert list(segment.read_records("1.yseg", PACKED)) == RECORDS
    assert list(segment.read_outline("1.yseg", PACKED)) == [(r.position, r.at, r.author) for r in RECORDS]


def test_every_flipped_bit_and_every_cut_of_an_object_is_found() -> None:
    for bit in range(len(PACKED) * 8):
        flipped = bytearray(PACKED)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(StoreCorrupt):
            check(bytes(flipped))
    for cut in range(len(PACKED)):
        with pytest.raises(StoreCorrupt):
            check(PACKED[:cut])


def check(data: bytes) -> None:
    segment.read_info("1.yseg", data)
    segment.check("1.yseg", data)


@given(st.integers(0, len(PACKED) * 8 - 1))
def test_what_is_salvaged_was_written(bit: int) -> None:
    flipped = bytearray(PACKED)
    flipped[bit // 8] ^= 1 << bit % 8
    found = segment.salvage("1.yseg", bytes(flipped))
    assert found == RECORDS[: len(found)]


def test_names_sort_by_position() -> None:
    stems = [segment.stem(first, "w", 1) for first in (1, 15, 16, 2**40)]
    assert stems == sorted(stems)
    assert [segment.first_of(s) for s in stems] == [1, 15, 16, 2**40]


def test_what_another_covers_is_left_out() -> None:
    infos = [seg("b", 3, 4), seg("a", 1, 2), snap("s", 4, "a.yseg", "b.yseg", "m.yseg"), seg("c", 5, 6)]
    assert names(segment.live(infos)) == ["s.ysnap", "c.yseg"]
    assert names(segment.history(infos)) == ["a.yseg", "b.yseg", "c.yseg"]
    merged = [*infos, seg("m", 1, 4, "a.yseg", "b.yseg")]
    assert names(segment.live(merged)) == ["s.ysnap", "c.yseg"]
    assert names(segment.history(merged)) == ["m.yseg", "c.yseg"]


def test_a_snapshot_makes_snapshots_needless_and_a_segment_segments() -> None:
    infos = [seg("a", 1, 2), snap("s", 2, "a.yseg"), snap("t", 4, "s.ysnap", "a.yseg", "b.yseg"), seg("b", 3, 4)]
    assert segment.replaced(infos) == {"s.ysnap"}
    assert segment.replaced([*infos, seg("m", 1, 4, "a.yseg", "b.yseg")]) == {"s.ysnap", "a.yseg", "b.yseg"}


def test_a_new_snapshot_stands_for_what_the_old_one_stood_for() -> None:
    infos = [seg("a", 1, 2), snap("s", 2, "a.yseg", "long-gone.yseg"), seg("b", 3, 4)]
    covers = snapshot.covered_by(infos, ["m.yseg"])
    assert covers == Covers.of(["a.yseg", "s.ysnap", "b.yseg", "m.yseg", "long-gone.yseg"])


def test_the_longest_branch_keeps_its_positions() -> None:
    infos = [seg("a", 1, 5), seg("b", 6, 7), seg("c", 6, 9), seg("d", 8, 8), seg("e", 10, 11)]
    assert names(segment.divergent(infos)) == ["b.yseg", "d.yseg"]
    assert segment.divergent([seg("a", 1, 5), seg("b", 6, 7)]) == []


def test_a_manifest_is_read_as_it_was_written_and_its_damage_found() -> None:
    written = Manifest(meta={"etag": '"1"', "naïve": "ü"}).noted({"a": "b"}).above(7)
    data = manifest.encode(written)
    assert manifest.decode(data) == written
    for byte in range(len(data)):
        flipped = bytearray(data)
        flipped[byte] ^= 1
        with pytest.raises(StoreCorrupt):
            manifest.decode(bytes(flipped))


def test_blob_prefixes_name_generation_and_lineage() -> None:
    first = Manifest()
    assert manifest.parse_prefix(first.prefix + "x.yseg") == (1, first.lineage)
    assert first.succeeded().prefix > first.prefix
    for foreign in ("x", "x/y", "1-/y", "", "zz-abc/y"):
        assert manifest.parse_prefix(foreign) is None
