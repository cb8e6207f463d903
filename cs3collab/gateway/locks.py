"""What a lock permits: pure rules, as measured on Reva 2.48 with decomposedfs.

The type of a lock is kept but not interpreted: a shared lock also keeps others from locking and writing.
"""

from __future__ import annotations

from dataclasses import dataclass

from cs3collab.gateway.status import ABORTED, FAILED_PRECONDITION, LOCKED, PERMISSION_DENIED, Refused

UserKey = tuple[str, str]
"""Opaque id and idp."""


@dataclass(frozen=True, slots=True)
class Held:
    """A stored lock. ``user`` None: whoever knows id and app may use it; ``expires`` in Unix seconds, None for never."""

    lock_id: str
    app_name: str = ""
    user: UserKey | None = None
    expires: float | None = None

    def expired(self, now: float) -> bool:
        return self.expires is not None and self.expires <= now


def check_write(lock: Held | None, lock_id: str) -> None:
    """May something be changed with `lock_id`? `lock` is None when absent or expired. Raises LOCKED or ABORTED."""
    if lock is None:
        if lock_id:
            raise Refused(ABORTED, "error: aborted: not locked")
    elif not lock_id:
        raise Refused(LOCKED, "error: locked by " + (lock.app_name or "another user"))
    elif lock.lock_id != lock_id:
        raise Refused(ABORTED, "error: aborted: mismatching lock")


def check_set(lock: Held | None) -> None:
    """Raises FAILED_PRECONDITION when there is a lock, even the same one."""
    if lock is not None:
        raise Refused(FAILED_PRECONDITION, "error: already locked")


def check_refresh(stored: Held | None, new: Held, caller: UserKey, existing_lock_id: str) -> None:
    """`stored` may have expired unread: it can still be refreshed, for nobody else has taken it."""
    if stored is None:
        raise Refused(FAILED_PRECONDITION, "error: not locked")
    if stored.lock_id != (existing_lock_id or new.lock_id):
        raise Refused(ABORTED, "error: mismatching lock")
    _check_holder(stored, new, caller)


def check_unlock(lock: Held | None, given: Held, caller: UserKey) -> None:
    """`lock` may have expired unread, as in `check_refresh`."""
    if lock is None:
        raise Refused(ABORTED, "error: not locked")
    if lock.lock_id != given.lock_id:
        raise Refused(LOCKED, "error: locked with another id")
    _check_holder(lock, given, caller)


def _check_holder(stored: Held, given: Held, caller: UserKey) -> None:
    if stored.app_name != given.app_name:
        raise Refused(PERMISSION_DENIED, "error: the lock belongs to another application")
    if stored.user is not None and not (given.user == stored.user == caller):
        raise Refused(PERMISSION_DENIED, "error: the lock belongs to another user")
