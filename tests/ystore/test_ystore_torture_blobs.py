"""Fault 6: a minute of every kind of trouble with the blob store, in virtual time, with the timing of a store by default."""

import asyncio
import builtins
import shutil
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from support.ystore_clock import run_in_virtual_time
from support.ystore_decoding import decode_here
from support.ystore_ledger import Ledger, Writer

from ystore import BlobConflict, MemoryBlobs, Store, StoreCorrupt, replay, segment

T = TypeVar("T")
RecordProperty = Callable[[str, object], None]
TROUBLE_S = 60.0
FAULTS = ("5xx", "slow", "truncated", "torn put", "stale etag", "stale list", "deaf", "silent")


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
        await asyncio.sleep(30 if self._has("slow") else 0.02)
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
    """Without what no file has written yet."""
    found = [path.stat() for path in root.rglob("*") if path.is_file()]
    return sum(min(stat.st_size, 512 * stat.st_blocks) for stat in found)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_minute_of_trouble(tmp_path: Path, fault: str, record_property: RecordProperty) -> None:
    figures = run_in_virtual_time(trouble(tmp_path / "s", fault))
    record_property("figures", figures)
    print(f"{fault}: {figures}")
    assert float(str(figures["caught up after s"])) <= 10
    assert int(str(figures["bytes on disk at most"])) < 64 * 1024, "the backlog is a few times what was written"
    assert float(str(figures["seconds for 20 s of appends"])) < 21, "no append waits for the blob store"


class Slow(MemoryBlobs):
    """Answers 30 s after it was asked, for ever. A request that is given up is carried out all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.puts: dict[str, set[bytes]] = {}
        self.bytes = self.at_once = self.most_at_once = 0

    async def _late(self, answer: Coroutine[Any, Any, T]) -> T:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        late = asyncio.create_task(self._carried_out(answer))
        try:
            return await asyncio.shield(late)
        except asyncio.CancelledError:
            late.add_done_callback(lambda task: task.exception())
            raise
        finally:
            self.at_once -= 1

    async def _carried_out(self, answer: Coroutine[Any, Any, T]) -> T:
        await asyncio.sleep(30)
        return await answer

    async def get(self, name: str) -> bytes:
        return await self._late(super().get(name))

    async def put(self, name: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        self.puts.setdefault(name, set()).add(data)
        self.bytes += len(data)
        return await self._late(super().put(name, data, if_absent=if_absent, if_match=if_match))

    async def list(self, prefix: str) -> builtins.list[str]:
        return await self._late(super().list(prefix))

    async def delete(self, name: str) -> None:
        await self._late(super().delete(name))


def test_storage_that_takes_30_s_for_every_answer_gets_everything(tmp_path: Path, record_property: RecordProperty) -> None:
    """Also from nothing: the document is fetched from there. No object is put with two contents."""

    async def work() -> dict[str, object]:
        blobs, ledger, loop = Slow(), Ledger(), asyncio.get_running_loop()
        writer, shipped = Writer(ledger), set[int]()
        writer.store = store = await Store.open(tmp_path / "s", blobs)
        for part in range(15):
            began = loop.time()
            await write_for(writer, 20)
            if part == 8:
                await store.compact()
            assert loop.time() - began < 21, "no append waits for the blob store"
            shipped.add(store.status.shipped)
        assert len(shipped) > 3, "it gets on while the storage is slow"
        began = loop.time()
        late = round(await caught_up(store) - began)
        await store.close()
        await asyncio.sleep(60)
        shutil.rmtree(tmp_path / "s")
        async with await Store.open(tmp_path / "s", blobs) as store:
            await ledger.verify(store)
        sealed = {name: len(given) for name, given in blobs.puts.items() if "/meta-" not in name}
        assert set(sealed.values()) == {1}
        assert blobs.most_at_once <= 2 * 8, "two requests for one answer, eight while opening"
        return {"objects": len(sealed), "bytes sent": blobs.bytes, "acknowledged": ledger.promised, "last after s": late}

    figures = run_in_virtual_time(work())
    record_property("figures", figures)
    print(figures)


def test_storage_where_only_putting_is_slow_gets_everything(tmp_path: Path) -> None:
    class SlowToPut(MemoryBlobs):
        async def put(self, name: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
            await asyncio.sleep(25)
            return await super().put(name, data, if_absent=if_absent, if_match=if_match)

    async def work() -> None:
        async with await Store.open(tmp_path / "s", SlowToPut()) as store:
            await store.append(b"\0\0")
            await caught_up(store)

    run_in_virtual_time(work())
