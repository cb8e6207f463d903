"""CS3 locks, always by resource id (Reva v2 refuses paths for all but SetLock), held by an application and never by a user."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, TypeVar

from cs3.storage.provider.v1beta1 import provider_api_pb2 as api

from cs3collab.cs3 import convert
from cs3collab.cs3.session import Session
from cs3collab.errors import CollabError, LeaseLost, LockHeld, NotAuthorized, NotFound, StorageUnavailable, Unsupported
from cs3collab.types import Lock, Ref, User

APP_NAME: Final = "cs3collab"
T = TypeVar("T")


async def by_id(session: Session, ref: Ref) -> Ref:
    """The reference to the resource itself; a path costs a Stat. Raises `NotFound`."""
    if ref.resource_id is not None and ref.path in ("", "."):
        return ref
    response = await session.call("Stat", api.StatRequest(ref=convert.to_ref(ref)))
    return Ref.of(convert.from_id(response.info.id))


async def set_lock(session: Session, ref: Ref, lock: Lock, *, app_name: str = APP_NAME) -> None:
    """Takes the lock if there is none.

    Raises `LockHeld` with holder and application, even for a lock of the same id, and `Unsupported` where there are no locks.
    """
    target = await by_id(session, ref)
    request = api.SetLockRequest(ref=convert.to_ref(target), lock=convert.to_lock(lock, app_name))
    try:
        await session.call("SetLock", request)
    except LockHeld as refused:
        raise await held(session, await _peek(session, target), refused) from refused
    except StorageUnavailable as error:
        if await _answers_nothing_about_locks(session, target):
            raise Unsupported("this storage has no locks", hint="it answers INTERNAL to every lock call") from error
        raise


async def get_lock(session: Session, ref: Ref) -> Lock | None:
    """The lock on the resource. Raises `NotFound` for a missing resource, `Unsupported` where there are no locks."""
    target = await by_id(session, ref)
    try:
        response = await session.call("GetLock", api.GetLockRequest(ref=convert.to_ref(target)))
    except NotFound:
        await session.call("Stat", api.StatRequest(ref=convert.to_ref(target)))  # NOT_FOUND also means a missing file
        return None
    return convert.from_lock(response.lock) if response.lock.lock_id else None


async def named(session: Session, lock: Lock | None) -> Lock | None:
    """The lock with its holder's name, for locks say only the id."""
    if lock is None or lock.holder is None or lock.holder.display_name:
        return lock
    return replace(lock, holder=await _known(session, lock.holder))


async def refresh_lock(session: Session, ref: Ref, lock: Lock, *, existing_lock_id: str = "", app_name: str = APP_NAME) -> None:
    """Prolongs our lock, or takes over `existing_lock_id` of our application. Raises `LeaseLost` when it is no more ours."""
    target = await by_id(session, ref)
    request = api.RefreshLockRequest(
        ref=convert.to_ref(target), lock=convert.to_lock(lock, app_name), existing_lock_id=existing_lock_id
    )
    try:
        await session.call("RefreshLock", request)
    except NotAuthorized as refused:
        await _blame(session, target, existing_lock_id or lock.lock_id, refused)


async def unlock(session: Session, ref: Ref, lock: Lock, *, app_name: str = APP_NAME) -> None:
    """Releases our lock; none being there is as good. Raises `LeaseLost` when somebody else's is."""
    target = await by_id(session, ref)
    request = api.UnlockRequest(ref=convert.to_ref(target), lock=convert.to_lock(lock, app_name))
    try:
        await session.call("Unlock", request)
    except LeaseLost:
        if await get_lock(session, target) is not None:
            raise
    except NotAuthorized as refused:
        await _blame(session, target, lock.lock_id, refused)


async def take_away(session: Session, ref: Ref, lock: Lock) -> None:
    """Ends a lock that is not ours, as its own program would. Raises `NotAuthorized` for another person's, `LeaseLost`."""
    message = convert.to_lock(lock, lock.app_name)
    if lock.holder is not None:
        message.user.CopyFrom(convert.to_user_id(lock.holder))
    target = await by_id(session, ref)
    await session.call("Unlock", api.UnlockRequest(ref=convert.to_ref(target), lock=message))


async def around_ours(session: Session, ref: Ref, act: Callable[[], Awaitable[T]]) -> T:
    """Does what Reva v2 refuses while a file is locked, by whomever: for a moment our own lock is not there.

    Raises `LockHeld` with holder and application for any other lock.
    """
    try:
        return await act()
    except LockHeld as refused:
        lock = await get_lock(session, ref)
        if lock is not None and lock.app_name != APP_NAME:
            raise await held(session, lock, refused) from refused
    if lock is None:
        return await act()
    with contextlib.suppress(LeaseLost):
        await take_away(session, ref, lock)
    try:
        return await act()
    finally:
        with contextlib.suppress(CollabError):  # a room that missed its lock has a new one by now, or takes one
            await set_lock(session, ref, lock)


async def held(session: Session, lock: Lock | None, refused: Exception) -> LockHeld:
    """The error that names whose lock it is, as far as the gateway tells."""
    if lock is None:
        return LockHeld(str(refused), hint="try again: the lock was released meanwhile")
    holder = await _label(session, lock.holder) if lock.holder else ""
    who = " with ".join(part for part in (holder, lock.app_name) if part) or "somebody"
    return LockHeld(f"the file is locked by {who}", hint="wait until it is released", holder=holder, app_name=lock.app_name)


async def _blame(session: Session, target: Ref, lock_id: str, refused: NotAuthorized) -> None:
    """PERMISSION_DENIED is the answer both for another application's lock and for a lost right to write."""
    lock = await get_lock(session, target)
    if lock is None or lock.lock_id != lock_id:
        raise LeaseLost(f"the lock is not ours any more: {refused.message}", hint="take it again when it is free") from refused
    raise refused


async def _peek(session: Session, target: Ref) -> Lock | None:
    try:
        return await get_lock(session, target)
    except (NotFound, Unsupported, StorageUnavailable):
        return None


async def _answers_nothing_about_locks(session: Session, target: Ref) -> bool:
    """Reva v3's local storage says INTERNAL without a reason: when Stat works and GetLock does not, it has no locks."""
    await session.call("Stat", api.StatRequest(ref=convert.to_ref(target)))
    try:
        await get_lock(session, target)
    except (StorageUnavailable, Unsupported):
        return True
    return False


async def _label(session: Session, holder: User) -> str:
    user = await _known(session, holder)
    return user.label if user is not holder else holder.key


async def _known(session: Session, holder: User) -> User:
    """`holder` itself where the gateway does not tell more."""
    from cs3.identity.user.v1beta1 import user_api_pb2

    try:
        request = user_api_pb2.GetUserRequest(user_id=convert.to_user_id(holder))
        user = convert.from_user((await session.call("GetUser", request)).user)
    except (NotFound, NotAuthorized, StorageUnavailable, Unsupported):
        return holder
    return user if user.opaque_id else holder
