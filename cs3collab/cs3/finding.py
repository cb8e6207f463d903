"""Asking for one share by its id, where gateways do not agree on how to say that there is none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol, TypeVar

from cs3collab.errors import NotFound, StorageUnavailable


class _Named(Protocol):
    @property
    def id(self) -> str: ...


N = TypeVar("N", bound=_Named)


async def found(id: str, asked: Awaitable[N], listed: Callable[[], Awaitable[Iterable[N]]]) -> N:
    """What was asked for by its id. Raises `NotFound`, also where Reva says INTERNAL for what it does not know (OCM, v3)."""
    try:
        return await asked
    except StorageUnavailable:
        for one in await listed():
            if one.id == id:
                return one
    raise NotFound(f"no such share: {id[:80]}", hint="list the shares again")
