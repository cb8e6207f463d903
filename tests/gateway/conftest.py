"""Started gateways and logged-in clients."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from gateway_client import Client, Sites, Started


@pytest.fixture
async def sites() -> AsyncIterator[Sites]:
    sites = Sites()
    try:
        yield sites
    finally:
        await sites.stop()


@pytest.fixture
async def site(sites: Sites, tmp_path: Path) -> Started:
    return await sites.start(tmp_path / "a")


@pytest.fixture
async def einstein(site: Started) -> Client:
    return await site.user("einstein")


@pytest.fixture
async def marie(site: Started) -> Client:
    return await site.user("marie")
