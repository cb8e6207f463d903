"""CS3 as it is spoken: gRPC with the generated stubs, HTTP for the bytes, and nothing of our own client in between."""

from __future__ import annotations

import io
import posixpath
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import grpc
import jwt
from cs3.gateway.v1beta1 import gateway_api_pb2 as gw
from cs3.gateway.v1beta1 import gateway_api_pb2_grpc
from cs3.rpc.v1beta1 import code_pb2
from cs3.storage.provider.v1beta1 import provider_api_pb2 as api
from cs3.storage.provider.v1beta1 import resources_pb2 as storage
from cs3.types.v1beta1 import types_pb2

TOKEN = "x-access-token"
DEADLINE_S = 20.0


class Fault(Exception):
    """A gRPC error, where CS3 would have put a code into the response."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__(f"grpc {code}: {details}")
        self.code = code


def code(response: Any) -> str:
    """``OK``, ``NOT_FOUND`` and so on."""
    return str(code_pb2.Code.Name(response.status.code)).removeprefix("CODE_")


def by_path(path: str) -> Any:
    return storage.Reference(path=path)


def by_id(rid: Any, path: str = ".") -> Any:
    return storage.Reference(resource_id=rid, path=path)


def opaque(values: dict[str, str]) -> Any:
    entries = {key: types_pb2.OpaqueEntry(decoder="plain", value=value.encode()) for key, value in values.items()}
    return types_pb2.Opaque(map=entries)


def bits(message: Any) -> list[str]:
    """The set bits of a ``ResourcePermissions``, sorted."""
    return sorted(descriptor.name for descriptor, value in message.ListFields() if value is True)


def permissions(names: Iterable[str]) -> Any:
    return storage.ResourcePermissions(**dict.fromkeys(names, True))


VIEWER = ("get_path", "get_quota", "initiate_file_download", "list_container", "list_recycle", "stat")
FILE_EDITOR = (*VIEWER, "initiate_file_upload", "restore_recycle_item")
FOLDER_EDITOR = (*FILE_EDITOR, "create_container", "delete", "move")


def role(*, editor: bool, folder: bool = False) -> Any:
    """``ResourcePermissions`` as sharing clients send them."""
    if not editor:
        return permissions(VIEWER)
    return permissions(FOLDER_EDITOR if folder else FILE_EDITOR)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One running site.

    ``jwt_secret`` and ``transfer_secret`` sign its tokens, so that the suite can make expired ones. ``users`` maps names to
    passwords and has einstein, marie and richard.
    """

    address: str
    domain: str
    users: dict[str, str] = field(repr=False)
    jwt_secret: str = field(repr=False)
    machine_secret: str = field(repr=False)
    service_account: tuple[str, str] = field(repr=False, default=("", ""))
    transfer_secret: str = field(repr=False, default="")
    provider: Callable[[str, str, float], str] | None = field(repr=False, default=None)
    """What a login at the identity provider gives: a token of this opaque id and user name that lives for so long (seconds)."""


