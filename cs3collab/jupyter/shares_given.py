"""Shares that this user gives, of all kinds alike: listed, made, changed, ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET

from cs3collab.cs3 import links, shares, sharing
from cs3collab.cs3.details import Details, details
from cs3collab.cs3.links import PublicLink
from cs3collab.cs3.session import Session
from cs3collab.cs3.sharing import Group
from cs3collab.errors import (
    AlreadyExists,
    Conflict,
    InvalidInput,
    NotAuthorized,
    NotFound,
    PeerUnavailable,
    StorageUnavailable,
    Unsupported,
)
from cs3collab.jupyter import paths
from cs3collab.jupyter.places import Resolved
from cs3collab.jupyter.settings import CS3Settings
from cs3collab.jupyter.shares_json import KINDS, Kind, Link, NewShare, Share, ShareChange, Shares
from cs3collab.jupyter.shares_model import (
    LINK,
    LOCAL,
    OCM,
    bounded,
    check_change,
    check_new,
    role_name,
    role_of,
    same_user,
    share_id,
    split_id,
    time_or_none,
)
from cs3collab.jupyter.shares_people import Directory, collected
from cs3collab.jupyter.shares_where import whereabouts
from cs3collab.types import Ref, ResourceId, Role, User

Given: TypeAlias = sharing.Share | PublicLink


@dataclass(frozen=True, slots=True)
class Taken:
    """It is shared with them already, under this id."""

    id: str


class GivenShares:
    """Asks as the user of `settings`; storage decides."""

    def __init__(self, settings: CS3Settings, directory: Directory) -> None:
        self._settings = settings
        self._directory = directory

    async def listed(self, path: str | None, limit: int) -> Shares:
        """All that this user made, or those of one file or folder that storage shows them, whoever made them."""
        session = await self._settings.session()
        rid = None if path is None else (await self._shareable(path)).info.id
        sources: dict[Kind, Awaitable[list[Any]]] = {
            "user": shares.list_shares(session, rid),
            "federated": shares.list_ocm_shares(session, rid),
            "link": links.list_links(session, rid),
        }
        found, missing = await collected(sources)
        everything: list[Given] = [share for shares_of_kind in found.values() for share in shares_of_kind]
        mine = [share for share in everything if rid is not None or _is_of(share, session.user)]
        some, truncated = bounded(mine, limit, lambda share: share.ctime)
        return Shares(await self._described(some), truncated=truncated, missing=missing)

    async def get(self, id: str) -> Share:
        """Raises `NotFound`."""
        session = await self._settings.session()
        return await self._one(await self._find(session, id))

    async def create(self, new: NewShare) -> Share | Taken:
        """Raises `InvalidInput`, `NotFound` for file or person, `NotAuthorized`, `Unsupported` where the site has no such."""
        check_new(new, time.time())
        session = await self._settings.session()
        resolved = await self._shareable(new.path)
        known = await details(session, Ref.of(resolved.info.id))
        if not known.info.may_share:
            raise NotAuthorized(f"you may not share {new.path}", hint="ask its owner to share it")
        grantee = await self._grantee(new, known)
        try:
            made = await self._make(session, new, known.info.id, grantee)
        except Unsupported as error:
            raise _none_of(new.kind) from error
        except (AlreadyExists, StorageUnavailable) as error:  # v3 says INTERNAL to a share that is there
            taken = await self._existing(session, known.info.id, grantee)
            if taken is not None:
                return Taken(taken)
            if isinstance(error, StorageUnavailable) and isinstance(grantee, User) and grantee.federated:
                site = sharing.domain_of(grantee)
                raise PeerUnavailable(
                    f"the share could not be handed over to {site}: {error.message}", hint="try again later"
                ) from error
            raise
        return await self._one(made)

    async def change(self, id: str, change: ShareChange) -> Share:
        """The share as it is now; one with another site is replaced, so it has another id."""
        session = await self._settings.session()
        share = await self._find(session, id)
        check_change(change, _kind(share), time.time())
        if isinstance(share, PublicLink):
            return await self._one(await _changed_link(session, share, change))
        role = share.role if change.role is UNSET else role_of(change.role)
        if role is Role.NONE:
            raise InvalidInput("this share has a role that is neither viewer nor editor", hint="say which of them it gets")
        until = ... if change.expiration is UNSET else change.expiration
        changed = await self._one(await shares.update_share(session, share, role, expires_at=until))
        return changed if changed.id == id else msgspec.structs.replace(changed, replaces=id)

    async def remove(self, id: str) -> None:
        """Raises `NotFound`: Reva answers INTERNAL to the end of a share that is not there, so it is looked for first."""
        session = await self._settings.session()
        share = await self._find(session, id)
        try:
            await _removed(session, share)
        except StorageUnavailable as error:
            if await _is_there(session, share.resource_id):
                raise
            raise Conflict(
                "what was shared is deleted, and this site ends a share only while it is there",
                hint="nobody can open it; restore it from the recycle bin to end the share",
            ) from error

    async def _shareable(self, path: str) -> Resolved:
        if not paths.clean(path):
            raise InvalidInput("the whole home folder cannot be shared", hint="choose a file or folder in it")
        resolved = await self._settings.places.resolve(path)
        if resolved.share_id:
            raise NotAuthorized(
                f"{path} is at {resolved.home} and cannot be shared on from here", hint="ask its owner to share it"
            )
        return resolved

    async def _grantee(self, new: NewShare, known: Details) -> User | Group | None:
        if new.grantee is None:
            return None
        if new.kind == "group":
            return await self._directory.group(new.grantee.id, new.grantee.idp)
        if new.kind == "federated":
            return await self._directory.contact(new.grantee.id, new.grantee.idp)
        user = await self._directory.user(new.grantee.id, new.grantee.idp)
        if same_user(user, known.owner):
            raise InvalidInput(f"{user.label} owns {new.path}", hint="choose somebody else")
        return user

    async def _make(self, session: Session, new: NewShare, rid: ResourceId, grantee: User | Group | None) -> Given:
        role, until = role_of(new.role), new.expiration
        if grantee is None:
            return await links.create_link(session, Ref.of(rid), role, password=new.password, expires_at=until, name=new.title)
        if isinstance(grantee, User) and new.kind == "federated":
            return await shares.create_ocm_share(session, rid, grantee, role, expires_at=until)
        return await shares.create_share(session, Ref.of(rid), grantee, role, expires_at=until)

    async def _existing(self, session: Session, rid: ResourceId, grantee: User | Group | None) -> str | None:
        if isinstance(grantee, User) and grantee.federated:
            given = await shares.list_ocm_shares(session, rid)
        else:
            given = await shares.list_shares(session, rid)
        return next((_id(share) for share in given if _is_with(share, grantee)), None)

    async def _find(self, session: Session, id: str) -> Given:
        api, opaque_id = split_id(id)
        try:
            if api == LINK:
                return await links.get_link(session, opaque_id)
            return await (shares.get_ocm_share if api == OCM else shares.get_share)(session, opaque_id)
        except Unsupported as error:
            kinds: dict[str, Kind] = {LOCAL: "user", OCM: "federated", LINK: "link"}
            raise _none_of(kinds[api]) from error
        except NotFound as error:
            raise NotFound(
                f"no such share: {id[:80]}", hint="it may have ended or been replaced; list the shares again"
            ) from error

    async def _one(self, share: Given) -> Share:
        (described,) = await self._described([share])
        return described

    async def _described(self, given: Iterable[Given]) -> list[Share]:
        given = list(given)
        people = [one for share in given for one in (share.creator, share.owner or share.creator, _grantee_of(share)) if one]
        named, places = await asyncio.gather(
            self._directory.lookup(people), whereabouts(self._settings, {share.resource_id for share in given})
        )
        described = []
        for share in given:
            place = places[share.resource_id]
            grantee = _grantee_of(share)
            link = share if isinstance(share, PublicLink) else None
            described.append(
                Share(
                    id=_id(share),
                    kind=_kind(share),
                    path=place.path,
                    name=place.name or (share.name if link is None else ""),
                    type=place.type,
                    file_id=share.resource_id.file_id,
                    grantee=None if grantee is None else named(grantee),
                    link=None if link is None else self._link(link),
                    role=role_name(share.role),
                    expiration=share.expires_at,
                    created=time_or_none(share.ctime),
                    updated=time_or_none(share.mtime),
                    creator=named(share.creator),
                    owner=named(share.owner or share.creator),
                )
            )
        return described

    def _link(self, link: PublicLink) -> Link:
        url = self._settings.link_url.replace("{token}", link.token) if self._settings.link_url else ""
        return Link(link.token, url, link.name, link.password_protected)


def _none_of(kind: Kind) -> Unsupported:
    return Unsupported(f"this site has no {KINDS[kind]}", hint="share in another way")


async def _removed(session: Session, share: Given) -> None:
    if isinstance(share, PublicLink):
        await links.remove_link(session, share.id)
    elif share.ocm:
        await shares.remove_ocm_share(session, share.id)
    else:
        await shares.remove_share(session, share.id)


async def _is_there(session: Session, rid: ResourceId) -> bool:
    try:
        await details(session, Ref.of(rid))
    except (NotFound, NotAuthorized):
        return False
    return True


def _id(share: Given) -> str:
    if isinstance(share, PublicLink):
        return share_id(LINK, share.id)
    return share_id(OCM if share.ocm else LOCAL, share.id)


def _kind(share: Given) -> Kind:
    if isinstance(share, PublicLink):
        return "link"
    if share.ocm:
        return "federated"
    return "group" if share.group else "user"


def _grantee_of(share: Given) -> User | Group | None:
    if isinstance(share, PublicLink):
        return None
    if share.group:
        return Group(share.group)
    return share.grantee and replace(share.grantee, federated=share.ocm)


def _is_with(share: sharing.Share, grantee: User | Group | None) -> bool:
    theirs = _grantee_of(share)
    if isinstance(grantee, Group):
        return isinstance(theirs, Group) and theirs.opaque_id == grantee.opaque_id
    return isinstance(theirs, User) and grantee is not None and same_user(theirs, grantee)


def _is_of(share: Given, me: User) -> bool:
    """Did this user make it, or somebody else of their file? Managers of a project see those of all its members."""
    return any(one is not None and same_user(one, me) for one in (share.creator, share.owner))


async def _changed_link(session: Session, link: PublicLink, change: ShareChange) -> PublicLink:
    """CS3 changes one thing at a time: when a later one is refused, the earlier ones stay."""
    if change.password is not UNSET:
        link = await links.set_password(session, link, change.password)
    if change.role is not UNSET:
        link = await links.set_role(session, link, role_of(change.role))
    if change.expiration is not UNSET:
        link = await links.set_expiry(session, link, change.expiration)
    if change.title is not UNSET:
        link = await links.set_name(session, link, change.title)
    return link
