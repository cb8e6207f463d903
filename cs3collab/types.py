"""The nouns every ring speaks: who, which file, which room. Stdlib only, no behaviour beyond encoding."""

from __future__ import annotations

import base64
import binascii
import enum
from dataclasses import dataclass, field
from typing import NewType

from cs3collab.errors import InvalidInput

SiteId = NewType("SiteId", str)
"""Domain name of a CS3 site in the mesh, e.g. ``cernbox.cern.ch``."""

Etag = NewType("Etag", str)
"""Opaque entity tag as the storage gives it, quotes included."""

Lineage = NewType("Lineage", str)
"""Id of one Y history. Updates of different lineages are never merged."""

Position = NewType("Position", int)
"""Number of an update in the authority's log, from 1; 0 is the empty log."""


class Role(enum.IntEnum):
    """What storage lets a user do with a file, ordered so that ``min`` is the safe combination."""

    NONE = 0
    VIEWER = 1
    EDITOR = 2


@dataclass(frozen=True, slots=True)
class User:
    """A person as a CS3 gateway knows them (``cs3.identity.user.v1beta1.User``)."""

    opaque_id: str
    idp: str
    username: str = ""
    display_name: str = ""
    mail: str = ""
    federated: bool = False

    @property
    def label(self) -> str:
        """``Albert Einstein (einstein)``, as people see it."""
        name = self.display_name or self.username or self.opaque_id
        return f"{name} ({self.username})" if self.username and self.username != name else name

    @property
    def key(self) -> str:
        """``opaque@idp``, unique in the mesh."""
        return f"{self.opaque_id}@{self.idp}"


@dataclass(frozen=True, slots=True)
class ResourceId:
    """``cs3.storage.provider.v1beta1.ResourceId``: survives renames and moves."""

    storage_id: str
    opaque_id: str
    space_id: str = ""

    def __str__(self) -> str:
        return f"{self.storage_id}${self.space_id}!{self.opaque_id}"

    @property
    def file_id(self) -> str:
        """base64url without padding: no ``/`` and no ``:``, so it can stand in a room name and a URL path."""
        return base64.urlsafe_b64encode(str(self).encode()).decode().rstrip("=")

    @classmethod
    def from_file_id(cls, file_id: str) -> ResourceId:
        """Inverse of `file_id`. Raises `InvalidInput` for anything else."""
        try:
            raw = base64.urlsafe_b64decode(file_id + "=" * (-len(file_id) % 4)).decode()
            storage_id, rest = raw.split("$", 1)
            space_id, opaque_id = rest.split("!", 1)
        except (ValueError, binascii.Error) as error:
            raise InvalidInput(f"not a file id: {file_id[:80]!r}") from error
        return cls(storage_id, opaque_id, space_id)


@dataclass(frozen=True, slots=True)
class Ref:
    """A CS3 reference: a path, or a resource id with a relative path (``.`` is the resource itself)."""

    path: str = "."
    resource_id: ResourceId | None = None

    @classmethod
    def of(cls, resource_id: ResourceId) -> Ref:
        """Reference to the resource itself, the only form every CS3 lock call accepts (Reva v2)."""
        return cls(".", resource_id)

    def __str__(self) -> str:
        return self.path if self.resource_id is None else f"{self.resource_id}/{self.path}"


@dataclass(frozen=True, slots=True)
class RoomId:
    """One live document: ``format:type:file_id``, the room name of jupyter-collaboration."""

    format: str
    type: str
    file_id: str

    def __str__(self) -> str:
        return f"{self.format}:{self.type}:{self.file_id}"

    @classmethod
    def parse(cls, text: str) -> RoomId:
        """Raises `InvalidInput` unless `text` has three non-empty parts."""
        parts = text.split(":")
        if len(parts) != 3 or not all(parts) or len(text) > 1024:
            raise InvalidInput(f"not a room id: {text[:80]!r}", hint="expected format:type:file_id")
        return cls(*parts)

    @property
    def resource_id(self) -> ResourceId:
        return ResourceId.from_file_id(self.file_id)


