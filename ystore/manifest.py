"""The small file that says which history a directory holds, and what the store's owner noted about it. Pure."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import google_crc32c

from ystore import history
from ystore.errors import StoreCorrupt, StoreNewer
from ystore.history import Base, Mark, Named

FORMAT = 2


@dataclass(frozen=True, slots=True)
class Manifest:
    """``generation`` counts resets, ``revision`` changes of the notes; positions up to ``floor`` are never given out again.

    The notes are ``meta``, ``base`` (what was last saved elsewhere) and ``names`` (of versions; those taken away included).
    """

    lineage: str = field(default_factory=lambda: uuid.uuid4().hex)
    generation: int = 1
    revision: int = 0
    floor: int = 0
    meta: Mapping[str, str] = field(default_factory=dict)
    base: Base | None = None
    names: tuple[Named, ...] = ()

    @property
    def prefix(self) -> str:
        """Under which the blobs of this lineage are, the newest lineage last."""
        return f"{self.generation:08x}-{self.lineage}/"

    @property
    def wanted(self) -> dict[Mark, str]:
        """Records whose state must stay loadable, with the name it is kept for."""
        named = {Mark(n.position, n.at, ""): n.name for n in self.names if n.name}
        return {Mark(self.base.position, self.base.at, ""): "", **named} if self.base else named

    def noted(self, meta: Mapping[str, str]) -> Manifest:
        return replace(self, meta=dict(meta), revision=self.revision + 1)

    def based(self, base: Base) -> Manifest:
        return replace(self, base=base, revision=self.revision + 1)

    def named(self, position: int, at: float, name: str) -> Manifest:
        """With `name` for the record at `position`; empty takes its name away."""
        revision = self.revision + 1
        mine = Named(position, at, name, revision)
        return replace(self, names=history.merged(self.names, [mine]), revision=revision)

    def knowing(self, names: Iterable[Named]) -> Manifest:
        """With what others named, too."""
        return replace(self, names=history.merged(self.names, names))

    def moved(self, to: Mapping[tuple[int, float], int]) -> Manifest:
        """After records got new positions. A base among them is gone: with what now comes before it is another state."""
        base = self.base if self.base and (self.base.position, self.base.at) not in to else None
        return replace(self, names=history.moved(self.names, to), base=base)

    def above(self, floor: int) -> Manifest:
        return replace(self, floor=max(self.floor, floor))

    def succeeded(self) -> Manifest:
        """An empty history that takes the place of this one."""
        return Manifest(generation=self.generation + 1)


def encode(manifest: Manifest) -> bytes:
    base = manifest.base
    body = json.dumps(
        {
            "format": FORMAT,
            "lineage": manifest.lineage,
            "generation": manifest.generation,
            "revision": manifest.revision,
            "floor": manifest.floor,
            "meta": dict(manifest.meta),
            "base": {"position": base.position, "at": base.at, "etag": base.etag} if base else None,
            "names": [[n.position, n.at, n.name, n.revision] for n in manifest.names],
        },
        indent=1,
    ).encode()
    return f"ystore {FORMAT} {google_crc32c.value(body):08x}\n".encode() + body


def decode(data: bytes) -> Manifest:
    """Raises `StoreCorrupt` for anything but what `encode` wrote, `StoreNewer` for what a later version of it did."""
    head, _, body = data.partition(b"\n")
    word, _, rest = head.partition(b" ")
    number, _, crc = rest.partition(b" ")
    if word != b"ystore" or not number.isdigit() or crc != f"{google_crc32c.value(body):08x}".encode():
        raise StoreCorrupt("the manifest is damaged")
    fields = json.loads(body)
    written = fields["format"]
    if number != str(written).encode():
        raise StoreCorrupt("the manifest is damaged")
    if written > FORMAT:
        raise StoreNewer(f"the store has format {written}, this version reads up to {FORMAT}", hint="install a newer version")
    base = fields.get("base")
    return Manifest(
        fields["lineage"],
        fields["generation"],
        fields["revision"],
        fields["floor"],
        fields["meta"],
        Base(base["position"], base["at"], base["etag"]) if base else None,
        tuple(Named(*named) for named in fields.get("names", ())),
    )


def parse_prefix(name: str) -> tuple[int, str] | None:
    """Generation and lineage of a blob's name, None for a foreign object."""
    folder, slash, _ = name.partition("/")
    generation, dash, lineage = folder.partition("-")
    try:
        return (int(generation, 16), lineage) if slash and dash and lineage else None
    except ValueError:
        return None
