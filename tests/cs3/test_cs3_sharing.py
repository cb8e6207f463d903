"""What messages of shares say, in the forms that different Revas give them."""

from __future__ import annotations

from typing import Any

import pytest
from cs3.identity.group.v1beta1 import resources_pb2 as groups
from cs3.identity.user.v1beta1 import resources_pb2 as identity
from cs3.ocm.provider.v1beta1 import resources_pb2 as providers
from cs3.sharing.collaboration.v1beta1 import resources_pb2 as local
from cs3.sharing.ocm.v1beta1 import resources_pb2 as ocm
from cs3.storage.provider.v1beta1 import resources_pb2 as storage

from cs3collab.cs3 import convert, sharing
from cs3collab.errors import InvalidInput
from cs3collab.types import Role, User


@pytest.mark.parametrize(
    ("user", "domain"),
    [
        (User("einstein", "site-a.test"), "site-a.test"),
        (User("einstein", "https://site-a.test"), "site-a.test"),
        (User("einstein", "http://127.0.0.1:19001/"), "127.0.0.1:19001"),
        (User("einstein@site-a.test", ""), "site-a.test"),
        (User("a@b@https://site-a.test/x", ""), "site-a.test"),
        (User("einstein", ""), ""),
    ],
)
def test_the_home_of_a_user_of_the_mesh(user: User, domain: str) -> None:
    assert sharing.domain_of(user) == domain


def dav(role: Role, *, newer: bool) -> Any:
    permissions = convert.permissions_for(role, is_dir=False)
    if newer:
        return ocm.Protocol(webdav_options=ocm.WebDAVProtocol(shared_secret="hush", share_permissions=permissions))
    return ocm.Protocol(
        webdav_options=ocm.WebDAVProtocol(shared_secret="hush", permissions=ocm.SharePermissions(permissions=permissions))
    )


@pytest.mark.parametrize("newer", [False, True])
@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_a_received_share_says_where_its_home_is_and_how_to_log_in_there(role: Role, newer: bool) -> None:
    message = ocm.ReceivedShare(
        id=ocm.ShareId(opaque_id="here"),
        remote_share_id="there",
        name="analysis.ipynb",
        creator=identity.UserId(opaque_id="einstein", idp="site-a.test", type=identity.USER_TYPE_FEDERATED),
        protocols=[ocm.Protocol(webapp_options=ocm.WebappProtocol(shared_secret="another")), dav(role, newer=newer)],
        state=ocm.SHARE_STATE_ACCEPTED,
    )
    share = sharing.from_ocm_received(message)
    assert (share.id, share.remote_share_id, share.name, share.home) == ("here", "there", "analysis.ipynb", "site-a.test")
    assert (share.shared_secret, share.role, share.state) == ("hush", role, sharing.State.ACCEPTED)
    assert share.owner.opaque_id == "einstein"
    assert "hush" not in repr(share)


def test_a_received_share_without_webdav_lets_do_nothing() -> None:
    share = sharing.from_ocm_received(ocm.ReceivedShare(state=ocm.SHARE_STATE_TRANSFERRING))
    assert (share.role, share.shared_secret, share.state) == (Role.NONE, "", sharing.State.UNKNOWN)


def test_a_share_with_a_group_has_no_grantee() -> None:
    grantee = storage.Grantee(type=storage.GRANTEE_TYPE_GROUP, group_id=groups.GroupId(opaque_id="physicists"))
    share = sharing.from_share(local.Share(grantee=grantee))
    assert (share.grantee, share.group) == (None, "physicists")


def test_a_share_gives_at_least_reading() -> None:
    with pytest.raises(InvalidInput):
        sharing.access(Role.NONE, is_dir=False)


@pytest.mark.parametrize(
    ("kind", "path", "host", "gateway"),
    [
        ("Gateway", "", "127.0.0.1:19000", "127.0.0.1:19000"),
        ("GATEWAY", "grpc://cs3.site-a.test:9142/", "", "cs3.site-a.test:9142"),
        ("OCM", "https://site-a.test/ocm/", "site-a.test", ""),
    ],
)
def test_the_gateway_of_a_site(kind: str, path: str, host: str, gateway: str) -> None:
    endpoint = providers.ServiceEndpoint(type=providers.ServiceType(name=kind), path=path)
    info = providers.ProviderInfo(domain="site-a.test", services=[providers.Service(host=host, endpoint=endpoint)])
    assert sharing.from_provider(info).gateway == gateway
