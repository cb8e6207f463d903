"""What every CS3 gateway must answer to what this product asks, as tests to inherit.

A subclass of `CS3Contract` has a class-scoped fixture ``target`` (on the class's event loop) that gives a `Target`: two running
sites in a mesh, and the real system whose answers are expected of them. The table is exact: an answer that changed fails, also
where it changed for the better, so what is written here is what the systems do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from conformance.cs3 import (
    auth,
    ends,
    groups,
    lengths,
    links,
    locked,
    locks,
    metadata,
    ocm,
    ocm_login,
    shares,
    transfer,
    tree,
    tus,
    users,
    versions,
)
from conformance.cs3.cases import Case, Eventually, System, complaints
from conformance.cs3.world import Site, Target, World

__all__ = ["CASES", "CS3Contract", "Case", "System", "Target", "complaints"]

_FILES = (auth, tree, transfer, tus, lengths, versions, locks, locked, metadata)
_SHARES = (shares, groups, links, ocm, ocm_login, users, ends)
CASES: tuple[Case, ...] = tuple(case for area in (*_FILES, *_SHARES) for case in area.case)


def _cases(area: Any) -> Any:
    return pytest.mark.parametrize("case", list(area.case), ids=str)


@pytest.mark.asyncio(loop_scope="class")
class CS3Contract:
    """All of it."""

    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    async def sites(self, target: Target) -> AsyncIterator[tuple[Site, Site]]:
        here, away = Site(target.home), Site(target.away)
        try:
            yield here, away
        finally:
            await away.close()
            await here.close()

    @pytest_asyncio.fixture(loop_scope="class")
    async def world(self, sites: tuple[Site, Site]) -> World:
        return await World.open(*sites)

    async def _answers(self, case: Case, world: World, target: Target) -> None:
        seen, expected = await case.run(world), case.answers[target.system]
        if isinstance(seen, Eventually):
            seen = await seen.settled(expected)
        if expected != seen:
            pytest.fail(f"{target.system.value}\n  answers  {expected!r}\n  this did {seen!r}", pytrace=False)

    @_cases(auth)
    async def test_auth(self, case: Case, world: World, target: Target) -> None:
        await self._answers(case, world, target)

    @_cases(tree)
    async def test_tree(self, case: Case, world: World, target: Target) -> None:
        await self._answers(case, world, target)

    @_cases(transfer)
    async def test_transfer(self, case: Case, world: World, target: Target) -> None:
        await self._answers(case, world, target)

    @_cases(tus)
    async def test_tus(self, case: Case, world: World, target: Target) -> None:
        await self._answers(case, world, target)

    @_cases(lengths)
    async def test_lengths(self, case: Case, world: World, target: Target) -> None:
        await self._answers(case, world, target)

    @_cases(versions)
    async def test_versions(self, case: Case, world: World, target: Target) -> None:
        await self._answers(case, world, target)

    @_cases(locks)
    async def test_locks(self, case: Case, world: World, target: Target) -> None:
        await self._answers(case, world, target)

    @_cases(locked)
    async def test_locked(self, case: Case, world: World, target: Target) -> None:
        await self._answers(case, world, target)

    @_cases(metadata)
    async def test_metadata(self, case: Case, world: World, target: Target) -> None:
        await self._answers(case, world, target)

    @_cases(shares)
    async def test_shares(self, case: Case, world: World, target: Target) -> None:
        await self._answers(case, world, target)

    @_cases(groups)
    async def test_groups(self, case: Case, world: World, target: Target) -> None:
        await self._answers(case, world, target)

    @_cases(links)
    async def test_links(self, case: Case, world: World, target: Target) -> None:
        await self._answers(case, world, target)

    @_cases(ocm)
    async def test_ocm(self, case: Case, world: World, target: Target) -> None:
        await self._answers(case, world, target)

    @_cases(ocm_login)
    async def test_ocm_login(self, case: Case, world: World, target: Target) -> None:
        await self._answers(case, world, target)

    @_cases(users)
    async def test_users(self, case: Case, world: World, target: Target) -> None:
        await self._answers(case, world, target)

    @_cases(ends)
    async def test_ends(self, case: Case, world: World, target: Target) -> None:
        await self._answers(case, world, target)
