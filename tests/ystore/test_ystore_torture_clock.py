"""Fault 5: the clock goes back, to 1970 and to 2038; order and content stay what they are."""

import itertools
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.ystore_decoding import decode_here
from support.ystore_ledger import Ledger, Writer, keys

from ystore import MemoryBlobs, Retention, Store, replay
from ystore.testing import QUICK

RecordProperty = Callable[[str, object], None]
NOW = 1_800_000_000.0
CLOCKS = {"now": NOW, "5 min back": NOW - 300, "1970": 0.0, "before 1970": -1.0, "2038": 2.0**31, "2106": 2.0**32}
EVERYTHING = Retention(None, None)


@pytest.fixture(autouse=True)
def _no_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "_run", decode_here)


@pytest.mark.parametrize("retention", [EVERYTHING, Retention()], ids=["all history", "default retention"])
async def test_the_clock_goes_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, retention: Retention, record_property: RecordProperty
) -> None:
    """Every pair of clocks, one after the other, with compactions, reopenings and a recovery from the blob store."""
    blobs, ledger = MemoryBlobs(), Ledger()
    writer, order = Writer(ledger), list[int]()
    clocks = [clock for pair in itertools.permutations(CLOCKS, 2) for clock in pair]
    for number, clock in enumerate(clocks):
        monkeypatch.setattr(time, "time", itertools.count(CLOCKS[clock], 0.5).__next__)
        async with await Store.open(tmp_path / "s", blobs, tuning=QUICK, retention=retention) as store:
            writer.store = store
            await writer.write(2)
            if number % 3 == 0:
                await store.compact()
            if number % 4 == 0:
                await store.flush()
            order.append(store.position)
    for root in (tmp_path / "s", tmp_path / "recovered"):
        async with await Store.open(root, blobs, tuning=QUICK, retention=retention) as store:
            await store.flush()
            assert keys([u async for u in store.updates()]) == {str(n) for n in ledger.tried}, "the content is whole"
            if retention == EVERYTHING:
                await ledger.verify(store)
            positions = [record.position async for record in store.records()]
            assert positions == sorted(positions)
    assert order == sorted(order)
    record_property("figures", {"changes of the clock": len(clocks) - 1, "acknowledged": ledger.promised})
    shutil.rmtree(tmp_path / "s")
