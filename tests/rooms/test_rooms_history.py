"""History at the authority, on a real store and a real worker: listed, read, named, and brought back as an edit."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pycrdt
import pytest
from jupyter_ydoc import YNotebook
from support.kept_room import NEVER, listen, notebook_file, open_room, sit, sources, type_cell
from support.memory_storage import ALICE, BOB, MemorySite, MemoryStorage

from cs3collab.errors import Corrupt, DeadlineExceeded, InvalidInput, NotAuthorized, NotFound, Overloaded, Unavailable
from cs3collab.rooms import history
from cs3collab.rooms.authority import Authority
from cs3collab.rooms.room import Seat
from cs3collab.rooms.worker import WorkerPool
from cs3collab.types import Role, User, Version
from ystore import Retention, Store
from ystore.errors import PoisonedRecord, PositionGone, StoreCorrupt, StoreUnavailable

FIXTURES = Path(__file__).parent.parent / "fixtures"


@dataclass
class World:
    room: Authority
    store: Store
    alice: Seat
    site: MemorySite
    pool: WorkerPool

    async def says(self) -> list[str]:
        return sources((await self.room.document.render()).content)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    at = MemorySite(lambda: 1000.0)
    resource = at.create("n.ipynb", notebook_file("first"))
    alice = MemoryStorage(at, ALICE)
    command = [sys.executable, "-P", str(FIXTURES / "deadly_worker.py"), str(tmp_path)]
    async with WorkerPool(command=command) as pool:
        store = await Store.open(tmp_path / "store")
        room = await open_room(alice, resource, store, new_document=pool.document)
        made = World(room, store, sit(room, alice), at, pool)
        try:
            yield made
        finally:
            await made.room.close()


def sit_as(world: World, user: User, role: Role = Role.EDITOR) -> Seat:
    return sit(world.room, MemoryStorage(world.site, user), role)


async def test_every_position_is_read_as_it_was(world: World) -> None:
    positions = [await type_cell(world.room, world.alice, source) for source in ("second", "third")]
    said = [sources(await world.room.version(world.alice, position)) for position in (1, *positions)]
    assert said == [["first"], ["first", "second"], ["first", "second", "third"]]
    assert await world.says() == ["first", "second", "third"]


async def test_the_list_names_people_and_counts_their_edits(world: World) -> None:
    bob = sit_as(world, BOB)
    for seat in (world.alice, bob, bob):
        await type_cell(world.room, seat, "x")
    listed = await world.room.versions(world.alice)
    (last,) = [version for version in listed.versions if version.position == world.store.position]
    assert last.authors == (BOB.label, ALICE.label)
    assert (listed.position, listed.horizon, listed.found) == (world.store.position, 0, 0)
    assert sum(version.edits for version in listed.versions) == world.store.position


async def test_who_somebody_was_is_known_after_they_left_and_after_a_restart(world: World, tmp_path: Path) -> None:
    bob = sit_as(world, BOB)
    await type_cell(world.room, bob, "x")
    world.room.leave(bob)
    await world.room.close()
    resource = world.room.id.resource_id
    storage = MemoryStorage(world.site, ALICE)
    room = await open_room(storage, resource, await Store.open(tmp_path / "store"), new_document=world.pool.document)
    world.room = room
    listed = await room.versions(sit(room, storage))
    assert BOB.label in listed.versions[-1].authors


async def test_a_time_is_a_position(world: World) -> None:
    before = await world.room.versions(world.alice, 1.0)
    now = await world.room.versions(world.alice, 2.0**40)
    assert (before.found, now.found) == (0, world.store.position)


async def test_a_restore_is_a_new_edit_by_that_person_and_undone_by_another(world: World) -> None:
    bob = sit_as(world, BOB)
    await type_cell(world.room, world.alice, "second")
    before = world.store.position
    restored = await world.room.restore(bob, 1)
    assert (await world.says(), restored.changed) == (["first"], True)
    assert restored.position == world.store.position > before
    (record,) = [record async for record in world.store.records(after=before)]
    assert record.author == BOB.key
    again = await world.room.restore(world.alice, before)
    assert (await world.says(), again.position > restored.position) == (["first", "second"], True)
    assert sources(await world.room.version(world.alice, restored.position)) == ["first"]


async def test_a_restore_of_what_it_says_already_writes_nothing(world: World) -> None:
    position = await type_cell(world.room, world.alice, "second")
    restored = await world.room.restore(world.alice, position)
    assert (restored.changed, restored.position, world.store.position) == (False, position, position)


async def test_a_restore_reaches_everybody_and_keeps_what_is_typed_elsewhere(world: World) -> None:
    """The cursor and the undo of others rest on their letters: those that stay must be the same ones."""
    client: pycrdt.Doc = pycrdt.Doc()
    client.apply_update(await world.room.document.diff(b""))
    book = YNotebook(client)
    before = client.get_state()
    source = book.ycells[0]["source"]
    source += " line"
    await world.room.submit(world.alice, client.get_update(before))
    letter = source.sticky_index(1)
    await type_cell(world.room, world.alice, "second")
    got: list[bytes] = []
    bob = sit_as(world, BOB)
    bob.outlet.update = lambda position, update, author: got.append(update)  # type: ignore[method-assign]
    client.apply_update(await world.room.document.diff(client.get_state()))
    before = client.get_state()
    source += "!"  # on its way while the restore happens
    mine = client.get_update(before)
    await world.room.restore(world.alice, 1)
    await world.room.submit(world.alice, mine)
    for update in got:
        client.apply_update(update)
    assert await world.says() == ["first!"] == [str(cell["source"]) for cell in book.ycells]
    assert letter.get_index() == 1


async def test_a_restored_version_is_saved_to_the_file(world: World) -> None:
    await type_cell(world.room, world.alice, "second")
    assert (await world.room.save(world.alice)).status == "success"
    await world.room.restore(world.alice, 1)
    assert (await world.room.save(world.alice)).status == "success"
    assert sources(world.site.content(world.room.id.resource_id)) == ["first"]


async def test_viewers_look_and_touch_nothing(world: World) -> None:
    viewer = sit_as(world, BOB, Role.VIEWER)
    await type_cell(world.room, world.alice, "second")
    position = world.store.position
    assert (await world.room.versions(viewer)).versions
    assert sources(await world.room.version(viewer, 1)) == ["first"]
    for refused in (world.room.restore(viewer, 1), world.room.name_version(viewer, "mine", 1)):
        with pytest.raises(NotAuthorized):
            await refused
    assert world.store.position == position
    assert not [version for version in (await world.room.versions(viewer)).versions if version.name]


async def test_who_became_a_viewer_while_the_old_state_was_read_is_refused(world: World) -> None:
    await type_cell(world.room, world.alice, "second")
    restoring = asyncio.ensure_future(world.room.restore(world.alice, 1))
    await asyncio.sleep(0)
    world.room.set_role(world.alice, Role.VIEWER, "you are a viewer now")
    with pytest.raises(NotAuthorized):
        await restoring
    assert await world.says() == ["first", "second"]


async def test_who_has_left_is_told_nothing(world: World) -> None:
    world.room.leave(world.alice)
    for refused in (world.room.versions(world.alice), world.room.version(world.alice, 1), world.room.restore(world.alice, 1)):
        with pytest.raises(NotAuthorized):
            await refused


async def test_nobody_waits_for_a_restore_and_it_is_whole_nevertheless(world: World) -> None:
    """Whoever asked went away after the worker was told: it gets to the log, and to the file with their credential."""
    await type_cell(world.room, world.alice, "second")
    begun, news = asyncio.Event(), listen(world.room).news
    revise = world.room.document.revise

    async def noticed(content: bytes) -> bytes:
        begun.set()
        return await revise(content)

    world.room.document.revise = noticed  # type: ignore[method-assign]
    restoring = asyncio.ensure_future(world.room.restore(world.alice, 1))
    await begun.wait()
    restoring.cancel()
    world.room.leave(world.alice)
    with contextlib.suppress(asyncio.CancelledError):
        await restoring
    async with asyncio.timeout(20):
        while world.room.status.saved_position < 3:
            news.clear()
            await news.wait()
    replayed = pycrdt.Doc()
    replayed.apply_update(await world.store.load())
    assert [str(cell["source"]) for cell in YNotebook(replayed).ycells] == ["first"] == await world.says()
    assert sources(world.site.content(world.room.id.resource_id)) == ["first"]


async def test_a_restore_that_the_disk_refuses_is_made_whole_by_the_next(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await type_cell(world.room, world.alice, "second")
    append = world.store.append

    async def full(update: bytes, author: str = "", at: float | None = None) -> int:
        raise StoreUnavailable("no space left on device")

    monkeypatch.setattr(world.store, "append", full)
    with pytest.raises(Unavailable, match="durable"):
        await world.room.restore(world.alice, 1)
    monkeypatch.setattr(world.store, "append", append)
    assert not (await world.room.restore(world.alice, 1)).changed
    replayed = pycrdt.Doc()
    replayed.apply_update(await world.store.load())
    assert [str(cell["source"]) for cell in YNotebook(replayed).ycells] == ["first"]


async def test_a_name_is_kept_and_taken_away(world: World) -> None:
    await type_cell(world.room, world.alice, "second")
    named = await world.room.name_version(world.alice, " submitted ", 1)
    assert (named.position, named.name) == (1, "submitted")
    assert [v.position for v in (await world.room.versions(world.alice)).versions if v.name == "submitted"] == [1]
    assert (await world.room.name_version(world.alice, "", 1)).name == ""
    assert not [v for v in (await world.room.versions(world.alice)).versions if v.name]


async def test_a_name_belongs_to_one_version_and_there_is_an_end_to_names(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = await type_cell(world.room, world.alice, "second")
    await world.room.name_version(world.alice, "a", 1)
    with pytest.raises(InvalidInput, match="another version"):
        await world.room.name_version(world.alice, "a", second)
    monkeypatch.setattr(history, "MOST_NAMES", 1)
    with pytest.raises(Overloaded, match="take some names away"):
        await world.room.name_version(world.alice, "b", second)
    await world.room.name_version(world.alice, "", 1)
    assert (await world.room.name_version(world.alice, "b", second)).name == "b"


async def test_a_named_version_outlives_what_is_not_kept(world: World, tmp_path: Path) -> None:
    storage, resource = MemoryStorage(world.site, ALICE), world.room.id.resource_id
    positions = [await type_cell(world.room, world.alice, word) for word in ("second", "third", "fourth")]
    await world.room.name_version(world.alice, "good", positions[0])
    await world.room.close()
    store = await Store.open(tmp_path / "store", retention=Retention(age_s=None, bytes=0))
    await store.compact()
    world.room = await open_room(storage, resource, store, new_document=world.pool.document)
    seat = sit(world.room, storage)
    listed = await world.room.versions(seat)
    assert listed.horizon > positions[1]
    assert "good" in [version.name for version in listed.versions]
    with pytest.raises(NotFound, match=f"back to position {listed.horizon}"):
        await world.room.restore(seat, positions[1])
    await world.room.restore(seat, positions[0])
    assert sources((await world.room.document.render()).content) == ["first", "second"]


@pytest.mark.parametrize("name", ["12", "a\nb", "\x1b[2J", "x" * 101])
async def test_what_cannot_be_a_name_is_refused(world: World, name: str) -> None:
    with pytest.raises(InvalidInput):
        await world.room.name_version(world.alice, name, 1)


@pytest.mark.parametrize("position", [-1, 0, 99])
async def test_a_position_that_never_was_is_not_found(world: World, position: int) -> None:
    for asked in (world.room.version(world.alice, position), world.room.restore(world.alice, position)):
        with pytest.raises(NotFound):
            await asked
    with pytest.raises(NotFound):
        await world.room.name_version(world.alice, "x", position)


async def test_an_old_state_that_kills_workers_harms_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A history may hold what a later worker dies of: it is refused in a probe, and the live document goes on."""

    async def load(position: int | None = None) -> bytes:
        return b"SEGFAULT"

    await type_cell(world.room, world.alice, "second")
    monkeypatch.setattr(world.store, "load", load)
    with pytest.raises(Corrupt):
        await world.room.version(world.alice, 1)
    monkeypatch.undo()
    await type_cell(world.room, world.alice, "third")
    assert await world.says() == ["first", "second", "third"]


