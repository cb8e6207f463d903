"""The live documents of one Jupyter server: at the site's relay where there is one, else with the authority in this process."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec

from cs3collab.cs3.blobs import CS3Blobs
from cs3collab.cs3.capabilities import Watch
from cs3collab.cs3.files import Files
from cs3collab.errors import NotFound
from cs3collab.jupyter.settings import CS3Settings
from cs3collab.limits import Limits
from cs3collab.relay.auth import Gatekeeper, forward_share
from cs3collab.relay.config import changed_limits
from cs3collab.relay.node import Node, open_node
from cs3collab.rooms.ports import Outlet
from cs3collab.rooms.registry import Admission, Credentials, Forward
from cs3collab.rooms.room import Room, Seat, Tasks, Wants
from cs3collab.types import Credential, Ref, RoomId, SiteId, Target
from ystore import BlobStore

STORE_FOLDER = ".cs3collab"
"""In the user's home: the cold part of the stores of documents whose authority is this server."""
KNOWN_TARGETS = 1000


class Live:
    """Opens what it needs when the first document is opened, on the server's event loop."""

    def __init__(self, settings: CS3Settings, limits: Limits | None = None) -> None:
        """With the limits of `settings` unless others are given. Raises `InvalidInput` for limits that cannot be used."""
        self.settings = settings
        self.limits = limits or changed_limits("CS3Settings.limits", settings.limits)
        self._stack = AsyncExitStack()
        self._opening: asyncio.Task[Node] | None = None
        self._targets = Targets(Path(settings.store_dir) / "shares.json")

    async def join(self, target: Target, outlet_for: Callable[[Room], Outlet], wants: Wants = Wants.SEAT) -> tuple[Room, Seat]:
        """As `Registry.join`."""
        node = await self._node()
        room, seat = await node.registry.join(target, self._credentials, outlet_for, wants)
        if target.share_id:
            await self._targets.put(str(room.id), target)
        return room, seat

    async def target(self, room: RoomId) -> Target:
        """How to ask for a room that was opened here before, also before a restart."""
        known = await self._targets.get(str(room))
        return known or Target(room.format, room.type, room.resource_id)

    def open_rooms(self, file_id: str) -> list[Room]:
        """The rooms of a file that are open in this process; opens nothing."""
        if self._opening is None or not self._opening.done() or self._opening.cancelled() or self._opening.exception():
            return []
        return [room for room in self._opening.result().registry.rooms.values() if room.id.file_id == file_id]

    async def close(self) -> None:
        """Saves what can be saved."""
        if self._opening is not None:
            with contextlib.suppress(Exception):
                await self._opening
        await self._stack.aclose()

    async def _node(self) -> Node:
        if self._opening is None or (self._opening.done() and self._opening.exception() is not None):
            self._opening = asyncio.create_task(self._open())
        return await asyncio.shield(self._opening)

    async def _open(self) -> Node:
        session = await self.settings.session()
        site = SiteId(self.settings.site or session.user.idp)
        keeper = Gatekeeper(site, session.gateway, self.settings.relays)

        async def admit(target: Target, credentials: Credentials) -> Admission | Forward:
            if self.settings.relay:
                return Forward(self.settings.relay, target, credentials)
            if target.share_id:
                return await forward_share(session, target, self.settings.relays)
            return await keeper.admit(target, credentials)

        files = Files(session)

        async def folder() -> str:
            return f"{(await files.home()).rstrip('/')}/{STORE_FOLDER}"

        async def blobs(key: str) -> BlobStore | None:
            return CS3Blobs(files, f"{await folder()}/{key}")

        async def made() -> Ref:
            return await CS3Blobs(files, await folder()).make()

        watch = Watch(files, made)
        node = await self._stack.enter_async_context(
            open_node(
                site=site,
                directory=Path(self.settings.store_dir),
                admit=admit,
                blobs=blobs,
                limits=self.limits,
                capabilities=lambda: watch.found,
                alone=not self.settings.relay,
            )
        )
        if not self.settings.relay:
            watching = Tasks("asking what the storage can do")
            self._stack.push_async_callback(watching.cancel)
            watching.start(watch.run())
        return node

    async def _credentials(self) -> Credential:
        return Credential("bearer", await (await self.settings.session()).tokens.token())


class Targets:
    """Which received share a room came from, kept over restarts: a browser that comes back only knows the room's id."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: OrderedDict[str, tuple[str, str]] | None = None
        self._lock = asyncio.Lock()

    async def get(self, room: str) -> Target | None:
        async with self._lock:
            entry = (await self._load()).get(room)
        if entry is None:
            return None
        parsed = RoomId.parse(room)
        return Target(parsed.format, parsed.type, None, *entry)

    async def put(self, room: str, target: Target) -> None:
        async with self._lock:
            known, entry = await self._load(), (target.share_id, target.path)
            if known.get(room) != entry:
                known[room] = entry
                while len(known) > KNOWN_TARGETS:
                    known.popitem(last=False)
                await asyncio.to_thread(self._write, msgspec.json.encode(dict(known)))

    async def _load(self) -> OrderedDict[str, tuple[str, str]]:
        if self._known is None:
            self._known = OrderedDict(await asyncio.to_thread(self._read))
        return self._known

    def _read(self) -> dict[str, tuple[str, str]]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, tuple[str, str]])
        except (FileNotFoundError, msgspec.DecodeError):
            return {}  # only a memory: opening the file again fills it

    def _write(self, content: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = self._path.with_suffix(".new")
        new.write_bytes(content)
        os.replace(new, self._path)


def not_here(what: str) -> NotFound:
    return NotFound(f"{what} is not offered for documents on CS3 storage", hint="use the versions of the file instead")
