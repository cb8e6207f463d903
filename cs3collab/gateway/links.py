"""Public links: shares with whoever knows their token, and perhaps a password."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
import uuid
from typing import Any, Final

import grpc
from cs3.identity.user.v1beta1 import resources_pb2 as identity
from cs3.sharing.link.v1beta1 import link_api_pb2 as api
from cs3.sharing.link.v1beta1 import resources_pb2 as types

from cs3collab.gateway.access import is_editor
from cs3collab.gateway.files import Fields
from cs3collab.gateway.ocm import thing
from cs3collab.gateway.rights import expired
from cs3collab.gateway.site import Site
from cs3collab.gateway.status import INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED, Fault, Refused, denied, not_found
from cs3collab.gateway.tokens import link_scope
from cs3collab.gateway.view import View, timestamp

_PASSWORD: Final = "password|"
_TOKEN_BYTES: Final = 12
_Update: Final = api.UpdatePublicShareRequest.Update


def create(view: View, request: Any) -> Fields:
    """Raises INVALID_ARGUMENT without the right to share, or with an end in the past; Reva v2 falls over what is not there."""
    try:
        what = thing(view, request.resource_info.id)
    except Refused as refused:
        if not view.site.config.locks:
            raise
        if refused.code == NOT_FOUND:
            raise Fault(grpc.StatusCode.INTERNAL, refused.message) from refused
        raise Refused(INVALID_ARGUMENT, "insufficient permissions to create that kind of share") from refused
    grant = request.grant
    if view.site.config.locks and expired(grant):
        raise Refused(INVALID_ARGUMENT, "expiration date is in the past")
    now = timestamp(time.time_ns())
    link = types.PublicShare(
        id=types.PublicShareId(opaque_id=str(uuid.uuid4())),
        token=secrets.token_urlsafe(_TOKEN_BYTES),
        resource_id=what.rid,
        permissions=grant.permissions,
        owner=what.owner,
        creator=view.caller.user.id,
        ctime=now,
        mtime=now,
        password_protected=bool(grant.password),
        display_name=request.resource_info.arbitrary_metadata.metadata["name"],
        description=request.description,
    )
    if grant.HasField("expiration"):
        link.expiration.CopyFrom(grant.expiration)
    view.index.run(
        "INSERT INTO links VALUES (?, ?, ?, ?, ?)",
        link.id.opaque_id,
        what.rid.opaque_id,
        link.token,
        _hashed(grant.password),
        link.SerializeToString(),
    )
    return {"share": link}


def _hashed(password: str) -> str:
    """With its salt; empty for no password."""
    if not password:
        return ""
    salt = secrets.token_hex(16)
    return f"{salt}:{_derived(password, salt)}"


def _derived(password: str, salt: str) -> str:
    return hashlib.scrypt(password.encode(), salt=salt.encode(), n=2**14, r=8, p=1, dklen=32).hex()


def _opens(kept: str, password: str) -> bool:
    salt, colon, derived = kept.partition(":")
    return not colon or hmac.compare_digest(derived, _derived(password, salt))


def _find(view: View, ref: Any) -> Any:
    """Raises NOT_FOUND."""
    column = "id" if ref.WhichOneof("spec") == "id" else "token"
    row = view.index.one(f"SELECT proto FROM links WHERE {column} = ?", ref.id.opaque_id or ref.token)
    if row is None:
        raise not_found("no such link")
    return types.PublicShare.FromString(row[0])


def _own(view: View, ref: Any) -> Any:
    """v2 falls over the links of others; v3 does not ask whose they are."""
    link = _find(view, ref)
    if view.site.config.locks and link.creator.opaque_id != view.caller.opaque_id:
        raise Fault(grpc.StatusCode.INTERNAL, "not your link")
    return link


def get(view: View, request: Any) -> Fields:
    return {"share": _find(view, request.ref)}


def listed(view: View, request: Any) -> Fields:
    """v2 lists one's own that have not ended, v3 everybody's."""
    links = [types.PublicShare.FromString(proto) for (proto,) in view.index.rows("SELECT proto FROM links ORDER BY rowid")]
    if view.site.config.locks:
        links = [link for link in links if link.creator.opaque_id == view.caller.opaque_id and not expired(link)]
    return {"share": [link for link in links if all(_matches(link, wish) for wish in request.filters)]}


def _matches(link: Any, wish: Any) -> bool:
    term = wish.WhichOneof("term")
    if term in ("resource_id", "owner", "creator"):
        return bool(getattr(link, term).opaque_id == getattr(wish, term).opaque_id)
    return True


def update(view: View, request: Any) -> Fields:
    """One of permissions, password, end, and name."""
    link, change = _own(view, request.ref), request.update
    match change.type:
        case _Update.TYPE_PERMISSIONS:
            link.permissions.CopyFrom(change.grant.permissions)
        case _Update.TYPE_PASSWORD:
            link.password_protected = bool(change.grant.password)
            view.index.run("UPDATE links SET password = ? WHERE id = ?", _hashed(change.grant.password), link.id.opaque_id)
        case _Update.TYPE_EXPIRATION:
            link.ClearField("expiration")
            if change.grant.HasField("expiration"):
                link.expiration.CopyFrom(change.grant.expiration)
        case _Update.TYPE_DISPLAYNAME:
            link.display_name = change.display_name
        case _:
            raise Refused(INVALID_ARGUMENT, "only permissions, password, expiration and name can be updated")
    link.mtime.CopyFrom(timestamp(time.time_ns()))
    view.index.run("UPDATE links SET proto = ? WHERE id = ?", link.SerializeToString(), link.id.opaque_id)
    return {"share": link}


def remove(view: View, request: Any) -> Fields:
    try:
        link = _own(view, request.ref)
    except Refused as refused:
        if view.site.config.locks:  # which passes on what its share manager says
            raise Fault(grpc.StatusCode.UNKNOWN, refused.message) from refused
        raise
    view.index.run("DELETE FROM links WHERE id = ?", link.id.opaque_id)
    return {}


# For whoever has the token


def _opened(site: Site, token: str, password: str) -> Any:
    """Raises NOT_FOUND, also for a link that has ended, and PERMISSION_DENIED for a wrong password."""
    row = site.index.one("SELECT proto, password FROM links WHERE token = ?", token)
    link = types.PublicShare.FromString(row[0]) if row else None
    if row is None or link is None or expired(link):
        raise not_found("no such link")
    if not _opens(row[1], password):
        raise denied("wrong password")
    return link


def get_by_token(site: Site, request: Any) -> Fields:
    return {"share": _opened(site, request.token, request.authentication.password)}


def login(site: Site, token: str, secret: str) -> Fields:
    """Acts as who made the link, within it; v3 says of them the id only. A later end does not end the login."""
    if not secret.startswith(_PASSWORD):
        raise Refused(PERMISSION_DENIED, "auth: only passwords open links")
    link = _opened(site, token, secret.removeprefix(_PASSWORD))
    known = site.users.get(link.creator.opaque_id) if site.config.locks else None
    user = known or identity.User(id=link.creator)
    scope = link_scope(link, editor=is_editor(link.permissions.permissions))
    return {"token": site.tokens.mint(user, scope), "user": user}
