"""The way to the blob store and back: sealed objects and notes are put there, and fetched when the directory lacks them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from functools import partial

from ystore import history, segment
from ystore import manifest as manifests
from ystore.asking import ask
from ystore.blobs import BlobStore
from ystore.covers import Covers, union
from ystore.directory import Directory
from ystore.errors import BlobConflict, BlobNotFound, StoreCorrupt, StoreUnavailable
from ystore.failpoints import hit
from ystore.journal import Journal
from ystore.manifest import Manifest
from ystore.segment import Info

OPEN_TIMEOUT_S = 45.0
"""For one answer while somebody waits for the document; storage that takes half a minute is slow, not away."""
LIST_TIMEOUT_S = 5.0
"""When the local directory has the document, opening does not wait longer than this to hear of other writers."""
_AT_ONCE = 8
_SPARED = 4


class Shipper:
    """What of one store is in the blob store, and how the rest gets there. Never used by two tasks at once."""

    def __init__(self, blobs: BlobStore, place: Directory, journal: Journal) -> None:
        self._blobs = blobs
        self._place = place
        self._journal = journal
        self._shipped: set[str] | None = None
        self._notes: set[str] = set()
        self._revision = -1
        self._stands = Covers()
        """What the last snapshot stands for that was put there."""
        self.all_is_due = False
        """Ship what is not worth it, too: somebody asked for it."""

    @property
    def shipped(self) -> frozenset[str]:
        """Names of this lineage's objects known to be in the blob store."""
        return frozenset(self._shipped or ())

    @property
    def is_current(self) -> bool:
        """The notes in the blob store are those of the manifest."""
        return self._revision == self._place.manifest.revision

    def forget(self) -> None:
        """After a reset: nothing of the new lineage was shipped."""
        self._shipped, self._revision, self._notes, self._stands = set(), -1, set(), Covers()

    async def fetch(self) -> None:
        """Adopts the newest lineage and brings the objects the directory lacks or has damaged.

        Raises `StoreUnavailable` if the blob store cannot be asked and the directory holds nothing: there may be a document
        in it, and beginning another would split its history.
        """
        place = self._place
        try:
            names = await ask(partial(self._blobs.list, ""), OPEN_TIMEOUT_S if place.is_new else LIST_TIMEOUT_S)
        except StoreUnavailable as error:
            if place.is_new:
                raise
            place.report.notes.append(f"other writers could not be looked for: {error.message}")
            return
        newest = max((found for name in names if (found := manifests.parse_prefix(name))), default=None)
        if newest is None:
            self._shipped = set()
        elif place.is_new or newest[0] > place.manifest.generation:
            await self._recover(names, Manifest(lineage=newest[1], generation=newest[0]))
        else:
            await self._catch_up(names)

    async def _recover(self, names: list[str], newest: Manifest) -> None:
        place = self._place
        if not place.is_new and place.manifest.lineage != newest.lineage:
            place.report.notes.append(
                f"lineage {place.manifest.lineage} was replaced elsewhere; it is kept in the directory 'old'"
            )
        await self._journal.disk(place.begin_recovery, await self._newest_notes(names, newest))
        await self._complete(names)
        place.is_new = False

    async def _catch_up(self, names: list[str]) -> None:
        place = self._place
        try:
            noted = await self._newest_notes(names, place.manifest)
            if noted != place.manifest:
                place.has_news = True
                await self._journal.disk(place.save_manifest, noted)
            await self._complete(names)
        except StoreUnavailable as error:
            place.report.notes.append(f"what other writers stored could not all be fetched: {error.message}")

    async def _newest_notes(self, names: list[str], mine: Manifest) -> Manifest:
        """Of a split brain's notes those changed most often win; floors and names of versions are kept."""
        floor, named = mine.floor, [mine.names]
        self._notes = {name for name in names if name.startswith(f"{mine.prefix}meta-")}
        for name in sorted(self._notes):
            try:
                found = manifests.decode(await self._get(name))
            except (StoreCorrupt, ValueError, KeyError) as error:
                self._place.report.notes.append(f"{name}: {error}")
                continue
            floor = max(floor, found.floor)
            if found.lineage == mine.lineage:
                named.append(found.names)
                mine = max(mine, found, key=lambda m: m.revision)
        united = mine.above(floor).knowing(history.merged(*named))
        for ours, theirs in history.given_way(named[0], united.names):
            self._place.report.notes.append(f"position {ours.position} has the name {theirs.name!r} now, not {ours.name!r}")
        return united

    async def _complete(self, names: list[str]) -> None:
        place, prefix = self._place, self._place.manifest.prefix
        there = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
        self._shipped = {name for name in there if name.endswith(segment.SEALED)}
        lacking = await self._journal.disk(place.lacking, self._shipped)
        limit = asyncio.Semaphore(_AT_ONCE)

        async def bring(name: str) -> None:
            async with limit:
                data = await self._get(prefix + name)
            if await self._journal.disk(place.restore, name, data):
                place.report.restored += 1
                place.has_news = True

        await asyncio.gather(*(bring(name) for name in sorted(lacking)))

    async def ship(self, infos: Iterable[Info]) -> None:
        """Puts what the blob store lacks of these and the notes, deletes what they replace. Raises `StoreUnavailable`."""
        infos = list(infos)
        prefix = self._place.manifest.prefix
        if self._shipped is None:
            names = await ask(partial(self._blobs.list, prefix))
            self._shipped = {n.removeprefix(prefix) for n in names if n.endswith(segment.SEALED)}
        missing = [info for info in infos if info.name not in self._shipped]
        for info in missing if self.all_is_due else worth_shipping(infos, self._shipped, self._stands):
            await self._ship_one(info, prefix)
        self.all_is_due = False
        await self._ship_notes()
        await self._drop(infos, prefix)

    async def _ship_one(self, info: Info, prefix: str) -> None:
        try:
            data = await self._journal.run(self._place.files.read, self._place.path(info))
        except FileNotFoundError:
            return  # compacted or reset meanwhile
        except OSError as error:
            raise StoreUnavailable(f"{info.name} cannot be read: {error}") from error
        await self._journal.disk(hit, "ship.put.before")
        await self._put(prefix + info.name, data)
        await self._journal.disk(hit, "ship.put.after")
        if self._place.manifest.prefix == prefix and self._shipped is not None:
            self._shipped.add(info.name)
            if info.is_snapshot:
                self._stands = info.covers

    async def _put(self, name: str, data: bytes) -> None:
        """An object already there is what an earlier attempt left whose answer was lost."""
        try:
            await ask(partial(self._blobs.put, name, data, if_absent=True), size=len(data))
        except BlobConflict:
            if await self._get(name, len(data)) != data:
                await ask(partial(self._blobs.put, name, data), size=len(data))

    async def _ship_notes(self) -> None:
        """Under a name that is new each time: a request that was given up may be carried out after those that followed it."""
        manifest = self._place.manifest
        if self._revision == manifest.revision:
            return
        mine = f"{manifest.prefix}meta-{self._place.writer}"
        name = f"{mine}-{manifest.revision:08x}"
        await self._put(name, manifests.encode(manifest))
        self._revision = manifest.revision
        self._notes.add(name)
        for old in sorted(self._notes - {name}):
            if old.startswith(mine) or not await self._knows_more(old, manifest):
                await ask(partial(self._blobs.delete, old))
            self._notes.discard(old)

    async def _knows_more(self, name: str, manifest: Manifest) -> bool:
        """Its writer lives and noted something since it was read; the next opening takes that up."""
        try:
            found = manifests.decode(await ask(partial(self._blobs.get, name)))
        except (BlobNotFound, StoreCorrupt, ValueError, KeyError):
            return False
        return found.revision > manifest.revision or not set(found.names) <= set(manifest.names)

    async def _drop(self, infos: list[Info], prefix: str) -> None:
        """Deletes what compaction made needless, once its substitute was read back from the blob store."""
        idle = self.shipped - {info.name for info in infos}
        if not idle:
            return
        covered = union(info.covers for info in infos if info.name in self.shipped)
        gone = {name for name in idle if name in covered}
        standing = [info for info in infos if info.name in self.shipped and any(name in info.covers for name in gone)]
        lost = [info.name for info in standing if not await self._is_kept(info, prefix)]
        if lost:
            self._shipped = set(self.shipped - set(lost))
            raise StoreUnavailable(f"the blob store did not keep what it was given: {', '.join(lost)}")
        for name in sorted(gone):
            await ask(partial(self._blobs.delete, prefix + name))
            if self._shipped is not None:
                self._shipped.discard(name)

    async def _is_kept(self, info: Info, prefix: str) -> bool:
        try:
            segment.check(info.name, await ask(partial(self._blobs.get, prefix + info.name), size=info.size))
        except (StoreCorrupt, BlobNotFound):  # another writer's object may stand for it, which is not known here
            return False
        return True

    async def _get(self, name: str, size: int | None = None) -> bytes:
        try:
            return await ask(partial(self._blobs.get, name), OPEN_TIMEOUT_S, size)
        except BlobNotFound as error:
            raise StoreUnavailable(f"{name} was listed, but is not there") from error


def worth_shipping(infos: Sequence[Info], there: Collection[str], stands: Covers) -> list[Info]:
    """What of `infos` the blob store, which has `there`, should get now; `stands` is what its newest snapshot stands for.

    A snapshot is as large as the document and says nothing that the segments there do not: it goes when what it spares a reader
    is four times as large. With a state that is kept goes everything, for that may replace segments.
    """
    missing = [info for info in infos if info.name not in there]
    if any(info.is_kept for info in missing):
        return missing
    behind = sum(info.size for info in segment.history(infos) if info.name not in stands)
    return [info for info in missing if not info.is_snapshot or behind >= _SPARED * info.size]
