"""The keeper on what it runs on: the embedded gateway over gRPC and HTTP, a store on disk, a worker process."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import kept_room
from support.kept_room import NEVER, edit_cell, notebook_file, sit, sources, type_cell
from support.memory_storage import Crash
from support.sites import Site, share_local, share_ocm, site, two_sites

from cs3collab.cs3 import shares
from cs3collab.cs3.auth import BasicToken
from cs3collab.cs3.files import Files
from cs3collab.cs3.gateway import Gateway
from cs3collab.cs3.session import Session
from cs3collab.errors import StorageUnavailable
from cs3collab.gateway.server import EmbeddedGateway
from cs3collab.relay.auth import Gatekeeper, forward_share
from cs3collab.rooms.authority import Authority
from cs3collab.rooms.registry import Forward
from cs3collab.rooms.room import Seat
from cs3collab.rooms.worker import WorkerPool
from cs3collab.types import Lock, NotLatest, Ref, Role, SiteId, Target, Written
from ystore.store import Store

pytestmark = pytest.mark.integration


class Cut(Files):
    """A real storage whose next write ends as told, after it was carried out. ``dead``: its process was killed."""

    after_write: BaseException | None = None
    dead = False

    async def write(self, ref: Ref, content: bytes, **options: Any) -> Written | NotLatest:
        result = await super().write(ref, content, **options)
        if error := self.after_write:
            self.after_write = None
            raise error
        return result

    async def unlock(self, ref: Ref, lock: Lock) -> None:
        if not self.dead:
            await super().unlock(ref, lock)


class Desk:
    """Einstein's notebook ``n.ipynb`` at a site, and the authority that has it open."""

    def __init__(self, at: Site, folder: Path, pool: WorkerPool) -> None:
        self.at = at
        self.folder = folder
        self.pool = pool
        self.room: Authority | None = None

    async def open(self, username: str = "einstein", *, limits: Any = NEVER) -> Seat:
        self.files = await self.at.files("einstein")
        self.storage = Cut(await self.at.session(username))
        self.info = await self.files.stat(await self.at.ref("einstein", "n.ipynb"))
        self.ref = Ref.of(self.info.id)
        self.store = await Store.open(self.folder)
        self.room = await kept_room.open_room(
            self.storage, self.info.id, self.store, new_document=self.pool.document, limits=limits
        )
        return sit(self.room, self.storage)

    async def crash(self) -> None:
        """The lock stays on the storage. What the store acknowledged is on disk, so closing it changes nothing."""
        assert self.room
        self.storage.dead = True
        room, self.room = self.room, None
        await room.tasks.cancel()
        await room.document.close()
        await self.store.close()

    async def save(self, *, keep_version: bool = False) -> str:
        assert self.room
        result = await self.room.keeper.save(keep_version=keep_version)
        self.message = result.message
        return result.status

    async def content(self) -> list[str]:
        return sources(await self.files.read(self.ref, max_bytes=2**20))

    async def copies(self) -> list[list[str]]:
        home = await self.files.list(await self.at.ref("einstein"))
        names = [info for info in home if ".conflict-" in info.name]
        return [sources(await self.files.read(Ref.of(info.id), max_bytes=2**20)) for info in names]


@pytest.fixture
async def pool() -> AsyncIterator[WorkerPool]:
    async with WorkerPool() as pool:
        yield pool


@pytest.fixture
async def desk(tmp_path: Path, pool: WorkerPool) -> AsyncIterator[Desk]:
    async with site(tmp_path) as at:
        await at.put("einstein", "n.ipynb", notebook_file("one"))
        desk = Desk(at, tmp_path / "store", pool)
        yield desk
        if desk.room:
            await desk.room.close()


async def test_a_save_is_on_the_storage_under_a_lock_of_the_application(desk: Desk) -> None:
    seat = await desk.open()
    assert desk.room
    await type_cell(desk.room, seat, "two")
    assert await desk.save() == "success"
    assert await desk.content() == ["one", "two"]
    lock = await desk.files.get_lock(desk.ref)
    assert lock
    assert (lock.app_name, lock.holder) == ("cs3collab", None)
    assert desk.room.status.etag == (await desk.files.stat(desk.ref)).etag
    await desk.room.close()
    desk.room = None
    assert await desk.files.get_lock(desk.ref) is None


async def test_the_store_keeps_what_the_file_said_when_it_was_saved_last(desk: Desk) -> None:
    async def base() -> list[str]:
        async def nothing() -> list[bytes]:
            return []

        document = desk.pool.document("notebook", nothing)
        await document.load([await desk.store.base() or b""])
        try:
            return sources((await document.render()).content)
        finally:
            await document.close()

    seat = await desk.open()
    assert desk.room
    assert await base() == ["one"]
    await type_cell(desk.room, seat, "two")
    assert await desk.save() == "success"
    await type_cell(desk.room, seat, "not saved")
    assert await base() == await desk.content() == ["one", "two"]
    await desk.crash()
    await desk.open()
    assert await base() == ["one", "two"]
    assert desk.store.saved
    assert desk.store.saved.etag == (await desk.files.stat(desk.ref)).etag


