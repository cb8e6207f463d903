"""Where access tokens come from: a login at the gateway, a value, or a file that somebody else renews.

A gateway's own token is a JWT. Its claims are read without verifying them: only to renew in time and to know what an OCM share
token is for. The gateway remains the judge.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

import jwt
import msgspec
from cs3.auth.provider.v1beta1 import resources_pb2 as roles
from cs3.gateway.v1beta1 import gateway_api_pb2

from cs3collab.cs3 import convert
from cs3collab.cs3.gateway import Gateway
from cs3collab.errors import InvalidInput, NotAuthenticated, Unavailable
from cs3collab.types import ResourceId, Role, User

_SHARE_SCOPE: Final = "ocmshare:"
_RENEW_BEFORE_S: Final = 60.0
_TOKEN_FILE_BYTES: Final = 64 * 1024
_ROLES: Final = {
    roles.ROLE_OWNER: Role.EDITOR,
    roles.ROLE_VIEWER: Role.VIEWER,
    roles.ROLE_EDITOR: Role.EDITOR,
    roles.ROLE_FILE_EDITOR: Role.EDITOR,
    roles.ROLE_COOWNER: Role.EDITOR,
}


class TokenProvider(Protocol):
    """Gives access tokens of one identity."""

    async def token(self) -> str:
        """A token that is valid now as far as is known. Raises `NotAuthenticated`, or `Unavailable` when nobody gives one."""

    async def renew(self) -> str:
        """A token asked for anew, after the present one was refused. Raises like `token`."""


def _claims(token: str) -> dict[str, Any]:
    try:
        return jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return {}


def token_expiry(token: str) -> float | None:
    """Unix seconds of a JWT's ``exp``; None for an opaque token or a JWT without."""
    expiry = _claims(token).get("exp")
    return float(expiry) if isinstance(expiry, int | float) else None


def token_life(token: str) -> float | None:
    """Seconds from a JWT's ``iat`` to its ``exp``, None when it does not say."""
    claims = _claims(token)
    begin, end = claims.get("iat"), claims.get("exp")
    return float(end - begin) if isinstance(begin, int | float) and isinstance(end, int | float) else None


def _share_scope(token: str) -> dict[str, Any] | None:
    scopes = _claims(token).get("scope")
    for key, scope in (scopes if isinstance(scopes, dict) else {}).items():
        if str(key).startswith(_SHARE_SCOPE) and isinstance(scope, dict):
            return scope
    return None


def shared_resource(token: str) -> ResourceId:
    """The resource at the home site that an OCM share token is for (Reva's scope ``ocmshare:<id>``).

    Raises `InvalidInput` for any other token.
    """
    scope = _share_scope(token)
    try:
        if scope is None:
            raise KeyError(_SHARE_SCOPE)
        share = msgspec.json.decode(base64.b64decode(scope["resource"]["value"]))
        rid = share.get("resourceId") or share["resource_id"]
        storage_id = rid.get("storageId", rid.get("storage_id", ""))
        space_id = rid.get("spaceId", rid.get("space_id", ""))
        opaque_id = rid.get("opaqueId") or rid["opaque_id"]
        return ResourceId(str(storage_id), str(opaque_id), str(space_id))
    except (KeyError, TypeError, AttributeError, binascii.Error, msgspec.DecodeError, ValueError) as error:
        raise InvalidInput("this is not a token of an OCM share", hint="log in with the share's id and secret") from error


def shared_role(token: str) -> Role:
    """The most this token allows. Tokens that are not for an OCM share do not limit it: storage alone decides."""
    scope = _share_scope(token)
    if scope is None:
        return Role.EDITOR
    return _ROLES.get(scope.get("role"), Role.NONE)


class BearerToken:
    """A token somebody else gave. It cannot be renewed."""

    def __init__(self, value: str) -> None:
        if not value.strip():
            raise InvalidInput("the access token is empty", hint="give the token the gateway issued")
        self._value = value.strip()

    async def token(self) -> str:
        return self._value

    async def renew(self) -> str:
        raise NotAuthenticated("the access token was refused and cannot be renewed here", hint="log in again for a new token")


