"""What anybody who puts something under the store can test it with: conformance suites and doubles that fail.

Subclass `BlobStoreTests` or `StoreTests` in a module that pytest collects in asyncio's automatic mode, and say in
``open_blobs`` how to get an empty blob store. Needs pytest.
"""

from __future__ import annotations

import asyncio
import builtins
import errno
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ystore.blobs import BlobStore, MemoryBlobs
from ystore.errors import BlobConflict, BlobNotFound
from ystore.files import Files
from ystore.store import Store, Tuning

QUICK = Tuning(ship_after_s=0.001, retry_s=0.001, retry_max_s=0.02, flush_s=5.0)
"""For tests that wait for what a store does by itself."""


class BlobStoreTests:
    """The contract of `ystore.blobs.BlobStore`."""

    async def open_blobs(self, tmp_path: Path) -> BlobStore:
        """An empty blob store. A second call for the same `tmp_path` may give the same one."""
        raise NotImplementedError

    async def test_an_object_is_read_back_as_it_was_written(self, tmp_path: Path) -> None:
        blobs = await self.open_blobs(tmp_path)
        for data in (b"", b"\0\xff" * 1000, b"again"):
            await blobs.put("a/b-1.yseg", data)
            assert await blobs.get("a/b-1.yseg") == data

    async def test_a_missing_object_is_not_found(self, tmp_path: Path) -> None:
        blobs = await self.open_blobs(tmp_path)
        await blobs.put("a/b", b"x")
        for name in ("c", "a/c", "a", "a/b/c"):
            with pytest.raises(BlobNotFound):
                await blobs.get(name)

    async def test_names_are_listed_by_prefix_in_order(self, tmp_path: Path) -> None:
        blobs = await self.open_blobs(tmp_path)
        assert await blobs.list("") == []
        for name in ("b/2", "a/1", "b/10", "ab/1"):
            await blobs.put(name, b"x")
        assert await blobs.list("") == ["a/1", "ab/1", "b/10", "b/2"]
        assert await blobs.list("b/") == ["b/10", "b/2"]
        assert await blobs.list("a") == ["a/1", "ab/1"]
        assert await blobs.list("b/1") == ["b/10"]
        assert await blobs.list("z/") == []

    async def test_if_absent_never_replaces(self, tmp_path: Path) -> None:
        blobs = await self.open_blobs(tmp_path)
        await blobs.put("a/1", b"first", if_absent=True)
        with pytest.raises(BlobConflict):
            await blobs.put("a/1", b"second", if_absent=True)
        assert await blobs.get("a/1") == b"first"

    async def test_if_match_replaces_only_what_it_names(self, tmp_path: Path) -> None:
        blobs = await self.open_blobs(tmp_path)
        with pytest.raises(BlobConflict):
            await blobs.put("a/1", b"x", if_match="nothing")
        first = await blobs.put("a/1", b"first")
        second = await blobs.put("a/1", b"second", if_match=first)
        assert first != second
        with pytest.raises(BlobConflict):
            await blobs.put("a/1", b"third", if_match=first)
        assert await blobs.get("a/1") == b"second"

    async def test_a_deleted_object_is_gone_and_may_be_deleted_again(self, tmp_path: Path) -> None:
        blobs = await self.open_blobs(tmp_path)
        await blobs.put("a/1", b"x")
        await blobs.delete("a/1")
        await blobs.delete("a/1")
        assert await blobs.list("") == []
        with pytest.raises(BlobNotFound):
            await blobs.get("a/1")

    async def test_many_at_once(self, tmp_path: Path) -> None:
        blobs = await self.open_blobs(tmp_path)
        await asyncio.gather(*(blobs.put(f"many/{n:03d}", bytes([n])) for n in range(50)))
        assert await asyncio.gather(*(blobs.get(f"many/{n:03d}") for n in range(50))) == [bytes([n]) for n in range(50)]


