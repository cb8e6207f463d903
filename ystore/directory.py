"""A document's directory: who holds it, what is in it, and what is put right when it is opened. Blocking; run in a thread.

::

    lock  manifest
    data/<lineage>/  *.ylog (records as appended)  *.yseg (sealed, compressed)  *.ysnap
    old/<lineage>/   after a reset        aside/  damaged bytes        quarantine/  refused updates
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ystore import manifest as manifests
from ystore import record as records
from ystore import segment
from ystore.covers import Covers
from ystore.errors import StoreCorrupt, StoreLocked, StoreUnavailable
from ystore.failpoints import hit
from ystore.files import Files
from ystore.history import Mark, Named
from ystore.journal import LogFile
from ystore.manifest import Manifest
from ystore.record import Record
from ystore.segment import Info
from ystore.snapshot import covered_by

QUARANTINE_FILES = 64
QUARANTINE_BYTES = 16 * 2**20
_HOLDER_BYTES = 32


@dataclass(frozen=True, slots=True)
class Cut:
    """Bytes that opening left out: from `offset` on in `file`, kept in `aside`. ``torn`` if a write was merely unfinished."""

    file: str
    offset: int
    size: int
    torn: bool
    aside: str


@dataclass(slots=True)
class Report:
    """What opening found and did. ``restored`` counts objects fetched from the blob store; ``notes`` are for an operator."""

    cuts: list[Cut] = field(default_factory=list)
    restored: int = 0
    notes: list[str] = field(default_factory=list)


class Directory:
    """One document's files. Holds the lock from construction to `release`; `is_new` says that there is nothing yet."""

    def __init__(self, root: Path, files: Files) -> None:
        self.root = root
        self.files = files
        self.report = Report()
        self.writer = uuid.uuid4().hex[:16]
        self._sequence = itertools.count(1)
        files.make_dir(root)
        self._lock = self._acquire()
        self.manifest = Manifest()
        self.is_new = False
        self.recovered = False
        self.has_news = False
        """The blob store had objects or notes that were not here."""
        try:
            self._load_manifest()
        except BaseException:
            self.release()
            raise

    def _acquire(self) -> int:
        fd = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(fd, _HOLDER_BYTES, 0).decode(errors="replace").strip() or "unknown"
            os.close(fd)
            raise StoreLocked(
                f"{self.root} is open in another process (pid {holder})", hint="stop that process, or use another directory"
            ) from error
        # Who holds it is a courtesy: the lock is the flock, and a full disk must not keep us out. Always of one length: ext4
        # flushes a file that was truncated to nothing when it is closed, and whoever opens it next waits for that.
        with contextlib.suppress(OSError):
            os.pwrite(fd, str(os.getpid()).ljust(_HOLDER_BYTES).encode(), 0)
        return fd

    def release(self) -> None:
        os.close(self._lock)

    @property
    def data(self) -> Path:
        return self.root / "data" / self.manifest.lineage

    def new_name(self, first: int) -> str:
        """Never given out twice, by anybody."""
        return segment.stem(first, self.writer, next(self._sequence))

    def _load_manifest(self) -> None:
        """Reads the manifest, or makes the best of its absence."""
        path = self.root / "manifest"
        if self._recovering.exists():
            self.is_new = True
            return
        try:
            self.manifest = manifests.decode(self.files.read(path))
        except FileNotFoundError:
            self.is_new = not self._adopt_lineage("no manifest")
        except (StoreCorrupt, ValueError, KeyError) as error:
            self.keep_aside("manifest", self.files.read(path), 0, torn=False)
            self.is_new = not self._adopt_lineage(str(error))

    def _adopt_lineage(self, why: str) -> bool:
        found = sorted((self.root / "data").glob("*/"), key=lambda p: p.stat().st_mtime)
        if not found:
            return False
        generation = 1 + len(list((self.root / "old").glob("*/")))
        self.manifest = Manifest(lineage=found[-1].name, generation=generation)
        self.report.notes.append(f"{why}: the lineage was taken from the data, what was noted in the manifest is lost")
        self.save_manifest(self.manifest)
        return True

    @property
    def _recovering(self) -> Path:
        """Stands while objects are fetched into an empty directory: as long as it does, the document here is not whole."""
        return self.root / "recovering"

    def begin_recovery(self, manifest: Manifest) -> None:
        self.files.write_atomic(self._recovering, b"")
        self.manifest = manifest
        self.recovered = True

    def take_up(self) -> tuple[list[LogFile], list[Info]]:
        """What is here, put in order: log files still to be sealed, and sealed objects. Raises as `_begin_new`."""
        if self.is_new:
            self._begin_new()
        self._tidy()
        return self._scan()

    def _begin_new(self) -> None:
        """Raises `StoreUnavailable` if a recovery was interrupted: only the blob store can finish it."""
        if self._recovering.exists():
            raise StoreUnavailable(
                f"{self.root} was being fetched from a blob store and is not complete",
                hint="open it with that blob store, or remove the directory",
            )
        self.save_manifest(self.manifest)

    def end_recovery(self, floor: int) -> None:
        self.save_manifest(self.manifest.above(floor))
        self.files.unlink(self._recovering)
        self.files.sync_dir(self.root)

    def save_manifest(self, manifest: Manifest) -> None:
        self.files.write_atomic(self.root / "manifest", manifests.encode(manifest))
        self.manifest = manifest

    def lost_names(self, infos: Iterable[Info]) -> list[Named]:
        """Names of versions that were lost with a manifest, from the states that were kept for them. Does not block."""
        known = {(named.position, named.at) for named in self.manifest.names}
        return [Named(i.last, i.at, i.label, 0) for i in infos if i.label and (i.last, i.at) not in known]

    def move_names(self, to: Mapping[tuple[int, float], int]) -> None:
        """Notes that records have new positions; `to` has them by old position and time."""
        if (manifest := self.manifest.moved(to)) != self.manifest:
            self.save_manifest(manifest)

    def _tidy(self) -> None:
        """Finishes what a crash interrupted: temporary files go, data of other lineages moves to ``old``."""
        self.files.make_dir(self.data)
        for folder in (self.root, self.data):
            for name in os.listdir(folder):
                if name.startswith(".") and name.endswith(".tmp"):
                    self.files.unlink(folder / name)
        for name in os.listdir(self.root / "data"):
            if name != self.manifest.lineage and (path := self.root / "data" / name).is_dir():
                self._retire_lineage(path)

    def _retire_lineage(self, path: Path) -> None:
        old = self.root / "old"
        self.files.make_dir(old)
        target = old / path.name
        if target.exists():
            target = old / f"{path.name}.{uuid.uuid4().hex[:8]}"
        self.files.replace(path, target)
        self.files.sync_dir(old)
        self.files.sync_dir(path.parent)

    def reset(self) -> None:
        """Begins a new lineage. The manifest is the moment it happens; the rest opening would do as well."""
        hit("reset.before")
        with contextlib.suppress(FileNotFoundError):
            old = self.files.read(self.root / "manifest")
            self.files.write_atomic(self.data / "manifest", old)
        self.save_manifest(self.manifest.succeeded())
        hit("reset.manifest.after")
        self._tidy()
        hit("reset.after")

    def _scan(self) -> tuple[list[LogFile], list[Info]]:
        """Damaged parts are cut and kept aside."""
        sealed = self._sealed()
        names = {info.name for info in sealed}
        logs = []
        for path in self._paths(segment.LOG):
            if path.stem + segment.SEGMENT in names:
                self.files.unlink(path)  # sealed just before a crash
                continue
            found = records.scan(data := self.files.read(path))
            if found.good_end < found.end:
                self._cut(path, data[: found.end], found)
            if found.records:
                first, last = found.records[0].position, found.records[-1].position
                logs.append(LogFile(path, first, last, found.good_end, len(found.records)))
            elif not found.end:
                self.files.unlink(path)
        return logs, sealed

    def _cut(self, path: Path, data: bytes, found: records.Scan) -> None:
        # A changed byte in the last record looks like a torn write: positions in what is cut may have been given out.
        self._raise_floor(found.highest + 1 + data.count(records.MAGIC, found.good_end + 1))
        if self.keep_aside(path.name, data, found.good_end, torn=not found.damaged):
            with contextlib.suppress(OSError):  # readers stop at the good end anyway
                if found.records:
                    self.files.truncate(path, found.good_end)
                else:
                    self.files.unlink(path)

    def _raise_floor(self, position: int) -> None:
        manifest = self.manifest.above(position)
        if manifest == self.manifest:
            return
        try:
            self.save_manifest(manifest)
        except OSError as error:
            self.manifest = manifest
            self.report.notes.append(f"the manifest could not be written: {error}")

    def keep_aside(self, name: str, data: bytes, offset: int, *, torn: bool) -> bool:
        """Copies what is behind `offset` to ``aside``; False if the disk would not take it."""
        target = self.root / "aside" / f"{name}.{offset}.{uuid.uuid4().hex[:8]}"
        try:
            self.files.make_dir(target.parent)
            self.files.write_atomic(target, data[offset:])
        except OSError as error:
            self.report.notes.append(f"{name}: {len(data) - offset} bytes could not be kept aside: {error}")
            return False
        self.report.cuts.append(Cut(name, offset, len(data) - offset, torn, str(target.relative_to(self.root))))
        return True

    def _sealed(self) -> list[Info]:
        found = []
        for path in self._objects():
            try:
                data = self.files.read(path)
                info = _timed(_checked(path.name, data), data)
            except StoreCorrupt as error:
                self.report.notes.append(str(error))
                found += self._mend(path, data)
            else:
                found.append(info)
        return found

    def _mend(self, path: Path, data: bytes) -> list[Info]:
        """A damaged object goes aside as it is; of a segment the good prefix stays. Its positions are not given out again.

        The prefix gets a name of its own: under the old one it would hide the whole object that a blob store may still have.
        """
        self._raise_floor(segment.last_of(path.name, data))
        good = segment.salvage(path.name, data) if path.suffix == segment.SEGMENT else []
        if not self.keep_aside(path.name, data, 0, torn=False):
            return []
        found = []
        if good:
            info, packed = pack_segment(self.new_name(good[0].position) + segment.SEGMENT, self.manifest.lineage, good)
            self.put(info, packed)
            found.append(info)
        self.files.unlink(path)
        return found

    def _objects(self) -> list[Path]:
        return self._paths(*segment.SEALED)

    def _paths(self, *kinds: str) -> list[Path]:
        """Files of these kinds, by kind and name."""
        folder = self.data
        names = sorted(os.listdir(folder)) if folder.is_dir() else []
        return [folder / name for kind in kinds for name in names if name.endswith(kind)]

    def lacking(self, names: set[str]) -> set[str]:
        """Those of `names` of which there is no sound object here, and which none that is here makes needless."""
        found = []
        for path in self._objects():
            with contextlib.suppress(StoreCorrupt):
                found.append(_checked(path.name, self.files.read(path)))
        return names - {info.name for info in found} - segment.replaced(found, names)

    def restore(self, name: str, data: bytes) -> bool:
        """Takes an object from a blob store, in place of none or of a damaged one. False if ours is no worse."""
        path = self.data / name
        try:
            _checked(name, data)
        except StoreCorrupt as error:
            self.report.notes.append(f"{error} in the blob store")
            if path.exists():
                return False
        else:
            if path.exists():
                self.report.notes.append(f"{name} was damaged; it came back from the blob store")
                self.keep_aside(name, self.files.read(path), 0, torn=False)
        self.files.make_dir(self.data)
        self.files.write_atomic(path, data)
        return True

    def renumber(self, info: Info, after: int, kept: Iterable[Info]) -> Info | None:
        """Gives records of a segment new positions after `after`: those they have were also given out by another writer.

        None if all its records are in `kept` as well, as in what was left of a segment that came back whole. Where only some
        are, all move: an object may stand for another only if it has all of it.
        """
        old = list(self.read_segment(info))
        there = {r for other in kept if other.first <= info.last for r in self.read_segment(other)}
        if there.issuperset(old):
            return None
        found = [replace(r, position=after + n) for n, r in enumerate(old, 1)]
        to = {(was.position, was.at): now.position for was, now in zip(old, found, strict=True) if was not in there}
        self.move_names(to)
        name = self.new_name(after + 1) + segment.SEGMENT
        moved, packed = pack_segment(name, self.manifest.lineage, found, covered_by([info]), info.sealed)
        self.put(moved, packed)
        self.files.unlink(self.path(info))
        return moved

    def seal(self, log: LogFile) -> Info:
        """Turns a log file into a compressed segment of the same name."""
        hit("seal.before")
        found = list(self.read_log(log))
        written = log.path.stat().st_mtime  # not the time now: copies of a log must become the same object
        info, packed = pack_segment(log.path.stem + segment.SEGMENT, self.manifest.lineage, found, sealed=written)
        self.put(info, packed)
        hit("seal.unlink.before")
        self.files.unlink(log.path)
        hit("seal.after")
        return info

    def put(self, info: Info, packed: bytes) -> None:
        """Writes an object and reads it back."""
        path = self.path(info)
        self.files.write_atomic(path, packed)
        if self.files.read(path) != packed:
            raise StoreCorrupt(f"{info.name} is not what was written", hint="the disk or its memory is failing")

    def path(self, info: Info) -> Path:
        return self.data / info.name

    def read_log(self, log: LogFile) -> Iterator[Record]:
        """Raises `StoreCorrupt` if what was synced is not there any more."""
        count = 0
        for record, _ in records.read(self.files.read(log.path, log.size)):
            count += 1
            yield record
        if count != log.count:
            raise StoreCorrupt(
                f"{log.path.name} is damaged behind record {count}", hint="reopen the store: the rest is kept aside"
            )

    def read_segment(self, info: Info) -> Iterator[Record]:
        yield from segment.read_records(info.name, self.files.read(self.path(info)))

    def outline(self, file: Info | LogFile) -> Iterator[Mark]:
        """The records of a file without their updates."""
        if isinstance(file, LogFile):
            return (Mark(r.position, r.at, r.author) for r in self.read_log(file))
        return map(Mark._make, segment.read_outline(file.name, self.files.read(self.path(file))))

    def read_snapshot(self, info: Info) -> bytes:
        return segment.unpack(info.name, self.files.read(self.path(info)))

    def quarantine(self, update: bytes, author: str, reason: str) -> None:
        """Keeps the latest refused updates; the oldest make room. Of one larger than the whole folder only the note is kept."""
        folder = self.root / "quarantine"
        self.files.make_dir(folder)
        name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"
        note = {"author": author, "reason": reason[:4096], "at": time.time(), "bytes": len(update)}
        if len(update) <= QUARANTINE_BYTES:
            self.files.write_atomic(folder / f"{name}.update", update)
        self.files.write_atomic(folder / f"{name}.json", json.dumps(note, indent=1).encode())
        self._bound(folder)

    def _bound(self, folder: Path) -> None:
        notes = sorted(folder.glob("*.json"), reverse=True)
        total = 0
        for kept, note in enumerate(notes):
            update = note.with_suffix(".update")
            total += update.stat().st_size if update.exists() else 0
            if kept >= QUARANTINE_FILES or total > QUARANTINE_BYTES:
                self.files.unlink(update)
                self.files.unlink(note)


def _checked(name: str, data: bytes) -> Info:
    info = segment.read_info(name, data)
    segment.check(name, data)
    return info


def _timed(info: Info, data: bytes) -> Info:
    """Format 1 did not note the time of the newest record."""
    if not info.is_segment or info.newest is not None:
        return info
    return replace(info, newest=max(at for _, at, _ in segment.read_outline(info.name, data)))


def pack_segment(
    name: str, lineage: str, found: list[Record], covers: Covers | None = None, sealed: float | None = None
) -> tuple[Info, bytes]:
    """Header and bytes of a segment with these records, at least one; `sealed` (Unix seconds) is now unless it is given."""
    first, last, newest = found[0].position, found[-1].position, max(record.at for record in found)
    sealed = round(time.time(), 3) if sealed is None else sealed
    info = Info(name, lineage, first, last, len(found), covers or Covers(), newest, sealed=sealed)
    info = replace(info, raw=sum(map(records.size, found)))
    packed = segment.pack_records(info, found)
    return replace(info, size=len(packed)), packed
