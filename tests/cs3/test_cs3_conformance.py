"""The store's public suites on a folder of the embedded gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from cs3collab.cs3.blobs import CS3Blobs
from cs3collab.cs3.files import Files
from cs3collab.types import Ref
from ystore import BlobStore
from ystore.testing import BlobStoreTests, StoreTests


class OnCS3:
    @pytest.fixture(autouse=True)
    def storage(self, files: Files) -> None:
        self.files = files

    async def open_blobs(self, tmp_path: Path) -> BlobStore:
        return CS3Blobs(self.files, f"{await self.files.home()}/.cs3collab/store/room")


class TestBlobsOnCS3(OnCS3, BlobStoreTests):
    async def test_deleted_blobs_leave_the_recycle_bin(self, tmp_path: Path) -> None:
        home = Ref(await self.files.home())
        await self.files.write(Ref(f"{home.path}/mine.txt"), b"mine")
        await self.files.delete(Ref(f"{home.path}/mine.txt"))
        blobs = await self.open_blobs(tmp_path)
        await blobs.put("1-a/seg", b"one")
        await blobs.delete("1-a/seg")
        assert [item.path.rpartition("/")[2] for item in await self.files.recycled(home)] == ["mine.txt"]


class TestStoreOnCS3(OnCS3, StoreTests): ...
