"""Files and folders: looking, making, moving, deleting, and getting back."""

from __future__ import annotations

import posixpath
from typing import Any, Final

from conformance.cs3.cases import Area, OneOf
from conformance.cs3.wire import Client, bits, by_id, by_path, code
from conformance.cs3.world import World
from cs3.storage.provider.v1beta1 import provider_api_pb2 as api
from cs3.storage.provider.v1beta1 import resources_pb2 as storage
from cs3.storage.provider.v1beta1 import spaces_api_pb2 as spaces

case = Area("tree")

NO_NAMES: Final = "v3 gives no name: it is the last part of the path; nor the id of the folder"
CODES: Final = "the two lines give it another code"
RACES: Final = "Reva looks and then does it: of some at once each is told that it was they"
SOME: Final = OneOf(*(f"{n} of 12" for n in range(1, 13)))
OVERWRITES: Final = "v3's local driver renames over what is there"
RESTORES: Final = "v3 restores to where it was only, and fails when it is told a place"
PATH_IDS: Final = "v3's local driver makes its ids from paths"
NO_ACLS: Final = "v3's local driver keeps nobody out"
OWNER: Final = [
    "add_grant", "create_container", "delete", "deny_grant", "get_path", "get_quota", "initiate_file_download",
    "initiate_file_upload", "list_container", "list_file_versions", "list_grants", "list_recycle", "move", "purge_recycle",
    "remove_grant", "restore_file_version", "restore_recycle_item", "stat", "update_grant",
]  # fmt: skip


# Looking


@case("a file by path, by id, and by its folder's id", ["OK", "OK", "OK", "all the same"])
async def _(w: World) -> list[str]:
    ref, folder = await w.file(), await w.owner.stat(w.folder)
    refs = [w.at("file.ipynb"), ref, by_id(folder.id, "./file.ipynb")]
    infos = [await w.owner.stat(ref) for ref in refs]
    ids = {info.id.SerializeToString(deterministic=True) for info in infos}
    same = "all the same" if len(ids) == 1 and len({info.etag for info in infos}) == 1 else str(infos)
    return [*[await w.owner.seen(ref) for ref in refs], same]


@case(
    "what Stat says of a file",
    ["file", "file.ipynb", 5, "all by the owner", "application/octet-stream", "with a parent"],
    v3=["file", "", 5, "all by the owner", "application/octet-stream", "parent ''"],
    why=NO_NAMES,
)
async def _(w: World) -> list[Any]:
    await w.file()
    info, folder = await w.owner.stat(w.at("file.ipynb")), await w.owner.stat(w.folder)
    owner = "by the owner" if info.owner.opaque_id == w.owner.user.id.opaque_id else info.owner.opaque_id
    what = "all " if set(OWNER) - {"deny_grant"} <= set(bits(info.permission_set)) else str(bits(info.permission_set))
    parent = "with a parent" if info.parent_id.opaque_id == folder.id.opaque_id else f"parent {info.parent_id.opaque_id!r}"
    kind = "file" if info.type == storage.RESOURCE_TYPE_FILE else str(info.type)
    return [kind, info.name, info.size, what + owner, info.mime_type, parent]


@case(
    "the path that Stat says, by path, by id, of a folder, of the home",
    ["file.ipynb", "file.ipynb", "dir", "."],
    v3=["as asked", "as asked", "as asked", "as asked"],
    why="v2 says the name only, v3 the path in the whole tree",
)
async def _(w: World) -> list[str]:
    ref, home = await w.file(), await w.here.home("einstein")
    await w.dir()
    asked = {w.at("file.ipynb").path: (w.at("file.ipynb"), ref), w.at("dir").path: (w.at("dir"),), home: (by_path(home),)}
    said = [((await w.owner.stat(one)).path, path) for path, refs in asked.items() for one in refs]
    return ["as asked" if path == wanted else path for path, wanted in said]


@case(
    "the paths that a listing says", ["file.ipynb"], v3=["as asked"], why="v2 says the name only, v3 the path in the whole tree"
)
async def _(w: World) -> list[str]:
    await w.file()
    infos = (await w.owner.ok("ListContainer", api.ListContainerRequest(ref=w.folder))).infos
    return ["as asked" if info.path == w.at("file.ipynb").path else info.path for info in infos]


