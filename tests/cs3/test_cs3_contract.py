"""The storage contract, kept by `Files` on the embedded gateway."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import jwt
import pytest
from conformance.storage import Bench, StorageContract
from support.sites import USERS, Site, share_local, user

from cs3collab.cs3.auth import BearerToken
from cs3collab.cs3.files import Files
from cs3collab.cs3.session import Session
from cs3collab.gateway.config import GatewayConfig
from cs3collab.gateway.server import EmbeddedGateway
from cs3collab.rooms.ports import Storage
from cs3collab.types import FileInfo, Role

JWT_SECRET = "a secret of the test's gateway, long enough"


def expired_token(valid: str) -> str:
    """The same token, as its gateway would have made it a day and an hour ago."""
    claims = jwt.decode(valid, options={"verify_signature": False})
    claims |= {"iat": int(time.time()) - 90_000, "exp": int(time.time()) - 3_600}
    return jwt.encode(claims, JWT_SECRET, "HS256")


async def bench_on(running: Site) -> Bench:
    owner = await running.files("einstein")
    folder = await running.ref("einstein", "bench")
    await owner.mkdir(folder)
    token = expired_token(await owner.session.tokens.token())

    async def share(info: FileInfo, role: Role) -> Storage:
        await share_local(running, "einstein", "marie", f"bench/{info.name}", role)
        return await running.files("marie")

    expired = Files(Session(owner.session.gateway, BearerToken(token)))
    return Bench(owner, folder, share, await running.files("richard"), expired)


class TestEmbeddedGateway(StorageContract):
    @pytest.fixture
    async def bench(self, tmp_path: Path) -> AsyncIterator[Bench]:
        config = GatewayConfig(tmp_path, [user(name) for name in USERS], site="a.example", jwt_secret=JWT_SECRET)
        async with EmbeddedGateway(config) as gateway:
            running = Site("a.example", tmp_path, gateway, config)
            yield await bench_on(running)
            await running.close()
