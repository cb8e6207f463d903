"""The shipped suites on the shipped blob stores."""

from pathlib import Path

import pytest

from ystore import BlobStore, DirectoryBlobs, MemoryBlobs
from ystore.testing import BlobStoreTests, StoreTests

_memory: dict[Path, MemoryBlobs] = {}


class TestMemoryBlobs(BlobStoreTests):
    async def open_blobs(self, tmp_path: Path) -> BlobStore:
        return MemoryBlobs()


class TestDirectoryBlobs(BlobStoreTests):
    async def open_blobs(self, tmp_path: Path) -> BlobStore:
        return DirectoryBlobs(tmp_path / "blobs")

    async def test_names_stay_inside(self, tmp_path: Path) -> None:
        blobs = await self.open_blobs(tmp_path)
        for name in ("../x", "/etc/x", "a//b", ".hidden", ""):
            with pytest.raises(ValueError, match="not a blob name"):
                await blobs.put(name, b"x")


class TestStoreOnMemory(StoreTests):
    async def open_blobs(self, tmp_path: Path) -> BlobStore:
        return _memory.setdefault(tmp_path, MemoryBlobs())


class TestStoreOnDirectory(StoreTests):
    async def open_blobs(self, tmp_path: Path) -> BlobStore:
        return DirectoryBlobs(tmp_path / "blobs")
