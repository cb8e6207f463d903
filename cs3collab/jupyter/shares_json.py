"""The JSON of the shares API, one shape for all kinds of shares.

``docs/reference/shares-api.yaml`` describes the same for its users. Times are Unix seconds.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from cs3collab.errors import InvalidInput

B = TypeVar("B")

MAX_BODY_BYTES: Final = 10_000
END_OF_TIME: Final = 253402300799
"""The last second of the year 9999, beyond which protobuf's timestamps are not defined."""

Kind = Literal["user", "group", "federated", "link"]
KINDS: Final[dict[Kind, str]] = {
    "user": "shares with users",
    "group": "shares with groups",
    "federated": "shares with other sites",
    "link": "public links",
}
GivenRole = Literal["viewer", "editor"]
AnyRole = Literal["none", "viewer", "editor"]
FileType = Literal["file", "notebook", "directory"]
State = Literal["pending", "accepted", "rejected", "unknown"]
Name = Annotated[str, Meta(max_length=1024)]
Time = Annotated[float, Meta(ge=0, le=END_OF_TIME)]


class Person(Struct, frozen=True):
    """A user of this site, a group of this site, or a user of another site. ``idp`` is the domain or issuer they belong to."""

    kind: Literal["user", "group", "federated"]
    id: str
    idp: str
    name: str
    display_name: str
    mail: str


class Link(Struct, frozen=True):
    """``url`` is empty where nobody configured how links look at this site."""

    token: str
    url: str
    title: str
    password_protected: bool


class _Share(Struct, frozen=True, kw_only=True):
    """What is told of every share."""

    id: str
    kind: Kind
    path: str | None
    name: str
    type: FileType | None
    role: AnyRole
    expiration: float | None
    created: float | None
    updated: float | None
    creator: Person
    owner: Person


class Share(_Share, frozen=True, kw_only=True):
    """A share that was given. ``path`` is null where the file is not there any more, or not within the user's reach.

    ``replaces`` is the id it had before it was changed, where changing means making another (other sites): null otherwise.
    """

    file_id: str
    grantee: Person | None
    link: Link | None
    replaces: str | None = None


class Received(_Share, frozen=True, kw_only=True):
    """A share that was got. ``path`` is where to open it, null until it is accepted.

    ``available`` is false for one that leads nowhere any more, null where nobody could tell in time.
    """

    kind: Literal["user", "group", "federated"]
    site: str
    state: State
    available: bool | None


class Missing(Struct, frozen=True):
    """A source that a list is without, with the kind of error; ``unsupported``: this site will never have it."""

    kind: Kind
    error: str
    message: str


class _List(Struct, frozen=True, kw_only=True):
    truncated: bool
    missing: list[Missing]


class Shares(_List, frozen=True):
    """Newest first."""

    shares: list[Share]


class ReceivedShares(_List, frozen=True):
    """Newest first."""

    received: list[Received]


class People(_List, frozen=True):
    """Best match first."""

    people: list[Person]


class Invitation(Struct, frozen=True):
    """``code`` is what the other person needs: the token and this site in one line."""

    token: str
    code: str
    description: str
    expiration: float | None


class Invitations(Struct, frozen=True):
    invitations: list[Invitation]
    truncated: bool


class Provider(Struct, frozen=True):
    """A site of the mesh; ``here`` is the one this server belongs to."""

    domain: str
    name: str
    here: bool


class Providers(Struct, frozen=True):
    providers: list[Provider]
    truncated: bool


class Checksum(Struct, frozen=True):
    algorithm: str
    value: str


class FileLock(Struct, frozen=True):
    """``live``: a room of ours holds it, and who may write may join."""

    app: str
    holder: Person | None
    expiration: float | None
    live: bool


class Present(Struct, frozen=True):
    id: str
    display_name: str


class Presence(Struct, frozen=True):
    """Who has the document open, as far as this server knows, because somebody has it open here."""

    people: list[Present]
    truncated: bool
    editors: int


class Info(Struct, frozen=True):
    """``file_id`` is null for another site's file that cannot be asked about there. ``versions`` is null where not told."""

    path: str
    name: str
    type: FileType
    size: int | None
    mtime: float
    etag: str
    mimetype: str
    file_id: str | None
    site: str
    owner: Person
    role: AnyRole
    may_share: bool
    checksum: Checksum | None
    versions: int | None
    lock: FileLock | None
    presence: Presence | None


class Failure(Struct, frozen=True):
    """What went wrong. ``error`` is a kind of `cs3collab.errors`; ``share`` the id of the share that is there already."""

    message: str
    hint: str
    error: str
    share: str | None = None


class _Body(Struct, frozen=True, forbid_unknown_fields=True):
    """What is sent: an unknown field is a mistake, and never silently without effect."""


class Grantee(_Body, frozen=True):
    id: Annotated[str, Meta(min_length=1, max_length=1024)]
    idp: Name = ""


class NewShare(_Body, frozen=True):
    """``grantee`` with all kinds but link; ``password`` and ``title`` with link alone."""

    path: Annotated[str, Meta(min_length=1, max_length=4096)]
    kind: Kind
    role: GivenRole
    grantee: Grantee | None = None
    expiration: Time | None = None
    password: Name = ""
    title: Name = ""


class ShareChange(_Body, frozen=True):
    """What is not named stays; a null ``expiration`` takes the end away, an empty ``password`` the password."""

    role: GivenRole | UnsetType = UNSET
    expiration: Time | UnsetType | None = UNSET
    password: Name | UnsetType = UNSET
    title: Name | UnsetType = UNSET


class Answer(_Body, frozen=True):
    state: Literal["accepted", "rejected"]


class NewInvitation(_Body, frozen=True):
    description: Name = ""


class Acceptance(_Body, frozen=True):
    """``site`` may be left out of a code that names it."""

    token: Annotated[str, Meta(min_length=1, max_length=4096)]
    site: Name = ""


def parse(body: bytes, kind: type[B]) -> B:
    """Raises `InvalidInput` that says which field is wrong."""
    if len(body) > MAX_BODY_BYTES:
        raise InvalidInput("the request is too long", hint=f"at most {MAX_BODY_BYTES} bytes")
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        names = ", ".join(kind.__struct_encode_fields__) if issubclass(kind, Struct) else ""
        raise InvalidInput(f"the request cannot be read: {error}", hint=f"send JSON with {names}") from error
