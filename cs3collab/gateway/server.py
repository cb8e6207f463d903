"""`EmbeddedGateway`: the gRPC server and the HTTP data endpoint over one folder."""

from __future__ import annotations

import logging
import socket
from typing import Final, Self

import grpc
from aiohttp import web

from cs3collab.errors import CollabError, InvalidInput
from cs3collab.gateway.config import GatewayConfig
from cs3collab.gateway.data import DataEndpoint
from cs3collab.gateway.ocm_http import OCMEndpoint
from cs3collab.gateway.service import GatewayService
from cs3collab.gateway.site import Site

log = logging.getLogger(__name__)

_GRACE_S: Final = 2.0
_OPTIONS: Final = [
    ("grpc.so_reuseport", 0),  # else a second gateway on the same port would share its calls instead of failing
    ("grpc.max_receive_message_length", 16 * 2**20),
    ("grpc.max_send_message_length", 64 * 2**20),
]


class EmbeddedGateway:
    """A CS3 gateway over ``config.root``, which it makes if need be. Use as ``async with``, or `start` and `stop`.

    Answers as Reva 2.48 with the decomposed driver does, as far as clients can tell. It trusts the network it listens on: by
    default that is this machine alone.
    """

    def __init__(self, config: GatewayConfig) -> None:
        self.config = config
        self._site: Site | None = None
        self._grpc: grpc.aio.Server | None = None
        self._http: web.AppRunner | None = None

    @property
    def address(self) -> str:
        """``host:port`` of the gRPC server."""
        return self._running().address

    @property
    def data_url(self) -> str:
        """Of the HTTP data endpoint."""
        return self._running().data_url

    @property
    def http_url(self) -> str:
        """Of the HTTP server, without a path."""
        return self._running().http_url

    def _running(self) -> Site:
        if self._site is None:
            raise CollabError("the gateway is not running", hint="start it first")
        return self._site

    async def start(self) -> None:
        """Raises `InvalidInput` for a root or port that cannot be used, `Unavailable` when the root is served already."""
        if self._site is not None:
            raise CollabError("the gateway is running already", hint="stop it first")
        self._site = await Site.open(self.config)
        try:
            await self._start_http(self._site)
            await self._start_grpc(self._site)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Lets calls under way end for up to two seconds."""
        server, self._grpc = self._grpc, None
        http, self._http = self._http, None
        site, self._site = self._site, None
        if server is not None:
            await server.stop(_GRACE_S)
        if http is not None:
            await http.cleanup()
        if site is not None:
            await site.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def wait(self) -> None:
        """Until it is stopped."""
        if self._grpc is not None:
            await self._grpc.wait_for_termination()

    async def _start_http(self, site: Site) -> None:
        app = web.Application(client_max_size=1024 * 1024)
        app.add_routes([*DataEndpoint(site).routes(), *OCMEndpoint(site).routes()])
        self._http = web.AppRunner(app, access_log=None, shutdown_timeout=_GRACE_S)
        await self._http.setup()
        listener = web.TCPSite(self._http, self.config.http_host, self.config.http_port)
        try:
            await listener.start()
        except OSError as error:
            raise _taken(self.config.http_host, self.config.http_port, "--http-port") from error
        site.http_url = f"http://{self.config.http_host}:{self._http.addresses[0][1]}"

    async def _start_grpc(self, site: Site) -> None:
        _probe(self.config.grpc_host, self.config.grpc_port)
        server = grpc.aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers((GatewayService(site).handler(),))
        try:
            port = server.add_insecure_port(f"{self.config.grpc_host}:{self.config.grpc_port}")
        except RuntimeError as error:
            await server.stop(None)
            raise _taken(self.config.grpc_host, self.config.grpc_port, "--port") from error
        await server.start()
        self._grpc = server
        site.address = f"{self.config.grpc_host}:{port}"
        log.info("gateway of %s at %s, data at %s", self.config.site, site.address, site.http_url)


def _probe(host: str, port: int) -> None:
    """gRPC writes its own complaint about a port in use to stderr; asking first keeps errors to one line."""
    try:
        with socket.create_server((host, port)):
            return
    except OSError as error:
        raise _taken(host, port, "--port") from error


def _taken(host: str, port: int, option: str) -> InvalidInput:
    return InvalidInput(f"cannot listen on {host}:{port}: it is in use or not allowed", hint=f"choose another {option}")
