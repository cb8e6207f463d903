"""What a locked file lets be done, and with which id."""

from __future__ import annotations

import time
from typing import Any, Final

from conformance.cs3.cases import Area, OneOf
from conformance.cs3.links import grant, make, of
from conformance.cs3.links import request as link_request
from conformance.cs3.locks import NO_LOCKS, get, lock, refresh, take, unlock
from conformance.cs3.shares import FieldMask, given, ref_of, update
from conformance.cs3.wire import bits, by_path, role
from conformance.cs3.world import World
from cs3.sharing.collaboration.v1beta1 import collaboration_api_pb2 as local
from cs3.sharing.collaboration.v1beta1 import resources_pb2 as sharing
from cs3.sharing.link.v1beta1 import link_api_pb2 as links
from cs3.storage.provider.v1beta1 import provider_api_pb2 as api
from cs3.storage.provider.v1beta1 import resources_pb2 as storage
from cs3.types.v1beta1 import types_pb2

case = Area("locked")

NOT_GUARDED: Final = "v3's local driver has no locks and looks at no lock_id"


@case(
    "a locked file is written with the lock's id only",
    ["LOCKED", "INTERNAL", "OK", "mine"],
    v3=["OK", "OK", "OK", "mine"],
    why=NOT_GUARDED,
)
async def _(w: World) -> list[str]:
    ref = await w.file()
    await take(w.owner, ref)
    answers = [await w.owner.may_upload(ref), await w.owner.may_upload(ref, lock_id="two")]
    return [*answers, await w.owner.upload(ref, b"mine", lock_id="one"), await w.owner.read(ref)]


@case("the id in a header of the upload alone does not help", "LOCKED", v3="OK", why=NOT_GUARDED)
async def _(w: World) -> str:
    ref = await w.file()
    await take(w.owner, ref)
    return await w.owner.upload(ref, b"mine", {"X-Lock-Id": "one"})


@case("an id for a file that is not locked is refused", ["INTERNAL", "first"], v3=["OK", "mine"], why=NOT_GUARDED)
async def _(w: World) -> list[str]:
    ref = await w.file()
    return [await w.owner.upload(ref, b"mine", lock_id="one"), await w.owner.read(ref)]


@case("an expired lock's id is refused, and without it all is well", ["INTERNAL", "OK"], v3=["OK", "OK"], why=NOT_GUARDED)
async def _(w: World) -> list[str]:
    ref = await w.file()
    await take(w.owner, ref, lock(life_s=-5))
    return [await w.owner.may_upload(ref, lock_id="one"), await w.owner.upload(ref, b"mine")]


@case("whoever may write and knows the id writes", "OK")
async def _(w: World) -> str:
    ref = await w.file()
    await w.share(ref, w.marie, editor=True)
    await take(w.owner, ref)
    return await w.marie.upload(ref, b"hers", lock_id="one")


@case(
    "if_match and lock_id hold together",
    ["OK", "ABORTED", "LOCKED", "mine"],
    v3=["OK", "OK", "OK", "mine"],
    older=["OK", "FAILED_PRECONDITION", "LOCKED", "mine"],
    why=NOT_GUARDED,
)
async def _(w: World) -> list[str]:
    ref = await w.file()
    old = (await w.owner.stat(ref)).etag
    await take(w.owner, ref)
    first = await w.owner.upload(ref, b"mine", lock_id="one", if_match=old)
    now = (await w.owner.stat(ref)).etag
    stale = await w.owner.may_upload(ref, lock_id="one", if_match=old)
    return [first, stale, await w.owner.may_upload(ref, if_match=now), await w.owner.read(ref)]


@case("a lock that comes before the bytes keeps them out", ["HTTP 500", "first"], v3=["HTTP 200", "early"], why=NOT_GUARDED)
async def _(w: World) -> list[str]:
    ref = await w.file()
    granted = await w.owner.initiate(ref, 5)
    await take(w.owner, ref)
    return [str(await w.owner.send(granted, b"early")), await w.owner.read(ref)]


@case("a lock released before the bytes come keeps them out", ["HTTP 412", "first"], v3=["HTTP 200", "later"], why=NOT_GUARDED)
async def _(w: World) -> list[str]:
    ref = await w.file()
    await take(w.owner, ref)
    granted = await w.owner.initiate(ref, 5, lock_id="one")
    await unlock(w.owner, ref)
    return [str(await w.owner.send(granted, b"later")), await w.owner.read(ref)]


