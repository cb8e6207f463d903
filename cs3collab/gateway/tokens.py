"""Access and transfer tokens: HS256 JWTs in the shape Reva gives them."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from typing import Any

import jwt
from cs3.identity.user.v1beta1 import resources_pb2 as user_pb
from google.protobuf import json_format

from cs3collab.errors import NotAuthenticated

OWNER, VIEWER, EDITOR = 1, 3, 4
"""Roles of cs3.auth.provider.v1beta1 in a scope."""

OWNER_SCOPE = {"user": {"resource": {"decoder": "json", "value": base64.b64encode(b'{"path":"/"}').decode()}, "role": OWNER}}


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid access token says: a ``cs3.identity.user.v1beta1.User`` and the scopes by key."""

    user: Any
    scope: dict[str, Any]


class Tokens:
    """Mints and checks. Lifetimes in seconds."""

    def __init__(self, secret: str, site: str, lifetime_s: int, transfer_lifetime_s: int) -> None:
        self._secret = secret
        self._site = site
        self._lifetime_s = lifetime_s
        self._transfer_lifetime_s = transfer_lifetime_s

    def mint(self, user: Any, scope: dict[str, Any]) -> str:
        now = int(time.time())
        person = json_format.MessageToDict(user, preserving_proto_field_name=True, use_integers_for_enums=True)
        issuer = user.id.idp or self._site
        claims = {"iss": issuer, "aud": ["reva"], "exp": now + self._lifetime_s, "iat": now, "user": person, "scope": scope}
        return jwt.encode(claims, self._secret, "HS256")

    def check(self, token: str) -> Claims:
        """Raises `NotAuthenticated` for an expired, foreign or broken token."""
        try:
            claims = jwt.decode(token, self._secret, ["HS256"], audience="reva", options={"require": ["exp"]})
            user = json_format.ParseDict(claims["user"], user_pb.User(), ignore_unknown_fields=True)
            return Claims(user, dict(claims["scope"]))
        except (jwt.InvalidTokenError, json_format.ParseError, KeyError, TypeError, ValueError) as error:
            raise NotAuthenticated("the access token is not valid", hint="log in again") from error

    def mint_transfer(self, session: str) -> str:
        claims = {"aud": ["transfer"], "exp": int(time.time()) + self._transfer_lifetime_s, "target": session}
        return jwt.encode(claims, self._secret, "HS256")

    def check_transfer(self, token: str) -> str:
        """The session a transfer token names. Raises `NotAuthenticated`."""
        try:
            return str(jwt.decode(token, self._secret, ["HS256"], audience="transfer", options={"require": ["exp"]})["target"])
        except (jwt.InvalidTokenError, KeyError) as error:
            raise NotAuthenticated("the transfer token is not valid", hint="ask for a new transfer") from error


def ocm_scope(share: Any, *, editor: bool) -> dict[str, Any]:
    """The scope of one ``ocm.Share``."""
    return _scope("ocmshare", share, editor)


def link_scope(link: Any, *, editor: bool) -> dict[str, Any]:
    """The scope of one ``link.PublicShare``."""
    return _scope("publicshare", link, editor)


def _scope(kind: str, share: Any, editor: bool) -> dict[str, Any]:
    """As Go's ``encoding/json`` gives ``authpb.Scope`` around a protojson share."""
    rid = share.resource_id
    said = {
        "id": {"opaqueId": share.id.opaque_id},
        "resourceId": {"storageId": rid.storage_id, "spaceId": rid.space_id, "opaqueId": rid.opaque_id},
        "token": share.token,
    }
    value = base64.b64encode(json.dumps(said, separators=(",", ":")).encode()).decode()
    entry = {"resource": {"decoder": "json", "value": value}, "role": EDITOR if editor else VIEWER}
    return {f"{kind}:{share.id.opaque_id}": entry}


@dataclass(frozen=True, slots=True)
class Scoped:
    """What a token for one share is for. ``link`` is the token of a public link, empty for an OCM share."""

    share_id: str
    editor: bool
    resource: str
    link: str = ""


def scoped(scope: dict[str, Any]) -> Scoped | None:
    """The (only) share of a scope. Raises `NotAuthenticated` for a broken one."""
    for key, entry in scope.items():
        kind, _, share_id = key.partition(":")
        if kind in ("ocmshare", "publicshare"):
            try:
                about = json.loads(base64.b64decode(entry["resource"]["value"]))
                resource = str(about["resourceId"].get("opaqueId", ""))
                link = str(about["token"]) if kind == "publicshare" else ""
                return Scoped(share_id, int(entry["role"]) == EDITOR, resource, link)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise NotAuthenticated("the token's scope is not valid", hint="log in again") from error
    return None
