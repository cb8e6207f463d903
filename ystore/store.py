"""The durable log of one document's Y updates: acknowledged means on disk, and what is on disk is shipped to a blob store.

The store never decodes an update in this process: what must (`Store.load`, `Store.compact`) happens in a child that may die.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ystore import history, segment, snapshot
from ystore import record as records
from ystore.blobs import BlobStore
from ystore.compaction import Compaction
from ystore.contents import Contents
from ystore.directory import Directory, Report
from ystore.errors import PositionGone, StoreClosed, StoreError, StoreUnavailable
from ystore.history import Base, Retention, Version
from ystore.journal import Journal
from ystore.manifest import Manifest
from ystore.record import Record
from ystore.shipping import Shipper

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tuning:
    """When a store does what nobody waits for. Seconds and bytes."""

    ship_after_s: float = 1.75
    """After the first update that is not shipped, less what shipping took the last time; 2 s are promised."""
    seal_bytes: int = 4 * 2**20
    """A log file larger than this is sealed, also when nothing is being shipped."""
    compact_at: int = 64
    """Segments behind the snapshot before it is renewed: bounds what opening replays."""
    retry_s: float = 0.5
    retry_max_s: float = 5.0
    """At most this long after the blob store is back it is tried again: what waited is promised to be there after 10 s."""
    flush_s: float = 10.0


DEFAULT = Tuning()
KEEP = Retention()


@dataclass(frozen=True, slots=True)
class Status:
    """``shipped``: the last position the blob store has with all before it; ``problem`` says why it lags, else it is empty.

    ``poisoned``: position of the record that the last compaction could not replay, 0 if there is none.
    """

    position: int
    shipped: int
    problem: str = ""
    poisoned: int = 0


class Store:
    """Open one with `Store.open`; it belongs to the event loop that opened it. Also an async context manager."""

    def __init__(
        self,
        contents: Contents,
        *,
        owns_journal: bool,
        shipper: Shipper | None,
        tuning: Tuning,
        retention: Retention,
    ) -> None:
        self._contents = contents
        self._place = contents.place
        self._journal = contents.journal
        self._owns_journal = owns_journal
        self._shipper = shipper
        self._tuning = tuning
        self._compaction = Compaction(contents, retention, tuning.compact_at)
        self._shipping = asyncio.Lock()
        self._wake = asyncio.Event()
        self._woken = self._took = 0.0
        """When the first update came that is not shipped, by the loop's clock; seconds that shipping took the last time."""
        self._keeping: asyncio.Task[None] | None = None
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
        retention: Retention = KEEP,
    ) -> Store:
        """Snapshot and tail, from `directory`, completed from `blobs`; `report` says what was put right.

        One directory and one `blobs` per document; one `journal` may serve many stores; `retention` says what of the history
        compaction may drop. Raises `StoreLocked` if another store
        has the directory, `StoreUnavailable` if the disk refuses, or if the directory is empty and `blobs` cannot be asked.
        """
        owned = journal is None
        journal = journal or Journal(threads=1)
        try:
            contents = await _held(journal, Path(directory), alone=blobs is None)
            place = contents.place
            try:
                shipper = Shipper(blobs, place, journal) if blobs is not None else None
                store = cls(contents, owns_journal=owned, shipper=shipper, tuning=tuning, retention=retention)
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
        if self._shipper is not None:
            await self._shipper.fetch()
            await self._journal.disk(self._contents.find)
        last = self._contents.last
        if place.recovered:
            await self._journal.disk(place.end_recovery, last + segment.LOST_TAIL if last else 0)
        if not last and (place.recovered or place.manifest.floor):
            place.report.notes.append("nothing is left of the history: a new lineage begins")
            await self._journal.disk(place.reset)
            if self._shipper is not None:
                self._shipper.forget()
        await self._contents.settle(max(last, place.manifest.floor))
        await self._contents.find_names()
        await self._contents.keep_wanted()
        for note in place.report.notes:
            log.warning("%s: %s", place.root.name, note)
        self._keeping = asyncio.create_task(self._keep())
        self._stir()

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
        return self._contents.log.position

    @property
    def horizon(self) -> int:
        """The lowest position that `load` can still give, 0 if all; versions with a name and the base may be older."""
        return self._contents.horizon

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
        return Status(self.position, self._shipped_to(), self._problem, self._compaction.poisoned)

    def _shipped_to(self) -> int:
        if self._shipper is None:
            return 0
        there = self._shipper.shipped
        waiting = [file.first for file in self._contents.files()] + self._compaction.waiting(there)
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
        current = self._contents.log
        framed = records.frame(current.next, author, _now() if at is None else at, update)
        position = await current.submit(framed)
        self._stir()
        return position

    def _stir(self) -> None:
        """There is something to ship or to put in order."""
        if not self._wake.is_set():
            self._woken = asyncio.get_running_loop().time()
            self._wake.set()

    async def updates(self) -> AsyncIterator[bytes]:
        """The content as it is at the first step: snapshots, then what came after them in order of position."""
        self._check()
        for item in await self._contents.now():
            yield item.update

    async def records(self, after: int = 0) -> AsyncIterator[Record]:
        """Every update of this lineage past position `after` that retention left, with its author and time, in order."""
        while True:
            self._check()
            batch, reached = await self._contents.next_records(after)
            if reached == after:
                return
            for record in batch:
                yield record
            after = reached

    async def load(self, position: int | None = None) -> bytes:
        """One Y update with the content as of `position` (default: now), pending updates included; decoded in a child process.

        Raises `PositionGone` for what never was and what retention dropped, `PoisonedRecord`, `StoreUnavailable`.
        """
        self._check()
        items = await (self._contents.now() if position is None else self._contents.at(position))
        return items[0].update if len(items) == 1 else await snapshot.squash(items)

    async def versions(self, gap_s: float = 600.0, span_s: float = 3600.0) -> list[Version]:
        """What can be loaded and is worth a line in a list, by position: named versions, and automatic ones.

        An automatic one ends where nobody edited for `gap_s` seconds, after `span_s` seconds without such a pause, and where
        the day (UTC) changes; the horizon is one, too.
        """
        self._check()
        return await self._contents.versions(self._place.manifest.names, gap_s, span_s)

    async def name_version(self, name: str, position: int | None = None) -> Version:
        """Names the state at `position` (default: now), durably; it is then kept whatever retention says. "" takes a name away.

        Raises `PositionGone`, ValueError for a name that another position has or that is no line of text.
        """
        self._check()
        name = history.checked_name(name)
        mark = await self._contents.mark_of(self.position if position is None else position)

        def named(manifest: Manifest) -> Manifest:
            self._check_kept(mark.position)
            if name and any(n.name == name and n.position != mark.position for n in manifest.names):
                raise ValueError(f"another version has the name {name!r}")
            return manifest.named(mark.position, mark.at, name)

        await self._note(named)
        found = await self.versions()
        unnamed = Version(mark.position, mark.at, (), 0)
        return next((v for v in found if (v.position, v.at) == (mark.position, mark.at)), unnamed)

    async def position_at(self, at: float) -> int:
        """The last position of which no record up to it is later than `at` (Unix seconds); 0 if there is none."""
        self._check()
        return await self._contents.position_at(at)

    @property
    def saved(self) -> Base | None:
        """What `set_base` noted last."""
        return self._place.manifest.base

    async def base(self) -> bytes | None:
        """The Y state that was last saved elsewhere, as one update, for a merge. None if there is none, or it was lost.

        Raises as `load`.
        """
        self._check()
        base = self._place.manifest.base
        if base is None:
            return None
        try:
            mark = await self._contents.mark_of(base.position)
            return await self.load(base.position) if (mark.position, mark.at) == (base.position, base.at) else None
        except PositionGone:
            return None

    async def set_base(self, position: int, etag: str, meta: Mapping[str, str] | None = None) -> None:
        """Notes, durably, that the state at `position` was saved as `etag`; it stays loadable. Raises `PositionGone`.

        What is in `meta` is noted with it, as `set_meta` does: all or none.
        """
        self._check()
        mark = await self._contents.mark_of(position)

        def based(manifest: Manifest) -> Manifest:
            self._check_kept(mark.position)
            noted = manifest.noted({**manifest.meta, **meta}) if meta else manifest
            return noted.based(Base(mark.position, mark.at, etag))

        await self._note(based)

    def _check_kept(self, position: int) -> None:
        """Compaction may have dropped it since it was looked at."""
        if not self._contents.is_kept(position):
            raise PositionGone(f"position {position} is not kept", hint=f"the history begins at {self.horizon}")

    async def set_meta(self, values: Mapping[str, str]) -> None:
        """Notes `values` beside what is noted, durably and all or none."""
        await self._note(lambda manifest: manifest.noted({**manifest.meta, **values}))

    async def _note(self, change: Callable[[Manifest], Manifest]) -> None:
        async with self._contents.lock:
            self._check()
            await self._journal.disk(self._place.save_manifest, change(self._place.manifest))
        self._stir()

    async def reset(self) -> None:
        """Begins a new lineage at position 0 without notes. The old one is kept in the directory ``old`` and the blob store."""
        async with self._compaction.lock, self._shipping, self._contents.lock:
            self._check()
            self._resetting, old = True, self.lineage
            try:
                await self._contents.log.drain()
                await self._contents.log.retire(for_good=True)
                await self._journal.disk(self._place.reset)
            finally:
                self._resetting = False
                if self.lineage != old:
                    self._contents.clear()
                    if self._shipper is not None:
                        self._shipper.forget()
        self._stir()

    async def quarantine(self, update: bytes, author: str, reason: str) -> None:
        """Keeps an update that was refused, for whoever looks into it; bounded, the oldest make room."""
        self._check()
        await self._journal.disk(self._place.quarantine, update, author, reason)

    async def compact(self) -> None:
        """Renews the snapshot, rewrites small segments into larger ones, and drops what `Retention` lets go.

        Nothing goes before its substitute was verified. Raises `StoreCorrupt`, `StoreUnavailable`; the log is then as before.
        Raises `PoisonedRecord` when an update cannot be replayed: what came before it is compacted, the rest stays as records.
        """
        self._check()
        try:
            await self._compaction.run()
        finally:
            if self._shipper is not None:
                self._shipper.all_is_due = True
            self._stir()

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
            clock = asyncio.get_running_loop().time
            begin = clock()
            # While this fails nothing is sealed: one log file grows, not many segments.
            await self._shipper.ship(list(self._contents.sealed))
            async with self._contents.lock:
                self._check()
                await self._contents.seal()
            await self._shipper.ship(list(self._contents.sealed))
            self._problem, self._took = "", clock() - begin

    async def _keep(self) -> None:
        """Ships, seals and compacts for as long as the store is open. A blob store that is away only lets the log file grow."""
        delay = 0.0
        while not self._closed:  # what is raised on the way out may take the place of the cancellation
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
        self._contents.forget_ahead()
        if sum(f.size for f in self._contents.files()) > self._tuning.seal_bytes:
            async with self._contents.lock:
                await self._contents.seal()
        try:
            await self._ship()
        finally:
            if self._compaction.is_due:
                self._check()
                await self._compaction.run()
                self._stir()

    async def close(self) -> None:
        """Lets go of the directory. What is acknowledged is on disk; what is not shipped will be after the next `open`."""
        if self._closed:
            return
        self._closed = True
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
        async with self._contents.lock:
            await self._contents.log.drain()
            await self._contents.log.retire(for_good=True)
        self._place.release()
        if self._owns_journal:
            self._journal.close()

    def _check(self) -> None:
        if self._closed:
            raise StoreClosed("the store is closed")


def _now() -> float:
    """Milliseconds are more than people ask for, and what is below them does not compress."""
    return round(time.time() * 1000) / 1000


async def _held(journal: Journal, root: Path, *, alone: bool) -> Contents:
    """The directory with its lock, and what is in it if it is `alone`: nothing is to be fetched that belongs there.

    One walk to a thread, for walking takes longer than what is done there. A caller that is cancelled meanwhile leaves no lock.
    """

    def hold() -> Contents:
        contents = Contents(Directory(root, journal.files), journal)
        try:
            if alone:
                contents.find()
        except BaseException:
            contents.place.release()
            raise
        return contents

    opening = asyncio.ensure_future(journal.disk(hold))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(lambda done: done.result().place.release() if done.exception() is None else None)
        raise
