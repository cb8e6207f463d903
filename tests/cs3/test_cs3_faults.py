"""What the client makes of gateways that are away, die, lie or lose answers: real processes and real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from support.sites import Site

from cs3collab.cs3 import transfer
from cs3collab.cs3.auth import BasicToken, BearerToken
from cs3collab.cs3.blobs import CS3Blobs
from cs3collab.cs3.files import Files
from cs3collab.cs3.gateway import Gateway
from cs3collab.cs3.session import Session
from cs3collab.cs3.transfer import Source, Upload
from cs3collab.errors import Corrupt, InvalidInput, LockHeld, StorageUnavailable, Unavailable
from cs3collab.gateway import data
from cs3collab.types import Lock, NotLatest, Ref, Written

REAL_PUT = data.DataEndpoint.put
OnPut = Callable[[Callable[[data.DataEndpoint, web.Request], Awaitable[web.StreamResponse]]], None]


async def test_a_gateway_that_is_not_there_is_named_with_what_to_do() -> None:
    async with Gateway("127.0.0.1:1", timeout_s=3) as gateway:
        with pytest.raises(Unavailable) as caught:
            await Session.open(gateway, BasicToken(gateway, "einstein", "hush-hush"))
    assert "127.0.0.1:1" in caught.value.message
    assert "address" in caught.value.hint
    assert "\n" not in str(caught.value)
    assert "hush" not in str(caught.value)


async def test_a_gateway_that_never_answers_meets_the_deadline() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            pass
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, Gateway(f"{host}:{port}", timeout_s=0.3) as gateway:
        with pytest.raises(Unavailable):
            await Session.open(gateway, BasicToken(gateway, "einstein", "secret"))


async def test_closing_ends_the_calls_under_way_with_an_error_of_ours() -> None:
    connected = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        while await reader.read(1024):
            pass
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server:
        gateway = Gateway(f"{host}:{port}", timeout_s=30)
        opening = asyncio.ensure_future(Session.open(gateway, BearerToken("token")))
        await connected.wait()
        await gateway.close()
        with pytest.raises(StorageUnavailable):
            await opening


async def test_a_closed_gateway_says_so(running: Site) -> None:
    gateway = Gateway(running.address)
    session = await Session.open(gateway, BasicToken(gateway, "einstein", running.password("einstein")))
    await gateway.close()
    with pytest.raises(StorageUnavailable, match="closed"):
        await Files(session).stat(Ref("/users"))
    await gateway.close()


async def test_a_ca_file_that_is_none_is_named(tmp_path: Path) -> None:
    async with Gateway("127.0.0.1:1", tls=True, ca=tmp_path / "missing.pem") as gateway:
        with pytest.raises(InvalidInput, match=r"missing\.pem"):
            await Session.open(gateway, BasicToken(gateway, "einstein", "secret"))


async def test_plain_text_to_a_tls_port_and_the_other_way_round_is_an_outage(running: Site) -> None:
    async with Gateway(running.address, tls=True, timeout_s=5) as gateway:
        with pytest.raises(Unavailable) as caught:
            await Session.open(gateway, BasicToken(gateway, "einstein", "secret"))
    assert caught.value.hint


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


@pytest.mark.parametrize("conditional", [True, False])
async def test_a_write_whose_answer_is_lost_is_found_to_have_happened(
    on_put: OnPut, running: Site, files: Files, conditional: bool
) -> None:
    info = await running.put("einstein", "file.ipynb", b"before")

    async def lose(self: data.DataEndpoint, request: web.Request) -> web.StreamResponse:
        await REAL_PUT(self, request)
        _abort(request)
        return web.Response()

    on_put(lose)
    answer = await files.write(Ref.of(info.id), b"after!", if_match=info.etag if conditional else None)
    assert isinstance(answer, Written)
    assert answer.etag == (await files.stat(Ref.of(info.id))).etag != info.etag
    assert await files.read(Ref.of(info.id), max_bytes=100) == b"after!"


async def test_a_write_that_never_arrived_is_not_said_to_have_happened(on_put: OnPut, running: Site, files: Files) -> None:
    info = await running.put("einstein", "file.ipynb", b"before")

    async def drop(self: data.DataEndpoint, request: web.Request) -> web.StreamResponse:
        _abort(request)
        return web.Response()

    on_put(drop)
    with pytest.raises(StorageUnavailable):
        await files.write(Ref.of(info.id), b"after!", if_match=info.etag)
    assert await files.read(Ref.of(info.id), max_bytes=100) == b"before"
    with pytest.raises(StorageUnavailable):
        await files.write(await running.ref("einstein", "new.ipynb"), b"after!", if_absent=True)


async def test_blobs_wait_for_storage_that_takes_longer_than_people_do(on_put: OnPut, running: Site, files: Files) -> None:
    async def late(self: data.DataEndpoint, request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(1.5)
        return await REAL_PUT(self, request)

    on_put(late)
    ref = await running.ref("einstein", "late.bin")
    hasty = files.patient(1)
    with pytest.raises(StorageUnavailable):
        await hasty.write(ref, b"content")
    blobs = CS3Blobs(hasty, f"{await files.home()}/.cs3collab/store/room")
    await blobs.put("late", b"content")
    assert await blobs.get("late") == b"content"


async def test_somebody_else_s_write_is_not_taken_for_ours(on_put: OnPut, running: Site, files: Files) -> None:
    info = await running.put("einstein", "file.ipynb", b"before")
    overtaken = False

    async def overtake(self: data.DataEndpoint, request: web.Request) -> web.StreamResponse:
        nonlocal overtaken
        if overtaken:
            return await REAL_PUT(self, request)
        overtaken = True
        await files.write(Ref.of(info.id), b"theirs")
        _abort(request)
        return web.Response()

    on_put(overtake)
    assert isinstance(await files.write(Ref.of(info.id), b"mine", if_match=info.etag), NotLatest)
    assert await files.read(Ref.of(info.id), max_bytes=100) == b"theirs"


async def test_a_lock_that_comes_between_asking_and_sending_is_seen(on_put: OnPut, running: Site, files: Files) -> None:
    info = await running.put("einstein", "file.ipynb", b"before")

    async def lock_first(self: data.DataEndpoint, request: web.Request) -> web.StreamResponse:
        await files.set_lock(Ref.of(info.id), Lock("theirs", "office"))
        return await REAL_PUT(self, request)

    on_put(lock_first)
    with pytest.raises(LockHeld) as caught:
        await files.write(Ref.of(info.id), b"mine", if_match=info.etag)
    assert caught.value.app_name == "office"
    assert await files.read(Ref.of(info.id), max_bytes=100) == b"before"


async def test_a_file_that_never_comes_whole_is_corrupt_and_not_shorter(
    monkeypatch: pytest.MonkeyPatch, running: Site, files: Files
) -> None:
    info = await running.put("einstein", "file.ipynb", b"whole content")
    sent = 0

    async def cut(response: web.StreamResponse, file: object, size: int) -> None:
        nonlocal sent
        sent += 1
        await response.write(b"whole")
        response.force_close()
        raise ConnectionResetError("cut")

    monkeypatch.setattr(data, "_send", cut)
    with pytest.raises(Corrupt) as caught:
        await files.read(Ref.of(info.id), max_bytes=100)
    assert caught.value.hint
    assert sent == 2


@asynccontextmanager
async def process(folder: Path, port: str = "0") -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A gateway in a process of its own over `folder`, and its address."""
    users = folder / "users.json"
    users.write_text(json.dumps([{"id": {"opaque_id": "einstein"}, "username": "einstein", "secret": "relativity"}]))
    ready = folder / "ready.json"
    ready.unlink(missing_ok=True)
    options = ["--root", folder / "root", "--users", users, "--port", port, "--http-port", "0", "--ready-file", ready]
    command = [sys.executable, "-c", "import sys; from cs3collab.cli import main; sys.exit(main())", "gateway", *options]
    started = await asyncio.create_subprocess_exec(*map(str, command), stdout=asyncio.subprocess.PIPE)
    try:
        assert started.stdout is not None
        await asyncio.wait_for(started.stdout.readline(), 30)
        while not ready.exists():  # written right after that line
            assert started.returncode is None
            await asyncio.sleep(0.01)
        yield started, json.loads(ready.read_text())["address"]
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


