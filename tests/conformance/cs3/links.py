"""Public links: shares with whoever knows their token, and perhaps a password."""

from __future__ import annotations

import time
from typing import Any, Final

from conformance.cs3.cases import Area, OneOf
from conformance.cs3.wire import Client, Fault, by_path, code, role
from conformance.cs3.world import World
from cs3.sharing.link.v1beta1 import link_api_pb2 as api
from cs3.sharing.link.v1beta1 import resources_pb2 as types
from cs3.storage.provider.v1beta1 import resources_pb2 as storage
from cs3.types.v1beta1 import types_pb2

case = Area("links")

BY_SCOPE: Final = "v3 judges by the scope, before the storage"
MINDLESS: Final = "v2 falls over what one cannot see; v3's share manager does not ask who it is"
PASSWORD: Final = "a Secret 1!"
_Update: Final = api.UpdatePublicShareRequest.Update


def grant(*, editor: bool = False, folder: bool = False, password: str = "", ends: float | None = None) -> Any:
    held = types.PublicSharePermissions(permissions=role(editor=editor, folder=folder))
    made = types.Grant(permissions=held, password=password)
    if ends is not None:
        made.expiration.CopyFrom(types_pb2.Timestamp(seconds=int(ends)))
    return made


async def request(w: World, ref: Any, name: str = "press", **options: Any) -> Any:
    info = await w.owner.stat(ref)
    info.arbitrary_metadata.metadata["name"] = name
    folder = info.type == storage.RESOURCE_TYPE_CONTAINER
    return api.CreatePublicShareRequest(resource_info=info, grant=grant(folder=folder, **options))


async def make(w: World, ref: Any, **options: Any) -> Any:
    return (await w.owner.ok("CreatePublicShare", await request(w, ref, **options))).share


def of(link: Any) -> Any:
    return types.PublicShareReference(id=link.id)


async def listed(client: Client, ref: Any) -> list[Any]:
    kind = api.ListPublicSharesRequest.Filter
    wish = kind(type=kind.TYPE_RESOURCE_ID, resource_id=ref.resource_id)
    return list((await client.ok("ListPublicShares", api.ListPublicSharesRequest(filters=[wish]))).share)


async def enter(w: World, link: Any, password: str = "") -> str | Client:
    """A login with the link, or the code of its refusal."""
    try:
        answer = await w.here.nobody.authenticate("publicshares", link.token, f"password|{password}")
    except Fault as fault:
        return f"grpc {fault.code}"
    if code(answer) != "OK":
        return code(answer)
    return w.here.nobody.with_token(answer.token)


async def guest(w: World, link: Any, password: str = "") -> Client:
    client = await enter(w, link, password)
    assert isinstance(client, Client), client
    return client


def place(link: Any, name: str = "") -> Any:
    return by_path(f"/public/{link.token}{f'/{name}' if name else ''}")


async def answer_of(w: World, link: Any, password: str = "") -> str:
    client = await enter(w, link, password)
    return client if isinstance(client, str) else "OK"


# Giving


@case("a link says what, by whom, and its token", ["OK", "the file", "einstein", True, False])
async def _(w: World) -> list[Any]:
    ref = await w.file()
    answer = await w.owner.call("CreatePublicShare", await request(w, ref))
    link = answer.share
    same = "the file" if link.resource_id.opaque_id == ref.resource_id.opaque_id else str(link.resource_id)
    creator = "einstein" if link.creator.opaque_id == w.owner.user.id.opaque_id else link.creator.opaque_id
    return [code(answer), same, creator, len(link.token) >= 15, link.password_protected]


@case("its name, its end, and that it has a password", ["press", True, True])
async def _(w: World) -> list[Any]:
    until = int(time.time()) + 3600
    link = await make(w, await w.file(), password=PASSWORD, ends=until)
    return [link.display_name, link.expiration.seconds == until, link.password_protected]


@case("two links of the same file", ["OK", 2])
async def _(w: World) -> list[Any]:
    ref = await w.file()
    await make(w, ref)
    again = await w.owner.ask("CreatePublicShare", await request(w, ref))
    return [again, len(await listed(w.owner, ref))]


