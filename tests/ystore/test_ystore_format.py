"""Stores of every released format open, from their directory and from a blob store."""

import shutil
from pathlib import Path

import google_crc32c
import pytest

from ystore import Base, MemoryBlobs, PositionGone, Retention, Store, StoreNewer, Version, manifest, segment
from ystore.manifest import decode
from ystore.testing import QUICK, update

FORMAT_1 = Path(__file__).with_name("format_1")
FORMAT_2 = Path(__file__).with_name("format_2")
DICTIONARY = (242, "115bd96c")
AUTHORS = ["author 0", "author 1", "author 2", "Zoë", "", "author 5"]
TIMES = [1000.0, 1001.0, 1002.0, 1003.5, 1004.0, 1005.0]


async def check(store: Store) -> None:
    found = [r async for r in store.records()]
    assert [(r.position, r.author, r.at, r.update) for r in found] == [
        (n + 1, AUTHORS[n], TIMES[n], update(n)) for n in range(len(found))
    ]
    content = b"".join([u async for u in store.updates()])
    assert all(f"<{n}>".encode() in content for n in range(len(found)))


async def test_format_1_opens(tmp_path: Path) -> None:
    root = tmp_path / "s"
    shutil.copytree(FORMAT_1, root)
    async with await Store.open(root) as store:
        assert store.lineage == decode((FORMAT_1 / "manifest").read_bytes()).lineage
        assert dict(store.meta) == {"base_etag": '"0123"', "ü": "ö"}
        assert (store.report.cuts, store.report.notes, store.position) == ([], [], 6)
        await check(store)
        assert await store.append(update(6), "new", at=1.0) == 7


async def test_the_sealed_part_of_format_1_is_recovered_from_blobs(tmp_path: Path) -> None:
    written, blobs = await shipped(FORMAT_1)
    async with await Store.open(tmp_path / "s", blobs, tuning=QUICK) as store:
        assert (store.lineage, dict(store.meta)) == (written.lineage, dict(written.meta))
        await check(store)


async def shipped(golden: Path) -> tuple[manifest.Manifest, MemoryBlobs]:
    """A blob store with all of it but the logs."""
    written, blobs = decode((golden / "manifest").read_bytes()), MemoryBlobs()
    for path in files(golden):
        if path.suffix != segment.LOG:
            await blobs.put(written.prefix + path.name, path.read_bytes())
    await blobs.put(written.prefix + "meta-0", (golden / "manifest").read_bytes())
    return written, blobs


def files(golden: Path) -> list[Path]:
    return sorted(golden.glob("data/*/*"))


async def check_2(store: Store, last: int) -> None:
    named = [Version(7, 1006.0, ("author 6", "", "Zoë"), 3, "sent")] if last == 7 else [Version(6, 1005.0, ("Zoë", ""), 2)]
    assert sorted((v.position, v.at, sorted(v.authors), v.edits, v.name) for v in await store.versions()) == sorted(
        (v.position, v.at, sorted(v.authors), v.edits, v.name)
        for v in [Version(2, 1001.0, (), 0, "draft"), Version(4, 1003.0, (), 0), *named]
    )
    assert (store.horizon, store.saved, dict(store.meta)) == (4, Base(3, 1002.0, '"3"'), {"ü": "ö"})
    found = [(r.position, r.author, r.at, r.update) async for r in store.records()]
    assert (
        found
        == [
            (5, "Zoë", 1004.0004, update(4)),
            (6, "", 1005.0, update(5)),
            (7, "author 6", 1006.0, update(6)),
        ][: last - 4]
    )
    for position in (2, 3, 4, 5, 6, last):
        content = await store.load(position)
        assert [f"<{n}>".encode() in content for n in range(8)] == [n < position for n in range(8)]
    assert await store.base() == await store.load(3)
    with pytest.raises(PositionGone):
        await store.load(1)


async def test_format_2_opens(tmp_path: Path) -> None:
    root = tmp_path / "s"
    shutil.copytree(FORMAT_2, root)
    async with await Store.open(root, retention=Retention(None, None)) as store:
        assert store.lineage == decode((FORMAT_2 / "manifest").read_bytes()).lineage
        assert (store.report.cuts, store.report.notes, store.position) == ([], [], 7)
        await check_2(store, 7)
        await store.compact()
        await check_2(store, 7)


async def test_the_sealed_part_of_format_2_is_recovered_from_blobs(tmp_path: Path) -> None:
    written, blobs = await shipped(FORMAT_2)
    async with await Store.open(tmp_path / "s", blobs, tuning=QUICK) as store:
        assert store.lineage == written.lineage
        await check_2(store, 6)


async def test_a_newer_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "s"
    shutil.copytree(FORMAT_2, root)
    path = root / "manifest"
    body = path.read_bytes().partition(b"\n")[2].replace(b'"format": 2', b'"format": 3')
    path.write_bytes(f"ystore 3 {google_crc32c.value(body):08x}\n".encode() + body)
    before = {p: p.read_bytes() for p in [path, *files(root)]}
    with pytest.raises(StoreNewer, match="format 3"):
        await Store.open(root)
    assert {p: p.read_bytes() for p in before} == before


KINDS = {segment.LOG, segment.SEGMENT, segment.SNAPSHOT}


@pytest.mark.parametrize(
    ("golden", "kinds"), [(FORMAT_1, KINDS), (FORMAT_2, KINDS | {segment.HORIZON, segment.PIN})], ids=["1", "2"]
)
def test_the_fixtures_have_every_kind_of_file(golden: Path, kinds: set[str]) -> None:
    assert {path.suffix for path in files(golden)} == kinds


def test_the_dictionary_of_headers_is_the_documented_one() -> None:
    assert (len(segment._WORDS), f"{google_crc32c.value(segment._WORDS):08x}") == DICTIONARY
