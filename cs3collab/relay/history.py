"""A document's history over a link: what the relay answers, and how its peer asks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from cs3collab.errors import Overloaded
from cs3collab.limits import Limits
from cs3collab.relay import protocol as p
from cs3collab.rooms.room import Room, Seat
from cs3collab.types import History, MergedIn, Restored, Version

R = TypeVar("R")


def entry_of(version: Version) -> p.VersionEntry:
    return p.VersionEntry(version.position, version.at, list(version.authors), version.edits, version.name)


def version_of(entry: p.VersionEntry) -> Version:
    return Version(entry.position, entry.at, tuple(entry.authors), entry.edits, entry.name)


async def answer(room: Room, seat: Seat, message: p.HistoryRequest, limits: Limits) -> p.Message:
    """Raises what the room says, and `Overloaded` for a version that is too large for the peer."""
    match message:
        case p.Versions():
            history = await room.versions(seat, message.at)
            entries = [entry_of(version) for version in history.versions]
            return p.VersionList(message.request, entries, history.position, history.horizon, history.found)
        case p.ReadVersion():
            content = await room.version(seat, message.position)
            if len(content) > limits.document_bytes:
                raise Overloaded(f"this version has {len(content)} bytes", hint=f"at most {limits.document_bytes} are sent")
            return p.VersionContent(message.request, content)
        case p.Restore():
            restored = await room.restore(seat, message.position)
            return p.Restored(message.request, restored.position, restored.changed)
        case p.Merge():
            merged = await room.merge(seat, message.content, message.base, message.copy)
            return p.MergedIn(message.request, merged.position, merged.conflicts, merged.copy)
        case p.Decide():
            return p.Decided(message.request, await room.decide(seat, tuple(message.keys)))
        case p.NameVersion():
            return p.VersionNamed(message.request, entry_of(await room.name_version(seat, message.name, message.position)))


class AsksHistory(ABC):
    """The part of `cs3collab.rooms.replica.Channel` that is about history."""

    number: int

    @property
    @abstractmethod
    def update_bytes(self) -> int:
        """How much may be sent at once."""

    @abstractmethod
    async def asked(self, build: Callable[[int], p.Message], answer: type[R], feature: str = p.HISTORY) -> R:
        """Sends what `build` makes of a request number, waits for the answer. Raises what the relay says."""

    async def versions(self, at: float) -> History:
        got = await self.asked(lambda request: p.Versions(request, self.number, at), p.VersionList)
        return History(tuple(map(version_of, got.versions)), got.position, got.horizon, got.found)

    async def version(self, position: int) -> bytes:
        return (await self.asked(lambda request: p.ReadVersion(request, self.number, position), p.VersionContent)).content

    async def restore(self, position: int) -> Restored:
        got = await self.asked(lambda request: p.Restore(request, self.number, position), p.Restored)
        return Restored(got.position, got.changed)

    async def merge(self, theirs: bytes, base: bytes | None, copy: str) -> MergedIn:
        if len(theirs) + len(base or b"") > self.update_bytes:
            raise Overloaded("this version is too large to be sent", hint=f"at most {self.update_bytes} bytes")
        got = await self.asked(lambda request: p.Merge(request, self.number, theirs, base, copy), p.MergedIn, p.MERGE)
        return MergedIn(got.position, got.conflicts, got.copy)

    async def decide(self, keys: tuple[str, ...]) -> bool:
        return (await self.asked(lambda request: p.Decide(request, self.number, list(keys)), p.Decided, p.DECIDE)).decided

    async def name_version(self, name: str, position: int) -> Version:
        got = await self.asked(lambda request: p.NameVersion(request, self.number, position, name), p.VersionNamed)
        return version_of(got.version)
