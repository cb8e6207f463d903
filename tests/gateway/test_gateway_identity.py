"""Logins, tokens, users."""

from __future__ import annotations

import time
from typing import Any

import grpc
import jwt
import pytest
from cs3.auth.applications.v1beta1 import applications_api_pb2 as applications
from cs3.gateway.v1beta1 import gateway_api_pb2 as gw
from cs3.identity.user.v1beta1 import resources_pb2 as identity
from cs3.identity.user.v1beta1 import user_api_pb2 as users
from cs3.sharing.collaboration.v1beta1 import collaboration_api_pb2 as collaboration
from cs3.storage.provider.v1beta1 import provider_api_pb2 as api
from cs3.types.v1beta1 import types_pb2
from gateway_client import Client, Sites, Started, by_path, code
from support.issuer import issuer

from cs3collab.gateway.provider import Provider

HOME = by_path("/users/id-einstein")


async def login_code(site: Started, kind: str, client_id: str, secret: str) -> str:
    request = gw.AuthenticateRequest(type=kind, client_id=client_id, client_secret=secret)
    return code(await site.client.call("Authenticate", request))


@pytest.mark.parametrize(
    ("kind", "client_id", "secret", "expected"),
    [
        ("basic", "einstein", "relativity", "OK"),
        ("basic", "einstein", "wrong", "PERMISSION_DENIED"),
        ("basic", "einstein", "", "PERMISSION_DENIED"),
        ("basic", "nobody", "relativity", "PERMISSION_DENIED"),
        ("basic", "id-einstein", "relativity", "PERMISSION_DENIED"),
        ("machine", "einstein", "machine", "OK"),
        ("machine", "username:einstein", "machine", "OK"),
        ("machine", "userid:id-einstein", "machine", "OK"),
        ("machine", "mail:einstein@a.test", "machine", "OK"),
        ("machine", "secret:relativity", "machine", "NOT_FOUND"),
        ("machine", "einstein", "relativity", "PERMISSION_DENIED"),
        ("serviceaccounts", "relay", "", "INTERNAL"),
        ("appauth", "einstein", "relativity", "NOT_FOUND"),
        ("bearer", "", "nonsense", "INTERNAL"),
        ("ocmshares", "no-such-share", "secret", "INTERNAL"),
        ("carrier-pigeon", "einstein", "relativity", "INTERNAL"),
    ],
)
async def test_logins(site: Started, kind: str, client_id: str, secret: str, expected: str) -> None:
    assert await login_code(site, kind, client_id, secret) == expected


async def test_no_machine_login_without_a_secret(sites: Sites, site: Started) -> None:
    closed = await sites.start(site.root.parent / "closed", machine_secret="")
    assert await login_code(closed, "machine", "einstein", "") == "PERMISSION_DENIED"


async def test_a_token_says_what_reva_says(einstein: Client) -> None:
    claims = jwt.decode(einstein.token, options={"verify_signature": False})
    assert claims["aud"] == ["reva"]
    assert claims["iss"] == "a.test"
    assert claims["user"]["id"] == {"opaque_id": "id-einstein", "idp": "a.test", "type": 1}
    assert list(claims["scope"]) == ["user"]
    assert 86_000 < claims["exp"] - time.time() < 86_401
    who = (await einstein.ok("WhoAmI", gw.WhoAmIRequest(token=einstein.token))).user
    assert (who.username, who.mail, who.display_name) == ("einstein", "einstein@a.test", "Albert Einstein")


async def test_a_provider_that_does_not_answer_lets_nobody_in(sites: Sites, site: Started) -> None:
    for number, url in enumerate(("http://127.0.0.1:1", "no url", "")):
        closed = await sites.start(site.root.parent / f"closed-{number}", issuer=url)
        assert await login_code(closed, "bearer", "", "token") == "INTERNAL"


async def refusals(client: Client, token: str) -> dict[str, Any]:
    """What the calls of each kind say to `token`."""
    said: dict[str, Any] = {}
    for method, request in (
        ("WhoAmI", gw.WhoAmIRequest(token=token)),
        ("Stat", api.StatRequest(ref=HOME)),
        ("ListContainer", api.ListContainerRequest(ref=HOME)),
        ("InitiateFileUpload", api.InitiateFileUploadRequest(ref=HOME)),
        ("SetLock", api.SetLockRequest(ref=HOME)),
        ("ListShares", collaboration.ListSharesRequest()),
    ):
        try:
            said[method] = code(await client.call(method, request, token))
        except grpc.aio.AioRpcError as error:
            said[method] = error.code()
    return said


BAD_TOKEN = {
    "WhoAmI": "UNAUTHENTICATED",
    "Stat": "NOT_FOUND",
    "ListContainer": "NOT_FOUND",
    "InitiateFileUpload": "PERMISSION_DENIED",
    "SetLock": "PERMISSION_DENIED",
    "ListShares": grpc.StatusCode.PERMISSION_DENIED,
}


