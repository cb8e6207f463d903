"""What people get with JupyterLab's Download: every byte, its length, and an end that shows when something went wrong."""

from __future__ import annotations

import os

import aiohttp
import pytest
from support.sites import jupyter_server

from cs3collab.gateway import data
from cs3collab.jupyter.downloads import content_type

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
NAMES = {"a.bin": 3_000_001, "empty.txt": 0, "Größe – Übersicht.txt": 12, ".hidden.txt": 5}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("N.IPYNB", "application/x-ipynb+json"),
        ("a.txt", "text/plain; charset=UTF-8"),
        ("a.png", "image/png"),
        ("a.tar.gz", "application/gzip"),
        ("a.bz2", "application/octet-stream"),
        ("a", "application/octet-stream"),
    ],
)
def test_what_a_file_is_by_its_name(name, kind):
    assert content_type(name) == kind


async def test_files_come_whole_with_their_length_and_hidden_ones_and_folders_do_not(home):
    contents = {name: os.urandom(size) for name, size in NAMES.items()}
    for name, content in contents.items():
        await home.put("einstein", name, content)
    async with (
        jupyter_server(home, "einstein", live=False, app="jupyter_server") as server,
        aiohttp.ClientSession(headers=server.headers) as http,
    ):
        for name in ("a.bin", "empty.txt", "Größe – Übersicht.txt"):
            async with http.get(f"{server.url}files/{name}?download=1") as answer:
                assert (answer.status, await answer.read()) == (200, contents[name]), server.tail()
                assert answer.headers["Content-Length"] == str(NAMES[name])
                assert answer.headers["Content-Disposition"].startswith("attachment;")
                assert "sandbox" in answer.headers["Content-Security-Policy"]
        async with http.head(f"{server.url}files/a.bin") as answer:
            assert (answer.status, answer.headers["Content-Length"], await answer.read()) == (200, str(NAMES["a.bin"]), b"")
        for path in (".hidden.txt", "missing.txt"):
            async with http.get(f"{server.url}files/{path}") as answer:
                assert answer.status == 404
        for path in ("Shares", ""):
            async with http.get(f"{server.url}files/{path}") as answer:
                assert answer.status == 400
        async with (
            aiohttp.ClientSession() as stranger,
            stranger.get(f"{server.url}files/a.bin", allow_redirects=False) as answer,
        ):
            assert answer.status in (302, 403)


async def test_a_download_that_breaks_on_the_way_does_not_look_whole(home, monkeypatch):
    content = os.urandom(3_000_000)
    await home.put("einstein", "a.bin", content)

    async def half(response, file, size):
        await response.write(file.read(size // 2))
        raise ConnectionResetError("the storage went away")

    monkeypatch.setattr(data, "_send", half)
    async with (
        jupyter_server(home, "einstein", live=False, app="jupyter_server") as server,
        aiohttp.ClientSession(headers=server.headers) as http,
    ):
        with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError)):
            async with http.get(f"{server.url}files/a.bin") as answer:
                await answer.read()
        assert "the download of a.bin ends early" in server.tail()
