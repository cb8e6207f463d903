"""The storage in memory that other tests stand on keeps the contract too, so that they prove something."""

from __future__ import annotations

import time

import pytest
from conformance.storage import Bench, StorageContract
from support.memory_storage import ALICE, BOB, FOLDER, MemorySite, MemoryStorage

from cs3collab.rooms.ports import Storage
from cs3collab.types import FileInfo, Ref, Role, User


class TestMemoryStorage(StorageContract):
    test_a_missing_folder_is_not_found_and_not_made = None  # type: ignore[assignment]  # it has the one folder only

    @pytest.fixture
    def bench(self) -> Bench:
        site = MemorySite(time.time)
        late, nobody = User("late-3", "https://a.test", "late"), User("nobody-4", "https://a.test", "nobody")
        site.expired_tokens.add(late.key)
        site.roles[nobody.key] = Role.NONE

        async def share(info: FileInfo, role: Role) -> Storage:
            site.roles[BOB.key] = role
            return MemoryStorage(site, BOB)

        stranger, expired = MemoryStorage(site, nobody), MemoryStorage(site, late)
        return Bench(MemoryStorage(site, ALICE), Ref(".", FOLDER), share, stranger, expired)