@case(
    "what Stat says of a folder",
    ["folder", "dir", "httpd/unix-directory"],
    v3=["folder", "", "httpd/unix-directory"],
    why=NO_NAMES,
)
async def _(w: World) -> list[str]:
    await w.dir()
    info = await w.owner.stat(w.at("dir"))
    return ["folder" if info.type == storage.RESOURCE_TYPE_CONTAINER else str(info.type), info.name, info.mime_type]


@case("the mtime of a file is that of its last write", "moves on")
async def _(w: World) -> str:
    ref = await w.file()
    before = (await w.owner.stat(ref)).mtime
    after = (await w.owner.write(ref, b"again")).mtime
    first, second = (stamp.seconds * 10**9 + stamp.nanos for stamp in (before, after))
    return "moves on" if second >= first > 1_600_000_000 * 10**9 else f"{first} {second}"


@case(
    "what is missing: a file, one in a missing folder, an id, a storage",
    ["NOT_FOUND"] * 4,
    v3=["NOT_FOUND", "NOT_FOUND", "NOT_FOUND", "INTERNAL"],
    why="v3's storage registry calls a storage that it does not know an internal error",
)
async def _(w: World) -> list[str]:
    info = await w.owner.stat(await w.file())
    gone, elsewhere = storage.ResourceId(), storage.ResourceId()
    gone.CopyFrom(info.id)
    gone.opaque_id = "00000000-0000-4000-8000-000000000000"
    elsewhere.CopyFrom(info.id)
    elsewhere.storage_id = "00000000-0000-4000-8000-000000000000"
    refs = (w.at("missing"), w.at("missing/file"), by_id(gone), by_id(elsewhere))
    return [await w.owner.seen(ref) for ref in refs]


@case("a path that does not begin at the root", OneOf("INVALID_ARGUMENT", "NOT_FOUND", "INTERNAL"))
async def _(w: World) -> str:
    return await w.owner.seen(by_path("file.ipynb"))


@case("a path that climbs stays in the tree", "OK")
async def _(w: World) -> str:
    await w.file()
    return await w.owner.seen(by_path(f"{w.folder.path}/../{w.folder.path.rpartition('/')[2]}/file.ipynb"))


@case("a listing says what Stat says", ["a.ipynb", ".hidden", "dir", "as Stat"])
async def _(w: World) -> list[str]:
    await w.file(name="a.ipynb")
    await w.file(name=".hidden")
    await w.dir()
    listed = (await w.owner.ok("ListContainer", api.ListContainerRequest(ref=w.folder))).infos
    infos = {info.name or posixpath.basename(info.path): info for info in listed}
    stats = [await w.owner.stat(w.at(name)) for name in infos]
    same = all(
        (i.etag, i.id, i.size, i.type) == (s.etag, s.id, s.size, s.type) for i, s in zip(infos.values(), stats, strict=True)
    )
    return [*(name for name in ("a.ipynb", ".hidden", "dir") if name in infos), "as Stat" if same else f"{infos} {stats}"]


@case("an empty folder has nothing", ["OK", []])
async def _(w: World) -> list[Any]:
    answer = await w.owner.call("ListContainer", api.ListContainerRequest(ref=await w.dir()))
    return [code(answer), list(answer.infos)]


@case("the names in a folder by its id", ["one", "two"])
async def _(w: World) -> list[str]:
    await w.file(name="one")
    await w.file(name="two")
    return await w.owner.names(by_id((await w.owner.stat(w.folder)).id))


@case("a listing of what is missing, and of a file", ["NOT_FOUND", "INTERNAL"])
async def _(w: World) -> list[str]:
    refs = (w.at("missing"), await w.file())
    return [await w.owner.ask("ListContainer", api.ListContainerRequest(ref=ref)) for ref in refs]


@case(
    "the path of an id",
    "/case/file.ipynb",
    v3="/home/case/file.ipynb",
    why="v2 says the path in the space, v3 that in the whole tree",
)
async def _(w: World) -> str:
    ref = await w.file()
    answer = await w.owner.ok("GetPath", api.GetPathRequest(resource_id=ref.resource_id))
    path = str(answer.path).replace(await w.here.home("einstein"), "/home")
    return path.replace(w.folder.path.rpartition("/")[2], "case")


