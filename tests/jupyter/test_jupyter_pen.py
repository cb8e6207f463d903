"""What somebody is told who asks for the pen. The way there is tested in tests/integration/test_one_pen.py."""

from __future__ import annotations

from typing import Any

import pytest
from support.kept_room import Listener
from support.memory_storage import ALICE, MemorySite, MemoryStorage

from cs3collab.errors import CollabError, LockHeld, NotAuthorized, StorageUnavailable
from cs3collab.jupyter.pen import check
from cs3collab.rooms.authority import Standing
from cs3collab.rooms.room import Seat
from cs3collab.types import Role


def seat(role: Role, right: Role | None, offered: bool = False) -> Seat:
    """``right`` None: at a relay."""

    async def recheck() -> tuple[Role, str]:
        raise AssertionError

    storage = MemoryStorage(MemorySite(lambda: 0.0), ALICE)
    backing: Any = object() if right is None else Standing(storage, recheck, (right, ""))
    return Seat(ALICE, role, Listener(), backing, "the reason", offered=offered)


@pytest.mark.parametrize("right", [Role.EDITOR, None])
def test_who_has_it_is_told_nothing(right: Role | None) -> None:
    check(seat(Role.EDITOR, right))


@pytest.mark.parametrize(
    ("asker", "error", "says"),
    [
        pytest.param(seat(Role.VIEWER, Role.EDITOR), LockHeld, "the reason", id="somebody was faster"),
        pytest.param(seat(Role.VIEWER, Role.EDITOR, True), StorageUnavailable, "does not answer", id="nobody has it"),
        pytest.param(seat(Role.VIEWER, Role.VIEWER), NotAuthorized, "the reason", id="a viewer"),
        pytest.param(seat(Role.VIEWER, None), NotAuthorized, "the reason", id="a viewer at a relay"),
    ],
)
def test_who_has_not_got_it_is_told_why(asker: Seat, error: type[CollabError], says: str) -> None:
    with pytest.raises(error, match=says):
        check(asker)
