"""Two writers of one history who saw each other late: what both rewrote is told once, and names stay with their records."""

import itertools
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.ystore_decoding import decode_here
from support.ystore_ledger import keys

from ystore import MemoryBlobs, Retention, Store, Tuning, covers, history, replay, segment
from ystore.covers import Covers
from ystore.directory import Directory
from ystore.record import Record
from ystore.segment import Info
from ystore.testing import update

MANUAL = Tuning(ship_after_s=3600)


@pytest.fixture(autouse=True)
def _no_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "_run", decode_here)


@pytest.fixture
def writers(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Who opens which directory next, by the first digit of the writer's id: names of files are ordered by it."""
    found: dict[str, str] = {}
    named = property(lambda self: found[self.root.name] * 16, lambda self, _: None)
    monkeypatch.setattr(Directory, "writer", named, raising=False)
    return found


class Pair:
    """Two directories of one history, and the blob store between them. Update n is written at second n."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.blobs = folder, MemoryBlobs()

    async def open(self, name: str, retention: Retention | None = None) -> Store:
        return await Store.open(self.folder / name, self.blobs, tuning=MANUAL, retention=retention or Retention(None, None))

    async def begin(self, count: int) -> None:
        async with await self.open("one") as store:
            await write(store, range(count))
            await store.flush()
        shutil.copytree(self.folder / "one", self.folder / "two")


async def write(store: Store, numbers: range) -> None:
    for n in numbers:
        await store.append(update(n), "ann", at=float(n))


async def told(store: Store) -> list[int]:
    """The numbers of the updates in the history."""
    return [int(record.at) async for record in store.records()]


async def rewritten_twice(pair: Pair) -> None:
    """What `two` wrote, 105 and 106, gets new positions at the next opening: 10 and 11 from `one`, but from `two`, which wrote
    more, 13 and 14.
    """
    await pair.begin(5)
    async with await pair.open("one") as one, await pair.open("two") as two:
        await write(one, range(5, 9))
        await write(two, range(105, 107))
        await one.compact()
        await one.flush()
        await two.flush()
        await write(two, range(107, 112))


async def test_a_segment_that_is_in_others_is_not_merged_over_them(tmp_path: Path, writers: dict[str, str]) -> None:
    """It would reach over positions that it does not have, and hide who has them from readers."""
    pair = Pair(tmp_path)
    writers |= {"one": "1", "two": "2"}
    await pair.begin(5)
    writers |= {"one": "3", "two": "4"}
    async with await pair.open("one") as one, await pair.open("two") as two:
        await write(one, range(5, 9))
        await write(two, range(105, 107))
        await one.compact()
        await one.flush()
        await two.flush()
    writers |= {"one": "8", "two": "f"}
    async with await pair.open("one") as one, await pair.open("two") as two:
        await write(one, range(9, 11))
        await one.compact()
        for store in (two, one):
            await store.flush()
    everything = [*range(9), 105, 106, 9, 10]
    writers |= {"one": "0"}
    async with await pair.open("one") as store:
        assert await told(store) == everything
        await write(store, range(11, 12))
        await store.compact()
        assert await told(store) == [*everything, 11]
        await store.flush()
    writers |= {"one": "a", "two": "b", "new": "c"}
    for name in writers:
        async with await pair.open(name) as store:
            assert await told(store) == [*everything, 11]
            assert keys([await store.load()]) == {str(n) for n in [*everything, 11]}


async def test_what_two_writers_rewrote_is_told_once(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    await rewritten_twice(pair)
    async with await pair.open("one") as one, await pair.open("two") as two:
        await write(one, range(9, 10))
        assert (await two.name_version("of two", 14)).at == 106
        for store in (two, one, two):
            await store.flush()
    everything = [*range(10), *range(105, 112)]
    for name in ("two", "one", "two", "one", "new"):
        async with await pair.open(name) as store:
            assert sorted(await told(store)) == everything, "each once"
            assert keys([await store.load()]) == {str(n) for n in everything}
            (named,) = [version for version in await store.versions() if version.name]
            assert (named.name, named.at) == ("of two", 106)
            assert "106" in keys([await store.load(named.position)])
            assert sum(version.edits for version in await store.versions()) == len(everything)
            await store.compact()
            assert sorted(await told(store)) == everything
            await store.flush()
    async with await pair.open("new") as store:
        segments = [i for i in store._contents.sealed if i.is_segment]
        assert sum(i.count for i in segments) == len(everything), "what both had is gone from the disk"


async def test_a_name_for_what_was_there_twice_goes_to_the_one_that_is_kept(tmp_path: Path) -> None:
    """`two` names it while `one` drops it."""
    pair = Pair(tmp_path)
    await rewritten_twice(pair)
    async with await pair.open("one") as one, await pair.open("two") as two:
        for store in (one, two):
            await store.flush()
        await one.close()
        async with await pair.open("one") as again:
            await again.compact()
            await again.flush()
            assert 14 not in [r.position async for r in again.records()]
        await two.name_version("late", 14)
        await two.flush()
    for name in ("one", "two", "new"):
        async with await pair.open(name) as store:
            assert [(v.name, v.position, v.at) for v in await store.versions() if v.name] == [("late", 11, 106)]


FORGETTING = Retention(None, 0)


async def test_a_name_for_what_the_other_lets_go_survives_where_the_records_are(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    await pair.begin(5)
    async with await pair.open("one", FORGETTING) as one, await pair.open("two") as two:
        await write(one, range(5, 8))
        await one.compact()
        await one.flush()
        assert one.horizon == 8
        await two.name_version("submitted", 3)
        await two.set_base(4, "etag")
        await two.flush()
    for name, has_it in (("one", False), ("two", True), ("one", True), ("new", True)):
        async with await pair.open(name, FORGETTING) as store:
            assert [version.position for version in await store.versions() if version.name == "submitted"] == [3] * has_it
            if has_it:
                assert keys([await store.load(3)]) == {"0", "1", "2"}
                assert keys([await store.base() or b""]) == {"0", "1", "2", "3"}
            await store.compact()
            await store.flush()
            assert keys([await store.load()]) == {str(n) for n in range(8)}


async def test_of_two_names_for_one_record_the_later_counts_and_the_other_is_told(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    await pair.begin(3)
    async with await pair.open("one") as one, await pair.open("two") as two:
        await one.name_version("draft", 2)
        await two.name_version("other", 1)
        await two.name_version("final", 2)
        await one.flush()
        await two.flush()
    for name in ("one", "two", "new"):
        async with await pair.open(name) as store:
            assert {version.position: version.name for version in await store.versions() if version.name} == {
                1: "other",
                2: "final",
            }
            said = [note for note in store.report.notes if "'draft'" in note and "'final'" in note]
            assert len(said) == (name == "one")


def segment_of(first: int, last: int, number: int, covered: str = "") -> Info:
    return Info(
        f"{first:012x}-{'a' * 16}-{number:06x}{segment.SEGMENT}", "", first, last, 1, Covers.of([covered] if covered else [])
    )


HORIZON = Info(f"{1:012x}-{'b' * 16}-000001{segment.HORIZON}", "", 1, 20, 1)
OLDER = Info(f"{1:012x}-{'b' * 16}-000002{segment.HORIZON}", "", 1, 5, 1)
ONE, TWO, THREE = segment_of(1, 5, 1), segment_of(6, 10, 2), segment_of(11, 20, 3)


@pytest.mark.parametrize(
    ("infos", "position", "found"),
    [
        ([HORIZON, ONE, TWO, THREE], 7, [ONE, TWO]),
        ([HORIZON, ONE, TWO, THREE], 10, [ONE, TWO]),
        ([HORIZON, TWO, ONE], 11, None),
        ([HORIZON, ONE, THREE], 7, None),
        ([HORIZON, ONE, THREE], 12, None),
        ([HORIZON, OLDER, TWO], 7, [OLDER, TWO]),
        ([HORIZON, OLDER, TWO], 4, None),
        ([HORIZON, ONE, TWO, segment_of(1, 10, 4, ONE.name)], 7, [segment_of(1, 10, 4)]),
        ([HORIZON], 7, None),
    ],
)  # fmt: skip
def test_a_state_behind_the_horizon_is_told_only_from_records_without_a_gap(
    infos: list[Info], position: int, found: list[Info] | None
) -> None:
    given = segment.behind(infos, position)
    assert (given and [info.name for info in given]) == (found and [info.name for info in found])


RECORDS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2)), max_size=6)


@given(st.lists(RECORDS, max_size=4))
def test_doubles_are_what_an_earlier_segment_has_too(parts: list[list[tuple[str, int]]]) -> None:
    positions = itertools.count(1)
    given = [[Record(next(positions), author, float(n), b"") for author, n in part] for part in parts]
    found = history.doubles(given)
    kept = [r for part in given for r in part if r not in found]
    by_position = {r.position: r for r in kept}
    for record, position in found.items():
        same = by_position[position]
        assert position < record.position
        assert (same.author, same.at) == (record.author, record.at)
    for one in {(r.author, r.at) for part in given for r in part}:
        most = max([(r.author, r.at) for r in part].count(one) for part in given)
        assert [(r.author, r.at) for r in kept].count(one) == most, "written twice is no double"


NAMES = st.sets(st.tuples(st.sampled_from("ab"), st.integers(1, 6)), max_size=4)


@given(st.lists(NAMES, max_size=6))
def test_covers_that_meet_are_found_in_groups(several: list[set[tuple[str, int]]]) -> None:
    named = [
        Covers.of([f"{0:012x}-{w * 16}-{n:06x}.yseg" for w, n in names] + ["odd"] * (("a", 1) in names)) for names in several
    ]
    groups = covers.meeting(named)
    expected = [{n} for n in range(len(several))]
    for n, m in itertools.combinations(range(len(several)), 2):
        if several[n] & several[m]:
            one, two = (next(group for group in expected if x in group) for x in (n, m))
            if one is not two:
                expected.remove(two)
                one |= two
    assert sorted(map(sorted, groups)) == sorted(sorted(group) for group in expected if len(group) > 1)