class StoreTests:
    """What a store must do with a blob store under it."""

    async def open_blobs(self, tmp_path: Path) -> BlobStore:
        raise NotImplementedError

    @asynccontextmanager
    async def store(self, tmp_path: Path, name: str = "store") -> AsyncIterator[Store]:
        async with await Store.open(tmp_path / name, await self.open_blobs(tmp_path), tuning=QUICK) as store:
            yield store

    async def test_positions_follow_the_calls_and_survive_reopening(self, tmp_path: Path) -> None:
        async with self.store(tmp_path) as store:
            assert store.position == 0
            assert [await store.append(update(n), "ann") for n in range(3)] == [1, 2, 3]
            lineage = store.lineage
        async with self.store(tmp_path) as store:
            assert (store.position, store.lineage) == (3, lineage)
            assert await store.append(update(3), "bob", at=1.5) == 4
            found = [record async for record in store.records(after=2)]
        assert [(r.position, r.author, r.update) for r in found] == [(3, "ann", update(2)), (4, "bob", update(3))]
        assert found[1].at == 1.5

    async def test_what_was_shipped_comes_back_when_the_directory_is_lost(self, tmp_path: Path) -> None:
        async with self.store(tmp_path) as store:
            lineage = store.lineage
            for n in range(5):
                await store.append(update(n))
            await store.set_meta({"etag": "1"})
            await store.flush()
            assert (store.status.shipped, store.status.problem) == (5, "")
        shutil.rmtree(tmp_path / "store")
        async with self.store(tmp_path) as store:
            assert (store.lineage, dict(store.meta)) == (lineage, {"etag": "1"})
            assert [u async for u in store.updates()] == [update(n) for n in range(5)]
            # Somebody may have been told of later positions that were lost with the directory.
            assert await store.append(update(9)) > 1000

    async def test_compaction_keeps_content_and_history_also_in_the_blob_store(self, tmp_path: Path) -> None:
        async with self.store(tmp_path) as store:
            for n in range(6):
                await store.append(update(n))
                await store.flush()
            before = await store.load()
            await store.compact()
            await store.flush()
            assert len([u async for u in store.updates()]) == 1
        shutil.rmtree(tmp_path / "store")
        async with self.store(tmp_path) as store:
            assert sorted(await store.load()) == sorted(before)
            assert [(r.position, r.update) async for r in store.records()] == [(n + 1, update(n)) for n in range(6)]

    async def test_names_and_the_base_come_back_when_the_directory_is_lost(self, tmp_path: Path) -> None:
        async with self.store(tmp_path) as store:
            for n in range(4):
                await store.append(update(n), "ann", at=float(n))
            await store.name_version("submitted", 2)
            await store.set_base(3, "etag")
            await store.flush()
        shutil.rmtree(tmp_path / "store")
        async with self.store(tmp_path) as store:
            assert [(v.position, v.name) for v in await store.versions() if v.name] == [(2, "submitted")]
            assert store.saved is not None
            assert (store.saved.position, store.saved.etag) == (3, "etag")
            assert sorted(await store.load(1)) == sorted(update(0))
            assert await store.position_at(1.0) == 2

    async def test_after_a_reset_the_old_lineage_does_not_come_back(self, tmp_path: Path) -> None:
        async with self.store(tmp_path) as store:
            await store.append(update(1))
            await store.set_meta({"a": "b"})
            await store.flush()
            old = store.lineage
            await store.reset()
            assert (store.position, dict(store.meta)) == (0, {})
            assert await store.append(update(2)) == 1
            await store.flush()
            new = store.lineage
        assert new != old
        shutil.rmtree(tmp_path / "store")
        async with self.store(tmp_path) as store:
            assert store.lineage == new
            assert [u async for u in store.updates()] == [update(2)]

    async def test_two_writers_of_one_history_are_united(self, tmp_path: Path) -> None:
        async with self.store(tmp_path) as store:
            await store.append(update(0))
            await store.flush()
        shutil.copytree(tmp_path / "store", tmp_path / "twin")
        async with self.store(tmp_path) as one, self.store(tmp_path, "twin") as two:
            assert one.lineage == two.lineage
            assert await one.append(update(1)) == await two.append(update(2)) == 2
            await one.append(update(3))
            await one.flush()
            await two.flush()
        async with self.store(tmp_path) as store:
            found = [record async for record in store.records()]
            position = store.position
        assert sorted(r.update for r in found) == sorted(update(n) for n in range(4))
        assert sorted({r.position for r in found}) == [r.position for r in found]
        assert position == found[-1].position


