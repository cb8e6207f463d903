"""What the mesh is made of, and how people of two sites come to know each other."""

from __future__ import annotations

import secrets
import time
from typing import Any, Final

import grpc
from cs3.identity.user.v1beta1 import resources_pb2 as identity
from cs3.ocm.invite.v1beta1 import resources_pb2 as invite
from cs3.ocm.provider.v1beta1 import resources_pb2 as provider

from cs3collab.gateway.access import Caller
from cs3collab.gateway.files import Fields
from cs3collab.gateway.rights import expired
from cs3collab.gateway.site import Site
from cs3collab.gateway.status import ALREADY_EXISTS, INTERNAL, INVALID_ARGUMENT, NOT_FOUND, Fault, Refused, not_found
from cs3collab.gateway.view import View

INVITE_LIFETIME_S: Final = 86400


def _service(kind: str, host: str, path: str) -> Any:
    endpoint = provider.ServiceEndpoint(type=provider.ServiceType(name=kind), name=kind, path=path)
    return provider.Service(host=host, endpoint=endpoint)


def _own(site: Site) -> Any:
    domain = site.config.site
    ocm = _service("OCM", site.http_url.partition("://")[2], f"{site.http_url}/ocm/")
    services = [ocm, _service("Gateway", site.address, site.address)]
    return provider.ProviderInfo(name=domain, full_name=domain, domain=domain, homepage=site.http_url, services=services)


def _peer(site: Site, domain: str) -> Any:
    record = site.peers.record(domain)
    services = [_service("Gateway", record.gateway, record.gateway)]
    if record.ocm_url:
        services.append(_service("OCM", record.ocm_url.partition("://")[2].partition("/")[0], record.ocm_url))
    name = record.name or domain
    return provider.ProviderInfo(name=name, full_name=name, domain=domain, services=services)


def get_info_by_domain(view: View, request: Any) -> Fields:
    """INTERNAL for a site that is not in the mesh, as in Reva."""
    site = view.site
    if request.domain == site.config.site:
        return {"provider_info": _own(site)}
    try:
        return {"provider_info": _peer(site, request.domain)}
    except Refused as refused:
        raise Refused(INTERNAL, refused.message) from refused


def list_all_providers(site: Site, request: Any) -> Fields:
    return {"providers": [_own(site), *(_peer(site, domain) for domain in list(site.config.peers))]}


def generate_invite_token(view: View, request: Any) -> Fields:
    made = invite.InviteToken(token=secrets.token_urlsafe(24), user_id=view.caller.user.id, description=request.description)
    made.expiration.seconds = int(time.time()) + INVITE_LIFETIME_S
    view.index.run("INSERT INTO invites VALUES (?, ?, ?)", made.token, view.caller.opaque_id, made.SerializeToString())
    return {"invite_token": made}


def list_invite_tokens(view: View, request: Any) -> Fields:
    rows = view.index.rows("SELECT proto FROM invites WHERE user = ?", view.caller.opaque_id)
    tokens = [invite.InviteToken.FromString(proto) for (proto,) in rows]
    return {"invite_tokens": [token for token in tokens if not expired(token)]}


async def forward_invite(site: Site, caller: Caller | None, request: Any) -> Fields:
    """Tells the inviting site who accepts, and remembers who invited. A second time is ALREADY_EXISTS."""
    assert caller is not None
    domain = request.origin_system_provider.domain
    if domain not in site.config.peers:
        raise Fault(grpc.StatusCode.UNKNOWN, f"the site {domain[:80]!r} is not in the mesh")
    user = caller.user
    body = {
        "token": request.invite_token.token,
        "recipientProvider": site.config.site,
        "userID": user.id.opaque_id,
        "email": user.mail,
        "name": user.display_name,
    }
    try:
        said = await site.peers.post(domain, "invite-accepted", body)
    except Refused as refused:
        if refused.code == NOT_FOUND and not site.config.locks:
            raise Refused(INVALID_ARGUMENT, refused.message) from refused
        raise
    try:
        remote = remote_user(domain, str(said["userID"]), str(said.get("email", "")), str(said.get("name", "")))
    except KeyError as error:
        raise Refused(INVALID_ARGUMENT, f"{domain} did not say who invited") from error
    await site.run(lambda: _remember(site, caller.opaque_id, remote))
    return {"user_id": remote.id, "email": remote.mail, "display_name": remote.display_name}


def remote_user(domain: str, opaque_id: str, mail: str, name: str) -> Any:
    """A person of another site, as ``cs3.identity.user.v1beta1.User``."""
    user_id = identity.UserId(opaque_id=opaque_id, idp=domain, type=identity.USER_TYPE_FEDERATED)
    return identity.User(id=user_id, username=opaque_id, mail=mail, display_name=name or opaque_id)


def remote_key(user_id: Any) -> str:
    """``opaque@domain``, whether or not the id has the domain in it already."""
    opaque_id, domain = str(user_id.opaque_id), user_id.idp.partition("://")[2] or user_id.idp
    return opaque_id if opaque_id.endswith(f"@{domain}") else f"{opaque_id}@{domain}"


def _remember(site: Site, user: str, remote: Any) -> int:
    return site.index.run(
        "INSERT OR REPLACE INTO accepted VALUES (?, ?, ?)", user, remote_key(remote.id), remote.SerializeToString()
    )


def accept_invite(site: Site, token: str, remote: Any) -> Any:
    """The inviting site's half of `forward_invite`; the inviting user. Raises NOT_FOUND or ALREADY_EXISTS."""
    row = site.index.one("SELECT user, proto FROM invites WHERE token = ?", token)
    user = site.users.get(row[0]) if row else None
    if row is None or user is None or expired(invite.InviteToken.FromString(row[1])):
        raise not_found("no such invitation, or it has expired")
    if site.index.one("SELECT 1 FROM accepted WHERE user = ? AND remote = ?", row[0], remote_key(remote.id)):
        raise Refused(ALREADY_EXISTS, "the invitation was accepted already")
    _remember(site, row[0], remote)
    return user


def _accepted(view: View) -> list[Any]:
    rows = view.index.rows("SELECT proto FROM accepted WHERE user = ? ORDER BY rowid", view.caller.opaque_id)
    return [identity.User.FromString(proto) for (proto,) in rows]


def known(view: View, user_id: Any) -> Any:
    """The accepted user of this id. Raises NOT_FOUND."""
    key = remote_key(user_id)
    found = next((user for user in _accepted(view) if remote_key(user.id) == key), None)
    if found is None:
        raise not_found("no invitation was exchanged with this user")
    return found


def find_accepted_users(view: View, request: Any) -> Fields:
    wanted = request.filter.casefold()
    users = _accepted(view)
    return {"accepted_users": [u for u in users if any(wanted in t.casefold() for t in (u.username, u.display_name, u.mail))]}


def get_accepted_user(view: View, request: Any) -> Fields:
    if not view.site.config.locks:  # Reva v3 does not take the id that it gives
        raise Refused(INVALID_ARGUMENT, "not the id of a user")
    try:
        return {"remote_user": known(view, request.remote_user_id)}
    except Refused as refused:
        raise Refused(INTERNAL, refused.message) from refused


def delete_accepted_user(view: View, request: Any) -> Fields:
    user = known(view, request.remote_user_id)
    view.index.run("DELETE FROM accepted WHERE user = ? AND remote = ?", view.caller.opaque_id, remote_key(user.id))
    return {}
