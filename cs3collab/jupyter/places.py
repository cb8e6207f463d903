"""Where a Jupyter path is on storage: which site's gateway to ask, by which reference, and what it says about the file.

A file another site shared is asked for at that site, with the share's own credential, where the mesh names its gateway: only
there it has its real id, and only there roles and locks are true. Else the receiving gateway's ``/ocm/<share>`` must do (Reva).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from cs3collab.cs3 import shares, sharing
from cs3collab.cs3.auth import OCMShareToken, shared_resource, shared_role
from cs3collab.cs3.files import Files
from cs3collab.cs3.gateway import Gateway
from cs3collab.cs3.session import Session
from cs3collab.cs3.sharing import OCMReceived, Received, State
from cs3collab.errors import CollabError, InvalidInput, NotAuthenticated, NotAuthorized, NotFound, Unavailable, Unsupported
from cs3collab.jupyter import paths
from cs3collab.jupyter.models import Facts
from cs3collab.jupyter.paths import Entry, Home, LocalShare, OCMShare, PathIds, Place, Project, VirtualFolder
from cs3collab.types import FileInfo, Ref, ResourceId, Role, SiteId, Target

T = TypeVar("T")

SHARES_JAIL = "a0ca6a90-a365-4782-871e-d44447bbc668"
"""Storage id of the folder of received shares that Reva v2 mounts in each home (its ``pkg/utils``); ours stands for it."""
FRESH_S = 10.0
"""How long the list of shares is believed, in seconds; a name not in it is looked for in a new list at once."""
ROLE_S = 60.0
"""How long the role in a share's token is believed, seconds: it lives for a day, and an editor may become a viewer."""
GLANCE_S = 3.0
"""How long a listing waits for another site, in seconds; then the share's own data must do."""
BATCH = 250
"""Entries of a folder that are looked at without a turn of the event loop."""
AT_ONCE = 16
"""Files asked about at the same time while a folder of shares is listed."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A path's place on storage: ask `files` for `ref`. ``limit`` is the most a share's token lets this user do."""

    path: str
    place: Place
    files: Files
    ref: Ref
    home: SiteId
    limit: Role = Role.EDITOR

    @property
    def at_home(self) -> bool:
        """False for another site's file that only the receiving gateway can be asked for."""
        return not isinstance(self.place, OCMShare) or self.ref.resource_id is not None


@dataclass(frozen=True, slots=True)
class Resolved:
    """The file at an API path.

    ``home`` is the site whose storage holds it; ``info`` is what storage says to this user, its ``id`` the id at the home
    site if ``at_home`` is true. ``share_id`` is the id of the *received* OCM share, empty for files of this site, and
    ``inside`` the path below what is shared, ``.`` for the shared file itself.
    """

    path: str
    info: FileInfo
    home: SiteId
    at_home: bool = True
    share_id: str = ""
    inside: str = "."

    def target(self, format: str = "json", type: str = "notebook") -> Target:
        """What to ask a relay of this user's site for; a relay of the home site takes it with the share's credential."""
        if self.share_id:
            return Target(format, type, None, self.share_id, self.inside)
        return Target(format, type, self.info.id)

    @property
    def file_id(self) -> str | None:
        """`ResourceId.file_id` at the home site; None when only the home relay can tell."""
        return self.info.id.file_id if self.at_home else None


@dataclass(frozen=True, slots=True)
class _Remote:
    """A received share opened at its home site."""

    files: Files
    root: ResourceId
    limit: Role
    opened_at: float


