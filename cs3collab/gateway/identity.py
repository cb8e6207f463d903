"""Logging in, and who is who."""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import Any, Final

from cs3.auth.applications.v1beta1 import resources_pb2 as applications
from cs3.identity.group.v1beta1 import resources_pb2 as group_pb
from cs3.identity.user.v1beta1 import resources_pb2 as identity
from cs3.sharing.ocm.v1beta1 import resources_pb2 as ocm

from cs3collab.errors import NotAuthenticated
from cs3collab.gateway import links, status
from cs3collab.gateway.access import Caller
from cs3collab.gateway.files import Fields
from cs3collab.gateway.rights import expired, is_editor
from cs3collab.gateway.site import Site
from cs3collab.gateway.status import INTERNAL, INVALID_ARGUMENT, Refused, denied, not_found
from cs3collab.gateway.tokens import OWNER_SCOPE, ocm_scope, scoped
from cs3collab.gateway.users import same
from cs3collab.gateway.view import View

TYPES: Final = ("appauth", "basic", "bearer", "machine", "ocmshares", "publicshares", "serviceaccounts")


_WRONG: Final = {
    True: {"appauth": status.NOT_FOUND, "bearer": status.INTERNAL, "ocmshares": status.INTERNAL},
    False: dict.fromkeys(("appauth", "bearer", "ocmshares"), status.UNAUTHENTICATED),
}
"""The code for a wrong secret, of Reva v2 and v3."""


def caller_of(site: Site, token: str) -> Caller:
    """Whose access token this is. Raises `NotAuthenticated`, also for a user who is no more in the users file."""
    claims = site.tokens.check(token)
    user = claims.user
    share = scoped(claims.scope)
    if share is not None:
        return Caller(user, share_id=share.share_id, editor=share.editor, resource=share.resource, link=share.link)
    if "user" not in claims.scope:
        raise NotAuthenticated("the token has no scope that is known here", hint="log in again")
    if user.id.type == identity.USER_TYPE_SERVICE and user.id.opaque_id in site.config.service_accounts:
        return Caller(user, service=True)
    known = site.users.get(user.id.opaque_id, user.id.idp)
    if known is None:
        raise NotAuthenticated("the user is not known any more", hint="log in with another account")
    return Caller(known, local=True)


async def authenticate(site: Site, caller: Caller | None, request: Any) -> Fields:
    """A token of the identity provider is shown to it first."""
    claims = await site.provider.claims(request.client_secret) if request.type == "bearer" else None
    return await site.run(lambda: _authenticate(site, request, claims))


def _authenticate(site: Site, request: Any, claims: dict[str, Any] | None) -> Fields:
    """Runs in the index thread. What is wrong has another code for each kind, and an unknown kind is INTERNAL, as in Reva."""
    wrong = _WRONG[site.config.locks]
    match request.type:
        case "basic":
            return _owner(site, site.users.login(request.client_id, request.client_secret))
        case "machine":
            return _owner(site, _machine(site, request.client_id, request.client_secret))
        case "appauth":
            return _owner(site, _app_password(site, request.client_id, request.client_secret), wrong["appauth"])
        case "serviceaccounts" if site.config.locks:
            return _owner(site, _service(site, request.client_id, request.client_secret), status.INTERNAL)
        case "bearer":
            return _owner(site, _claimed(site, claims or {}), wrong["bearer"])
        case "ocmshares":
            return _ocm_share(site, request.client_id, request.client_secret)
        case "publicshares":
            return links.login(site, request.client_id, request.client_secret)
    raise Refused(INTERNAL, f"auth: there is no provider for the type {request.type[:40]!r}")


def _owner(site: Site, user: Any | None, wrong: int = status.PERMISSION_DENIED) -> Fields:
    if user is None:
        raise Refused(wrong, "auth: unknown user or wrong secret")
    return {"token": site.tokens.mint(user, OWNER_SCOPE), "user": user}


def _machine(site: Site, client_id: str, secret: str) -> Any | None:
    if not site.config.machine_secret or not same(site.config.machine_secret, secret):
        return None
    claim, colon, value = client_id.partition(":")
    user = site.users.by_claim(claim, value) if colon else site.users.by_claim("username", client_id)
    if user is None or (claim == "userid" and colon and not site.config.locks):  # a claim that Reva v3 does not know
        raise not_found("auth: no such user")
    return user


def _service(site: Site, account: str, secret: str) -> Any | None:
    known = site.config.service_accounts.get(account)
    if not known or not same(known, secret):
        return None
    user_id = identity.UserId(opaque_id=account, idp=site.config.site, type=identity.USER_TYPE_SERVICE)
    return identity.User(id=user_id, username=account, display_name=account)


def _claimed(site: Site, claims: dict[str, Any]) -> Any | None:
    """The user that an identity provider means. Reva v2 takes name and mail from there, v3 from the account."""
    user = site.users.get(str(claims.get("sub", "")), str(claims.get("iss", "")))
    if user is not None and site.config.locks:
        user.display_name, user.mail = str(claims.get("name", "")), str(claims.get("email", ""))
    return user


