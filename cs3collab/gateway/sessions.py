"""Transfers that were granted and are not done: short-lived and bounded. A restart forgets them."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass
from typing import Any

from cs3collab.gateway.access import Caller
from cs3collab.gateway.checksums import Checksum
from cs3collab.gateway.status import RESOURCE_EXHAUSTED, Refused, not_found

MOST = 10_000
"""Open transfers at one time; a client that never sends what it asks for is refused past it until the oldest expire."""


@dataclass(frozen=True, slots=True)
class Upload:
    """What was asked for with InitiateFileUpload. The file is `node_id`, or the new name `name` in `parent_id`.

    ``size`` in bytes, None when the client did not say. ``unmodified_since_ns`` in Unix nanoseconds.
    """

    caller: Caller
    parent_id: str
    name: str
    node_id: str = ""
    size: int | None = None
    if_match: str = ""
    if_not_exist: bool = False
    unmodified_since_ns: int | None = None
    lock_id: str = ""
    checksum: Checksum | None = None


@dataclass(frozen=True, slots=True)
class Download:
    """A ``cs3.storage.provider.v1beta1.Reference`` to be looked up when the bytes are fetched."""

    caller: Caller
    ref: Any


class Sessions:
    """Used from the event loop and from the index thread."""

    def __init__(self, lifetime_s: int) -> None:
        self._lifetime_s = lifetime_s
        self._lock = threading.Lock()
        self._open: dict[str, tuple[float, Upload | Download]] = {}

    def add(self, session: Upload | Download) -> str:
        """Raises RESOURCE_EXHAUSTED past `MOST`."""
        now = time.monotonic()
        with self._lock:
            while self._open:
                oldest = next(iter(self._open))
                if self._open[oldest][0] > now:
                    break
                del self._open[oldest]
            if len(self._open) >= MOST:
                raise Refused(RESOURCE_EXHAUSTED, "too many open transfers")
            key = uuid.uuid4().hex
            self._open[key] = (now + self._lifetime_s, session)
        return key

    def get(self, key: str) -> Upload | Download:
        """Raises NOT_FOUND for what is done, expired or forgotten."""
        with self._lock:
            found = self._open.get(key)
        if found is None:
            raise not_found("no such transfer")
        return found[1]

    def take(self, key: str) -> Upload | Download:
        """`get`, for one caller only."""
        with self._lock:
            found = self._open.pop(key, None)
        if found is None:
            raise not_found("no such transfer")
        return found[1]
