"""Bytes against a data endpoint that misbehaves as real ones do, on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from cs3.gateway.v1beta1 import gateway_api_pb2 as gw
from cs3.gateway.v1beta1 import resources_pb2 as offers_pb2

from cs3collab.cs3 import transfer
from cs3collab.cs3.auth import BearerToken
from cs3collab.cs3.gateway import Gateway
from cs3collab.cs3.session import Session
from cs3collab.cs3.transfer import Sent, Source, Ticket, Upload
from cs3collab.errors import DeadlineExceeded, NotFound, Overloaded, StorageUnavailable, Unsupported
from cs3collab.types import Ref

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], Awaitable[Ticket]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    runners: list[web.AppRunner] = []

    async def start(handler: Handler) -> Ticket:
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/data", handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        return Ticket(f"http://{host}:{port}/data", "transfer token")

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def session() -> AsyncIterator[Session]:
    async with Gateway("127.0.0.1:1", timeout_s=5) as gateway:
        yield Session(gateway, BearerToken("secret"))


def answering(status: int, **headers: str) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        await request.read()
        return web.Response(status=status, headers=headers)

    return handler


async def test_an_upload_sends_the_bytes_their_exact_length_and_what_proves_the_right(serve: Serve, session: Session) -> None:
    seen: list[tuple[Any, bytes]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append((request.headers.copy(), await request.read()))
        return web.Response(headers={"ETag": '"new"'})

    upload = Upload(Source.of(b"content"), lock_id="lock", lock_holder="cs3collab", keep_version=False)
    answer = await transfer.put(session, await serve(handler), upload)
    assert (answer.sent, answer.etag) == (Sent.DONE, '"new"')
    headers, body = seen[0]
    assert body == b"content"
    assert (headers["Content-Length"], headers["Upload-Length"]) == ("7", "7")
    assert headers["X-Reva-Transfer"] == "transfer token"
    assert (headers["X-Lock-Id"], headers["X-Lock-Holder"], headers["X-Disable-Versioning"]) == ("lock", "cs3collab", "true")
    assert headers["X-Access-Token"] == "secret"


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        (200, Sent.DONE),
        (201, Sent.DONE),
        (204, Sent.DONE),
        (409, Sent.REFUSED),
        (412, Sent.REFUSED),
        (423, Sent.REFUSED),
        (500, Sent.UNSURE),
        (503, Sent.UNSURE),
    ],
)
async def test_what_an_answer_to_an_upload_means(serve: Serve, session: Session, status: int, sent: Sent) -> None:
    answer = await transfer.put(session, await serve(answering(status)), Upload(Source.of(b"content")))
    assert answer.sent is sent
    assert answer.etag is None


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (404, NotFound, "gone"),
        (413, StorageUnavailable, "space"),
        (507, StorageUnavailable, "space"),
        (403, StorageUnavailable, "403"),
    ],
)
async def test_what_is_no_matter_of_conditions_is_raised(
    serve: Serve, session: Session, status: int, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        await transfer.put(session, await serve(answering(status)), Upload(Source.of(b"content")))


async def test_secrets_are_not_carried_to_where_a_redirect_points(serve: Serve, session: Session) -> None:
    reached = False

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        nonlocal reached
        reached = True
        return web.Response()

    ticket = await serve(answering(307, Location=(await serve(elsewhere)).url))
    with pytest.raises(StorageUnavailable, match="307"):
        await transfer.put(session, ticket, Upload(Source.of(b"content")))
    with pytest.raises(StorageUnavailable, match="307"):
        await transfer.fetch(session, ticket, max_bytes=10)
    assert not reached


async def test_an_upload_whose_connection_breaks_is_not_sent_again(serve: Serve, session: Session) -> None:
    times = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal times
        times += 1
        await request.read()
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    assert (await transfer.put(session, await serve(handler), Upload(Source.of(b"content")))).sent is Sent.UNSURE
    assert times == 1


async def test_an_upload_whose_connection_breaks_is_unsure(serve: Serve, session: Session) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        await request.content.readany()
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    answer = await transfer.put(session, await serve(handler), Upload(Source.of(b"x" * 2**20)))
    assert answer.sent is Sent.UNSURE


async def test_an_endpoint_that_does_not_listen_is_named(session: Session) -> None:
    ticket = Ticket("http://127.0.0.1:1/data", "t")
    with pytest.raises(StorageUnavailable, match=r"127\.0\.0\.1:1"):
        await transfer.put(session, ticket, Upload(Source.of(b"content")))
    with pytest.raises(StorageUnavailable, match=r"127\.0\.0\.1:1"):
        await transfer.fetch(session, ticket, max_bytes=10)


async def test_a_download_gives_the_whole_body(serve: Serve, session: Session) -> None:
    content = bytes(range(256)) * 4096

    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.headers["X-Reva-Transfer"] == "transfer token"
        assert request.headers["X-Access-Token"] == "secret"
        return web.Response(body=content)

    assert await transfer.fetch(session, await serve(handler), max_bytes=len(content)) == (content, True)


async def test_a_body_shorter_than_announced_is_never_taken_for_the_file(serve: Serve, session: Session) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "100"})
        await answer.prepare(request)
        await answer.write(b"only this")
        assert request.transport is not None
        request.transport.close()
        return answer

    with pytest.raises(transfer.ShortBody):
        await transfer.fetch(session, await serve(handler), max_bytes=1000)


async def test_a_body_of_unannounced_length_is_marked_so(serve: Serve, session: Session) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        await answer.write(b"part")
        return answer

    assert await transfer.fetch(session, await serve(handler), max_bytes=1000) == (b"part", False)


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_past_the_bound_is_not_read(serve: Serve, session: Session, announced: bool) -> None:
    sent = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        answer = web.StreamResponse(headers={"Content-Length": str(2**30)} if announced else {})
        await answer.prepare(request)
        for _ in range(1024):
            await answer.write(b"x" * 2**20)
            sent += 2**20
        return answer

    with pytest.raises(Overloaded):
        await transfer.fetch(session, await serve(handler), max_bytes=2**20)
    assert sent < 2**28


@pytest.mark.parametrize(("status", "error"), [(404, NotFound), (500, StorageUnavailable), (403, StorageUnavailable)])
async def test_a_refused_download_is_an_error_of_ours(
    serve: Serve, session: Session, status: int, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await transfer.fetch(session, await serve(answering(status)), max_bytes=10)


async def test_an_endpoint_that_never_answers_meets_the_deadline(serve: Serve) -> None:
    over = asyncio.Event()

    async def handler(_: web.Request) -> web.StreamResponse:
        await over.wait()
        return web.Response()

    ticket = await serve(handler)
    async with Gateway("127.0.0.1:1", timeout_s=0.3) as gateway:
        session = Session(gateway, BearerToken("secret"))
        with pytest.raises(DeadlineExceeded):
            await transfer.fetch(session, ticket, max_bytes=10)
        assert (await transfer.put(session, ticket, Upload(Source.of(b"x")))).sent is Sent.UNSURE
    over.set()


class Offering:
    """A session whose gateway offers these protocols."""

    def __init__(self, *protocols: str) -> None:
        self.gateway = Gateway("127.0.0.1:1")
        self.protocols = protocols
        self.asked: list[Any] = []

    async def call(self, method: str, request: Any) -> Any:
        self.asked.append(request)
        if method == "InitiateFileUpload":
            offers = [offers_pb2.FileUploadProtocol(protocol=p, upload_endpoint=p, token=p) for p in self.protocols]
            return gw.InitiateFileUploadResponse(protocols=offers)
        downloads = [offers_pb2.FileDownloadProtocol(protocol=p, download_endpoint=p, token=p) for p in self.protocols]
        return gw.InitiateFileDownloadResponse(protocols=downloads)


@pytest.mark.parametrize("order", [("simple", "tus"), ("tus", "simple")])
async def test_the_simple_upload_is_taken_in_whatever_order(order: tuple[str, str]) -> None:
    offering = Offering(*order)
    ticket = await transfer.initiate_upload(offering, Ref("/f"), Upload(Source.of(b"1234567"), if_match='"e"', lock_id="l"))  # type: ignore[arg-type]
    assert ticket == Ticket("simple", "simple")
    request = offering.asked[0]
    assert (request.if_match, request.lock_id) == ('"e"', "l")
    assert request.opaque.map["Upload-Length"].value == b"7"


async def test_an_empty_file_says_that_it_is_empty() -> None:
    offering = Offering("simple")
    await transfer.initiate_upload(offering, Ref("/f"), Upload(Source.of(b""), if_absent=True))  # type: ignore[arg-type]
    assert offering.asked[0].if_not_exist
    assert offering.asked[0].opaque.map["Upload-Length"].value == b"0"


@pytest.mark.parametrize(("offered", "taken"), [(("simple", "spaces"), "spaces"), (("simple",), "simple")])
async def test_the_download_protocols_of_both_revas(offered: tuple[str, ...], taken: str) -> None:
    ticket = await transfer.initiate_download(Offering(*offered), None)  # type: ignore[arg-type]
    assert ticket.url == taken


async def test_a_gateway_with_no_simple_protocol_is_refused_in_words() -> None:
    with pytest.raises(Unsupported, match="simple"):
        await transfer.initiate_upload(Offering("tus"), Ref("/f"), Upload(Source.of(b"x")))  # type: ignore[arg-type]
    with pytest.raises(Unsupported, match="simple"):
        await transfer.initiate_download(Offering("tus"), None)  # type: ignore[arg-type]
