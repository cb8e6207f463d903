"""Edits, saves, writes of others, faults, thefts and crashes in any order: nothing on the storage is lost, nothing typed."""

import asyncio
import contextlib
import json
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support import kept_room
from support.kept_room import Disk, DiskLog, mark_dirty, notebook_file, sit, sources, type_cell
from support.memory_storage import ALICE, BOB, Crash, Fault, Hook, MemorySite, MemoryStorage, foreign_lock

from cs3collab.rooms.authority import Authority
from cs3collab.rooms.room import Seat
from cs3collab.types import Role, User

pytestmark = pytest.mark.timeout(300)  # a failure is shrunk before it is shown
OPERATIONS = ["stat", "read", "write", "write", "set_lock", "refresh_lock"]
EVENTS = ["nothing", "down", "lost", "foreign write", "foreign write", "crash", "lock broken", "lock stolen", "note refused"]
MEANWHILE = st.lists(st.tuples(st.sampled_from(OPERATIONS), st.sampled_from(EVENTS)), max_size=3)


class KeptFile(RuleBasedStateMachine):
    """The model: which cells were acknowledged, and which files others wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.at = 1_700_000_000.0
        self.site = MemorySite(lambda: self.at)
        self.id = self.site.create("n.ipynb", notebook_file("seed"))
        self.disk = Disk()
        self.typed: list[str] = []
        self.foreign: set[str] = set()
        self.theirs: set[str] = set()
        self.stale: list[bytes] = [self.site.content(self.id)]
        """What the file said of late: somebody may have it open and write it back, changed."""
        self.checked = 0
        self.room: Authority | None = None
        self.crashed = False

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    @initialize()
    def start(self) -> None:
        self.open()

    def open(self) -> None:
        self.alice, self.bob = MemoryStorage(self.site, ALICE), MemoryStorage(self.site, BOB)
        self.log = DiskLog(self.disk)
        self.run(self._open())

    async def _open(self) -> None:
        self.room = await kept_room.open_room(self.alice, self.id, self.log, clock=lambda: self.at)
        self.seats: list[Seat] = [sit(self.room, self.alice), sit(self.room, self.bob)]

    def unused(self, kind: str) -> str:
        self.at += 0.1  # conflict copies are named by the second
        return f"{kind} {self.at}"

    @precondition(lambda self: self.room)
    @rule(who=st.integers(0, 1), dirty=st.booleans())
    def type(self, who: int, dirty: bool) -> None:
        if dirty:
            self.run(mark_dirty(self.room, self.seats[who]))
        cell = self.unused("typed")
        self.run(type_cell(self.room, self.seats[who], cell))
        self.typed.append(cell)

    @precondition(lambda self: self.room)
    @rule(typed=st.booleans(), explicit=st.booleans(), meanwhile=MEANWHILE)
    def save(self, typed: bool, explicit: bool, meanwhile: list[tuple[str, str]]) -> None:
        if typed:
            self.type(who=0, dirty=False)
        for operation, event in meanwhile:
            self.site.inject(operation, self.event(event))
        keeper = self.room.keeper
        with contextlib.suppress(Crash):
            self.run(keeper.save(keep_version=True) if explicit else keeper.finish())
        if self.crashed:  # in this save or in the refreshing of the lease beside it
            self.die()
        self.site.cancel_faults()

    def event(self, name: str) -> Fault | Hook:
        def crash() -> None:
            self.crashed = True
            raise Crash

        events: dict[str, Fault | Hook] = {
            "nothing": lambda: None,
            "down": Fault.DOWN,
            "lost": Fault.LOST,
            "foreign write": self.others_write,
            "crash": crash,
            "lock broken": lambda: self.site.steal_lock(self.id, None),
            "lock stolen": lambda: self.site.steal_lock(self.id, foreign_lock(self.at + 5)),
            "note refused": lambda: setattr(self.disk, "refuses_meta", 1),
        }
        return events[name]

    @rule(kind=st.sampled_from(["add", "add to an old copy", "edit"]), which=st.integers(0, 2))
    def others_write(self, kind: str = "add", which: int = 0) -> None:
        """Somebody reads the file, now or a moment ago, and writes it back with a cell more, or with another first line."""
        self.stale = [*self.stale[-2:], self.site.content(self.id)]
        book = json.loads(self.stale[which % len(self.stale)] if kind == "add to an old copy" else self.stale[-1])
        cell = self.unused("foreign")
        self.foreign.add(cell)
        self.theirs.add(cell)
        if kind == "edit":
            self.foreign.discard("".join(book["cells"][0]["source"]))
            book["cells"][0]["source"] = cell
        else:
            added = {"cell_type": "markdown", "id": cell.replace(" ", "-").replace(".", "-"), "metadata": {}, "source": cell}
            book["cells"].append(added)
        self.site.overwrite(self.id, json.dumps(book).encode())

    @rule(seconds=st.sampled_from([1.0, 30.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.at += seconds

    @rule(kind=st.sampled_from(["lock", "role", "share", "folder", "outage", "deletion"]), who=st.sampled_from([ALICE, BOB]))
    def trouble(self, kind: str, who: User) -> None:
        """That lasts until it is healed."""
        match kind:
            case "lock":
                self.site.steal_lock(self.id, foreign_lock(None))
            case "role" | "share":
                self.site.roles[who.key] = Role.VIEWER if kind == "role" else Role.NONE
            case "folder":
                self.site.folder_roles[who.key] = Role.VIEWER
            case "outage":
                self.site.down = True
            case "deletion":
                self.site.delete(self.id)

    @precondition(lambda self: self.room)
    @rule()
    def kill(self) -> None:
        self.die()

    def die(self) -> None:
        """kill -9; what was acknowledged is on the disk, the lock on the storage."""
        assert self.room
        self.log.dead = self.alice.dead = self.bob.dead = True
        self.run(self.room.tasks.cancel())
        self.room = None
        self.crashed = False

    @precondition(lambda self: self.room is None)
    @rule()
    def restart(self) -> None:
        self.heal()
        self.open()

    @rule()
    def heal(self) -> None:
        self.site.heal()
        self.site.restore(self.id)
        self.site.roles.clear()
        self.site.folder_roles.clear()
        self.site.steal_lock(self.id, None)
        self.disk.refuses_meta = 0

    def live(self) -> list[str]:
        """What people see, but for the cell that others edit."""
        return sources(self.run(self.room.document.render()).content)[1:] if self.room else []

    @invariant()
    def what_others_wrote_is_somewhere(self) -> None:
        """As far as we replaced it: what others overwrite of each other is their affair."""
        kept = {cell for content in self.site.files().values() for cell in sources(content)}
        for content in self.site.replaced[self.checked :]:
            lost = self.foreign.intersection(sources(content)) - kept
            assert not lost - set(self.live()), f"{lost} was overwritten"
        self.checked = len(self.site.replaced)

    @invariant()
    def nothing_of_ours_is_taken_for_somebody_elses(self) -> None:
        for name, content in self.site.files().items():
            assert ".conflict-" not in name or self.theirs.intersection(sources(content)), f"{name} is our own"

    @invariant()
    def what_was_acknowledged_is_in_the_document(self) -> None:
        if self.room:
            live = self.live()
            assert [cell for cell in live if cell in self.typed] == self.typed
            assert len(live) == len(set(live))

    def teardown(self) -> None:
        """Once faults stop, the file has all that was typed, each once, and nobody's version is missing."""
        try:
            self.heal()
            if self.room is None:
                self.open()
            self.run(type_cell(self.room, self.seats[0], cell := self.unused("typed")))
            self.typed.append(cell)
            result = self.run(self.room.keeper.save(keep_version=False))
            assert result.status == "success", result
            assert sources(self.site.content(self.id))[1:] == self.live()
            assert self.room.status.saved_position == self.log.position
            self.what_others_wrote_is_somewhere()
        finally:
            if self.room:
                self.run(self.room.tasks.cancel())
            self.loop.close()


TestKeptFile = KeptFile.TestCase
TestKeptFile.settings = settings(
    max_examples=100, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
