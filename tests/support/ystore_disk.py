"""Disks for tests of the store."""

from pathlib import Path

from ystore.files import Files


class NoSync(Files):
    """A disk that keeps what it was given but syncs nothing: for tests by the thousand in which the power stays on."""

    def sync(self, fd: int) -> None:
        pass

    def sync_dir(self, path: Path) -> None:
        pass
