"""Disks for tests of the store."""

from __future__ import annotations

import errno
import os
import random
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from ystore.files import Files

PAGE = 64
"""Bytes; smaller than a real page so that small logs have several."""


@contextmanager
def memory(otherwise: Path) -> Iterator[Path]:
    """A folder that no disk is behind, where there is such a thing: for tests that make and remove folders by the thousand."""
    place = Path("/dev/shm")
    with TemporaryDirectory(dir=place if os.access(place, os.W_OK) else otherwise) as folder:
        yield Path(folder)


class NoSync(Files):
    """A disk that keeps what it was given but syncs nothing: for tests by the thousand in which the power stays on."""

    def sync(self, fd: int) -> None:
        pass

    def sync_dir(self, path: Path) -> None:
        pass


@dataclass(eq=False)
class _Node:
    """A file's bytes as programs see them, and as they would be found after a power cut if nothing more is synced."""

    current: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    written: int = 0
    """Where the next write goes."""


@dataclass(eq=False)
class _Change:
    """To names: `node` (None: a directory, or nothing) is at `target` and no longer at `source`, once `unsynced` are synced."""

    unsynced: set[Path]
    source: Path | None = None
    target: Path | None = None
    node: _Node | None = None

    def apply(self, names: dict[Path, _Node | None]) -> None:
        """`names` maps a file to its node, a directory to None."""
        if self.source is not None:
            is_file = names.get(self.source) is not None
            inside = [] if is_file else [path for path in names if self.source in path.parents]
            for path in [*([self.source] if self.source in names else []), *inside]:
                node = names.pop(path)
                if self.target is not None:
                    names[self.target / path.relative_to(self.source)] = node
        if self.target is not None and (self.node is not None or self.source is None):
            names[self.target] = self.node


