"""One running site for the tests of the CS3 client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.sites import Site, site

from cs3collab.cs3.files import Files


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path, projects={"detector": {"einstein": "manager", "marie": "viewer"}}) as started:
        yield started


@pytest.fixture
async def files(running: Site) -> Files:
    """Einstein's."""
    return await running.files("einstein")
