"""Files that are not there for the moment in which they are replaced, as on Reva v3's local storage."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.reva import REVADS, reva_site
from support.sites import Site, site

from cs3collab.cs3.files import Files
from cs3collab.errors import NotFound, StorageUnavailable
from cs3collab.gateway import data, local_calls
from cs3collab.gateway.local import Local
from cs3collab.types import Ref

LOOKS = 4
"""How often a file that was there is looked for before it is said to be gone."""


@pytest.fixture
async def running(tmp_path: Path) -> Any:
    async with site(tmp_path, profile="nolocks") as started:
        yield started


class Away:
    """Moves files aside while some of the gateway's looks for them go on, and counts these."""

    def __init__(self, disk: Path) -> None:
        self.disk = disk
        self.looks = 0
        self.missing: Iterator[bool] = iter(())

    def around(self, work: Any) -> Any:
        def looking(*arguments: Any) -> Any:
            self.looks += 1
            if not next(self.missing, False):
                return work(*arguments)
            aside = self.disk.rename(self.disk.with_name(".aside"))
            try:
                return work(*arguments)
            finally:
                aside.rename(self.disk)

        return looking


@pytest.fixture
async def away(running: Site, monkeypatch: pytest.MonkeyPatch) -> Away:
    """Of ``a.ipynb``, which is there."""
    await running.put("einstein", "a.ipynb", b"content")
    made = Away(running.folder("einstein") / "a.ipynb")
    monkeypatch.setattr(local_calls.Local, "describe", made.around(Local.describe))
    monkeypatch.setattr(data.Local, "open", made.around(Local.open))
    return made


@pytest.fixture
async def files(running: Site) -> Files:
    return await running.files("einstein")


@pytest.mark.parametrize("missing", range(1, LOOKS))
async def test_a_file_that_was_there_is_looked_for_again(running: Site, files: Files, away: Away, missing: int) -> None:
    ref = await running.ref("einstein", "a.ipynb")
    info = await files.stat(ref)
    away.missing = itertools.repeat(True, missing)
    assert await files.stat(ref) == info


async def test_a_file_that_was_there_and_stays_away_is_gone(running: Site, files: Files, away: Away) -> None:
    ref = await running.ref("einstein", "a.ipynb")
    await files.stat(ref)
    away.disk.unlink()
    away.looks = 0
    with pytest.raises(NotFound):
        await files.stat(ref)
    assert away.looks == LOOKS
    with pytest.raises(NotFound):
        await files.stat(ref)
    assert away.looks == LOOKS + 1  # that it was there is forgotten


async def test_a_file_that_never_was_there_is_looked_for_once(running: Site, files: Files, away: Away) -> None:
    ref = await running.ref("einstein", "none.ipynb")
    away.looks = 0
    with pytest.raises(NotFound):
        await files.stat(ref)
    assert away.looks == 1


async def test_what_is_fetched_in_the_moment_of_a_replacement_is_fetched_again(running: Site, files: Files, away: Away) -> None:
    ref = await running.ref("einstein", "a.ipynb")
    away.missing = iter((True, False, True))  # the first fetch, not the look after it, the second fetch
    assert await files.read(ref, max_bytes=100) == b"content"
    away.missing = iter((False, True))
    async with files.reading(ref, max_bytes=100) as (info, pieces):
        assert b"".join([piece async for piece in pieces]) == b"content"
        assert info.size == 7


async def test_a_file_that_can_be_seen_and_never_fetched_is_not_said_to_be_gone(
    running: Site, files: Files, away: Away
) -> None:
    ref = await running.ref("einstein", "a.ipynb")
    away.missing = itertools.cycle((True, False))
    with pytest.raises(StorageUnavailable, match="cannot be fetched"):
        await files.read(ref, max_bytes=100)


@pytest.mark.reva
@pytest.mark.parametrize("kind", [name for name, revad in REVADS.items() if revad.bare])
async def test_a_file_that_is_replaced_all_the_time_is_always_there(kind: str, tmp_path: Path) -> None:
    async with reva_site(kind, tmp_path) as here:
        info = await here.put("einstein", "a.ipynb", b"content")
        files, ref = await here.files("einstein"), Ref.of(info.id)
        await files.stat(ref)

        async def replace() -> None:
            for number in range(40):
                await files.write(ref, b"?" * (number + 1))

        async def look(writing: asyncio.Task[None]) -> None:
            while not writing.done():
                await files.stat(ref)
                assert await files.read(ref, max_bytes=100)

        async with asyncio.TaskGroup() as group:
            writing = group.create_task(replace())
            for _ in range(4):
                group.create_task(look(writing))
