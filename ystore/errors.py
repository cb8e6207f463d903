"""Every error of the store, named after what its catcher does.

``StoreError``
  ``StoreLocked``        another process (or another `Store`) has the directory open
  ``StoreClosed``        used after ``close``
  ``StoreUnavailable``   the disk or the blob store refuses: nothing was acknowledged, try again later
    ``StoreOverloaded``  too many bytes wait for the disk
  ``StoreCorrupt``       bytes on disk are not what was written, and there is no good copy
  ``StoreNewer``         written by a later version in a format this one cannot read; nothing was touched
  ``PoisonedRecord``     an update that cannot be replayed; names its position and author
  ``PositionGone``       a position beyond the log, or one that compaction has dropped (also LookupError)
``BlobNotFound`` (KeyError), ``BlobConflict``: what a `ystore.blobs.BlobStore` raises
"""

from __future__ import annotations


class StoreError(Exception):
    """Base of all. ``hint`` tells a person what to do."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class StoreLocked(StoreError): ...


class StoreClosed(StoreError): ...


class StoreUnavailable(StoreError): ...


class StoreOverloaded(StoreUnavailable): ...


class StoreCorrupt(StoreError): ...


class StoreNewer(StoreError): ...


class PoisonedRecord(StoreError):
    """``position`` is 0 when the fault is in a snapshot rather than in one record."""

    def __init__(self, message: str, *, position: int = 0, author: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.position = position
        self.author = author


class PositionGone(StoreError, LookupError):
    __str__ = StoreError.__str__


class BlobNotFound(KeyError):
    """No object of that name."""


class BlobConflict(Exception):
    """A conditional put that did not happen: the object is there (if_absent) or is another (if_match)."""
