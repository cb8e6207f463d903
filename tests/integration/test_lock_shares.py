"""Shares of a file that is edited live can be changed and taken back: Reva v2 refuses that for any lock, also for ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.locked_sites import share_patiently
from support.reva import REVADS, site_on
from support.sites import SiteBase

from cs3collab.cs3 import shares
from cs3collab.errors import LockHeld, NotFound
from cs3collab.locks.lease import Lease
from cs3collab.types import Lock, Ref, Role, Written


@pytest.fixture(params=["embedded", *(pytest.param(n, marks=pytest.mark.reva) for n in REVADS if n != "v3")])
async def at(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SiteBase]:
    async with site_on(str(request.param), tmp_path) as running:
        yield running


async def test_the_owner_changes_and_ends_a_share_while_a_room_holds_the_lock(at: SiteBase) -> None:
    ref = Ref.of((await at.put("einstein", "n.ipynb", b"first")).id)
    await share_patiently(at, "n.ipynb")
    owner, einstein, marie = await at.session("einstein"), await at.files("einstein"), await at.files("marie")
    lease = Lease(lambda: marie, ref, "relay-a", lifetime_s=60.0, editing=lambda: "Marie Curie at a.test")
    lock_id = await lease.acquire()
    (share,) = await shares.list_shares(owner)
    assert (await shares.update_share(owner, share, Role.VIEWER)).role is Role.VIEWER
    await shares.update_share(owner, share, Role.EDITOR)
    await shares.remove_share(owner, share.id)
    assert await shares.list_shares(owner) == []
    with pytest.raises(NotFound):
        await marie.stat(ref)
    lock = await einstein.get_lock(ref)
    assert lock is not None
    assert (lock.lock_id, lock.editing) == (lock_id, "Marie Curie at a.test")
    assert isinstance(await einstein.write(ref, b"next", lock_id=lock_id), Written)


async def test_for_another_programs_lock_it_has_to_wait_and_hears_whose_it_is(at: SiteBase) -> None:
    ref = Ref.of((await at.put("einstein", "n.ipynb", b"first")).id)
    share_id = await share_patiently(at, "n.ipynb")
    einstein, owner = await at.files("einstein"), await at.session("einstein")
    lock = Lock("theirs", "Collabora")
    await einstein.set_lock(ref, lock)
    with pytest.raises(LockHeld, match="locked by Collabora"):
        await shares.remove_share(owner, share_id)
    found = await einstein.get_lock(ref)
    assert found is not None
    assert found.lock_id == "theirs"
    await einstein.unlock(ref, lock)
    await shares.remove_share(owner, share_id)
