"""What opening a document means, decided from what the store and the storage hold."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Opening(enum.Enum):
    """What to do with the store and the file when the first person opens a document."""

    SEED = "seed"
    """No history yet: a new lineage from the file."""
    RESUME = "resume"
    """The file holds what the store last saved: go on, with whatever the store has beyond it. The file's etag is the base."""
    RESEED = "reseed"
    """Somebody else changed the file, and all of the store was saved before: the store goes on with their version."""
    CONFLICT = "conflict"
    """Both changed: the store goes on live, the file's version becomes a conflict copy before the first save."""


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """``base_*`` describe the file at the last save or seed, empty if that was never noted.

    ``attempted_digest`` is the content of a save whose answer never came: it may well be what the storage holds.
    ``live_digest`` is the store's document rendered now, where the caller knows it. Digests as `merge.notebook.digest`.
    """

    empty: bool
    position: int = 0
    saved_position: int = 0
    base_etag: str = ""
    base_digest: str = ""
    attempted_digest: str = ""
    live_digest: str = ""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """The file as the storage has it now. An etag changes with every write, a digest only with the notebook."""

    etag: str
    digest: str


def decide(store: StoreFacts, file: FileFacts) -> Opening:
    """The decision table of the design's "one lineage, one seeder" and "nothing foreign is overwritten unseen"."""
    if store.empty:
        return Opening.SEED
    known = {store.base_digest, store.attempted_digest, store.live_digest} - {""}
    if (store.base_etag and store.base_etag == file.etag) or file.digest in known:
        return Opening.RESUME
    unsaved = store.position > store.saved_position
    return Opening.CONFLICT if unsaved else Opening.RESEED
