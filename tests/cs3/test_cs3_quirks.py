"""What real gateways do that is in no specification: see `conformance.cs3`."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from cs3.types.v1beta1 import types_pb2
from support.sites import Site

from cs3collab.cs3 import convert
from cs3collab.cs3.auth import BearerToken
from cs3collab.cs3.files import Files
from cs3collab.cs3.session import Session
from cs3collab.errors import AlreadyExists, InvalidInput, StorageUnavailable
from cs3collab.gateway import data
from cs3collab.types import Ref, ResourceId

SOMEWHERE = ResourceId("s", "o", "p")
Get = Callable[[data.DataEndpoint, web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
def refusals(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The statuses with which the next downloads are refused. To be asked for before ``running``, which binds the endpoint."""
    left: list[int] = []
    real: Get = data.DataEndpoint.get

    async def get(self: data.DataEndpoint, request: web.Request) -> web.StreamResponse:
        return web.Response(status=left.pop()) if left else await real(self, request)

    monkeypatch.setattr(data.DataEndpoint, "get", get)
    return left


@pytest.mark.parametrize("status", [425, 500])
async def test_a_file_that_is_just_being_written_is_read_a_moment_later(
    status: int, refusals: list[int], running: Site, files: Files
) -> None:
    ref = Ref.of((await running.put("einstein", "file.ipynb", b"content")).id)
    refusals[:] = [status] * 3
    assert await files.read(ref, max_bytes=100) == b"content"


async def test_a_file_that_is_always_just_being_written_is_not_waited_for_for_ever(
    refusals: list[int], running: Site, files: Files
) -> None:
    ref = Ref.of((await running.put("einstein", "file.ipynb", b"content")).id)
    refusals[:] = [425] * 1000
    with pytest.raises(StorageUnavailable):
        await files.read(ref, max_bytes=100)


@pytest.mark.parametrize("call", ["home", "spaces"])
async def test_a_call_that_fails_without_a_reason_is_made_again_with_a_new_token(call: str, files: Files) -> None:
    class Twice(BearerToken):
        async def renew(self) -> str:
            return await files.session.tokens.token()

    asked: Any = getattr(Files(Session(files.session.gateway, Twice("not a token of this gateway"))), call)
    assert await asked() == await getattr(files, call)()


async def test_a_file_is_not_moved_onto_another_nor_a_folder_into_itself(running: Site, files: Files) -> None:
    await running.put("einstein", "dir/one", b"one")
    await running.put("einstein", "dir/two", b"two")
    one, two, folder = [await running.ref("einstein", path) for path in ("dir/one", "dir/two", "dir")]
    with pytest.raises(AlreadyExists):
        await files.move(one, two)
    with pytest.raises(InvalidInput):
        await files.move(folder, await running.ref("einstein", "dir/sub"))
    assert [await files.read(ref, max_bytes=10) for ref in (one, two)] == [b"one", b"two"]


@pytest.mark.parametrize(
    ("path", "folder", "expected"),
    [
        (Ref("/a/b"), Ref("/a"), True),
        (Ref("/a/b/"), Ref("/a/"), True),
        (Ref("/ab"), Ref("/a"), False),
        (Ref("/a"), Ref("/a"), False),
        (Ref("/a"), Ref("/a/b"), False),
        (Ref("/a"), Ref("/"), True),
        (Ref("./a", SOMEWHERE), Ref(".", SOMEWHERE), True),
        (Ref(".", SOMEWHERE), Ref(".", SOMEWHERE), False),
        (Ref("./a/b", SOMEWHERE), Ref("./a", SOMEWHERE), True),
        (Ref("./a/b", SOMEWHERE), Ref("./a"), False),
    ],
)
def test_what_is_within_a_folder(path: Ref, folder: Ref, expected: bool) -> None:
    assert convert.is_within(path, folder) is expected


@pytest.mark.parametrize("factor", [1, 1000])
def test_times_are_seconds_also_where_they_were_milliseconds(factor: int) -> None:
    now = int(time.time())
    assert convert.from_timestamp(types_pb2.Timestamp(seconds=now * factor)) == now
    assert convert.to_seconds(now * factor) == now
