"""The public suites of the storage and of the store, on real revads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from conformance.storage import Bench, People, StorageContract
from support.benches import bench_on
from support.reva import REVADS, RevaSite
from support.sites import share_ocm

from cs3collab.cs3.auth import OCMShareToken
from cs3collab.cs3.blobs import CS3Blobs
from cs3collab.cs3.files import Files
from cs3collab.cs3.gateway import Gateway
from cs3collab.cs3.session import Session
from cs3collab.cs3.shares import list_received_ocm_shares
from cs3collab.rooms.ports import Storage
from cs3collab.types import FileInfo, Ref, Role
from ystore import BlobStore
from ystore.testing import BlobStoreTests, StoreTests

pytestmark = pytest.mark.reva


class TestStorage(StorageContract):
    @pytest.fixture
    async def bench(self, here: RevaSite) -> Bench:
        return await bench_on(here, here.plan.jwt_secret, bare=here.revad.bare)


@pytest.mark.parametrize("kind", [name for name in sorted(REVADS) if not REVADS[name].bare])
class TestStorageWithAnotherSite(People):
    """Those who share are at different sites; the receiver acts at the owner's, with what the share gives.

    Its tests are about locks and roles, which v3's local driver has not: see `test_reva_logins` for it.
    """

    @pytest.fixture
    async def bench(self, mesh: tuple[RevaSite, RevaSite]) -> AsyncIterator[Bench]:
        a, b = mesh
        gateway = Gateway(a.address)

        async def share(info: FileInfo, role: Role) -> Storage:
            received_id = await share_ocm(a, b, "einstein", "marie", f"bench/{info.name}", role)
            received = await list_received_ocm_shares(await b.session("marie"))
            found = next(r for r in received if r.id == received_id)
            return Files(await Session.open(gateway, OCMShareToken(gateway, found.remote_share_id, found.shared_secret)))

        yield replace(await bench_on(a, a.plan.jwt_secret), share=share)
        await gateway.close()


class OnReva:
    @pytest.fixture(autouse=True)
    def storage(self, here: RevaSite, request: pytest.FixtureRequest) -> None:
        self.here = here

    async def open_blobs(self, tmp_path: Path) -> BlobStore:
        files = await self.here.files("einstein")
        return CS3Blobs(files, f"{await files.home()}/.cs3collab/store/room")


class TestBlobs(OnReva, BlobStoreTests):
    async def test_deleted_blobs_leave_the_recycle_bin(self, tmp_path: Path, kind: str) -> None:
        if kind == "v3":
            pytest.skip("its recycle bin does not know the ids of files")
        files = await self.here.files("einstein")
        blobs = await self.open_blobs(tmp_path)
        await blobs.put("1-a/seg", b"one")
        await blobs.delete("1-a/seg")
        assert await files.recycled(Ref(await files.home())) == []


class TestStore(OnReva, StoreTests): ...
