"""Bytes in and out: conditions, lengths, tickets, races."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from conformance.cs3.cases import Among, Area, OneOf
from conformance.cs3.wire import Client, by_id, by_path, code, download
from conformance.cs3.world import ROUNDS, World
from cs3.storage.provider.v1beta1 import provider_api_pb2 as api

case = Area("transfer")

IGNORED: Final = "v3's storage provider reads none of the upload's options"
BOTH_TOKENS: Final = "v3's data gateway wants an access token always"
EMPTY: Final = "v3 wants the PUT of an empty file too"
BY_PATH: Final = "v3's local driver writes to the path that the ticket was for"
COARSE: Final = OneOf("the same", "another")
LATE: Final = "v3 finds out when the bytes are there"


# Uploads


@case("an upload offers", ["simple", "tus"])
async def _(w: World) -> list[str]:
    return sorted(p.protocol for p in (await w.owner.initiate(w.at("new"), 3)).protocols)


@case("a new file is as it was sent", ["HTTP 200", "new", 3])
async def _(w: World) -> list[Any]:
    sent = await w.owner.send(await w.owner.initiate(w.at("new"), 3), b"new")
    return [str(sent), await w.owner.read(w.at("new")), (await w.owner.stat(w.at("new"))).size]


@case("a PUT says the new etag", "as Stat says", v3="nothing", why="v3's data provider sends no ETag")
async def _(w: World) -> str:
    sent = await w.owner.send(await w.owner.initiate(w.at("new"), 3), b"new")
    etag = sent.headers.get("ETag", "")
    return "nothing" if not etag else "as Stat says" if etag == (await w.owner.stat(w.at("new"))).etag else etag


@case("an etag is quoted", True)
async def _(w: World) -> bool:
    etag = (await w.owner.stat(await w.file())).etag
    return bool(etag[0] == etag[-1] == '"' and len(etag) > 2)


@case("each upload changes the etag, also of the same bytes, and keeps the id", [3, 1])
async def _(w: World) -> list[int]:
    ref = await w.file(b"same")
    infos = [await w.owner.stat(ref)] + [await w.owner.write(ref, b"same") for _ in range(2)]
    return [len({info.etag for info in infos}), len({info.id.opaque_id for info in infos})]


@case("a PUT needs no access token beside the transfer token", "HTTP 200", v3="HTTP 401", why=BOTH_TOKENS)
async def _(w: World) -> str:
    granted = await w.owner.initiate(w.at("new"), 3)
    return str(await w.owner.with_token("").send(granted, b"new"))


@case("a PUT without or with a broken transfer token is refused", ["HTTP 403", "HTTP 403"])
async def _(w: World) -> list[str]:
    granted = await w.owner.initiate(w.at("new"), 3)
    none = await w.owner.send(granted, b"new", {"X-Reva-Transfer": ""})
    return [str(none), str(await w.owner.send(granted, b"new", {"X-Reva-Transfer": "broken"}))]


@case("a ticket is good for one upload", ["HTTP 200", "HTTP 500", "one"])
async def _(w: World) -> list[str]:
    granted = await w.owner.initiate(w.at("new"), 3)
    first = str(await w.owner.send(granted, b"one"))
    return [first, str(await w.owner.send(granted, b"two")), await w.owner.read(w.at("new"))]


@case(
    "an empty file is done at once, and its PUT is refused",
    ["OK", "OK", "HTTP 400"],
    v3=["OK", "NOT_FOUND", "HTTP 200"],
    why=EMPTY,
)
async def _(w: World) -> list[str]:
    granted = await w.owner.initiate(w.at("empty"), 0)
    return [code(granted), await w.owner.seen(w.at("empty")), str(await w.owner.send(granted, b""))]


@case("a file can be emptied", ["OK", ""], v3=["OK", "first"], why=EMPTY)
async def _(w: World) -> list[str]:
    ref = await w.file()
    return [await w.owner.upload(ref, b""), await w.owner.read(ref)]


@case("nothing is uploaded into a missing folder", "FAILED_PRECONDITION", v3="OK", why=LATE)
async def _(w: World) -> str:
    return await w.owner.may_upload(w.at("missing/new"))


@case("nothing is uploaded onto a folder", "FAILED_PRECONDITION", v3="OK", why=LATE)
async def _(w: World) -> str:
    return await w.owner.may_upload(await w.dir())


@case("an upload to a folder's id and a name in it", ["OK", "new"])
async def _(w: World) -> list[str]:
    folder = await w.dir()
    ref = by_id(folder.resource_id, "./new.ipynb")
    return [await w.owner.upload(ref, b"new"), await w.owner.read(w.at("dir/new.ipynb"))]


@case("a file that was deleted since is not written", ["HTTP 500", "NOT_FOUND"], v3=["HTTP 200", "OK"], why=BY_PATH)
async def _(w: World) -> list[str]:
    ref = await w.file()
    granted = await w.owner.initiate(ref, 3)
    await w.owner.ok("Delete", api.DeleteRequest(ref=ref))
    return [str(await w.owner.send(granted, b"new")), await w.owner.seen(w.at("file.ipynb"))]


@case(
    "a file that was moved since is written where it is now",
    ["HTTP 200", "new", "NOT_FOUND"],
    v3=["HTTP 200", "first", "OK"],
    why=BY_PATH,
)
async def _(w: World) -> list[str]:
    ref = await w.file()
    granted = await w.owner.initiate(ref, 3)
    await w.owner.ok("Move", api.MoveRequest(source=ref, destination=w.at("moved.ipynb")))
    sent = await w.owner.send(granted, b"new")
    return [str(sent), await w.owner.read(w.at("moved.ipynb")), await w.owner.seen(w.at("file.ipynb"))]


NAMES: Final = (
    "with blank.ipynb",
    "Größe.ipynb",
    "分析 📈.ipynb",
    "#?%41&=+;@,'\".ipynb",
    "back\\slash:colon.ipynb",
    ".hidden.ipynb",
    "x" * 200 + ".ipynb",
)


@case("names of all sorts are kept", sorted(NAMES))
async def _(w: World) -> list[str]:
    for name in NAMES:
        await w.owner.write(w.at(name), name.encode())
        assert await w.owner.read(w.at(name)) == name
    return await w.owner.names(w.folder)


@case("20 MB come back whole", True)
async def _(w: World) -> bool:
    content = bytes(range(256)) * (20 * 4096)
    info = await w.owner.write(w.at("large"), content)
    return (await w.owner.fetch(by_id(info.id)))[1] == content


# Conditions


@case("if_match on the present etag", ["OK", "mine"])
async def _(w: World) -> list[str]:
    ref = await w.file()
    return [await w.owner.upload(ref, b"mine", if_match=(await w.owner.stat(ref)).etag), await w.owner.read(ref)]


@case(
    "if_match on an older etag", ["ABORTED", "theirs"], v3=["OK", "mine"], older=["FAILED_PRECONDITION", "theirs"], why=IGNORED
)
async def _(w: World) -> list[str]:
    ref = await w.file()
    old = (await w.owner.stat(ref)).etag
    await w.owner.write(ref, b"theirs")
    return [await w.owner.upload(ref, b"mine", if_match=old), await w.owner.read(ref)]


@case("if_match on an etag that is lost before the bytes come", ["HTTP 412", "theirs"], v3=["HTTP 200", "mine"], why=IGNORED)
async def _(w: World) -> list[str]:
    ref = await w.file()
    granted = await w.owner.initiate(ref, 4, if_match=(await w.owner.stat(ref)).etag)
    await w.owner.write(ref, b"theirs")
    return [str(await w.owner.send(granted, b"mine")), await w.owner.read(ref)]


@case(
    "if_match on a missing file",
    ["ABORTED", "NOT_FOUND"],
    v3=["OK", "OK"],
    older=["FAILED_PRECONDITION", "NOT_FOUND"],
    why=IGNORED,
)
async def _(w: World) -> list[str]:
    return [await w.owner.upload(w.at("new"), b"mine", if_match='"0123"'), await w.owner.seen(w.at("new"))]


@case(
    "if_match without quotes, and with a star",
    ["ABORTED", "ABORTED"],
    v3=["OK", "OK"],
    older=["FAILED_PRECONDITION", "FAILED_PRECONDITION"],
    why=IGNORED,
)
async def _(w: World) -> list[str]:
    ref = await w.file()
    etag = (await w.owner.stat(ref)).etag.strip('"')
    return [await w.owner.may_upload(ref, if_match=etag), await w.owner.may_upload(ref, if_match="*")]


@case("if_match as a header of the PUT is not looked at", "HTTP 200")
async def _(w: World) -> str:
    ref = await w.file()
    return str(await w.owner.send(await w.owner.initiate(ref, 4), b"mine", {"If-Match": '"0123"'}))


@case("if_not_exist on a free name", "OK")
async def _(w: World) -> str:
    return await w.owner.upload(w.at("new"), b"mine", if_not_exist=True)


@case("if_not_exist on a taken name", ["ALREADY_EXISTS", "first"], v3=["OK", "mine"], why=IGNORED)
async def _(w: World) -> list[str]:
    await w.file()
    return [await w.owner.upload(w.at("file.ipynb"), b"mine", if_not_exist=True), await w.owner.read(w.at("file.ipynb"))]


@case("if_not_exist on a name that is taken before the bytes come", ["HTTP 412", "first"], v3=["HTTP 200", "mine"], why=IGNORED)
async def _(w: World) -> list[str]:
    granted = await w.owner.initiate(w.at("file.ipynb"), 4, if_not_exist=True)
    await w.file()
    return [str(await w.owner.send(granted, b"mine")), await w.owner.read(w.at("file.ipynb"))]


# Races


async def _rounds(w: World, option: str) -> list[str]:
    clients = await w.racers()
    rounds = []
    for number in range(ROUNDS):
        name = f"{number}.ipynb"
        if option == "if_match":
            await w.file(name=name)
        options = {"if_match": (await w.owner.stat(w.at(name))).etag} if option == "if_match" else {option: True}
        uploads = (client.upload(w.at(name), f"by {n:02}".encode(), **options) for n, client in enumerate(clients))
        answers = await asyncio.gather(*uploads)
        winners = [n for n, answer in enumerate(answers) if answer == "OK"]
        content = await w.owner.read(w.at(name))
        rounds.append(f"{len(winners)} of {len(clients)}, whose content is there: {content in [f'by {n:02}' for n in winners]}")
    return rounds


@case(
    "of many on the same etag one writes",
    ["1 of 12, whose content is there: True"] * ROUNDS,
    v3=[OneOf(*(f"{n} of 12, whose content is there: True" for n in range(2, 13)))] * ROUNDS,
    why=IGNORED,
)
async def _(w: World) -> list[str]:
    return await _rounds(w, "if_match")


@case(
    "of many who make the same file one does",
    ["1 of 12, whose content is there: True"] * ROUNDS,
    older=[OneOf(*(f"{n} of 12, whose content is there: True" for n in (1, 2, 3)))] * ROUNDS,
    v3=[OneOf(*(f"{n} of 12, whose content is there: True" for n in range(2, 13)))] * ROUNDS,
    why=f"{IGNORED}; the older v2 looks, and then makes it: now and then two do",
)
async def _(w: World) -> list[str]:
    return await _rounds(w, "if_not_exist")


@case(
    "readers beside writers see whole contents or none",
    Among("whole", "HTTP 425", "HTTP 500"),
    v3=Among("whole", "HTTP 404"),
    why="Reva refuses to read for the moment in which an upload is put in its place; v3 first takes away what was there",
)
async def _(w: World) -> list[str]:
    size = 256 * 1024
    ref = await w.file(b"0" * size)
    clients = await w.racers(6)

    async def write(client: Client, n: int) -> str:
        return ",".join([await client.upload(ref, str(n).encode() * size) for _ in range(4)])

    async def read(client: Client) -> list[str]:
        seen = []
        for _ in range(8):
            status, body = await client.fetch(ref)
            whole = "whole" if len(body) == size and len(set(body)) == 1 else f"{len(body)} bytes of {len(set(body))} kinds"
            seen.append(whole if status == 200 else f"HTTP {status}")
        return seen

    *_, a, b, c = await asyncio.gather(*(write(x, n) for n, x in enumerate(clients[:3])), *(read(x) for x in clients[3:]))
    return sorted({*a, *b, *c})


# Downloads


@case("a download offers, by path and by id", ["spaces", "spaces"], v3=["simple", "spaces"], why="v3 names it so by path")
async def _(w: World) -> list[str]:
    ref = await w.file()
    requests = [api.InitiateFileDownloadRequest(ref=one) for one in (w.at("file.ipynb"), ref)]
    return [p.protocol for request in requests for p in (await w.owner.ok("InitiateFileDownload", request)).protocols]


@case("a download is as long as it says", [200, "first", "5"])
async def _(w: World) -> list[Any]:
    ref = await w.file()
    offer = download(await w.owner.ok("InitiateFileDownload", api.InitiateFileDownloadRequest(ref=ref)))
    async with w.owner.http.get(
        offer.download_endpoint, headers={"X-Reva-Transfer": offer.token, "x-access-token": w.owner.token}
    ) as answer:
        return [answer.status, (await answer.read()).decode(), answer.headers.get("Content-Length", "not said")]


@case("a missing file is missed when it is fetched", ["OK", 404])
async def _(w: World) -> list[Any]:
    request = api.InitiateFileDownloadRequest(ref=w.at("missing"))
    return [await w.owner.ask("InitiateFileDownload", request), (await w.owner.fetch(w.at("missing")))[0]]


@case(
    "a folder has no content",
    ["OK", 200, OneOf("", "cut short")],
)
async def _(w: World) -> list[Any]:
    ref = await w.dir()
    status, body = await w.owner.fetch(ref)
    found = body.decode() if status == 200 else ""
    return [await w.owner.ask("InitiateFileDownload", api.InitiateFileDownloadRequest(ref=ref)), status, found]


@case("a GET needs the access token beside the transfer token", 404, v3=401, why=BOTH_TOKENS)
async def _(w: World) -> int:
    granted = await w.owner.ok("InitiateFileDownload", api.InitiateFileDownloadRequest(ref=await w.file()))
    return (await w.owner.with_token("").get(granted))[0]


@case("a GET without or with a broken transfer token is refused", [403, 403])
async def _(w: World) -> list[int]:
    ref = await w.file()
    granted = await w.owner.ok("InitiateFileDownload", api.InitiateFileDownloadRequest(ref=ref))
    none = await w.owner.get(granted, {"X-Reva-Transfer": ""})
    return [none[0], (await w.owner.get(granted, {"X-Reva-Transfer": "broken"}))[0]]


@case("a download gives what is there when it is fetched", "later")
async def _(w: World) -> str:
    ref = await w.file()
    granted = await w.owner.ok("InitiateFileDownload", api.InitiateFileDownloadRequest(ref=ref))
    await w.owner.write(ref, b"later")
    return (await w.owner.get(granted))[1].decode()


@case(
    "a stranger uploads and downloads nothing",
    ["PERMISSION_DENIED", "HTTP 404"],
    v3=["OK", "first"],
    why="v3's local driver keeps nobody out",
)
async def _(w: World) -> list[str]:
    ref = await w.file()
    granted = await w.richard.call("InitiateFileDownload", api.InitiateFileDownloadRequest(ref=ref))
    if code(granted) != "OK":
        return [await w.richard.may_upload(ref), code(granted)]
    status, body = await w.richard.get(granted)
    return [await w.richard.may_upload(ref), body.decode() if status == 200 else f"HTTP {status}"]


@case(
    "an etag of a folder changes with what is written below",
    ["another", "another"],
    v3=[COARSE, COARSE],
    why="v3's local driver says nothing to the folders above, and makes etags of whole seconds",
)
async def _(w: World) -> list[str]:
    await w.dir("a")
    before = [(await w.owner.stat(ref)).etag for ref in (w.folder, w.at("a"))]
    await w.owner.write(by_path(f"{w.folder.path}/a/new"), b"new")
    after = [(await w.owner.stat(ref)).etag for ref in (w.folder, w.at("a"))]
    return ["another" if one != two else "the same" for one, two in zip(before, after, strict=True)]