class Places:
    """`open_session` gives the session of this server's user. `ids` learns the file id of every file that is seen."""

    def __init__(self, open_session: Callable[[], Awaitable[Session]], ids: PathIds, *, site: str = "") -> None:
        self._open_session = open_session
        self._ids = ids
        self._site = site
        self._home: ResourceId | None = None
        self._entries: dict[str, dict[str, Entry]] = {}
        self._received: dict[str, OCMReceived] = {}
        self._rank: dict[str, int] = {}  # of share ids by age here: a new share must not rename one that is open
        self._listed_at: dict[str, float] = {}
        self._listing = asyncio.Lock()
        self._gateways: dict[SiteId, Gateway] = {}
        self._remotes: dict[str, _Remote] = {}

    async def close(self) -> None:
        """Closes the connections to other sites."""
        gateways, self._gateways, self._remotes = self._gateways, {}, {}
        self._listed_at.clear()
        for gateway in gateways.values():
            await gateway.close()

    async def resolve(self, path: str) -> Resolved:
        """The file or folder at `path`, asked of storage now; its id is remembered.

        Raises `NotFound`, `InvalidInput` for ``Shares`` and ``Projects`` themselves, `NotAuthenticated`, `Unavailable`.
        """
        spot = await self.spot(path)
        info = await self._stat(spot)
        place = spot.place
        resolved = Resolved(spot.path, info, spot.home)
        if isinstance(place, OCMShare):
            resolved = Resolved(spot.path, info, spot.home, spot.at_home, place.share_id, place.inside or ".")
        if resolved.file_id is not None:
            self._ids.put(spot.path, resolved.file_id)
        return resolved

    async def locate(self, path: str) -> Place:
        """Raises `InvalidInput`, and `NotFound` for a share or project that is not there."""
        path = paths.clean(path)
        parsed = paths.parse(path)
        if not isinstance(parsed, paths.Item):
            return parsed
        entries = {parsed.folder: await self._known(parsed.folder, parsed.name)}
        return paths.resolve(path, entries)

    async def spot(self, path: str) -> Spot:
        """Where to ask about `path`. Raises as `locate` does, and `InvalidInput` for ``Shares`` and ``Projects`` themselves."""
        place = await self.locate(path)
        path = paths.clean(path)
        session = await self._open_session()
        files, site = Files(session), SiteId(self._site or sharing.domain_of(session.user))
        match place:
            case Home(inside):
                return Spot(path, place, files, _below(await self._home_id(files), inside), site)
            case LocalShare(root, inside) | Project(root, inside):
                return Spot(path, place, files, _below(root, inside), site)
            case OCMShare(share_id, inside):
                return await self._spot_abroad(path, place, files, self._received[share_id], inside)
            case VirtualFolder():
                raise InvalidInput(f"{path} is no real folder", hint="choose something in it")

    async def facts(self, path: str) -> Facts:
        """What the API shows of a file or folder. Raises `NotFound`."""
        path = paths.clean(path)
        if isinstance(paths.parse(path), VirtualFolder):
            return Facts(path, is_dir=True, writable=False, mtime=time.time())
        return facts_of(path, (await self.resolve(path)).info)

    async def listing(self, path: str) -> list[Facts]:
        """What is in a folder. Raises `NotFound`."""
        path = paths.clean(path)
        parsed = paths.parse(path)
        if isinstance(parsed, VirtualFolder):
            entries = await self._known(parsed.name, None)
            return await self._entry_facts(parsed.name, entries)
        spot = await self.spot(path)
        infos = await spot.files.list(spot.ref)
        listed = []
        for number, info in enumerate(infos, 1):
            if number % BATCH == 0:
                await asyncio.sleep(0)  # the loop has others to serve
            if not path and info.name == paths.SHARES and info.id.storage_id == SHARES_JAIL:
                continue
            name = info.name if path else paths.home_name(info.name)
            child = paths.join(path, name)
            if spot.at_home:
                self._ids.put(child, info.id.file_id)
            listed.append(facts_of(child, _limited(info, spot.limit)))
        if not path:
            listed += [Facts(name, is_dir=True, writable=False, mtime=time.time()) for name in paths.VIRTUAL]
        return listed

    async def entries(self, folder: str) -> dict[str, Entry]:
        """What ``Shares`` or ``Projects`` lists now, by name."""
        return dict(await self._known(folder, None))

    async def _entry_facts(self, folder: str, entries: dict[str, Entry]) -> list[Facts]:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(name: str, entry: Entry) -> Facts | None:
            path = paths.join(folder, name)
            async with gate:
                try:
                    async with asyncio.timeout(GLANCE_S):
                        return facts_of(path, (await self.resolve(path)).info)
                except NotFound:
                    return None
                except (CollabError, TimeoutError):
                    return self._described(path, entry)

        found = await asyncio.gather(*(one(name, entry) for name, entry in entries.items()))
        return [facts for facts in found if facts is not None]

    def _described(self, path: str, entry: Entry) -> Facts | None:
        """What the share itself says while its site does not answer."""
        if not isinstance(entry.place, OCMShare):
            return None
        share = self._received[entry.place.share_id]
        return Facts(path, is_dir="." not in share.name, writable=share.role >= Role.EDITOR)

    async def _stat(self, spot: Spot) -> FileInfo:
        try:
            return _limited(await spot.files.stat(spot.ref), spot.limit)
        except NotFound as error:
            # unshared meanwhile, or the home made anew, perhaps: the next one to ask gets a new list
            self._listed_at.clear()
            self._home = None
            raise NotFound(
                f"no such file or folder: {spot.path}", hint="it may have been deleted, renamed or unshared meanwhile"
            ) from error

    async def _home_id(self, files: Files) -> ResourceId:
        """Below an id Reva v2 finds a file in a third of the time that it takes by its path."""
        if self._home is None:
            self._home = (await files.stat(Ref(await files.home()))).id
        return self._home

    # Shares and projects

    async def _known(self, folder: str, name: str | None) -> dict[str, Entry]:
        """What `folder` lists; from memory if that is fresh and has `name` (None: always asked for anew)."""
        async with self._listing:
            known = self._entries.get(folder, {})
            fresh = time.monotonic() - self._listed_at.get(folder, float("-inf")) < FRESH_S
            if name is None or not fresh or name not in known:
                session = await self._open_session()
                found = await (self._shares(session) if folder == paths.SHARES else self._projects(session))
                self._entries[folder] = known = paths.named(found)
                self._listed_at[folder] = time.monotonic()
            return known

    async def _projects(self, session: Session) -> Iterable[Entry]:
        spaces = [space for space in await Files(session).spaces() if space.kind == "project"]
        return [Entry(space.name, "", Project(space.root)) for space in sorted(spaces, key=lambda space: space.id)]

    async def _shares(self, session: Session) -> Iterable[Entry]:
        local = await _if_supported(shares.list_received_shares(session))
        abroad = await _if_supported(shares.list_received_ocm_shares(session))
        self._received = {share.id: share for share in abroad if share.state is State.ACCEPTED}
        for share_id in self._remotes.keys() - self._received.keys():
            del self._remotes[share_id]
        named = await self._named(session, [share for share in local if share.state is State.ACCEPTED])
        found = [(share.id, Entry(name, share.owner.opaque_id, LocalShare(share.resource_id))) for share, name in named]
        found += [(share.id, Entry(share.name, share.owner.key, OCMShare(share.id))) for share in self._received.values()]
        for share_id, _ in sorted(found, key=lambda pair: pair[0]):
            self._rank.setdefault(share_id, len(self._rank))
        return [entry for _, entry in sorted(found, key=lambda pair: self._rank[pair[0]])]

    async def _named(self, session: Session, received: list[Received]) -> list[tuple[Received, str]]:
        """Each share with the name of what is shared; without those that are not there any more."""
        files, gate = Files(session), asyncio.Semaphore(AT_ONCE)

        async def name(share: Received) -> str:
            async with gate:
                try:
                    return (await files.stat(Ref.of(share.resource_id))).name
                except (NotFound, NotAuthorized):
                    return ""

        names = await asyncio.gather(*map(name, received))
        return [(share, name) for share, name in zip(received, names, strict=True) if name]

    async def _spot_abroad(self, path: str, place: Place, files: Files, share: OCMReceived, inside: str) -> Spot:
        try:
            remote = await self._remote(files.session, share)
        except Unavailable:
            remote = None
        except NotAuthenticated as error:
            raise NotFound(f"{share.home} does not know the share {share.name} any more", hint="ask its owner") from error
        if remote is None:
            return Spot(path, place, files, Ref(paths.join(f"/ocm/{share.id}", inside)), share.home)
        return Spot(path, place, remote.files, _below(remote.root, inside), share.home, remote.limit)

    async def _remote(self, session: Session, share: OCMReceived) -> _Remote | None:
        """The share opened at its home site; None where the mesh does not say which gateway that is."""
        known = self._remotes.get(share.id)
        if known is not None and time.monotonic() - known.opened_at < ROLE_S:
            return known
        gateway = self._gateways.get(share.home)
        if gateway is None:
            address = await _gateway_address(session, share.home)
            if not address:
                return None
            opened = Gateway(address, tls=session.gateway.tls, timeout_s=session.gateway.timeout_s)
            gateway = self._gateways.setdefault(share.home, opened)
        tokens = OCMShareToken(gateway, share.remote_share_id, share.shared_secret)
        token = await tokens.token()
        session = await Session.open(gateway, tokens)
        remote = _Remote(Files(session), shared_resource(token), shared_role(token), time.monotonic())
        self._remotes[share.id] = remote
        return remote


def facts_of(path: str, info: FileInfo) -> Facts:
    """``writable`` is what storage allows, of which a live lock takes nothing away: those who may write may join."""
    return Facts(path, info.is_dir, info.role >= Role.EDITOR, info.mtime, None if info.is_dir else info.size, info.etag)


def _limited(info: FileInfo, limit: Role) -> FileInfo:
    return info if info.role <= limit else replace(info, role=limit)


def _below(root: ResourceId, inside: str) -> Ref:
    return Ref(f"./{inside}" if inside else ".", root)


async def _if_supported(listed: Awaitable[list[T]]) -> list[T]:
    try:
        return await listed
    except Unsupported:
        return []


async def _gateway_address(session: Session, domain: SiteId) -> str:
    """``host:port`` of a site's gateway, empty where the mesh does not list it."""
    try:
        address = (await shares.provider_info(session, domain)).services.get("Gateway", "")
    except (NotFound, Unsupported):
        return ""
    return address.rpartition("://")[2].rstrip("/")
