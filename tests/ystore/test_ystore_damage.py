"""Bytes on disk change or end too early: nothing wrong is read, what is missing is said, and no position is given out twice."""

import asyncio
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ystore import Store, StoreCorrupt
from ystore.testing import update

WRITTEN = {n + 1: update(n) for n in range(9)}
KINDS = ("manifest", ".ysnap", ".yseg", ".ylog")


async def build(root: Path) -> None:
    """A snapshot and a merged segment, then a segment, then a log file; nine updates."""
    async with await Store.open(root) as store:
        for n in range(4):
            await store.append(update(n))
            if n == 1:
                async with store._contents.lock:
                    await store._contents.seal()
        await store.compact()
        await store.append(update(4))
        await store.append(update(5))
        async with store._contents.lock:
            await store._contents.seal()
        for n in range(6, 9):
            await store.append(update(n))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sound")
    asyncio.run(build(root))
    assert {kind for kind in KINDS for p in root.rglob("*") if p.name.endswith(kind)} == set(KINDS)
    return root


def pick(root: Path, kind: str, share: float) -> Path:
    paths = sorted(p for p in root.rglob("*") if p.is_file() and p.name.endswith(kind))
    return paths[int(share * len(paths))]


async def survey(root: Path) -> tuple[dict[int, bytes], bytes, int, bool]:
    """Records, joined content, the next position, whether anything was reported."""
    async with await Store.open(root) as store:
        records = [r async for r in store.records()]
        content = b"".join([u async for u in store.updates()])
        reported = bool(store.report.cuts or store.report.notes)
        following = await store.append(update(100))
    async with await Store.open(root) as store:
        again = [r async for r in store.records()]
        assert [r.position for r in again] == [*(r.position for r in records), following]
        assert store.report.cuts == [], "what was put right stays right"
    return {r.position: r.update for r in records}, content, following, reported


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(KINDS), st.floats(0, 0.999), st.floats(0, 0.999), st.integers(0, 7))
def test_a_flipped_bit_is_found_wherever_it_is(sound: Path, kind: str, which: float, where: float, bit: int) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder) / "s"
        shutil.copytree(sound, root)
        path = pick(root, kind, which)
        data = bytearray(path.read_bytes())
        data[int(where * len(data))] ^= 1 << bit
        path.write_bytes(data)
        found, content, following, reported = asyncio.run(survey(root))
    assert reported
    assert found.items() <= WRITTEN.items(), "nothing that was not written"
    if kind in (".ysnap", "manifest"):
        assert found == WRITTEN
    if kind == ".ysnap":
        assert all(f"<{n}>".encode() in content for n in range(9)), "the segments make up for the snapshot"
    assert following > max(WRITTEN)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(KINDS), st.floats(0, 0.999), st.floats(0, 0.999))
def test_a_file_that_ends_too_early_gives_the_whole_records_before(sound: Path, kind: str, which: float, where: float) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder) / "s"
        shutil.copytree(sound, root)
        path = pick(root, kind, which)
        data = path.read_bytes()
        path.write_bytes(data[: int(where * len(data))])
        found, _, following, reported = asyncio.run(survey(root))
    assert found.items() <= WRITTEN.items()
    if kind == ".ylog":
        assert set(found) == set(range(1, 7 + len(set(found) - set(range(1, 7))))), "a prefix"
    else:
        assert reported
    assert following > max(found)


async def test_a_log_of_which_nothing_is_left_begins_a_new_lineage(tmp_path: Path) -> None:
    async with await Store.open(tmp_path) as store:
        await store.append(update(0))
        lineage = store.lineage
    (path,) = pick_all(tmp_path, ".ylog")
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    async with await Store.open(tmp_path) as store:
        assert store.position == 0
        assert store.lineage != lineage, "a second seed must not meet the first in one history"
        assert [cut.file for cut in store.report.cuts] == [path.name]
        assert (tmp_path / store.report.cuts[0].aside).read_bytes() == data.rstrip(b"\0")


async def test_damage_while_the_store_is_open_is_an_error_for_the_reader(tmp_path: Path) -> None:
    async with await Store.open(tmp_path) as store:
        await store.append(update(0))
        await store.append(update(1))
        (path,) = pick_all(tmp_path, ".ylog")
        data = bytearray(path.read_bytes())
        data[40] ^= 1
        path.write_bytes(data)
        with pytest.raises(StoreCorrupt):
            _ = [u async for u in store.updates()]


def pick_all(root: Path, kind: str) -> list[Path]:
    return [p for p in root.rglob("*") if p.name.endswith(kind)]
