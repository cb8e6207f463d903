"""Logging in, who one is, and what every call says to a token that is no good."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import jwt
from conformance.cs3.cases import Area
from conformance.cs3.locks import lock
from conformance.cs3.wire import Client, Fault, by_path, code, role
from conformance.cs3.world import World
from cs3.auth.applications.v1beta1 import applications_api_pb2 as applications
from cs3.auth.provider.v1beta1 import resources_pb2 as scopes
from cs3.gateway.v1beta1 import gateway_api_pb2 as gw
from cs3.identity.group.v1beta1 import group_api_pb2 as groups
from cs3.identity.user.v1beta1 import resources_pb2 as identity
from cs3.identity.user.v1beta1 import user_api_pb2 as users
from cs3.ocm.invite.v1beta1 import invite_api_pb2 as invites
from cs3.ocm.invite.v1beta1 import resources_pb2 as invite_types
from cs3.ocm.provider.v1beta1 import provider_api_pb2 as mesh
from cs3.ocm.provider.v1beta1 import resources_pb2 as mesh_types
from cs3.sharing.collaboration.v1beta1 import collaboration_api_pb2 as local
from cs3.sharing.collaboration.v1beta1 import resources_pb2 as local_types
from cs3.sharing.ocm.v1beta1 import ocm_api_pb2 as ocm
from cs3.sharing.ocm.v1beta1 import resources_pb2 as ocm_types
from cs3.storage.provider.v1beta1 import provider_api_pb2 as api
from cs3.storage.provider.v1beta1 import resources_pb2 as storage
from cs3.storage.provider.v1beta1 import spaces_api_pb2 as spaces
from cs3.types.v1beta1 import types_pb2
from google.protobuf.field_mask_pb2 import FieldMask

case = Area("auth")

UNKNOWN: Final = "v3 proves the token before the call; v2 lets it through, and each service finds nobody there in its own way"
APP_CODES: Final = "each line has another code for a wrong application password"
BEARER_CODES: Final = "each line has another code for a token that the identity provider does not take"
NO_SERVICE: Final = "v3 has no service accounts"


async def _login(w: World, kind: str, client_id: str, secret: str) -> str:
    try:
        return code(await w.here.nobody.authenticate(kind, client_id, secret))
    except Fault as fault:
        return f"grpc {fault.code}"


@case("name and password", ["OK", "einstein", "Albert Einstein", "einstein@example.org"])
async def _(w: World) -> list[str]:
    answer = await w.here.nobody.authenticate("basic", "einstein", w.here.endpoint.users["einstein"])
    return [code(answer), answer.user.username, answer.user.display_name, answer.user.mail]


@case("a token is a JWT that says whose it is, for how long, and for what", ["aud", "exp", "iat", "iss", "scope", "user"])
async def _(w: World) -> list[str]:
    claims = jwt.decode(w.owner.token, options={"verify_signature": False})
    assert claims["exp"] > time.time()
    assert list(claims["scope"]) == ["user"]
    return sorted(claims)


@case("a wrong password", "PERMISSION_DENIED")
async def _(w: World) -> str:
    return await _login(w, "basic", "einstein", "wrong")


@case("an empty password", "PERMISSION_DENIED")
async def _(w: World) -> str:
    return await _login(w, "basic", "einstein", "")


@case("an unknown user", "PERMISSION_DENIED")
async def _(w: World) -> str:
    return await _login(w, "basic", "nobody", "wrong")


@case("an unknown kind of login", "INTERNAL")
async def _(w: World) -> str:
    return await _login(w, "no-such-kind", "einstein", "wrong")


@case("a machine for a user by name", "OK")
async def _(w: World) -> str:
    return await _login(w, "machine", "einstein", w.here.endpoint.machine_secret)


@case("a machine for a user by id", "OK", v3="NOT_FOUND", why="v3's json users know no claim 'userid'")
async def _(w: World) -> str:
    return await _login(w, "machine", f"userid:{w.owner.user.id.opaque_id}", w.here.endpoint.machine_secret)


@case("a machine for a user by mail", "OK")
async def _(w: World) -> str:
    return await _login(w, "machine", "mail:einstein@example.org", w.here.endpoint.machine_secret)


@case("a machine with a wrong secret", "PERMISSION_DENIED")
async def _(w: World) -> str:
    return await _login(w, "machine", "einstein", "wrong")


@case("a machine for an unknown user", "NOT_FOUND")
async def _(w: World) -> str:
    return await _login(w, "machine", "nobody", w.here.endpoint.machine_secret)


@case("a machine's login is the user's", ["einstein", "OK"])
async def _(w: World) -> list[str]:
    client = await w.here.nobody.login("machine", "einstein", w.here.endpoint.machine_secret)
    return [client.user.username, await client.seen(w.folder)]


@case("a service account", "OK", v3="INTERNAL", why=NO_SERVICE)
async def _(w: World) -> str:
    return await _login(w, "serviceaccounts", *w.here.endpoint.service_account)


@case("a service account with a wrong secret", "INTERNAL")
async def _(w: World) -> str:
    return await _login(w, "serviceaccounts", w.here.endpoint.service_account[0], "wrong")


@case("an unknown service account", "INTERNAL")
async def _(w: World) -> str:
    return await _login(w, "serviceaccounts", "nobody", w.here.endpoint.service_account[1])


@case("a service account reads and writes everybody's files", ["first", "OK", "OK"], v3="none", why=NO_SERVICE)
async def _(w: World) -> Any:
    answer = await w.here.nobody.authenticate("serviceaccounts", *w.here.endpoint.service_account)
    if code(answer) != "OK":
        return "none"
    service, ref = w.owner.with_token(answer.token), await w.file()
    content = await service.read(ref)
    locked = await service.ask("SetLock", api.SetLockRequest(ref=ref, lock=lock()))
    return [content, locked, await service.upload(ref, b"service", lock_id="one")]


# An identity provider


def _token(w: World, name: str, *, life_s: float = 300.0, user: Any = None) -> str:
    provider = w.here.endpoint.provider
    assert provider is not None
    return provider(user.id.opaque_id if user else f"id-of-{name}", name, life_s)


@case("a token of the identity provider", ["OK", "einstein", True, "OK"])
async def _(w: World) -> list[Any]:
    answer = await w.here.nobody.authenticate("bearer", "", _token(w, "einstein", user=w.owner.user))
    client = w.owner.with_token(answer.token)
    return [code(answer), answer.user.username, answer.user.id == w.owner.user.id, await client.upload(w.at("new"), b"new")]


@case(
    "it says name and mail",
    ["Einstein", "einstein@example.org"],
    v3=["Albert Einstein", "einstein@example.org"],
    why="v3 takes the name from its own account",
)
async def _(w: World) -> list[str]:
    user = (await w.here.nobody.authenticate("bearer", "", _token(w, "einstein", user=w.owner.user))).user
    return [user.display_name, user.mail]


@case("it is exchanged for another, which says whose it is", [True, "einstein"])
async def _(w: World) -> list[Any]:
    token = _token(w, "einstein", user=w.owner.user)
    answer = await w.here.nobody.authenticate("bearer", "", token)
    who = await w.owner.with_token(answer.token).call("WhoAmI", _who(answer.token))
    return [answer.token != token, who.user.username]


@case("one of somebody whom the gateway does not know", "INTERNAL", v3="UNAUTHENTICATED", why=BEARER_CODES)
async def _(w: World) -> str:
    return await _login(w, "bearer", "", _token(w, "nobody"))


@case(
    "one made up, expired, empty, of the gateway itself",
    ["INTERNAL"] * 4,
    v3=["UNAUTHENTICATED"] * 4,
    why=BEARER_CODES,
)
async def _(w: World) -> list[str]:
    wrong = ("made up", _token(w, "einstein", user=w.owner.user, life_s=-60.0), "", w.owner.token)
    return [await _login(w, "bearer", "", token) for token in wrong]


@case("the provider's token itself is no token of the gateway", "UNAUTHENTICATED", v3="grpc PERMISSION_DENIED", why=UNKNOWN)
async def _(w: World) -> str:
    token = _token(w, "einstein", user=w.owner.user)
    return await w.owner.with_token(token).ask("WhoAmI", _who(token))


# Application passwords


def _wish(label: str, expires_in_s: float | None = None) -> Any:
    scope = scopes.Scope(
        resource=types_pb2.OpaqueEntry(decoder="json", value=b'{"path":"/"}'),
        role=scopes.ROLE_OWNER,
    )
    request = applications.GenerateAppPasswordRequest(label=label, token_scope={"user": scope})
    if expires_in_s is not None:
        request.expiration.seconds = int(time.time() + expires_in_s)
    return request


@case(
    "an application password by user name, by id, and a wrong one",
    ["OK", "NOT_FOUND", "NOT_FOUND"],
    v3=["OK", "OK", "UNAUTHENTICATED"],  # there the id is the name
    older=["OK", "NOT_FOUND", "INTERNAL"],
    why=APP_CODES,
)
async def _(w: World) -> list[str]:
    password = (await w.owner.ok("GenerateAppPassword", _wish("one"))).app_password.password
    return [
        await _login(w, "appauth", "einstein", password),
        await _login(w, "appauth", w.owner.user.id.opaque_id, password),
        await _login(w, "appauth", "einstein", "wrong"),
    ]


@case("an application password of somebody else", "NOT_FOUND", v3="UNAUTHENTICATED", older="INTERNAL", why=APP_CODES)
async def _(w: World) -> str:
    password = (await w.owner.ok("GenerateAppPassword", _wish("two"))).app_password.password
    return await _login(w, "appauth", "marie", password)


@case("an application password that has expired", "NOT_FOUND", v3="UNAUTHENTICATED", older="INTERNAL", why=APP_CODES)
async def _(w: World) -> str:
    password = (await w.owner.ok("GenerateAppPassword", _wish("three", -10))).app_password.password
    return await _login(w, "appauth", "einstein", password)


@case(
    "an application password that was taken back",
    ["OK", "NOT_FOUND"],
    v3=["OK", "UNAUTHENTICATED"],
    older=["OK", "INTERNAL"],
    why=APP_CODES,
)
async def _(w: World) -> list[str]:
    made = (await w.owner.ok("GenerateAppPassword", _wish("four"))).app_password
    listed = (await w.owner.ok("ListAppPasswords", applications.ListAppPasswordsRequest())).app_passwords
    stored = next(p.password for p in listed if p.label == "four")
    taken = await w.owner.ask("InvalidateAppPassword", applications.InvalidateAppPasswordRequest(password=stored))
    return [taken, await _login(w, "appauth", "einstein", made.password)]


@case("an application password's login reads and writes", ["einstein", "OK"])
async def _(w: World) -> list[str]:
    password = (await w.owner.ok("GenerateAppPassword", _wish("five"))).app_password.password
    client = await w.here.nobody.login("appauth", "einstein", password)
    return [client.user.username, await client.upload(w.at("new"), b"new")]


# Who one is


def _who(token: str) -> Any:
    return gw.WhoAmIRequest(token=token)


@case("WhoAmI", ["OK", "einstein", "Albert Einstein", "einstein@example.org"])
async def _(w: World) -> list[str]:
    answer = await w.owner.call("WhoAmI", _who(w.owner.token))
    return [code(answer), answer.user.username, answer.user.display_name, answer.user.mail]


@case("WhoAmI needs no login beside the token in the request", "OK", v3="grpc UNAUTHENTICATED", why=UNKNOWN)
async def _(w: World) -> str:
    return await w.here.nobody.ask("WhoAmI", _who(w.owner.token))


@case(
    "WhoAmI of an expired, a forged and a broken token", ["UNAUTHENTICATED"] * 3, v3=["grpc UNAUTHENTICATED"] * 3, why=UNKNOWN
)
async def _(w: World) -> list[str]:
    tokens = (w.expired().token, w.forged().token, "broken")
    return [await w.here.nobody.ask("WhoAmI", _who(token)) for token in tokens]


@case("WhoAmI with that token as login too", ["UNAUTHENTICATED"] * 3, v3=["grpc PERMISSION_DENIED"] * 3, why=UNKNOWN)
async def _(w: World) -> list[str]:
    clients = (w.expired(), w.forged(), w.owner.with_token("broken"))
    return [await client.ask("WhoAmI", _who(client.token)) for client in clients]


# Every call with a token that is no good

NO_SHARE: Final = local_types.ShareReference(id=local_types.ShareId(opaque_id="none"))
NO_OCM_SHARE: Final = ocm_types.ShareReference(id=ocm_types.ShareId(opaque_id="none"))
Ask = Callable[[Any, World], Any]
CALLS: Final[dict[str, Ask]] = {
    "Stat": lambda ref, w: api.StatRequest(ref=ref),
    "ListContainer": lambda ref, w: api.ListContainerRequest(ref=w.folder),
    "CreateContainer": lambda ref, w: api.CreateContainerRequest(ref=w.at("new")),
    "TouchFile": lambda ref, w: api.TouchFileRequest(ref=w.at("new")),
    "Delete": lambda ref, w: api.DeleteRequest(ref=ref),
    "Move": lambda ref, w: api.MoveRequest(source=ref, destination=w.at("new")),
    "GetPath": lambda ref, w: api.GetPathRequest(resource_id=ref.resource_id),
    "GetHome": lambda ref, w: api.GetHomeRequest(),
    "CreateHome": lambda ref, w: api.CreateHomeRequest(),
    "ListStorageSpaces": lambda ref, w: spaces.ListStorageSpacesRequest(),
    "InitiateFileUpload": lambda ref, w: api.InitiateFileUploadRequest(ref=ref),
    "InitiateFileDownload": lambda ref, w: api.InitiateFileDownloadRequest(ref=ref),
    "SetLock": lambda ref, w: api.SetLockRequest(ref=ref, lock=lock()),
    "GetLock": lambda ref, w: api.GetLockRequest(ref=ref),
    "RefreshLock": lambda ref, w: api.RefreshLockRequest(ref=ref, lock=lock()),
    "Unlock": lambda ref, w: api.UnlockRequest(ref=ref, lock=lock()),
    "SetArbitraryMetadata": lambda ref, w: api.SetArbitraryMetadataRequest(
        ref=ref, arbitrary_metadata=storage.ArbitraryMetadata(metadata={"a": "b"})
    ),
    "UnsetArbitraryMetadata": lambda ref, w: api.UnsetArbitraryMetadataRequest(ref=ref, arbitrary_metadata_keys=["a"]),
    "ListFileVersions": lambda ref, w: api.ListFileVersionsRequest(ref=ref),
    "RestoreFileVersion": lambda ref, w: api.RestoreFileVersionRequest(ref=ref, key="none"),
    "ListRecycle": lambda ref, w: api.ListRecycleRequest(ref=w.folder),
    "RestoreRecycleItem": lambda ref, w: api.RestoreRecycleItemRequest(ref=w.folder, key="none", restore_ref=w.at("new")),
    "GetUser": lambda ref, w: users.GetUserRequest(user_id=w.marie.user.id),
    "GetUserByClaim": lambda ref, w: users.GetUserByClaimRequest(claim="username", value="marie"),
    "FindUsers": lambda ref, w: users.FindUsersRequest(filters=[users.Filter(type=users.Filter.TYPE_QUERY, query="marie")]),
    "ListShares": lambda ref, w: local.ListSharesRequest(),
    "ListReceivedShares": lambda ref, w: local.ListReceivedSharesRequest(),
    "GenerateInviteToken": lambda ref, w: invites.GenerateInviteTokenRequest(),
    "FindAcceptedUsers": lambda ref, w: invites.FindAcceptedUsersRequest(),
    "GetInfoByDomain": lambda ref, w: mesh.GetInfoByDomainRequest(domain=w.away.endpoint.domain),
    "ListAllProviders": lambda ref, w: mesh.ListAllProvidersRequest(),
    "ListOCMShares": lambda ref, w: ocm.ListOCMSharesRequest(),
    "ListReceivedOCMShares": lambda ref, w: ocm.ListReceivedOCMSharesRequest(),
    "PurgeRecycle": lambda ref, w: api.PurgeRecycleRequest(ref=w.folder, key="none"),
    "CreateShare": lambda ref, w: local.CreateShareRequest(resource_info=storage.ResourceInfo(id=ref.resource_id)),
    "GetShare": lambda ref, w: local.GetShareRequest(ref=NO_SHARE),
    "UpdateShare": lambda ref, w: local.UpdateShareRequest(
        ref=NO_SHARE, share=local_types.Share(id=NO_SHARE.id), update_mask=FieldMask(paths=["permissions"])
    ),
    "RemoveShare": lambda ref, w: local.RemoveShareRequest(ref=NO_SHARE),
    "GetReceivedShare": lambda ref, w: local.GetReceivedShareRequest(ref=NO_SHARE),
    "UpdateReceivedShare": lambda ref, w: local.UpdateReceivedShareRequest(
        share=local_types.ReceivedShare(share=local_types.Share(id=NO_SHARE.id)), update_mask=FieldMask(paths=["state"])
    ),
    "FindGroups": lambda ref, w: groups.FindGroupsRequest(filters=[groups.Filter(type=groups.Filter.TYPE_QUERY, query="phys")]),
    "ListInviteTokens": lambda ref, w: invites.ListInviteTokensRequest(),
    "ForwardInvite": lambda ref, w: invites.ForwardInviteRequest(
        invite_token=invite_types.InviteToken(token="none"),
        origin_system_provider=mesh_types.ProviderInfo(domain=w.away.endpoint.domain),
    ),
    "CreateOCMShare": lambda ref, w: ocm.CreateOCMShareRequest(
        resource_id=ref.resource_id,
        grantee=storage.Grantee(
            type=storage.GRANTEE_TYPE_USER,
            user_id=identity.UserId(opaque_id="none", idp=w.away.endpoint.domain, type=identity.USER_TYPE_FEDERATED),
        ),
        recipient_mesh_provider=mesh_types.ProviderInfo(domain=w.away.endpoint.domain, name=w.away.endpoint.domain),
        access_methods=[ocm_types.AccessMethod(webdav_options=ocm_types.WebDAVAccessMethod(permissions=role(editor=False)))],
    ),
    "GetOCMShare": lambda ref, w: ocm.GetOCMShareRequest(ref=NO_OCM_SHARE),
    "RemoveOCMShare": lambda ref, w: ocm.RemoveOCMShareRequest(ref=NO_OCM_SHARE),
    "GetReceivedOCMShare": lambda ref, w: ocm.GetReceivedOCMShareRequest(ref=NO_OCM_SHARE),
    "UpdateReceivedOCMShare": lambda ref, w: ocm.UpdateReceivedOCMShareRequest(
        share=ocm_types.ReceivedShare(id=NO_OCM_SHARE.id), update_mask=FieldMask(paths=["state"])
    ),
    "GenerateAppPassword": lambda ref, w: _wish("none"),
}

FAULT: Final = "grpc PERMISSION_DENIED"
_LOOKS: Final = ("Stat", "ListContainer")
_FOR_ALL: Final = ("GetUser", "GetUserByClaim", "ListAllProviders")
_STORAGE: Final = (
    "CreateContainer", "TouchFile", "Delete", "Move", "GetPath", "InitiateFileUpload", "InitiateFileDownload", "SetLock",
    "GetLock", "RefreshLock", "Unlock", "SetArbitraryMetadata", "UnsetArbitraryMetadata", "ListFileVersions",
    "RestoreFileVersion", "ListRecycle", "RestoreRecycleItem", "PurgeRecycle",
)  # fmt: skip
EXPIRED: Final = {
    **dict.fromkeys(CALLS, FAULT),
    **dict.fromkeys(_STORAGE, "PERMISSION_DENIED"),
    **dict.fromkeys(_LOOKS, "NOT_FOUND"),
    **dict.fromkeys(_FOR_ALL, "OK"),
    **dict.fromkeys(("ListStorageSpaces", "UpdateShare", "UpdateReceivedOCMShare"), "INTERNAL"),
    "GetHome": "grpc UNKNOWN",
    "CreateHome": "PERMISSION_DENIED",
}
"""What v2 answers to an expired token. None of it says that the token is why, and some of it that the file is gone."""

WITHOUT: Final = {
    **{method: "grpc UNAUTHENTICATED" for method, answer in EXPIRED.items() if answer == FAULT},
    **dict.fromkeys(_STORAGE, "UNAUTHENTICATED"),
}
"""What v2 answers to no token at all, where that is not the same."""

Nobody = Callable[[World], Client]
NOBODIES: Final[dict[str, Nobody]] = {
    "an expired token": lambda w: w.expired(),
    "a forged token": lambda w: w.forged(),
    "no token": lambda w: w.owner.with_token(""),
}


def _bad(method: str, ask: Ask, who: str) -> None:
    v2 = EXPIRED[method] if who != "no token" else WITHOUT.get(method, EXPIRED[method])
    v3 = v2 if method in _FOR_ALL else "grpc UNAUTHENTICATED" if who == "no token" else FAULT

    async def run(w: World) -> str:
        ref = await w.file()
        return await NOBODIES[who](w).ask(method, ask(ref, w))

    case(f"{method} with {who}", v2, v3=v3, why=UNKNOWN if v2 != v3 else "")(run)


for _method, _ask in CALLS.items():
    for _who_asks in NOBODIES:
        _bad(_method, _ask, _who_asks)


@case("what a bad token asked for has not happened", ["first", ["file.ipynb"]])
async def _(w: World) -> list[Any]:
    ref = await w.file()
    for client in (w.expired(), w.forged()):
        for method in ("CreateContainer", "TouchFile", "Delete", "Move", "SetLock"):
            await client.ask(method, CALLS[method](ref, w))
    return [await w.owner.read(ref), await w.owner.names(w.folder)]


@case(
    "a missing file cannot be told from a bad token by Stat",
    ["NOT_FOUND", "NOT_FOUND"],
    v3=["NOT_FOUND", "grpc PERMISSION_DENIED"],
    why=UNKNOWN,
)
async def _(w: World) -> list[str]:
    missing = by_path(f"{w.folder.path}/missing")
    return [await w.owner.seen(missing), await w.expired().seen(w.folder)]
