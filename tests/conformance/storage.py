"""What every `cs3collab.rooms.ports.Storage` must do, as tests to inherit.

A subclass of `StorageContract` has a fixture ``bench`` that gives a `Bench`, and is then collected by pytest.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import pytest

from cs3collab.errors import LeaseLost, LockHeld, NotAuthenticated, NotAuthorized, NotFound, Overloaded
from cs3collab.rooms.ports import Storage
from cs3collab.types import Etag, FileInfo, Lock, NotLatest, Ref, Role, Written

LARGE = 2**30
NAMES = (
    "plain.ipynb",
    "with blank.ipynb",
    "Größe – Übersicht.ipynb",
    "分析 📈.ipynb",
    "e\u0301 decomposed.ipynb",
    "#?%41&=+;@,'\".ipynb",
    "back\\slash:colon.ipynb",
    ".hidden.ipynb",
    "x" * 200 + ".ipynb",
)


@dataclass(frozen=True, slots=True)
class Bench:
    """A site to test on. ``folder`` is empty and the owner's; the optional ones are skipped where they are None.

    ``share`` lets another user into the owner's file and gives that user's view; ``expired`` is the owner, too late.
    """

    owner: Storage
    folder: Ref
    share: Callable[[FileInfo, Role], Awaitable[Storage]] | None = None
    stranger: Storage | None = None
    expired: Storage | None = None
    conditions: bool = True
    """Whether the storage itself looks at ``if_match`` and ``if_absent``, so that of racing writers one wins."""
    locks: bool = True

    def at(self, name: str) -> Ref:
        return Ref(f"{self.folder.path.rstrip('/')}/{name}", self.folder.resource_id)

    async def file(self, content: bytes = b"first", name: str = "file.ipynb") -> FileInfo:
        await self.owner.write(self.at(name), content)
        return await self.owner.stat(self.at(name))


def lock(name: str, life_s: float = 60.0, app: str = "cs3collab-test") -> Lock:
    return Lock(name, app, None, time.time() + life_s)


OPEN = "this storage keeps nobody out: it has no roles"


def needed(part: Storage | None, why: str = OPEN) -> Storage:
    if part is None:
        pytest.skip(why)
    return part


async def read(storage: Storage, ref: Ref) -> bytes:
    return await storage.read(ref, max_bytes=LARGE)


async def written(answer: Awaitable[Written | NotLatest]) -> Etag:
    outcome = await answer
    assert isinstance(outcome, Written), outcome
    return outcome.etag


class Writing:
    async def test_what_is_written_is_read_and_has_the_etag_that_was_said(self, bench: Bench) -> None:
        ref = bench.at("new.ipynb")
        etag = await written(bench.owner.write(ref, b"\x00content\xff\r\n"))
        info = await bench.owner.stat(ref)
        assert (info.etag, info.size, info.name, info.is_dir) == (etag, 11, "new.ipynb", False)
        assert info.role is Role.EDITOR
        assert await read(bench.owner, ref) == b"\x00content\xff\r\n"
        assert await read(bench.owner, Ref.of(info.id)) == b"\x00content\xff\r\n"

    async def test_each_write_changes_the_etag_even_of_equal_bytes(self, bench: Bench) -> None:
        info = await bench.file(b"same")
        ref = Ref.of(info.id)
        etags = [info.etag] + [await written(bench.owner.write(ref, b"same")) for _ in range(3)]
        assert len(set(etags)) == 4
        assert (await bench.owner.stat(ref)).id == info.id

    async def test_reading_changes_nothing(self, bench: Bench) -> None:
        info = await bench.file()
        await read(bench.owner, Ref.of(info.id))
        assert (await bench.owner.stat(Ref.of(info.id))).etag == info.etag

    @pytest.mark.parametrize("name", NAMES)
    async def test_names_of_all_sorts_are_kept(self, bench: Bench, name: str) -> None:
        info = await bench.file(name.encode(), name)
        assert info.name == name
        assert await read(bench.owner, bench.at(name)) == name.encode()
        assert await read(bench.owner, Ref.of(info.id)) == name.encode()

    async def test_an_empty_file_can_be_made_filled_and_emptied(self, bench: Bench) -> None:
        ref = bench.at("empty.ipynb")
        first = await written(bench.owner.write(ref, b"", if_absent=True))
        assert await read(bench.owner, ref) == b""
        second = await written(bench.owner.write(ref, b"filled", if_match=first))
        third = await written(bench.owner.write(ref, b"", if_match=second))
        assert (await bench.owner.stat(ref)).etag == third
        assert await read(bench.owner, ref) == b""

    async def test_a_large_file_comes_back_whole(self, bench: Bench) -> None:
        content = bytes(range(256)) * (20 * 4096)
        info = await bench.file(content)
        assert await read(bench.owner, Ref.of(info.id)) == content

    async def test_a_file_past_the_bound_is_not_read(self, bench: Bench) -> None:
        info = await bench.file(b"x" * 1000)
        assert await bench.owner.read(Ref.of(info.id), max_bytes=1000) == b"x" * 1000
        with pytest.raises(Overloaded):
            await bench.owner.read(Ref.of(info.id), max_bytes=999)

    async def test_a_write_without_keeping_a_version_writes(self, bench: Bench) -> None:
        info = await bench.file()
        etag = await written(bench.owner.write(Ref.of(info.id), b"second", if_match=info.etag, keep_version=False))
        assert (await bench.owner.stat(Ref.of(info.id))).etag == etag
        assert await read(bench.owner, Ref.of(info.id)) == b"second"

    async def test_what_is_not_there_is_not_found(self, bench: Bench) -> None:
        ref = bench.at("missing.ipynb")
        with pytest.raises(NotFound):
            await bench.owner.stat(ref)
        with pytest.raises(NotFound):
            await read(bench.owner, ref)
        there = (await bench.file()).id
        with pytest.raises(NotFound):
            await bench.owner.stat(Ref.of(replace(there, opaque_id="no-such-file")))

    async def test_a_missing_folder_is_not_found_and_not_made(self, bench: Bench) -> None:
        with pytest.raises(NotFound):
            await bench.owner.write(bench.at("no folder/file.ipynb"), b"content")
        with pytest.raises(NotFound):
            await bench.owner.stat(bench.at("no folder"))


class Conditions:
    async def test_a_write_on_the_known_etag_happens(self, bench: Bench) -> None:
        info = await bench.file()
        await written(bench.owner.write(Ref.of(info.id), b"second", if_match=info.etag))
        assert await read(bench.owner, Ref.of(info.id)) == b"second"

    async def test_a_write_on_an_older_etag_changes_nothing(self, bench: Bench) -> None:
        info = await bench.file()
        ref = Ref.of(info.id)
        now = await written(bench.owner.write(ref, b"theirs"))
        assert isinstance(await bench.owner.write(ref, b"mine", if_match=info.etag), NotLatest)
        assert await read(bench.owner, ref) == b"theirs"
        assert (await bench.owner.stat(ref)).etag == now

    async def test_a_write_on_the_etag_of_a_missing_file_is_not_found(self, bench: Bench) -> None:
        with pytest.raises(NotFound):
            await bench.owner.write(bench.at("missing.ipynb"), b"content", if_match=Etag('"0123"'))
        with pytest.raises(NotFound):
            await bench.owner.stat(bench.at("missing.ipynb"))

    async def test_a_new_file_is_made_once(self, bench: Bench) -> None:
        ref = bench.at("once.ipynb")
        etag = await written(bench.owner.write(ref, b"first", if_absent=True))
        assert isinstance(await bench.owner.write(ref, b"second", if_absent=True), NotLatest)
        assert await read(bench.owner, ref) == b"first"
        assert (await bench.owner.stat(ref)).etag == etag

    async def test_of_writers_that_race_one_wins(self, bench: Bench) -> None:
        if not bench.conditions:
            pytest.skip("this storage ignores conditions")
        info = await bench.file()
        ref = Ref.of(info.id)
        mine = [f"writer {n}".encode() for n in range(8)]
        answers = await asyncio.gather(*(bench.owner.write(ref, content, if_match=info.etag) for content in mine))
        winners = [content for content, answer in zip(mine, answers, strict=True) if isinstance(answer, Written)]
        assert winners == [await read(bench.owner, ref)]

    async def test_of_makers_that_race_one_wins(self, bench: Bench) -> None:
        if not bench.conditions:
            pytest.skip("this storage ignores conditions")
        ref = bench.at("raced.ipynb")
        mine = [f"maker {n}".encode() for n in range(8)]
        answers = await asyncio.gather(*(bench.owner.write(ref, content, if_absent=True) for content in mine))
        winners = [content for content, answer in zip(mine, answers, strict=True) if isinstance(answer, Written)]
        assert winners == [await read(bench.owner, ref)]


class Locks:
    @pytest.fixture
    def locked(self, bench: Bench) -> Bench:
        if not bench.locks:
            pytest.skip("this storage has no locks")
        return bench

    async def test_a_lock_is_seen_until_it_is_released(self, locked: Bench) -> None:
        info = await locked.file()
        ref, ours = Ref.of(info.id), lock("ours")
        assert await locked.owner.get_lock(ref) is None
        await locked.owner.set_lock(ref, ours)
        seen = await locked.owner.get_lock(ref)
        assert seen is not None
        assert (seen.lock_id, seen.app_name) == (ours.lock_id, ours.app_name)
        assert seen.expires_at == pytest.approx(ours.expires_at, abs=1)
        stat = await locked.owner.stat(ref)
        assert stat.lock is not None
        assert (stat.lock.lock_id, stat.etag) == ("ours", info.etag)
        await locked.owner.unlock(ref, ours)
        assert await locked.owner.get_lock(ref) is None
        assert (await locked.owner.stat(ref)).lock is None

    async def test_a_locked_file_cannot_be_locked_again(self, locked: Bench) -> None:
        ref = Ref.of((await locked.file()).id)
        await locked.owner.set_lock(ref, lock("theirs", app="office"))
        for name in ("ours", "theirs"):
            with pytest.raises(LockHeld) as caught:
                await locked.owner.set_lock(ref, lock(name))
            assert caught.value.app_name == "office"

    async def test_of_lockers_that_race_one_wins(self, locked: Bench) -> None:
        ref = Ref.of((await locked.file()).id)
        answers = await asyncio.gather(
            *(locked.owner.set_lock(ref, lock(f"lock-{n}")) for n in range(8)), return_exceptions=True
        )
        assert [type(answer) for answer in answers].count(LockHeld) == 7
        seen = await locked.owner.get_lock(ref)
        assert seen is not None
        assert answers[int(seen.lock_id.removeprefix("lock-"))] is None

    async def test_a_foreign_lock_keeps_writers_out_and_is_named(self, locked: Bench) -> None:
        info = await locked.file()
        ref = Ref.of(info.id)
        await locked.owner.set_lock(ref, lock("theirs", app="office"))
        for lock_id in ("", "ours"):
            with pytest.raises(LockHeld) as caught:
                await locked.owner.write(ref, b"mine", if_match=info.etag, lock_id=lock_id)
            assert caught.value.app_name == "office"
        assert await read(locked.owner, ref) == b"first"
        assert (await locked.owner.stat(ref)).etag == info.etag

    async def test_the_holder_of_the_lock_writes_and_keeps_it(self, locked: Bench) -> None:
        info = await locked.file()
        ref, ours = Ref.of(info.id), lock("ours")
        await locked.owner.set_lock(ref, ours)
        etag = await written(locked.owner.write(ref, b"second", if_match=info.etag, lock_id="ours"))
        await written(locked.owner.write(ref, b"third", if_match=etag, lock_id="ours"))
        assert isinstance(await locked.owner.write(ref, b"late", if_match=etag, lock_id="ours"), NotLatest)
        assert await read(locked.owner, ref) == b"third"
        assert await locked.owner.get_lock(ref) is not None
        await locked.owner.unlock(ref, ours)

    async def test_a_write_under_a_lock_that_is_gone_loses_the_lease(self, locked: Bench) -> None:
        info = await locked.file()
        with pytest.raises(LeaseLost):
            await locked.owner.write(Ref.of(info.id), b"mine", if_match=info.etag, lock_id="ours")
        assert await read(locked.owner, Ref.of(info.id)) == b"first"

    async def test_a_lock_is_prolonged(self, locked: Bench) -> None:
        ref = Ref.of((await locked.file()).id)
        await locked.owner.set_lock(ref, lock("ours", 30))
        longer = lock("ours", 600)
        await locked.owner.refresh_lock(ref, longer)
        seen = await locked.owner.get_lock(ref)
        assert seen is not None
        assert seen.expires_at == pytest.approx(longer.expires_at, abs=1)

    async def test_a_lock_that_is_not_ours_is_neither_prolonged_nor_released(self, locked: Bench) -> None:
        ref = Ref.of((await locked.file()).id)
        await locked.owner.set_lock(ref, lock("theirs"))
        with pytest.raises(LeaseLost):
            await locked.owner.refresh_lock(ref, lock("ours"))
        with pytest.raises(LeaseLost):
            await locked.owner.unlock(ref, lock("ours"))
        seen = await locked.owner.get_lock(ref)
        assert seen is not None
        assert seen.lock_id == "theirs"

    async def test_another_application_with_the_right_id_is_not_the_holder(self, locked: Bench) -> None:
        ref = Ref.of((await locked.file()).id)
        await locked.owner.set_lock(ref, lock("id", app="office"))
        with pytest.raises((LeaseLost, NotAuthorized)):
            await locked.owner.refresh_lock(ref, lock("id", app="cs3collab-test"))
        seen = await locked.owner.get_lock(ref)
        assert seen is not None
        assert seen.app_name == "office"

    async def test_a_lock_that_is_gone_is_not_prolonged(self, locked: Bench) -> None:
        ref, ours = Ref.of((await locked.file()).id), lock("ours")
        with pytest.raises(LeaseLost):
            await locked.owner.refresh_lock(ref, ours)
        await locked.owner.unlock(ref, ours)  # none to release is as good

    async def test_our_application_takes_its_own_lock_over(self, locked: Bench) -> None:
        ref = Ref.of((await locked.file()).id)
        await locked.owner.set_lock(ref, lock("before"))
        with pytest.raises(LeaseLost):
            await locked.owner.refresh_lock(ref, lock("after"), existing_lock_id="guessed")
        await locked.owner.refresh_lock(ref, lock("after"), existing_lock_id="before")
        seen = await locked.owner.get_lock(ref)
        assert seen is not None
        assert seen.lock_id == "after"

    async def test_a_lock_past_its_time_is_none(self, locked: Bench) -> None:
        info = await locked.file()
        ref = Ref.of(info.id)
        await locked.owner.set_lock(ref, lock("old", -5))
        assert await locked.owner.get_lock(ref) is None
        await locked.owner.set_lock(ref, lock("older", -5))
        await written(locked.owner.write(ref, b"free", if_match=info.etag))
        await locked.owner.set_lock(ref, lock("new"))
        seen = await locked.owner.get_lock(ref)
        assert seen is not None
        assert seen.lock_id == "new"

    async def test_a_lock_by_path_is_the_lock_by_id(self, locked: Bench) -> None:
        info = await locked.file()
        path, ours = locked.at("file.ipynb"), lock("ours")
        await locked.owner.set_lock(path, ours)
        for ref in (path, Ref.of(info.id)):
            seen = await locked.owner.get_lock(ref)
            assert seen is not None
            assert seen.lock_id == "ours"
        await locked.owner.refresh_lock(path, ours)
        await locked.owner.unlock(path, ours)
        assert await locked.owner.get_lock(Ref.of(info.id)) is None

    async def test_locks_of_a_missing_file_are_not_found(self, locked: Bench) -> None:
        ref = locked.at("missing.ipynb")
        with pytest.raises(NotFound):
            await locked.owner.set_lock(ref, lock("ours"))
        with pytest.raises(NotFound):
            await locked.owner.get_lock(ref)


class People:
    async def test_an_editor_writes_under_the_lock_another_editor_took(self, bench: Bench) -> None:
        if bench.share is None:
            pytest.skip(OPEN)
        info = await bench.file()
        ref = Ref.of(info.id)
        editor = await bench.share(info, Role.EDITOR)
        assert (await editor.stat(ref)).role is Role.EDITOR
        await bench.owner.set_lock(ref, lock("room"))
        etag = await written(editor.write(ref, b"by the editor", if_match=info.etag, lock_id="room"))
        await editor.refresh_lock(ref, lock("room", 90))
        await editor.unlock(ref, lock("room"))
        assert (await bench.owner.stat(ref)).etag == etag
        assert await read(bench.owner, ref) == b"by the editor"

    async def test_a_viewer_reads_and_cannot_write_or_lock(self, bench: Bench) -> None:
        if bench.share is None:
            pytest.skip(OPEN)
        info = await bench.file()
        ref = Ref.of(info.id)
        viewer = await bench.share(info, Role.VIEWER)
        seen = await viewer.stat(ref)
        assert (seen.id, seen.etag, seen.role) == (info.id, info.etag, Role.VIEWER)
        assert await read(viewer, ref) == b"first"
        with pytest.raises(NotAuthorized):
            await viewer.write(ref, b"mine", if_match=info.etag)
        with pytest.raises(NotAuthorized):
            await viewer.set_lock(ref, lock("mine"))
        await bench.owner.set_lock(ref, lock("room"))
        seen_lock = await viewer.get_lock(ref)
        assert seen_lock is not None
        with pytest.raises(NotAuthorized):
            await viewer.write(ref, b"mine", if_match=info.etag, lock_id=seen_lock.lock_id)
        with pytest.raises((NotAuthorized, LeaseLost)):
            await viewer.unlock(ref, seen_lock)
        assert await read(bench.owner, ref) == b"first"
        assert await bench.owner.get_lock(ref) is not None

    async def test_a_stranger_finds_nothing(self, bench: Bench) -> None:
        stranger = needed(bench.stranger)
        ref = Ref.of((await bench.file()).id)
        with pytest.raises(NotFound):
            await stranger.stat(ref)
        with pytest.raises(NotFound):
            await read(stranger, ref)
        with pytest.raises((NotFound, NotAuthorized)):
            await stranger.write(ref, b"mine")
        with pytest.raises((NotFound, NotAuthorized)):
            await stranger.set_lock(ref, lock("mine"))
        assert await read(bench.owner, ref) == b"first"

    async def test_an_expired_token_says_so_and_not_that_the_file_is_gone(self, bench: Bench) -> None:
        expired = needed(bench.expired, "this bench has no tokens that expire")
        info = await bench.file()
        ref = Ref.of(info.id)
        for call in (
            lambda: expired.stat(ref),
            lambda: read(expired, ref),
            lambda: expired.write(ref, b"mine", if_match=info.etag),
            lambda: expired.set_lock(ref, lock("mine")),
            lambda: expired.get_lock(ref),
            lambda: expired.refresh_lock(ref, lock("mine")),
            lambda: expired.unlock(ref, lock("mine")),
        ):
            with pytest.raises(NotAuthenticated):
                await call()
        assert await read(bench.owner, ref) == b"first"


class StorageContract(Writing, Conditions, Locks, People):
    """All of it."""
