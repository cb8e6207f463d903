"""What the shares API decides: which requests make sense, who is found, what a share is called and where it is. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, TypeVar

from msgspec import UNSET

from cs3collab.cs3 import sharing
from cs3collab.cs3.sharing import Group
from cs3collab.errors import InvalidInput, NotFound
from cs3collab.jupyter import paths
from cs3collab.jupyter.shares_json import AnyRole, GivenRole, Kind, NewShare, Person, ShareChange
from cs3collab.types import ResourceId, Role, User

T = TypeVar("T")

MAX_LISTED: Final = 1000
LISTED: Final = 200
"""How many entries a list has when nobody asks for more or less."""
MAX_FOUND: Final = 100
FOUND: Final = 25
MAX_QUERY: Final = 200
SHORT_QUERY: Final = 2
"""Shorter words are looked for among known people of other sites alone, not in the directory of the site."""


def check_new(new: NewShare, now: float) -> None:
    """Raises `InvalidInput` for fields that do not go together."""
    if new.kind == "link" and new.grantee is not None:
        raise InvalidInput("a link has no grantee", hint="leave grantee out, or choose another kind")
    if new.kind != "link" and new.grantee is None:
        raise InvalidInput(f"a share of kind {new.kind} needs a grantee", hint="send the id and idp that a search gave")
    if new.kind != "link" and (new.password or new.title):
        raise InvalidInput("only a link has a password and a title", hint="leave them out")
    check_expiration(new.expiration, now)


def check_change(change: ShareChange, kind: Kind, now: float) -> None:
    """Raises `InvalidInput` for a change of nothing, and for what a share of this kind does not have."""
    if all(value is UNSET for value in (change.role, change.expiration, change.password, change.title)):
        raise InvalidInput("nothing to change", hint="send role, expiration, or for a link password or title")
    if kind != "link" and not (change.password is UNSET and change.title is UNSET):
        raise InvalidInput("only a link has a password and a title", hint="leave them out")
    if change.expiration is not UNSET:
        check_expiration(change.expiration, now)


def check_expiration(expiration: float | None, now: float) -> None:
    if expiration is not None and expiration <= now:
        raise InvalidInput("the expiration is over already", hint="send Unix seconds in the future, or null for no end")


# Ids: CS3 has three kinds of shares, whose ids are their own affairs


LOCAL, OCM, LINK = "local", "ocm", "link"


def share_id(api: str, opaque_id: str) -> str:
    return f"{api}:{opaque_id}"


def split_id(text: str) -> tuple[str, str]:
    """``local``, ``ocm`` or ``link``, and the id there. Raises `NotFound`."""
    api, _, opaque_id = text.partition(":")
    if api not in (LOCAL, OCM, LINK) or not opaque_id:
        raise NotFound(f"no such share: {text[:80]}", hint="list the shares again")
    return api, opaque_id


# People


def person(user: User) -> Person:
    """With the names that are known."""
    name = user.username or user.opaque_id
    kind: Literal["user", "federated"] = "federated" if user.federated else "user"
    return Person(kind, user.opaque_id, user.idp, name, user.display_name or name, user.mail)


def group_person(group: Group) -> Person:
    name = group.name or group.opaque_id
    return Person("group", group.opaque_id, group.idp, name, group.display_name or name, group.mail)


def same_user(one: User, other: User) -> bool:
    """By id, and by idp where both have one: gateways leave it out here and there."""
    if one.federated or other.federated:
        return one.federated == other.federated and sharing.mesh_key(one) == sharing.mesh_key(other)
    return one.opaque_id == other.opaque_id and (not one.idp or not other.idp or one.idp == other.idp)


def matching(people: Iterable[Person], query: str) -> list[Person]:
    """Those in whom every word of `query` is found, best first: who has a name that begins so, then by name.

    So ``al ein`` finds Albert Einstein, whatever the gateway makes of two words.
    """
    words = query.casefold().split()
    found = [(rank, one) for one in people if (rank := _rank(one, words)) is not None]
    return [one for _, one in sorted(found, key=lambda pair: (pair[0], pair[1].display_name.casefold(), pair[1].id))]


def _rank(one: Person, words: list[str]) -> int | None:
    texts = [text.casefold() for text in (one.name, one.display_name, one.mail)]
    if not all(any(word in text for text in texts) for word in words):
        return None
    beginnings = [part for text in texts[:2] for part in text.split()]
    if any(word in texts[:2] for word in words):
        return 0
    return 1 if all(any(part.startswith(word) for part in beginnings) for word in words) else 2


# Roles, times, places


def role_name(role: Role) -> AnyRole:
    names: dict[Role, AnyRole] = {Role.NONE: "none", Role.VIEWER: "viewer", Role.EDITOR: "editor"}
    return names[role]


def role_of(name: GivenRole) -> Role:
    return Role.EDITOR if name == "editor" else Role.VIEWER


def time_or_none(seconds: float) -> float | None:
    """CS3 has 0 for a time that was never set."""
    return seconds or None


def bounded(entries: Iterable[T], limit: int, newest: Callable[[T], float]) -> tuple[list[T], bool]:
    """At most `limit`, newest first, and whether that is less than all."""
    ordered = sorted(entries, key=newest, reverse=True)
    return ordered[:limit], len(ordered) > limit


def api_path(resource_id: ResourceId, path: str, home: ResourceId, home_path: str, projects: Mapping[str, str]) -> str | None:
    """Where a resource is in the tree that the user sees; None for what is neither in the home nor in a project.

    `path` as GetPath says it: within the space (Reva v2), or from the root of everything (v3). `projects` has names by space.
    """
    inside = path.strip("/")
    if resource_id.space_id and resource_id.space_id in projects:
        return paths.join(paths.join(paths.PROJECTS, projects[resource_id.space_id]), inside)
    root = home_path.strip("/")
    if root and (inside == root or inside.startswith(f"{root}/")):
        inside = inside[len(root) :].strip("/")
    elif (resource_id.storage_id, resource_id.space_id) != (home.storage_id, home.space_id):
        return None
    first, slash, rest = inside.partition("/")
    return paths.home_name(first) + slash + rest


# Invitations


def invitation_code(token: str, site: str) -> str:
    """``token@site``, the form of the Open Cloud Mesh specification before it is encoded."""
    return f"{token}@{site}"


def parse_invitation(token: str, site: str) -> tuple[str, str]:
    """Token and site of what somebody pasted: the token alone with `site`, a code, or a code in base64 as other sites send it.

    Raises `InvalidInput` when no site is named.
    """
    token, site = token.strip(), site.strip()
    if not site:
        token, _, site = (token if "@" in token else _decoded(token)).rpartition("@")
    if not token or not site:
        raise InvalidInput("the invitation does not say from which site it comes", hint="give the site too, or the whole code")
    return token, site


def _decoded(text: str) -> str:
    try:
        return base64.urlsafe_b64decode(text.replace("+", "-").replace("/", "_") + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""
