"""The OCM endpoint, where other sites tell of shares and of accepted invitations (Open Cloud Mesh API 1.1)."""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web
from cs3.identity.user.v1beta1 import resources_pb2 as identity
from cs3.sharing.ocm.v1beta1 import resources_pb2 as ocm_types
from cs3.storage.provider.v1beta1 import resources_pb2 as storage

from cs3collab.cs3.auth import shared_role
from cs3collab.errors import CollabError
from cs3collab.gateway import mesh, ocm, status
from cs3collab.gateway.config import is_name
from cs3collab.gateway.site import Site
from cs3collab.gateway.status import Refused, denied, not_found
from cs3collab.gateway.view import timestamp
from cs3collab.types import Role

S = TypeVar("S")

_STATUS: Final = {
    status.NOT_FOUND: 404,
    status.PERMISSION_DENIED: 403,
    status.ALREADY_EXISTS: 409,
    status.INVALID_ARGUMENT: 400,
    status.UNAVAILABLE: 503,
}


class _WebDAV(msgspec.Struct, rename="camel"):
    shared_secret: str
    permissions: list[str] = []
    uri: str = ""


class _Protocol(msgspec.Struct):
    webdav: _WebDAV


class _Share(msgspec.Struct, rename="camel"):
    share_with: str
    name: str
    provider_id: str
    owner: str
    sender: str
    protocol: _Protocol
    resource_type: str = "file"
    share_type: str = "user"
    expiration: int = 0


class _Invite(msgspec.Struct):
    token: str
    recipientProvider: str
    userID: str
    email: str = ""
    name: str = ""


class OCMEndpoint:
    """``/ocm/...``; bodies are bounded by the HTTP application's limit."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/ocm/shares", self._answer(self.share, _Share)),
            web.post("/ocm/invite-accepted", self._answer(self.invite, _Invite)),
        ]

    def _answer(
        self, handle: Callable[[S], Awaitable[tuple[int, dict[str, Any]]]], kind: type[S]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            try:
                code, said = await handle(msgspec.json.decode(await request.read(), type=kind))
            except msgspec.MsgspecError as error:
                return web.Response(status=400, text=f"{error}\n")
            except Refused as refused:
                return web.Response(status=_STATUS.get(refused.code, 500), text=f"{refused.message}\n")
            return web.Response(status=code, body=msgspec.json.encode(said), content_type="application/json")

        return answer

    async def share(self, said: _Share) -> tuple[int, dict[str, Any]]:
        """Believed only after a login at the sender's own gateway, at the address the mesh has for it, with id and secret."""
        _, domain = _address(said.sender)
        name, here = _address(said.share_with)
        user = self._site.users.get(name)
        if said.share_type != "user" or here != self._site.config.site or user is None:
            raise not_found("no such user here")
        if not is_name(said.name) or said.resource_type not in ("file", "folder"):
            raise Refused(status.INVALID_ARGUMENT, "not a file or folder")
        secret = said.protocol.webdav.shared_secret
        try:
            home, token = await self._site.peers.login(domain, said.provider_id, secret)
            role = shared_role(token)
        except Refused as refused:
            raise denied(refused.message) from refused
        except CollabError as error:
            raise denied(f"{domain} does not confirm the share: {error.message}") from error
        if home.opaque_id not in (said.share_with, name):
            raise denied("the share is for somebody else")
        share = _received(said, user, domain, editor=role is Role.EDITOR)
        await self._site.run(lambda: ocm.keep(self._site, share))
        return 201, {"recipientDisplayName": user.display_name}

    async def invite(self, said: _Invite) -> tuple[int, dict[str, Any]]:
        self._site.peers.record(said.recipientProvider)
        remote = mesh.remote_user(said.recipientProvider, said.userID, said.email, said.name)
        user = await self._site.run(lambda: mesh.accept_invite(self._site, said.token, remote))
        return 200, {"userID": user.id.opaque_id, "email": user.mail, "name": user.display_name}


def _address(text: str) -> tuple[str, str]:
    """Id and domain of ``id@domain``. Raises INVALID_ARGUMENT."""
    name, _, domain = text.rpartition("@")
    if not name or not domain:
        raise Refused(status.INVALID_ARGUMENT, "an address must be id@domain")
    return name, domain


def _received(said: _Share, user: Any, domain: str, *, editor: bool) -> Any:
    now = timestamp(time.time_ns())
    is_dir = said.resource_type == "folder"
    webdav = ocm_types.WebDAVProtocol(shared_secret=said.protocol.webdav.shared_secret, uri=said.protocol.webdav.uri)
    share = ocm_types.ReceivedShare(
        id=ocm_types.ShareId(opaque_id=str(uuid.uuid4())),
        name=said.name,
        remote_share_id=said.provider_id,
        grantee=storage.Grantee(type=storage.GRANTEE_TYPE_USER, user_id=user.id),
        owner=_person(said.owner, domain),
        creator=_person(said.sender, domain),
        ctime=now,
        mtime=now,
        share_type=ocm_types.SHARE_TYPE_USER,
        protocols=[ocm_types.Protocol(webdav_options=webdav)],
        state=ocm_types.SHARE_STATE_PENDING,
        resource_type=storage.RESOURCE_TYPE_CONTAINER if is_dir else storage.RESOURCE_TYPE_FILE,
        shared_resource_type=2 if is_dir else 1,
    )
    if said.expiration:
        share.expiration.seconds = said.expiration
    ocm.permit(share, editor)
    return share


def _person(address: str, domain: str) -> Any:
    return identity.UserId(opaque_id=_address(address)[0], idp=domain, type=identity.USER_TYPE_FEDERATED)
