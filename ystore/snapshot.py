"""Compaction, decided without I/O: which objects a snapshot stands for, and what goes once it is written."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Awaitable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ystore import replay
from ystore.covers import Covers, union
from ystore.errors import PoisonedRecord, StoreCorrupt
from ystore.history import Retention
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
    if not items:
        return EMPTY
    content, difference = await _blamed(items, replay.verified([item.update for item in items]))
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
            hint="nothing is lost: what came before it can be loaded, and it stays in the history",
        ) from error


def covered_by(infos: Iterable[Info], to_come: Iterable[str] = ()) -> Covers:
    """What one that holds the content of `infos` stands for: them, all they stand for, and names of objects `to_come`."""
    infos = list(infos)
    return union([Covers.of([*(info.name for info in infos), *to_come]), *(info.covers for info in infos)])


DAY_S = 86400.0
_FAN = 8
"""Segments of about one size that are merged: each record is rewritten once for each factor of this in the history's size."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a merged segment may be: compressed and raw bytes, and seconds from its oldest part to its newest."""

    size: int
    raw: int
    span_s: float | None


def limits(retention: Retention) -> Limits:
    """Segments are dropped as a whole, so that they must be small beside what is to be kept."""
    size = 2**20 if retention.bytes is None else max(2**15, min(2**19, retention.bytes // 8))
    return Limits(size, 2**25, None if retention.age_s is None else retention.age_s / 8)


def outlived(past: Sequence[Info], retention: Retention, now: float) -> int:
    """How many of these segments, oldest first, may go. `now` is Unix seconds.

    A little more than is allowed is left until it is worth a new state at the horizon, then what is due goes at once. A clock
    that goes back makes nothing old: a segment is as new as the newest before it.
    """
    old, newest = 0, -math.inf
    if retention.age_s is not None and past:
        slack = min(DAY_S, retention.age_s / 8)
        for info in past:
            newest = max(newest, info.dated)
            if newest >= now - retention.age_s - (0 if old else slack):
                break
            old += 1
    size = sum(info.size for info in past)
    if retention.bytes is not None and size > retention.bytes:
        for count, info in enumerate(past):
            if size <= retention.bytes * 3 // 4:
                break
            size -= info.size
            old = max(old, count + 1)
    return old


def groups(past: Sequence[Info], tail: Collection[str], most: Limits) -> list[list[Info]]:
    """Which of the history's segments become one: those behind the snapshot, named by `tail`, and older ones of like size.

    Only neighbours: a segment that reached over another's positions would look like a second branch.
    """
    found: list[list[Info]] = []
    for is_tail, neighbours in itertools.groupby(past, lambda info: info.name in tail):
        run = list(neighbours)
        if is_tail:
            older = _of_like_size(past[: past.index(run[0])], most) if run[-1] == past[-1] else []
            found += [chunk for chunk in _chunks([*older, *run], most) if len(chunk) > 1]
    return found


def _of_like_size(past: Sequence[Info], most: Limits) -> Sequence[Info]:
    """The newest of these, if there are enough of one size."""
    best = len(past)
    start, counts = len(past), Counter[int]()
    while start and past[start - 1].size <= most.size // 2:
        start -= 1
        counts[_tier(past[start].size)] += 1
        larger_before = start and _tier(past[start - 1].size) <= max(counts)
        if counts[max(counts)] >= _FAN - 1 and not larger_before:
            best = start
    return past[best:]


def _tier(size: int) -> int:
    return (size >> 9).bit_length() // 3


def _chunks(run: Sequence[Info], most: Limits) -> list[list[Info]]:
    out: list[list[Info]] = []
    for info in run:
        chunk = [*out[-1], info] if out else [info]
        times = [i.dated for i in chunk if i.dated < math.inf]
        fits = sum(i.size for i in chunk) <= most.size and sum(i.raw or 16 * i.size for i in chunk) <= most.raw
        if out and fits and (most.span_s is None or not times or max(times) - min(times) <= most.span_s):
            out[-1] = chunk
        else:
            out.append([info])
    return out
