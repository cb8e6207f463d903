"""What decodes updates: run in a fork of `ystore.forks`, for pycrdt can panic and segfault on crafted ones.

It imports next to no module, so that the process which forks is small and soon there.
"""

from __future__ import annotations

import os

from pycrdt import _pycrdt as core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Fault(Exception):
    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index


class Doc:
    """Of `pycrdt.Doc` what is needed here."""

    def __init__(self) -> None:
        self._doc = core.Doc(None, None, None)

    def apply_update(self, update: bytes) -> None:
        change = self._doc.create_transaction()
        try:
            self._doc.apply_update(change, update)
            change.commit()
        finally:
            change.drop()

    def get_state(self) -> bytes:
        return self._doc.get_state(self._doc.create_transaction())

    def get_update(self) -> bytes:
        return self._doc.get_update(self._doc.create_transaction(), b"\0")


def replay(updates: Sequence[bytes], *, trace: bool = False) -> Doc:
    """A document with these updates; what depends on missing ones stays pending inside."""
    doc = Doc()
    for index, update in enumerate(updates):
        if trace:
            os.write(2, b"%d\n" % index)
        try:
            doc.apply_update(update)
        except BaseException as error:  # noqa: BLE001 - PanicException of PyO3 is no Exception
            raise Fault(index, f"{type(error).__name__}: {error}") from None
    return doc


def pending(doc: Doc, updates: Sequence[bytes]) -> list[bytes]:
    """What of `updates` the document could not integrate yet; ``Doc.get_update`` leaves it out."""
    state = doc.get_state()
    clocks = dict(_state(state))
    rest = []
    for update in updates:
        diff = core.get_update(update, state)
        if diff == b"\0\0":
            continue
        if diff[0] or any(clock + length > clocks.get(client, 0) for client, clock, length in _deletions(diff[1:])):
            rest.append(diff)
    return rest


def squash(updates: Sequence[bytes]) -> bytes:
    """One update with the content of all, pending ones included."""
    doc = replay(updates)
    return _content(doc, pending(doc, updates))


def _content(doc: Doc, rest: Sequence[bytes]) -> bytes:
    return core.merge_updates((doc.get_update(), *_fold(rest))) if rest else doc.get_update()


def verify(updates: Sequence[bytes]) -> tuple[str, bytes]:
    """What differs between the squashed update, decoded again, and `updates`; and the squashed update.

    yrs 0.28 goes wrong where updates came before what they build on: it shows some and forgets others, for good. With all of
    them in one update it does not. So if nothing is missing any more, that counts; else who reads the file would see less.
    """
    doc = replay(updates)
    rest = pending(doc, updates)
    content = _content(doc, rest)
    difference = _difference(content, doc, rest)
    if difference:
        whole = [_merged(updates)]
        doc = replay(whole)
        if pending(doc, whole):
            return f"{difference}: it lacks updates that others build on", content
        content = doc.get_update()
        difference = _difference(content, doc, [])
    return difference, content


def compare(snapshot: bytes, updates: Sequence[bytes]) -> str:
    """Empty if both give the same document and the same pending parts."""
    theirs = replay(updates)
    return _difference(snapshot, theirs, pending(theirs, updates))


def _difference(snapshot: bytes, theirs: Doc, right: Sequence[bytes]) -> str:
    try:
        ours = replay([snapshot])
    except Fault as fault:
        return f"it cannot be decoded: {fault}"
    if dict(_state(ours.get_state())) != dict(_state(theirs.get_state())):
        return "the state vectors differ"
    if not _alike(ours.get_update(), theirs.get_update()):
        return "the contents differ"
    left = pending(ours, [snapshot])
    if bool(left) != bool(right) or (left and not _alike(_content(ours, left), _content(theirs, right))):
        return "the pending updates differ"
    return ""


def _alike(mine: bytes, other: bytes) -> bool:
    """Equal contents may differ in the order of bytes: JSON objects are encoded in no fixed order."""
    if mine == other or len(mine) != len(other):
        return mine == other
    from collections import Counter

    return Counter(mine) == Counter(other)


def _merged(updates: Sequence[bytes]) -> bytes:
    return core.merge_updates((*_fold(updates), b"\0\0"))


def _fold(updates: Sequence[bytes]) -> list[bytes]:
    """Merges in groups: one merge over many small updates takes quadratic time."""
    folded = list(updates)
    while len(folded) > 64:
        folded = [core.merge_updates(tuple(folded[i : i + 64])) for i in range(0, len(folded), 64)]
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


def answer(task: str, updates: Sequence[bytes]) -> bytes:
    """``squash``; ``verify``: what then differs from `updates` when it is decoded again, a zero byte, and the squashed update;
    ``trace``: nothing, but it says on the way how far it got.
    """
    if task == "squash":
        return squash(updates)
    if task == "verify":
        difference, content = verify(updates)
        return difference.encode() + b"\0" + content
    replay(updates, trace=True).get_update()
    return b""
