"""Fault 6: a minute of every kind of trouble with the blob store, in virtual time, with the timing of a store by default."""

import asyncio
import builtins
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.ystore_clock import run_in_virtual_time
from support.ystore_decoding import decode_here
from support.ystore_ledger import Ledger, Writer

from ystore import BlobConflict, MemoryBlobs, Store, StoreCorrupt, replay, segment

RecordProperty = Callable[[str, object], None]
TROUBLE_S = 60.0
FAULTS = ("5xx", "slow", "truncated", "torn put", "stale etag", "stale list", "deaf", "silent")
IN_TIME_S = {"silent": 40.0}
"""10 s for all but calls that are never answered: of these one may have begun last, and is waited for for 30 s."""


@pytest.fixture(autouse=True)
def _no_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "_run", decode_here)


class Troubled(MemoryBlobs):
    """Answers after 20 ms, and between `begin` and `end` as ``fault`` says. Counts sound objects replaced by other bytes."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault, self.is_on, self.ends = fault, False, 0.0
        self.harmed: list[str] = []
        self.calls = 0
        self._listed: list[str] = []

    async def begin(self) -> None:
        self._listed = await super().list("")
        self.is_on, self.ends = True, asyncio.get_running_loop().time() + TROUBLE_S

    def _has(self, fault: str) -> bool:
        return self.is_on and self.fault == fault

    async def _call(self) -> None:
        self.calls += 1
        loop = asyncio.get_running_loop()
        await asyncio.sleep(min(30.0, self.ends - loop.time()) if self._has("slow") else 0.02)
        if self._has("5xx"):
            raise ConnectionError("503 Service Unavailable")
        if self._has("silent"):
            await asyncio.Event().wait()

    async def get(self, name: str) -> bytes:
        await self._call()
        data = await super().get(name)
        return data[: len(data) // 2] if self._has("truncated") else data

    async def put(self, name: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        await self._call()
        if self._has("stale etag") and if_match is not None:
            raise BlobConflict(f"{name} is not what it was")
        before = self._objects.get(name)
        etag = await super().put(name, data[:-9] if self._has("torn put") else data, if_absent=if_absent, if_match=if_match)
        if before is not None and self._objects[name] != before and _is_sound(name, before):
            self.harmed.append(name)
        if self._has("deaf"):
            raise ConnectionError("the answer was lost")
        return "stale" if self._has("stale etag") else etag

    async def list(self, prefix: str) -> builtins.list[str]:
        await self._call()
        return [n for n in self._listed if n.startswith(prefix)] if self._has("stale list") else await super().list(prefix)

    async def delete(self, name: str) -> None:
        await self._call()
        await super().delete(name)
        if self._has("deaf"):
            raise ConnectionError("the answer was lost")


def _is_sound(name: str, data: bytes) -> bool:
    """Notes are a writer's own to replace."""
    try:
        return "/meta-" not in name and bool(segment.unpack(name, data))
    except StoreCorrupt:
        return False


async def write_for(writer: Writer, seconds: float) -> None:
    """An update every half second."""
    for _ in range(int(2 * seconds)):
        await writer.write(1)
        await asyncio.sleep(0.5)


async def trouble(root: Path, fault: str) -> dict[str, object]:
    """Twenty good seconds, sixty bad ones with a compaction and a reopening in them, and how long it takes to catch up."""
    blobs, ledger, loop = Troubled(fault), Ledger(), asyncio.get_running_loop()
    writer, appended_at_once = Writer(ledger), 0.0
    writer.store = store = await Store.open(root, blobs)
    await write_for(writer, 10)
    await store.compact()
    await write_for(writer, 10)
    await blobs.begin()
    calls = blobs.calls
    began = loop.time()
    await write_for(writer, 15)
    await store.compact()
    await write_for(writer, 5)
    appended_at_once = loop.time() - began
    backlog = size_of(root)
    await store.close()
    writer.store = store = await Store.open(root, blobs)
    await ledger.verify(store)
    while loop.time() < blobs.ends:
        await write_for(writer, 0.5)
        backlog = max(backlog, size_of(root))
    blobs.is_on = False
    figures: dict[str, object] = {"calls in trouble": blobs.calls - calls, "bytes on disk at most": backlog}
    figures["caught up after s"] = round(await caught_up(store) - blobs.ends, 2)
    figures["seconds for 20 s of appends"] = round(appended_at_once, 1)
    await ledger.verify(store)
    assert blobs.harmed == [], "something good was overwritten"
    await store.close()
    shutil.rmtree(root)
    async with await Store.open(root, blobs) as store:
        await ledger.verify(store)
    figures["acknowledged"] = ledger.promised
    return figures


async def caught_up(store: Store) -> float:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(300):
        while store.status.shipped < store.position or store.status.problem:  # noqa: ASYNC110 - in virtual time
            await asyncio.sleep(0.05)
    return loop.time()


def size_of(root: Path) -> int:
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize("fault", FAULTS)
def test_a_minute_of_trouble(tmp_path: Path, fault: str, record_property: RecordProperty) -> None:
    figures = run_in_virtual_time(trouble(tmp_path / "s", fault))
    record_property("figures", figures)
    print(f"{fault}: {figures}")
    assert float(str(figures["caught up after s"])) <= IN_TIME_S.get(fault, 10.0)
    assert int(str(figures["bytes on disk at most"])) < 64 * 1024, "the backlog is a few times what was written"
    assert float(str(figures["seconds for 20 s of appends"])) < 21, "no append waits for the blob store"


def test_a_store_that_is_slow_for_ever_gets_there(tmp_path: Path) -> None:
    """Each call takes 25 s."""

    class Slow(MemoryBlobs):
        async def put(self, name: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
            await asyncio.sleep(25)
            return await super().put(name, data, if_absent=if_absent, if_match=if_match)

    async def work() -> None:
        async with await Store.open(tmp_path / "s", Slow()) as store:
            await store.append(b"\0\0")
            await caught_up(store)

    run_in_virtual_time(work())
