"""A real authority with its keeper over a storage in memory; Y documents live in this process, the log in a list."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pycrdt
from jupyter_ydoc import YNotebook
from support.memory_storage import Crash

from cs3collab.limits import Limits
from cs3collab.merge import notebook
from cs3collab.merge.ydoc import YDocument
from cs3collab.rooms.authority import Authority, Standing
from cs3collab.rooms.history import NewDocument
from cs3collab.rooms.opening import Opener
from cs3collab.rooms.ports import Applied, Log, Merged, Rendered, Storage
from cs3collab.rooms.registry import Admission
from cs3collab.rooms.room import Seat
from cs3collab.types import Capabilities, Ref, ResourceId, Role, RoomId, RoomStatus, SiteId
from ystore.errors import PositionGone, StoreUnavailable

NEVER = Limits(idle_save_s=1e6, busy_save_s=1e6, recheck_s=1e6, look_s=1e6)
"""Saves only when the test says so."""
SOON = Limits(idle_save_s=0.01, busy_save_s=0.05, lease_grace_s=0.02, recheck_s=1e6)


def notebook_file(*sources: str) -> bytes:
    cells = [{"cell_type": "markdown", "id": f"cell-{n}", "metadata": {}, "source": source} for n, source in enumerate(sources)]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def sources(content: bytes) -> list[str]:
    return [cell["source"] for cell in notebook.parse(content)["cells"]]


class HereDocument:
    """`cs3collab.rooms.ports.Document` without the process around it."""

    def __init__(self, kind: str = "notebook") -> None:
        self.kind = kind
        self.y = YDocument(kind)

    async def load(self, updates: list[bytes]) -> None:
        self.y.load(updates)

    async def seed(self, content: bytes) -> bytes:
        return self.y.seed(content)

    async def revise(self, content: bytes) -> bytes:
        return self.y.revise(content)

    async def merge(self, base: bytes | None, theirs: bytes, names: Sequence[str] = ()) -> Merged:
        return Merged(*self.y.merge(base, theirs, names))

    async def differences(self, bases: list[bytes], theirs: bytes) -> list[tuple[int, int]]:
        return self.y.differences(bases, theirs)

    async def digest(self, content: bytes) -> str:
        return self.y.digest(content)

    async def note_conflicts(self, notes: str) -> bytes:
        return self.y.note_conflicts(notes)

    async def decide(self, keys: Sequence[str]) -> bytes:
        return self.y.decide(keys)

    async def apply(self, update: bytes) -> Applied:
        return Applied(self.y.apply(update))

    async def diff(self, state_vector: bytes) -> bytes:
        return self.y.diff(state_vector)

    async def state(self) -> bytes:
        return self.y.state()

    async def render(self) -> Rendered:
        return Rendered(*self.y.render(), tuple(self.y.names()))

    async def mark_saved(self, content_hash: str, *, clean: bool) -> bytes:
        return self.y.mark_saved(content_hash, clean=clean)

    async def close(self) -> None: ...


class Disk:
    """What survives a process: updates and meta of one document."""

    def __init__(self) -> None:
        self.lineages = 1
        self.updates: list[bytes] = []
        self.meta: dict[str, str] = {}
        self.base: tuple[int, str] | None = None
        self.refuses_meta = 0
        self.crash_on_meta = 0
        """Which `set_meta` from now on the process does not survive; what it wrote before is there."""


class DiskLog:
    """`cs3collab.rooms.ports.Log` over a `Disk`. ``dead`` once its process was killed."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.dead = False

    @property
    def lineage(self) -> str:
        return str(self.disk.lineages)

    @property
    def position(self) -> int:
        return len(self.disk.updates)

    @property
    def meta(self) -> Mapping[str, str]:
        return MappingProxyType(self.disk.meta)

    def _alive(self) -> None:
        if self.dead:
            raise StoreUnavailable("this process is dead")

    async def append(self, update: bytes, author: str = "", at: float | None = None) -> int:
        self._alive()
        self.disk.updates.append(update)
        return self.position

    async def load(self, position: int | None = None) -> bytes:
        return pycrdt.merge_updates(*self.disk.updates[:position])

    async def updates(self) -> AsyncIterator[bytes]:
        for update in list(self.disk.updates):
            yield update

    async def set_meta(self, values: Mapping[str, str]) -> None:
        self._alive()
        if self.disk.crash_on_meta:
            self.disk.crash_on_meta -= 1
            if not self.disk.crash_on_meta:
                raise Crash
        if self.disk.refuses_meta:
            self.disk.refuses_meta -= 1
            raise StoreUnavailable("the disk is full")
        self.disk.meta.update(values)

    async def set_base(self, position: int, etag: str, meta: Mapping[str, str] | None = None) -> None:
        if not 0 < position <= self.position:
            raise PositionGone(f"there is no position {position}")
        await self.set_meta(meta or {})
        self.disk.base = position, etag

    async def base(self) -> bytes | None:
        return await self.load(self.disk.base[0]) if self.disk.base else None

    async def quarantine(self, update: bytes, author: str, reason: str) -> None: ...
    async def flush(self) -> None: ...
    async def close(self) -> None: ...