async def test_an_expired_token_is_answered_as_reva_does(sites: Sites, site: Started) -> None:
    brief = await sites.start(site.root.parent / "brief", token_lifetime_s=0)
    einstein = await brief.user("einstein")
    assert await refusals(einstein, einstein.token) == BAD_TOKEN


async def test_forged_and_foreign_tokens_are_refused(sites: Sites, site: Started, einstein: Client) -> None:
    claims = jwt.decode(einstein.token, options={"verify_signature": False})
    for forged in (
        jwt.encode(claims, "x" * 32, "HS256"),
        jwt.encode(claims, None, "none"),
        einstein.token[:-2],
        (await (await sites.start(site.root.parent / "other")).user("einstein")).token,
        "nonsense",
    ):
        assert await refusals(einstein, forged) == BAD_TOKEN


async def test_what_is_not_offered_is_unimplemented(einstein: Client) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await einstein.call("OpenInApp", gw.OpenInAppRequest())
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_service_account_works_everywhere(sites: Sites, site: Started) -> None:
    served = await sites.start(site.root.parent / "served", service_accounts={"relay": "relay-secret"})
    einstein = await served.user("einstein")
    await einstein.write(by_path("/users/id-einstein/a.txt"), b"x")
    relay = await served.client.login("serviceaccounts", "relay", "relay-secret")
    assert relay.user.id.type == identity.USER_TYPE_SERVICE
    await relay.write(by_path("/users/id-einstein/a.txt"), b"by the relay")
    assert await einstein.read(by_path("/users/id-einstein/a.txt")) == b"by the relay"
    assert await login_code(served, "serviceaccounts", "relay", "wrong") == "INTERNAL"


async def test_app_passwords_log_in_until_taken_back(site: Started, einstein: Client) -> None:
    request = applications.GenerateAppPasswordRequest(label="notebook")
    made = (await einstein.ok("GenerateAppPassword", request)).app_password
    by_app = await site.client.login("appauth", "einstein", made.password)
    assert by_app.user == einstein.user
    assert await login_code(site, "appauth", "marie", made.password) == "NOT_FOUND"
    listed = (await einstein.ok("ListAppPasswords", applications.ListAppPasswordsRequest())).app_passwords
    assert [p.label for p in listed] == ["notebook"]
    assert listed[0].password != made.password
    gone = applications.InvalidateAppPasswordRequest(password=made.password)
    await einstein.ok("InvalidateAppPassword", gone)
    assert await login_code(site, "appauth", "einstein", made.password) == "NOT_FOUND"
    assert code(await einstein.call("InvalidateAppPassword", gone)) == "NOT_FOUND"


async def test_app_passwords_expire(site: Started, einstein: Client) -> None:
    past = types_pb2.Timestamp(seconds=int(time.time()) - 1)
    request = applications.GenerateAppPasswordRequest(label="old", expiration=past)
    made = (await einstein.ok("GenerateAppPassword", request)).app_password
    assert await login_code(site, "appauth", "einstein", made.password) == "NOT_FOUND"


async def test_people_are_found(einstein: Client, marie: Client) -> None:
    by = await einstein.ok("GetUser", users.GetUserRequest(user_id=marie.user.id))
    assert by.user.username == "marie"
    claim = users.GetUserByClaimRequest(claim="mail", value="marie@a.test")
    assert (await einstein.ok("GetUserByClaim", claim)).user.id.opaque_id == "id-marie"
    unknown = users.GetUserByClaimRequest(claim="secret", value="radioactivity")
    assert code(await einstein.call("GetUserByClaim", unknown)) == "NOT_FOUND"
    nobody = users.GetUserRequest(user_id=identity.UserId(opaque_id="nobody"))
    assert code(await einstein.call("GetUser", nobody)) == "NOT_FOUND"
    found = users.FindUsersRequest(filters=[users.Filter(type=users.Filter.TYPE_QUERY, query="CURIE")])
    assert [u.username for u in (await einstein.ok("FindUsers", found)).users] == ["marie"]
    assert len((await einstein.ok("FindUsers", users.FindUsersRequest())).users) == 3


def test_secrets_are_not_shown(tmp_path: Any) -> None:
    from gateway_client import USERS

    from cs3collab.gateway.config import GatewayConfig

    config = GatewayConfig(
        root=tmp_path, users=USERS, jwt_secret="j" * 32, machine_secret="m-secret", service_accounts={"a": "s-secret"}
    )
    for secret in ("relativity", "j" * 32, "m-secret", "s-secret"):
        assert secret not in repr(config)


async def test_what_a_provider_says_is_read_to_its_end() -> None:
    async with issuer() as running:
        token = running.token("id-marie", "marie", "a.example")
        running.people[token]["picture"] = "x" * 500_000  # more than comes at once
        provider = Provider(running.url)
        try:
            assert await provider.claims(token) == running.people[token]
            running.people[token]["picture"] *= 3
            assert await provider.claims(token) is None
        finally:
            await provider.close()