async def test_a_store_that_does_not_answer_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(position: int | None = None) -> bytes:
        await asyncio.Event().wait()
        return b""

    past = history.Past("notebook", world.store, world.pool.document, replace(NEVER, request_timeout_s=0.05))
    monkeypatch.setattr(world.store, "load", never)
    with pytest.raises(DeadlineExceeded):
        await past.content(1)


@pytest.mark.parametrize(
    ("error", "horizon", "expected", "said"),
    [
        (PositionGone("gone", hint="the log ends at 7"), 0, NotFound, "ends at 7"),
        (PositionGone("gone"), 12, NotFound, "back to position 12"),
        (PoisonedRecord("bad", position=3), 0, Corrupt, "bad"),
        (StoreCorrupt("bad"), 0, Corrupt, "bad"),
        (StoreUnavailable("the disk"), 0, Unavailable, "the disk"),
    ],
)
def test_what_the_store_refuses_is_said_to_people(error: Exception, horizon: int, expected: type[Exception], said: str) -> None:
    told = history.refusal(error, horizon)
    assert (type(told), said in str(told)) == (expected, True)


def test_of_very_many_versions_the_newest_and_the_named_are_told() -> None:
    versions = [Version(n, float(n), name="keep" if n in (2, 50) else "") for n in range(1, 101)]
    assert [v.position for v in history.newest(versions, 3)] == [2, 50, 98, 99, 100]
    assert history.newest(versions) == tuple(versions)
