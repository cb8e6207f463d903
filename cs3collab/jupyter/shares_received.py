"""Shares that this user got, from this site and from others in one list: seen, accepted, rejected, and where they are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from cs3collab.cs3 import shares, sharing
from cs3collab.cs3.files import Files
from cs3collab.cs3.session import Session
from cs3collab.cs3.sharing import OCMReceived
from cs3collab.cs3.sharing import Received as LocalReceived
from cs3collab.cs3.sharing import State as ShareState
from cs3collab.errors import CollabError, NotAuthenticated, NotAuthorized, NotFound
from cs3collab.jupyter import paths
from cs3collab.jupyter.models import kind as file_kind
from cs3collab.jupyter.paths import LocalShare, OCMShare, Place
from cs3collab.jupyter.places import GLANCE_S
from cs3collab.jupyter.settings import CS3Settings
from cs3collab.jupyter.shares_json import FileType, Kind, Received, ReceivedShares
from cs3collab.jupyter.shares_model import LINK, LOCAL, OCM, bounded, role_name, share_id, split_id, time_or_none
from cs3collab.jupyter.shares_people import AT_ONCE, Directory, collected
from cs3collab.jupyter.shares_where import file_type
from cs3collab.types import FileInfo, Ref, User

Got: TypeAlias = LocalReceived | OCMReceived


@dataclass(frozen=True, slots=True)
class Seen:
    """What storage says of a share: ``available`` is None where nobody could tell in time."""

    available: bool | None = None
    info: FileInfo | None = None


class GotShares:
    """Asks as the user of `settings`."""

    def __init__(self, settings: CS3Settings, directory: Directory) -> None:
        self._settings = settings
        self._directory = directory

    async def listed(self, state: str, limit: int) -> ReceivedShares:
        """Those in `state`, or all when it is empty."""
        session = await self._settings.session()
        sources: dict[Kind, Awaitable[list[Any]]] = {
            "user": shares.list_received_shares(session),
            "federated": shares.list_received_ocm_shares(session),
        }
        found, missing = await collected(sources)
        everything: list[Got] = [share for of_kind in found.values() for share in of_kind]
        wanted = [share for share in everything if state in ("", share.state.value)]
        some, truncated = bounded(wanted, limit, lambda share: share.ctime)
        return ReceivedShares(await self._described(session, some), truncated=truncated, missing=missing)

    async def get(self, id: str) -> Received:
        """Raises `NotFound`."""
        session = await self._settings.session()
        (described,) = await self._described(session, [await self._find(session, id)])
        return described

    async def answer(self, id: str, state: ShareState) -> Received:
        """Accepts or rejects, at any time and any number of times. Raises `NotFound`."""
        session = await self._settings.session()
        share = await self._find(session, id)  # Reva answers INTERNAL for one that is not there
        if isinstance(share, OCMReceived):
            await shares.set_ocm_share_state(session, share.id, state)
        else:
            await shares.set_share_state(session, share.id, state)
        return await self.get(id)

    async def _find(self, session: Session, id: str) -> Got:
        api, opaque_id = split_id(id)
        try:
            if api == LINK:
                raise NotFound("links are not received")
            return await (shares.received_ocm_share if api == OCM else shares.received_share)(session, opaque_id)
        except NotFound as error:
            raise NotFound(f"no such share: {id[:80]}", hint="it may have ended; list the shares again") from error

    async def _described(self, session: Session, got: list[Got]) -> list[Received]:
        opened = await self._opened() if any(share.state is ShareState.ACCEPTED for share in got) else {}
        named, seen = await asyncio.gather(
            self._directory.lookup([user for share in got for user in (_creator(share), _owner(share))]),
            self._looked_at(session, got, opened),
        )
        site = self._settings.site or sharing.domain_of(session.user)
        described = []
        for share, there in zip(got, seen, strict=True):
            name = share.name if there.info is None else there.info.name or share.name
            role = share.role if there.info is None else min(share.role, there.info.role)
            described.append(
                Received(
                    id=_id(share),
                    kind="federated" if isinstance(share, OCMReceived) else "group" if share.group else "user",
                    path=opened.get(_place(share)) if share.state is ShareState.ACCEPTED else None,
                    name=name,
                    type=_type(share, name, there.info),
                    site=share.home if isinstance(share, OCMReceived) else site,
                    state=share.state.value,
                    available=there.available,
                    role=role_name(role),
                    expiration=share.expires_at,
                    created=time_or_none(share.ctime),
                    updated=time_or_none(share.mtime),
                    creator=named(_creator(share)),
                    owner=named(_owner(share)),
                )
            )
        return described

    async def _opened(self) -> dict[Place, str]:
        """The paths of accepted shares."""
        entries = await self._settings.places.entries(paths.SHARES)
        return {entry.place: paths.join(paths.SHARES, name) for name, entry in reversed(entries.items())}

    async def _looked_at(self, session: Session, got: Iterable[Got], opened: Mapping[Place, str]) -> list[Seen]:
        files, gate = Files(session), asyncio.Semaphore(AT_ONCE)

        async def one(share: Got) -> Seen:
            async with gate:
                try:
                    async with asyncio.timeout(GLANCE_S):
                        return await self._look(files, share, opened)
                except (NotFound, NotAuthorized):
                    return Seen(False)
                except NotAuthenticated:
                    raise
                except (CollabError, TimeoutError):
                    return Seen()

        return await asyncio.gather(*map(one, got))

    async def _look(self, files: Files, share: Got, opened: Mapping[Place, str]) -> Seen:
        """A share within the site can be looked at before it is accepted, one of another site only then."""
        if not isinstance(share, OCMReceived):
            return Seen(True, await files.stat(Ref.of(share.resource_id)))
        path = opened.get(_place(share))
        if share.state is not ShareState.ACCEPTED or path is None:
            return Seen()
        return Seen(True, (await self._settings.places.resolve(path)).info)


def _id(share: Got) -> str:
    return share_id(OCM if isinstance(share, OCMReceived) else LOCAL, share.id)


def _place(share: Got) -> Place:
    return OCMShare(share.id) if isinstance(share, OCMReceived) else LocalShare(share.resource_id)


def _owner(share: Got) -> User:
    return replace(share.owner, federated=True) if isinstance(share, OCMReceived) else share.owner


def _creator(share: Got) -> User:
    creator = share.creator or share.owner
    return replace(creator, federated=True) if isinstance(share, OCMReceived) else creator


def _type(share: Got, name: str, info: FileInfo | None) -> FileType | None:
    if info is not None:
        return file_type(name, info)
    if not isinstance(share, OCMReceived):
        return None
    if share.is_dir:
        return "directory"
    return "notebook" if file_kind(name, is_dir=False) == "notebook" else "file"
