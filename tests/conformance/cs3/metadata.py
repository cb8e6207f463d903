"""Arbitrary metadata: small values beside a file, which Stat returns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from conformance.cs3.cases import Area
from conformance.cs3.locks import lock
from conformance.cs3.wire import Client
from conformance.cs3.world import World
from cs3.storage.provider.v1beta1 import provider_api_pb2 as api
from cs3.storage.provider.v1beta1 import resources_pb2 as storage

case = Area("metadata")

NO_ACLS: Final = "v3's local driver keeps nobody out"


async def put(client: Client, ref: Any, values: dict[str, str]) -> str:
    metadata = storage.ArbitraryMetadata(metadata=values)
    return await client.ask("SetArbitraryMetadata", api.SetArbitraryMetadataRequest(ref=ref, arbitrary_metadata=metadata))


async def drop(client: Client, ref: Any, keys: Iterable[str]) -> str:
    request = api.UnsetArbitraryMetadataRequest(ref=ref, arbitrary_metadata_keys=list(keys))
    return await client.ask("UnsetArbitraryMetadata", request)


async def held(client: Client, ref: Any, keys: Iterable[str] = ()) -> dict[str, str]:
    """Ours; gateways may add their own."""
    info = (await client.ok("Stat", api.StatRequest(ref=ref, arbitrary_metadata_keys=list(keys)))).info
    return {k: v for k, v in sorted(info.arbitrary_metadata.metadata.items()) if k.startswith("test.")}


@case("what is set is there", ["OK", {"test.a": "1", "test.b": "zwei – 二"}])
async def _(w: World) -> list[Any]:
    ref = await w.file()
    return [await put(w.owner, ref, {"test.a": "1", "test.b": "zwei – 二"}), await held(w.owner, ref)]


@case("only the keys that were asked for", [{"test.a": "1"}, {"test.a": "1", "test.b": "2"}, {}])
async def _(w: World) -> list[Any]:
    ref = await w.file()
    await put(w.owner, ref, {"test.a": "1", "test.b": "2"})
    return [await held(w.owner, ref, keys) for keys in (["test.a"], ["*"], ["test.none"])]


@case(
    "lock and checksum are told with all keys and with their own alone",
    [[True, True], [True, True], [False, False], [True, False], [False, True]],
    v3=[[False, False]] * 5,
    why="v3's local driver has neither",
)
async def _(w: World) -> list[list[bool]]:
    ref = await w.file()
    await w.owner.ask("SetLock", api.SetLockRequest(ref=ref, lock=lock()))
    found = []
    for keys in ([], ["*"], ["test.none"], ["lockdiscovery"], ["http://owncloud.org/ns/checksums"]):
        info = (await w.owner.ok("Stat", api.StatRequest(ref=ref, arbitrary_metadata_keys=keys))).info
        (entry,) = (
            await w.owner.ok("ListContainer", api.ListContainerRequest(ref=w.folder, arbitrary_metadata_keys=keys))
        ).infos
        assert (info.lock.lock_id, info.checksum.sum) == (entry.lock.lock_id, entry.checksum.sum)
        found.append([bool(info.lock.lock_id), bool(info.checksum.sum)])
    return found


@case("a value is replaced, the others stay", {"test.a": "3", "test.b": "2"})
async def _(w: World) -> dict[str, str]:
    ref = await w.file()
    await put(w.owner, ref, {"test.a": "1", "test.b": "2"})
    await put(w.owner, ref, {"test.a": "3"})
    return await held(w.owner, ref)


@case("what is unset is gone, also what never was", ["OK", "OK", {"test.b": "2"}])
async def _(w: World) -> list[Any]:
    ref = await w.file()
    await put(w.owner, ref, {"test.a": "1", "test.b": "2"})
    return [await drop(w.owner, ref, ["test.a"]), await drop(w.owner, ref, ["test.none"]), await held(w.owner, ref)]


@case("it changes neither etag nor mtime", "as before")
async def _(w: World) -> str:
    ref = await w.file()
    before = await w.owner.stat(ref)
    await put(w.owner, ref, {"test.a": "1"})
    now = await w.owner.stat(ref)
    return "as before" if (now.etag, now.mtime) == (before.etag, before.mtime) else "changed"


@case("it outlives a write and a move", [{"test.a": "1"}, {"test.a": "1"}])
async def _(w: World) -> list[Any]:
    ref = await w.file()
    await put(w.owner, ref, {"test.a": "1"})
    await w.owner.write(ref, b"second")
    written = await held(w.owner, ref)
    await w.owner.ok("Move", api.MoveRequest(source=w.at("file.ipynb"), destination=w.at("moved.ipynb")))
    return [written, await held(w.owner, w.at("moved.ipynb"))]


@case("a folder has some too", ["OK", {"test.a": "1"}])
async def _(w: World) -> list[Any]:
    ref = await w.dir()
    return [await put(w.owner, ref, {"test.a": "1"}), await held(w.owner, ref)]


@case("a missing file has none", ["NOT_FOUND", "NOT_FOUND"])
async def _(w: World) -> list[str]:
    missing = w.at("missing")
    return [await put(w.owner, missing, {"test.a": "1"}), await drop(w.owner, missing, ["test.a"])]


@case(
    "a viewer sees it and changes nothing, an editor may",
    ["PERMISSION_DENIED", "PERMISSION_DENIED", {"test.a": "1"}, "OK"],
    v3=["OK", "OK", {}, "OK"],
    why=NO_ACLS,
)
async def _(w: World) -> list[Any]:
    ref = await w.file()
    await put(w.owner, ref, {"test.a": "1"})
    await w.share(ref, w.marie, editor=False)
    await w.share(ref, w.richard, editor=True)
    refused = [await put(w.marie, ref, {"test.a": "2"}), await drop(w.marie, ref, ["test.a"])]
    return [*refused, await held(w.marie, ref), await put(w.richard, ref, {"test.a": "3"})]


@case("a stranger changes nothing", "NOT_FOUND", v3="OK", why=NO_ACLS)
async def _(w: World) -> str:
    return await put(w.richard, await w.file(), {"test.a": "2"})


@case(
    "16 kB in one value",
    ["OK", 16384],
    older=["INTERNAL", 0],
    why="the older line keeps metadata in extended attributes, which are small",
)
async def _(w: World) -> list[Any]:
    ref = await w.file()
    answer = await put(w.owner, ref, {"test.a": "x" * 16384})
    return [answer, len((await held(w.owner, ref)).get("test.a", ""))]
