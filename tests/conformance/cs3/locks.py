"""Locks: taking, keeping, losing them, and what a locked file lets be done."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from conformance.cs3.cases import Area
from conformance.cs3.wire import Client
from conformance.cs3.world import ROUNDS, World
from cs3.identity.user.v1beta1 import resources_pb2 as identity
from cs3.storage.provider.v1beta1 import provider_api_pb2 as api
from cs3.storage.provider.v1beta1 import resources_pb2 as storage
from cs3.types.v1beta1 import types_pb2

case = Area("locks")

NO_LOCKS: Final = "v3 runs locks on EOS only; its storage provider turns the driver's 'not supported' into INTERNAL"


def lock(lock_id: str = "one", *, app: str = "office", life_s: float | None = 60, user: Any = None, kind: int = 2) -> Any:
    made = storage.Lock(lock_id=lock_id, type=kind, app_name=app, user=user)
    if life_s is not None:
        made.expiration.CopyFrom(types_pb2.Timestamp(seconds=int(time.time() + life_s)))
    return made


async def take(client: Client, ref: Any, made: Any = None) -> str:
    return await client.ask("SetLock", api.SetLockRequest(ref=ref, lock=made or lock()))


async def get(client: Client, ref: Any) -> str:
    """The id of the lock, or the code."""
    answer = await client.call("GetLock", api.GetLockRequest(ref=ref))
    return str(answer.lock.lock_id) or await client.ask("GetLock", api.GetLockRequest(ref=ref))


async def refresh(client: Client, ref: Any, made: Any = None, existing: str = "") -> str:
    request = api.RefreshLockRequest(ref=ref, lock=made or lock(), existing_lock_id=existing)
    return await client.ask("RefreshLock", request)


async def unlock(client: Client, ref: Any, made: Any = None) -> str:
    return await client.ask("Unlock", api.UnlockRequest(ref=ref, lock=made or lock()))


# Taking


@case("no lock is not found", "NOT_FOUND", v3="INTERNAL", why=NO_LOCKS)
async def _(w: World) -> str:
    return await get(w.owner, await w.file())


@case("a lock is taken and seen", ["OK", "one"], v3=["INTERNAL", "INTERNAL"], why=NO_LOCKS)
async def _(w: World) -> list[str]:
    ref = await w.file()
    return [await take(w.owner, ref), await get(w.owner, ref)]


@case("GetLock gives back all of it", ["one", 2, "office", "whole seconds", "no user"], v3="no lock", why=NO_LOCKS)
async def _(w: World) -> Any:
    ref, made = await w.file(), lock()
    await take(w.owner, ref, made)
    held = (await w.owner.call("GetLock", api.GetLockRequest(ref=ref))).lock
    if not held.lock_id:
        return "no lock"
    same = held.expiration.seconds == made.expiration.seconds and held.expiration.nanos == 0
    holder = held.user.opaque_id or "no user"
    return [held.lock_id, held.type, held.app_name, "whole seconds" if same else str(held.expiration), holder]


@case("Stat shows the lock", "one", v3="", why=NO_LOCKS)
async def _(w: World) -> str:
    ref = await w.file()
    await take(w.owner, ref)
    return str((await w.owner.stat(ref)).lock.lock_id)


@case("a listing shows the lock", ["one"], v3=[""], why=NO_LOCKS)
async def _(w: World) -> list[str]:
    await take(w.owner, await w.file())
    infos = (await w.owner.ok("ListContainer", api.ListContainerRequest(ref=w.folder))).infos
    return [info.lock.lock_id for info in infos]


@case("a second lock is refused, of another id and of the same", ["FAILED_PRECONDITION"] * 2, v3=["INTERNAL"] * 2, why=NO_LOCKS)
async def _(w: World) -> list[str]:
    ref = await w.file()
    await take(w.owner, ref)
    return [await take(w.owner, ref, lock("two")), await take(w.owner, ref)]


@case(
    "a shared lock keeps others out like any",
    ["OK", "FAILED_PRECONDITION", "LOCKED"],
    v3=["INTERNAL", "INTERNAL", "OK"],
    why=NO_LOCKS,
)
async def _(w: World) -> list[str]:
    ref = await w.file()
    first = await take(w.owner, ref, lock(kind=storage.LOCK_TYPE_SHARED))
    second = await take(w.owner, ref, lock("two", kind=storage.LOCK_TYPE_SHARED))
    return [first, second, await w.owner.may_upload(ref)]


@case("an exclusive lock lets others read", ["OK", "first"], v3=["INTERNAL", "first"], why=NO_LOCKS)
async def _(w: World) -> list[str]:
    ref = await w.file()
    return [await take(w.owner, ref, lock(kind=storage.LOCK_TYPE_EXCL)), await w.owner.read(ref)]


@case("a lock without an expiration is taken", ["OK", "one"], v3=["INTERNAL", "INTERNAL"], why=NO_LOCKS)
async def _(w: World) -> list[str]:
    ref = await w.file()
    return [await take(w.owner, ref, lock(life_s=None)), await get(w.owner, ref)]


@case("a lock that is past already is taken, and gone when looked at", ["OK", "NOT_FOUND"], v3=["INTERNAL"] * 2, why=NO_LOCKS)
async def _(w: World) -> list[str]:
    ref = await w.file()
    return [await take(w.owner, ref, lock(life_s=-5)), await get(w.owner, ref)]


@case("a missing file cannot be locked", "NOT_FOUND", v3="INTERNAL", why=NO_LOCKS)
async def _(w: World) -> str:
    return await take(w.owner, w.at("missing"))


@case("a folder can be locked", "OK", v3="INTERNAL", why=NO_LOCKS)
async def _(w: World) -> str:
    return await take(w.owner, await w.dir())


@case("SetLock takes a path", "OK", v3="INTERNAL", why=NO_LOCKS)
async def _(w: World) -> str:
    await w.file()
    return await take(w.owner, w.at("file.ipynb"))


@case("the other calls refuse a path", ["INTERNAL"] * 3)
async def _(w: World) -> list[str]:
    await w.file()
    path = w.at("file.ipynb")
    await take(w.owner, path)
    return [await get(w.owner, path), await refresh(w.owner, path), await unlock(w.owner, path)]


@case("a lock without an id", "OK", v3="INTERNAL", why=NO_LOCKS)
async def _(w: World) -> str:
    return await take(w.owner, await w.file(), lock(""))


@case("a lock without a type", "OK", v3="INTERNAL", why=NO_LOCKS)
async def _(w: World) -> str:
    return await take(w.owner, await w.file(), lock(kind=0))


@case(
    "of many at once one gets the lock",
    ["1 OK, the others FAILED_PRECONDITION"] * ROUNDS,
    v3=["all INTERNAL"] * ROUNDS,
    why=NO_LOCKS,
)
async def _(w: World) -> list[str]:
    ref = await w.file()
    clients = await w.racers()
    rounds = []
    for number in range(ROUNDS):
        locks = [lock(f"{number}-{n}") for n in range(len(clients))]
        answers = await asyncio.gather(*(take(client, ref, made) for client, made in zip(clients, locks, strict=True)))
        won = [made for made, answer in zip(locks, answers, strict=True) if answer == "OK"]
        others = set(answers) - {"OK"}
        rounds.append(f"{len(won)} OK, the others {', '.join(sorted(others))}" if won else f"all {', '.join(sorted(others))}")
        for made in won:
            await unlock(w.owner, ref, made)
    return rounds


# Keeping


@case("a refresh moves the end", ["OK", "later"], v3=["INTERNAL", "no lock"], why=NO_LOCKS)
async def _(w: World) -> list[str]:
    ref, longer = await w.file(), lock(life_s=600)
    await take(w.owner, ref)
    answer = await refresh(w.owner, ref, longer)
    held = (await w.owner.call("GetLock", api.GetLockRequest(ref=ref))).lock
    if not held.lock_id:
        return [answer, "no lock"]
    return [answer, "later" if held.expiration == longer.expiration else "as before"]


@case("a refresh of no lock is refused", "FAILED_PRECONDITION", v3="INTERNAL", why=NO_LOCKS)
async def _(w: World) -> str:
    return await refresh(w.owner, await w.file())


@case("a refresh with another id is refused", ["ABORTED", "one"], v3=["INTERNAL"] * 2, why=NO_LOCKS)
async def _(w: World) -> list[str]:
    ref = await w.file()
    await take(w.owner, ref)
    return [await refresh(w.owner, ref, lock("two")), await get(w.owner, ref)]


@case("a refresh by another application is refused", "PERMISSION_DENIED", v3="INTERNAL", why=NO_LOCKS)
async def _(w: World) -> str:
    ref = await w.file()
    await take(w.owner, ref)
    return await refresh(w.owner, ref, lock(app="collabora"))


@case(
    "existing_lock_id hands the lock over within the application",
    ["OK", "two", "LOCKED", "OK"],
    v3=["INTERNAL"] * 4,
    why=NO_LOCKS,
)
async def _(w: World) -> list[str]:
    ref = await w.file()
    await take(w.owner, ref)
    taken = await refresh(w.owner, ref, lock("two"), existing="one")
    return [taken, await get(w.owner, ref), await unlock(w.owner, ref), await unlock(w.owner, ref, lock("two"))]


@case("a wrong existing_lock_id hands over nothing", ["ABORTED", "one"], v3=["INTERNAL"] * 2, why=NO_LOCKS)
async def _(w: World) -> list[str]:
    ref = await w.file()
    await take(w.owner, ref)
    return [await refresh(w.owner, ref, lock("two"), existing="three"), await get(w.owner, ref)]


@case("another application cannot take over", "PERMISSION_DENIED", v3="INTERNAL", why=NO_LOCKS)
async def _(w: World) -> str:
    ref = await w.file()
    await take(w.owner, ref)
    return await refresh(w.owner, ref, lock("two", app="collabora"), existing="one")


@case("an expired lock nobody looked at can be refreshed", ["OK", "one"], v3=["INTERNAL"] * 2, why=NO_LOCKS)
async def _(w: World) -> list[str]:
    ref = await w.file()
    await take(w.owner, ref, lock(life_s=-5))
    return [await refresh(w.owner, ref), await get(w.owner, ref)]


@case("an expired lock somebody looked at cannot", "FAILED_PRECONDITION", v3="INTERNAL", why=NO_LOCKS)
async def _(w: World) -> str:
    ref = await w.file()
    await take(w.owner, ref, lock(life_s=-5))
    await w.owner.stat(ref)
    return await refresh(w.owner, ref)


@case("an expired lock does not keep another from being taken", ["OK", "two"], v3=["INTERNAL"] * 2, why=NO_LOCKS)
async def _(w: World) -> list[str]:
    ref = await w.file()
    await take(w.owner, ref, lock(life_s=-5))
    return [await take(w.owner, ref, lock("two")), await get(w.owner, ref)]


@case("of many takers over one wins", ["1 OK, the others ABORTED"] * ROUNDS, v3=["all INTERNAL"] * ROUNDS, why=NO_LOCKS)
async def _(w: World) -> list[str]:
    clients = await w.racers()
    rounds = []
    for number in range(ROUNDS):
        ref = await w.file(name=f"{number}.ipynb")
        await take(w.owner, ref)
        takes = (refresh(client, ref, lock(f"by-{n}"), existing="one") for n, client in enumerate(clients))
        answers = await asyncio.gather(*takes)
        won, others = answers.count("OK"), sorted(set(answers) - {"OK"})
        rounds.append(f"{won} OK, the others {', '.join(others)}" if won else f"all {', '.join(others)}")
    return rounds


# Releasing


@case("the holder unlocks", ["OK", "NOT_FOUND"], v3=["INTERNAL"] * 2, why=NO_LOCKS)
async def _(w: World) -> list[str]:
    ref = await w.file()
    await take(w.owner, ref)
    return [await unlock(w.owner, ref), await get(w.owner, ref)]


@case("unlocking what is not locked is refused", "ABORTED", v3="INTERNAL", why=NO_LOCKS)
async def _(w: World) -> str:
    return await unlock(w.owner, await w.file())


@case("unlocking with another id is refused", ["LOCKED", "one"], v3=["INTERNAL"] * 2, why=NO_LOCKS)
async def _(w: World) -> list[str]:
    ref = await w.file()
    await take(w.owner, ref)
    return [await unlock(w.owner, ref, lock("two")), await get(w.owner, ref)]


@case("unlocking by another application is refused", ["PERMISSION_DENIED", "one"], v3=["INTERNAL"] * 2, why=NO_LOCKS)
async def _(w: World) -> list[str]:
    ref = await w.file()
    await take(w.owner, ref)
    return [await unlock(w.owner, ref, lock(app="collabora")), await get(w.owner, ref)]


@case("unlocking an expired lock that nobody looked at", "OK", v3="INTERNAL", why=NO_LOCKS)
async def _(w: World) -> str:
    ref = await w.file()
    await take(w.owner, ref, lock(life_s=-5))
    return await unlock(w.owner, ref, lock(life_s=-5))


# Whose


@case("whoever may write and knows id and application may refresh and unlock", ["OK", "OK"], v3=["INTERNAL"] * 2, why=NO_LOCKS)
async def _(w: World) -> list[str]:
    ref = await w.file()
    await w.share(ref, w.marie, editor=True)
    await take(w.owner, ref)
    return [await refresh(w.marie, ref), await unlock(w.marie, ref)]


@case(
    "a lock of a user is that user's alone",
    ["OK", "PERMISSION_DENIED", "PERMISSION_DENIED", "PERMISSION_DENIED", "OK"],
    v3=["INTERNAL"] * 5,
    why=NO_LOCKS,
)
async def _(w: World) -> list[str]:
    ref = await w.file()
    await w.share(ref, w.marie, editor=True)
    hers = lock(user=w.marie.user.id)
    return [
        await take(w.marie, ref, hers),
        await unlock(w.owner, ref, hers),
        await refresh(w.owner, ref, hers),
        await unlock(w.marie, ref, lock()),
        await unlock(w.marie, ref, hers),
    ]


@case("a lock may name somebody else as its holder", ["OK", "PERMISSION_DENIED"], v3=["INTERNAL"] * 2, why=NO_LOCKS)
async def _(w: World) -> list[str]:
    ref = await w.file()
    other = identity.UserId(opaque_id=w.marie.user.id.opaque_id, idp=w.marie.user.id.idp)
    return [await take(w.owner, ref, lock(user=other)), await unlock(w.owner, ref, lock())]


@case(
    "a viewer sees a lock, takes none and keeps none",
    ["PERMISSION_DENIED", "one", "PERMISSION_DENIED", "PERMISSION_DENIED", "PERMISSION_DENIED"],
    v3=["INTERNAL", "INTERNAL", "INTERNAL", "INTERNAL", "OK"],
    why=NO_LOCKS,
)
async def _(w: World) -> list[str]:
    ref = await w.file()
    await w.share(ref, w.marie, editor=False)
    taken = await take(w.marie, ref)
    await take(w.owner, ref)
    return [
        taken,
        await get(w.marie, ref),
        await refresh(w.marie, ref),
        await unlock(w.marie, ref),
        await w.marie.may_upload(ref, lock_id="one"),
    ]


@case("a stranger finds nothing to lock", ["NOT_FOUND"] * 4, v3=["INTERNAL"] * 4, why=NO_LOCKS)
async def _(w: World) -> list[str]:
    ref = await w.file()
    await take(w.owner, ref)
    return [
        await take(w.richard, ref),
        await get(w.richard, ref),
        await refresh(w.richard, ref),
        await unlock(w.richard, ref),
    ]
