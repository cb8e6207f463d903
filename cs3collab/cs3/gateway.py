"""One CS3 gateway: a gRPC channel for the GatewayAPI and an HTTP session for its data endpoint, both made when first used."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any, Self

import aiohttp
import grpc
from cs3.gateway.v1beta1 import gateway_api_pb2_grpc

from cs3collab.cs3 import status
from cs3collab.errors import InvalidInput, StorageUnavailable

TOKEN_KEY = "x-access-token"

_OPTIONS = [
    ("grpc.max_receive_message_length", 64 * 2**20),  # a listing of a large folder passes the default of 4 MiB
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5000),  # the default of 120 s would keep rooms offline long after a restart
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
]


class Gateway:
    """Use as ``async with Gateway("host:port") as gateway``, or call `close` at the end.

    ``ca`` is a PEM file of the authority that signed the gateway's certificate, for gRPC and HTTP; None means the system's.
    ``unchecked_until`` is when (by `time.monotonic`) an upload with a checksum is tried again where one was refused for it.
    Raises `InvalidInput` for an address that is not ``host:port``.
    """

    def __init__(self, address: str, *, tls: bool = False, ca: Path | None = None, timeout_s: float = 20.0) -> None:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit() or "/" in address:
            raise InvalidInput(f"not a gateway address: {address[:200]!r}", hint="expected host:port, e.g. localhost:9142")
        self.address = address
        self.tls = tls
        self.timeout_s = timeout_s
        self.unchecked_until = float("-inf")
        self._ca = ca
        self._channel: grpc.aio.Channel | None = None
        self._stub: Any = None
        self._http: aiohttp.ClientSession | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"Gateway({self.address!r}, tls={self.tls})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends both connections; later calls raise `StorageUnavailable`."""
        self._closed = True
        channel, self._channel, self._stub = self._channel, None, None
        http, self._http = self._http, None
        if channel is not None:
            await channel.close(None)
        if http is not None:
            await http.close()

    async def call(self, method: str, request: Any, *, token: str = "", timeout_s: float | None = None) -> Any:
        """Calls a GatewayAPI method with a deadline (seconds) and returns its response, whose status is OK.

        Raises the error of `cs3collab.cs3.status` for any other.
        """
        stub = await self._connected()
        metadata = ((TOKEN_KEY, token),) if token else None
        try:
            response = await getattr(stub, method)(request, metadata=metadata, timeout=timeout_s or self.timeout_s)
        except grpc.aio.AioRpcError as error:
            raise status.from_grpc(method, error.code(), error.details() or "", self.address) from error
        except asyncio.CancelledError:
            if self._closed:  # closing the channel cancels its calls: that is no cancellation of our caller
                task = asyncio.current_task()
                if task is not None and not task.cancelling():
                    raise self._gone() from None
            raise
        refused = status.from_status(method, response.status.code, response.status.message)
        if refused is not None:
            raise refused
        return response

    async def http(self) -> aiohttp.ClientSession:
        """The HTTP session for the data endpoint. Callers set a timeout on each request."""
        if self._closed:
            raise self._gone()
        if self._http is None:
            context = await asyncio.to_thread(self._ssl_context)
            if self._http is None:
                # ssl.SSLContext or True: aiohttp's default verification
                connector = aiohttp.TCPConnector(ssl=context if context is not None else True, limit=64)
                self._http = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        return self._http

    async def _connected(self) -> Any:
        if self._closed:
            raise self._gone()
        if self._stub is None:
            roots = await asyncio.to_thread(self._roots) if self.tls else None
            if self._stub is None:
                self._channel = self._open(roots)
                self._stub = gateway_api_pb2_grpc.GatewayAPIStub(self._channel)
        return self._stub

    def _open(self, roots: bytes | None) -> grpc.aio.Channel:
        if not self.tls:
            return grpc.aio.insecure_channel(self.address, options=_OPTIONS)
        credentials = grpc.ssl_channel_credentials(root_certificates=roots)
        return grpc.aio.secure_channel(self.address, credentials, options=_OPTIONS)

    def _roots(self) -> bytes | None:
        try:
            return self._ca.read_bytes() if self._ca else None
        except OSError as error:
            raise InvalidInput(
                f"cannot read the CA file {self._ca}: {error.strerror}", hint="give a readable PEM file"
            ) from error

    def _ssl_context(self) -> ssl.SSLContext | None:
        roots = self._roots()
        try:
            return ssl.create_default_context(cadata=roots.decode()) if roots else None
        except (ssl.SSLError, UnicodeDecodeError) as error:
            raise InvalidInput(f"the CA file {self._ca} holds no PEM certificate", hint="give a readable PEM file") from error

    def _gone(self) -> StorageUnavailable:
        return StorageUnavailable(f"the connection to the gateway at {self.address} is closed", hint="open it again")
