"""The storage contract, kept by `Files` on the embedded gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from conformance.storage import Bench, StorageContract
from support.benches import bench_on
from support.sites import USERS, Site, user

from cs3collab.gateway.config import GatewayConfig
from cs3collab.gateway.server import EmbeddedGateway

JWT_SECRET = "a secret of the test's gateway, long enough"


class TestEmbeddedGateway(StorageContract):
    @pytest.fixture
    async def bench(self, tmp_path: Path) -> AsyncIterator[Bench]:
        config = GatewayConfig(tmp_path, [user(name) for name in USERS], site="a.example", jwt_secret=JWT_SECRET)
        async with EmbeddedGateway(config) as gateway:
            running = Site("a.example", tmp_path, gateway, config)
            yield await bench_on(running, JWT_SECRET)
            await running.close()