@case("the path of an id that is not there", "INTERNAL", v3="NOT_FOUND", why=CODES)
async def _(w: World) -> str:
    rid = (await w.file()).resource_id
    rid.opaque_id = "00000000-0000-4000-8000-000000000000"
    return await w.owner.ask("GetPath", api.GetPathRequest(resource_id=rid))


@case("a stranger finds nothing, by path or by id", ["NOT_FOUND", "NOT_FOUND", "NOT_FOUND"], v3=["OK", "OK", "OK"], why=NO_ACLS)
async def _(w: World) -> list[str]:
    ref = await w.file()
    listing = await w.richard.ask("ListContainer", api.ListContainerRequest(ref=w.folder))
    return [await w.richard.seen(w.at("file.ipynb")), await w.richard.seen(ref), listing]


# Making


@case("a folder is made, by path and by its parent's id", ["OK", "OK", ["one", "two"]])
async def _(w: World) -> list[Any]:
    parent = (await w.owner.stat(w.folder)).id
    return [await w.owner.mkdir(w.at("one")), await w.owner.mkdir(by_id(parent, "./two")), await w.owner.names(w.folder)]


@case("a folder onto a folder and onto a file", ["ALREADY_EXISTS", "ALREADY_EXISTS"])
async def _(w: World) -> list[str]:
    await w.dir()
    await w.file()
    return [await w.owner.mkdir(w.at("dir")), await w.owner.mkdir(w.at("file.ipynb"))]


@case("a folder in a missing one, and in a file", ["FAILED_PRECONDITION", "INTERNAL"], v3=["NOT_FOUND", "INTERNAL"], why=CODES)
async def _(w: World) -> list[str]:
    await w.file()
    return [await w.owner.mkdir(w.at("missing/new")), await w.owner.mkdir(w.at("file.ipynb/new"))]


@case("of many who make the same folder one does", ["1 of 12", ["dir"]])
async def _(w: World) -> list[Any]:
    answers = await w.race(lambda client, n: client.mkdir(w.at("dir")))
    return [f"{answers.count('OK')} of {len(answers)}", await w.owner.names(w.folder)]


async def _touch(client: Client, ref: Any) -> str:
    return await client.ask("TouchFile", api.TouchFileRequest(ref=ref))


@case("an empty file is made", ["OK", 0, ""])
async def _(w: World) -> list[Any]:
    return [await _touch(w.owner, w.at("new")), (await w.owner.stat(w.at("new"))).size, await w.owner.read(w.at("new"))]


@case("an empty file onto a file, and in a missing folder", ["ALREADY_EXISTS", "NOT_FOUND", "first"])
async def _(w: World) -> list[str]:
    ref = await w.file()
    return [await _touch(w.owner, w.at("file.ipynb")), await _touch(w.owner, w.at("missing/new")), await w.owner.read(ref)]


@case("of many who make the same empty file one does", SOME)
async def _(w: World) -> str:
    answers = await w.race(lambda client, n: _touch(client, w.at("new")))
    return f"{answers.count('OK')} of {len(answers)}"


# Moving


async def _move(client: Client, source: Any, destination: Any) -> str:
    return await client.ask("Move", api.MoveRequest(source=source, destination=destination))


@case("a renamed file", ["OK", ["new.ipynb"], "first"])
async def _(w: World) -> list[Any]:
    await w.file()
    moved = await _move(w.owner, w.at("file.ipynb"), w.at("new.ipynb"))
    return [moved, await w.owner.names(w.folder), await w.owner.read(w.at("new.ipynb"))]


@case("a move by id", ["OK", ["new.ipynb"]])
async def _(w: World) -> list[Any]:
    return [await _move(w.owner, await w.file(), w.at("new.ipynb")), await w.owner.names(w.folder)]


@case(
    "a moved file keeps its id and its etag",
    ["the same id", "the same etag", "OK"],
    v3=["another id", "the same etag", "NOT_FOUND"],
    why=PATH_IDS,
)
async def _(w: World) -> list[str]:
    await w.dir()
    ref = await w.file()
    before = await w.owner.stat(ref)
    await _move(w.owner, w.at("file.ipynb"), w.at("dir/new.ipynb"))
    after = await w.owner.stat(w.at("dir/new.ipynb"))
    return [
        "the same id" if before.id.opaque_id == after.id.opaque_id else "another id",
        "the same etag" if before.etag == after.etag else "another etag",
        await w.owner.seen(ref),
    ]