class FileToken:
    """A token in a file that another process rotates, as SWAN's token renewer does. Read again whenever the file changed.

    The content is used as it is, so opaque tokens and EOS' ``oauth2:<token>:<endpoint>`` pass.
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(path)
        self._seen: tuple[int, int, int] | None = None
        self._value = ""

    async def token(self) -> str:
        return await asyncio.to_thread(self._read)

    async def renew(self) -> str:
        refused, self._seen = self._value, None
        value = await self.token()
        if value == refused:
            raise NotAuthenticated(
                f"the token in {self._path} was refused", hint="wait for it to be rotated, or check what writes it"
            )
        return value

    def _read(self) -> str:
        try:
            stat = os.stat(self._path)
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen != self._seen:
                with open(self._path, encoding="utf-8") as file:
                    value = file.read(_TOKEN_FILE_BYTES).strip()
                if not value and not self._value:
                    raise NotAuthenticated(f"the token file {self._path} is empty", hint="check what writes it")
                # an empty file is one being rewritten in place: keep the old token and look again next time
                if value:
                    self._seen, self._value = seen, value
        except (OSError, UnicodeDecodeError) as error:
            raise NotAuthenticated(f"cannot read the token file {self._path}: {error}", hint="check that it exists") from error
        return self._value


class LoginToken:
    """A token from ``Authenticate``, asked for again before it expires. Concurrent callers share one login."""

    def __init__(self, gateway: Gateway, kind: str, client_id: str, secret: str) -> None:
        self._gateway = gateway
        self._kind = kind
        self._client_id = client_id
        self._secret = secret
        self._value = ""
        self._renew_at = 0.0
        self._expires_at: float | None = None
        self._login: asyncio.Task[str] | None = None
        self.user: User | None = None
        """Whom the gateway took us for at the last login. Reva v3 says it nowhere else to the bearer of a share's token."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._client_id!r} at {self._gateway.address})"

    async def token(self) -> str:
        now = time.time()
        if self._value and now < self._renew_at:
            return self._value
        try:
            return await self.renew()
        except Unavailable:
            if self._value and (self._expires_at is None or now < self._expires_at):
                return self._value
            raise

    async def renew(self) -> str:
        if self._login is None or self._login.done():
            self._login = asyncio.create_task(self._authenticate())
        return await asyncio.shield(self._login)

    async def _authenticate(self) -> str:
        request = gateway_api_pb2.AuthenticateRequest(
            type=self._kind, client_id=self._client_id, client_secret=await self._current_secret()
        )
        answer = await self._gateway.call("Authenticate", request)
        token = str(answer.token)
        self._value, self.user = token, convert.from_user(answer.user)
        self._expires_at = expiry = token_expiry(token)
        self._renew_at = float("inf") if expiry is None else expiry - min(_RENEW_BEFORE_S, (token_life(token) or 0.0) / 3)
        return token

    async def _current_secret(self) -> str:
        return self._secret


class BasicToken(LoginToken):
    """User name and password."""

    def __init__(self, gateway: Gateway, username: str, password: str) -> None:
        super().__init__(gateway, "basic", username, password)


class AppPasswordToken(LoginToken):
    """A password made with ``GenerateAppPassword``; Reva wants the user name with it, not the opaque id."""

    def __init__(self, gateway: Gateway, username: str, password: str) -> None:
        super().__init__(gateway, "appauth", username, password)


class MachineToken(LoginToken):
    """Acts for `username` with the site's machine secret."""

    def __init__(self, gateway: Gateway, username: str, secret: str) -> None:
        super().__init__(gateway, "machine", username, secret)


class ServiceAccountToken(LoginToken):
    """A service account of the site (Reva v2)."""

    def __init__(self, gateway: Gateway, account_id: str, secret: str) -> None:
        super().__init__(gateway, "serviceaccounts", account_id, secret)


class OCMShareToken(LoginToken):
    """The recipient of an OCM share, at the home site: the share's id there (``remote_share_id`` here) and its secret."""

    def __init__(self, gateway: Gateway, share_id: str, secret: str) -> None:
        super().__init__(gateway, "ocmshares", share_id, secret)


class ExchangedToken(LoginToken):
    """Logs in with another provider's token, e.g. an OAuth token from a file, where the gateway's ``bearer`` login wants it."""

    def __init__(self, gateway: Gateway, source: TokenProvider, client_id: str = "") -> None:
        super().__init__(gateway, "bearer", client_id, "")
        self._source = source

    async def _current_secret(self) -> str:
        return await self._source.token()


_LOGINS: Final[dict[str, Callable[[Gateway, str, str], TokenProvider]]] = {
    "basic": BasicToken,
    "app-password": AppPasswordToken,
    "machine": MachineToken,
    "service-account": ServiceAccountToken,
    "ocm": OCMShareToken,
}

TOKEN_KINDS: Final = (*_LOGINS, "bearer", "file", "oidc-file")
"""The values of ``kind`` in configuration."""


def provider_from(
    gateway: Gateway, *, kind: str, client_id: str = "", secret: str = "", token_file: Path | None = None
) -> TokenProvider:
    """The provider for plain settings. Raises `InvalidInput` when one is missing or unknown.

    ``client_id`` is the user name, service account or OCM share id; ``secret`` the password, secret or (``bearer``) the token;
    ``token_file`` serves ``file`` (a token of the gateway) and ``oidc-file`` (exchanged at the gateway's bearer login).
    """
    if kind in ("file", "oidc-file"):
        if token_file is None:
            raise InvalidInput(f"login kind {kind!r} needs a token file", hint="set token_file")
        source = FileToken(token_file)
        return source if kind == "file" else ExchangedToken(gateway, source, client_id)
    if kind == "bearer":
        return BearerToken(secret)
    if kind not in _LOGINS:
        raise InvalidInput(f"unknown login kind {kind!r}", hint=f"one of {', '.join(TOKEN_KINDS)}")
    if not client_id or not secret:
        raise InvalidInput(f"login kind {kind!r} needs client_id and secret", hint="set both")
    return _LOGINS[kind](gateway, client_id, secret)
