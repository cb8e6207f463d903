"""The lock cases that WOPI's validator tries on a host, and the races of several writers, through our client, on every storage.

Where the storage has no locks the same is asked of what stands in for them (`cs3collab.locks.claims`).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.locked_sites import share_patiently
from support.reva import REVADS, site_on
from support.sites import SiteBase, site

from cs3collab.cs3 import transfer
from cs3collab.cs3.files import Files
from cs3collab.cs3.transfer import Sent, Source, Upload
from cs3collab.errors import CollabError, LeaseLost, LockHeld, NotFound, Unsupported
from cs3collab.locks.arbiter import APP_NAME
from cs3collab.locks.claims import PREFIX
from cs3collab.locks.lease import Lease
from cs3collab.types import Lock, NotLatest, Ref, Written

KINDS = ("embedded", "nolocks", *(pytest.param(name, marks=pytest.mark.reva) for name in REVADS))
BARE = ("nolocks", "v3")
"""Storage without locks and conditions: what is asked of storage there is what it does not do."""


@dataclass
class Scene:
    """One file of einstein's, and marie, who may write it too."""

    kind: str
    at: SiteBase
    einstein: Files
    marie: Files

    @property
    def locks(self) -> bool:
        return self.kind not in BARE

    async def file(self, content: bytes = b"first") -> Ref:
        name = f"{secrets.token_hex(4)}.ipynb"
        info = await self.at.put("einstein", name, content)
        if self.locks:
            await share_patiently(self.at, name)
        return Ref.of(info.id)

    async def read(self, ref: Ref) -> bytes:
        return await self.einstein.read(ref, max_bytes=1000)

    def lease(self, files: Files, ref: Ref, name: str, *, lifetime_s: float = 60.0) -> Lease:
        return Lease(lambda: files, ref, name, lifetime_s=lifetime_s)


@pytest.fixture(params=KINDS)
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    kind = str(request.param)
    made = site(tmp_path, profile="nolocks") if kind == "nolocks" else site_on(kind, tmp_path)
    async with made as running:
        einstein = await running.files("einstein")
        # v3's local driver shows everybody the same tree, so that there is no need for a share
        yield Scene(kind, running, einstein, await running.files("marie"))


def lock(lock_id: str = "one", *, life_s: float | None = 60.0) -> Lock:
    return Lock(lock_id, APP_NAME, expires_at=None if life_s is None else time.time() + life_s)


async def outcome(asked: Awaitable[object]) -> str:
    """Of a call, in a word: what it raised, or what came of a write."""
    try:
        answer = await asked
    except CollabError as error:
        return type(error).__name__
    return type(answer).__name__ if isinstance(answer, Written | NotLatest) else "done"


Case = Callable[[Scene, Ref], Awaitable[list[str]]]


async def _lock(s: Scene, ref: Ref) -> list[str]:
    done = await outcome(s.einstein.set_lock(ref, lock()))
    found = await s.einstein.get_lock(ref)
    return [done, found.lock_id if found else "none"]


async def _lock_twice(s: Scene, ref: Ref) -> list[str]:
    await s.einstein.set_lock(ref, lock())
    return [await outcome(s.einstein.set_lock(ref, lock()))]


async def _lock_with_another_id(s: Scene, ref: Ref) -> list[str]:
    await s.einstein.set_lock(ref, lock())
    return [await outcome(s.marie.set_lock(ref, lock("two")))]


async def _unlock(s: Scene, ref: Ref) -> list[str]:
    await s.einstein.set_lock(ref, lock())
    done = await outcome(s.marie.unlock(ref, lock()))
    return [done, "locked" if await s.einstein.get_lock(ref) else "free"]


async def _unlock_with_another_id(s: Scene, ref: Ref) -> list[str]:
    await s.einstein.set_lock(ref, lock())
    return [await outcome(s.einstein.unlock(ref, lock("two")))]


async def _unlock_what_is_free(s: Scene, ref: Ref) -> list[str]:
    return [await outcome(s.einstein.unlock(ref, lock()))]


async def _refresh(s: Scene, ref: Ref) -> list[str]:
    await s.einstein.set_lock(ref, lock(life_s=20))
    done = await outcome(s.marie.refresh_lock(ref, lock(life_s=600)))
    found = await s.einstein.get_lock(ref)
    assert found is not None
    assert found.expires_at is not None
    return [done, "longer" if found.expires_at > time.time() + 300 else "as before"]


async def _refresh_with_another_id(s: Scene, ref: Ref) -> list[str]:
    await s.einstein.set_lock(ref, lock())
    return [await outcome(s.einstein.refresh_lock(ref, lock("two")))]


async def _refresh_what_is_free(s: Scene, ref: Ref) -> list[str]:
    return [await outcome(s.einstein.refresh_lock(ref, lock()))]


async def _take_over(s: Scene, ref: Ref) -> list[str]:
    await s.einstein.set_lock(ref, lock())
    done = await outcome(s.marie.refresh_lock(ref, lock("two"), existing_lock_id="one"))
    late = await outcome(s.einstein.write(ref, b"late", lock_id="one"))
    return [done, late, await outcome(s.marie.write(ref, b"next", lock_id="two"))]


