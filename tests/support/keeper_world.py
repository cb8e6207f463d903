"""A kept room over a storage in memory, for the tests of the keeper."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from jupyter_ydoc import YNotebook
from pycrdt import Doc, Map, Text
from support import kept_room
from support.kept_room import (
    NEVER,
    Disk,
    DiskLog,
    edit_book,
    edit_cell,
    listen,
    notebook_file,
    sit,
    sources,
    type_cell,
)
from support.memory_storage import ALICE, MemorySite, MemoryStorage

from cs3collab.limits import Limits
from cs3collab.rooms.authority import Authority
from cs3collab.rooms.room import Seat
from cs3collab.types import Capabilities, Role, RoomStatus

START = 1_700_000_000.0


class World:
    """One file at one site, the authority that has it open, and Alice, who sits in it."""

    def __init__(self, content: bytes, *, name: str = "n.ipynb", limits: Limits = NEVER, locks: bool = True) -> None:
        self.at = START
        self.site = MemorySite(lambda: self.at, locks=locks)
        self.id = self.site.create(name, content)
        self.disk = Disk()
        self.limits = limits
        self.capabilities = Capabilities()
        self.alice = MemoryStorage(self.site, ALICE)
        self.room: Authority
        self.seat: Seat

    async def open(self, storage: MemoryStorage | None = None, role: Role = Role.EDITOR) -> None:
        storage = storage or self.alice
        self.log = DiskLog(self.disk)
        self.room = await kept_room.open_room(
            storage, self.id, self.log, limits=self.limits, clock=lambda: self.at, capabilities=lambda: self.capabilities
        )
        self.seat = sit(self.room, storage, role)

    async def crash(self) -> None:
        """kill -9: the lock stays, nothing is said to anybody."""
        self.log.dead = self.alice.dead = True
        await self.room.tasks.cancel()
        self.alice = MemoryStorage(self.site, ALICE)

    async def type(self, source: str, seat: Seat | None = None) -> None:
        await type_cell(self.room, seat or self.seat, source)

    async def edit(self, index: int, source: str) -> None:
        await edit_cell(self.room, self.seat, index, source)

    async def delete(self, source: str) -> None:
        """The cell that says this."""

        def drop(book: YNotebook) -> None:
            del book.ycells[[str(cell["source"]) for cell in book.ycells].index(source)]

        await edit_book(self.room, self.seat, drop)

    async def write(self, content: bytes) -> None:
        """Has a text say this."""
        client: Doc[Any] = Doc()
        client.apply_update(await self.room.document.diff(b""))
        before, text = client.get_state(), client.get("source", type=Text)
        text.clear()
        text += content.decode()
        await self.room.submit(self.seat, client.get_update(before))

    async def live(self) -> list[str]:
        """The cells people see."""
        return sources((await self.room.document.render()).content)

    async def notes(self) -> list[dict[str, Any]]:
        """What people are asked to decide."""
        client: Doc[Any] = Doc()
        client.apply_update(await self.room.document.diff(b""))
        return list(client.get("conflicts", type=Map).to_py().values())

    async def until_live(self, cells: list[str]) -> None:
        """People see these cells, and nothing is left to be saved."""
        listener = listen(self.room)
        async with asyncio.timeout(20):
            while await self.live() != cells or self.room.status.saved_position < self.log.position:
                listener.news.clear()
                await listener.news.wait()

    async def save(self) -> str:
        return (await self.room.keeper.save(keep_version=False)).status

    async def until(self, holds: Callable[[RoomStatus], bool]) -> None:
        listener = listen(self.room)
        async with asyncio.timeout(20):
            while not holds(self.room.status):
                listener.news.clear()
                await listener.news.wait()

    @property
    def file(self) -> list[str]:
        return sources(self.site.content(self.id))

    @property
    def copies(self) -> dict[str, list[str]]:
        return {name: sources(content) for name, content in self.site.files().items() if ".conflict-" in name}

    @property
    def problem(self) -> str:
        return self.room.keeper.state.problem


@contextlib.asynccontextmanager
async def opened(content: bytes = notebook_file("one"), **options: Any) -> AsyncIterator[World]:
    world = World(content, **options)
    await world.open()
    try:
        yield world
    finally:
        await world.room.tasks.cancel()
