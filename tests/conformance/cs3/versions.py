"""Earlier contents of a file."""

from __future__ import annotations

from typing import Any, Final

from conformance.cs3.cases import Area
from conformance.cs3.wire import Client, by_id, code, opaque
from conformance.cs3.world import World
from cs3.storage.provider.v1beta1 import provider_api_pb2 as api
from cs3.storage.provider.v1beta1 import resources_pb2 as storage

case = Area("versions")

NO_ACLS: Final = "v3's local driver keeps nobody out"
LOST_PREFIX: Final = "v3's local driver keeps a version as v<key> and looks for it as <key>"


async def versions(client: Client, ref: Any) -> list[Any]:
    return list((await client.ok("ListFileVersions", api.ListFileVersionsRequest(ref=ref))).versions)


async def listing(client: Client, ref: Any) -> str:
    return await client.ask("ListFileVersions", api.ListFileVersionsRequest(ref=ref))


async def restore(client: Client, ref: Any, key: str) -> str:
    return await client.ask("RestoreFileVersion", api.RestoreFileVersionRequest(ref=ref, key=key))


@case("a new file has none", ["OK", 0])
async def _(w: World) -> list[Any]:
    ref = await w.file()
    return [await listing(w.owner, ref), len(await versions(w.owner, ref))]


@case("each upload over it keeps one", [2, [5, 6]])
async def _(w: World) -> list[Any]:
    ref = await w.file()
    await w.owner.write(ref, b"second")
    await w.owner.write(ref, b"third!!")
    found = await versions(w.owner, ref)
    return [len(found), sorted(version.size for version in found)]


@case(
    "a version has a key, a time in Unix seconds and an etag",
    ["key", "seconds", "etag"],
    v3=["key", "milliseconds", "etag"],
    why="v3's local driver takes its own stamp for the time",
)
async def _(w: World) -> list[str]:
    ref = await w.file()
    await w.owner.write(ref, b"second")
    (version,) = await versions(w.owner, ref)
    units = {1: "seconds", 1000: "milliseconds"}
    unit = next((name for by, name in units.items() if 1_600_000_000 < version.mtime / by < 4_000_000_000), "")
    return ["key" if version.key else "", unit, "etag" if version.etag else ""]


@case("X-Disable-Versioning on the PUT is not looked at", [1, "second"])
async def _(w: World) -> list[Any]:
    ref = await w.file()
    assert await w.owner.upload(ref, b"second", {"X-Disable-Versioning": "true"}) == "OK"
    return [len(await versions(w.owner, ref)), await w.owner.read(ref)]


@case("a version is read under its key as id", "first", v3="HTTP 404", why="v3 takes a version's key beside the reference")
async def _(w: World) -> str:
    ref = await w.file()
    await w.owner.write(ref, b"second")
    (version,) = await versions(w.owner, ref)
    rid = storage.ResourceId()
    rid.CopyFrom(ref.resource_id)
    rid.opaque_id = version.key
    return await _read(w.owner, by_id(rid))


@case("a version is read with its key beside the reference", "second", v3="HTTP 404", why=LOST_PREFIX)
async def _(w: World) -> str:
    ref = await w.file()
    await w.owner.write(ref, b"second")
    (version,) = await versions(w.owner, ref)
    return await _read(w.owner, ref, opaque=opaque({"version_key": version.key}))


async def _read(client: Client, ref: Any, **options: Any) -> str:
    granted = await client.call("InitiateFileDownload", api.InitiateFileDownloadRequest(ref=ref, **options))
    if code(granted) != "OK":
        return code(granted)
    status, body = await client.get(granted)
    return body.decode() if status == 200 else f"HTTP {status}"


@case(
    "a restored version is the content, and what was is a version",
    ["OK", "first", True],
    v3=["NOT_FOUND", "second", False],
    why=LOST_PREFIX,
)
async def _(w: World) -> list[Any]:
    ref = await w.file()
    await w.owner.write(ref, b"second")
    (version,) = await versions(w.owner, ref)
    answer = await restore(w.owner, ref, version.key)
    return [answer, await w.owner.read(ref), 6 in [v.size for v in await versions(w.owner, ref)]]


@case(
    "restoring changes the etag and keeps the id",
    ["another etag", "the same id"],
    v3=["the same etag", "the same id"],
    why=LOST_PREFIX,
)
async def _(w: World) -> list[str]:
    ref = await w.file()
    before = await w.owner.write(ref, b"second")
    await restore(w.owner, ref, (await versions(w.owner, ref))[0].key)
    after = await w.owner.stat(w.at("file.ipynb"))
    return [
        "the same etag" if before.etag == after.etag else "another etag",
        "the same id" if before.id.opaque_id == after.id.opaque_id else "another id",
    ]


@case("an unknown version", "NOT_FOUND")
async def _(w: World) -> str:
    ref = await w.file()
    await w.owner.write(ref, b"second")
    return await restore(w.owner, ref, "unknown")


@case(
    "of a missing file, and of a folder",
    ["NOT_FOUND", "OK"],
    v3=["OK", "OK"],
    why="v3's local driver looks for versions only, not for the file",
)
async def _(w: World) -> list[str]:
    return [await listing(w.owner, w.at("missing")), await listing(w.owner, await w.dir())]


@case("receivers of a share see none, be they editors", ["PERMISSION_DENIED"] * 2, v3=["OK", "OK"], why=NO_ACLS)
async def _(w: World) -> list[str]:
    ref = await w.file()
    await w.owner.write(ref, b"second")
    await w.share(ref, w.marie, editor=True)
    await w.share(ref, w.richard, editor=False)
    return [await listing(w.marie, ref), await listing(w.richard, ref)]


@case("receivers of a share restore none", ["PERMISSION_DENIED", "second"], v3=["NOT_FOUND", "second"], why=NO_ACLS)
async def _(w: World) -> list[str]:
    ref = await w.file()
    await w.owner.write(ref, b"second")
    key = (await versions(w.owner, ref))[0].key
    await w.share(ref, w.marie, editor=True)
    return [await restore(w.marie, ref, key), await w.owner.read(ref)]


@case("they move along", 1, v3=0, why="v3's local driver finds versions by the path of the file")
async def _(w: World) -> int:
    ref = await w.file()
    await w.owner.write(ref, b"second")
    await w.owner.ok("Move", api.MoveRequest(source=ref, destination=w.at("moved.ipynb")))
    return len(await versions(w.owner, w.at("moved.ipynb")))