def _ocm_share(site: Site, share_id: str, secret: str) -> Fields:
    row = site.index.one("SELECT proto FROM ocm_shares WHERE token = ?", secret)
    share = ocm.Share.FromString(row[0]) if row else None
    if share is None:  # its end is said and not kept to, as in all the models
        raise Refused(_WRONG[site.config.locks]["ocmshares"], "auth: no share has this secret")
    if share.id.opaque_id != share_id:
        raise denied("auth: the secret is of another share")
    editor = is_editor(share)
    grantee = share.grantee.user_id
    name = f"{grantee.opaque_id}@{grantee.idp}" if site.config.locks else grantee.opaque_id
    user = identity.User(
        id=identity.UserId(opaque_id=name, idp=grantee.idp, type=identity.USER_TYPE_FEDERATED),
        username=grantee.opaque_id,
        display_name=grantee.opaque_id,
    )
    row = site.index.one("SELECT proto FROM accepted WHERE remote = ?", f"{grantee.opaque_id}@{grantee.idp}")
    if row:
        known = identity.User.FromString(row[0])
        user.display_name, user.mail, user.username = known.display_name, known.mail, known.username or user.username
    user.opaque.map["ocm-share-role"].decoder = "plain"
    user.opaque.map["ocm-share-role"].value = b"editor" if editor else b"viewer"
    return {"token": site.tokens.mint(user, ocm_scope(share, editor=editor)), "user": user}


def who_am_i(site: Site, request: Any) -> Fields:
    return {"user": caller_of(site, request.token).user}


def list_auth_providers(site: Site, request: Any) -> Fields:
    return {"types": list(TYPES)}


def get_user(site: Site, request: Any) -> Fields:
    user = site.users.get(request.user_id.opaque_id, request.user_id.idp) or _federated(site, request.user_id)
    if user is None:
        raise not_found("no such user")
    return {"user": user}


def _federated(site: Site, user_id: Any) -> Any | None:
    remote = user_id.opaque_id if "@" in user_id.opaque_id else f"{user_id.opaque_id}@{user_id.idp}"
    row = site.index.one("SELECT proto FROM accepted WHERE remote = ?", remote)
    return identity.User.FromString(row[0]) if row else None


def get_user_by_claim(site: Site, request: Any) -> Fields:
    user = site.users.by_claim(request.claim, request.value)
    if user is None:
        raise not_found("no such user")
    return {"user": user}


def find_users(view: View, request: Any) -> Fields:
    found = view.site.users.find("")
    for wish in request.filters:
        match wish.WhichOneof("term"):
            case "query":
                wanted = {user.id.opaque_id for user in view.site.users.find(wish.query)}
                found = [user for user in found if user.id.opaque_id in wanted]
            case "usertype":
                found = [user for user in found if user.id.type == wish.usertype]
    return {"users": found}


def find_groups(view: View, request: Any) -> Fields:
    """By a part of the name; the groups are those that users are said to be in."""
    wanted = [wish.query.casefold() for wish in request.filters if wish.WhichOneof("term") == "query"]
    return {"groups": [g for g in _groups(view.site) if all(query in g.group_name.casefold() for query in wanted)]}


def get_group(site: Site, request: Any) -> Fields:
    group = next((g for g in _groups(site) if g.id.opaque_id == request.group_id.opaque_id), None)
    if group is None:
        raise not_found("no such group")
    return {"group": group}


def _groups(site: Site) -> list[Any]:
    names = sorted({name for user in site.config.users for name in user.groups})
    return [
        group_pb.Group(id=group_pb.GroupId(opaque_id=name, idp=site.config.site), group_name=name, display_name=name)
        for name in names
    ]


# Application passwords


def _digest(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def generate_app_password(view: View, request: Any) -> Fields:
    """Only for all that the user may do: other scopes are refused, for they would not be kept to."""
    if any(key != "user" for key in request.token_scope):
        raise Refused(INVALID_ARGUMENT, "only the scope 'user' is supported")
    password = secrets.token_urlsafe(24)
    made = applications.AppPassword(label=request.label, user=view.caller.user.id)
    made.ctime.seconds = int(time.time())
    if request.HasField("expiration"):
        made.expiration.CopyFrom(request.expiration)
    for key, scope in request.token_scope.items():
        made.token_scope[key].CopyFrom(scope)
    made.password = _digest(password)
    view.index.run("INSERT INTO app_passwords VALUES (?, ?, ?)", made.password, view.caller.opaque_id, made.SerializeToString())
    made.password = password
    return {"app_password": made}


def list_app_passwords(view: View, request: Any) -> Fields:
    rows = view.index.rows("SELECT proto FROM app_passwords WHERE user = ?", view.caller.opaque_id)
    return {"app_passwords": [applications.AppPassword.FromString(proto) for (proto,) in rows]}


def invalidate_app_password(view: View, request: Any) -> Fields:
    """By the password, or by its digest as `list_app_passwords` gives it."""
    digests = (request.password, _digest(request.password))
    gone = view.index.run("DELETE FROM app_passwords WHERE user = ? AND digest IN (?, ?)", view.caller.opaque_id, *digests)
    if not gone:
        raise not_found("no such password")
    return {}


def _app_password(site: Site, username: str, password: str) -> Any | None:
    user = site.users.by_claim("username", username)
    if user is None:
        raise not_found("auth: no such user")
    row = site.index.one("SELECT user, proto FROM app_passwords WHERE digest = ?", _digest(password))
    if row is None or row[0] != user.id.opaque_id:
        return None
    return None if expired(applications.AppPassword.FromString(row[1])) else user