@case(
    "a lock that changed hands before the bytes come keeps them out",
    [OneOf("HTTP 412", "HTTP 500"), "first"],
    v3=["HTTP 200", "later"],
    why=NOT_GUARDED,
)
async def _(w: World) -> list[str]:
    ref = await w.file()
    await take(w.owner, ref)
    granted = await w.owner.initiate(ref, 5, lock_id="one")
    await refresh(w.owner, ref, lock("two"), existing="one")
    return [str(await w.owner.send(granted, b"later")), await w.owner.read(ref)]


@case("the upload remembers the id it was asked for with", "HTTP 200")
async def _(w: World) -> str:
    ref = await w.file()
    await take(w.owner, ref)
    return str(await w.owner.send(await w.owner.initiate(ref, 4, lock_id="one"), b"mine"))


async def _changes(w: World, lock_id: str) -> list[str]:
    ref = await w.file()
    await w.owner.write(ref, b"second")
    versions = (await w.owner.call("ListFileVersions", api.ListFileVersionsRequest(ref=ref))).versions
    key = versions[0].key if versions else "none"
    await take(w.owner, ref)
    values = storage.ArbitraryMetadata(metadata={"a": "b"})
    moved = by_path(f"{w.folder.path}/moved.ipynb")
    return [
        await w.owner.ask(
            "SetArbitraryMetadata", api.SetArbitraryMetadataRequest(ref=ref, arbitrary_metadata=values, lock_id=lock_id)
        ),
        await w.owner.ask(
            "UnsetArbitraryMetadata", api.UnsetArbitraryMetadataRequest(ref=ref, arbitrary_metadata_keys=["a"], lock_id=lock_id)
        ),
        await w.owner.ask("RestoreFileVersion", api.RestoreFileVersionRequest(ref=ref, key=key, lock_id=lock_id)),
        await w.owner.ask("Move", api.MoveRequest(source=ref, destination=moved, lock_id=lock_id)),
        await w.owner.ask("Delete", api.DeleteRequest(ref=by_path(moved.path) if lock_id else ref, lock_id=lock_id)),
    ]


CHANGES: Final = "metadata set, metadata unset, version restored, moved, deleted"


@case(
    f"without the id a locked file is changed in no way ({CHANGES})",
    ["LOCKED"] * 5,
    v3=["OK", "OK", "NOT_FOUND", "OK", "NOT_FOUND"],
    why=NOT_GUARDED,
)
async def _(w: World) -> list[str]:
    return await _changes(w, "")


@case(
    f"with the id it is changed in every way ({CHANGES})",
    ["OK"] * 5,
    v3=["OK", "OK", "NOT_FOUND", "OK", "OK"],
    why="v3's local driver restores no version: it looks for the file under a key that lacks its own prefix",
)
async def _(w: World) -> list[str]:
    return await _changes(w, "one")


@case("a wrong id changes nothing either", ["ABORTED", "ABORTED"], v3=["OK", "OK"], why=NOT_GUARDED)
async def _(w: World) -> list[str]:
    ref = await w.file()
    await take(w.owner, ref)
    values = storage.ArbitraryMetadata(metadata={"a": "b"})
    return [
        await w.owner.ask(
            "SetArbitraryMetadata", api.SetArbitraryMetadataRequest(ref=ref, arbitrary_metadata=values, lock_id="two")
        ),
        await w.owner.ask("Delete", api.DeleteRequest(ref=ref, lock_id="two")),
    ]


@case("the lock moves along", "one", v3="INTERNAL", why=NO_LOCKS)
async def _(w: World) -> str:
    ref = await w.file()
    await take(w.owner, ref)
    destination = by_path(f"{w.folder.path}/moved.ipynb")
    await w.owner.ok("Move", api.MoveRequest(source=ref, destination=destination, lock_id="one"))
    return await get(w.owner, ref)


@case("locking changes neither etag nor mtime", "as before")
async def _(w: World) -> str:
    ref = await w.file()
    before = await w.owner.stat(ref)
    await take(w.owner, ref)
    now = await w.owner.stat(ref)
    return "as before" if (now.etag, now.mtime) == (before.etag, before.mtime) else f"{before.etag} {now.etag}"


@case("a file in a locked folder can be written", "OK")
async def _(w: World) -> str:
    await take(w.owner, await w.dir())
    return await w.owner.upload(by_path(f"{w.folder.path}/dir/file.ipynb"), b"new")


