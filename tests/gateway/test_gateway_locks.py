"""Locks: the rules as a table. Over a real channel they are in `conformance.cs3.locks`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from gateway_client import by_path

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
        (lambda: locks.check_write(None, "one"), status.ABORTED),
        (lambda: locks.check_write(PLAIN, ""), status.LOCKED),
        (lambda: locks.check_write(PLAIN, "two"), status.ABORTED),
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
