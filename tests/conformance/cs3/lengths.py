"""Bodies that are not what was announced: of another length, cut off on their way, or of another checksum."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import zlib
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from conformance.cs3.cases import Area, Eventually, OneOf
from conformance.cs3.tus import patch
from conformance.cs3.versions import versions
from conformance.cs3.wire import TOKEN, Client, by_id, code, opaque
from conformance.cs3.world import World
from cs3.storage.provider.v1beta1 import provider_api_pb2 as api
from cs3.storage.provider.v1beta1 import resources_pb2 as storage

case = Area("lengths")

LENGTHS: Final = (
    "v2 believes the length it was told, and keeps a file that is broken or that ends too soon, v3 takes what comes. "
    "Unwise of both, for the answer is 200; a checksum makes v2 refuse, and ours always says one"
)
UNSAID: Final = "v2 takes what is not said for nothing, v3 takes what comes"
UNMINDED: Final = "v3 does not read the checksum"

WHOLE: Final = b"the whole content"
SHORT: Final = WHOLE[:7]


async def content(client: Client, ref: Any) -> str:
    if await client.seen(ref) != "OK":
        return "nothing"
    try:
        status, body = await client.fetch(ref)
    except aiohttp.ClientError as error:  # the way in which a broken file breaks is the answer
        return type(error).__name__
    return body.decode() if status == 200 else f"HTTP {status}"


async def seen(w: World, ref: Any) -> list[Any]:
    """Size, content, and the sizes of the versions."""
    sizes = [version.size for version in await versions(w.owner, ref)]
    return [(await w.owner.stat(ref)).size, await content(w.owner, ref), sorted(sizes)]


@case(
    "fewer bytes than announced",
    ["HTTP 200", 17, "cut short", []],
    v3=["HTTP 200", 7, "the who", []],
    why=LENGTHS,
)
async def _(w: World) -> list[Any]:
    sent = await w.owner.send(await w.owner.initiate(w.at("new"), len(WHOLE)), SHORT)
    return [str(sent), *await seen(w, w.at("new"))]


@case(
    "more bytes than announced",
    ["HTTP 200", 7, "the who", []],
    v3=["HTTP 200", 17, "the whole content", []],
    why=LENGTHS,
)
async def _(w: World) -> list[Any]:
    sent = await w.owner.send(await w.owner.initiate(w.at("new"), len(SHORT)), WHOLE)
    return [str(sent), *await seen(w, w.at("new"))]


@case("the checksum is that of the bytes that came", [True, True], v3=[False, False], why="v3's local driver keeps none")
async def _(w: World) -> list[bool]:
    same = []
    for name, announced, body in (("short", WHOLE, SHORT), ("long", SHORT, WHOLE)):
        await w.owner.send(await w.owner.initiate(w.at(name), len(announced)), body)
        checksum = (await w.owner.stat(w.at(name))).checksum
        same.append(checksum.sum == hashlib.sha1(body, usedforsecurity=False).hexdigest())
    return same


async def _cut(w: World, ref: Any) -> None:
    await w.owner.send(await w.owner.initiate(ref, len(WHOLE)), SHORT)


@case(
    "a file cut short leaves a version of what it replaces, and the next whole one mends it",
    [[17, "cut short", [5]], [6, "mended", [5, 17]]],
    v3=[[7, "the who", [5]], [6, "mended", [5, 7]]],
    why=LENGTHS,
)
async def _(w: World) -> list[Any]:
    ref = await w.file()
    await _cut(w, ref)
    broken = await seen(w, ref)
    await w.owner.write(ref, b"mended")
    return [broken, await seen(w, ref)]


@case(
    "as a version it is still cut short, and so it comes back",
    ["cut short", "OK", [17, "cut short"]],
    v3=["cannot be asked for", "NOT_FOUND", [6, "mended"]],
    why="v3 wants the version's key elsewhere, and restores none",
)
async def _(w: World) -> list[Any]:
    ref = await w.file()
    await _cut(w, ref)
    info = await w.owner.write(ref, b"mended")
    key = next((version.key for version in await versions(w.owner, ref) if version.size == len(WHOLE)), "none")
    as_version = storage.ResourceId(storage_id=info.id.storage_id, space_id=info.id.space_id, opaque_id=key)
    found = "cannot be asked for" if key == "none" else (await w.owner.fetch(by_id(as_version)))[1].decode()
    restored = await w.owner.ask("RestoreFileVersion", api.RestoreFileVersionRequest(ref=ref, key=key))
    return [found, restored, (await seen(w, ref))[:2]]


@case("cut short it moves along", [17, "cut short"], v3=[7, "the who"], why=LENGTHS)
async def _(w: World) -> list[Any]:
    ref = await w.file()
    await _cut(w, ref)
    await w.owner.ok("Move", api.MoveRequest(source=ref, destination=w.at("moved.ipynb")))
    return (await seen(w, w.at("moved.ipynb")))[:2]


@case(
    "a connection that breaks before the end",
    [5, "first", []],
    v3=[OneOf(7, 0), OneOf("the who", ""), [5]],
    why="v3 takes what has come; unwise, but those who try its weaknesses must find them in the embedded one too",
)
async def _(w: World) -> Eventually:
    ref = await w.file()
    granted = await w.owner.initiate(ref, len(WHOLE))
    offer = next(p for p in granted.protocols if p.protocol == "simple")
    url = urlsplit(offer.upload_endpoint)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    head = {"Host": url.netloc, "X-Reva-Transfer": offer.token, TOKEN: w.owner.token, "Content-Length": str(len(WHOLE))}
    lines = [f"PUT {url.path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
    writer.write("\r\n".join(lines).encode() + SHORT)
    await writer.drain()
    writer.write_eof()
    with contextlib.suppress(ConnectionError):
        await reader.read()  # until the other side has given up too; v3 then stores what came
    writer.close()

    async def look() -> list[Any]:
        try:
            return await seen(w, ref)
        except AssertionError as refused:  # v3 has no file between moving the old one away and the new one there
            return [str(refused)]

    return Eventually(look)


@case(
    "a length that is not announced",
    ["OK", "HTTP 500", ""],
    v3=["OK", "HTTP 200", "new"],
    why=UNSAID,
)
async def _(w: World) -> list[str]:
    granted = await w.owner.initiate(w.at("new"), None)
    return [code(granted), str(await w.owner.send(granted, b"new")), await content(w.owner, w.at("new"))]


# Checksums


def sha1(body: bytes) -> str:
    return f"sha1 {hashlib.sha1(body, usedforsecurity=False).hexdigest()}"


async def asked(w: World, ref: Any, body: bytes, checksum: str) -> Any:
    """An upload of what `body` is said to be."""
    said = opaque({"Upload-Length": str(len(body)), "Upload-Checksum": checksum})
    return await w.owner.call("InitiateFileUpload", api.InitiateFileUploadRequest(ref=ref, opaque=said))


async def sent(w: World, ref: Any, body: bytes, checksum: str) -> str:
    granted = await asked(w, ref, WHOLE, checksum)
    return code(granted) if code(granted) != "OK" else str(await w.owner.send(granted, body))


@case("with the checksum that was announced", ["HTTP 200", [17, "the whole content", [5]]])
async def _(w: World) -> list[Any]:
    ref = await w.file()
    return [await sent(w, ref, WHOLE, sha1(WHOLE)), await seen(w, ref)]


@case(
    "fewer, more and other bytes than the checksum is of",
    ["HTTP 419", "HTTP 419", "HTTP 419", [5, "first", []]],
    v3=["HTTP 200", "HTTP 200", "HTTP 200", [17, "tnetnoc elohw eht", [5, 7, 23]]],
    why=UNMINDED,
)
async def _(w: World) -> list[Any]:
    ref = await w.file()
    answers = []
    for body in (SHORT, WHOLE + b" twice", WHOLE[::-1]):
        answers.append(await sent(w, ref, body, sha1(WHOLE)))
        if answers[-1] == "HTTP 200":
            await asyncio.sleep(1.1)  # v3 names versions by the second
    return [*answers, await seen(w, ref)]


@case("of bytes with another checksum no file is made", ["HTTP 419", "nothing"], v3=["HTTP 200", "the who"], why=UNMINDED)
async def _(w: World) -> list[str]:
    return [await sent(w, w.at("new"), SHORT, sha1(WHOLE)), await content(w.owner, w.at("new"))]


@case("after another checksum the ticket is spent", ["HTTP 419", "HTTP 500"], v3=["HTTP 200", "HTTP 500"], why=UNMINDED)
async def _(w: World) -> list[str]:
    granted = await asked(w, w.at("new"), WHOLE, sha1(WHOLE))
    return [str(await w.owner.send(granted, body)) for body in (SHORT, WHOLE)]


@case("checksums that can be announced", ["HTTP 200"] * 3)
async def _(w: World) -> list[str]:
    others = (f"md5 {hashlib.md5(WHOLE, usedforsecurity=False).hexdigest()}", f"adler32 {zlib.adler32(WHOLE):08x}")
    return [await sent(w, w.at(f"{n}.ipynb"), WHOLE, one) for n, one in enumerate((sha1(WHOLE), *others))]


@case(
    "checksums that cannot: of another kind, without one, in capitals, of nothing",
    ["INVALID_ARGUMENT", "INVALID_ARGUMENT", "INVALID_ARGUMENT", "INVALID_ARGUMENT", "HTTP 419"],
    v3=["HTTP 200"] * 5,
    why=UNMINDED,
)
async def _(w: World) -> list[str]:
    kind, value = sha1(WHOLE).split(" ")
    wrong = (f"sha256 {hashlib.sha256(WHOLE).hexdigest()}", value, f"SHA1 {value}", "", f"{kind} {value.upper()}")
    return [await sent(w, w.at(f"{n}.ipynb"), WHOLE, one) for n, one in enumerate(wrong)]


@case(
    "an empty file with its checksum, and with another",
    ["OK", 0, "INVALID_ARGUMENT", 5],
    v3=["OK", 5, "OK", 5],
    why="v3 wants the PUT of an empty file too, and does not read the checksum",
)
async def _(w: World) -> list[Any]:
    found: list[Any] = []
    for name, checksum in (("one.ipynb", sha1(b"")), ("two.ipynb", sha1(b"another"))):
        ref = await w.file(name=name)
        found += [code(await asked(w, ref, b"", checksum)), (await w.owner.stat(ref)).size]
    return found


@case(
    "tus: with the checksum that was announced, and with another",
    ["HTTP 204, at 17", "HTTP 500, at nowhere", "nothing"],
    v3=["HTTP 204, at 17", "HTTP 204, at 17", "tnetnoc elohw eht"],
    why=UNMINDED,
)
async def _(w: World) -> list[str]:
    answers = []
    for name, body in (("one", WHOLE), ("two", WHOLE[::-1])):
        answers.append(await patch(w.owner, await asked(w, w.at(name), WHOLE, sha1(WHOLE)), 0, body))
    return [*answers, await content(w.owner, w.at("two"))]
