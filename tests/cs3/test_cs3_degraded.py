"""The storage contract on a gateway that ignores conditions, has no locks and gives no etags, as Reva v3's local driver."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from conformance.storage import Bench, Conditions, Writing
from support.sites import USERS, Site, user

from cs3collab.cs3 import transfer
from cs3collab.cs3.files import Files
from cs3collab.cs3.transfer import Sent, Source, Upload
from cs3collab.errors import StorageUnavailable, Unsupported
from cs3collab.gateway import data
from cs3collab.gateway.config import GatewayConfig
from cs3collab.gateway.server import EmbeddedGateway
from cs3collab.types import Lock, NotLatest, Ref, ResourceId

REAL_PUT = data.DataEndpoint.put
OnPut = Callable[[Callable[[data.DataEndpoint, web.Request], Awaitable[web.StreamResponse]]], None]


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Site]:
    config = GatewayConfig(tmp_path, [user(name) for name in USERS], site="a.example", profile="nolocks")
    async with EmbeddedGateway(config) as gateway:
        site = Site("a.example", tmp_path, gateway, config)
        yield site
        await site.close()


class TestDegradedStorage(Writing, Conditions):
    @pytest.fixture
    async def bench(self, running: Site) -> Bench:
        owner = await running.files("einstein")
        folder = await running.ref("einstein", "bench")
        await owner.mkdir(folder)
        return Bench(owner, folder, conditions=False, locks=False)


async def test_a_storage_without_locks_says_so_and_is_not_taken_for_being_away(running: Site, files: Files) -> None:
    ref = Ref.of((await running.put("einstein", "file.ipynb", b"content")).id)
    with pytest.raises(Unsupported):
        await files.set_lock(ref, Lock("ours", "cs3collab"))


async def test_locks_that_cannot_be_asked_for_while_the_storage_is_away_are_an_outage(running: Site, files: Files) -> None:
    ref = Ref.of((await running.put("einstein", "file.ipynb", b"content")).id)
    await running.gateway.stop()
    with pytest.raises(StorageUnavailable):
        await files.set_lock(ref, Lock("ours", "cs3collab"))


async def test_a_write_right_after_ours_is_not_said_to_be_ours(on_put: OnPut, running: Site, files: Files) -> None:
    info = await running.put("einstein", "file.ipynb", b"before")
    others = iter([b"theirs"])

    async def then_theirs(self: data.DataEndpoint, request: web.Request) -> web.StreamResponse:
        answer = await REAL_PUT(self, request)
        for content in others:
            await transfer_of(files, info.id, content)
        return answer

    on_put(then_theirs)
    assert isinstance(await files.write(Ref.of(info.id), b"mine", if_match=info.etag), NotLatest)
    assert await files.read(Ref.of(info.id), max_bytes=100) == b"theirs"


async def transfer_of(files: Files, resource_id: ResourceId, content: bytes) -> None:
    ticket = await transfer.initiate_upload(files.session, Ref.of(resource_id), Upload(Source.of(content)))
    assert ticket is not None
    assert (await transfer.put(files.session, ticket, Upload(Source.of(content)))).sent is Sent.DONE