@asynccontextmanager
async def login(address: str, timeout_s: float = 10) -> AsyncIterator[Files]:
    async with Gateway(address, timeout_s=timeout_s) as gateway:
        yield Files(await Session.open(gateway, BasicToken(gateway, "einstein", "relativity")))


@pytest.mark.integration
async def test_a_gateway_killed_during_an_upload_leaves_the_former_content(tmp_path: Path) -> None:
    old, new = b"old" * 100_000, os.urandom(600_000)
    halfway = asyncio.Event()

    async def half() -> AsyncIterator[bytes]:
        yield new[:300_000]
        halfway.set()
        await asyncio.Event().wait()

    async with process(tmp_path) as (server, address), login(address) as files:
        ref = Ref(f"{await files.home()}/file.ipynb")
        assert isinstance(await files.write(ref, old), Written)
        before = await files.stat(ref)
        ticket = await transfer.initiate_upload(files.session, ref, Upload(Source.of(new), if_match=before.etag))
        assert ticket is not None
        http = await files.session.gateway.http()
        headers = {"X-Reva-Transfer": ticket.token, "Content-Length": str(len(new))}
        sending = asyncio.ensure_future(http.put(ticket.url, data=half(), headers=headers))
        await halfway.wait()
        server.kill()
        await server.wait()
        with pytest.raises(aiohttp.ClientError):
            await sending
        with pytest.raises(Unavailable):
            await files.stat(ref)
    async with process(tmp_path) as (_, address), login(address) as files:
        after = await files.stat(ref)
        assert (after.id, after.etag) == (before.id, before.etag)
        assert await files.read(ref, max_bytes=10**7) == old
        assert isinstance(await files.write(ref, new, if_match=before.etag), Written)
        assert await files.read(ref, max_bytes=10**7) == new


@pytest.mark.integration
async def test_a_session_outlives_the_gateway_s_restart(tmp_path: Path) -> None:
    async with process(tmp_path) as (server, address), login(address, timeout_s=3) as files:
        ref = Ref(f"{await files.home()}/file.ipynb")
        await files.write(ref, b"content")
        server.kill()
        await server.wait()
        with pytest.raises(Unavailable):
            await files.stat(ref)
        async with process(tmp_path, address.rpartition(":")[2]), asyncio.timeout(30):
            while True:
                try:
                    assert await files.read(ref, max_bytes=100) == b"content"
                    break
                except Unavailable:
                    await asyncio.sleep(0.05)