def update(n: int) -> bytes:
    """A Y update of client ``n + 1`` that puts the text ``<n>`` into the map ``m`` under the key ``n``."""
    key, text = str(n).encode(), f"<{n}>".encode()
    item = bytes([0x28, 1, 1]) + b"m" + bytes([len(key)]) + key + bytes([1, 0x77, len(text)]) + text
    return b"\1\1" + _varint(n + 1) + b"\0" + item + b"\0"


def _varint(n: int) -> bytes:
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + _varint(n >> 7)


class FaultyBlobs:
    """Passes calls on unless ``away`` (all fail), ``stuck`` (none returns) or ``deaf`` (the answers of puts are lost)."""

    def __init__(self, inner: BlobStore | None = None) -> None:
        self.inner = inner or MemoryBlobs()
        self.away = self.stuck = self.deaf = False
        self.calls = 0

    async def _pass(self) -> None:
        self.calls += 1
        if self.stuck:
            await asyncio.Event().wait()
        if self.away:
            raise ConnectionError("away")

    async def get(self, name: str) -> bytes:
        await self._pass()
        return await self.inner.get(name)

    async def put(self, name: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        await self._pass()
        etag = await self.inner.put(name, data, if_absent=if_absent, if_match=if_match)
        if self.deaf:
            raise ConnectionError("the answer was lost")
        return etag

    async def list(self, prefix: str) -> builtins.list[str]:
        await self._pass()
        return await self.inner.list(prefix)

    async def delete(self, name: str) -> None:
        await self._pass()
        await self.inner.delete(name)


class FaultyFiles(Files):
    """Counts syncs; fails writes with ``write_error`` and syncs with ``sync_error`` (errno values) while those are set."""

    def __init__(self) -> None:
        self.syncs = 0
        self.write_error = self.sync_error = 0

    def write(self, fd: int, data: bytes) -> None:
        if self.write_error:
            super().write(fd, data[: len(data) // 2])  # a full disk takes a part
            raise OSError(self.write_error, errno.errorcode[self.write_error])
        super().write(fd, data)

    def sync(self, fd: int) -> None:
        self.syncs += 1
        if self.sync_error:
            raise OSError(self.sync_error, errno.errorcode[self.sync_error])
        super().sync(fd)


class ForgetfulFiles(Files):
    """A disk that loses at `lose_power` what was not synced, so that a missing sync is found out."""

    def __init__(self) -> None:
        self._paths: dict[int, Path] = {}
        self._synced: dict[Path, int] = {}
        self._renamed: dict[Path, bytes | None] = {}
        """What a name stood for until its directory is synced."""

    def create(self, path: Path) -> int:
        self._renamed.setdefault(path, None)
        fd = super().create(path)
        self._paths[fd], self._synced[path] = path, 0
        return fd

    def sync_dir(self, path: Path) -> None:
        super().sync_dir(path)
        for name in [name for name in self._renamed if name.parent == path and name.exists()]:
            del self._renamed[name]

    def create_temporary(self, path: Path) -> int:
        fd = super().create_temporary(path)
        self._paths[fd], self._synced[path] = path, 0
        return fd

    def sync(self, fd: int) -> None:
        super().sync(fd)
        self._synced[self._paths[fd]] = self._paths[fd].stat().st_size

    def replace(self, source: Path, target: Path) -> None:
        if not source.is_dir():
            self._renamed.setdefault(target, target.read_bytes() if target.exists() else None)
        super().replace(source, target)
        for path in [p for p in self._synced if p == source or source in p.parents]:
            self._synced[target / path.relative_to(source)] = self._synced.pop(path)

    def lose_power(self) -> None:
        for path, size in self._synced.items():
            if path.exists():
                super().truncate(path, min(size, path.stat().st_size))
        for path, before in self._renamed.items():
            if before is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(before)
