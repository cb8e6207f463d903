"""Stores of every released format open, from their directory and from a blob store."""

import shutil
from pathlib import Path

import pytest

from ystore import MemoryBlobs, Store, segment
from ystore.manifest import decode
from ystore.testing import QUICK, update

FORMAT_1 = Path(__file__).with_name("format_1")
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
    manifest = decode((FORMAT_1 / "manifest").read_bytes())
    blobs = MemoryBlobs()
    for path in sorted(FORMAT_1.glob("data/*/*.ys*")):
        await blobs.put(manifest.prefix + path.name, path.read_bytes())
    await blobs.put(manifest.prefix + "meta-0", (FORMAT_1 / "manifest").read_bytes())
    async with await Store.open(tmp_path / "s", blobs, tuning=QUICK) as store:
        assert (store.lineage, dict(store.meta)) == (manifest.lineage, dict(manifest.meta))
        await check(store)


@pytest.mark.parametrize("kind", [segment.LOG, segment.SEGMENT, segment.SNAPSHOT])
def test_the_fixture_has_every_kind_of_file(kind: str) -> None:
    assert list(FORMAT_1.glob(f"data/*/*{kind}"))
