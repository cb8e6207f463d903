"""A client of the gateway under test, over a real gRPC channel and real HTTP."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc
from cs3.gateway.v1beta1 import gateway_api_pb2 as gw
from cs3.gateway.v1beta1 import gateway_api_pb2_grpc
from cs3.rpc.v1beta1 import code_pb2
from cs3.sharing.collaboration.v1beta1 import collaboration_api_pb2 as collaboration
from cs3.sharing.collaboration.v1beta1 import resources_pb2 as sharing
from cs3.storage.provider.v1beta1 import provider_api_pb2 as api
from cs3.storage.provider.v1beta1 import resources_pb2 as storage
from cs3.types.v1beta1 import types_pb2

from cs3collab.gateway.config import GatewayConfig, ProjectRecord, UserRecord
from cs3collab.gateway.server import EmbeddedGateway

USERS = [
    UserRecord(
        "id-einstein", "einstein", "relativity", mail="einstein@a.test", display_name="Albert Einstein", groups=("physics",)
    ),
    UserRecord("id-marie", "marie", "radioactivity", mail="marie@a.test", display_name="Marie Curie", groups=("physics",)),
    UserRecord("id-moss", "moss", "vista", mail="moss@a.test", display_name="Maurice Moss"),
]


def code(response: Any) -> str:
    """``CODE_OK`` and so on, without the prefix."""
    return str(code_pb2.Code.Name(response.status.code)).removeprefix("CODE_")


async def until(true: Callable[[], bool]) -> None:
    """Waits for what is not told."""
    async with asyncio.timeout(20):
        while True:
            if true():
                return
            await asyncio.sleep(0.01)


def by_path(path: str) -> Any:
    return storage.Reference(path=path)


def by_id(rid: Any, path: str = ".") -> Any:
    return storage.Reference(resource_id=rid, path=path)


def opaque(**values: str) -> Any:
    entries = {k.replace("_", "-"): types_pb2.OpaqueEntry(decoder="plain", value=v.encode()) for k, v in values.items()}
    return types_pb2.Opaque(map=entries)


@dataclass
class Client:
    """One login at one gateway."""

    stub: Any
    http: aiohttp.ClientSession
    token: str = ""
    user: Any = None

    async def call(self, method: str, request: Any, token: str | None = None) -> Any:
        """The response as it is, whatever its status."""
        token = self.token if token is None else token
        metadata = (("x-access-token", token),) if token else None
        return await getattr(self.stub, method)(request, metadata=metadata, timeout=20)

    async def ok(self, method: str, request: Any) -> Any:
        response = await self.call(method, request)
        assert code(response) == "OK", (method, response.status)
        return response

    async def login(self, kind: str, client_id: str, secret: str) -> Client:
        request = gw.AuthenticateRequest(type=kind, client_id=client_id, client_secret=secret)
        response = await self.call("Authenticate", request, "")
        assert code(response) == "OK", response.status
        return Client(self.stub, self.http, response.token, response.user)

    async def stat(self, ref: Any) -> Any:
        return (await self.ok("Stat", api.StatRequest(ref=ref))).info

    async def stat_code(self, ref: Any) -> str:
        return code(await self.call("Stat", api.StatRequest(ref=ref)))

    async def names(self, ref: Any) -> list[str]:
        return [info.name for info in (await self.ok("ListContainer", api.ListContainerRequest(ref=ref))).infos]

    async def initiate(self, ref: Any, size: int | None, **options: Any) -> Any:
        extra = {} if size is None else {"opaque": opaque(Upload_Length=str(size))}
        return await self.call("InitiateFileUpload", api.InitiateFileUploadRequest(ref=ref, **extra, **options))

    async def send(self, granted: Any, content: bytes, **headers: str) -> tuple[int, str]:
        """HTTP status and etag of the PUT."""
        offer = next(p for p in granted.protocols if p.protocol == "simple")
        headers = {"X-Reva-Transfer": offer.token, **{k.replace("_", "-"): v for k, v in headers.items()}}
        async with self.http.put(offer.upload_endpoint, data=io.BytesIO(content), headers=headers) as answer:
            return answer.status, answer.headers.get("ETag", "")

    async def write(self, ref: Any, content: bytes, **options: Any) -> str:
        """Uploads and returns the etag."""
        granted = await self.initiate(ref, len(content), **options)
        assert code(granted) == "OK", granted.status
        if not content:
            return str((await self.stat(ref)).etag)
        status, etag = await self.send(granted, content)
        assert status == 200
        return etag

    async def fetch(self, ref: Any) -> tuple[int, bytes]:
        """HTTP status and body of a download."""
        granted = await self.ok("InitiateFileDownload", api.InitiateFileDownloadRequest(ref=ref))
        offer = granted.protocols[0]
        async with self.http.get(offer.download_endpoint, headers=self.headers(offer)) as answer:
            return answer.status, await answer.read()

    def headers(self, offer: Any) -> dict[str, str]:
        """What a download needs."""
        return {"X-Reva-Transfer": offer.token, "X-Access-Token": self.token}

    async def read(self, ref: Any) -> bytes:
        status, body = await self.fetch(ref)
        assert status == 200
        return body


@dataclass
class Started:
    """A running gateway, and a client that has not logged in."""

    gateway: EmbeddedGateway
    client: Client

    async def user(self, username: str) -> Client:
        record = next(u for u in self.gateway.config.users if u.username == username)
        return await self.client.login("basic", username, record.secret)

    @property
    def root(self) -> Path:
        return self.gateway.config.root


class Sites:
    """Starts gateways and stops them all."""

    def __init__(self) -> None:
        self._stops: list[Any] = []
        self.http = aiohttp.ClientSession()

    async def start(self, root: Path, **settings: Any) -> Started:
        settings = {"site": "a.test", "users": USERS, "machine_secret": "machine", **settings}
        settings.setdefault("projects", (ProjectRecord("lhc", {"id-einstein": "manager", "id-marie": "viewer"}),))
        gateway = EmbeddedGateway(GatewayConfig(root=root, **settings))
        await gateway.start()
        channel = grpc.aio.insecure_channel(gateway.address, options=[("grpc.use_local_subchannel_pool", 1)])
        self._stops += [gateway.stop, channel.close]
        return Started(gateway, Client(gateway_api_pb2_grpc.GatewayAPIStub(channel), self.http))

    async def stop(self) -> None:
        for stop in reversed(self._stops):
            await stop()
        await self.http.close()


def permissions(*, editor: bool, folder: bool = False) -> Any:
    """``ResourcePermissions`` of Reva's viewer and editor roles."""
    names = ["get_path", "get_quota", "initiate_file_download", "list_container", "list_recycle", "stat"]
    if editor:
        names += ["initiate_file_upload", "restore_recycle_item"]
    if editor and folder:
        names += ["create_container", "delete", "move"]
    return storage.ResourcePermissions(**dict.fromkeys(names, True))


async def give(giver: Client, taker: Client, ref: Any, *, editor: bool) -> Any:
    """Shares within a site; the ``Share``."""
    info = await giver.stat(ref)
    granted = sharing.ShareGrant(
        grantee=storage.Grantee(type=storage.GRANTEE_TYPE_USER, user_id=taker.user.id),
        permissions=sharing.SharePermissions(
            permissions=permissions(editor=editor, folder=info.type == storage.RESOURCE_TYPE_CONTAINER)
        ),
    )
    return (await giver.ok("CreateShare", collaboration.CreateShareRequest(resource_info=info, grant=granted))).share
