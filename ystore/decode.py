"""What decodes updates: run in a child process, for pycrdt can panic and segfault on crafted ones.

`ystore.replay` starts this file by its path, not as a module: so it loads nothing but pycrdt, which takes half the time.
"""

from __future__ import annotations

import os

if __name__ == "__main__":
    os.nice(10)  # those who type go first, also before what is slowest here: the imports

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from pycrdt import Doc, get_update, merge_updates


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
    """One update with the content of all, pending ones included."""
    doc = replay(updates)
    rest = pending(doc, updates)
    return merge_updates(doc.get_update(), *_fold(rest)) if rest else doc.get_update()


def compare(snapshot: bytes, updates: Sequence[bytes]) -> str:
    """Empty if both give the same document and the same pending parts."""
    theirs = replay(updates)
    try:
        ours = replay([snapshot])
    except _Fault as fault:
        return f"it cannot be decoded: {fault}"
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


def _read() -> list[bytes]:
    data, offset, updates = sys.stdin.buffer.read(), 0, []
    while offset < len(data):
        start = offset + 8
        offset = start + int.from_bytes(data[offset:start], "little")
        updates.append(data[start:offset])
    return updates


def answer(task: str, updates: Sequence[bytes]) -> bytes:
    """``squash``; ``verify``: what then differs from `updates` when it is decoded again, a zero byte, and the squashed update;
    ``trace``: nothing, but it says on the way how far it got.
    """
    if task == "squash":
        return squash(updates)
    if task == "verify":
        content = squash(updates)
        return compare(content, updates).encode() + b"\0" + content
    replay(updates, trace=True).get_update()
    return b""


if __name__ == "__main__":
    try:
        sys.stdout.buffer.write(answer(sys.argv[1], _read()))
        sys.stdout.buffer.flush()
    except _Fault as fault:
        os.write(2, json.dumps({"index": fault.index, "reason": str(fault)}).encode() + b"\n")
        os._exit(1)
    os._exit(0)
