"""Checksums that uploads are announced with, as Reva v2 wants them: ``<algorithm> <lower case hex>``."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from cs3collab.gateway.status import INVALID_ARGUMENT, Refused

KEY: Final = "Upload-Checksum"
_CHUNK_BYTES: Final = 2**20


@dataclass(frozen=True, slots=True)
class Checksum:
    """``value`` is as the client wrote it."""

    algorithm: str
    value: str

    def fits(self, path: Path, sha1: str = "") -> bool:
        """Is it that of the file at `path`? `sha1` is looked up when it is not given."""
        if self.algorithm == "adler32":
            return self.value == _adler32(path)
        if self.algorithm == "sha1" and sha1:
            return self.value == sha1
        with path.open("rb") as file:
            return (
                self.value == hashlib.file_digest(file, partial(hashlib.new, self.algorithm, usedforsecurity=False)).hexdigest()
            )


def announced(opaque: Any) -> Checksum | None:
    """What an upload is said to have, None when nothing is said. Raises INVALID_ARGUMENT."""
    if KEY not in opaque.map:
        return None
    algorithm, blank, value = opaque.map[KEY].value.decode(errors="replace").partition(" ")
    if not blank:
        raise Refused(INVALID_ARGUMENT, "error: bad request: invalid checksum format")
    if algorithm not in ("sha1", "md5", "adler32"):
        raise Refused(INVALID_ARGUMENT, "error: bad request: unsupported checksum algorithm")
    return Checksum(algorithm, value)


def _adler32(path: Path) -> str:
    value = 1
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            value = zlib.adler32(chunk, value)
    return f"{value:08x}"
