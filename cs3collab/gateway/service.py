"""The GatewayAPI on the wire: finds the caller, runs the handler, turns refusals into status codes.

Methods that are not in the table are answered UNIMPLEMENTED by gRPC itself.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import grpc
from cs3.gateway.v1beta1 import gateway_api_pb2
from google.protobuf.message_factory import GetMessageClass

from cs3collab.errors import NotAuthenticated
from cs3collab.gateway import (
    files,
    history,
    identity,
    links,
    local_calls,
    locking,
    mesh,
    ocm,
    remote,
    sharing,
    status,
    transfers,
)
from cs3collab.gateway.access import Caller
from cs3collab.gateway.files import Fields
from cs3collab.gateway.local import Local
from cs3collab.gateway.site import Site
from cs3collab.gateway.status import Fault, Refused, denied
from cs3collab.gateway.view import View

log = logging.getLogger(__name__)

TOKEN_KEY: Final = "x-access-token"
_SERVICE: Final = gateway_api_pb2.DESCRIPTOR.services_by_name["GatewayAPI"]


Code = int | grpc.StatusCode
"""In the response's status, or as a gRPC error."""


@dataclass(frozen=True, slots=True)
class Nobody:
    """How a bad or expired token is answered, and no token: as Reva 2.48 does, which differs by call."""

    bad: Code
    none: Code


FAULT: Final = Nobody(grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)
MISSING: Final = Nobody(status.NOT_FOUND, status.NOT_FOUND)
DENIED: Final = Nobody(status.PERMISSION_DENIED, status.UNAUTHENTICATED)
CONFUSED: Final = Nobody(status.INTERNAL, status.INTERNAL)
UNPROVEN: Final = Nobody(status.UNAUTHENTICATED, status.UNAUTHENTICATED)
HOMELESS: Final = Nobody(grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNKNOWN)


Run = Callable[[Site, Caller | None, Any], Awaitable[Fields]]


@dataclass(frozen=True, slots=True)
class Method:
    """``login`` false: needs no token. ``scoped``: also for the token of one OCM share."""

    run: Run
    nobody: Nobody = FAULT
    login: bool = True
    scoped: bool = False


def in_view(handler: Callable[[View, Any], Fields], nobody: Nobody = FAULT, *, scoped: bool = False) -> Method:
    """A handler that sees the site as the caller does, in the index thread."""

    async def run(site: Site, caller: Caller | None, request: Any) -> Fields:
        assert caller is not None
        return await site.run(lambda: handler(View(site, caller), request))

    return Method(run, nobody, scoped=scoped)


def for_all(handler: Callable[[Site, Any], Fields]) -> Method:
    """A handler for which nobody must be logged in."""

    async def run(site: Site, caller: Caller | None, request: Any) -> Fields:
        return await site.run(lambda: handler(site, request))

    return Method(run, UNPROVEN, login=False, scoped=True)


def _seen(handler: Callable[[View, Any], Fields]) -> Method:
    return in_view(handler, MISSING, scoped=True)


def _done(handler: Callable[[View, Any], Fields]) -> Method:
    return in_view(handler, DENIED, scoped=True)


def _changing(handler: Callable[[View, Any], Fields]) -> Method:
    """Not for the login of a viewer, whatever the grant on the file: of changes Reva v2 lets it lock only."""

    def judged(view: View, request: Any) -> Fields:
        if view.caller.share_id and not view.caller.editor:
            raise denied("auth: the token is for reading only")
        return handler(view, request)

    return _done(judged)


def _or_remote(name: str, here: Method) -> Method:
    """Goes on to the home site for what other sites shared."""

    async def run(site: Site, caller: Caller | None, request: Any) -> Fields:
        if caller is not None and remote.is_remote(request.ref):
            return await remote.forward(site, caller, name, request)
        return await here.run(site, caller, request)

    return replace(here, run=run)


