"""The few file operations the store makes, in one place so that tests can put a failing or forgetting disk under it."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path

from ystore.failpoints import hit


class Files:
    """The real disk. Every method blocks and raises OSError; callers run it in a thread."""

    room = 2**16
    """Bytes by which a file that is appended to is made longer at once."""

    def create(self, path: Path) -> int:
        """A new file to append to; its name is durable on return."""
        hit("journal.create.before")
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            self.sync_dir(path.parent)
        except BaseException:
            os.close(fd)
            raise
        hit("journal.create.after")
        return fd

    def write(self, fd: int, data: bytes) -> None:
        """Writes all of `data` (a short write is continued)."""
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]

    def resize(self, fd: int, size: int) -> None:
        """Zeros up to `size`, or nothing behind it; what `write` does next is not moved by it."""
        os.ftruncate(fd, size)

    def sync(self, fd: int) -> None:
        os.fdatasync(fd)

    def close(self, fd: int) -> None:
        os.close(fd)

    def sync_dir(self, path: Path) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def truncate(self, path: Path, size: int) -> None:
        """Cuts a file, durably."""
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.ftruncate(fd, size)
            os.fsync(fd)
        finally:
            os.close(fd)

    def replace(self, source: Path, target: Path) -> None:
        os.replace(source, target)

    def unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def make_dir(self, path: Path) -> None:
        """Makes a directory and its parents, durably."""
        missing = []
        while not path.is_dir():
            missing.append(path)
            path = path.parent
        for path in reversed(missing):
            path.mkdir(mode=0o700, exist_ok=True)
            self.sync_dir(path.parent)

    def read(self, path: Path, size: int = -1) -> bytes:
        with path.open("rb") as file:
            return file.read(size)

    def write_atomic(self, path: Path, data: bytes) -> None:
        """`path` holds either its old content or all of `data`, whatever happens; durable on return."""
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
        hit("atomic.write.before")
        fd = self.create_temporary(temporary)
        try:
            try:
                self.write(fd, data)
                hit("atomic.sync.before")
                self.sync(fd)
            finally:
                self.close(fd)
            hit("atomic.rename.before")
            self.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                self.unlink(temporary)
            raise
        hit("atomic.rename.after")
        self.sync_dir(path.parent)

    def create_temporary(self, path: Path) -> int:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
