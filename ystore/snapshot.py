"""Compaction, decided without I/O: which objects a snapshot stands for, and what goes once it is written."""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ystore import replay, segment
from ystore.errors import PoisonedRecord, StoreCorrupt
from ystore.record import Record
from ystore.replay import ReplayFailed
from ystore.segment import Info

T = TypeVar("T")

EMPTY = b"\0\0"
"""The Y update that says nothing."""


@dataclass(frozen=True, slots=True)
class Item:
    """One update of a document's content; ``record`` is None for a snapshot's."""

    update: bytes
    record: Record | None = None


async def squash(items: Sequence[Item]) -> bytes:
    """One update with the content of all. Raises `PoisonedRecord` naming the first that cannot be replayed."""
    if not items:
        return EMPTY
    return await _blamed(items, replay.squash([item.update for item in items]))


async def verified(items: Sequence[Item]) -> bytes:
    """As `squash`, and compared with what it stands for. Raises `StoreCorrupt` if they differ: then the originals must stay."""
    content = await squash(items)
    if items:
        difference = await _blamed(items, replay.same(content, [item.update for item in items]))
        if difference:
            raise StoreCorrupt(f"a snapshot is not what it stands for: {difference}", hint="nothing was dropped; report this")
    return content


async def _blamed(items: Sequence[Item], work: Awaitable[T]) -> T:
    try:
        return await work
    except ReplayFailed as error:
        record = items[error.index].record if 0 <= error.index < len(items) else None
        raise PoisonedRecord(
            f"an update cannot be replayed: {error.message}",
            position=record.position if record else 0,
            author=record.author if record else "",
            hint="the log is kept as it is, uncompacted",
        ) from error


def covered_by_snapshot(infos: Iterable[Info], merged: str, elsewhere: Collection[str] = ()) -> frozenset[str]:
    """What a snapshot of `infos` stands for: them, what they cover and is still around, and `merged`, a segment to come."""
    infos = list(infos)
    names = {info.name for info in infos}
    inherited = {name for info in segment.live(infos) for name in info.covers if name in names or name in elsewhere}
    return frozenset(names | inherited | {merged})


def base_for(infos: Iterable[Info], position: int) -> Info | None:
    """The snapshot to begin from for the state at `position`, None to replay from the start."""
    return max((i for i in infos if i.is_snapshot and i.last <= position), key=lambda i: i.last, default=None)
