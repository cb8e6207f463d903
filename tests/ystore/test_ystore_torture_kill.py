"""Fault 1: a writer process is killed at random moments, and at every passage of every failpoint."""

import random
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.ystore_ledger import Ledger
from ystore_nursery import Job, Nursery
from ystore_writer import FORGETTING

from ystore import DirectoryBlobs, Store, failpoints

pytestmark = pytest.mark.integration
LIVES_OF_A_STORE = 8
Record = Callable[[str, object], None]


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


async def kill_at_random(tmp_path: Path, nursery: Nursery, kills: int, seed: int) -> dict[str, int]:
    """Up to `LIVES_OF_A_STORE` writers in one directory, each killed at a moment drawn from the length of a whole life."""
    dice, figures, n = random.Random(seed), Counter[str](), 0
    store, blobs = tmp_path / "s", tmp_path / "b"
    whole = nursery.run(Job(str(tmp_path / "whole"), str(tmp_path / "whole-b"), 2))
    assert whole.lines[-1] == "done"
    while figures["kills"] < kills:
        ledger = Ledger()
        for _ in range(LIVES_OF_A_STORE):
            n += 1
            moment = dice.uniform(0, whole.lived_s)
            job = Job(str(store), str(blobs), 2, first=100 * n, kill_after_s=moment, decode_here=n % 20 > 0)
            life = nursery.run(job)
            ledger.hear(life.lines)
            if life.status == -signal.SIGKILL:
                figures["kills"] += 1
                figures["before the first append"] += not any(line.startswith("try") for line in life.lines)
            if dice.random() < 0.7:  # else the next writer meets what this one left
                await verify(store, blobs if dice.random() < 0.7 else None, ledger, figures)
        await verify(store, blobs, ledger, figures)
        figures["acknowledged"] += ledger.promised
        figures["in flight"] += len(ledger.tried) - ledger.promised
        shutil.rmtree(store)
        shutil.rmtree(blobs, ignore_errors=True)
    return dict(figures)


async def verify(directory: Path, blobs: Path | None, ledger: Ledger, figures: Counter[str]) -> None:
    async with await Store.open(directory, DirectoryBlobs(blobs) if blobs else None) as store:
        figures["openings"] += 1
        figures["torn tails cut"] += len(store.report.cuts)
        assert not [cut for cut in store.report.cuts if not cut.torn], "a crash is not damage"
        await ledger.verify(store)


async def test_some_kills_at_random_moments(tmp_path: Path, nursery: Nursery, record_property: Record) -> None:
    record_property("figures", await kill_at_random(tmp_path, nursery, 20, seed=1))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [2, 3])
async def test_1000_kills_at_random_moments(tmp_path: Path, nursery: Nursery, seed: int, record_property: Record) -> None:
    """In two halves, for two workers."""
    figures = await kill_at_random(tmp_path, nursery, 500, seed)
    record_property("figures", figures)
    print("500 kills:", figures)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_kill_at_every_passage_of_every_failpoint(tmp_path: Path, nursery: Nursery, record_property: Record) -> None:
    """`test_ystore_faults` kills at the first passages; here at each of a life with shipping, two compactions and a reset."""
    whole = nursery.run(Job(str(tmp_path / "whole"), str(tmp_path / "whole-b"), 2, reset=True, count=True))
    passages = {line.split()[1]: int(line.split()[2]) for line in whole.lines if line.startswith("passed ")}
    figures = Counter[str](failpoints=len(passages))
    missing = set(failpoints.NAMES) - set(passages) - set(FORGETTING)
    for name, times in passages.items():
        for nth in range(1, times + 1):
            store, blobs, ledger = tmp_path / f"{name}{nth}", tmp_path / f"{name}{nth}b", Ledger()
            life = nursery.run(Job(str(store), str(blobs), 2, reset=True, failpoint=f"{name}:kill:{nth}"))
            ledger.hear(life.lines)
            figures["kills"] += life.status == -signal.SIGKILL  # how often is a little different each time
            figures["acknowledged"] += ledger.promised
            await verify(store, blobs, ledger, figures)
    record_property("figures", dict(figures))
    print("every passage:", dict(figures), "not passed here:", missing)
    assert not missing
    assert figures["kills"] > 0.9 * sum(passages.values())
