"""Fault 7: compaction races appends, crashes and a second writer of the same history; what is replayed stays the same."""

import asyncio
import itertools
import random
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.ystore_clock import run_in_virtual_time
from support.ystore_decoding import decoded
from support.ystore_disk import ForgetfulDisk, NoSync
from support.ystore_ledger import Ledger, Writer, keys, number_of

from ystore import BlobStore, Journal, MemoryBlobs, Store, StoreClosed, StoreError, decode, replay
from ystore import journal as journals
from ystore.files import Files
from ystore.testing import QUICK

RecordProperty = Callable[[str, object], None]


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a run does is decided by its seed: the event loop takes the steps in turn, in virtual time."""
    steps = random.Random(7)

    async def step(pool: journals._Threads, function: Callable[..., object], args: tuple[object, ...]) -> object:
        for _ in range(steps.randint(1, 3)):
            await asyncio.sleep(0)
        if pool.is_closed:
            raise StoreClosed("the journal is closed")
        return function(*args)

    async def decode(task: str, updates: Sequence[bytes]) -> bytes:
        for _ in range(steps.randint(1, 30)):
            await asyncio.sleep(0)
        return decoded(task, updates)

    monkeypatch.setattr(journals, "_in", step)
    monkeypatch.setattr(replay, "_run", decode)
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=steps.getrandbits(128)))
    monkeypatch.setattr(time, "time", itertools.count(1.8e9, 0.25).__next__)
    monkeypatch.setattr(Race, "steps", steps, raising=False)


class Lazy(MemoryBlobs):
    """Answers after a while, so that others get in between, and sometimes not at all."""

    def __init__(self, dice: random.Random, failing: float) -> None:
        super().__init__()
        self._dice = dice
        self.failing = failing

    async def _lag(self) -> None:
        for _ in range(self._dice.randint(0, 4)):
            await asyncio.sleep(0)
        if self._dice.random() < self.failing:
            raise ConnectionError("lost")

    async def get(self, name: str) -> bytes:
        await self._lag()
        return await super().get(name)

    async def put(self, name: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        await self._lag()
        etag = await super().put(name, data, if_absent=if_absent, if_match=if_match)
        await self._lag()
        return etag

    async def delete(self, name: str) -> None:
        await self._lag()
        await super().delete(name)


@dataclass
class Site:
    """One of the two that write."""

    root: Path
    writer: Writer

    async def live(self, disk: Files, blobs: BlobStore, dice: random.Random) -> None:
        """Appends, compacts, ships and notes, all at once, until done or the disk is gone."""
        journal = Journal(files=disk)
        try:
            self.writer.store = store = await Store.open(self.root, blobs, journal, tuning=QUICK)
        except (StoreError, OSError):
            journal.close()
            return

        async def often(work: Callable[[], Awaitable[object]], times: int) -> None:
            for _ in range(times):
                for _ in range(dice.randint(0, 20)):
                    await asyncio.sleep(0)
                await work()

        results = await asyncio.gather(
            often(lambda: self.writer.write(dice.randint(1, 4)), 6), often(store.compact, dice.randint(1, 3)),
            often(store.flush, 2), often(self.writer.note, 1), return_exceptions=True,
        )  # fmt: skip
        await store.close()
        journal.close()
        for error in results:
            assert error is None or (isinstance(disk, ForgetfulDisk) and disk.is_off and isinstance(error, StoreError)), error


class Race:
    """One seeded run: two sites begin from one history, live three lives each, and are then brought together."""

    steps: random.Random

    def __init__(self, folder: Path, seed: int) -> None:
        self.dice = random.Random(seed)
        self.steps.seed(seed)
        self.blobs = Lazy(self.dice, failing=self.dice.choice((0, 0.05)))
        self.journal = Journal(files=NoSync())
        self.figures = Counter[str]()
        self.twice = 0
        self.sites = [Site(folder / name, Writer(Ledger(), first, 2)) for name, first in (("one", 0), ("two", 1))]

    async def run(self) -> None:
        one, two = self.sites
        await one.live(NoSync(), MemoryBlobs() if self.dice.random() < 0.2 else self.blobs, self.dice)
        shutil.copytree(one.root, two.root)
        for _ in range(3):
            await asyncio.gather(*(self._life(site) for site in self.sites))
        await self._unite()
        self.journal.close()

    async def _life(self, site: Site) -> None:
        disk = ForgetfulDisk(site.root, int(10 ** self.dice.uniform(1, 3)) if self.dice.random() < 0.6 else None)
        await site.live(disk, self.blobs, self.dice)
        if disk.is_off:
            self.figures["crashes"] += 1
            disk.lose_power(self.dice)
        copy = site.root.with_name("copy-" + site.root.name)
        shutil.copytree(site.root, copy)
        async with await Store.open(copy, journal=self.journal) as store:
            await self._both_tried(site).verify(store, split=True)
        shutil.rmtree(copy)

    def _both_tried(self, *sites: Site) -> Ledger:
        """What these sites were promised, in a history in which both may have written."""
        tried = set[int]().union(*(site.writer.ledger.tried for site in self.sites))
        both = Ledger(tried)
        for site in sites:
            for lineage, promised in site.writer.ledger.acknowledged.items():
                of_lineage = both.acknowledged.setdefault(lineage, {})
                of_lineage.update({len(of_lineage) + n: number for n, number in enumerate(promised.values())})
        return both

    async def _unite(self) -> None:
        self.blobs.failing = 0
        everything, one = self._both_tried(*self.sites), self.sites[0]
        self.figures["acknowledged"] += everything.promised
        for site in (*self.sites, *self.sites):
            async with await Store.open(site.root, self.blobs, self.journal, tuning=QUICK) as store:
                await store.flush()
        before = [await self._updates(site, everything) for site in self.sites]
        assert keys(before[0]) == keys(before[1])
        async with await Store.open(one.root, self.blobs, self.journal, tuning=QUICK) as store:
            await store.compact()
            await store.flush()
            assert store.status.problem == ""
            await everything.verify(store, split=True)
        for site in self.sites:
            shutil.rmtree(site.root)
            after = await self._updates(site, everything)
            assert decode.compare(decode.squash(after), before[0]) == "", "the replay is another"
            assert self.twice == 0, "what two writers rewrote is told twice"

    async def _updates(self, site: Site, everything: Ledger) -> list[bytes]:
        async with await Store.open(site.root, self.blobs, self.journal, tuning=QUICK) as store:
            records = await everything.verify(store, split=True)
            updates = [update async for update in store.updates()]
            self.twice = records - len(keys(updates))
            assert {str(number_of(r)) async for r in store.records()} == keys(updates)
            return updates


def race(tmp_path: Path, runs: int, seed: int) -> Counter[str]:
    figures = Counter[str](runs=runs)
    for one in range(seed, seed + runs):
        folder = tmp_path / "race"
        folder.mkdir()
        running = Race(folder, one)
        try:
            run_in_virtual_time(running.run())
        except BaseException:
            print(f"seed {one}")
            raise
        figures += running.figures
        shutil.rmtree(folder)
    return figures


def test_some_races(memory_path: Path, record_property: RecordProperty) -> None:
    record_property("figures", dict(race(memory_path, 10, seed=1)))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1000, 1250])
def test_500_races(memory_path: Path, seed: int, record_property: RecordProperty) -> None:
    """In two halves, for two workers."""
    figures = dict(race(memory_path, 250, seed))
    record_property("figures", figures)
    print("250 races:", figures)
