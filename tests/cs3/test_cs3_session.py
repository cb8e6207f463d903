"""Tokens that end while they are used, and every way to log in, on the embedded gateway."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import jwt
import pytest
from cs3.auth.applications.v1beta1 import applications_api_pb2 as applications
from support.sites import USERS, Site, user

from cs3collab.cs3.auth import BasicToken, BearerToken, FileToken, TokenProvider, provider_from
from cs3collab.cs3.files import Files
from cs3collab.cs3.gateway import Gateway
from cs3collab.cs3.session import Session
from cs3collab.errors import NotAuthenticated, NotAuthorized, NotFound
from cs3collab.gateway.config import GatewayConfig
from cs3collab.gateway.server import EmbeddedGateway
from cs3collab.types import Ref, Written

JWT_SECRET = "a secret of the test's gateway, long enough"
MACHINE_SECRET = "a secret of the machine, long enough too"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Site]:
    config = GatewayConfig(
        tmp_path,
        [user(name) for name in USERS],
        site="a.example",
        jwt_secret=JWT_SECRET,
        machine_secret=MACHINE_SECRET,
        service_accounts={"relay": "a secret of the relay"},
    )
    async with EmbeddedGateway(config) as gateway:
        site = Site("a.example", tmp_path, gateway, config)
        yield site
        await site.close()


def expired(valid: str) -> str:
    claims = jwt.decode(valid, options={"verify_signature": False})
    return jwt.encode(claims | {"iat": 0, "exp": int(time.time()) - 10}, JWT_SECRET, "HS256")


def revoked(valid: str) -> str:
    """In time, but signed with a secret the gateway has no more."""
    claims = jwt.decode(valid, options={"verify_signature": False})
    return jwt.encode(claims, "the gateway's secret of yesterday, long enough", "HS256")


class Renewable:
    """Has a token that is refused, and gets a good one when asked."""

    def __init__(self, refused: str, good: TokenProvider) -> None:
        self.value = refused
        self.good = good
        self.renewals = 0

    async def token(self) -> str:
        return self.value

    async def renew(self) -> str:
        self.renewals += 1
        self.value = await self.good.token()
        return self.value


@pytest.mark.parametrize("refused", [expired, revoked])
@pytest.mark.parametrize("call", ["stat", "read", "write", "list", "versions", "whoami"])
async def test_a_token_that_is_refused_is_renewed_once_and_the_call_made_again(
    running: Site, refused: Callable[[str], str], call: str
) -> None:
    session = await running.session("einstein")
    info = await running.put("einstein", "file.ipynb", b"content")
    tokens = Renewable(refused(await session.tokens.token()), session.tokens)
    files = Files(Session(session.gateway, tokens))
    ref = Ref.of(info.id)
    match call:
        case "stat":
            assert (await files.stat(ref)).id == info.id
        case "read":
            assert await files.read(ref, max_bytes=100) == b"content"
        case "write":
            assert isinstance(await files.write(ref, b"new", if_match=info.etag), Written)
        case "list":
            assert [i.name for i in await files.list(Ref(await files.home())) if not i.is_dir] == ["file.ipynb"]
        case "versions":
            assert await files.versions(ref) == []
        case "whoami":
            assert (await files.session.whoami()).username == "einstein"
    assert tokens.renewals == 1


async def test_a_refusal_that_is_not_the_token_s_fault_renews_nothing(running: Site) -> None:
    session = await running.session("einstein")
    tokens = Renewable(await session.tokens.token(), session.tokens)
    files = Files(Session(session.gateway, tokens))
    with pytest.raises(NotFound):
        await files.stat(await running.ref("einstein", "missing"))
    with pytest.raises((NotFound, NotAuthorized)):
        await files.write(await running.ref("marie", "hers.ipynb"), b"content")
    assert tokens.renewals == 0


async def test_a_token_file_is_rotated_under_a_running_session(running: Site, tmp_path: Path) -> None:
    valid = await (await running.session("einstein")).tokens.token()
    path = tmp_path / "token"
    path.write_text(valid)
    async with Gateway(running.address) as gateway:
        files = Files(await Session.open(gateway, FileToken(path)))
        path.write_text(expired(valid) + "\n")
        with pytest.raises(NotAuthenticated) as caught:
            await files.home()
        assert "rotated" in caught.value.hint
        path.write_text(valid + "\n\n")
        assert await files.home() == "/users/einstein-id"


async def test_a_given_token_that_expired_says_log_in_again(running: Site) -> None:
    valid = await (await running.session("einstein")).tokens.token()
    async with Gateway(running.address) as gateway:
        with pytest.raises(NotAuthenticated, match="log in again"):
            await Session.open(gateway, BearerToken(expired(valid)))


async def test_the_machine_acts_for_a_user(running: Site) -> None:
    async with Gateway(running.address) as gateway:
        for name in ("marie", "username:marie"):
            tokens = provider_from(gateway, kind="machine", client_id=name, secret=MACHINE_SECRET)
            assert (await Session.open(gateway, tokens)).user.username == "marie"
        with pytest.raises(NotAuthenticated):
            await Session.open(gateway, provider_from(gateway, kind="machine", client_id="marie", secret="guessed"))


async def test_a_service_account_reaches_every_file(running: Site) -> None:
    info = await running.put("einstein", "file.ipynb", b"content")
    async with Gateway(running.address) as gateway:
        tokens = provider_from(gateway, kind="service-account", client_id="relay", secret="a secret of the relay")
        files = Files(await Session.open(gateway, tokens))
        assert await files.read(Ref.of(info.id), max_bytes=100) == b"content"
        assert isinstance(await files.write(Ref.of(info.id), b"rescued", if_match=info.etag), Written)


async def test_an_app_password_logs_in_by_user_name(running: Site) -> None:
    session = await running.session("einstein")
    request = applications.GenerateAppPasswordRequest(label="notebooks")
    password = (await session.call("GenerateAppPassword", request)).app_password.password
    async with Gateway(running.address) as gateway:
        tokens = provider_from(gateway, kind="app-password", client_id="einstein", secret=password)
        assert (await Session.open(gateway, tokens)).user == session.user
        with pytest.raises(NotAuthenticated):
            await Session.open(gateway, BasicToken(gateway, "einstein", password))
