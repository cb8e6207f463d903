"""The link protocol: how a server talks to a relay, and a relay to a relay. Sans-I/O: messages and their bytes, no sockets.

One websocket binary frame is a msgpack array of messages, each an array led by its tag. The version is the websocket
subprotocol (`SUBPROTOCOL`); the credential of the first channel travels in the ``Authorization`` header of the upgrade, so
that nobody unknown gets a connection. A *request* number links a question to its answer, a *channel* is one user's way into
one room, a *seq* numbers the updates of a channel. Updates go up by channel and come down once per room.
``docs/reference/protocol.md`` tells the story.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

from cs3collab.errors import InvalidInput, ProtocolViolation
from cs3collab.types import Credential, Lineage, ResourceId, Role, RoomStatus, SiteId, Target

SUBPROTOCOL = "cs3collab.v1"
LINK_PATH = "/link"
MAX_MESSAGES_PER_FRAME = 65_536
MAX_KEYS = 10_000
"""Of conflicts in one `Decide`; the authority takes fewer."""
MERGE = "merge"
"""Feature of a relay that answers `Merge`."""
DECIDE = "decide"
"""Feature of a relay that answers `Decide`."""
HISTORY = "history"
"""Feature of a relay that answers `Versions`, `ReadVersion`, `Restore` and `NameVersion`; others cut a link that asks."""


class _Message(msgspec.Struct, array_like=True, gc=False, tag_field="tag"):
    """Positional on the wire; new fields go to the end with a default, so that older peers keep working."""


class Attach(_Message, tag=1):
    """Up, request: let this user into that document."""

    request: int
    channel: int
    kind: str
    client_id: str
    secret: str
    format: str
    type: str
    resource: str
    share_id: str
    path: str

    def __repr__(self) -> str:
        return f"Attach(request={self.request}, channel={self.channel}, kind={self.kind!r})"


class Attached(_Message, tag=2):
    request: int
    room: str
    role: Role
    reason: str
    lineage: str
    name: str
    home: str
    user_id: str
    user_idp: str
    username: str
    display_name: str
    features: tuple[str, ...] = ()
    """What this relay can beyond the first relays of this version: `HISTORY`, `MERGE`, `DECIDE`."""


class Failed(_Message, tag=3):
    """Down: the answer to any request that could not be met."""

    request: int
    kind: str
    message: str
    hint: str


class Detach(_Message, tag=4):
    channel: int


class Detached(_Message, tag=5):
    """Down: this channel is over, for example because the share was taken back."""

    channel: int
    kind: str
    message: str


class Sync(_Message, tag=6):
    """Up, request: what does this link lack of a room? From the answer on, the room's news come down."""

    request: int
    room: str
    lineage: str
    state_vector: bytes


class Synced(_Message, tag=7):
    request: int
    lineage: str
    position: int
    update: bytes
    state_vector: bytes
    status: Status


class Push(_Message, tag=8):
    channel: int
    seq: int
    update: bytes


class Ack(_Message, tag=9):
    """Down: this update is durable, at this position."""

    channel: int
    seq: int
    position: int


class Refuse(_Message, tag=10):
    """Down: this update was not accepted, and why. A kind of ``unavailable`` means: keep it and send it again."""

    channel: int
    seq: int
    kind: str
    message: str
    hint: str


class Update(_Message, tag=11):
    room: str
    position: int
    author: str
    update: bytes


class Speak(_Message, tag=12):
    """Up: awareness of one user."""

    channel: int
    update: bytes


class Presence(_Message, tag=13):
    """Down: awareness of others."""

    room: str
    update: bytes


class Save(_Message, tag=14):
    request: int
    channel: int


class Saved(_Message, tag=15):
    request: int
    status: str
    position: int
    etag: str
    message: str


class Status(_Message, tag=16):
    room: str
    home: str
    lineage: str
    position: int
    saved_position: int
    saved_at: float
    saved_by: str
    etag: str
    online: bool
    problem: str
    editors: int


class RoleChanged(_Message, tag=17):
    channel: int
    role: Role
    reason: str


class Renew(_Message, tag=18):
    """Up, request: a fresh credential for a channel, before the old one ends."""

    request: int
    channel: int
    kind: str
    client_id: str
    secret: str

    def __repr__(self) -> str:
        return f"Renew(request={self.request}, channel={self.channel}, kind={self.kind!r})"


class Renewed(_Message, tag=19):
    request: int


class Closed(_Message, tag=20):
    """Down: the room was reset or this link was too slow for it: sync again."""

    room: str
    kind: str
    message: str


class Forget(_Message, tag=21):
    """Up: no more news of this room."""

    room: str


class VersionEntry(msgspec.Struct, array_like=True, gc=False):
    """`cs3collab.types.Version`. New fields go to the end with a default."""

    position: int
    at: float
    authors: list[str]
    edits: int
    name: str