@dataclass(frozen=True, slots=True)
class Client:
    """One login at one gateway, over one channel."""

    stub: Any
    http: aiohttp.ClientSession
    token: str = field(default="", repr=False)
    user: Any = None

    def with_token(self, token: str) -> Client:
        return replace(self, token=token)

    async def call(self, method: str, request: Any) -> Any:
        """The response, whatever its status. Raises `Fault`."""
        metadata = ((TOKEN, self.token),) if self.token else None
        try:
            return await getattr(self.stub, method)(request, metadata=metadata, timeout=DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            raise Fault(error.code().name, error.details() or "") from error

    async def ask(self, method: str, request: Any) -> str:
        """The code of the answer; a gRPC error is ``grpc <code>``."""
        try:
            return code(await self.call(method, request))
        except Fault as fault:
            return f"grpc {fault.code}"

    async def ok(self, method: str, request: Any) -> Any:
        """For what a case needs before its question."""
        response = await self.call(method, request)
        assert code(response) == "OK", (method, response.status)
        return response

    async def authenticate(self, kind: str, client_id: str, secret: str) -> Any:
        return await self.call("Authenticate", gw.AuthenticateRequest(type=kind, client_id=client_id, client_secret=secret))

    async def login(self, kind: str, client_id: str, secret: str) -> Client:
        response = await self.authenticate(kind, client_id, secret)
        assert code(response) == "OK", (kind, response.status)
        return replace(self, token=response.token, user=response.user)

    async def stat(self, ref: Any) -> Any:
        return (await self.ok("Stat", api.StatRequest(ref=ref))).info

    async def seen(self, ref: Any) -> str:
        """The code of a Stat."""
        return await self.ask("Stat", api.StatRequest(ref=ref))

    async def names(self, ref: Any) -> list[str]:
        """Of the children. Where a gateway says none, it is the last part of the path."""
        infos = (await self.ok("ListContainer", api.ListContainerRequest(ref=ref))).infos
        return sorted(info.name or posixpath.basename(info.path) for info in infos)

    async def mkdir(self, ref: Any) -> str:
        return await self.ask("CreateContainer", api.CreateContainerRequest(ref=ref))

    async def initiate(self, ref: Any, size: int | None, **options: Any) -> Any:
        """The answer to InitiateFileUpload."""
        if size is not None:
            options["opaque"] = opaque({"Upload-Length": str(size)})
        return await self.call("InitiateFileUpload", api.InitiateFileUploadRequest(ref=ref, **options))

    async def may_upload(self, ref: Any, **options: Any) -> str:
        """The code of InitiateFileUpload; nothing is sent."""
        try:
            return code(await self.initiate(ref, 3, **options))
        except Fault as fault:
            return f"grpc {fault.code}"

    async def send(self, granted: Any, content: bytes, headers: dict[str, str] | None = None) -> Sent:
        offer = next(p for p in granted.protocols if p.protocol == "simple")
        sent = {"X-Reva-Transfer": offer.token, TOKEN: self.token} | (headers or {})
        sent = {name: value for name, value in sent.items() if value}
        async with self.http.put(offer.upload_endpoint, data=io.BytesIO(content), headers=sent) as answer:
            return Sent(answer.status, answer.headers)

    async def upload(self, ref: Any, content: bytes, headers: dict[str, str] | None = None, **options: Any) -> str:
        """What became of it: ``OK``, the code of the first half, or ``HTTP <status>`` of the second."""
        try:
            granted = await self.initiate(ref, len(content), **options)
        except Fault as fault:
            return f"grpc {fault.code}"
        if code(granted) != "OK" or not content:
            return code(granted)
        sent = await self.send(granted, content, headers)
        return "OK" if sent.status == 200 else f"HTTP {sent.status}"

    async def write(self, ref: Any, content: bytes, **options: Any) -> Any:
        """An upload that must succeed; what Stat then says."""
        assert await self.upload(ref, content, **options) == "OK"
        return await self.stat(ref)

    async def fetch(self, ref: Any, **options: Any) -> tuple[int, bytes]:
        """HTTP status and body of a download."""
        granted = await self.ok("InitiateFileDownload", api.InitiateFileDownloadRequest(ref=ref, **options))
        return await self.get(granted)

    async def get(self, granted: Any, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        offer = download(granted)
        sent = {"X-Reva-Transfer": offer.token, TOKEN: self.token} | (headers or {})
        sent = {name: value for name, value in sent.items() if value}
        async with self.http.get(offer.download_endpoint, headers=sent) as answer:
            try:
                return answer.status, await answer.read()
            except aiohttp.ClientPayloadError:
                return answer.status, b"cut short"

    async def read(self, ref: Any) -> str:
        """The content, for what must be there."""
        status, body = await self.fetch(ref)
        assert status == 200, status
        return body.decode()


@dataclass(frozen=True, slots=True)
class Sent:
    """The answer to a PUT."""

    status: int
    headers: Mapping[str, str]

    def __str__(self) -> str:
        return f"HTTP {self.status}"


def download(granted: Any) -> Any:
    """The offer that needs nothing but a GET."""
    offers = {offer.protocol: offer for offer in granted.protocols}
    return offers.get("spaces") or offers["simple"]


class Connections:
    """Channels to one gateway; closed together."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._channels: list[grpc.aio.Channel] = []
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE_S), auto_decompress=False)

    def open(self) -> Client:
        """Nobody, on a channel of its own."""
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        channel = grpc.aio.insecure_channel(self.endpoint.address, options=options)
        self._channels.append(channel)
        return Client(gateway_api_pb2_grpc.GatewayAPIStub(channel), self._http)

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()
        await self._http.close()


def expired(token: str, secret: str) -> str:
    """The same token, as its gateway would have made it a day and an hour ago."""
    claims = jwt.decode(token, options={"verify_signature": False})
    now = int(time.time())
    return jwt.encode(claims | {"iat": now - 90_000, "exp": now - 3_600}, secret, "HS256")


def forged(token: str) -> str:
    """The same token, signed with another secret."""
    claims = jwt.decode(token, options={"verify_signature": False})
    return jwt.encode(claims, "not the secret of any gateway, only long", "HS256")
