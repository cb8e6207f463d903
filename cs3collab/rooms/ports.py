"""What a room needs from the outside, each port on one screen (adapters: `cs3collab.cs3`, `rooms.worker`, `ystore`)."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cs3collab.types import Etag, FileInfo, Lock, NotLatest, Ref, RoomStatus, User, Written


class Storage(Protocol):
    """One user's view of one site's storage. Every call has a deadline and raises only `cs3collab.errors`."""

    @property
    def user(self) -> User: ...

    async def stat(self, ref: Ref) -> FileInfo:
        """Raises `NotFound` only after the token was proved valid (an expired one also answers NOT_FOUND on Reva v2)."""

    async def read(self, ref: Ref, *, max_bytes: int) -> bytes:
        """The whole content. Raises `Overloaded` past `max_bytes`, `Corrupt` if the body is shorter than the storage said."""

    async def write(
        self,
        ref: Ref,
        content: bytes,
        *,
        if_match: Etag | None = None,
        if_absent: bool = False,
        lock_id: str = "",
        keep_version: bool = True,
    ) -> Written | NotLatest:
        """Replaces the content atomically. A lost race is `NotLatest`; a foreign lock raises `LockHeld`."""

    async def set_lock(self, ref: Ref, lock: Lock) -> None:
        """Compare-and-swap from unlocked. Raises `LockHeld`, or `Unsupported` where the storage has no locks."""

    async def refresh_lock(self, ref: Ref, lock: Lock, *, existing_lock_id: str = "") -> None:
        """Raises `LeaseLost` when the lock on the file is not ours any more."""

    async def get_lock(self, ref: Ref) -> Lock | None: ...

    async def unlock(self, ref: Ref, lock: Lock) -> None: ...

    async def set_metadata(self, ref: Ref, values: Mapping[str, str]) -> None:
        """Beside what is there; changes neither etag nor mtime. What was set is in every `stat` that begins afterwards."""

    async def unset_metadata(self, ref: Ref, keys: list[str]) -> None:
        """Keys that are not there do not matter."""

    async def home(self) -> str:
        """The path of the user's home. Raises as `stat` does, for somebody who has none here too."""


class Applied(enum.Enum):
    """What an update did to a document."""

    CHANGED = "changed"
    KNOWN = "known"
    PENDING = "pending"
    """Depends on updates that have not come yet; kept, applied when they do."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A document as the file would hold it. Equal digests mean equal notebooks, whatever the formatting.

    ``names``: the ids of its cells, in order; of a text there are none. Before nbformat 4.5 the file does not have them.
    """

    content: bytes
    digest: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Merged:
    """What it takes to bring another version of the file in: an update, empty if nothing changed, and what conflicts as JSON.

    Empty if nothing does; else it is a list of what `cs3collab.merge.live` notes of each conflict. ``names``: which cells of
    the document are those of theirs then, as in `Rendered`.
    """

    update: bytes
    conflicts: str
    names: tuple[str, ...] = ()


class Document(Protocol):
    """A Y document that lives in a worker process. Calls on one document are carried out in the order they were made.

    ``kind`` is ``notebook`` or ``file``, which is text.
    """

    kind: str

    async def load(self, updates: list[bytes]) -> None:
        """Replaces the content by these updates. Raises `UpdateRejected`."""

    async def seed(self, content: bytes) -> bytes:
        """Turns a file into the first Y update of a lineage, applies and returns it. Raises `NotANotebook`."""

    async def revise(self, content: bytes) -> bytes:
        """Makes the document say what a file says; the update that does it, empty if nothing changed. Raises as `seed` does."""

    async def merge(self, base: bytes | None, theirs: bytes, names: Sequence[str] = ()) -> Merged:
        """What it takes to bring in what changed from one version of the file to another, to be applied. Changes nothing yet.

        `names` are those of the base, as in `Rendered`. Where that conflicts, the document is to say what it says. Without a
        base nothing in it was ever saved. Raises `NotANotebook` or `Corrupt` for what is no such file.
        """

    async def differences(self, bases: list[bytes], theirs: bytes) -> list[tuple[int, int]]:
        """How much a version of the file lacks of each of others, and has beyond (`cs3collab.merge.ancestor`)."""

    async def digest(self, content: bytes) -> str:
        """As in `Rendered`, of a document that says `content`."""

    async def note_conflicts(self, notes: str) -> bytes:
        """Notes in the document what people have to decide; the update that does it, empty when it was noted before."""

    async def noted(self) -> str:
        """What is noted so in the document, as `note_conflicts` takes it."""

    async def decide(self, keys: Sequence[str]) -> bytes:
        """Takes such notes off, all of them or none; the update that does it, empty if one of them was gone before."""

    async def apply(self, update: bytes) -> Applied:
        """Raises `UpdateRejected` for what cannot be decoded or kills a worker; the document is then as before."""

    async def diff(self, state_vector: bytes) -> bytes:
        """What a peer with `state_vector` (empty: nothing) lacks, pending updates included."""

    async def state(self) -> bytes:
        """The state vector."""

    async def render(self) -> Rendered: ...

    async def mark_saved(self, content_hash: str, *, clean: bool) -> bytes:
        """Notes the sha256 (hex) of the file's bytes in ``state.hash``, by which Jupyter's frontend knows the file for its own.

        With `clean` it clears ``dirty`` too. The update that does it, empty when nothing changed.
        """

    async def close(self) -> None: ...


class LogVersion(Protocol):
    """The part of `ystore.Version` that a room uses."""

    @property
    def position(self) -> int: ...
    @property
    def at(self) -> float: ...
    @property
    def authors(self) -> tuple[str, ...]: ...
    @property
    def edits(self) -> int: ...
    @property
    def name(self) -> str: ...


class Log(Protocol):
    """The part of `ystore.Store` that a room uses."""

    @property
    def lineage(self) -> str: ...
    @property
    def position(self) -> int: ...
    @property
    def meta(self) -> Mapping[str, str]: ...
    @property
    def horizon(self) -> int: ...

    async def append(self, update: bytes, author: str = "", at: float | None = None) -> int: ...
    async def load(self, position: int | None = None) -> bytes: ...
    def updates(self) -> AsyncIterator[bytes]: ...
    async def base(self) -> bytes | None: ...
    async def set_meta(self, values: Mapping[str, str]) -> None: ...
    async def set_base(self, position: int, etag: str, meta: Mapping[str, str] | None = None) -> None: ...
    async def quarantine(self, update: bytes, author: str, reason: str) -> None: ...
    async def versions(self) -> Sequence[LogVersion]: ...
    async def name_version(self, name: str, position: int | None = None) -> LogVersion: ...
    async def position_at(self, at: float) -> int: ...
    async def flush(self) -> None: ...
    async def close(self) -> None: ...


class Outlet(Protocol):
    """Where a room's events go: one browser socket, or one link (once per room). Never blocks; bounded by its owner."""

    def update(self, position: int, update: bytes, author: str) -> None: ...
    def awareness(self, update: bytes) -> None: ...
    def status(self, status: RoomStatus) -> None: ...
    def closed(self, error: Exception) -> None:
        """The room ended or was reset: detach, and come back if that makes sense for `error`."""