async def test_opening_without_an_edit_leaves_the_file_untouched(desk: Desk) -> None:
    await desk.open()
    assert desk.room
    assert await desk.save(keep_version=True) == "success"
    await desk.room.close()
    desk.room = None
    assert (await desk.files.stat(desk.ref)).etag == desk.info.etag
    assert await desk.files.read(desk.ref, max_bytes=2**20) == notebook_file("one")


async def test_what_another_client_uploaded_is_merged_and_kept_beside_where_it_conflicts(desk: Desk) -> None:
    seat = await desk.open()
    assert desk.room
    await edit_cell(desk.room, seat, 0, "ours")
    await desk.files.write(desk.ref, notebook_file("theirs", "more of theirs"))
    assert await desk.save() == "success"
    assert "changed by someone else" in desk.message
    copies = [["theirs", "more of theirs"]]
    assert (await desk.content(), await desk.copies()) == (["ours", "more of theirs"], copies)
    await type_cell(desk.room, seat, "more")
    assert await desk.save() == "success"
    assert (await desk.content(), await desk.copies()) == (["ours", "more of theirs", "more"], copies)


async def test_killed_right_after_the_write_is_no_conflict_and_no_waiting_for_our_own_lock(desk: Desk) -> None:
    seat = await desk.open()
    assert desk.room
    await type_cell(desk.room, seat, "two")
    desk.storage.after_write = Crash()
    with pytest.raises(Crash):
        await desk.save()
    await desk.crash()
    assert await desk.files.get_lock(desk.ref)
    seat = await desk.open()
    assert desk.room
    await type_cell(desk.room, seat, "three")
    assert await desk.save() == "success"
    assert (await desk.content(), await desk.copies()) == (["one", "two", "three"], [])


async def test_a_lost_answer_while_typing_goes_on_is_no_conflict(desk: Desk) -> None:
    seat = await desk.open()
    assert desk.room
    await type_cell(desk.room, seat, "two")
    desk.storage.after_write = StorageUnavailable("the answer was cut")
    assert await desk.save() == "failed"
    await type_cell(desk.room, seat, "three")
    assert await desk.save() == "success"
    assert (await desk.content(), await desk.copies()) == (["one", "two", "three"], [])


async def test_another_applications_lock_is_named_and_waited_for(desk: Desk) -> None:
    seat = await desk.open()
    assert desk.room
    office = Files(await desk.at.session("einstein"), app_name="office")
    lock = Lock("office-1", app_name="office", expires_at=4e9)
    await office.set_lock(desk.ref, lock)
    await type_cell(desk.room, seat, "two")
    assert await desk.save() == "failed"
    assert "with office" in desk.message or "by office" in desk.message
    assert await desk.content() == ["one"]
    await office.unlock(desk.ref, lock)
    assert await desk.save() == "success"
    assert await desk.content() == ["one", "two"]


async def test_a_lock_broken_and_taken_by_another_application_keeps_us_from_writing(desk: Desk) -> None:
    seat = await desk.open()
    assert desk.room
    await type_cell(desk.room, seat, "two")
    assert await desk.save() == "success"
    ours = await desk.files.get_lock(desk.ref)
    assert ours
    await desk.files.unlock(desk.ref, ours)
    office = Files(await desk.at.session("einstein"), app_name="office")
    lock = Lock("office-1", app_name="office", expires_at=4e9)
    await office.set_lock(desk.ref, lock)
    theirs = (await desk.files.read(desk.ref, max_bytes=2**20)).replace(b'"one"', b'"theirs"')
    await office.write(desk.ref, theirs, lock_id="office-1")
    await edit_cell(desk.room, seat, 0, "ours")
    assert await desk.save() == "failed"
    assert await desk.content() == ["theirs", "two"]
    await office.unlock(desk.ref, lock)
    assert await desk.save() == "success"
    assert (await desk.content(), await desk.copies()) == (["ours", "two"], [["theirs", "two"]])


async def test_a_file_renamed_and_moved_is_saved_where_it_is_now(desk: Desk) -> None:
    seat = await desk.open()
    assert desk.room
    await desk.files.mkdir(await desk.at.ref("einstein", "sub"))
    await desk.files.move(await desk.at.ref("einstein", "n.ipynb"), await desk.at.ref("einstein", "sub/new.ipynb"))
    await type_cell(desk.room, seat, "two")
    assert await desk.save() == "success"
    assert sources(await desk.at.read("einstein", "sub/new.ipynb")) == ["one", "two"]
    names = [info.name for info in await desk.files.list(await desk.at.ref("einstein"))]
    assert "n.ipynb" not in names


