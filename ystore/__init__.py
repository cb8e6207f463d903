"""A durable log of Y updates with snapshots, on local disk and a blob store. See docs/reference/ystore-format.md."""

from ystore.blobs import BlobStore, DirectoryBlobs, MemoryBlobs
from ystore.directory import Cut, Report
from ystore.errors import (
    BlobConflict,
    BlobNotFound,
    PoisonedRecord,
    PositionGone,
    StoreClosed,
    StoreCorrupt,
    StoreError,
    StoreLocked,
    StoreNewer,
    StoreOverloaded,
    StoreUnavailable,
)
from ystore.history import Base, Retention, Version
from ystore.journal import Journal
from ystore.record import Record
from ystore.store import Status, Store, Tuning

__all__ = [
    "Base",
    "BlobConflict",
    "BlobNotFound",
    "BlobStore",
    "Cut",
    "DirectoryBlobs",
    "Journal",
    "MemoryBlobs",
    "PoisonedRecord",
    "PositionGone",
    "Record",
    "Report",
    "Retention",
    "Status",
    "Store",
    "StoreClosed",
    "StoreCorrupt",
    "StoreError",
    "StoreLocked",
    "StoreNewer",
    "StoreOverloaded",
    "StoreUnavailable",
    "Tuning",
    "Version",
]
