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


def ocm_scope(share_id: str, storage_id: str, space_id: str, node_id: str, token: str, editor: bool) -> dict[str, Any]:
    """The scope of one OCM share, as Go's ``encoding/json`` gives ``authpb.Scope`` around a protojson ``ocm.Share``."""
    share = {
        "id": {"opaqueId": share_id},
        "resourceId": {"storageId": storage_id, "spaceId": space_id, "opaqueId": node_id},
        "token": token,
    }
    value = base64.b64encode(json.dumps(share, separators=(",", ":")).encode()).decode()
    return {f"ocmshare:{share_id}": {"resource": {"decoder": "json", "value": value}, "role": EDITOR if editor else VIEWER}}


def scoped_share(scope: dict[str, Any]) -> tuple[str, int, dict[str, Any]] | None:
    """Share id, role and share of the (only) ``ocmshare:`` scope. Raises `NotAuthenticated` for a broken one."""
    for key, entry in scope.items():
        kind, _, share_id = key.partition(":")
        if kind == "ocmshare":
            try:
                return share_id, int(entry["role"]), dict(json.loads(base64.b64decode(entry["resource"]["value"])))
            except (KeyError, TypeError, ValueError) as error:
                raise NotAuthenticated("the token's scope is not valid", hint="log in again") from error
    return None
