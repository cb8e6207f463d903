"""A file that several servers without a relay have open, each with its own store and authority."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from support.kept_room import Disk, DiskLog, Listener, notebook_file, open_room, sources, type_cell
from support.memory_storage import ALICE, BOB, MemorySite, MemoryStorage

from cs3collab.limits import Limits
from cs3collab.rooms.authority import Authority, Standing
from cs3collab.rooms.room import Seat, Wants
from cs3collab.types import Role, User

LIMITS = Limits(
    idle_save_s=0.01, busy_save_s=0.05, look_s=0.02, idle_look_s=0.05, lease_s=60, lease_grace_s=0.01, recheck_s=1e6
)


class Server:
    """A Jupyter server without a relay: its own store, its own authority."""

    def __init__(self, desk: Desk, name: str, user: User, kind: str = "") -> None:
        self.desk, self.name, self.user, self.kind = desk, name, user, kind
        self.storage = MemoryStorage(desk.site, user)
        self.disk = Disk()
        self.room: Authority
        self.seat: Seat

    async def open(self, role: Role = Role.EDITOR) -> Seat:
        self.log = DiskLog(self.disk)
        self.room = await open_room(
            self.storage,
            self.desk.id,
            self.log,
            limits=self.desk.limits,
            name=self.name,
            clock=lambda: self.desk.at,
            alone=True,
            kind=self.kind,
        )
        self.desk.rooms.append(self.room)
        self.seat = await self.enter(role)
        return self.seat

    async def enter(self, role: Role = Role.EDITOR, reason: str = "", wants: Wants = Wants.PEN) -> Seat:
        async def recheck() -> tuple[Role, str]:
            return role, reason

        seat = self.room.sit(Seat(self.user, role, Listener(), Standing(self.storage, recheck), reason))
        await self.room.welcome(seat, wants)
        self.room.live(seat.outlet)
        return seat

    async def crash(self) -> None:
        self.log.dead = self.storage.dead = True
        await self.room.tasks.cancel()
        self.storage = MemoryStorage(self.desk.site, self.user)

    async def live(self) -> list[str]:
        return sources((await self.room.document.render()).content)

    async def type(self, source: str) -> None:
        await type_cell(self.room, self.seat, source)

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not true():  # noqa: ASYNC110 - of a seat nobody tells
                await asyncio.sleep(0.005)

    async def until_live(self, cells: list[str]) -> None:
        async with asyncio.timeout(20):
            while await self.live() != cells:  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    async def until_saved(self) -> None:
        await self.until(lambda: self.room.status.saved_position >= self.log.position)


class Desk:
    """One file, and whoever opens it."""

    def __init__(self, locks: bool = True) -> None:
        self.at = 1_700_000_000.0
        self.limits = LIMITS
        self.site = MemorySite(lambda: self.at, locks=locks)
        self.id = self.site.create("n.ipynb", notebook_file("one"))
        self.rooms: list[Authority] = []
        self.a = Server(self, "aaaa", ALICE)
        self.b = Server(self, "bbbb", BOB)

    @property
    def file(self) -> list[str]:
        return sources(self.site.content(self.id))

    @property
    def copies(self) -> list[str]:
        return [name for name in self.site.files() if "conflict" in name]
