"""What the search for the version that somebody else's was made from costs."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest
from support.keeper_world import World, opened
from support.kept_room import notebook_file

from cs3collab.rooms import merging
from cs3collab.rooms.ports import Rendered

LARGE = "x" * 10_000


class Counted(bytes):
    """Says how many versions are held at once."""

    held: ClassVar[int] = 0
    most: ClassVar[int] = 0

    def __new__(cls, content: bytes) -> Counted:
        Counted.held += 1
        Counted.most = max(Counted.held, Counted.most)
        return super().__new__(cls, content)

    def __del__(self) -> None:
        Counted.held -= 1


async def saves(world: World, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Eight of them, each a little larger than the last. Returns the sizes of those that are loaded from now on."""
    loaded: list[int] = []
    saved = world.room.saved

    async def counted(position: int | None) -> Rendered | None:
        found = await saved(position)
        if found is None:
            return None
        loaded.append(len(found.content))
        return replace(found, content=Counted(found.content))

    for n in range(8):
        await world.type(f"version {n}")
        assert await world.save() == "success"
    monkeypatch.setattr(world.room.keeper._merger, "_saved", counted)
    Counted.held = Counted.most = 0
    return loaded


async def test_of_the_last_saves_few_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(notebook_file(LARGE)) as world:
        loaded = await saves(world, monkeypatch)
        world.site.overwrite(world.id, notebook_file(LARGE, "theirs"))
        assert await world.save() == "success"
        assert len(loaded) == 9
        assert Counted.most <= 4  # the newest, the best, one that is looked at, and one that was
        assert Counted.held == 0


async def test_the_search_ends_at_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "_SEARCH_BYTES", 35_000)
    async with opened(notebook_file(LARGE)) as world:
        loaded = await saves(world, monkeypatch)
        world.site.overwrite(world.id, notebook_file(LARGE, "theirs"))
        assert await world.save() == "success"
        assert sum(loaded[:-1]) <= 35_000 < sum(loaded)


async def test_a_version_beyond_the_bound_alone_is_the_only_one_that_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "_SEARCH_BYTES", 5_000)
    async with opened(notebook_file(LARGE)) as world:
        loaded = await saves(world, monkeypatch)
        world.site.overwrite(world.id, notebook_file(LARGE, "theirs"))
        assert await world.save() == "success"
        assert len(loaded) <= 2
