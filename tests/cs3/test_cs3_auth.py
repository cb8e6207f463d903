"""Where tokens come from and what is read from them, without a gateway."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cs3.gateway.v1beta1 import gateway_api_pb2

from cs3collab.cs3 import auth
from cs3collab.cs3.gateway import Gateway
from cs3collab.errors import InvalidInput, NotAuthenticated, StorageUnavailable
from cs3collab.types import ResourceId, Role

KEY = "a secret of the test that is long enough"


def token(**claims: Any) -> str:
    return jwt.encode(claims, KEY, "HS256")


def share_token(role: int, resource: dict[str, str], name: str = "resourceId") -> str:
    value = base64.b64encode(json.dumps({"id": {"opaqueId": "s1"}, name: resource}).encode()).decode()
    return token(exp=2e9, scope={"ocmshare:s1": {"resource": {"decoder": "json", "value": value}, "role": role}})


class Desk:
    """A gateway's login desk: gives tokens of `life` seconds and counts."""

    address = "desk:1"

    def __init__(self, life: float = 3600.0) -> None:
        self.life = life
        self.logins: list[Any] = []
        self.closed = False
        self.asked = asyncio.Event()
        self.turn = asyncio.Event()
        self.turn.set()

    async def call(self, method: str, request: Any, **_: Any) -> Any:
        assert method == "Authenticate"
        self.logins.append(request)
        self.asked.set()
        await self.turn.wait()
        if self.closed:
            raise StorageUnavailable("closed")
        now = time.time()
        return gateway_api_pb2.AuthenticateResponse(token=token(n=len(self.logins), iat=now, exp=now + self.life))


@pytest.mark.parametrize(
    ("claims", "expiry", "life"),
    [
        ({"exp": 2_000_000_000, "iat": 1_999_996_400}, 2e9, 3600.0),
        ({"exp": 1_000_000_000}, 1e9, None),
        ({"sub": "somebody"}, None, None),
    ],
)
def test_expiry_and_life_of_a_token(claims: dict[str, Any], expiry: float | None, life: float | None) -> None:
    assert auth.token_expiry(token(**claims)) == expiry
    assert auth.token_life(token(**claims)) == life


@pytest.mark.parametrize("text", ["", "opaque", "a.b.c", "oauth2:abc:https://idp.test", "\x00" * 40])
def test_an_opaque_token_has_no_expiry_and_limits_nothing(text: str) -> None:
    assert auth.token_expiry(text) is None
    assert auth.shared_role(text) is Role.EDITOR
    with pytest.raises(InvalidInput):
        auth.shared_resource(text)


@pytest.mark.parametrize(
    ("number", "role"),
    [(3, Role.VIEWER), (4, Role.EDITOR), (6, Role.EDITOR), (1, Role.EDITOR), (2, Role.NONE), (99, Role.NONE)],
)
def test_the_role_in_a_share_token(number: int, role: Role) -> None:
    assert auth.shared_role(share_token(number, {"opaqueId": "n"})) is role


def test_the_resource_of_a_share_token_in_both_spellings() -> None:
    camel = {"storageId": "p", "spaceId": "s", "opaqueId": "n"}
    snake = {"storage_id": "p", "space_id": "s", "opaque_id": "n"}
    assert auth.shared_resource(share_token(3, camel)) == ResourceId("p", "n", "s")
    assert auth.shared_resource(share_token(3, snake, "resource_id")) == ResourceId("p", "n", "s")


@pytest.mark.parametrize(
    "scope", [{}, {"user": {"role": 1}}, {"ocmshare:1": {}}, {"ocmshare:1": {"resource": {"value": "%%%"}}}, [], "x"]
)
def test_a_token_of_something_else_names_no_shared_resource(scope: Any) -> None:
    with pytest.raises(InvalidInput):
        auth.shared_resource(token(scope=scope))


async def test_a_login_is_kept_until_shortly_before_it_expires() -> None:
    desk = Desk(life=3600)
    provider = auth.BasicToken(desk, "einstein", "relativity")  # type: ignore[arg-type]
    assert await provider.token() == await provider.token()
    assert [(r.type, r.client_id, r.client_secret) for r in desk.logins] == [("basic", "einstein", "relativity")]
    desk.life = -1.0
    renewed = await provider.renew()
    assert await provider.token() != renewed
    assert len(desk.logins) == 3


