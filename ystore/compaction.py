"""Compaction: a new snapshot, larger segments, and a later horizon where retention lets the history's beginning go.

In this order, so that a crash anywhere leaves the document and what was kept of its history whole: states that are kept (pins,
the horizon), the snapshot that covers them and all else, merged segments; then what these replace is dropped.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Collection
from dataclasses import dataclass

from ystore import segment, snapshot
from ystore.contents import Contents
from ystore.directory import pack_segment
from ystore.errors import PoisonedRecord, StoreCorrupt
from ystore.failpoints import hit
from ystore.history import Mark, Retention
from ystore.segment import Info
from ystore.snapshot import Item

_SLACK_BYTES = 2**18


@dataclass(frozen=True, slots=True)
class _Plan:
    before: list[Info]
    live: list[Info]
    items: list[Item]
    dropped: list[Info]
    begin: Info | None
    """The horizon to be, still without a file."""
    pins: list[Info]
    """Other states to be kept, likewise."""


@dataclass(frozen=True, slots=True)
class _Ends:
    """The first positions that are left alone, for what cannot be replayed is there: by the snapshot, and by the horizon."""

    content: float = math.inf
    horizon: float = math.inf

    def before(self, holder: Info | None, live: list[Info]) -> _Ends:
        """When something in `holder` cannot be replayed. What a snapshot already has concerns the horizon alone."""
        first = holder.first if holder else math.inf
        return _Ends(min(self.content, first) if holder in live else self.content, min(self.horizon, first))


class Compaction:
    """Of one document. ``lock`` is held for the whole of it."""

    def __init__(self, contents: Contents, retention: Retention, compact_at: int) -> None:
        self.lock = asyncio.Lock()
        self._contents = contents
        self._retention = retention
        self._segments = self._first_segments = compact_at
        allowed = retention.bytes
        self._bytes = self._first_bytes = float("inf") if allowed is None else allowed + max(allowed // 4, _SLACK_BYTES)
        self._parts: dict[str, frozenset[str]] = {}
        """What objects written here were made of."""
        self.poisoned = 0
        """Position of the record that the last compaction could not replay."""

    @property
    def is_due(self) -> bool:
        """Enough is behind the snapshot, or more history is there than retention wants. After a failure: twice as much."""
        return self._behind() >= self._segments or self._size() > self._bytes

    def _behind(self) -> int:
        return sum(1 for info in segment.live(self._contents.sealed) if info.is_segment) + len(self._contents.logs)

    def _size(self) -> int:
        return sum(info.size for info in segment.history(self._contents.sealed))

    def waiting(self, there: Collection[str]) -> list[int]:
        """First positions of what only the directory has, `there` being what the blob store has."""
        sealed = self._contents.sealed
        begin = [info for info in sealed if info.kind == segment.HORIZON]
        return [i.first for i in [*begin, *segment.history(sealed)] if i.name not in there and not self._is_in_parts(i, there)]

    def _is_in_parts(self, info: Info, there: Collection[str]) -> bool:
        parts = self._parts.get(info.name)
        return parts is not None and all(name in there for name in parts)

    async def run(self) -> None:
        """Raises `StoreCorrupt`, `StoreUnavailable`; nothing was dropped then, though records may be in fewer segments. Raises
        `PoisonedRecord` when all was done that needs no replay of that record.
        """
        async with self.lock:
            self._put_off()
            poison, ends = None, _Ends()
            while True:
                try:
                    if await self._attempt(ends):
                        break
                except PoisonedRecord as error:
                    poison, before = error, ends
                    ends = ends.before(self._holder(error.position), segment.live(self._contents.sealed))
                    if ends == before:
                        raise
                except StoreCorrupt:
                    await self._merge_from(0)
                    self._put_off()
                    raise
            self.poisoned = poison.position if poison else 0
            if poison:
                await self._merge_from(ends.content)
                self._put_off()
                raise poison
            self._segments, self._bytes = self._first_segments, self._first_bytes

    def _put_off(self) -> None:
        self._segments = max(2 * self._behind(), self._first_segments)
        self._bytes = max(2.0 * self._size(), self._first_bytes)

    def _holder(self, position: int) -> Info | None:
        """The segment with the record at `position`."""
        return next((i for i in segment.history(self._contents.sealed) if i.first <= position <= i.last), None)

    async def _attempt(self, ends: _Ends) -> bool:
        """False if somebody named a version meanwhile that it would have dropped."""
        contents = self._contents
        wishes = contents.place.manifest.wanted
        async with contents.lock:
            await contents.seal()
            before = [info for info in contents.sealed if not info.is_segment or info.last < ends.content]
        begin = self._begin(before, ends.horizon)
        marks = await contents.marks_at({begin, *(w.position for w in wishes if w.position < begin)}) if begin else {}
        async with contents.lock:
            plan = await self._plan(before, begin, wishes, marks)
            if plan is None:
                await self._drop()
                return True
        content = await snapshot.verified(plan.items)
        to_keep = [*plan.pins, *([plan.begin] if plan.begin else [])]
        last = max(info.last for info in plan.live)
        states = [content if info.last == last else await self._state(info.last) for info in to_keep]
        async with contents.lock:
            if any(wish.position < begin for wish in contents.place.manifest.wanted.keys() - wishes.keys()):
                return False
            await self._replace(plan, content, list(zip(to_keep, states, strict=True)))
        return True

    async def _state(self, position: int) -> bytes:
        return await snapshot.verified(await self._contents.at(position))

    def _begin(self, before: list[Info], end: float) -> int:
        """The horizon to be, which is below `end`; 0 if there is none or it stays."""
        past = [info for info in segment.history(before) if info.last < end]
        outlived = past[: snapshot.outlived(past, self._retention, time.time())]
        last = max([segment.horizon(before), *(info.last for info in outlived)])
        return 0 if any(info.kind == segment.HORIZON and info.last >= last for info in before) else last

    async def _plan(self, before: list[Info], begin: int, wishes: dict[Mark, str], marks: dict[int, float]) -> _Plan | None:
        """None if there is nothing to do. Hold the contents' lock."""
        contents = self._contents
        live, now = segment.live(before), segment.horizon(before)
        if not live or (not begin and len(live) == 1 and live[0].is_snapshot):
            return None
        dropped = [info for info in segment.history(before) if info.last <= begin]
        horizons = [info for info in before if info.kind == segment.HORIZON]
        horizon = self._kept(segment.HORIZON, [*dropped, *horizons], begin, marks.get(begin, 0.0)) if begin else None
        there = {(info.last, info.at) for info in before if info.kind == segment.PIN}
        pins = [
            self._kept(segment.PIN, [], wish.position, wish.at, label)
            for wish, label in sorted(wishes.items())
            if now <= wish.position < begin and marks.get(wish.position) == wish.at and wish[:2] not in there
        ]
        items = await contents.journal.disk(contents.items, live, [])
        return _Plan(before, live, items, dropped, horizon, pins)

    def _kept(self, kind: str, instead_of: list[Info], last: int, at: float, label: str = "") -> Info:
        first = min((info.first for info in instead_of), default=last)
        newest = max((info.newest or 0.0 for info in instead_of), default=None)
        name = self._contents.place.new_name(first) + kind
        covers = snapshot.covered_by(instead_of)
        self._parts[name] = frozenset(info.name for info in instead_of)
        return Info(name, self._contents.place.manifest.lineage, first, last, 1, covers, newest, at, label=label)

    async def _replace(self, plan: _Plan, content: bytes, states: list[tuple[Info, bytes]]) -> None:
        """Hold the contents' lock."""
        contents, place, disk = self._contents, self._contents.place, self._contents.journal.disk
        for info, state in states:
            await contents.put(info, state)
            await disk(hit, "compact.horizon.after" if info.kind == segment.HORIZON else "compact.pin.after")
        left = [info for info in contents.history() if info in plan.before and info not in plan.dropped]
        tail = {info.name for info in plan.live if info.is_segment}
        merges = {
            place.new_name(group[0].first) + segment.SEGMENT: group
            for group in snapshot.groups(left, tail, snapshot.limits(self._retention))
        }
        first, last = min(i.first for i in plan.live), max(i.last for i in plan.live)
        info = Info(
            place.new_name(first) + segment.SNAPSHOT,
            place.manifest.lineage,
            first,
            last,
            len(plan.items),
            snapshot.covered_by([*plan.before, *(info for info, _ in states)], merges),
            horizon=plan.begin.last if plan.begin else segment.horizon(plan.before),
        )
        await contents.put(info, content)
        await disk(hit, "compact.snapshot.after")
        for name, group in merges.items():
            contents.sealed.append(await disk(self._merge, name, group))
            self._parts[name] = frozenset(part.name for part in group)
        await self._drop()

    async def _merge_from(self, end: float) -> None:
        """What no snapshot can stand for grows as records, in few segments."""
        contents = self._contents
        async with contents.lock:
            rest = [info for info in contents.history() if info.first >= end]
            for group in snapshot.groups(rest, {info.name for info in rest}, snapshot.limits(self._retention)):
                name = contents.place.new_name(group[0].first) + segment.SEGMENT
                contents.sealed.append(await contents.journal.disk(self._merge, name, group))
                self._parts[name] = frozenset(part.name for part in group)
            await self._drop()

    def _merge(self, name: str, group: list[Info]) -> Info:
        """Blocking. Stands for copies of its parts, too."""
        contents, place = self._contents, self._contents.place
        by_position = {record.position: record for info in group for record in place.read_segment(info)}
        first = {contents.doubles.get(position, position): position for position in sorted(by_position, reverse=True)}
        found = [by_position[position] for position in sorted(first.values())]
        whole = [i for i in contents.sealed if i.name in contents.copies and set(found).issuperset(place.read_segment(i))]
        sealed = max((info.sealed for info in group if info.sealed is not None), default=None)
        info, packed = pack_segment(name, place.manifest.lineage, found, snapshot.covered_by([*group, *whole]), sealed)
        place.put(info, packed)
        return info

    async def _drop(self) -> None:
        """What was replaced, and states that nobody wants kept any more. Hold the contents' lock."""
        contents, disk = self._contents, self._contents.journal.disk
        wanted = {wish[:2] for wish in contents.place.manifest.wanted}
        needless = segment.replaced(contents.sealed)
        for pin in sorted((i for i in contents.sealed if i.kind == segment.PIN), key=lambda i: i.name):
            if (pin.last, pin.at) in wanted:
                wanted.discard((pin.last, pin.at))
            else:
                needless.add(pin.name)
        await disk(hit, "compact.drop.before")
        await contents.drop(needless)
        await disk(hit, "compact.drop.after")
        names = {info.name for info in contents.sealed}
        self._parts = {name: parts for name, parts in self._parts.items() if name in names}
