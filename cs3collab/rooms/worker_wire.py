"""What the worker and its parent say to each other: msgpack in frames of a 4-byte little-endian length and a body."""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Generic, TypeVar

import msgspec

_LENGTH = struct.Struct("<I")
_encoder = msgspec.msgpack.Encoder()


class Op(enum.StrEnum):
    LOAD = "load"
    SEED = "seed"
    REVISE = "revise"
    APPLY = "apply"
    DIFF = "diff"
    STATE = "state"
    RENDER = "render"
    MARK_SAVED = "mark_saved"
    MERGE = "merge"
    NOTE_CONFLICTS = "note_conflicts"
    NOTED = "noted"
    DECIDE = "decide"
    DIFFERENCES = "differences"
    DIGEST = "digest"
    CLOSE = "close"
    PIECE = "piece"
    """A part of what a request with the same id carries; it has no answer."""


IN_PIECES = (Op.MERGE, Op.DIFFERENCES, Op.DIGEST)
"""What changes nothing may be overtaken on its way, so that no edit waits behind a large file."""
PIECE_BYTES = 2**17


class Request(msgspec.Struct, array_like=True, gc=False):
    """``id`` counts up from 1 in the parent. ``kind`` goes along so that a document exists from its first request on."""

    id: int
    document: int
    kind: str
    op: Op
    data: bytes = b""
    updates: list[bytes] = []
    text: str = ""
    sizes: list[int] = []
    """Of ``data`` and of each of ``updates`` if they came before, in pieces."""
    names: list[str] = []
    """Ids of cells, as in the reply."""

    @property
    def size(self) -> int:
        """Payload bytes."""
        return len(self.data) + sum(map(len, self.updates))


def pieces(request: Request) -> Iterator[Request]:
    """What is sent instead of a large request, in this order; the last is the one that is answered."""
    parts = [request.data, *request.updates]
    for part in parts:
        for start in range(0, len(part), PIECE_BYTES):
            data = part[start : start + PIECE_BYTES]
            yield Request(request.id, request.document, request.kind, Op.PIECE, data)
    yield msgspec.structs.replace(request, data=b"", updates=[], sizes=[len(part) for part in parts])


def whole(request: Request, came: Sequence[bytes]) -> Request:
    """The request again, of its last part and the data of the others."""
    if not request.sizes:
        return request
    body = b"".join(came)
    ends = list(accumulate(request.sizes, initial=0))
    parts = [body[start:end] for start, end in pairwise(ends)]
    return msgspec.structs.replace(request, data=parts[0], updates=parts[1:], sizes=[])


class Reply(msgspec.Struct, array_like=True, gc=False):
    """``error`` is the kind of a `cs3collab.errors` error, empty for success. Id 0 says that the worker has started."""

    id: int
    document: int
    data: bytes = b""
    text: str = ""
    error: str = ""
    message: str = ""
    hint: str = ""
    names: list[str] = []


def frame(message: Request | Reply) -> bytes:
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


T = TypeVar("T", Request, Reply)


class Reader(Generic[T]):
    """Frames out of a byte stream."""

    def __init__(self, type: type[T]) -> None:
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(type)
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[T]:
        """The messages that are complete now."""
        self._buffer += data
        messages, start, end = [], 0, len(self._buffer)
        with memoryview(self._buffer) as view:
            while end - start >= _LENGTH.size:
                stop = start + _LENGTH.size + _LENGTH.unpack_from(view, start)[0]
                if stop > end:
                    break
                messages.append(self._decoder.decode(view[start + _LENGTH.size : stop]))
                start = stop
        del self._buffer[:start]
        return messages
