"""Every way to log in, on real revads."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from cs3.auth.applications.v1beta1 import applications_api_pb2
from cs3.auth.provider.v1beta1 import resources_pb2 as roles
from cs3.types.v1beta1 import types_pb2
from support.reva import RevaSite

from cs3collab.cs3.auth import AppPasswordToken, BasicToken, MachineToken, ServiceAccountToken
from cs3collab.cs3.gateway import Gateway
from cs3collab.cs3.session import Session
from cs3collab.errors import NotAuthenticated

pytestmark = pytest.mark.reva


@pytest.fixture
async def gateway(here: RevaSite) -> AsyncIterator[Gateway]:
    opened = Gateway(here.address)
    yield opened
    await opened.close()


async def test_by_password(here: RevaSite, gateway: Gateway) -> None:
    user = (await Session.open(gateway, BasicToken(gateway, "marie", here.password("marie")))).user
    assert (user.username, user.opaque_id, user.display_name) == ("marie", "marie-id", "Marie Curie")


async def test_a_wrong_password_is_no_login(gateway: Gateway) -> None:
    with pytest.raises(NotAuthenticated):
        await Session.open(gateway, BasicToken(gateway, "marie", "guessed"))


async def test_by_the_secret_of_the_machine(here: RevaSite, gateway: Gateway) -> None:
    user = (await Session.open(gateway, MachineToken(gateway, "marie", here.plan.machine_secret))).user
    assert user.opaque_id == "marie-id"
    with pytest.raises(NotAuthenticated):
        await Session.open(gateway, MachineToken(gateway, "marie", "guessed"))


async def test_by_an_application_password(here: RevaSite, gateway: Gateway) -> None:
    scope = roles.Scope(resource=types_pb2.OpaqueEntry(decoder="json", value=b'{"path":"/"}'), role=roles.ROLE_OWNER)
    request = applications_api_pb2.GenerateAppPasswordRequest(label="test", token_scope={"user": scope})
    answer = await (await here.session("marie")).call("GenerateAppPassword", request)
    user = (await Session.open(gateway, AppPasswordToken(gateway, "marie", answer.app_password.password))).user
    assert user.opaque_id == "marie-id"


async def test_as_a_service_account(here: RevaSite, gateway: Gateway) -> None:
    token = ServiceAccountToken(gateway, "service", here.plan.service_secret)
    if here.revad.bare:
        pytest.skip("v3 has no service accounts")
    assert (await Session.open(gateway, token)).user.opaque_id == "service"