@dataclass(frozen=True, slots=True)
class Lock:
    """A CS3 lock. ``expires_at`` is Unix seconds by the storage's clock, None for a lock without end.

    ``since`` is when it was first taken, where that is said. ``editing`` is who edits where, in words, as our own servers note.
    """

    lock_id: str
    app_name: str = ""
    holder: User | None = None
    expires_at: float | None = None
    since: float | None = None
    editing: str = ""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What Stat says about a resource (``ResourceInfo``). Sizes in bytes, times in Unix seconds."""

    id: ResourceId
    name: str
    path: str
    is_dir: bool
    etag: Etag
    size: int
    mtime: float
    role: Role
    may_share: bool = False
    mime_type: str = ""
    owner: str = ""
    parent_id: ResourceId | None = None
    lock: Lock | None = None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Written:
    """A write that happened, and the etag it left."""

    etag: Etag


@dataclass(frozen=True, slots=True)
class NotLatest:
    """A conditional write that did not happen, for the storage holds something else."""

    reason: str


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a storage was found to do, by trying it. None: nobody has tried, or it could not be told.

    ``guards``: a write without the lock's id is refused. ``etags``: each write leaves another etag. ``quiet``: a write can be
    made that leaves no version. ``metadata``: what is set beside a file is shown by the next Stat, and changes no etag.
    ``checksums``: an upload of other bytes than were announced is refused.
    """

    locks: bool | None = None
    guards: bool | None = None
    if_match: bool | None = None
    if_absent: bool | None = None
    etags: bool | None = None
    checksums: bool | None = None
    versions: bool | None = None
    quiet: bool | None = None
    metadata: bool | None = None
    spaces: bool | None = None
    ocm: bool | None = None


@dataclass(frozen=True, slots=True)
class Credential:
    """What a user shows to be let into a room. Never logged; ``repr`` hides the secret.

    ``kind`` is ``bearer`` (``secret`` is a token of the site's own gateway) or ``ocm`` (``client_id`` is the OCM share id
    at the home site, ``secret`` its shared secret).
    """

    kind: str
    secret: str = field(repr=False)
    client_id: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """The document somebody wants to open, before anyone knows its room.

    ``resource_id`` names a file of the site that is asked. ``share_id`` names a *received* OCM share at that site, or is empty
    with an ``ocm`` credential, which itself says what is shared. ``path`` is the file inside a shared folder, else ``.``.
    """

    format: str = "json"
    type: str = "notebook"
    resource_id: ResourceId | None = None
    share_id: str = ""
    path: str = "."


@dataclass(frozen=True, slots=True)
class RoomStatus:
    """What people are told about a room. Times are Unix seconds.

    ``position`` is the last durable update, ``saved_position`` the last that is in the file on storage. ``online`` is false
    while a replica cannot reach the authority. ``problem`` says in a sentence why the file is not saved, or is empty.
    """

    home: SiteId
    lineage: Lineage
    position: int = 0
    saved_position: int = 0
    saved_at: float = 0.0
    saved_by: str = ""
    etag: str = ""
    online: bool = True
    problem: str = ""
    editors: int = 0


@dataclass(frozen=True, slots=True)
class Version:
    """What a document said after the edit at ``position``, made at ``at`` (Unix seconds).

    ``authors`` made the ``edits`` since the version before, most first; ``name`` is what people call it, or empty.
    """

    position: int
    at: float
    authors: tuple[str, ...] = ()
    edits: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """A document's versions, oldest first, and its last durable ``position``.

    Of what is before ``horizon`` only versions with a name are kept; 0: all is. ``found`` is the position at the time that was
    asked for, 0 when that is before the beginning.
    """

    versions: tuple[Version, ...]
    position: int
    horizon: int = 0
    found: int = 0


@dataclass(frozen=True, slots=True)
class Restored:
    """``position`` of the edit that made the document say again what it once said; not ``changed``: it said so already."""

    position: int
    changed: bool


@dataclass(frozen=True, slots=True)
class MergedIn:
    """Another version of a document came in: the edit is durable at ``position``.

    ``conflicts`` of its changes were not taken over; ``copy`` says where the whole version is kept, empty if nothing conflicts.
    """

    position: int
    conflicts: int = 0
    copy: str = ""