@case("of what is not there", "grpc INTERNAL", v3=OneOf("OK", "NOT_FOUND"), why="v2 falls over; v3 looks since v3.12.2")
async def _(w: World) -> str:
    from cs3.storage.provider.v1beta1 import provider_api_pb2 as files

    ref = await w.file()
    asked = await request(w, ref)
    await w.owner.ok("Delete", files.DeleteRequest(ref=ref))
    return await w.owner.ask("CreatePublicShare", asked)


@case(
    "by a stranger, and by a receiver who may write",
    ["grpc INTERNAL", "INVALID_ARGUMENT"],
    v3=["OK", "OK"],
    why="v2 falls over what one cannot see; v3's local driver keeps nobody out",
)
async def _(w: World) -> list[str]:
    ref = await w.file()
    await w.share(ref, w.marie, editor=True)
    asked = await request(w, ref)
    return [await client.ask("CreatePublicShare", asked) for client in (w.richard, w.marie)]


@case("that has ended before it began", "INVALID_ARGUMENT", v3="OK", why="v3 does not look")
async def _(w: World) -> str:
    return await w.owner.ask("CreatePublicShare", await request(w, await w.file(), ends=time.time() - 60))


# Seeing


@case("the links of a file, as its owner and as others see them", [1, 0], v3=[1, 1], why=MINDLESS)
async def _(w: World) -> list[int]:
    ref = await w.file()
    await make(w, ref)
    await make(w, await w.file(name="other"))
    return [len(await listed(w.owner, ref)), len(await listed(w.richard, ref))]


@case("one link by its id, and an unknown one", ["OK", "NOT_FOUND"])
async def _(w: World) -> list[str]:
    link = await make(w, await w.file())
    unknown = types.PublicShareReference(id=types.PublicShareId(opaque_id="unknown"))
    return [await w.owner.ask("GetPublicShare", api.GetPublicShareRequest(ref=ref)) for ref in (of(link), unknown)]


@case("a link by its token, with and without its password", ["OK", "PERMISSION_DENIED", "NOT_FOUND"])
async def _(w: World) -> list[str]:
    link = await make(w, await w.file(), password=PASSWORD)
    tokens = ((link.token, PASSWORD), (link.token, "guessed"), ("unknown", ""))
    asked = [
        api.GetPublicShareByTokenRequest(token=token, authentication=types.PublicShareAuthentication(password=password))
        for token, password in tokens
    ]
    return [await w.here.nobody.ask("GetPublicShareByToken", one) for one in asked]


# Using


@case("whoever has it reads the file under /public", ["OK", "first", "first"])
async def _(w: World) -> list[str]:
    ref = await w.file()
    link = await make(w, ref)
    client = await guest(w, link)
    return [await client.seen(place(link)), await _content(client, place(link)), await _content(client, ref)]


async def _content(client: Client, ref: Any) -> str:
    try:
        status, body = await client.fetch(ref)
    except AssertionError as error:
        return str(error.args[0][1].code) if error.args else "refused"
    except Fault as fault:
        return f"grpc {fault.code}"
    return body.decode() if status == 200 else f"HTTP {status}"


@case(
    "the login is the owner's, for one link",
    ["einstein", ["publicshare"], [3]],
    v3=["", ["publicshare"], [3]],
    why="v3 says the id only",
)
async def _(w: World) -> list[Any]:
    import jwt

    answer = await w.here.nobody.authenticate("publicshares", (await make(w, await w.file())).token, "password|")
    claims = jwt.decode(answer.token, options={"verify_signature": False})
    scope = claims["scope"]
    kinds = sorted({key.partition(":")[0] for key in scope})
    return [claims["user"].get("username", ""), kinds, sorted({entry["role"] for entry in scope.values()})]


@case("a password: right, wrong, none", ["OK", "PERMISSION_DENIED", "PERMISSION_DENIED"])
async def _(w: World) -> list[str]:
    link = await make(w, await w.file(), password=PASSWORD)
    return [await answer_of(w, link, password) for password in (PASSWORD, "guessed", "")]


@case("an unknown link", "NOT_FOUND")
async def _(w: World) -> str:
    return await answer_of(w, types.PublicShare(token="unknown"))


@case("a link to read is not written", "PERMISSION_DENIED", v3="grpc PERMISSION_DENIED", why=BY_SCOPE)
async def _(w: World) -> str:
    link = await make(w, await w.file())
    return await (await guest(w, link)).may_upload(place(link))