class Listener:
    """An outlet that only hears the status; ``news`` is set by each."""

    def __init__(self) -> None:
        self.news = asyncio.Event()

    def update(self, position: int, update: bytes, author: str) -> None: ...
    def awareness(self, update: bytes) -> None: ...
    def status(self, status: RoomStatus) -> None:
        self.news.set()

    def closed(self, error: Exception) -> None: ...


def listen(room: Authority) -> Listener:
    """Hears the room's news without a seat in it."""
    listener = Listener()
    room._outlets[listener] = None
    return listener


async def open_room(
    storage: Storage,
    resource_id: ResourceId,
    log: Log,
    *,
    new_document: NewDocument = lambda kind, history: HereDocument(kind),
    limits: Limits = NEVER,
    name: str = "relay-a",
    clock: Callable[[], float] | None = None,
    capabilities: Callable[[], Capabilities] = Capabilities,
    alone: bool = False,
    kind: str = "",
) -> Authority:
    """As the registry does when the first person comes. ``clock`` replaces both of the lease's."""
    info = await storage.stat(Ref.of(resource_id))

    async def recheck() -> tuple[Role, str]:
        return Role.EDITOR, ""

    async def open_store(file_id: str) -> Log:
        return log

    opener = Opener(SiteId("a.test"), name, open_store, new_document, limits, capabilities=capabilities, alone=alone)
    room_id = RoomId("json", kind or ("notebook" if info.name.endswith(".ipynb") else "file"), resource_id.file_id)
    room = await opener.open(Admission(room_id, info, storage.user, Role.EDITOR, "", Standing(storage, recheck)))
    if clock is not None:
        lease = room.keeper._lease
        lease._clock = lease._wall = clock
    return room


def sit(room: Authority, storage: Storage, role: Role = Role.EDITOR) -> Seat:
    async def recheck() -> tuple[Role, str]:
        return role, ""

    seat = room.sit(Seat(storage.user, role, Listener(), Standing(storage, recheck)))
    room.live(seat.outlet)
    return seat


async def type_cell(room: Authority, seat: Seat, source: str) -> int:
    """Adds a cell, as a browser would; the position of the edit."""
    return await edit_book(room, seat, lambda book: book.append_cell(_cell(source)))


async def edit_cell(room: Authority, seat: Seat, index: int, source: str) -> int:
    """Has a cell say this; its identity stays."""

    def edit(book: YNotebook) -> None:
        text = book.ycells[index]["source"]
        text.clear()
        text += source

    return await edit_book(room, seat, edit)


async def drop_cells(room: Authority, seat: Seat) -> int:
    return await edit_book(room, seat, lambda book: book.ycells.clear())


async def mark_dirty(room: Authority, seat: Seat) -> int:
    def dirty(book: YNotebook) -> None:
        book.dirty = True

    return await edit_book(room, seat, dirty)


async def edit_book(room: Authority, seat: Seat, change: Any) -> int:
    client: pycrdt.Doc[Any] = pycrdt.Doc()
    client.apply_update(await room.document.diff(b""))
    before = client.get_state()
    change(YNotebook(client))
    return await room.submit(seat, client.get_update(before))


def _cell(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": source}
