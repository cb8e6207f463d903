"""The durable log of one document's Y updates: acknowledged means on disk, and what is on disk is shipped to a blob store.

The store never decodes an update in this process: what must (`Store.load`, `Store.compact`) happens in a child that may die.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ystore import record as records
from ystore import segment, snapshot
from ystore.blobs import BlobStore
from ystore.directory import Directory, Report, pack_segment
from ystore.errors import PositionGone, StoreClosed, StoreError, StoreUnavailable
from ystore.failpoints import hit
from ystore.journal import Journal, Log, LogFile, finished
from ystore.record import Record
from ystore.segment import Info
from ystore.shipping import Shipper
from ystore.snapshot import Item

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tuning:
    """When a store does what nobody waits for. Seconds and bytes."""

    ship_after_s: float = 1.0
    """After the first update that is not shipped; two of these must pass before the promised 2 s are over."""
    seal_bytes: int = 4 * 2**20
    """A log file larger than this is sealed, also when nothing is being shipped."""
    compact_at: int = 64
    """Segments behind the snapshot before it is renewed: bounds what opening replays."""
    merge_bytes: int = 64 * 2**20
    """Segments are rewritten into one up to this size, for that is done in memory."""
    retry_s: float = 0.5
    retry_max_s: float = 30.0
    flush_s: float = 10.0


DEFAULT = Tuning()


@dataclass(frozen=True, slots=True)
class Status:
    """``shipped``: the last position the blob store has with all before it; ``problem`` says why it lags, else it is empty."""

    position: int
    shipped: int
    problem: str = ""


class Store:
    """Open one with `Store.open`; it belongs to the event loop that opened it. Also an async context manager."""

    def __init__(
        self, place: Directory, journal: Journal, *, owns_journal: bool, shipper: Shipper | None, tuning: Tuning
    ) -> None:
        self._place = place
        self._journal = journal
        self._owns_journal = owns_journal
        self._shipper = shipper
        self._tuning = tuning
        self._logs: list[LogFile] = []
        self._sealed: list[Info] = []
        self._log = self._begin(0)
        self._objects = asyncio.Lock()
        """Held while objects are sealed, dropped or read, so that none goes away under a reader."""
        self._compacting = asyncio.Lock()
        self._shipping = asyncio.Lock()
        self._wake = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self._compact_at = tuning.compact_at
        self._problem = ""
        self._closed = False
        self._resetting = False

    @classmethod
    async def open(
        cls,
        directory: Path | str,
        blobs: BlobStore | None = None,
        journal: Journal | None = None,
        *,
        tuning: Tuning = DEFAULT,
    ) -> Store:
        """Snapshot and tail, from `directory`, completed from `blobs`; `report` says what was put right.

        One directory and one `blobs` per document; one `journal` may serve many stores. Raises `StoreLocked` if another store
        has the directory, `StoreUnavailable` if the disk refuses, or if the directory is empty and `blobs` cannot be asked.
        """
        owned = journal is None
        journal = journal or Journal(threads=1)
        try:
            place = await _held(journal, Path(directory))
            try:
                shipper = Shipper(blobs, place, journal) if blobs is not None else None
                store = cls(place, journal, owns_journal=owned, shipper=shipper, tuning=tuning)
                await store._start()
            except BaseException:
                place.release()
                raise
        except BaseException:
            if owned:
                journal.close()
            raise
        return store

    async def _start(self) -> None:
        place = self._place
        await self._journal.disk(place.load_manifest)
        if self._shipper is not None:
            await self._shipper.fetch()
        if place.is_new:
            await self._journal.disk(place.begin_new)
        await self._journal.disk(place.tidy)
        self._logs, self._sealed = await self._journal.disk(place.scan)
        last = max([*(f.last for f in self._logs), *(i.last for i in self._sealed), 0])
        if place.recovered:
            await self._journal.disk(place.end_recovery, last + segment.LOST_TAIL if last else 0)
        if not last and (place.recovered or place.manifest.floor):
            place.report.notes.append("nothing is left of the history: a new lineage begins")
            await self._journal.disk(place.reset)
            if self._shipper is not None:
                self._shipper.forget()
        last = await self._settle(max(last, place.manifest.floor))
        self._log = self._begin(last)
        for note in place.report.notes:
            log.warning("%s: %s", place.root.name, note)
        self._keeping = asyncio.create_task(self._keep())
        self._wake.set()

    async def _settle(self, last: int) -> int:
        """After a split brain two writers gave out the same positions: the shorter branch gets new ones."""
        divergent = segment.divergent(self._sealed)
        kept = [i for i in segment.history(self._sealed) if i not in divergent]
        for info in divergent:
            moved = await self._journal.disk(self._place.renumber, info, last, kept)
            if moved is None:
                continue
            self._sealed = [i for i in self._sealed if i.name != info.name] + [moved]
            self._place.report.notes.append(
                f"positions {info.first} to {info.last} of another writer are now up to {moved.last}"
            )
            last = moved.last
        return last

    def _begin(self, position: int) -> Log:
        return Log(self._journal, position, self._new_log, lambda file: self._logs.append(file))

    def _new_log(self, first: int) -> Path:
        self._place.files.make_dir(self._place.data)
        return self._place.data / f"{self._place.new_name(first)}{segment.LOG}"

    async def __aenter__(self) -> Store:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def lineage(self) -> str:
        return self._place.manifest.lineage

    @property
    def position(self) -> int:
        """The last durable position. Positions grow, but may leave gaps where the disk lost or refused something."""
        return self._log.position

    @property
    def meta(self) -> Mapping[str, str]:
        """What the owner noted; gone after `reset`."""
        return MappingProxyType(dict(self._place.manifest.meta))

    @property
    def report(self) -> Report:
        """What opening found damaged, cut or fetched."""
        return self._place.report

    @property
    def status(self) -> Status:
        return Status(self.position, self._shipped_to(), self._problem)

    def _shipped_to(self) -> int:
        if self._shipper is None:
            return 0
        there = self._shipper.shipped
        waiting = [f.first for f in self._files()] + [i.first for i in segment.history(self._sealed) if i.name not in there]
        return min(waiting) - 1 if waiting else self.position

    async def append(self, update: bytes, author: str = "", at: float | None = None) -> int:
        """The update's position, once it is on disk. Positions follow the order of the calls.

        Raises `StoreUnavailable` when the disk refuses (nothing was acknowledged, and it may be tried again), `StoreOverloaded`
        when too much waits for it, ValueError for what a record cannot hold. A cancelled append may be durable.
        """
        self._check()
        if self._resetting:
            raise StoreUnavailable(
                "the history is being replaced", hint="an update belongs to one lineage: ask for the new one"
            )
        encoded = records.encode(Record(self._log.next, author, time.time() if at is None else at, update))
        done = self._log.submit(encoded)
        position = await done
        self._wake.set()
        return position

    async def updates(self) -> AsyncIterator[bytes]:
        """The content as it is at the first step: snapshots, then what came after them in order of position."""
        for item in await self._content():
            yield item.update

    async def records(self, after: int = 0) -> AsyncIterator[Record]:
        """Every update ever appended to this lineage, past position `after`, with its author and time, in order."""
        while True:
            async with self._objects:
                self._check()
                everything: list[Info | LogFile] = [*segment.history(self._sealed), *self._files()]
                found = [file for file in everything if file.last > after]
                if not found:
                    return
                file = min(found, key=lambda f: f.first)
                batch = await self._journal.disk(self._read, file)
            for record in batch:
                if record.position > after:
                    yield record
            after = file.last

    async def load(self, position: int | None = None) -> bytes:
        """One Y update with the content as of `position` (default: now), pending updates included; decoded in a child process.

        Raises `PositionGone`, `PoisonedRecord`, `StoreUnavailable`.
        """
        if position is None:
            items = await self._content()
        else:
            if not 0 <= position <= self.position:
                raise PositionGone(f"there is no position {position}", hint=f"the log ends at {self.position}")
            items = await self._content_at(position)
        return items[0].update if len(items) == 1 else await snapshot.squash(items)

    async def _content(self) -> list[Item]:
        async with self._objects:
            self._check()
            return await self._journal.disk(self._items, segment.live(self._sealed), self._files())

    async def _content_at(self, position: int) -> list[Item]:
        async with self._objects:
            self._check()
            base = snapshot.base_for(self._sealed, position)
            start = base.last if base else 0
            segments = [i for i in segment.history(self._sealed) if start < i.last and i.first <= position]
            items = await self._journal.disk(self._items, [*([base] if base else []), *segments], self._files())
        return [item for item in items if item.record is None or start < item.record.position <= position]

    def _items(self, infos: list[Info], files: list[LogFile]) -> list[Item]:
        items: list[Item] = []
        everything: list[Info | LogFile] = [*infos, *files]
        for file in everything:
            if isinstance(file, Info) and file.is_snapshot:
                items.append(Item(self._place.read_snapshot(file)))
            else:
                items += [Item(record.update, record) for record in self._read(file)]
        return items

    def _read(self, file: Info | LogFile) -> list[Record]:
        return list(self._place.read_log(file) if isinstance(file, LogFile) else self._place.read_segment(file))

    def _files(self) -> list[LogFile]:
        """Log files with their durable part, the one being written last."""
        current = self._log.file
        return [*self._logs, *([current] if current is not None and current.count else [])]

    async def set_meta(self, values: Mapping[str, str]) -> None:
        """Notes `values` beside what is noted, durably and all or none."""
        async with self._objects:
            self._check()
            noted = self._place.manifest.noted({**self._place.manifest.meta, **values})
            await self._journal.disk(self._place.save_manifest, noted)
        self._wake.set()

    async def reset(self) -> None:
        """Begins a new lineage at position 0 without notes. The old one is kept in the directory ``old`` and the blob store."""
        async with self._compacting, self._shipping, self._objects:
            self._check()
            self._resetting, old = True, self.lineage
            try:
                await self._log.drain()
                await self._log.retire()
                await self._journal.disk(self._place.reset)
            finally:
                self._resetting = False
                if self.lineage != old:
                    self._logs, self._sealed, self._log = [], [], self._begin(0)
                    if self._shipper is not None:
                        self._shipper.forget()
        self._wake.set()

    async def quarantine(self, update: bytes, author: str, reason: str) -> None:
        """Keeps an update that was refused, for whoever looks into it; bounded, the oldest make room."""
        self._check()
        await self._journal.disk(self._place.quarantine, update, author, reason)

    async def compact(self) -> None:
        """Renews the snapshot and rewrites the segments behind it into one. Nothing goes before its substitute was verified.

        Raises `PoisonedRecord` if an update cannot be replayed, `StoreCorrupt`, `StoreUnavailable`; the log is then as before.
        """
        async with self._compacting:
            async with self._objects:
                self._check()
                await self._seal()
                lineage, before = self.lineage, list(self._sealed)
                live = segment.live(before)
                if not live or (len(live) == 1 and live[0].is_snapshot):
                    return
                items = await self._journal.disk(self._items, live, [])
            content = await snapshot.verified(items)
            async with self._objects:
                if self.lineage == lineage:
                    await self._replace(before, live, items, content)
        self._wake.set()

    async def _replace(self, before: list[Info], live: list[Info], items: list[Item], content: bytes) -> None:
        """The snapshot first: it names the merged segment, so that at no moment both are part of the document."""
        by_position = {item.record.position: item.record for item in items if item.record is not None}
        found = [by_position[position] for position in sorted(by_position)]
        tail = [info for info in live if not info.is_snapshot]
        merge = len(tail) > 1 and sum(len(r.update) for r in found) <= self._tuning.merge_bytes
        place, first, last = self._place, min(i.first for i in live), max(i.last for i in live)
        merged = place.new_name(tail[0].first if tail else first) + segment.SEGMENT
        there = self._shipper.shipped if self._shipper is not None else frozenset()
        covers = snapshot.covered_by_snapshot(before, merged, there)
        info = Info(place.new_name(first) + segment.SNAPSHOT, self.lineage, first, last, len(items), covers)
        await self._put(info, content)
        await self._journal.disk(hit, "compact.snapshot.after")
        if merge:
            names = frozenset(name for i in tail for name in (i.name, *i.covers))
            rewritten, packed = await self._journal.disk(pack_segment, merged, self.lineage, found, names)
            await self._journal.disk(place.put, rewritten, packed)
            self._sealed.append(rewritten)
        needless = segment.replaced(self._sealed)
        await self._journal.disk(hit, "compact.drop.before")
        for old in [i for i in self._sealed if i.name in needless]:
            self._sealed.remove(old)
            await self._journal.disk(place.files.unlink, place.path(old))
        await self._journal.disk(hit, "compact.drop.after")

    async def _put(self, info: Info, content: bytes) -> None:
        packed = await self._journal.disk(segment.pack, info, content)
        await self._journal.disk(self._place.put, info, packed)
        self._sealed.append(info)

    async def _seal(self) -> None:
        """Log files become segments. Hold `_objects`."""
        await self._log.retire()
        while self._logs:
            await finished(self._seal_first())

    async def _seal_first(self) -> None:
        self._sealed.append(await self._journal.disk(self._place.seal, self._logs[0]))
        del self._logs[0]

    async def flush(self) -> None:
        """Ships what the blob store takes within ``flush_s``. What it refuses is not raised here: `status` says it."""
        self._check()
        try:
            async with asyncio.timeout(self._tuning.flush_s):
                await self._ship()
        except (StoreUnavailable, TimeoutError) as error:
            self._problem = str(error) or "the blob store is slow"

    async def _ship(self) -> None:
        async with self._shipping:
            if self._shipper is None:
                return
            await self._shipper.ship(
                list(self._sealed)
            )  # while this fails nothing is sealed: one log file grows, not many segments
            async with self._objects:
                self._check()
                await self._seal()
            await self._shipper.ship(list(self._sealed))
            self._problem = ""

    async def _keep(self) -> None:
        """Ships, seals and compacts for as long as the store is open. A blob store that is away only lets the log file grow."""
        delay = 0.0
        while True:
            await self._wake.wait()
            await asyncio.sleep(delay or self._tuning.ship_after_s)
            self._wake.clear()
            try:
                await self._tend()
                delay = 0.0
            except StoreError as error:
                log.log(logging.INFO if self._problem else logging.WARNING, "%s: %s", self._place.root.name, error)
                self._problem = str(error)
                delay = self._later(delay)
            except Exception as error:
                log.exception("%s: looking after the store failed", self._place.root.name)
                self._problem = str(error)
                delay = self._later(delay)

    def _later(self, delay: float) -> float:
        self._wake.set()
        return min(max(2 * delay, self._tuning.retry_s), self._tuning.retry_max_s)

    async def _tend(self) -> None:
        if sum(f.size for f in self._files()) > self._tuning.seal_bytes:
            async with self._objects:
                await self._seal()
        try:
            await self._ship()
        finally:
            await self._compact_sometimes()

    async def _compact_sometimes(self) -> None:
        behind = sum(1 for i in segment.live(self._sealed) if not i.is_snapshot) + len(self._logs)
        if behind >= self._compact_at:
            self._compact_at = 2 * behind
            await self.compact()
            self._compact_at = self._tuning.compact_at

    async def close(self) -> None:
        """Lets go of the directory. What is acknowledged is on disk; what is not shipped will be after the next `open`."""
        if self._closed:
            return
        self._closed = True
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
        async with self._objects:
            await self._log.drain()
            await self._log.retire()
        self._place.release()
        if self._owns_journal:
            self._journal.close()

    def _check(self) -> None:
        if self._closed:
            raise StoreClosed("the store is closed")


async def _held(journal: Journal, root: Path) -> Directory:
    """The directory with its lock; a caller that is cancelled meanwhile leaves no lock behind."""
    opening = asyncio.ensure_future(journal.disk(Directory, root, journal.files))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(lambda done: done.result().release() if done.exception() is None else None)
        raise
