"""The relay as an HTTP service: links of peers, plain y-websocket clients, and what an operator's tools ask."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

from cs3collab import telemetry
from cs3collab.cs3.auth import provider_from
from cs3collab.cs3.blobs import CS3Blobs
from cs3collab.cs3.capabilities import Watch
from cs3collab.cs3.files import Files
from cs3collab.cs3.gateway import Gateway
from cs3collab.cs3.session import Session
from cs3collab.errors import CollabError, InvalidInput, NotAuthenticated, Overloaded
from cs3collab.limits import Limits
from cs3collab.relay import protocol as p
from cs3collab.relay.auth import Gatekeeper
from cs3collab.relay.channel import credential_of
from cs3collab.relay.config import RelayConfig, limits_of
from cs3collab.relay.node import Node, describe, local_only, open_node
from cs3collab.relay.outbound import CLOSE_S, plain_outbound
from cs3collab.relay.server import Connection
from cs3collab.rooms.room import Tasks
from cs3collab.rooms.ysocket import YSocket
from cs3collab.types import Credential, RoomId, SiteId, Target
from ystore import BlobStore

log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
MAX_CONNECTIONS = 20_000
"""Open at once, links and browsers; past it a connection is refused with 503."""


class Relay:
    """The routes. One per process; `open_relay` builds it."""

    def __init__(self, node: Node, gatekeeper: Gatekeeper, limits: Limits) -> None:
        self._node = node
        self._gatekeeper = gatekeeper
        self._limits = limits
        self._open: set[web.WebSocketResponse] = set()

    def app(self) -> web.Application:
        app = web.Application(middlewares=[errors_as_json])
        app.router.add_get(p.LINK_PATH, self.link)
        app.router.add_get("/y/{room}", self.plain)
        app.router.add_get("/healthz", self.healthz)
        app.router.add_get("/readyz", self.readyz)
        app.router.add_get("/metrics", self.metrics)
        app.on_shutdown.append(self._hang_up)
        return app

    async def link(self, request: web.Request) -> web.StreamResponse:
        """A Jupyter server or another relay."""
        await self._known(request)
        ws = await self._accept(request, protocols=(p.SUBPROTOCOL,))
        if ws.ws_protocol != p.SUBPROTOCOL:
            await ws.close(code=1002, message=f"this relay speaks {p.SUBPROTOCOL}".encode())
            return ws
        with telemetry.LINKS.track_inprogress():
            try:
                await Connection(ws, self._node.registry, self._limits, _abort(request)).run()
            finally:
                self._open.discard(ws)
        return ws

    async def plain(self, request: web.Request) -> web.StreamResponse:
        """Any Yjs client that can send a bearer token: ``/y/{format}:{type}:{file_id}``."""
        credential = await self._known(request)
        room_id = RoomId.parse(request.match_info["room"])
        target = Target(room_id.format, room_id.type, None if credential.kind == "ocm" else room_id.resource_id)

        async def credentials() -> Credential:
            return credential

        socket = YSocket(raw=False)
        room, seat = await self._node.registry.join(target, credentials, lambda room: socket)
        socket.sit(room, seat)
        try:
            if room.id != room_id:
                raise InvalidInput("your credential is for another document", hint=f"it opens {room.id}")
            ws = await self._accept(request)
            outbound = plain_outbound(ws, self._limits.outlet_bytes + self._limits.document_bytes, _abort(request))
            try:
                await socket.start(outbound.send, outbound.close)
                await _listen(ws, socket)
            except CollabError as error:  # the answer to the request is out: only the websocket can say it
                telemetry.REJECTED.labels(error.kind).inc()
                outbound.cut(error.close_code, str(error))
            finally:
                outbound.stop()
                await outbound.closed()
                self._open.discard(ws)
        finally:
            await socket.stop()
        return ws

    async def _known(self, request: web.Request) -> Credential:
        """Before anything is allocated for a peer, our gateway must know who it is."""
        if len(self._open) >= MAX_CONNECTIONS:
            raise Overloaded("too many connections", hint="try again later")
        credential = credential_of(request.headers.get("Authorization", ""))
        await self._gatekeeper.identify(credential)
        return credential

    async def _accept(self, request: web.Request, protocols: tuple[str, ...] = ()) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(
            max_msg_size=self._limits.update_bytes + 2**20, heartbeat=20, compress=False, protocols=protocols
        )
        await ws.prepare(request)
        self._open.add(ws)
        return ws

    async def healthz(self, request: web.Request) -> web.Response:
        """The process lives and its event loop turns."""
        return web.json_response({"status": "ok"})

    async def readyz(self, request: web.Request) -> web.Response:
        """The gateway answers, so documents can be opened."""
        await self._gatekeeper.reachable()
        return web.json_response({"status": "ok", "rooms": len(self._node.registry.rooms)})

    async def metrics(self, request: web.Request) -> web.Response:
        self._node.registry.measure()
        return web.Response(body=telemetry.exposition(), content_type="text/plain", charset="utf-8")

    async def _hang_up(self, app: web.Application) -> None:
        goodbyes = [ws.close(code=1012, message=b"the relay restarts") for ws in list(self._open)]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await asyncio.gather(*goodbyes, return_exceptions=True)


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Our errors with their HTTP status; anything else is logged and says nothing about the inside."""
    try:
        return await handler(request)
    except CollabError as error:
        telemetry.REJECTED.labels(error.kind).inc()
        headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, NotAuthenticated) else None
        return web.json_response(describe(error), status=error.http_status, headers=headers)


