"""Fault 2: the log ends at any byte of its last records; single bits flip in any file, here or in the blob store."""

import random
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.ystore_disk import NoSync

from ystore import DirectoryBlobs, Journal, Store, Tuning, record
from ystore import journal as journals
from ystore.testing import update

RecordProperty = Callable[[str, object], None]
STILL = Tuning(ship_after_s=3600, retry_s=3600)
"""Nothing happens that the test did not ask for."""
WRITTEN = {n + 1: update(n) for n in range(12)}
LOG, SEGMENT, SNAPSHOT, MANIFEST, META = ".ylog", ".yseg", ".ysnap", "manifest", "meta"
HERE, THERE = (LOG, SEGMENT, SNAPSHOT, MANIFEST), (SEGMENT, SNAPSHOT, META)


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """To walk to a thread and back takes longer than what is done there."""

    async def at_once(pool: object, function: Callable[..., object], args: tuple[object, ...]) -> object:
        return function(*args)

    monkeypatch.setattr(journals, "_in", at_once)


@pytest.fixture
async def journal() -> AsyncIterator[Journal]:
    journal = Journal(files=NoSync())
    yield journal
    journal.close()


async def read(store: Store) -> dict[int, bytes]:
    records = [r async for r in store.records()]
    assert [r.position for r in records] == sorted({r.position for r in records})
    return {r.position: r.update for r in records}


@pytest.mark.parametrize("room", [0, 1000])
async def test_a_log_cut_at_every_byte_of_its_last_three_records(
    tmp_path: Path, journal: Journal, room: int, record_property: RecordProperty
) -> None:
    """With and without zeros behind, where a process or the power ended before they were written over."""
    looks_like_records = b"".join(record.encode(record.Record(n, "x", 0.0, b"inner")) for n in (7, 8, 10**6))
    written = [b"a" * 40, b"", update(0), b"b" * 100, looks_like_records]
    async with await Store.open(tmp_path / "sound", journal=journal, tuning=STILL) as store:
        await store.append(b"sealed before")
        async with store._contents.lock:
            await store._contents.seal()
        for number, one in enumerate(written):
            await store.append(one, f"author {number}")
        whole = await read(store)
    (log,) = (tmp_path / "sound").rglob(f"*{LOG}")
    data, ends = log.read_bytes(), [end for _, end in record.read(log.read_bytes())]
    assert (len(ends), ends[-1]) == (len(written), len(data))
    enough = [len(data[:end].rstrip(b"\0")) if room else end for end in ends]  # zeros that are cut are there again
    for size in range(ends[-4], enough[-1]):
        is_whole = any(least <= size <= end for least, end in zip(enough, ends, strict=True))
        root = tmp_path / "cut"
        shutil.copytree(tmp_path / "sound", root)
        next(root.rglob(f"*{LOG}")).write_bytes(data[:size] + bytes(room))
        prefix = {p: u for p, u in whole.items() if p <= 1 + sum(least <= size for least in enough)}
        async with await Store.open(root, journal=journal, tuning=STILL) as store:
            assert await read(store) == prefix
            assert bool(store.report.cuts) != is_whole, "said, unless nothing in the file tells of it"
            after = await store.append(b"after", "bob")
            assert after > max(prefix)
            assert is_whole or after > 1 + sum(end < size for end in [0, *ends]), "a position was given out twice"
        async with await Store.open(root, journal=journal, tuning=STILL) as store:
            assert await read(store) == {**prefix, after: b"after"}
            assert store.report.cuts == []
        shutil.rmtree(root)
    record_property("figures", f"{enough[-1] - ends[-4]} cuts")


@dataclass(frozen=True)
class Sound:
    """A store with twelve updates in a snapshot, segments and a log, and the same without the log in a blob store."""

    root: Path
    blobs: Path
    shipped: frozenset[int]


async def build(folder: Path, journal: Journal) -> Sound:
    sound = Sound(folder / "s", folder / "b", frozenset(range(1, 10)))
    async with await Store.open(sound.root, DirectoryBlobs(sound.blobs), journal, tuning=STILL) as store:
        for n in range(12):
            await store.append(update(n), f"author {n}", at=1e9 + n)
            if n in (1, 3, 6, 8):
                await store.set_meta({"n": str(n)})
                await store.flush()
            if n == 4:
                await store.compact()
    for folder, kinds in ((sound.root, HERE), (sound.blobs, THERE)):
        assert all(files(folder, kind) for kind in kinds)
    return sound


def files(root: Path, kind: str) -> list[Path]:
    return sorted(p for p in root.rglob("*") if p.is_file() and (p.name.endswith(kind) or p.name.startswith(kind)))


def flip(path: Path, dice: random.Random) -> int:
    """Returns the offset of the changed byte."""
    data = bytearray(path.read_bytes())
    bit = dice.randrange(8 * len(data))
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    return bit // 8


