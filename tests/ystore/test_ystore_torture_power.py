"""Fault 3: the power goes at any moment, and a disk forgets what was not synced, or keeps some of it."""

import random
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from support.ystore_decoding import decode_here
from support.ystore_disk import ForgetfulDisk, NoSync
from support.ystore_ledger import Ledger, Writer

from ystore import BlobStore, Journal, MemoryBlobs, Store, StoreError, replay
from ystore.files import Files
from ystore.testing import QUICK, update

LIVES_OF_A_STORE = 4
RecordProperty = Callable[[str, object], None]


@pytest.fixture(autouse=True)
def _no_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "_run", decode_here)


async def life(root: Path, disk: Files, blobs: BlobStore | None, writer: Writer, dice: random.Random) -> None:
    """Opens, writes, ships, compacts and notes in random order until that has been done a few times or the disk is gone."""
    journal = Journal(files=disk)
    try:
        store = await Store.open(root, blobs, journal, tuning=QUICK)
    except (StoreError, OSError):
        journal.close()
        return
    writer.store = store
    works: list[Callable[[], Awaitable[object]]] = [
        lambda: writer.write(dice.randint(1, 6)), lambda: writer.write(1), store.compact, store.flush, writer.note, writer.name,
        lambda: store.quarantine(b"bad", "mallory", "test"),
    ]  # fmt: skip
    for _ in range(12):
        try:
            await dice.choice(works)()
        except (StoreError, OSError):
            if isinstance(disk, ForgetfulDisk) and disk.is_off:
                break
            raise
    await store.close()
    journal.close()


async def power_cuts(tmp_path: Path, cuts: int, seed: int) -> Counter[str]:
    """`cuts` losses of power, several in a row on one store; what is left is verified on a copy, without the blob store."""
    figures = Counter[str]()
    still = Journal(files=NoSync())
    while figures["power cuts"] < cuts:
        dice = random.Random(seed := seed + 1)
        root, ledger = tmp_path / "s", Ledger()
        writer, blobs = Writer(ledger), MemoryBlobs() if dice.random() < 0.5 else None
        root.mkdir()
        for _ in range(LIVES_OF_A_STORE):
            disk = ForgetfulDisk(root, cut_at=int(10 ** dice.uniform(0, 2.6)))
            await life(root, disk, blobs, writer, dice)
            figures["power cuts"] += disk.is_off
            disk.lose_power(dice)
            shutil.copytree(root, tmp_path / "copy")
            try:
                async with await Store.open(tmp_path / "copy", journal=still) as store:
                    figures["torn tails cut"] += len(store.report.cuts)
                    assert int(store.meta.get("n", 0)) >= writer.noted, "acknowledged notes are lost"
                    assert int(store.meta.get("n", 0)) <= writer.tried_notes
                    await ledger.verify(store)
                    named = {version.position for version in await store.versions() if version.name}
                    assert writer.named.keys() <= named, "acknowledged names are lost"
            except BaseException:
                print(f"seed {seed}")
                raise
            shutil.rmtree(tmp_path / "copy")
        figures["acknowledged"] += ledger.promised
        shutil.rmtree(root)
    still.close()
    return figures


async def test_some_power_cuts(memory_path: Path, record_property: RecordProperty) -> None:
    record_property("figures", dict(await power_cuts(memory_path, 40, seed=100)))


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_500_power_cuts(memory_path: Path, record_property: RecordProperty) -> None:
    figures = dict(await power_cuts(memory_path, 500, seed=1000))
    record_property("figures", figures)
    print("500 power cuts:", figures)


async def test_the_disk_forgets_what_is_not_synced(tmp_path: Path) -> None:
    """The double itself: without the syncs the same runs lose something."""
    lost = 0
    for seed in range(20):
        root, ledger, dice = tmp_path / str(seed), Ledger(), random.Random(seed)
        root.mkdir()
        disk = ForgetfulDisk(root)
        disk.sync = lambda fd: None  # type: ignore[method-assign]
        async with await Store.open(root, journal=Journal(files=disk)) as store:
            for n in range(4):
                ledger.tried.add(n)
                ledger.promise(store.lineage, await store.append(update(n), f"author {n}"), n)
        disk.lose_power(dice)
        async with await Store.open(root) as store:
            try:
                await ledger.verify(store)
            except AssertionError:
                lost += 1
            lost += store.position == 0
    assert lost