async def _take_over_what_is_not_there(s: Scene, ref: Ref) -> list[str]:
    await s.einstein.set_lock(ref, lock())
    return [await outcome(s.marie.refresh_lock(ref, lock("three"), existing_lock_id="two"))]


async def _write_with_the_lock(s: Scene, ref: Ref) -> list[str]:
    await s.einstein.set_lock(ref, lock())
    by_holder = await outcome(s.einstein.write(ref, b"next", lock_id="one"))
    return [by_holder, await outcome(s.marie.write(ref, b"after", lock_id="one"))]


async def _write_with_another_lock(s: Scene, ref: Ref) -> list[str]:
    await s.einstein.set_lock(ref, lock())
    return [await outcome(s.einstein.write(ref, b"next", lock_id="two"))]


async def _write_without(s: Scene, ref: Ref) -> list[str]:
    await s.einstein.set_lock(ref, lock())
    return [await outcome(s.einstein.write(ref, b"next")), await outcome(s.marie.write(ref, b"next"))]


async def _write_what_is_free(s: Scene, ref: Ref) -> list[str]:
    return [await outcome(s.einstein.write(ref, b"next")), await outcome(s.einstein.write(ref, b"after", lock_id="one"))]


CASES: dict[Case, list[str]] = {
    _lock: ["done", "one"],
    _lock_twice: ["LockHeld"],
    _lock_with_another_id: ["LockHeld"],
    _unlock: ["done", "free"],
    _unlock_with_another_id: ["LeaseLost"],
    _unlock_what_is_free: ["done"],
    _refresh: ["done", "longer"],
    _refresh_with_another_id: ["LeaseLost"],
    _refresh_what_is_free: ["LeaseLost"],
    _take_over: ["done", "LockHeld", "Written"],
    _take_over_what_is_not_there: ["LeaseLost"],
    _write_with_the_lock: ["Written", "Written"],
    _write_with_another_lock: ["LockHeld"],
    _write_without: ["LockHeld", "LockHeld"],
    _write_what_is_free: ["Written", "LeaseLost"],
}


async def test_wopis_lock_cases(scene: Scene) -> None:
    """All on one storage, to start it once."""
    if not scene.locks:
        pytest.skip("there are no locks: see the leases below")
    answers = {case.__name__: await case(scene, await scene.file()) for case in CASES}
    assert answers == {case.__name__: wanted for case, wanted in CASES.items()}


async def test_a_storage_without_locks_says_so_to_every_call(scene: Scene) -> None:
    if scene.locks:
        pytest.skip("there are locks")
    ref = await scene.file()
    calls = [scene.einstein.set_lock(ref, lock()), scene.einstein.get_lock(ref)]
    calls += [scene.einstein.refresh_lock(ref, lock()), scene.einstein.unlock(ref, lock())]
    refused = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(refused[0], Unsupported)
    assert all(isinstance(error, CollabError) for error in refused)
    assert await outcome(scene.einstein.write(ref, b"next", lock_id="one")) == "Written"


# Leases: what a room sees, on storage with locks and without


async def test_of_twelve_leases_that_come_at_once_one_writes(scene: Scene) -> None:
    for _ in range(3):
        ref = await scene.file()
        people = [scene.einstein, scene.marie] * 6
        leases = [scene.lease(files, ref, f"relay-{n}") for n, files in enumerate(people)]
        results = await asyncio.gather(*(lease.acquire() for lease in leases), return_exceptions=True)
        won = [lease for lease, result in zip(leases, results, strict=True) if isinstance(result, str)]
        assert all(isinstance(result, str | LockHeld) for result in results), results
        assert len(won) == 1 or (not scene.locks and not won)  # where all stand in line at once, all may step back
        assert [lease for lease in leases if lease.valid()] == won
        await asyncio.gather(*(lease.release() for lease in leases))
        assert await scene.lease(scene.marie, ref, "relay-a").acquire() is not None


async def test_one_lease_follows_the_other(scene: Scene) -> None:
    ref = await scene.file()
    first = Lease(lambda: scene.einstein, ref, "relay-a", lifetime_s=60.0, editing=lambda: "Łukasz at a.test")
    second = scene.lease(scene.marie, ref, "relay-b")
    lock_id = await first.acquire()
    with pytest.raises(LockHeld, match="the file is being edited by Łukasz at") as refused:
        await second.acquire()
    assert refused.value.holder == "Łukasz at a.test"
    assert second.blocker is not None
    assert await outcome(scene.einstein.write(ref, b"by the first", lock_id=lock_id)) == "Written"
    await first.release()
    lock_id = await second.acquire()
    assert await outcome(scene.marie.write(ref, b"by the second", lock_id=lock_id)) == "Written"
    await second.release()
    info = await scene.einstein.stat(ref)
    assert info.lock is None
    assert not [key for key in info.metadata if key.startswith(PREFIX)]


