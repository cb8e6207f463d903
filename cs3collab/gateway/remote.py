"""``/ocm/<id of a received share>/...``: what others shared, as this site's users see it. Every call goes on to the home site.

Locks are not passed on: a lock is taken at the home site, by the resource's id there, or not at all.
"""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cs3.sharing.ocm.v1beta1 import resources_pb2 as ocm_types
from cs3.storage.provider.v1beta1 import provider_api_pb2 as api
from cs3.storage.provider.v1beta1 import resources_pb2 as storage

from cs3collab.cs3.auth import shared_resource
from cs3collab.cs3.convert import to_id
from cs3collab.cs3.session import Session
from cs3collab.errors import CollabError
from cs3collab.gateway import ocm
from cs3collab.gateway.access import VISIT, Caller, permission_set
from cs3collab.gateway.files import Fields
from cs3collab.gateway.peers import refused_by
from cs3collab.gateway.site import Site
from cs3collab.gateway.status import UNIMPLEMENTED, Refused, not_found
from cs3collab.gateway.view import OCM_AREA, OCM_ID, View, split

_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Spot:
    """A resource at its home site. ``node_id`` is empty for the shared resource itself, ``names`` lead on from there."""

    share: Any
    session: Session
    node_id: str
    names: list[str]
    path: str

    async def ref(self) -> Any:
        """The reference to send. Raises `CollabError` when the home site does not let us in."""
        rid = to_id(shared_resource(await self.session.tokens.token()))
        if self.node_id:
            rid.opaque_id = self.node_id
        return storage.Reference(resource_id=rid, path=posixpath.join(".", *self.names))


def is_remote(ref: Any) -> bool:
    """Does `ref` lead to what other sites shared?"""
    if ref.HasField("resource_id"):
        return bool(ref.resource_id.storage_id == OCM_ID)
    return [name for name in ref.path.split("/") if name not in ("", ".")][:1] == [OCM_AREA]


async def _spot(site: Site, caller: Caller, ref: Any) -> Spot | None:
    """None for the folder of all shares. Raises NOT_FOUND."""
    names = split(ref.path)
    if ref.HasField("resource_id"):
        share_id, node_id, path = ref.resource_id.space_id, ref.resource_id.opaque_id, posixpath.join(".", *names)
    elif len(names) == 1:
        return None
    else:
        share_id, node_id, path, names = names[1], "", "/" + "/".join(names), names[2:]
    share = await site.run(lambda: ocm.received_one(View(site, caller), share_id))
    if share.state == ocm_types.SHARE_STATE_REJECTED:
        raise not_found()
    return Spot(share, _session(site, share), "" if node_id == share_id else node_id, names, path)


def _session(site: Site, share: Any) -> Session:
    return site.peers.session(share.owner.idp, share.remote_share_id, ocm.webdav(share).shared_secret)


async def forward(site: Site, caller: Caller, method: str, request: Any) -> Fields:
    """The home site's answer, with this site's ids and paths. Raises `Refused`."""
    if not caller.local:
        raise not_found()
    spot = await _spot(site, caller, request.ref)
    if spot is None:
        return await _top(site, caller, method)
    rewrite = _FORWARDED.get(method)
    if rewrite is None:
        raise Refused(UNIMPLEMENTED, f"{method} is not passed on to other sites")
    onward = type(request)()
    onward.CopyFrom(request)
    try:
        onward.ref.CopyFrom(await spot.ref())
        return rewrite(spot, await spot.session.call(method, onward))
    except CollabError as error:
        raise refused_by(error) from error


def _as_ours(spot: Spot, info: Any, path: str, *, top: bool) -> Any:
    share_id = spot.share.id.opaque_id
    parent = info.parent_id.opaque_id
    info.id.CopyFrom(storage.ResourceId(storage_id=OCM_ID, space_id=share_id, opaque_id=share_id if top else info.id.opaque_id))
    info.ClearField("parent_id")
    if not top and parent:
        info.parent_id.CopyFrom(storage.ResourceId(storage_id=OCM_ID, space_id=share_id, opaque_id=parent))
    info.path = path
    return info


def _stat(spot: Spot, answer: Any) -> Fields:
    return {"info": _as_ours(spot, answer.info, spot.path, top=not spot.node_id and not spot.names)}


def _list(spot: Spot, answer: Any) -> Fields:
    return {"infos": [_as_ours(spot, info, posixpath.join(spot.path, info.name), top=False) for info in answer.infos]}


def _transfer(spot: Spot, answer: Any) -> Fields:
    """The bytes flow between the client and the home site."""
    return {"protocols": list(answer.protocols)}


def _nothing(spot: Spot, answer: Any) -> Fields:
    return {}


_FORWARDED: Final[dict[str, Callable[[Spot, Any], Fields]]] = {
    "Stat": _stat,
    "ListContainer": _list,
    "InitiateFileUpload": _transfer,
    "InitiateFileDownload": _transfer,
    "CreateContainer": _nothing,
    "TouchFile": _nothing,
    "Delete": _nothing,
}


async def _top(site: Site, caller: Caller, method: str) -> Fields:
    if method == "Stat":
        info = storage.ResourceInfo(
            type=storage.RESOURCE_TYPE_CONTAINER,
            id=storage.ResourceId(storage_id=OCM_ID, space_id=OCM_ID, opaque_id=OCM_ID),
            path=f"/{OCM_AREA}",
            name=OCM_AREA,
            mime_type="httpd/unix-directory",
            permission_set=permission_set(VISIT),
        )
        return {"info": info}
    if method != "ListContainer":
        raise Refused(UNIMPLEMENTED, "the folder of shares of other sites is not to be written")
    shares = await site.run(lambda: ocm.received(View(site, caller)))
    accepted = [share for share in shares if share.state == ocm_types.SHARE_STATE_ACCEPTED]
    gate = asyncio.Semaphore(_AT_ONCE)
    infos = await asyncio.gather(*(_stat_one(site, share, gate) for share in accepted))
    return {"infos": [info for info in infos if info is not None]}


async def _stat_one(site: Site, share: Any, gate: asyncio.Semaphore) -> Any | None:
    """None for a share that has ended, or whose home site is away."""
    async with gate:
        try:
            spot = Spot(share, _session(site, share), "", [], f"/{OCM_AREA}/{share.id.opaque_id}")
            return _stat(spot, await spot.session.call("Stat", api.StatRequest(ref=await spot.ref())))["info"]
        except CollabError:
            return None
