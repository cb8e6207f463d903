"""The small file that says which history a directory holds, and what the store's owner noted about it. Pure."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import google_crc32c

from ystore.errors import StoreCorrupt

FORMAT = 1
_MAGIC = b"ystore 1 "


@dataclass(frozen=True, slots=True)
class Manifest:
    """``generation`` counts resets, ``revision`` changes of ``meta``; positions up to ``floor`` are never given out again."""

    lineage: str = field(default_factory=lambda: uuid.uuid4().hex)
    generation: int = 1
    revision: int = 0
    floor: int = 0
    meta: Mapping[str, str] = field(default_factory=dict)

    @property
    def prefix(self) -> str:
        """Under which the blobs of this lineage are, the newest lineage last."""
        return f"{self.generation:08x}-{self.lineage}/"

    def noted(self, meta: Mapping[str, str]) -> Manifest:
        return replace(self, meta=dict(meta), revision=self.revision + 1)

    def above(self, floor: int) -> Manifest:
        return replace(self, floor=max(self.floor, floor))

    def succeeded(self) -> Manifest:
        """An empty history that takes the place of this one."""
        return Manifest(generation=self.generation + 1)


def encode(manifest: Manifest) -> bytes:
    body = json.dumps(
        {
            "format": FORMAT,
            "lineage": manifest.lineage,
            "generation": manifest.generation,
            "revision": manifest.revision,
            "floor": manifest.floor,
            "meta": dict(manifest.meta),
        },
        indent=1,
    ).encode()
    return _MAGIC + f"{google_crc32c.value(body):08x}\n".encode() + body


def decode(data: bytes) -> Manifest:
    """Raises `StoreCorrupt` for anything but what `encode` wrote."""
    head, _, body = data.partition(b"\n")
    if head != _MAGIC + f"{google_crc32c.value(body):08x}".encode():
        raise StoreCorrupt("the manifest is damaged, or of a format this version cannot read")
    fields = json.loads(body)
    return Manifest(fields["lineage"], fields["generation"], fields["revision"], fields["floor"], fields["meta"])


def parse_prefix(name: str) -> tuple[int, str] | None:
    """Generation and lineage of a blob's name, None for a foreign object."""
    folder, slash, _ = name.partition("/")
    generation, dash, lineage = folder.partition("-")
    try:
        return (int(generation, 16), lineage) if slash and dash and lineage else None
    except ValueError:
        return None