async def test_a_deleted_file_is_saved_when_it_is_restored(desk: Desk) -> None:
    seat = await desk.open()
    assert desk.room
    await desk.files.delete(desk.ref)
    await type_cell(desk.room, seat, "two")
    assert await desk.save() == "failed"
    assert "deleted or unshared" in desk.message
    path = await desk.at.ref("einstein", "n.ipynb")
    home = await desk.at.ref("einstein")
    (item,) = await desk.files.recycled(home)
    await desk.files.restore_recycled(home, item.key, path)
    assert await desk.save() == "success"
    assert await desk.content() == ["one", "two"]


async def test_after_an_outage_of_the_gateway_it_is_saved_without_being_asked(tmp_path: Path, pool: WorkerPool) -> None:
    async with site(tmp_path) as at:
        await at.put("einstein", "n.ipynb", notebook_file("one"))
        port = int(at.address.rpartition(":")[2])
        desk = Desk(at, tmp_path / "store", pool)
        seat = await desk.open(limits=replace(NEVER, idle_save_s=0.01, busy_save_s=0.05))
        assert desk.room
        room = desk.room
        room.keeper._retry = replace(room.keeper._retry, first_s=0.05, brief_s=0.1)
        listener = kept_room.listen(room)
        await at.gateway.stop()
        await type_cell(room, seat, "two")
        async with asyncio.timeout(40):
            while not room.status.problem:
                listener.news.clear()
                await listener.news.wait()
            assert "cannot be saved now" in room.status.problem
            async with EmbeddedGateway(replace(at.config, grpc_port=port)):
                while room.status.problem:
                    listener.news.clear()
                    await listener.news.wait()
                assert await desk.content() == ["one", "two"]
                await room.close()


async def test_a_share_taken_away_ends_the_writing_and_the_owner_brings_it_in(desk: Desk) -> None:
    share = await share_local(desk.at, "einstein", "marie", "n.ipynb")
    seat = await desk.open("marie")
    assert desk.room
    await type_cell(desk.room, seat, "by marie")
    assert await desk.save() == "success"
    assert desk.room.status.saved_by == "Marie Curie (marie)"
    await shares.remove_share(await desk.at.session("einstein"), share)
    await type_cell(desk.room, seat, "more by marie")
    assert await desk.save() == "failed"
    assert await desk.content() == ["one", "by marie"]
    sit(desk.room, desk.files)
    assert await desk.save() == "success"
    assert await desk.content() == ["one", "by marie", "more by marie"]
    assert desk.room.status.saved_by == "Albert Einstein (einstein)"


async def test_a_federated_editor_saves_at_the_home_site_and_never_overwrites_what_they_cannot_copy(
    tmp_path: Path, pool: WorkerPool
) -> None:
    async with two_sites(tmp_path) as (a, b):
        await a.put("einstein", "n.ipynb", notebook_file("one"))
        share = await share_ocm(a, b, "einstein", "marie", "n.ipynb")
        received = await forward_share(await b.session("marie"), Target(share_id=share), {a.name: "here"})
        assert isinstance(received, Forward)
        async with Gateway(a.address) as gateway:
            admission = await Gatekeeper(SiteId(a.name), gateway, {}).admit(received.target, received.credentials)
            assert not isinstance(admission, Forward)
            assert admission.role is Role.EDITOR
            desk = Desk(a, tmp_path / "store", pool)
            owner = await desk.open()
            assert desk.room
            marie = desk.room.sit(Seat(admission.user, admission.role, kept_room.Listener(), admission.standing))
            await type_cell(desk.room, marie, "by marie")
            desk.room.leave(owner)
            assert await desk.save() == "success"
            assert (await desk.content(), desk.room.status.saved_by) == (["one", "by marie"], admission.user.label)

            ours = await desk.files.get_lock(desk.ref)
            assert ours
            await desk.files.unlock(desk.ref, ours)
            await desk.files.write(desk.ref, notebook_file("theirs"))
            await edit_cell(desk.room, marie, 0, "ours")
            assert await desk.save() == "failed"
            assert "nobody present may keep a copy" in desk.message
            assert await desk.content() == ["theirs"]

            sit(desk.room, desk.files)
            assert await desk.save() == "success"
            assert (await desk.content(), await desk.copies()) == (["ours", "by marie"], [["theirs"]])
            await desk.room.close()


async def test_a_wrong_password_writes_nothing_and_says_so(desk: Desk) -> None:
    seat = await desk.open()
    assert desk.room
    async with Gateway(desk.at.address) as gateway:
        stranger = Files(Session(gateway, BasicToken(gateway, "einstein", "wrong")))
        stranger.session._user = desk.files.user  # type: ignore[attr-defined]
        desk.room.seats[seat.number].backing.storage = stranger
        await type_cell(desk.room, seat, "two")
        assert await desk.save() == "failed"
        assert "Nobody present may write" in desk.message
        assert await desk.content() == ["one"]