@case(
    "onto a file, and onto a folder",
    ["ALREADY_EXISTS", "ALREADY_EXISTS", "second"],
    v3=["OK", "INTERNAL", "first"],
    why=OVERWRITES,
)
async def _(w: World) -> list[str]:
    await w.file()
    await w.dir()
    await w.file(b"second", "other.ipynb")
    onto = [await _move(w.owner, w.at("file.ipynb"), w.at(name)) for name in ("other.ipynb", "dir")]
    return [*onto, await w.owner.read(w.at("other.ipynb"))]


@case("a missing file, and into a missing folder", ["NOT_FOUND", "NOT_FOUND"], v3=["INTERNAL", "INTERNAL"], why=CODES)
async def _(w: World) -> list[str]:
    await w.file()
    return [await _move(w.owner, w.at("missing"), w.at("new")), await _move(w.owner, w.at("file.ipynb"), w.at("missing/new"))]


@case("what is in a moved folder moves along", "first")
async def _(w: World) -> str:
    await w.dir()
    await w.file(name="dir/file.ipynb")
    await _move(w.owner, w.at("dir"), w.at("other"))
    return await w.owner.read(w.at("other/file.ipynb"))


@case("of many who move the same file one does", [SOME, 1])
async def _(w: World) -> list[Any]:
    await w.file()
    answers = await w.race(lambda client, n: _move(client, w.at("file.ipynb"), w.at(f"to-{n}")))
    return [f"{answers.count('OK')} of {len(answers)}", len(await w.owner.names(w.folder))]


@case(
    "of many who move onto the same name one does",
    OneOf(*([f"{n} of 12", 13 - n] for n in range(1, 12))),
    v3=["12 of 12", 1],
    why=f"{OVERWRITES}; {RACES}",
)
async def _(w: World) -> list[Any]:
    for n in range(12):
        await w.file(str(n).encode(), f"from-{n}")
    answers = await w.race(lambda client, n: _move(client, w.at(f"from-{n}"), w.at("to")))
    return [f"{answers.count('OK')} of {len(answers)}", len(await w.owner.names(w.folder))]


# Deleting


async def _delete(client: Client, ref: Any) -> str:
    return await client.ask("Delete", api.DeleteRequest(ref=ref))


@case("a deleted file", ["OK", "NOT_FOUND", "NOT_FOUND", "NOT_FOUND"])
async def _(w: World) -> list[str]:
    ref = await w.file()
    deleted = await _delete(w.owner, ref)
    return [deleted, await w.owner.seen(ref), await w.owner.seen(w.at("file.ipynb")), await _delete(w.owner, ref)]


@case("a folder and all that is in it", ["OK", "NOT_FOUND"])
async def _(w: World) -> list[str]:
    folder = await w.dir()
    ref = await w.file(name="dir/file.ipynb")
    return [await _delete(w.owner, folder), await w.owner.seen(ref)]


@case("what is missing", "NOT_FOUND")
async def _(w: World) -> str:
    return await _delete(w.owner, w.at("missing"))


@case("a name that is free again is another file", ["another id", "second"], v3=["the same id", "second"], why=PATH_IDS)
async def _(w: World) -> list[str]:
    before = await w.file()
    await _delete(w.owner, before)
    after = await w.file(b"second")
    same = before.resource_id.opaque_id == after.resource_id.opaque_id
    return ["the same id" if same else "another id", await w.owner.read(after)]


async def _recycled(w: World, name: str) -> Any:
    """The entry of what was deleted from the case's folder."""
    home = by_path(await w.here.home("einstein"))
    items = (await w.owner.ok("ListRecycle", api.ListRecycleRequest(ref=home))).recycle_items
    wanted = f"{w.folder.path.rpartition('/')[2]}/{name}"
    return next((item for item in items if item.ref.path.endswith(wanted)), None)


