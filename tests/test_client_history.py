"""What a script or a terminal is told when a server answers oddly, or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from cs3collab.client_history import HistoryClient
from cs3collab.errors import (
    CollabError,
    Corrupt,
    DeadlineExceeded,
    NotAuthenticated,
    NotAuthorized,
    NotFound,
    Overloaded,
    PeerUnavailable,
    Unsupported,
)
from cs3collab.types import Version

PATH = "dir/a b#%20?.ipynb"


@contextlib.asynccontextmanager
async def asking(answer: web.Response | None) -> AsyncIterator[tuple[HistoryClient, list[web.BaseRequest]]]:
    """A client of a server that gives one answer to everything; None: it hangs up."""
    heard: list[web.BaseRequest] = []

    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        heard.append(request)
        if answer is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return answer

    runner = web.ServerRunner(web.Server(serve))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with aiohttp.ClientSession() as http:
            url = f"http://127.0.0.1:{runner.addresses[0][1]}/user/marie/"
            yield HistoryClient(http, url, PATH, "notebook", 20.0), heard
    finally:
        await runner.cleanup()


def said(status: int, message: str) -> web.Response:
    return web.json_response({"message": message}, status=status)


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (said(403, "Forbidden"), NotAuthenticated, "token"),
        (web.Response(status=401), NotAuthenticated, "token"),
        (said(403, "your share says Viewer"), NotAuthorized, "Viewer"),
        (said(404, "this version is not kept"), NotFound, "not kept"),
        (web.Response(status=404, text="<html>"), Unsupported, "knows no history"),
        (said(422, "x"), Corrupt, "x"),
        (said(429, "x"), Overloaded, "x"),
        (said(501, "too old"), Unsupported, "too old"),
        (said(504, "x"), DeadlineExceeded, "x"),
        (said(500, ""), PeerUnavailable, "answered 500"),
        (web.Response(status=302, headers={"Location": "/login"}), PeerUnavailable, "answered 302"),
        (web.Response(status=404, body=b'\xff{"'), Unsupported, "knows no history"),
        (web.Response(text="<html>"), PeerUnavailable, "cannot be read"),
        (web.json_response({"versions": [{"position": "1"}]}), PeerUnavailable, "cannot be read"),
        (None, PeerUnavailable, "no Jupyter server answers"),
    ],
)
async def test_what_is_said(answer: web.Response | None, error: type[CollabError], words: str) -> None:
    async with asking(answer) as (client, _):
        with pytest.raises(CollabError, match=words) as raised:
            await client.versions()
    assert type(raised.value) is error


async def test_a_newer_servers_further_fields_are_ignored_and_the_path_arrives_whole() -> None:
    answer = {"position": 3, "at": 1.5, "authors": ["A"], "edits": 2, "name": "x", "colour": "red"}
    async with asking(web.json_response(answer)) as (client, heard):
        assert await client.name_version("x", 3) == Version(3, 1.5, ("A",), 2, "x")
        assert heard[0].path == f"/user/marie/api/cs3collab/history/{PATH}"
        assert heard[0].query == {"type": "notebook"}


async def test_bytes_are_told_as_they_come() -> None:
    told: list[tuple[int, int]] = []
    async with asking(web.Response(body=b"x" * 1_000_000)) as (client, _):
        assert len(await client.at(1, lambda done, total: told.append((done, total)))) == 1_000_000
    assert told[-1] == (1_000_000, 1_000_000)
    assert len(told) > 1


async def test_nobody_there() -> None:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(PeerUnavailable):
            await HistoryClient(http, "http://127.0.0.1:1", PATH, "notebook").restore(1)
