"""What ends by itself: tickets, shares, links."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from conformance.cs3 import links, ocm, tus
from conformance.cs3.cases import Area
from conformance.cs3.ocm_login import login
from conformance.cs3.shares import ref_of
from conformance.cs3.wire import Client, code, expired
from conformance.cs3.world import World
from cs3.sharing.collaboration.v1beta1 import collaboration_api_pb2 as api
from cs3.sharing.collaboration.v1beta1 import resources_pb2 as sharing
from cs3.storage.provider.v1beta1 import provider_api_pb2 as files
from cs3.types.v1beta1 import types_pb2
from google.protobuf.field_mask_pb2 import FieldMask

case = Area("ends")

LIFE_S: Final = 2.0
"""Of what is to end; times are whole seconds."""
PATIENCE_S: Final = 3.0


async def when_over(ask: Callable[[], Awaitable[Any]]) -> Any:
    """The first answer after the end that is another than now, or the same if none comes."""
    first = await ask()
    over = time.time() + LIFE_S + PATIENCE_S
    while (now := await ask()) == first and time.time() < over:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.1)
    return now


# Tickets


def _late(w: World, granted: Any) -> Any:
    for offer in granted.protocols:
        offer.token = expired(offer.token, w.here.endpoint.transfer_secret)
    return granted


@case("a ticket that is too old: of an upload, in pieces, of a download", ["HTTP 403", "HTTP 403", 403, "NOT_FOUND"])
async def _(w: World) -> list[Any]:
    granted = _late(w, await w.owner.initiate(w.at("new"), 3))
    piece = await tus.ask(w.owner, "PATCH", granted, 0, b"new")
    download = await w.owner.ok("InitiateFileDownload", files.InitiateFileDownloadRequest(ref=await w.file()))
    status, _ = await w.owner.get(_late(w, download))
    return [str(await w.owner.send(granted, b"new")), str(piece), status, await w.owner.seen(w.at("new"))]


# Links


@case("a link: its login, its list", ["NOT_FOUND", 0], v3=["NOT_FOUND", 1], why="v3 lists it on")
async def _(w: World) -> list[Any]:
    ref = await w.file()
    link = await links.make(w, ref, ends=time.time() + LIFE_S)
    login = await when_over(lambda: links.answer_of(w, link))
    return [login, len(await links.listed(w.owner, ref))]


@case("a login with a link that has ended since", ["OK", "OK"])
async def _(w: World) -> list[str]:
    link = await links.make(w, await w.file(), ends=time.time() + LIFE_S)
    client = await links.guest(w, link)
    return [await client.seen(links.place(link)), await when_over(lambda: client.seen(links.place(link)))]


# Shares


async def _brief(w: World, ref: Any, taker: Client) -> Any:
    request = await w.share_request(ref, taker, editor=False)
    request.grant.expiration.CopyFrom(types_pb2.Timestamp(seconds=int(time.time() + LIFE_S)))
    answer = await w.owner.call("CreateShare", request)
    assert code(answer) == "OK", answer.status
    return answer.share


@case(
    "a share says its end, and can be given another",
    [True, "OK", True],
    v3=[True, "OK", False],
    why="v3 takes another end and forgets it",
)
async def _(w: World) -> list[Any]:
    until = int(time.time()) + 3600
    share = await w.share(await w.file(), w.richard, editor=False)
    changed = sharing.Share(id=share.id, expiration=types_pb2.Timestamp(seconds=until))
    request = api.UpdateShareRequest(ref=ref_of(share), share=changed, update_mask=FieldMask(paths=["expiration"]))
    answer = await w.owner.ask("UpdateShare", request)
    found = (await w.owner.ok("GetShare", api.GetShareRequest(ref=ref_of(share)))).share
    return [not share.HasField("expiration"), answer, found.expiration.seconds == until]


@case("a share between sites: that it ends is said here and there, its login", [True, True, "OK", "OK"], why="")
async def _(w: World) -> list[Any]:
    ref = await w.file()
    request = await ocm.share_request(w, ref, editor=True)
    request.expiration.CopyFrom(types_pb2.Timestamp(seconds=int(time.time() + LIFE_S)))
    share = (await w.owner.ok("CreateOCMShare", request)).share
    found = await ocm.find_received(await w.away.person("marie"), share)
    remote, secret = found.remote_share_id, ocm.secret_of(found)
    said = [one.HasField("expiration") for one in (share, found)]
    return [*said, await login(w, remote, secret), await when_over(lambda: login(w, remote, secret))]


@case("a share: its receiver, by its id", "NOT_FOUND", v3="OK", why="v3's local driver keeps nobody out")
async def _(w: World) -> str:
    """Not its list: without an event stream v2 breaks down, all of it, when it comes upon a share that has ended."""
    ref = await w.file()
    await _brief(w, ref, w.richard)
    return str(await when_over(lambda: w.richard.seen(ref)))
