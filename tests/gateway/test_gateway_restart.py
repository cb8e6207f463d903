"""What survives: a stop, a kill -9, and work cut short. And the command itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from cs3.gateway.v1beta1 import gateway_api_pb2 as gw
from cs3.gateway.v1beta1 import gateway_api_pb2_grpc
from cs3.sharing.collaboration.v1beta1 import collaboration_api_pb2 as collaboration
from cs3.sharing.collaboration.v1beta1 import resources_pb2 as sharing
from cs3.storage.provider.v1beta1 import provider_api_pb2 as api
from cs3.storage.provider.v1beta1 import resources_pb2 as storage
from gateway_client import Client, Sites, Started, by_id, by_path, code, give
from google.protobuf.field_mask_pb2 import FieldMask
from support.issuer import issuer

FILE = by_path("/users/id-einstein/a.txt")
PEOPLE = [
    {"id": {"opaque_id": "id-einstein"}, "username": "einstein", "secret": "relativity"},
    {"id": {"opaque_id": "id-marie"}, "username": "marie", "secret": "radioactivity"},
]


async def test_all_that_was_answered_survives_a_restart(sites: Sites, tmp_path: Path) -> None:
    first = await sites.start(tmp_path / "a")
    einstein, marie = await first.user("einstein"), await first.user("marie")
    for content in (b"1", b"22"):
        await einstein.write(FILE, content)
    ref = by_id((await einstein.stat(FILE)).id)
    share = await give(einstein, marie, ref, editor=True)
    accepted = sharing.ReceivedShare(share=share, state=sharing.SHARE_STATE_ACCEPTED)
    mask = FieldMask(paths=["state"])
    await marie.ok("UpdateReceivedShare", collaboration.UpdateReceivedShareRequest(share=accepted, update_mask=mask))
    lock = storage.Lock(lock_id="one", type=storage.LOCK_TYPE_WRITE, app_name="app")
    await einstein.ok("SetLock", api.SetLockRequest(ref=ref, lock=lock))
    values = storage.ArbitraryMetadata(metadata={"a": "b"})
    set_values = api.SetArbitraryMetadataRequest(ref=ref, arbitrary_metadata=values, lock_id="one")
    await einstein.ok("SetArbitraryMetadata", set_values)
    before = await einstein.stat(ref)
    await first.gateway.stop()

    second = await sites.start(tmp_path / "a")
    again = Client(second.client.stub, second.client.http, einstein.token)
    after = await again.stat(ref)
    assert after == before
    assert after.lock.lock_id == "one"
    assert code(await again.initiate(ref, 1)) == "LOCKED"
    assert len((await again.ok("ListFileVersions", api.ListFileVersionsRequest(ref=ref))).versions) == 1
    as_marie = Client(second.client.stub, second.client.http, marie.token)
    assert await as_marie.read(by_path("/users/id-marie/Shares/a.txt")) == b"22"
    await as_marie.write(ref, b"333", lock_id="one", if_match=before.etag)


async def test_a_gateway_can_be_started_again(sites: Sites, tmp_path: Path) -> None:
    site = await sites.start(tmp_path / "a")
    await site.gateway.stop()
    await site.gateway.stop()
    await site.gateway.start()


async def test_a_user_who_left_the_users_file_is_out(sites: Sites, tmp_path: Path) -> None:
    first = await sites.start(tmp_path / "a")
    moss = await first.user("moss")
    await first.gateway.stop()
    second = await sites.start(tmp_path / "a", users=[u for u in first.gateway.config.users if u.username != "moss"])
    gone = Client(second.client.stub, second.client.http, moss.token)
    assert await gone.stat_code(by_path("/users/id-moss")) == "NOT_FOUND"


async def test_unfinished_uploads_are_cleared(sites: Sites, tmp_path: Path) -> None:
    first = await sites.start(tmp_path / "a")
    await first.gateway.stop()
    (tmp_path / "a" / ".cs3" / "uploads" / "leftover").write_bytes(b"half")
    await sites.start(tmp_path / "a")
    assert list((tmp_path / "a" / ".cs3" / "uploads").iterdir()) == []


@pytest.mark.parametrize("moved", [True, False])
async def test_a_delete_cut_short_is_finished(sites: Sites, tmp_path: Path, moved: bool) -> None:
    first = await sites.start(tmp_path / "a")
    einstein = await first.user("einstein")
    await einstein.write(FILE, b"x")
    info = await einstein.stat(FILE)
    await first.gateway.stop()
    if moved:  # the file reached the trash, the index does not know
        home = tmp_path / "a" / "users" / "id-einstein"
        (home / "a.txt").rename(tmp_path / "a" / ".cs3" / "trash" / f"{info.id.opaque_id}~{time.time_ns()}")
    second = await sites.start(tmp_path / "a")
    einstein = await second.user("einstein")
    items = (await einstein.ok("ListRecycle", api.ListRecycleRequest(ref=by_path("/users/id-einstein")))).recycle_items
    assert [i.ref.path for i in items] == (["/a.txt"] if moved else [])
    assert await einstein.stat_code(FILE) == ("NOT_FOUND" if moved else "OK")


def _prepare(root: Path) -> tuple[Path, Path]:
    root.mkdir(exist_ok=True)
    people, ready = root / "users.json", root / "ready.json"
    people.write_text(json.dumps(PEOPLE))
    ready.unlink(missing_ok=True)
    return people, ready


@asynccontextmanager
async def command(root: Path, *more: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, Any]]]:
    """``cs3collab gateway`` as a process of its own, and what its ready file says."""
    people, ready = _prepare(root)
    arguments = ["--root", str(root / "data"), "--users", str(people), "--port", "0", "--http-port", "0"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cs3collab", "gateway", *arguments, "--ready-file", str(ready), *more
    )
    try:
        async with asyncio.timeout(30):
            while not ready.exists():
                assert process.returncode is None
                await asyncio.sleep(0.02)
        yield process, json.loads(ready.read_text())
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def client(said: dict[str, Any]) -> AsyncIterator[Client]:
    async with (
        grpc.aio.insecure_channel(said["address"], options=[("grpc.use_local_subchannel_pool", 1)]) as channel,
        aiohttp.ClientSession() as http,
    ):
        stub = gateway_api_pb2_grpc.GatewayAPIStub(channel)
        yield await Client(stub, http).login("basic", "einstein", "relativity")


@pytest.mark.integration
async def test_kill_9_while_writing_leaves_a_whole_file_of_an_answered_or_later_write(tmp_path: Path) -> None:
    answered: list[bytes] = []
    async with command(tmp_path / "a") as (process, said), client(said) as einstein:

        async def write() -> None:
            for n in range(10_000):
                content = b"%06d" % n * 1000
                await einstein.write(FILE, content)
                answered.append(content)

        writing = asyncio.create_task(write())
        while len(answered) < 5:
            assert not writing.done()
            await asyncio.sleep(0.01)
        process.kill()
        await process.wait()
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        token = einstein.token
    async with command(tmp_path / "a") as (process, said), client(said) as einstein:
        content = await einstein.read(FILE)
        assert content in {answered[-1], b"%06d" % len(answered) * 1000}
        assert code(await einstein.call("Stat", api.StatRequest(ref=FILE), token)) == "OK"
        etag = (await einstein.stat(FILE)).etag
        assert await einstein.write(FILE, b"next", if_match=etag) != etag


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_command_stops_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    async with command(tmp_path / "a") as (process, said), client(said) as einstein:
        await einstein.write(FILE, b"x")
        assert said["pid"] == process.pid
        os.kill(process.pid, number)
        assert await asyncio.wait_for(process.wait(), 20) == 0


@pytest.mark.integration
async def test_a_token_of_the_issuer_that_the_command_names_logs_in(tmp_path: Path) -> None:
    async with (
        issuer() as named,
        issuer() as other,
        command(tmp_path / "a", "--issuer", f"{named.url}/") as (_, said),
        client(said) as einstein,
    ):
        marie = await einstein.login("bearer", "", named.token("id-marie", "marie", "localhost"))
        assert (marie.user.username, marie.user.id.opaque_id) == ("marie", "id-marie")
        await marie.write(by_path("/users/id-marie/b.txt"), b"hers")
        for token in (
            other.token("id-marie", "marie", "localhost"),
            named.token("id-nobody", "nobody", "localhost"),
            named.token("id-marie", "marie", "localhost", life_s=-1),
        ):
            assert await login_code(einstein, "bearer", token) != "OK"


@pytest.mark.integration
async def test_without_an_issuer_the_command_takes_no_foreign_tokens(tmp_path: Path) -> None:
    async with issuer() as provider, command(tmp_path / "a") as (_, said), client(said) as einstein:
        assert await login_code(einstein, "bearer", provider.token("id-marie", "marie", "localhost")) != "OK"


async def login_code(somebody: Client, kind: str, secret: str) -> str:
    return code(await somebody.call("Authenticate", gw.AuthenticateRequest(type=kind, client_secret=secret)))


async def refused(*arguments: str) -> str:
    """What the command says when it cannot start, which is one line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cs3collab", "--log-level", "error", "gateway", *arguments, stderr=asyncio.subprocess.PIPE
    )
    _, said = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    text = said.decode()
    assert text.count("\n") == 1, text
    return text


@pytest.mark.integration
async def test_bad_settings_are_one_line_errors(tmp_path: Path, site: Started) -> None:
    people = tmp_path / "users.json"
    people.write_text(json.dumps(PEOPLE))
    root = str(tmp_path / "data")
    port, http_port = (url.rpartition(":")[2] for url in (site.gateway.address, site.gateway.http_url))
    answers = await asyncio.gather(
        refused("--root", root + "1", "--users", str(tmp_path / "none.json")),
        refused("--root", str(people), "--users", str(people)),
        refused("--root", root + "2", "--users", str(people), "--port", port, "--http-port", "0"),
        refused("--root", root + "3", "--users", str(people), "--port", "0", "--http-port", http_port),
        refused("--root", root + "4", "--users", str(people), "--issuer", "idp.example.org"),
    )
    said = ("users file", "cannot keep files", "--port", "--http-port", "--issuer is no URL")
    for answer, expected in zip(answers, said, strict=True):
        assert expected in answer