async def _listen(ws: web.WebSocketResponse, socket: YSocket) -> None:
    async for frame in ws:
        if frame.type is not aiohttp.WSMsgType.BINARY:
            break
        socket.receive(frame.data)


def _abort(request: web.Request) -> Callable[[], None]:
    """Ends the connection whatever the peer does."""
    transport = request.transport
    return transport.abort if transport is not None else lambda: None


def _gateway(config: RelayConfig) -> Gateway:
    gateway = config.gateway
    return Gateway(gateway.address, tls=gateway.tls, ca=Path(gateway.ca) if gateway.ca else None)


async def check_gateway(config: RelayConfig) -> None:
    """Raises `Unavailable` when the gateway does not answer, `InvalidInput` for an address or a CA that cannot be used."""
    async with _gateway(config) as gateway:
        await Gatekeeper(SiteId(config.site), gateway, config.relays).reachable()


async def _warn_unless_reachable(gatekeeper: Gatekeeper) -> None:
    try:
        await gatekeeper.reachable()
    except CollabError as error:
        log.warning("no document can be opened yet: %s", error)


@asynccontextmanager
async def open_relay(config: RelayConfig) -> AsyncIterator[str]:
    """Serves until the context ends; gives the base URL. Raises `CollabError` for what the operator has to correct."""
    limits, site = limits_of(config), SiteId(config.site)
    async with AsyncExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, _alone_in(Path(config.store.directory)))
        gateway = await stack.enter_async_context(_gateway(config))
        gatekeeper = Gatekeeper(site, gateway, config.relays)
        service = await _service_account(gateway, config)
        folder = config.store.cs3.rstrip("/")

        async def blobs(key: str) -> BlobStore | None:
            return CS3Blobs(service, f"{folder}/{key}") if service is not None and folder else await local_only(key)

        watch = Watch(service, CS3Blobs(service, folder).make) if service is not None and folder else None
        node = await stack.enter_async_context(
            open_node(
                site=site,
                directory=Path(config.store.directory),
                admit=gatekeeper.admit,
                blobs=blobs,
                service=service,
                limits=limits,
                capabilities=lambda: (watch or gatekeeper.noticed).found,
            )
        )
        runner = web.AppRunner(Relay(node, gatekeeper, limits).app(), access_log=None, shutdown_timeout=5)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        url = await _bind(runner, config)
        asking = Tasks("asking for the gateway")
        stack.push_async_callback(asking.cancel)
        asking.start(_warn_unless_reachable(gatekeeper))
        if watch is not None:
            asking.start(watch.run())
        yield url


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Keeps a second relay out of a store, where each would find half of the documents open in the other."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        held = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise InvalidInput(
            f"the store's folder {directory} cannot be used: {error.strerror}", hint="give a writable local folder"
        ) from error
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InvalidInput(
                f"another relay uses the store's folder {directory}", hint="stop it, or give this one another store.directory"
            ) from error
        yield
    finally:
        os.close(held)


async def _service_account(gateway: Gateway, config: RelayConfig) -> Files | None:
    """Raises `InvalidInput` or `NotAuthenticated` when it is configured and cannot log in."""
    account = config.service_account
    if account is None:
        return None
    try:
        secret = (await asyncio.to_thread(Path(account.secret_file).read_text, encoding="utf-8")).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read service_account.secret_file: {error}", hint="a file with the secret alone") from error
    tokens = provider_from(gateway, kind=account.auth, client_id=account.client_id, secret=secret)
    try:
        return Files(await Session.open(gateway, tokens))
    except NotAuthenticated as error:
        raise NotAuthenticated(
            f"the gateway refused the login ({account.auth}) of the service account {account.client_id or 'without name'}",
            hint="correct client_id and what is in secret_file under [service_account]",
        ) from error


async def _bind(runner: web.AppRunner, config: RelayConfig) -> str:
    serve = config.serve
    context = None
    if serve.tls_certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(serve.tls_certificate, serve.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise InvalidInput(
                f"serve.tls_certificate cannot be used: {error}", hint="PEM files of a chain and its key"
            ) from error
    try:
        await web.TCPSite(runner, serve.host, serve.port, ssl_context=context).start()
    except OSError as error:
        reason = error.strerror or str(error)
        raise InvalidInput(f"cannot listen on {serve.host}:{serve.port}: {reason}", hint="choose another serve.port") from error
    port = runner.addresses[0][1]
    host = f"[{serve.host}]" if ":" in serve.host else serve.host
    return f"{'https' if context else 'http'}://{host}:{port}"