METHODS: Final[dict[str, Method]] = {
    "Authenticate": Method(identity.authenticate, UNPROVEN, login=False, scoped=True),
    "WhoAmI": for_all(identity.who_am_i),
    "ListAuthProviders": for_all(identity.list_auth_providers),
    "GetUser": for_all(identity.get_user),
    "GetUserByClaim": for_all(identity.get_user_by_claim),
    "FindUsers": in_view(identity.find_users),
    "FindGroups": in_view(identity.find_groups),
    "GetGroup": for_all(identity.get_group),
    "GenerateAppPassword": in_view(identity.generate_app_password),
    "ListAppPasswords": in_view(identity.list_app_passwords),
    "InvalidateAppPassword": in_view(identity.invalidate_app_password),
    "Stat": _or_remote("Stat", _seen(files.stat)),
    "ListContainer": _or_remote("ListContainer", _seen(files.list_container)),
    "GetPath": _done(files.get_path),
    "GetQuota": _seen(files.get_quota),
    "CreateContainer": _or_remote("CreateContainer", _changing(files.create_container)),
    "TouchFile": _or_remote("TouchFile", _changing(files.touch_file)),
    "Delete": _or_remote("Delete", _changing(files.delete)),
    "Move": _changing(files.move),
    "SetArbitraryMetadata": _changing(files.set_metadata),
    "UnsetArbitraryMetadata": _changing(files.unset_metadata),
    "InitiateFileUpload": _or_remote("InitiateFileUpload", _changing(transfers.initiate_upload)),
    "InitiateFileDownload": _or_remote("InitiateFileDownload", _done(transfers.initiate_download)),
    "SetLock": _done(locking.set_lock),
    "GetLock": _done(locking.get_lock),
    "RefreshLock": _done(locking.refresh_lock),
    "Unlock": _done(locking.unlock),
    "ListFileVersions": in_view(history.list_versions, DENIED),
    "RestoreFileVersion": _changing(history.restore_version),
    "ListRecycle": _done(history.list_recycle),
    "RestoreRecycleItem": _changing(history.restore_recycled),
    "PurgeRecycle": _changing(history.purge_recycle),
    "CreateShare": in_view(sharing.create_share),
    "RemoveShare": in_view(sharing.remove_share),
    "GetShare": in_view(sharing.get_share),
    "ListShares": in_view(sharing.list_shares),
    "UpdateShare": in_view(sharing.update_share, CONFUSED),
    "ListReceivedShares": in_view(sharing.list_received),
    "GetReceivedShare": in_view(sharing.get_received),
    "UpdateReceivedShare": in_view(sharing.update_received),
    "GetInfoByDomain": in_view(mesh.get_info_by_domain),
    "ListAllProviders": for_all(mesh.list_all_providers),
    "GenerateInviteToken": in_view(mesh.generate_invite_token),
    "ListInviteTokens": in_view(mesh.list_invite_tokens),
    "ForwardInvite": Method(mesh.forward_invite),
    "FindAcceptedUsers": in_view(mesh.find_accepted_users),
    "GetAcceptedUser": in_view(mesh.get_accepted_user),
    "DeleteAcceptedUser": in_view(mesh.delete_accepted_user),
    "CreatePublicShare": in_view(links.create),
    "GetPublicShare": in_view(links.get),
    "GetPublicShareByToken": for_all(links.get_by_token),
    "ListPublicShares": in_view(links.listed),
    "UpdatePublicShare": in_view(links.update),
    "RemovePublicShare": in_view(links.remove),
    "CreateOCMShare": Method(ocm.create_share),
    "GetOCMShare": in_view(ocm.get_share),
    "GetOCMShareByToken": for_all(ocm.get_share_by_token),
    "ListOCMShares": in_view(ocm.list_shares),
    "UpdateOCMShare": in_view(ocm.update_share),
    "RemoveOCMShare": in_view(ocm.remove_share),
    "ListReceivedOCMShares": in_view(ocm.list_received),
    "GetReceivedOCMShare": in_view(ocm.get_received),
    "UpdateReceivedOCMShare": in_view(ocm.update_received, CONFUSED),
    "GetHome": in_view(files.get_home, HOMELESS),
    "CreateHome": in_view(files.create_home, Nobody(status.PERMISSION_DENIED, status.PERMISSION_DENIED)),
    "ListStorageSpaces": in_view(files.list_spaces, CONFUSED),
}


def _in_local(name: str, handler: Callable[[Local, Any], Fields], *, scoped: bool = False) -> Method:
    """A handler of the profile without locks; a share's token is judged here, for the storage judges nobody."""

    def within(site: Site, caller: Caller, request: Any) -> Fields:
        local = Local(site, caller)
        if caller.share_id and not local_calls.in_scope(local, name, request):
            raise Fault(grpc.StatusCode.PERMISSION_DENIED, "auth: the token is for one share only")
        return handler(local, request)

    async def run(site: Site, caller: Caller | None, request: Any) -> Fields:
        assert caller is not None
        return await site.run(lambda: within(site, caller, request))

    return Method(run, scoped=scoped)


async def _who_am_i(site: Site, caller: Caller | None, request: Any) -> Fields:
    return identity.who_am_i(site, request)


