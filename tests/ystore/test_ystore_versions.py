"""Versions, their names, and the state of the last save: in a directory, in blobs alone, and after a split brain."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.ystore_ledger import keys

from ystore import Base, MemoryBlobs, PositionGone, Retention, Store, Tuning, Version, segment
from ystore.testing import QUICK, update

NOTHING_OLD = Retention(age_s=None, bytes=0)
"""Whatever is compacted loses its history."""
NOON = 86400.0 * 1000 + 43200


async def write(store: Store, numbers: range, author: str = "ann", step: float = 1.0) -> None:
    for n in numbers:
        await store.append(update(n), author, at=NOON + step * n)


async def holds(store: Store, position: int) -> set[str]:
    return keys([await store.load(position)])


def numbers(count: int, first: int = 0) -> set[str]:
    return {str(n) for n in range(first, count)}


def damage(root: Path, kind: str) -> None:
    for path in root.rglob(f"*{kind}"):
        path.write_bytes(b"?" * 100)


def count(root: Path, kind: str) -> int:
    return len(list(root.rglob(f"*{kind}")))


async def test_versions_are_listed_wherever_the_records_are(tmp_path: Path) -> None:
    async with await Store.open(tmp_path) as store:
        assert await store.versions() == []
        await write(store, range(3))
        await store.compact()
        await write(store, range(3, 5), "bob")
        await write(store, range(1000, 1002), "eve")
        expected = [Version(5, NOON + 4, ("ann", "bob"), 5), Version(7, NOON + 1001, ("eve",), 2)]
        assert await store.versions() == expected
        assert [v.position for v in await store.versions(gap_s=1)] == [1, 2, 3, 4, 5, 6, 7]
        await store.compact()
        assert await store.versions() == expected
    async with await Store.open(tmp_path) as store:
        assert await store.versions() == expected
        assert store.horizon == 0


async def test_a_position_is_found_by_time(tmp_path: Path) -> None:
    async with await Store.open(tmp_path) as store:
        assert await store.position_at(NOON) == 0
        await write(store, range(3), step=10)
        await store.compact()
        await store.append(update(3), at=NOON - 7200)
        assert [await store.position_at(NOON + at) for at in (-1, 0, 15, 20)] == [0, 1, 2, 4]


async def test_names_are_given_moved_and_taken_away(tmp_path: Path) -> None:
    async with await Store.open(tmp_path) as store:
        await write(store, range(4))
        assert await store.name_version(" draft ", 2) == Version(2, NOON + 1, ("ann",), 2, "draft")
        assert (await store.name_version("now")).position == 4
        with pytest.raises(ValueError, match="has the name"):
            await store.name_version("draft", 3)
        with pytest.raises(ValueError, match="one line"):
            await store.name_version("a\nb")
        for wrong in (-1, 0, 5):
            with pytest.raises(PositionGone):
                await store.name_version("x", wrong)
        assert [(v.position, v.name, v.edits) for v in await store.versions()] == [(2, "draft", 2), (4, "now", 2)]
        await store.name_version("first draft", 2)
        assert (await store.name_version("", 4)).name == ""
    async with await Store.open(tmp_path) as store:
        assert [(v.position, v.name) for v in await store.versions()] == [(2, "first draft"), (4, "")]
        await store.name_version("draft", 4)
        assert [(v.position, v.name) for v in await store.versions()] == [(2, "first draft"), (4, "draft")]


async def test_the_base_is_the_state_of_the_last_save(tmp_path: Path) -> None:
    async with await Store.open(tmp_path) as store:
        assert (await store.base(), store.saved) == (None, None)
        await write(store, range(4))
        with pytest.raises(PositionGone):
            await store.set_base(5, '"1"')
        await store.set_base(2, '"1"')
        assert keys([await store.base() or b""]) == numbers(2)
        await store.set_base(3, '"2"')
    async with await Store.open(tmp_path) as store:
        assert store.saved == Base(3, NOON + 2, '"2"')
        assert keys([await store.base() or b""]) == numbers(3)
        await store.reset()
        assert (await store.base(), store.saved, await store.versions()) == (None, None, [])


async def build_kept(store: Store) -> None:
    """Ten updates, of which positions 3 (named), 5 (base), 8 (named) and the last can be loaded."""
    await write(store, range(9))
    await store.name_version("draft", 3)
    await store.set_base(5, '"5"')
    await store.name_version("sent", 8)
    await store.compact()
    await write(store, range(9, 10))
    await store.compact()


async def check_kept(store: Store) -> None:
    assert store.horizon == 10
    assert [(v.position, v.at, v.name) for v in await store.versions()] == [
        (3, NOON + 2, "draft"),
        (8, NOON + 7, "sent"),
        (10, NOON + 9, ""),
    ]
    for position in (3, 5, 8, 10):
        assert await holds(store, position) == numbers(position)
    assert keys([await store.base() or b""]) == numbers(5)
    assert keys([u async for u in store.updates()]) == numbers(10)
    for gone in (1, 2, 4, 9):
        with pytest.raises(PositionGone, match="begins at 10"):
            await store.load(gone)
        with pytest.raises(PositionGone):
            await store.name_version("late", gone)
    assert [await store.position_at(NOON + at) for at in (2, 9)] == [0, 10]


async def test_named_versions_and_the_base_outlive_the_history(tmp_path: Path) -> None:
    async with await Store.open(tmp_path, retention=NOTHING_OLD) as store:
        await build_kept(store)
        await check_kept(store)
        assert [r async for r in store.records()] == []
    async with await Store.open(tmp_path) as store:
        await check_kept(store)
        await store.name_version("draft of may", 3)
    async with await Store.open(tmp_path, retention=NOTHING_OLD) as store:
        await store.compact()
        assert (await store.versions())[0].name == "draft of may"
        await store.name_version("", 3)
        await store.set_base(10, '"10"')
        await store.compact()
        assert [(v.position, v.name) for v in await store.versions()] == [(8, "sent"), (10, "")]
        for gone in (3, 5):
            with pytest.raises(PositionGone):
                await store.load(gone)
        assert count(tmp_path, ".ypin") == 1


async def test_versions_names_base_and_horizon_come_back_from_blobs_alone(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    async with await Store.open(tmp_path, blobs, tuning=QUICK, retention=NOTHING_OLD) as store:
        await build_kept(store)
        await store.flush()
        assert (store.status.shipped, store.status.problem) == (10, "")
    assert sorted(name.rpartition(".")[2] for name in await blobs.list("") if "." in name) == [
        "yhor",
        "ypin",
        "ypin",
        "ypin",
        "ysnap",
    ]
    shutil.rmtree(tmp_path)
    async with await Store.open(tmp_path, blobs, tuning=QUICK) as store:
        await check_kept(store)
        assert store.saved == Base(5, NOON + 4, '"5"')
        await store.name_version("", 3)
        await store.set_base(10, '"10"')
        await store.compact()
        await store.flush()
    assert len([name for name in await blobs.list("") if name.endswith(".ypin")]) == 1


async def test_a_name_and_a_base_whose_records_were_lost_are_not_given_to_others(tmp_path: Path) -> None:
    """The notes were shipped, the segments were not; the positions are given out to nobody, but states are there for them."""
    blobs = MemoryBlobs()
    async with await Store.open(tmp_path, blobs, tuning=QUICK) as store:
        await write(store, range(2))
        await store.flush()
        await write(store, range(2, 4))
        await store.name_version("lost", 4)
        await store.set_base(4, '"4"')
        await store.flush()
    for name in await blobs.list(""):
        if "/meta-" not in name and segment.read_info(name, await blobs.get(name)).last > 2:
            await blobs.delete(name)
    shutil.rmtree(tmp_path)
    async with await Store.open(tmp_path, blobs, tuning=QUICK) as store:
        assert [(v.position, v.name) for v in await store.versions()] == [(2, "")]
        assert await store.base() is None


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"\0" * 99)], ids=["lost", "damaged"])
async def test_names_of_kept_versions_survive_the_manifest(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    async with await Store.open(tmp_path, retention=NOTHING_OLD) as store:
        await build_kept(store)
    harm(tmp_path / "manifest")
    async with await Store.open(tmp_path, retention=NOTHING_OLD) as store:
        await store.compact()
        assert [(v.position, v.name) for v in await store.versions()] == [(3, "draft"), (8, "sent"), (10, "")]


async def split(tmp_path: Path, blobs: MemoryBlobs) -> None:
    """Two directories with the same five updates."""
    async with await Store.open(tmp_path / "one", blobs, tuning=QUICK) as store:
        await write(store, range(5))
        await store.name_version("common", 4)
        await store.flush()
    shutil.copytree(tmp_path / "one", tmp_path / "two")


async def test_names_of_two_writers_are_united_and_go_with_their_records(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    whole = Tuning(ship_after_s=3600)  # so that what each wrote is one segment, and the longer one counts
    await split(tmp_path, blobs)
    async with (
        await Store.open(tmp_path / "one", blobs, tuning=whole) as one,
        await Store.open(tmp_path / "two", blobs, tuning=whole) as two,
    ):
        await write(one, range(5, 9), "one")
        await write(two, range(105, 107), "two")
        await one.name_version("of one", 7)
        await two.name_version("of two", 7)
        await two.name_version("", 4)
        await one.set_base(6, '"one"')
        for store in (one, two, one):
            await store.flush()
    for _ in range(2):
        async with await Store.open(tmp_path / "one", blobs, tuning=QUICK) as store:
            named = {v.name: v.position for v in await store.versions() if v.name}
            assert named == {"of one": 7, "of two": 11}
            assert await holds(store, 7) == numbers(7)
            assert await holds(store, 11) == numbers(9) | {"105", "106"}
            base = await store.base()
            assert (store.saved is None) == (base is None), "whose notes count is a matter of chance"
            assert base is None or keys([base]) == numbers(6)
            await store.compact()
            await store.flush()
        shutil.rmtree(tmp_path / "one")


async def test_what_another_writer_named_since_it_was_looked_at_is_not_deleted(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    await split(tmp_path, blobs)
    async with await Store.open(tmp_path / "two", blobs, tuning=QUICK) as two:
        await two.flush()
        async with await Store.open(tmp_path / "one", blobs, tuning=Tuning(ship_after_s=3600)) as one:
            await two.name_version("of two", 2)
            await two.flush()
            await one.flush()
    shutil.rmtree(tmp_path / "two")
    async with await Store.open(tmp_path / "one", blobs, tuning=QUICK) as store:
        assert {v.name for v in await store.versions()} == {"of two", "common", ""}


async def test_after_the_state_at_the_horizon_was_lost_nothing_false_is_given(tmp_path: Path) -> None:
    async with await Store.open(tmp_path, retention=Retention(age_s=None, bytes=900)) as store:
        for n in range(40):
            await write(store, range(n, n + 1))
            if n % 4 == 3:
                await store.compact()
        await store.name_version("before", 39)
        await write(store, range(40, 42))
        assert 0 < store.horizon < 36
    damage(tmp_path, ".yhor")
    async with await Store.open(tmp_path, retention=Retention(age_s=None, bytes=900)) as store:
        for _ in range(2):
            assert store.horizon == 40
            for gone in (1, 36, 39):
                with pytest.raises(PositionGone):
                    await store.load(gone)
            for position in (40, 41, 42):
                assert await holds(store, position) == numbers(position)
            assert [v.position for v in await store.versions()][-1] == 42
            await store.compact()
    async with await Store.open(tmp_path) as store:
        assert await holds(store, 41) == numbers(41)


async def test_a_branch_behind_another_writers_horizon_is_neither_lost_nor_hidden(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    await split(tmp_path, blobs)
    async with (
        await Store.open(tmp_path / "one", blobs, tuning=QUICK, retention=NOTHING_OLD) as one,
        await Store.open(tmp_path / "two", blobs, tuning=QUICK) as two,
    ):
        await write(one, range(5, 9), "one")
        await write(two, range(105, 107), "two")
        await one.compact()
        await two.name_version("of two", 7)
        for store in (two, one):
            await store.flush()
            assert store.status.problem == ""
    for folder in ("one", "two", "new"):
        async with await Store.open(tmp_path / folder, blobs, tuning=QUICK) as store:
            everything = numbers(9) | {"105", "106"}
            assert store.horizon == 9
            assert keys([u async for u in store.updates()]) == everything
            assert await holds(store, store.position) == everything
            assert {v.name: v.position for v in await store.versions() if v.name}.keys() == {"common", "of two"}
            assert {r.author async for r in store.records()} >= {"two"}
            await store.flush()


async def test_two_horizons_are_both_part_of_every_later_state(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    await split(tmp_path, blobs)
    async with (
        await Store.open(tmp_path / "one", blobs, tuning=QUICK, retention=NOTHING_OLD) as one,
        await Store.open(tmp_path / "two", blobs, tuning=QUICK, retention=NOTHING_OLD) as two,
    ):
        await write(one, range(5, 9), "one")
        await write(two, range(105, 107), "two")
        for store in (one, two):
            await store.compact()
            await store.flush()
    everything = numbers(9) | {"105", "106"}
    async with await Store.open(tmp_path / "new", blobs, tuning=QUICK, retention=NOTHING_OLD) as store:
        assert await holds(store, store.horizon) == everything
        position = await store.append(update(200))
        await store.compact()
        await store.flush()
    async with await Store.open(tmp_path / "newer", blobs, tuning=QUICK) as store:
        assert await holds(store, position) == everything | {"200"}
        assert count(tmp_path / "newer", ".yhor") == 1
