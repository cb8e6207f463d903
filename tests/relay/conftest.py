"""A site with a notebook that einstein owns, marie may edit and richard may read, and its relay in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.relay_world import World, world_of_its_own


@pytest.fixture
def limits() -> dict[str, float]:
    """What a module wants other than `support.links.LIMITS`."""
    return {}


@pytest.fixture
async def world(tmp_path: Path, limits: dict[str, float]) -> AsyncIterator[World]:
    async with world_of_its_own(tmp_path, **limits) as made:
        yield made
