"""Uploads in pieces, by the tus protocol 1.0 (https://tus.io/protocols/resumable-upload)."""

from __future__ import annotations

import io
from typing import Any, Final

from conformance.cs3.cases import Area
from conformance.cs3.transfer import IGNORED
from conformance.cs3.wire import TOKEN, Client, Sent
from conformance.cs3.world import World

case = Area("tus")

TYPE: Final = "application/offset+octet-stream"


async def ask(client: Client, method: str, granted: Any, offset: int | None, content: bytes = b"", **headers: str) -> Sent:
    """One request of the protocol; an empty header is left out."""
    offer = next(p for p in granted.protocols if p.protocol == "tus")
    sent = {"X-Reva-Transfer": offer.token, TOKEN: client.token, "Tus-Resumable": "1.0.0"}
    if method == "PATCH":
        sent |= {"Upload-Offset": str(offset), "Content-Type": TYPE}
    sent = {name: value for name, value in (sent | headers).items() if value}
    body = io.BytesIO(content) if method == "PATCH" else None
    async with client.http.request(method, offer.upload_endpoint, data=body, headers=sent) as answer:
        return Sent(answer.status, answer.headers)


async def patch(client: Client, granted: Any, offset: int, content: bytes, **headers: str) -> str:
    sent = await ask(client, "PATCH", granted, offset, content, **headers)
    return f"{sent}, at {sent.headers.get('Upload-Offset', 'nowhere')}"


@case("a file in one piece", ["HTTP 204, at 5", "whole"])
async def _(w: World) -> list[str]:
    granted = await w.owner.initiate(w.at("new"), 5)
    return [await patch(w.owner, granted, 0, b"whole"), await w.owner.read(w.at("new"))]


@case("a file in pieces is there with the last", ["HTTP 204, at 3", "NOT_FOUND", "HTTP 204, at 6", "twosix"])
async def _(w: World) -> list[str]:
    granted = await w.owner.initiate(w.at("new"), 6)
    first = await patch(w.owner, granted, 0, b"two")
    seen = await w.owner.seen(w.at("new"))
    return [first, seen, await patch(w.owner, granted, 3, b"six"), await w.owner.read(w.at("new"))]


@case("how far an upload has come", ["HTTP 200, at 0", "HTTP 200, at 3", "6"])
async def _(w: World) -> list[str]:
    granted = await w.owner.initiate(w.at("new"), 6)
    before = await ask(w.owner, "HEAD", granted, None)
    await patch(w.owner, granted, 0, b"two")
    after = await ask(w.owner, "HEAD", granted, None)
    said = [f"{sent}, at {sent.headers.get('Upload-Offset', 'nowhere')}" for sent in (before, after)]
    return [*said, after.headers.get("Upload-Length", "not said")]


@case("a piece from another place than the last ended at", ["HTTP 409", "HTTP 204"])
async def _(w: World) -> list[str]:
    granted = await w.owner.initiate(w.at("new"), 6)
    wrong = await patch(w.owner, granted, 3, b"six")
    return [wrong.partition(",")[0], (await patch(w.owner, granted, 0, b"two")).partition(",")[0]]


@case("without a transfer token, of another type, of another version", ["HTTP 403", "HTTP 400", "HTTP 412"])
async def _(w: World) -> list[str]:
    granted = await w.owner.initiate(w.at("new"), 3)
    wrong: list[dict[str, str]] = [{"X-Reva-Transfer": ""}, {"Content-Type": "text/plain"}, {"Tus-Resumable": "0.2.0"}]
    return [(await patch(w.owner, granted, 0, b"new", **headers)).partition(",")[0] for headers in wrong]


@case(
    "more than was announced", ["HTTP 413, at nowhere", "NOT_FOUND"], v3=["HTTP 204, at 3", "OK"], why="v3 leaves away the rest"
)
async def _(w: World) -> list[str]:
    granted = await w.owner.initiate(w.at("new"), 3)
    return [await patch(w.owner, granted, 0, b"too long"), await w.owner.seen(w.at("new"))]


@case("after the last piece", "HTTP 404")
async def _(w: World) -> str:
    granted = await w.owner.initiate(w.at("new"), 3)
    await patch(w.owner, granted, 0, b"new")
    return (await patch(w.owner, granted, 3, b"more")).partition(",")[0]


@case("a condition that is lost before the last piece", ["HTTP 412", "theirs"], v3=["HTTP 204", "mine"], why=IGNORED)
async def _(w: World) -> list[str]:
    ref = await w.file()
    granted = await w.owner.initiate(ref, 4, if_match=(await w.owner.stat(ref)).etag)
    await w.owner.write(ref, b"theirs")
    return [(await patch(w.owner, granted, 0, b"mine")).partition(",")[0], await w.owner.read(ref)]


@case("a file over another leaves a version", [1, "second"])
async def _(w: World) -> list[Any]:
    from conformance.cs3.versions import versions

    ref = await w.file()
    await patch(w.owner, await w.owner.initiate(ref, 6), 0, b"second")
    return [len(await versions(w.owner, ref)), await w.owner.read(ref)]