@case("a link to write is written", ["OK", "theirs"])
async def _(w: World) -> list[str]:
    ref = await w.file()
    link = await make(w, ref, editor=True)
    return [await (await guest(w, link)).upload(place(link), b"theirs"), await w.owner.read(ref)]


@case("what is in a folder", ["OK", ["file.ipynb"], "first"])
async def _(w: World) -> list[Any]:
    folder = await w.dir()
    await w.file(name="dir/file.ipynb")
    link = await make(w, folder)
    client = await guest(w, link)
    seen = await client.seen(place(link, "file.ipynb"))
    return [seen, await client.names(place(link)), await _content(client, place(link, "file.ipynb"))]


@case(
    "what is beside it is not seen, by id and by path",
    ["NOT_FOUND", "NOT_FOUND"],
    v3=["grpc PERMISSION_DENIED"] * 2,
    why=BY_SCOPE,
)
async def _(w: World) -> list[str]:
    beside = await w.file(name="beside")
    client = await guest(w, await make(w, await w.file()))
    return [await client.seen(beside), await client.seen(w.at("beside"))]


# Changing and ending


async def _change(w: World, link: Any, change: Any) -> Any:
    return (await w.owner.ok("UpdatePublicShare", api.UpdatePublicShareRequest(ref=of(link), update=change))).share


@case("a password is set and taken away", ["PERMISSION_DENIED", "OK", "OK"])
async def _(w: World) -> list[str]:
    link = await make(w, await w.file())
    await _change(w, link, _Update(type=_Update.TYPE_PASSWORD, grant=types.Grant(password=PASSWORD)))
    seen = [await answer_of(w, link), await answer_of(w, link, PASSWORD)]
    await _change(w, link, _Update(type=_Update.TYPE_PASSWORD, grant=types.Grant(password="")))
    return [*seen, await answer_of(w, link)]


@case("its name and its end are changed", ["all", True, False])
async def _(w: World) -> list[Any]:
    link = await make(w, await w.file())
    until = int(time.time()) + 3600
    named = await _change(w, link, _Update(type=_Update.TYPE_DISPLAYNAME, display_name="all"))
    ended = await _change(w, link, _Update(type=_Update.TYPE_EXPIRATION, grant=grant(ends=until)))
    endless = await _change(w, link, _Update(type=_Update.TYPE_EXPIRATION, grant=types.Grant()))
    return [named.display_name, ended.expiration.seconds == until, endless.HasField("expiration")]


@case("from reading to writing", ["PERMISSION_DENIED", "OK"], v3=["grpc PERMISSION_DENIED", "OK"], why=BY_SCOPE)
async def _(w: World) -> list[str]:
    link = await make(w, await w.file())
    before = await (await guest(w, link)).may_upload(place(link))
    await _change(w, link, _Update(type=_Update.TYPE_PERMISSIONS, grant=grant(editor=True)))
    return [before, await (await guest(w, link)).may_upload(place(link))]


@case(
    "a removed link: the list, a new login, the old one, and again",
    ["OK", 0, "NOT_FOUND", "NOT_FOUND", "grpc UNKNOWN"],
    v3=["OK", 0, "NOT_FOUND", "NOT_FOUND", OneOf("OK", "NOT_FOUND")],
    why="v2 passes on the refusal of its share manager, whatever it is; v3 looks since v3.12.2",
)
async def _(w: World) -> list[Any]:
    ref = await w.file()
    link = await make(w, ref)
    client = await guest(w, link)
    removed = await w.owner.ask("RemovePublicShare", api.RemovePublicShareRequest(ref=of(link)))
    again = await w.owner.ask("RemovePublicShare", api.RemovePublicShareRequest(ref=of(link)))
    return [removed, len(await listed(w.owner, ref)), await answer_of(w, link), await client.seen(place(link)), again]


@case("nobody else removes it", ["grpc INTERNAL", "OK"], v3=["OK", "NOT_FOUND"], why=MINDLESS)
async def _(w: World) -> list[str]:
    link = await make(w, await w.file())
    removed = await w.richard.ask("RemovePublicShare", api.RemovePublicShareRequest(ref=of(link)))
    return [removed, await answer_of(w, link)]
