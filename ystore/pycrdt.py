"""What needs pycrdt: the child process that decodes updates, and the adapter for stock servers.

``python -m ystore.pycrdt squash|compare|trace`` is run by `ystore.replay`: pycrdt can panic and segfault on crafted updates, so
decoding never happens in a server's own process.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from logging import Logger
from typing import Any

import anyio
from pycrdt import Doc, get_update, merge_updates
from pycrdt.store import BaseYStore, YDocNotFound

from ystore.blobs import BlobStore
from ystore.journal import Journal
from ystore.store import Store


class YStore(BaseYStore):
    """A `Store` as pycrdt-websocket's rooms want it: ``YRoom(ystore=YStore("directory"))``. Only on asyncio.

    ``write`` returns when the update is durable. The directory is opened at first use and let go of by ``stop``.
    """

    def __init__(
        self,
        path: str,
        metadata_callback: Callable[[], Awaitable[bytes] | bytes] | None = None,
        log: Logger | None = None,
        *,
        blobs: BlobStore | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.path = path
        self.metadata_callback = metadata_callback
        self._blobs = blobs
        self._journal = journal
        self._store: Store | None = None
        self._opening = anyio.Lock()

    async def store(self) -> Store:
        """What is underneath. Raises as `Store.open`."""
        async with self._opening:
            if self._store is None:
                self._store = await Store.open(self.path, self._blobs, self._journal)
            return self._store

    async def write(self, data: bytes) -> None:
        metadata = await self.get_metadata()
        await (await self.store()).append(data, metadata.decode("latin-1"))

    async def read(self) -> AsyncIterator[tuple[bytes, bytes, float]]:
        """Every update with its metadata and Unix seconds. Raises `pycrdt.store.YDocNotFound` if there is none."""
        store = await self.store()
        if not store.position:
            raise YDocNotFound
        async for record in store.records():
            yield record.update, record.author.encode("latin-1"), record.at

    async def apply_updates(self, ydoc: Doc[Any]) -> None:
        """From the snapshot, which is faster than every update. Raises `pycrdt.store.YDocNotFound`."""
        store = await self.store()
        if not store.position:
            raise YDocNotFound
        async for update in store.updates():
            ydoc.apply_update(update)

    async def stop(self) -> None:
        await super().stop()
        with anyio.CancelScope(shield=True):
            async with self._opening:
                if self._store is not None:
                    await self._store.close()
                    self._store = None


class _Fault(Exception):
    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index


def replay(updates: Sequence[bytes], *, trace: bool = False) -> Doc[Any]:
    """A document with these updates; what depends on missing ones stays pending inside."""
    doc: Doc[Any] = Doc()
    for index, update in enumerate(updates):
        if trace:
            os.write(2, b"%d\n" % index)
        try:
            doc.apply_update(update)
        except BaseException as error:  # noqa: BLE001 - PanicException of PyO3 is no Exception
            raise _Fault(index, f"{type(error).__name__}: {error}") from None
    return doc


def pending(doc: Doc[Any], updates: Sequence[bytes]) -> list[bytes]:
    """What of `updates` the document could not integrate yet; ``Doc.get_update`` leaves it out."""
    state = doc.get_state()
    clocks = dict(_state(state))
    rest = []
    for update in updates:
        diff = get_update(update, state)
        if diff == b"\0\0":
            continue
        if diff[0] or any(clock + length > clocks.get(client, 0) for client, clock, length in _deletions(diff[1:])):
            rest.append(diff)
    return rest


def squash(updates: Sequence[bytes]) -> bytes:
    doc = replay(updates)
    rest = pending(doc, updates)
    return merge_updates(doc.get_update(), *_fold(rest)) if rest else doc.get_update()


def compare(snapshot: bytes, updates: Sequence[bytes]) -> str:
    """Empty if both give the same document and the same pending parts."""
    ours, theirs = replay([snapshot]), replay(updates)
    if dict(_state(ours.get_state())) != dict(_state(theirs.get_state())):
        return "the state vectors differ"
    mine, other = ours.get_update(), theirs.get_update()
    if mine != other and (len(mine) != len(other) or Counter(mine) != Counter(other)):
        return (
            "the contents differ"  # equal contents may differ in the order of bytes: JSON objects are encoded in no fixed order
        )
    left, right = pending(ours, [snapshot]), pending(theirs, updates)
    if bool(left) != bool(right):
        return "the pending updates differ"
    if left and len(_merged(left)) != len(_merged(right)):
        return "the pending updates differ"
    return ""


def _merged(updates: Sequence[bytes]) -> bytes:
    return merge_updates(*_fold(updates), b"\0\0")


def _fold(updates: Sequence[bytes]) -> list[bytes]:
    """Merges in groups: one merge over many small updates takes quadratic time."""
    folded = list(updates)
    while len(folded) > 64:
        folded = [merge_updates(*folded[i : i + 64]) for i in range(0, len(folded), 64)]
    return folded


def _numbers(data: bytes) -> Iterator[int]:
    """Variable-length unsigned integers of lib0, the encoding of Yjs."""
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield value
            value = shift = 0


def _state(vector: bytes) -> Iterator[tuple[int, int]]:
    numbers = _numbers(vector)
    for _ in range(next(numbers)):
        yield next(numbers), next(numbers)


def _deletions(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Client, clock and length of each range in a delete set."""
    numbers = _numbers(data)
    for _ in range(next(numbers)):
        client = next(numbers)
        for _ in range(next(numbers)):
            yield client, next(numbers), next(numbers)


def _read() -> list[list[bytes]]:
    data, offset, groups = sys.stdin.buffer.read(), 0, []

    def number() -> int:
        nonlocal offset
        offset += 8
        return int.from_bytes(data[offset - 8 : offset], "little")

    while offset < len(data):
        group = []
        for _ in range(number()):
            size = number()
            group.append(data[offset : offset + size])
            offset += size
        groups.append(group)
    return groups


def main(task: str) -> None:
    groups = _read()
    if task == "squash":
        out = squash(groups[0])
    elif task == "compare":
        out = compare(groups[0][0], groups[1]).encode()
    else:
        replay(groups[0], trace=True).get_update()
        out = b""
    sys.stdout.buffer.write(out)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except _Fault as fault:
        os.write(2, json.dumps({"index": fault.index, "reason": str(fault)}).encode() + b"\n")
        os._exit(1)
    os._exit(0)