class Versions(_Message, tag=22):
    """Up, request: what did the document say before? ``at`` (Unix seconds, 0: no question) asks for the position then."""

    request: int
    channel: int
    at: float


class VersionList(_Message, tag=23):
    request: int
    versions: list[VersionEntry]
    position: int
    horizon: int
    found: int


class ReadVersion(_Message, tag=24):
    """Up, request: the file as it would have been after the edit at this position."""

    request: int
    channel: int
    position: int


class VersionContent(_Message, tag=25):
    request: int
    content: bytes


class Restore(_Message, tag=26):
    """Up, request: make the document say again what it said, as an edit of this user."""

    request: int
    channel: int
    position: int


class Restored(_Message, tag=27):
    """Down: it is durable, at this position; not ``changed``: the document said so already."""

    request: int
    position: int
    changed: bool


class NameVersion(_Message, tag=28):
    """Up, request: an empty name takes the name away."""

    request: int
    channel: int
    position: int
    name: str


class VersionNamed(_Message, tag=29):
    request: int
    version: VersionEntry


class Merge(_Message, tag=30):
    """Up, request: bring in another version of the document, as an edit of this user. ``copy``: its file, if it has one."""

    request: int
    channel: int
    content: bytes
    base: bytes | None
    copy: str


class MergedIn(_Message, tag=31):
    """Down: it is durable; of the changes so many conflict, and the version is kept at ``copy``."""

    request: int
    position: int
    conflicts: int
    copy: str


class Decide(_Message, tag=32):
    """Up, request: take the notes of these conflicts off the document, for this user decides on them."""

    request: int
    channel: int
    keys: Annotated[list[str], msgspec.Meta(max_length=MAX_KEYS)]


class Decided(_Message, tag=33):
    """Down: it is durable; not ``decided``: one of them was gone, for somebody else was faster."""

    request: int
    decided: bool


Message = (
    Attach
    | Attached
    | Failed
    | Detach
    | Detached
    | Sync
    | Synced
    | Push
    | Ack
    | Refuse
    | Update
    | Speak
    | Presence
    | Save
    | Saved
    | Status
    | RoleChanged
    | Renew
    | Renewed
    | Closed
    | Forget
    | Versions
    | VersionList
    | ReadVersion
    | VersionContent
    | Restore
    | Restored
    | NameVersion
    | VersionNamed
    | Merge
    | MergedIn
    | Decide
    | Decided
)
Answer = (
    Attached | Synced | Saved | Renewed | Failed | VersionList | VersionContent | Restored | VersionNamed | MergedIn | Decided
)
HistoryRequest = Versions | ReadVersion | Restore | NameVersion | Merge | Decide

_encoder = msgspec.msgpack.Encoder()
# bounds are checked before anything is made of what a peer sent
_decoder = msgspec.msgpack.Decoder(Annotated[list[Message], msgspec.Meta(max_length=MAX_MESSAGES_PER_FRAME)])
M = TypeVar("M", bound=_Message)


def encode(messages: list[Message]) -> bytes:
    """One frame."""
    return _encoder.encode(messages)


def decode(frame: bytes) -> list[Message]:
    """Raises `ProtocolViolation` for anything that is not a frame of ours."""
    try:
        messages: list[Message] = _decoder.decode(frame)
    except (ValueError, RecursionError) as error:  # DecodeError and UnicodeDecodeError are ValueErrors
        raise ProtocolViolation("a link frame cannot be read", hint="are both relays of compatible versions?") from error
    return messages


def attach_message(request: int, channel: int, target: Target, credential: Credential) -> Attach:
    resource = target.resource_id.file_id if target.resource_id else ""
    return Attach(
        request,
        channel,
        credential.kind,
        credential.client_id,
        credential.secret,
        target.format,
        target.type,
        resource,
        target.share_id,
        target.path,
    )


def attach_parts(message: Attach) -> tuple[Target, Credential]:
    """Raises `InvalidInput`."""
    if message.kind not in ("bearer", "ocm"):
        raise InvalidInput(f"unknown kind of credential {message.kind[:20]!r}", hint="bearer or ocm")
    resource = ResourceId.from_file_id(message.resource) if message.resource else None
    target = Target(message.format, message.type, resource, message.share_id, message.path)
    return target, Credential(message.kind, message.secret, message.client_id)


def status_message(room: str, status: RoomStatus) -> Status:
    return Status(
        room,
        status.home,
        status.lineage,
        status.position,
        status.saved_position,
        status.saved_at,
        status.saved_by,
        status.etag,
        status.online,
        status.problem,
        status.editors,
    )


def status_of(message: Status) -> RoomStatus:
    return RoomStatus(
        home=SiteId(message.home),
        lineage=Lineage(message.lineage),
        position=message.position,
        saved_position=message.saved_position,
        saved_at=message.saved_at,
        saved_by=message.saved_by,
        etag=message.etag,
        online=message.online,
        problem=message.problem,
        editors=message.editors,
    )
