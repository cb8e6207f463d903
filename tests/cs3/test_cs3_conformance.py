"""The store's public suites on a folder of the embedded gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from cs3collab.cs3.blobs import CS3Blobs
from cs3collab.cs3.files import Files
from ystore import BlobStore
from ystore.testing import BlobStoreTests, StoreTests


class OnCS3:
    @pytest.fixture(autouse=True)
    def storage(self, files: Files) -> None:
        self.files = files

    async def open_blobs(self, tmp_path: Path) -> BlobStore:
        return CS3Blobs(self.files, f"{await self.files.home()}/.cs3collab/store/room")


class TestBlobsOnCS3(OnCS3, BlobStoreTests): ...


class TestStoreOnCS3(OnCS3, StoreTests): ...
