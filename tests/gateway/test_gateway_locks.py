"""Locks: the rules as a table, then over a real channel."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from cs3.identity.user.v1beta1 import resources_pb2 as identity
from cs3.storage.provider.v1beta1 import provider_api_pb2 as api
from cs3.storage.provider.v1beta1 import resources_pb2 as storage
from cs3.types.v1beta1 import types_pb2
from gateway_client import Client, Started, by_id, by_path, code, give

from cs3collab.gateway import locks, status
from cs3collab.gateway.locks import Held
from cs3collab.gateway.status import Refused

FILE = by_path("/users/id-einstein/a.txt")
ME, OTHER = ("me", "a.test"), ("other", "a.test")
PLAIN = Held("one", "app")
MINE = Held("one", "app", ME)


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        (lambda: locks.check_write(None, ""), None),
        (lambda: locks.check_write(None, "one"), status.INTERNAL),
        (lambda: locks.check_write(PLAIN, ""), status.LOCKED),
        (lambda: locks.check_write(PLAIN, "two"), status.INTERNAL),
        (lambda: locks.check_write(MINE, "one"), None),
        (lambda: locks.check_set(None), None),
        (lambda: locks.check_set(PLAIN), status.FAILED_PRECONDITION),
        (lambda: locks.check_refresh(None, PLAIN, ME, ""), status.FAILED_PRECONDITION),
        (lambda: locks.check_refresh(PLAIN, PLAIN, ME, ""), None),
        (lambda: locks.check_refresh(PLAIN, Held("two", "app"), ME, ""), status.ABORTED),
        (lambda: locks.check_refresh(PLAIN, Held("two", "app"), ME, "one"), None),
        (lambda: locks.check_refresh(PLAIN, Held("two", "app"), ME, "three"), status.ABORTED),
        (lambda: locks.check_refresh(PLAIN, Held("one", "office"), ME, ""), status.PERMISSION_DENIED),
        (lambda: locks.check_refresh(MINE, MINE, ME, ""), None),
        (lambda: locks.check_refresh(MINE, MINE, OTHER, ""), status.PERMISSION_DENIED),
        (lambda: locks.check_refresh(MINE, PLAIN, ME, ""), status.PERMISSION_DENIED),
        (lambda: locks.check_unlock(None, PLAIN, ME), status.ABORTED),
        (lambda: locks.check_unlock(PLAIN, Held("two", "app"), ME), status.LOCKED),
        (lambda: locks.check_unlock(PLAIN, Held("one", "office"), ME), status.PERMISSION_DENIED),
        (lambda: locks.check_unlock(MINE, MINE, OTHER), status.PERMISSION_DENIED),
        (lambda: locks.check_unlock(PLAIN, PLAIN, OTHER), None),
    ],
)
def test_what_a_lock_permits(check: Callable[[], None], expected: int | None) -> None:
    if expected is None:
        check()
    else:
        with pytest.raises(Refused) as refused:
            check()
        assert refused.value.code == expected


def lock(lock_id: str = "one", *, lasts: float | None = 60, app: str = "cs3collab", user: Any = None) -> Any:
    made = storage.Lock(lock_id=lock_id, type=storage.LOCK_TYPE_WRITE, app_name=app, user=user)
    if lasts is not None:
        made.expiration.CopyFrom(types_pb2.Timestamp(seconds=int(time.time() + lasts)))
    return made


async def set_lock(client: Client, ref: Any, made: Any) -> str:
    return code(await client.call("SetLock", api.SetLockRequest(ref=ref, lock=made)))


@pytest.fixture
async def ref(einstein: Client) -> Any:
    """The file by its id."""
    await einstein.write(FILE, b"x")
    return by_id((await einstein.stat(FILE)).id)


async def test_a_lock_is_taken_seen_refreshed_and_released(einstein: Client, ref: Any) -> None:
    before = await einstein.stat(ref)
    assert code(await einstein.call("GetLock", api.GetLockRequest(ref=ref))) == "NOT_FOUND"
    assert await set_lock(einstein, ref, lock()) == "OK"
    assert await set_lock(einstein, ref, lock()) == "FAILED_PRECONDITION"
    held = (await einstein.ok("GetLock", api.GetLockRequest(ref=ref))).lock
    assert (held.lock_id, held.app_name, held.type) == ("one", "cs3collab", storage.LOCK_TYPE_WRITE)
    info = await einstein.stat(ref)
    assert info.lock.lock_id == "one"
    assert info.etag == before.etag
    longer = lock(lasts=600)
    await einstein.ok("RefreshLock", api.RefreshLockRequest(ref=ref, lock=longer))
    held = (await einstein.ok("GetLock", api.GetLockRequest(ref=ref))).lock
    assert held.expiration == longer.expiration
    taken_over = api.RefreshLockRequest(ref=ref, lock=lock("two"), existing_lock_id="one")
    await einstein.ok("RefreshLock", taken_over)
    assert code(await einstein.call("Unlock", api.UnlockRequest(ref=ref, lock=lock("one")))) == "LOCKED"
    await einstein.ok("Unlock", api.UnlockRequest(ref=ref, lock=lock("two")))
    assert code(await einstein.call("Unlock", api.UnlockRequest(ref=ref, lock=lock("two")))) == "ABORTED"


async def test_of_many_at_once_one_gets_the_lock(einstein: Client, ref: Any) -> None:
    for turn in range(5):
        answers = await asyncio.gather(*(set_lock(einstein, ref, lock(f"{turn}-{n}")) for n in range(12)))
        assert sorted(answers) == ["FAILED_PRECONDITION"] * 11 + ["OK"]
        winner = f"{turn}-{answers.index('OK')}"
        await einstein.ok("Unlock", api.UnlockRequest(ref=ref, lock=lock(winner)))


async def test_paths_are_refused_but_for_taking(einstein: Client, ref: Any) -> None:
    assert await set_lock(einstein, FILE, lock()) == "OK"
    for method, request in (
        ("GetLock", api.GetLockRequest(ref=FILE)),
        ("RefreshLock", api.RefreshLockRequest(ref=FILE, lock=lock())),
        ("Unlock", api.UnlockRequest(ref=FILE, lock=lock())),
    ):
        assert code(await einstein.call(method, request)) == "INTERNAL"


async def test_an_expired_lock_is_gone_once_looked_at_and_can_be_refreshed_before(einstein: Client, ref: Any) -> None:
    past = lock(lasts=-5)
    assert await set_lock(einstein, ref, past) == "OK"
    await einstein.ok("RefreshLock", api.RefreshLockRequest(ref=ref, lock=past))
    assert code(await einstein.call("GetLock", api.GetLockRequest(ref=ref))) == "NOT_FOUND"
    assert code(await einstein.call("RefreshLock", api.RefreshLockRequest(ref=ref, lock=past))) == "FAILED_PRECONDITION"
    assert await set_lock(einstein, ref, past) == "OK"
    assert await set_lock(einstein, ref, lock("two")) == "OK"
    assert await set_lock(einstein, by_path("/users/id-einstein/none"), lock()) == "NOT_FOUND"
    assert await set_lock(einstein, by_path("/users/id-einstein"), lock()) == "OK"
    assert await set_lock(einstein, ref, storage.Lock()) == "INVALID_ARGUMENT"


async def test_a_locked_file_is_written_with_the_lock_only(einstein: Client, ref: Any) -> None:
    early = await einstein.initiate(ref, 5)
    await set_lock(einstein, ref, lock())
    assert (await einstein.send(early, b"early"))[0] == 500
    assert code(await einstein.initiate(ref, 1)) == "LOCKED"
    assert code(await einstein.initiate(ref, 1, lock_id="two")) == "INTERNAL"
    etag = await einstein.write(ref, b"mine", lock_id="one")
    both = await einstein.initiate(ref, 4, lock_id="one", if_match=etag)
    assert (await einstein.send(both, b"both"))[0] == 200
    late = await einstein.initiate(ref, 4, lock_id="one")
    await einstein.ok("Unlock", api.UnlockRequest(ref=ref, lock=lock()))
    assert (await einstein.send(late, b"late"))[0] == 412
    assert code(await einstein.initiate(ref, 1, lock_id="one")) == "INTERNAL"
    assert await einstein.read(ref) == b"both"


async def test_a_locked_file_is_changed_in_no_other_way(einstein: Client, ref: Any) -> None:
    await einstein.write(ref, b"xx")
    key = (await einstein.ok("ListFileVersions", api.ListFileVersionsRequest(ref=ref))).versions[0].key
    await set_lock(einstein, ref, lock())
    values = storage.ArbitraryMetadata(metadata={"a": "b"})
    moved = by_path("/users/id-einstein/b.txt")
    unset = api.UnsetArbitraryMetadataRequest

    def requests(lock_id: str) -> list[tuple[str, Any]]:
        return [
            ("SetArbitraryMetadata", api.SetArbitraryMetadataRequest(ref=ref, arbitrary_metadata=values, lock_id=lock_id)),
            (
                "UnsetArbitraryMetadata",
                unset(ref=ref, arbitrary_metadata_keys=["a"], lock_id=lock_id),
            ),
            ("RestoreFileVersion", api.RestoreFileVersionRequest(ref=ref, key=key, lock_id=lock_id)),
            ("Move", api.MoveRequest(source=ref, destination=moved, lock_id=lock_id)),
            ("Delete", api.DeleteRequest(ref=ref, lock_id=lock_id)),
        ]

    for method, request in requests(""):
        assert code(await einstein.call(method, request)) == "LOCKED", method
    for method, request in requests("one"):
        await einstein.ok(method, request)
        if method == "Move":
            assert (await einstein.stat(ref)).lock.lock_id == "one"


async def test_who_may_use_a_lock(einstein: Client, marie: Client, ref: Any) -> None:
    await give(einstein, marie, ref, editor=True)
    assert await set_lock(einstein, ref, lock()) == "OK"
    await marie.write(ref, b"marie", lock_id="one")
    await marie.ok("RefreshLock", api.RefreshLockRequest(ref=ref, lock=lock()))
    office = api.RefreshLockRequest(ref=ref, lock=lock(app="office"))
    assert code(await marie.call("RefreshLock", office)) == "PERMISSION_DENIED"
    await marie.ok("Unlock", api.UnlockRequest(ref=ref, lock=lock()))
    hers = lock(user=marie.user.id)
    assert await set_lock(marie, ref, hers) == "OK"
    assert code(await einstein.call("Unlock", api.UnlockRequest(ref=ref, lock=hers))) == "PERMISSION_DENIED"
    assert code(await marie.call("Unlock", api.UnlockRequest(ref=ref, lock=lock()))) == "PERMISSION_DENIED"
    await marie.ok("Unlock", api.UnlockRequest(ref=ref, lock=hers))


async def test_a_viewer_sees_locks_and_takes_none(einstein: Client, marie: Client, ref: Any) -> None:
    await give(einstein, marie, ref, editor=False)
    assert await set_lock(marie, ref, lock()) == "PERMISSION_DENIED"
    await set_lock(einstein, ref, lock())
    assert (await marie.ok("GetLock", api.GetLockRequest(ref=ref))).lock.lock_id == "one"
    assert code(await marie.call("Unlock", api.UnlockRequest(ref=ref, lock=lock()))) == "PERMISSION_DENIED"
    assert code(await marie.call("RefreshLock", api.RefreshLockRequest(ref=ref, lock=lock()))) == "PERMISSION_DENIED"
    assert code(await marie.initiate(ref, 1, lock_id="one")) == "PERMISSION_DENIED"


async def test_a_lock_may_name_somebody_else_as_its_holder(site: Started, einstein: Client, marie: Client, ref: Any) -> None:
    assert await set_lock(einstein, ref, lock(user=identity.UserId(opaque_id="id-marie", idp="a.test"))) == "OK"
    assert code(await einstein.call("Unlock", api.UnlockRequest(ref=ref, lock=lock()))) == "PERMISSION_DENIED"
