"""The next hop as a replica sees it (adapters: `cs3collab.relay.link`, `cs3collab.relay.channel`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from cs3collab.rooms.room import SaveResult, Snapshot
from cs3collab.types import History, Lineage, MergedIn, Restored, RoomStatus, Version

if TYPE_CHECKING:
    from cs3collab.rooms.replica import Replica

Rescue = Callable[[str, bytes], Awaitable[str]]
"""Keeps a document that would be lost, by name and content; says in words where it is now."""


class Channel(Protocol):
    """One user's way to the authority, kept across reconnections by the link."""

    @property
    def outbox_bytes(self) -> int: ...
    def push(self, update: bytes) -> Awaitable[int]:
        """Queues now; resolves to the position once durable, however long the authority is away."""

    def awareness(self, update: bytes) -> None: ...
    async def save(self) -> SaveResult: ...
    async def versions(self, at: float) -> History: ...
    async def version(self, position: int) -> bytes: ...
    async def restore(self, position: int) -> Restored: ...
    async def merge(self, theirs: bytes, base: bytes | None, copy: str) -> MergedIn: ...
    async def decide(self, keys: tuple[str, ...]) -> bool: ...
    async def name_version(self, name: str, position: int) -> Version: ...
    def pending(self) -> list[bytes]:
        """Updates pushed and not yet acknowledged, in order."""

    def close(self) -> None: ...


class Upstream(Protocol):
    """The link, as the room sees it."""

    async def sync(self, room: str, lineage: Lineage, state_vector: bytes) -> tuple[Snapshot, RoomStatus]: ...
    def forget(self, replica: Replica) -> None: ...


async def nowhere(name: str, content: bytes) -> str:
    return ""
