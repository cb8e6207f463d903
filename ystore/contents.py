"""What makes up a document now: the log being written, log files to be sealed, and sealed objects; all on disk."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from ystore import covers, history, segment
from ystore.directory import Directory
from ystore.errors import PositionGone, StoreCorrupt, StoreError
from ystore.history import Mark, Named, Version
from ystore.journal import Journal, Log, LogFile, finished
from ystore.record import Record
from ystore.segment import Info
from ystore.snapshot import Item, verified

T = TypeVar("T")
File = Info | LogFile


class Contents:
    """``lock`` is held while objects are sealed, dropped or read, so that none goes away under a reader.

    What begins with "hold `lock`" wants it from its caller; the rest takes it.
    """

    def __init__(self, place: Directory, journal: Journal) -> None:
        self.place = place
        self.journal = journal
        self.logs: list[LogFile] = []
        self.sealed: list[Info] = []
        self.copies: set[str] = set()
        """Segments of which every record is in others, too, at the same position: for history they are not there."""
        self.doubles: dict[int, int] = {}
        """Positions of single records of that kind, and where they are kept."""
        self._ahead: tuple[tuple[list[Info], list[LogFile]], list[Item]] | None = None
        """What `now` is, as long as these are the files it is made of."""
        self.lock = asyncio.Lock()
        self.log = self._begin(0)

    def _begin(self, position: int) -> Log:
        return Log(self.journal, position, self._new_log, lambda file: self.logs.append(file))

    def _new_log(self, first: int) -> Path:
        self.place.files.make_dir(self.place.data)
        return self.place.data / f"{self.place.new_name(first)}{segment.LOG}"

    def find(self) -> None:
        """Takes up what is in the directory, and reads the content on the way: who opens a document wants it. Blocking."""
        self.logs, self.sealed = self.place.take_up()
        files = segment.live(self.sealed), self.files()
        with contextlib.suppress(StoreCorrupt):
            self._ahead = files, self.items(*files)

    def forget_ahead(self) -> None:
        """Nobody asked for the content in time."""
        self._ahead = None

    @property
    def last(self) -> int:
        """The last position of what was found, 0 if there is nothing."""
        return max([*(f.last for f in self.logs), *(i.last for i in self.sealed), 0])

    async def settle(self, last: int) -> None:
        """After a split brain two writers gave out the same positions: the shorter branch gets new ones. Before any append."""
        past = segment.history(self.sealed)
        if any(f.first <= self.horizon or any(f.first <= i.last and i.first <= f.last for i in past) for f in self.logs):
            await self.seal()
        divergent = segment.divergent(self.sealed)
        kept = [i for i in segment.history(self.sealed) if i not in divergent]
        for info in divergent:
            moved = await self.journal.disk(self.place.renumber, info, last, kept)
            if moved is None:
                self.copies.add(info.name)
                continue
            self.sealed = [i for i in self.sealed if i.name != info.name] + [moved]
            self.place.report.notes.append(
                f"positions {info.first} to {info.last} of another writer are now up to {moved.last}"
            )
            last = moved.last
        self.log = self._begin(last)
        branches = self._branches()
        if branches:
            await self.journal.disk(self._find_doubles, branches)

    def _branches(self) -> list[list[Info]]:
        """Segments that stand for the same one: two writers rewrote it, and its records are in each of them."""
        past = self.history()
        return [[past[n] for n in numbers] for numbers in covers.meeting([info.covers for info in past])]

    def _find_doubles(self, branches: list[list[Info]]) -> None:
        """Blocking."""
        to: dict[tuple[int, float], int] = {}
        for infos in branches:
            found = history.doubles(self.place.read_segment(info) for info in infos)
            self.doubles |= {record.position: position for record, position in found.items()}
            to |= {(record.position, record.at): position for record, position in found.items()}
        self.place.move_names(to)

    async def find_names(self) -> None:
        """Names of versions that were lost with a manifest, or whose records another writer moved."""
        place = self.place
        if lost := place.lost_names(self.sealed):
            await self.journal.disk(place.save_manifest, place.manifest.knowing(lost))
        if place.has_news and place.manifest.names:
            kept = {(info.last, info.at) for info in self.sealed if info.is_kept}
            names = [named for named in place.manifest.names if (named.position, named.at) not in kept]
            to = await self.fold(lambda marks: history.strayed(names, marks))
            await self.journal.disk(place.move_names, to)

    async def keep_wanted(self) -> None:
        """Named states, and that of the base, which another writer let go behind its horizon: as long as we have them."""
        there = {(info.last, info.at) for info in self.sealed if info.is_kept}
        async with self.lock:
            for mark, label in sorted(self.place.manifest.wanted.items()):
                if mark.position < self.horizon and mark[:2] not in there:
                    await self._keep(mark, label)

    async def _keep(self, mark: Mark, label: str) -> None:
        """Hold `lock`."""
        found = segment.behind(self.sealed, mark.position)
        items = await self.journal.disk(self.items, found, []) if found else []
        items = [item for item in items if item.record is None or item.record.position <= mark.position]
        if not items or (last := items[-1].record) is None or (last.position, last.at) != mark[:2]:
            return
        try:
            state = await verified(items)
        except StoreError as error:
            self.place.report.notes.append(f"the version at position {mark.position} could not be kept: {error}")
            return
        name = self.place.new_name(mark.position) + segment.PIN
        pin = Info(name, self.place.manifest.lineage, mark.position, mark.position, 1, at=mark.at, label=label)
        await self.put(pin, state)

    def clear(self) -> None:
        """The lineage ended."""
        self.logs, self.sealed, self.doubles, self.log = [], [], {}, self._begin(0)

    def files(self) -> list[LogFile]:
        """Log files with their durable part, the one being written last."""
        current = self.log.file
        return [*self.logs, *([current] if current is not None and current.count else [])]

    def past(self) -> list[File]:
        """What holds the records that are still there, by position."""
        return sorted([*self.history(), *self.files()], key=lambda file: file.first)

    def history(self) -> list[Info]:
        """The segments of `past`."""
        return [info for info in segment.history(self.sealed) if info.name not in self.copies]

    @property
    def horizon(self) -> int:
        return segment.horizon(self.sealed)

    async def now(self) -> list[Item]:
        """The content: snapshots, then what came after them in order of position."""
        async with self.lock:
            files = segment.live(self.sealed), self.files()
            ahead, self._ahead = self._ahead, None
            return ahead[1] if ahead and ahead[0] == files else await self.journal.disk(self.items, *files)

    async def at(self, position: int) -> list[Item]:
        """The content as of `position`. Raises `PositionGone`."""
        async with self.lock:
            if not 0 <= position <= self.log.position:
                raise PositionGone(f"there is no position {position}", hint=f"the log ends at {self.log.position}")
            found = segment.state_at(self.sealed, position)
            if found is None:
                raise PositionGone(f"position {position} is not kept", hint=f"the history begins at {self.horizon}")
            items = await self.journal.disk(self.items, found, self.files() if position >= self.horizon else [])
        return [item for item in items if item.record is None or item.record.position <= position]

    def items(self, infos: list[Info], files: list[LogFile]) -> list[Item]:
        """Blocking. Hold `lock`."""
        items: list[Item] = []
        everything: list[File] = [*infos, *files]
        for file in everything:
            if isinstance(file, Info) and not file.is_segment:
                items.append(Item(self.place.read_snapshot(file)))
            else:
                items += [Item(record.update, record) for record in self._read(file)]
        return items

    async def next_records(self, after: int) -> tuple[list[Record], int]:
        """Those of the next file that has some past `after`, and how far it goes; empty at the end."""
        async with self.lock:
            found = [file for file in self.past() if file.last > after]
            if not found:
                return [], after
            file = min(found, key=lambda f: f.first)
            batch = await self.journal.disk(self._read, file)
        return [r for r in batch if r.position > after and r.position not in self.doubles], file.last

    def _read(self, file: File) -> list[Record]:
        return list(self.place.read_log(file) if isinstance(file, LogFile) else self.place.read_segment(file))

    async def fold(self, work: Callable[[Iterator[Mark]], T]) -> T:
        """`work` over the marks of all records that are still there, in a thread, one file in memory at a time."""
        async with self.lock:
            return await self.journal.disk(lambda: work(self._marks(self.past(), self.horizon)))

    def _marks(self, files: Iterable[File], after: int, wanted: Collection[int] | None = None) -> Iterator[Mark]:
        """Past `after`, without doubles, or those at `wanted` positions. Blocking."""
        for file in files:
            for mark in self.place.outline(file):
                if mark.position > after:
                    after = mark.position
                    if after not in self.doubles if wanted is None else after in wanted:
                        yield mark

    async def versions(self, names: Iterable[Named], gap_s: float, span_s: float) -> list[Version]:
        """Those of which the state can be loaded."""
        names = list(names)
        known = {(named.position, named.at): named.name for named in names}
        kept = sorted({(info.last, info.at) for info in self.sealed if info.is_kept and info.last <= self.horizon})
        old = [Version(position, at, (), 0, known.get((position, at), "")) for position, at in kept]
        named = [version for version in old if version.name or version.position == self.horizon]
        return named + await self.fold(lambda marks: history.versions(marks, names, gap_s, span_s))

    async def mark_of(self, position: int) -> Mark:
        """The last record up to `position`, or what is kept of it. Raises `PositionGone`."""
        for info in self.sealed:
            if info.is_kept and info.last == position:
                return Mark(position, info.at, "")
        async with self.lock:
            found = await self.journal.disk(self._last_mark, position)
        if found is None or position > self.log.position:
            raise PositionGone(f"there is no version at position {position}", hint=f"the history begins at {self.horizon}")
        return found

    def _last_mark(self, position: int) -> Mark | None:
        """Reads no more files than it must: it is asked at every save."""
        for file in reversed([file for file in self.past() if file.first <= position]):
            if found := history.last_up_to(self._marks([file], self.horizon), position):
                return found
        return None

    async def marks_at(self, positions: Iterable[int]) -> dict[int, float]:
        """Times of the records at these positions, of those that are there or whose state is kept."""
        wanted = frozenset(positions)
        kept = {info.last: info.at for info in self.sealed if info.is_kept}
        async with self.lock:
            marks = await self.journal.disk(lambda: list(self._marks(self.past(), self.horizon, wanted)))
        return kept | {mark.position: mark.at for mark in marks}

    async def position_at(self, at: float) -> int:
        """The last position of which no record up to it is later than `at`; 0 if there is none, or none is left."""
        begin = max((i for i in self.sealed if i.kind == segment.HORIZON), key=lambda i: i.last, default=None)
        if begin is not None and (begin.newest or 0.0) > at:
            return 0
        return await self.fold(lambda marks: history.position_at(marks, at, begin.last if begin else 0))

    def is_kept(self, position: int) -> bool:
        """`load` can give it."""
        return segment.state_at(self.sealed, position) is not None

    async def seal(self) -> None:
        """Log files become segments. Hold `lock`."""
        await self.log.retire()
        while self.logs:
            await finished(self._seal_first())

    async def _seal_first(self) -> None:
        self.sealed.append(await self.journal.disk(self.place.seal, self.logs[0]))
        del self.logs[0]

    async def put(self, info: Info, content: bytes) -> None:
        """A new object. Hold `lock`."""
        packed = await self.journal.disk(segment.pack, info, content)
        await self.journal.disk(self.place.put, info, packed)
        self.sealed.append(replace(info, size=len(packed), raw=len(content)))

    async def drop(self, names: Iterable[str]) -> None:
        """Hold `lock`."""
        names = frozenset(names)
        for old in [info for info in self.sealed if info.name in names]:
            self.sealed.remove(old)
            await self.journal.disk(self.place.files.unlink, self.place.path(old))