async def test_many_callers_share_one_login() -> None:
    desk = Desk()
    desk.turn.clear()
    provider = auth.OCMShareToken(desk, "share", "secret")  # type: ignore[arg-type]
    asking = [asyncio.create_task(provider.token()) for _ in range(10)]
    await desk.asked.wait()
    asking[0].cancel()
    desk.turn.set()
    given = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(given[0], asyncio.CancelledError)
    assert len(set(given[1:])) == 1
    assert len(desk.logins) == 1


async def test_while_the_gateway_is_away_a_token_that_still_holds_is_used() -> None:
    desk = Desk(life=50)
    provider = auth.BasicToken(desk, "einstein", "relativity")  # type: ignore[arg-type]
    held = await provider.token()
    desk.closed = True
    provider._renew_at = 0.0  # its time to renew has come, its end has not
    assert await provider.token() == held
    provider._expires_at = 0.0
    with pytest.raises(StorageUnavailable):
        await provider.token()


async def test_a_given_token_cannot_be_renewed() -> None:
    provider = auth.BearerToken(" abc\n")
    assert await provider.token() == "abc"
    with pytest.raises(NotAuthenticated):
        await provider.renew()
    with pytest.raises(InvalidInput):
        auth.BearerToken("  ")


async def test_a_rotated_token_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    provider = auth.FileToken(path)
    assert await provider.token() == "first"
    fresh = tmp_path / "fresh"
    fresh.write_text("other\n")
    os.replace(fresh, path)
    assert await provider.token() == "other"
    path.write_text("")  # being rewritten in place
    assert await provider.token() == "other"
    path.write_text("third")
    assert await provider.token() == "third"
    with pytest.raises(NotAuthenticated):
        await provider.renew()


async def test_a_refused_file_token_is_renewed_by_what_was_rotated_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("old")
    provider = auth.FileToken(path)
    await provider.token()
    path.write_text("newer")
    assert await provider.renew() == "newer"


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\xff"])
async def test_a_token_file_that_gives_none_says_so_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(NotAuthenticated) as caught:
        await auth.FileToken(path).token()
    assert "\n" not in str(caught.value)
    assert caught.value.hint


async def test_a_file_token_can_be_exchanged_at_the_bearer_login(tmp_path: Path) -> None:
    (tmp_path / "oauth").write_text("from the identity provider")
    desk = Desk()
    provider = auth.provider_from(desk, kind="oidc-file", token_file=tmp_path / "oauth")  # type: ignore[arg-type]
    await provider.token()
    assert [(r.type, r.client_secret) for r in desk.logins] == [("bearer", "from the identity provider")]


@pytest.mark.parametrize(
    ("kind", "reva"),
    [
        ("basic", "basic"),
        ("app-password", "appauth"),
        ("machine", "machine"),
        ("service-account", "serviceaccounts"),
        ("ocm", "ocmshares"),
    ],
)
async def test_each_kind_of_login_is_reva_s(kind: str, reva: str) -> None:
    desk = Desk()
    await auth.provider_from(desk, kind=kind, client_id="who", secret="hush").token()  # type: ignore[arg-type]
    assert [(r.type, r.client_id, r.client_secret) for r in desk.logins] == [(reva, "who", "hush")]


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "kerberos"},
        {"kind": "basic", "client_id": "einstein"},
        {"kind": "basic", "secret": "relativity"},
        {"kind": "file"},
        {"kind": "oidc-file"},
        {"kind": "bearer"},
    ],
)
def test_missing_settings_are_named(settings: dict[str, str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        auth.provider_from(Gateway("localhost:1"), **settings)
    assert caught.value.hint


def test_no_secret_shows_in_a_repr() -> None:
    gateway = Gateway("localhost:1")
    providers = [
        auth.BasicToken(gateway, "einstein", "hush-hush"),
        auth.BearerToken("hush-hush"),
        auth.OCMShareToken(gateway, "share", "hush-hush"),
    ]
    assert "hush" not in repr(providers)