class ForgetfulDisk(Files):
    """A disk under `root` that loses its power at the `cut_at`-th operation: from then on every one fails.

    `lose_power` then leaves in `root` what was synced, and of all else what chance keeps: any of the unsynced pages (a file may
    have its new length and zeros in it), and of the changes to names in unsynced directories those up to a moment, or any.
    """

    room = 3 * PAGE  # so that files outgrow it

    def __init__(self, root: Path, cut_at: int | None = None) -> None:
        self.root = root
        self.operations = 0
        self._cut_at = cut_at
        self._lock = threading.RLock()
        self._open: dict[int, _Node] = {}
        self._pending: list[_Change] = []
        self._names: dict[Path, _Node | None] = {}
        for path in root.rglob("*"):
            data = None if path.is_dir() else path.read_bytes()
            self._names[path] = None if data is None else _Node(bytearray(data), data)
        self._durable = dict(self._names)

    @property
    def is_off(self) -> bool:
        return self._cut_at is not None and self.operations >= self._cut_at

    @contextmanager
    def _operation(self) -> Iterator[bool]:
        """Yields whether this is the one during which the power goes."""
        with self._lock:
            if self.is_off:
                raise OSError(errno.EIO, "no power")
            self.operations += 1
            yield self.is_off
            if self.is_off:
                raise OSError(errno.EIO, "no power")

    def _change(self, *dirs: Path, source: Path | None = None, target: Path | None = None, node: _Node | None = None) -> None:
        change = _Change(set(dirs), source, target, node)
        change.apply(self._names)
        self._pending.append(change)

    def create(self, path: Path) -> int:
        node = _Node()
        with self._operation():
            self._change(path.parent, target=path, node=node)
        fd = super().create(path)
        self._open[fd] = node
        return fd

    def create_temporary(self, path: Path) -> int:
        with self._operation():
            fd = super().create_temporary(path)
            self._open[fd] = _Node()
            self._change(path.parent, target=path, node=self._open[fd])
        return fd

    def write(self, fd: int, data: bytes) -> None:
        with self._operation() as is_last:
            data = data[: len(data) // 2] if is_last else data
            super().write(fd, data)
            node = self._open[fd]
            node.current[node.written : node.written + len(data)] = data
            node.written += len(data)

    def resize(self, fd: int, size: int) -> None:
        with self._operation():
            super().resize(fd, size)
            node = self._open[fd]
            node.current = node.current[:size].ljust(size, b"\0")

    def sync(self, fd: int) -> None:
        with self._operation() as is_last:
            node = self._open[fd]
            if not is_last:
                node.durable = bytes(node.current)

    def close(self, fd: int) -> None:
        with self._lock:
            self._open.pop(fd, None)
            super().close(fd)

    def sync_dir(self, path: Path) -> None:
        with self._operation() as is_last:
            if is_last:
                return
            for change in list(self._pending):
                change.unsynced.discard(path)
                if not change.unsynced:
                    change.apply(self._durable)
                    self._pending.remove(change)

    def truncate(self, path: Path, size: int) -> None:
        with self._operation():
            node = self._names[path]
            assert node is not None
            os.truncate(path, size)
            del node.current[size:]
            node.durable = bytes(node.current)

    def replace(self, source: Path, target: Path) -> None:
        with self._operation():
            super().replace(source, target)
            self._change(source.parent, target.parent, source=source, target=target, node=self._names[source])

    def unlink(self, path: Path) -> None:
        with self._operation():
            super().unlink(path)
            if path in self._names:
                self._change(path.parent, source=path)

    def make_dir(self, path: Path) -> None:
        missing = [folder for folder in (path, *path.parents) if not folder.is_dir()]
        for folder in reversed(missing):
            with self._operation():
                self._change(folder.parent, target=folder)
        super().make_dir(path)

    def lose_power(self, dice: random.Random) -> None:
        with self._lock:
            self._cut_at = 0
            names = dict(self._durable)
            ordered, kept = dice.random() < 0.5, dice.random()
            moment = int(kept * (len(self._pending) + 1))
            for number, change in enumerate(self._pending):
                if number < moment if ordered else dice.random() < kept:
                    change.apply(names)
            shutil.rmtree(self.root)
            self.root.mkdir()
            for path, node in sorted(names.items()):
                if path.parent.is_dir() and path.is_relative_to(self.root):
                    path.mkdir(exist_ok=True) if node is None else path.write_bytes(_remains(node, dice))


def _remains(node: _Node, dice: random.Random) -> bytes:
    if bytes(node.current) == node.durable:
        return node.durable
    low, high = sorted((len(node.durable), len(node.current)))
    size = dice.choice((len(node.durable), len(node.current), dice.randint(low, high)))
    pages = []
    for start in range(0, size, PAGE):
        page = (node.current if dice.random() < 0.5 else node.durable)[start : start + PAGE]
        pages.append(bytes(page).ljust(PAGE, b"\0"))
    return b"".join(pages)[:size]


class RefusingDisk(Files):
    """Fails the operations in ``failing`` (names of methods, to errno values) while they are in it."""

    def __init__(self) -> None:
        self.failing: dict[str, int] = {}
        self.refusals = 0

    def _pass(self, operation: str) -> None:
        if number := self.failing.get(operation):
            self.refusals += 1
            raise OSError(number, os.strerror(number))

    def create(self, path: Path) -> int:
        self._pass("create")
        return super().create(path)

    def create_temporary(self, path: Path) -> int:
        self._pass("create_temporary")
        return super().create_temporary(path)

    def write(self, fd: int, data: bytes) -> None:
        if "write" in self.failing:
            super().write(fd, data[: len(data) // 2])  # a full disk takes a part
        self._pass("write")
        super().write(fd, data)

    def resize(self, fd: int, size: int) -> None:
        self._pass("resize")
        super().resize(fd, size)

    def sync(self, fd: int) -> None:
        self._pass("sync")
        super().sync(fd)

    def sync_dir(self, path: Path) -> None:
        self._pass("sync_dir")
        super().sync_dir(path)

    def truncate(self, path: Path, size: int) -> None:
        self._pass("truncate")
        super().truncate(path, size)

    def replace(self, source: Path, target: Path) -> None:
        self._pass("replace")
        super().replace(source, target)

    def unlink(self, path: Path) -> None:
        self._pass("unlink")
        super().unlink(path)

    def make_dir(self, path: Path) -> None:
        self._pass("make_dir")
        super().make_dir(path)
