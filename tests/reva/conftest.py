"""A real revad of each kind for every test that asks for one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.reva import REVADS, RevaSite, reva_mesh, reva_site


@pytest.fixture(params=sorted(REVADS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def here(kind: str, tmp_path: Path) -> AsyncIterator[RevaSite]:
    async with reva_site(kind, tmp_path) as started:
        yield started


@pytest.fixture
async def mesh(kind: str, tmp_path: Path) -> AsyncIterator[tuple[RevaSite, RevaSite]]:
    async with reva_mesh(kind, tmp_path) as started:
        yield started