# Its shares


async def _shared(w: World, ref: Any, *, folder: bool = False) -> list[Any]:
    """What came of a downgrade, a new end and the end of a share with marie; whether she has it, and may still write."""
    share = await w.share(ref, w.marie, editor=True)
    await take(w.owner, ref)
    until = sharing.Share(id=share.id, expiration=types_pb2.Timestamp(seconds=int(time.time()) + 3600))
    limited = local.UpdateShareRequest(ref=ref_of(share), share=until, update_mask=FieldMask(paths=["expiration"]))
    answers = [await update(w.owner, share, role(editor=False, folder=folder)), await w.owner.ask("UpdateShare", limited)]
    writes = await w.marie.seen(ref) == "OK" and "initiate_file_upload" in bits((await w.marie.stat(ref)).permission_set)
    answers.append(await w.owner.ask("RemoveShare", local.RemoveShareRequest(ref=ref_of(share))))
    return [*answers, writes, len(await given(w.owner, ref))]


@case(
    "its shares are not changed and not ended, also by its holder",
    ["LOCKED", "LOCKED", "LOCKED", True, 1],
    v3=["OK", "OK", "OK", True, 0],
    why=NOT_GUARDED,
)
async def _(w: World) -> list[Any]:
    return await _shared(w, await w.file())


@case(
    "nor are those of a locked folder",
    ["LOCKED", "LOCKED", "LOCKED", True, 1],
    v3=["OK", "OK", "OK", True, 0],
    why=NOT_GUARDED,
)
async def _(w: World) -> list[Any]:
    return await _shared(w, await w.dir(), folder=True)


@case("those of the folder of a locked file are", ["OK", "OK", 0])
async def _(w: World) -> list[Any]:
    folder = await w.dir()
    share = await w.share(folder, w.marie, editor=True)
    await take(w.owner, await w.file(name="dir/file.ipynb"))
    changed = await update(w.owner, share, role(editor=False, folder=True))
    ended = await w.owner.ask("RemoveShare", local.RemoveShareRequest(ref=ref_of(share)))
    return [changed, ended, len(await given(w.owner, folder))]


@case("once the lock has expired or is released they are", ["OK", "LOCKED", "OK"], v3=["OK", "OK", "OK"], why=NOT_GUARDED)
async def _(w: World) -> list[str]:
    ref = await w.file()
    share = await w.share(ref, w.marie, editor=True)
    await take(w.owner, ref, lock(life_s=-5))
    answers = [await update(w.owner, share, role(editor=False))]
    await take(w.owner, ref)
    answers.append(await update(w.owner, share, role(editor=True)))
    await unlock(w.owner, ref)
    return [*answers, await update(w.owner, share, role(editor=True))]


@case(
    "whom it is shared with hears of the lock, a stranger of nothing",
    ["LOCKED", "LOCKED", "INTERNAL", "INTERNAL"],
    v3=["grpc UNKNOWN"] * 4,
    why=NOT_GUARDED,
)
async def _(w: World) -> list[str]:
    ref = await w.file()
    share = await w.share(ref, w.marie, editor=True)
    await take(w.owner, ref)
    ends = local.RemoveShareRequest(ref=ref_of(share))
    answers = []
    for client in (w.marie, w.richard):
        answers += [await update(client, share, role(editor=False)), await client.ask("RemoveShare", ends)]
    return answers


@case("it can be shared with more people", ["OK", 2])
async def _(w: World) -> list[Any]:
    ref = await w.file()
    await w.share(ref, w.marie, editor=True)
    await take(w.owner, ref)
    answer = await w.owner.ask("CreateShare", await w.share_request(ref, w.richard, editor=False))
    return [answer, len(await given(w.owner, ref))]


@case("its links are made, changed and ended", ["OK", "OK", "OK"])
async def _(w: World) -> list[str]:
    ref = await w.file()
    link = await make(w, ref)
    await take(w.owner, ref)
    kind = links.UpdatePublicShareRequest.Update
    change = kind(type=kind.TYPE_PERMISSIONS, grant=grant(editor=True))
    return [
        await w.owner.ask("CreatePublicShare", await link_request(w, ref)),
        await w.owner.ask("UpdatePublicShare", links.UpdatePublicShareRequest(ref=of(link), update=change)),
        await w.owner.ask("RemovePublicShare", links.RemovePublicShareRequest(ref=of(link))),
    ]