_SCOPED: Final[dict[str, Callable[[Local, Any], Fields]]] = {
    "Stat": local_calls.stat,
    "ListContainer": local_calls.list_container,
    "CreateContainer": local_calls.create_container,
    "TouchFile": local_calls.touch_file,
    "Delete": local_calls.delete,
    "Move": local_calls.move,
    "SetArbitraryMetadata": local_calls.set_metadata,
    "UnsetArbitraryMetadata": local_calls.unset_metadata,
    "InitiateFileUpload": local_calls.initiate_upload,
    "InitiateFileDownload": local_calls.initiate_download,
    "SetLock": local_calls.no_locks,
    "GetLock": local_calls.no_locks,
    "RefreshLock": local_calls.no_locks,
    "Unlock": local_calls.no_locks,
}
_UNSCOPED: Final[dict[str, Callable[[Local, Any], Fields]]] = {
    "GetPath": local_calls.get_path,
    "GetQuota": local_calls.get_quota,
    "GetHome": local_calls.get_home,
    "CreateHome": local_calls.create_home,
    "ListStorageSpaces": local_calls.list_spaces,
    "ListFileVersions": local_calls.list_versions,
    "RestoreFileVersion": local_calls.restore_version,
    "ListRecycle": local_calls.list_recycle,
    "RestoreRecycleItem": local_calls.restore_recycled,
    "PurgeRecycle": local_calls.purge_recycle,
    "CreateShare": local_calls.create_share,
    "GetShare": local_calls.get_share,
    "ListShares": local_calls.list_shares,
    "UpdateShare": local_calls.update_share,
    "RemoveShare": local_calls.remove_share,
    "ListReceivedShares": local_calls.list_received,
    "GetReceivedShare": local_calls.get_received,
    "UpdateReceivedShare": local_calls.update_received,
}
NOLOCKS: Final[dict[str, Method]] = {
    **{name: replace(method, nobody=FAULT) for name, method in METHODS.items()},
    **{name: _in_local(name, handler, scoped=True) for name, handler in _SCOPED.items()},
    **{name: _in_local(name, handler) for name, handler in _UNSCOPED.items()},
    "WhoAmI": Method(_who_am_i),
}


class GatewayService:
    """Answers the calls of `METHODS` or `NOLOCKS` for one site."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._methods: Mapping[str, Method] = METHODS if site.config.locks else NOLOCKS

    def handler(self) -> Any:
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                self._answerer(name, method),
                request_deserializer=GetMessageClass(_SERVICE.methods_by_name[name].input_type).FromString,
                response_serializer=lambda message: message.SerializeToString(),
            )
            for name, method in self._methods.items()
        }
        return grpc.method_handlers_generic_handler(_SERVICE.full_name, handlers)

    def _answerer(self, name: str, method: Method) -> Callable[[Any, Any], Awaitable[Any]]:
        response = GetMessageClass(_SERVICE.methods_by_name[name].output_type)

        async def refuse(context: grpc.aio.ServicerContext[Any, Any], code: Code, message: str) -> Any:
            if isinstance(code, grpc.StatusCode):
                await context.abort(code, message)
            return response(status=status.status(code, message))

        async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            token = str(dict(context.invocation_metadata() or ()).get(TOKEN_KEY, ""))
            try:
                caller = self._caller(method, token)
                fields = await method.run(self._site, caller, request)
            except (Refused, Fault) as refused:
                return await refuse(context, refused.code, refused.message)
            except NotAuthenticated as error:
                return await refuse(context, method.nobody.bad if token else method.nobody.none, error.message)
            except OSError as error:
                return response(status=_disk(name, error))
            return response(status=status.status(status.OK), **fields)

        return answer

    def _caller(self, method: Method, token: str) -> Caller | None:
        if not method.login:
            return None
        if not token:
            raise NotAuthenticated("auth: no access token", hint="log in first")
        caller = identity.caller_of(self._site, token)
        if caller.share_id and not method.scoped:
            raise Fault(grpc.StatusCode.PERMISSION_DENIED, "auth: the token is for one share only")
        return caller


def _disk(name: str, error: OSError) -> Any:
    if status.no_space(error):
        return status.status(status.INSUFFICIENT_STORAGE, "no space left")
    if isinstance(error, FileNotFoundError):
        return status.status(status.NOT_FOUND, "gone meanwhile")
    log.error("%s: the disk refused: %s", name, error.strerror)
    return status.status(status.INTERNAL, f"the disk refused: {error.strerror}")
