"""A site with a notebook that einstein owns, marie may edit and richard may read, and its relay in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support import links
from support.notebooks import notebook
from support.relay_world import World
from support.sites import share_local, site

from cs3collab.types import Role


@pytest.fixture
def limits() -> dict[str, float]:
    """What a module wants other than `support.links.LIMITS`."""
    return {}


@pytest.fixture
async def world(tmp_path: Path, limits: dict[str, float]) -> AsyncIterator[World]:
    async with site(tmp_path) as here:
        await here.put("einstein", "n.ipynb", notebook("", "y = 2"))
        await share_local(here, "einstein", "marie", "n.ipynb", Role.EDITOR)
        await share_local(here, "einstein", "richard", "n.ipynb", Role.VIEWER)
        target = await links.target(here, "einstein", "n.ipynb")
        async with links.relay(here, tmp_path / "relay", **limits) as url:
            yield World(here, url, target, tmp_path)