async def flips(folder: Path, journal: Journal, count: int, seed: int) -> Counter[str]:
    """Flips `count` bits, one at a time, over all kinds of files in turn, and returns what came of it."""
    sound, dice, figures = await build(folder, journal), random.Random(seed), Counter[str]()
    kinds = [(True, kind) for kind in HERE] + [(False, kind) for kind in THERE]
    for n in range(count):
        here, kind = kinds[n % len(kinds)]
        root = folder / "flipped"
        shutil.copytree(sound.root if here else sound.blobs, root)
        path = dice.choice(files(root, kind))
        offset = flip(path, dice)
        if here:
            figures[f"{kind}: all served"] += await look_at(root, journal, path, offset, again=n // len(kinds) % 10 == 0)
        else:
            figures[f"blob {kind}: all served"] += await look_at_blobs(folder, root, journal, sound, kind)
        figures["flips"] += 1
        shutil.rmtree(root)
    return figures


def good_prefix(log: Path) -> list[int]:
    return [found.position for found, _ in record.read(log.read_bytes())]


async def look_at(root: Path, journal: Journal, path: Path, offset: int, *, again: bool) -> bool:
    """The flip was reported, and nothing served but what was written; looks a second time if `again`. Returns whether all
    that was written was served.
    """
    good = good_prefix(path) if path.name.endswith(LOG) else []
    assert len(good) < 3, "the flipped record is not read, nor any after it"
    async with await Store.open(root, journal=journal, tuning=STILL) as store:
        found, content = await read(store), b"".join([u async for u in store.updates()])
        assert store.report.cuts or store.report.notes, f"{path.name}: undetected at {offset}"
        following = await store.append(update(100))
    assert found.items() <= WRITTEN.items(), "only what was written"
    assert following > max(WRITTEN)
    if path.name.endswith(LOG):
        assert set(found) == {p for p in WRITTEN if p < 10} | set(good), "the records before it are served"
    if path.name.endswith(SEGMENT):
        assert {10, 11, 12} <= set(found), "the other files are served"
    if path.name.endswith((SNAPSHOT, MANIFEST)):
        assert found == WRITTEN
    assert all(b"<%d>" % (p - 1) in content for p in found)
    if again:
        async with await Store.open(root, journal=journal, tuning=STILL) as store:
            assert set(await read(store)) == {*found, following}, "what was put right stays right"
            assert store.report.cuts == []
    return found == WRITTEN


async def look_at_blobs(folder: Path, blobs: Path, journal: Journal, sound: Sound, kind: str) -> bool:
    """The same for a directory that was lost and is fetched from blobs with a flipped bit."""
    root = folder / "fetched"
    async with await Store.open(root, DirectoryBlobs(blobs), journal, tuning=STILL) as store:
        found = await read(store)
        assert store.report.notes, "undetected"
    shutil.rmtree(root)
    assert found.items() <= WRITTEN.items(), "only what was written"
    if kind in (SNAPSHOT, META):
        assert set(found) == sound.shipped
    return set(found) == sound.shipped


async def test_some_flipped_bits(memory_path: Path, journal: Journal, record_property: RecordProperty) -> None:
    record_property("figures", dict(await flips(memory_path, journal, 140, seed=3)))


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_10000_flipped_bits(memory_path: Path, journal: Journal, record_property: RecordProperty) -> None:
    figures = dict(await flips(memory_path, journal, 10_000, seed=4))
    record_property("figures", figures)
    print("10,000 flips, 0 undetected:", figures)


async def test_a_damaged_file_comes_back_whole_from_the_blob_store(tmp_path: Path, journal: Journal) -> None:
    sound, dice = await build(tmp_path, journal), random.Random(5)
    for kind in (SEGMENT, SNAPSHOT, MANIFEST) * 5:
        root, blobs = tmp_path / "flipped", DirectoryBlobs(sound.blobs)
        shutil.copytree(sound.root, root)
        flip(dice.choice(files(root, kind)), dice)
        async with await Store.open(root, blobs, journal, tuning=STILL) as store:
            assert await read(store) == WRITTEN
            assert store.meta["n"] == "8"
        shutil.rmtree(root)


async def test_a_segment_mended_while_the_blob_store_was_away_is_made_whole_from_it_later(
    tmp_path: Path, journal: Journal
) -> None:
    """What is left of a damaged segment must neither hide nor replace the good copy in the blob store."""
    sound = await build(tmp_path, journal)
    for path in files(sound.root, SEGMENT):
        root, blobs = tmp_path / "flipped", tmp_path / "blobs"
        shutil.copytree(sound.root, root)
        shutil.copytree(sound.blobs, blobs)
        before = sealed(blobs)
        damage(root / path.relative_to(sound.root))
        async with await Store.open(root, journal=journal, tuning=STILL) as store:
            await store.append(update(50))
        async with await Store.open(root, DirectoryBlobs(blobs), journal, tuning=STILL) as store:
            found = await read(store)
            await store.flush()
            assert store.status.problem == ""
        assert WRITTEN.items() <= found.items()
        assert sealed(blobs).items() >= before.items(), "nothing good was overwritten"
        for folder in (root, blobs):
            shutil.rmtree(folder)


def sealed(blobs: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for kind in (SEGMENT, SNAPSHOT) for path in files(blobs, kind)}


def damage(path: Path) -> None:
    """Near the end, so that a part can be read."""
    data = bytearray(path.read_bytes())
    data[-6] ^= 1
    path.write_bytes(data)


async def test_an_object_of_the_same_name_in_the_blob_store_is_not_replaced_by_a_shorter_one(
    tmp_path: Path, journal: Journal
) -> None:
    class Hidden(DirectoryBlobs):
        """Lists nothing, as a storage that lags does."""

        async def list(self, prefix: str) -> list[str]:
            return []

    sound = await build(tmp_path, journal)
    before = sealed(sound.blobs)
    damage(files(sound.root, SEGMENT)[0])
    async with await Store.open(sound.root, Hidden(sound.blobs), journal, tuning=STILL) as store:
        await store.flush()
    assert sealed(sound.blobs).items() >= before.items(), "nothing good was overwritten"
    async with await Store.open(sound.root, DirectoryBlobs(sound.blobs), journal, tuning=STILL) as store:
        assert await read(store) == WRITTEN
