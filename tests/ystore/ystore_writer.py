"""The process that the fault tests kill: uses everything a store has and tells on stdout what was acknowledged.

``python ystore_writer.py DIRECTORY BLOBS [ROUNDS] [FILE_LIMIT]``; lines are ``try <n>``, ``ack <lineage> <position> <n>`` and
``done``. With ``FORGET`` in the environment no history is kept but that of the versions it names: ``named <position>``.
"""

import asyncio
import os
import resource
import sys
from pathlib import Path

from ystore import DirectoryBlobs, Retention, Store, StoreError, StoreUnavailable
from ystore.testing import QUICK, update

FORGETTING = ("compact.pin.after", "compact.horizon.after")
"""Failpoints that are passed only with ``FORGET``."""


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


class Writer:
    def __init__(self, store: Store, first: int) -> None:
        self.store = store
        self.next = first

    async def write(self, count: int) -> None:
        numbers = range(self.next, self.next + count)
        self.next += count
        await asyncio.gather(*(self._one(n) for n in numbers))

    async def _one(self, n: int) -> None:
        lineage = self.store.lineage
        say("try", n)
        for _ in range(3):
            try:
                position = await self.store.append(update(n), f"author {n}")
            except StoreUnavailable:
                continue
            say("ack", lineage, position, n)
            return
        say("refused", n)

    async def round(self) -> None:
        await self.write(1)
        await self.write(5)
        await tried(self.store.set_meta({"n": str(self.next)}))
        if "FORGET" in os.environ:
            await tried(self.name())
        await self.store.flush()
        await self.write(2)
        await tried(self.store.compact())
        await self.write(2)
        await self.store.flush()

    async def name(self) -> None:
        version = await self.store.name_version(f"before {self.next}")
        say("named", version.position)


async def tried(work) -> None:  # type: ignore[no-untyped-def]
    """The disk may refuse: that is what is tested; acknowledged is only what returned."""
    try:
        await work
    except (StoreError, OSError) as error:
        say("failed", type(error).__name__)


async def main(directory: Path, blobs: Path, rounds: int = 1, limit: int = 0, first: int = 0) -> None:
    retention = Retention(None, 0) if "FORGET" in os.environ else Retention()
    store = await Store.open(directory, DirectoryBlobs(blobs), tuning=QUICK, retention=retention)
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    writer = Writer(store, first)
    for n in range(rounds):
        await writer.round()
        if n == 0 and "RESET" in os.environ:
            await tried(store.reset())
            await writer.write(3)
    await store.close()
    say("done")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]), first=int(os.environ.get("FIRST", "0"))))