async def test_a_lease_leaves_the_files_version_alone(scene: Scene) -> None:
    ref = await scene.file()
    before = await scene.einstein.stat(ref)
    lease = scene.lease(scene.einstein, ref, "relay-a", lifetime_s=0.3)
    for _ in range(3):
        await lease.acquire()
        lease.doubt()
    await lease.release()
    after = await scene.einstein.stat(ref)
    assert (after.etag, after.mtime) == (before.etag, before.mtime)


async def test_after_expiry_the_next_one_takes_it_and_the_last_one_writes_no_more(scene: Scene) -> None:
    ref = await scene.file()
    old = scene.lease(scene.einstein, ref, "relay-a", lifetime_s=1.0)
    old_id = await old.acquire()
    new = scene.lease(scene.marie, ref, "relay-b", lifetime_s=30.0)
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(LockHeld):
                new_id = await new.acquire()
                break
            await asyncio.sleep(0.05)
    assert not old.valid()
    assert await outcome(scene.marie.write(ref, b"new", lock_id=new_id)) == "Written"
    if scene.locks:
        assert await outcome(scene.einstein.write(ref, b"old", lock_id=old_id)) == "LockHeld"
    with pytest.raises(LockHeld):
        await old.acquire()
    assert await scene.read(ref) == b"new"


async def test_a_restarted_server_gets_its_lease_back_at_once(scene: Scene) -> None:
    ref = await scene.file()
    before = await scene.lease(scene.einstein, ref, "relay-a").acquire()
    again = scene.lease(scene.marie, ref, "relay-a")
    after = await again.acquire()
    assert again.valid()
    if scene.locks:
        assert before != after
        assert await outcome(scene.einstein.write(ref, b"late", lock_id=before)) == "LockHeld"
    await again.release()


# Races between asking for an upload and sending it (the storage looks at the lock again)


async def sent(files: Files, ref: Ref, content: bytes, lock_id: str, between: Callable[[], Awaitable[object]]) -> bool:
    """Whether bytes land, sent after something happened `between` the request and them."""
    upload = Upload(Source.of(content), lock_id=lock_id, lock_holder=APP_NAME if lock_id else "")
    ticket = await transfer.initiate_upload(files.session, ref, upload)
    await between()
    answer = await transfer.put(files.session, ticket, upload)
    landed = await files.read(ref, max_bytes=1000) == content
    assert landed is (answer.sent is Sent.DONE)
    return landed


async def test_what_a_lock_did_not_cover_when_it_arrives_does_not_land(scene: Scene) -> None:
    if not scene.locks:
        pytest.skip("the storage does not look at locks")
    einstein, ref = scene.einstein, await scene.file()

    async def let_it_expire() -> None:
        async with asyncio.timeout(20):
            while True:
                if await einstein.get_lock(ref) is None:
                    return
                await asyncio.sleep(0.05)

    assert not await sent(einstein, ref, b"before somebody locked", "", lambda: scene.marie.set_lock(ref, lock("hers")))
    await scene.marie.unlock(ref, lock("hers"))
    await einstein.set_lock(ref, lock())
    assert not await sent(einstein, ref, b"released meanwhile", "one", lambda: einstein.unlock(ref, lock()))
    await einstein.set_lock(ref, lock("short", life_s=1.0))
    assert not await sent(einstein, ref, b"expired meanwhile", "short", let_it_expire)
    await einstein.set_lock(ref, lock())
    take = scene.marie.refresh_lock(ref, lock("two"), existing_lock_id="one")
    assert not await sent(einstein, ref, b"taken over meanwhile", "one", lambda: take)
    assert await scene.read(ref) == b"first"
    assert await sent(scene.marie, ref, b"with the lock", "two", lambda: asyncio.sleep(0))


async def test_of_many_writers_each_version_is_seen_by_the_next_one(scene: Scene) -> None:
    """Two servers take turns with short leases, as fast as they can; each adds a line to what it finds."""
    ref = await scene.file(b"")
    lines: list[bytes] = []
    moment = (NotFound,) if scene.kind == "v3" else ()  # which moves the version before away first

    async def add(files: Files, name: str) -> None:
        lease = scene.lease(files, ref, name, lifetime_s=20.0)
        for n in range(4):
            async with asyncio.timeout(60):
                while True:
                    try:
                        lock_id = await lease.acquire()
                        break
                    except (LockHeld, LeaseLost, *moment):
                        await asyncio.sleep(0.05)
            info = await files.stat(ref)
            line = f"{name} {n}\n".encode()
            found = await files.read(ref, max_bytes=10_000)
            written = await files.write(ref, found + line, if_match=info.etag, lock_id=lock_id)
            assert isinstance(written, Written)
            lines.append(line)
            await lease.release()

    await asyncio.gather(add(scene.einstein, "relay-a"), add(scene.marie, "relay-b"))
    assert await scene.einstein.read(ref, max_bytes=10_000) == b"".join(lines)
