"""Every way to log in, on real revads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cs3.auth.applications.v1beta1 import applications_api_pb2
from cs3.auth.provider.v1beta1 import resources_pb2 as roles
from cs3.types.v1beta1 import types_pb2
from support.issuer import issuer
from support.reva import RevaSite, reva_site
from support.sites import share_ocm

from cs3collab.cs3 import shares
from cs3collab.cs3.auth import (
    AppPasswordToken,
    BasicToken,
    ExchangedToken,
    FileToken,
    MachineToken,
    OCMShareToken,
    ServiceAccountToken,
)
from cs3collab.cs3.files import Files
from cs3collab.cs3.gateway import Gateway
from cs3collab.cs3.session import Session
from cs3collab.errors import NotAuthenticated, NotAuthorized, NotFound
from cs3collab.types import Ref, Role, Written

pytestmark = pytest.mark.reva


@pytest.fixture
async def gateway(here: RevaSite) -> AsyncIterator[Gateway]:
    opened = Gateway(here.address)
    yield opened
    await opened.close()


async def test_by_password(here: RevaSite, gateway: Gateway) -> None:
    user = (await Session.open(gateway, BasicToken(gateway, "marie", here.password("marie")))).user
    assert (user.username, user.opaque_id, user.display_name) == ("marie", here.opaque_id("marie"), "Marie Curie")


async def test_a_wrong_password_is_no_login(gateway: Gateway) -> None:
    with pytest.raises(NotAuthenticated):
        await Session.open(gateway, BasicToken(gateway, "marie", "guessed"))


async def test_by_the_secret_of_the_machine(here: RevaSite, gateway: Gateway) -> None:
    user = (await Session.open(gateway, MachineToken(gateway, "marie", here.plan.machine_secret))).user
    assert user.opaque_id == here.opaque_id("marie")
    with pytest.raises(NotAuthenticated):
        await Session.open(gateway, MachineToken(gateway, "marie", "guessed"))


async def test_by_an_application_password(here: RevaSite, gateway: Gateway) -> None:
    scope = roles.Scope(resource=types_pb2.OpaqueEntry(decoder="json", value=b'{"path":"/"}'), role=roles.ROLE_OWNER)
    request = applications_api_pb2.GenerateAppPasswordRequest(label="test", token_scope={"user": scope})
    answer = await (await here.session("marie")).call("GenerateAppPassword", request)
    user = (await Session.open(gateway, AppPasswordToken(gateway, "marie", answer.app_password.password))).user
    assert user.opaque_id == here.opaque_id("marie")


async def test_by_a_token_of_an_identity_provider(kind: str, tmp_path: Path) -> None:
    """From a file that somebody renews, as people do who log in to a hub with OpenID Connect."""
    async with issuer() as provider, reva_site(kind, tmp_path, issuer=provider.url) as here, Gateway(here.address) as gateway:
        person = here.opaque_id("marie"), "marie", f"https://{here.name}"
        file = tmp_path / "token"
        for life_s in (300, 600):
            file.write_text(provider.token(*person, life_s=life_s))
            session = await Session.open(gateway, ExchangedToken(gateway, FileToken(file)))
            assert (session.user.opaque_id, session.user.username) == (here.opaque_id("marie"), "marie")
            files = Files(session)
            ref = Ref(f"{await files.home()}/by-token.txt")
            assert isinstance(await files.write(ref, b"hers"), Written)
        file.write_text("made up")
        with pytest.raises(NotAuthenticated):
            await Session.open(gateway, ExchangedToken(gateway, FileToken(file)))


async def test_as_a_service_account(here: RevaSite, gateway: Gateway) -> None:
    token = ServiceAccountToken(gateway, "service", here.plan.service_secret)
    if here.revad.bare:  # v3 knows no such login
        with pytest.raises(NotAuthenticated):
            await Session.open(gateway, token)
    else:
        assert (await Session.open(gateway, token)).user.opaque_id == "service"


async def test_by_a_share_of_another_site(mesh: tuple[RevaSite, RevaSite]) -> None:
    """Its receiver is a person, reads and writes at home what was shared, and finds nothing else; a viewer does not write."""
    a, b = mesh
    beside = await a.put("einstein", "beside.txt", b"mine")
    async with Gateway(a.address) as home:
        for role, name in ((Role.EDITOR, "edited.txt"), (Role.VIEWER, "seen.txt")):
            ref = Ref.of((await a.put("einstein", name, b"first")).id)
            share = await shares.received_ocm_share(
                await b.session("marie"), await share_ocm(a, b, "einstein", "marie", name, role)
            )
            session = await Session.open(home, OCMShareToken(home, share.remote_share_id, share.shared_secret))
            assert (session.user.display_name, session.user.idp.rpartition("//")[2]) == ("Marie Curie", b.name)
            files = Files(session)
            assert await files.read(ref, max_bytes=100) == b"first"
            with pytest.raises((NotFound, NotAuthorized)):
                await files.stat(Ref.of(beside.id))
            if role is Role.EDITOR:
                assert isinstance(await files.write(ref, b"hers"), Written)
                assert await a.read("einstein", name) == b"hers"
            else:
                with pytest.raises(NotAuthorized):
                    await files.write(ref, b"hers")


async def test_a_share_that_was_taken_back_lets_nobody_in(mesh: tuple[RevaSite, RevaSite]) -> None:
    a, b = mesh
    await a.put("einstein", "f.txt", b"x")
    share = await shares.received_ocm_share(await b.session("marie"), await share_ocm(a, b, "einstein", "marie", "f.txt"))
    await shares.remove_ocm_share(await a.session("einstein"), share.remote_share_id)
    async with Gateway(a.address) as home:
        with pytest.raises(NotAuthenticated):
            await Session.open(home, OCMShareToken(home, share.remote_share_id, share.shared_secret))
