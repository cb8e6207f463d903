"""Two writers of one history who name, compact and drop at once: united, the document is whole, each name at its record."""

import asyncio
import random
import shutil
from pathlib import Path

import pytest
from support.ystore_decoding import decode_here
from support.ystore_disk import NoSync
from support.ystore_ledger import keys

from ystore import Journal, MemoryBlobs, PositionGone, Retention, Store, Tuning, replay
from ystore.testing import update

MANUAL = Tuning(ship_after_s=3600)


@pytest.fixture(autouse=True)
def _no_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "_run", decode_here)


class Race:
    """One seeded run. Update n is written at second n."""

    def __init__(self, folder: Path, seed: int, *, dropping: bool) -> None:
        self.dice = random.Random(seed)
        self.folder = folder
        self.dropping = dropping
        self.blobs = MemoryBlobs()
        self.journal = Journal(files=NoSync())
        self.count = 0
        self.named: dict[int, set[str]] = {}
        """Names by the number of the record."""

    async def open(self, name: str) -> Store:
        retention = Retention(None, self.dice.choice((0, 600, 3000))) if self.dropping else Retention(None, None)
        return await Store.open(self.folder / name, self.blobs, self.journal, tuning=MANUAL, retention=retention)

    async def run(self) -> None:
        async with await self.open("one") as store:
            await self.live(store, 6)
            await store.flush()
        shutil.copytree(self.folder / "one", self.folder / "two")
        for _ in range(3):
            async with await self.open("one") as one, await self.open("two") as two:
                await asyncio.gather(*(self.live(store, self.dice.randint(2, 10)) for store in (one, two)))
        for name in ("one", "two") * 2:
            async with await self.open(name) as store:
                await store.flush()
        for name in ("one", "two", "new"):
            async with await self.open(name) as store:
                for _ in range(2):
                    await self.check(store)
                    await store.compact()
        self.journal.close()

    async def live(self, store: Store, steps: int) -> None:
        for _ in range(steps):
            work = self.dice.choices((self.append, self.name, Store.compact, self.flush), (50, 15, 15, 20))[0]
            await work(store)

    async def append(self, store: Store) -> None:
        for _ in range(self.dice.randint(1, 4)):
            self.count += 1
            await store.append(update(self.count), at=float(self.count))

    async def name(self, store: Store) -> None:
        position = self.dice.randint(min(store.horizon, store.position), store.position)
        try:
            version = await store.name_version(f"version {self.dice.random()}", position)
        except PositionGone:
            return
        self.named.setdefault(int(version.at), set()).add(version.name)

    async def flush(self, store: Store) -> None:
        for _ in range(2):  # what another writer took away is put again
            await store.flush()
        assert store.status.problem == ""

    async def check(self, store: Store) -> None:
        everything = {str(n + 1) for n in range(self.count)}
        assert keys([u async for u in store.updates()]) == everything
        assert keys([await store.load(store.position)]) == everything
        positions = [r.position async for r in store.records()]
        assert positions == sorted(set(positions))
        versions = await store.versions()
        for version in versions:
            assert str(int(version.at)) in keys([await store.load(version.position)])
        names = {version.name for version in versions} - {""}
        assert names <= set[str]().union(*self.named.values())
        if not self.dropping:
            assert all(names & given for given in self.named.values()), "a version's name was lost"


async def race(folder: Path, seeds: range) -> None:
    for seed in seeds:
        for dropping in (False, True):
            here = folder / f"{seed} {dropping}"
            await Race(here, seed, dropping=dropping).run()
            shutil.rmtree(here)


async def test_some_races(memory_path: Path) -> None:
    await race(memory_path, range(4))


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_200_races(memory_path: Path) -> None:
    await race(memory_path, range(1000, 1100))
