"""One running site for the tests of the CS3 client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from support.sites import Site, site

from cs3collab.cs3.files import Files
from cs3collab.gateway import data

PutHandler = Callable[[data.DataEndpoint, web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path, projects={"detector": {"einstein": "manager", "marie": "viewer"}}) as started:
        yield started


@pytest.fixture
async def files(running: Site) -> Files:
    """Einstein's."""
    return await running.files("einstein")


@pytest.fixture
def on_put(monkeypatch: pytest.MonkeyPatch) -> Callable[[PutHandler], None]:
    """Replaces what the data endpoint does with an upload. To be asked for before ``running``, which binds the endpoint."""
    handlers: list[PutHandler] = [data.DataEndpoint.put]

    async def put(self: data.DataEndpoint, request: web.Request) -> web.StreamResponse:
        return await handlers[-1](self, request)

    monkeypatch.setattr(data.DataEndpoint, "put", put)
    return handlers.append