@case(
    "the recycle bin says what was deleted",
    ["file", 0, "the path in the space"],
    v3=["file", 5, "the path in the tree"],
    why="v2 says no sizes; v3 says the path in the whole tree",
)
async def _(w: World) -> list[Any]:
    await _delete(w.owner, await w.file())
    item = await _recycled(w, "file.ipynb")
    in_space = f"/{w.folder.path.rpartition('/')[2]}/file.ipynb"
    known = {in_space: "the path in the space", w.at("file.ipynb").path: "the path in the tree"}
    path = known.get(item.ref.path, item.ref.path)
    return ["file" if item.type == storage.RESOURCE_TYPE_FILE else str(item.type), item.size, path]


async def _restore(w: World, key: str, to: Any) -> str:
    home = by_path(await w.here.home("einstein"))
    request = api.RestoreRecycleItemRequest(ref=home, key=key, restore_ref=to)
    return await w.owner.ask("RestoreRecycleItem", request)


@case(
    "a deleted file comes back with its id",
    ["OK", "NOT_FOUND", "OK", "first"],
    v3=["INTERNAL", "NOT_FOUND", "NOT_FOUND", "not under its id"],
    why=RESTORES,
)
async def _(w: World) -> list[str]:
    ref = await w.file()
    await _delete(w.owner, ref)
    restored = await _restore(w, (await _recycled(w, "file.ipynb")).key, w.at("back.ipynb"))
    places = [await w.owner.seen(w.at(name)) for name in ("file.ipynb", "back.ipynb")]
    return [restored, *places, await w.owner.read(ref) if await w.owner.seen(ref) == "OK" else "not under its id"]


@case(
    "to nowhere, onto a file, an unknown one",
    ["INVALID_ARGUMENT", "ALREADY_EXISTS", "INTERNAL"],
    v3=["OK", "INTERNAL", "INTERNAL"],
    why=RESTORES,
)
async def _(w: World) -> list[str]:
    await _delete(w.owner, await w.file())
    await w.file(b"second", "taken.ipynb")
    key = (await _recycled(w, "file.ipynb")).key
    return [
        await _restore(w, key, None),
        await _restore(w, key, w.at("taken.ipynb")),
        await _restore(w, "unknown", w.at("new")),
    ]


@case("a purged file does not come back", ["OK", "gone"])
async def _(w: World) -> list[str]:
    await _delete(w.owner, await w.file())
    key = (await _recycled(w, "file.ipynb")).key
    home = by_path(await w.here.home("einstein"))
    purged = await w.owner.ask("PurgeRecycle", api.PurgeRecycleRequest(ref=home, key=key))
    return [purged, "gone" if await _recycled(w, "file.ipynb") is None else "still there"]


# Homes and spaces


@case(
    "a home that is there already",
    ["OK", "OK"],
    v3=["INTERNAL", "OK"],
    why="v3's local driver makes no homes where it serves all of them",
)
async def _(w: World) -> list[str]:
    again = await w.owner.ask("CreateHome", api.CreateHomeRequest())
    return [again, await w.owner.seen(by_path(await w.here.home("einstein")))]


@case(
    "the spaces of a user",
    ["OK", ["personal", "virtual"], "the home"],
    v3="grpc UNIMPLEMENTED",
    why="v3's gateway has no service for spaces here",
)
async def _(w: World) -> Any:
    if (asked := await w.owner.ask("ListStorageSpaces", spaces.ListStorageSpacesRequest())) != "OK":
        return asked
    answer = await w.owner.call("ListStorageSpaces", spaces.ListStorageSpacesRequest())
    own = [s for s in answer.storage_spaces if s.space_type == "personal"]
    home = await w.owner.stat(by_path(await w.here.home("einstein")))
    roots = {space.root.opaque_id for space in own}
    return [
        code(answer),
        sorted({space.space_type for space in answer.storage_spaces}),
        "the home" if roots == {home.id.opaque_id} else str(roots),
    ]


@case("the quota of a home", "OK")
async def _(w: World) -> str:
    return await w.owner.ask("GetQuota", _quota(await w.here.home("einstein")))


def _quota(home: str) -> Any:
    from cs3.gateway.v1beta1 import gateway_api_pb2 as gw

    return gw.GetQuotaRequest(ref=by_path(home))
