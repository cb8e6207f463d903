"""Two gateways: invitations, shares between sites, the scoped login, and reading through the receiving site."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import jwt
import pytest
from cs3.auth.applications.v1beta1 import applications_api_pb2 as applications
from cs3.gateway.v1beta1 import gateway_api_pb2 as gw
from cs3.identity.user.v1beta1 import resources_pb2 as identity
from cs3.ocm.invite.v1beta1 import invite_api_pb2 as invites
from cs3.ocm.invite.v1beta1 import resources_pb2 as invite
from cs3.ocm.provider.v1beta1 import provider_api_pb2 as mesh
from cs3.ocm.provider.v1beta1 import resources_pb2 as provider
from cs3.sharing.collaboration.v1beta1 import collaboration_api_pb2 as collaboration
from cs3.sharing.ocm.v1beta1 import ocm_api_pb2 as api_ocm
from cs3.sharing.ocm.v1beta1 import resources_pb2 as ocm
from cs3.storage.provider.v1beta1 import provider_api_pb2 as api
from cs3.storage.provider.v1beta1 import resources_pb2 as storage
from gateway_client import Client, Sites, Started, by_id, by_path, code, permissions
from google.protobuf.field_mask_pb2 import FieldMask

from cs3collab.cs3.auth import shared_resource, shared_role
from cs3collab.gateway.config import PeerRecord, UserRecord
from cs3collab.types import Role

FILE = by_path("/users/id-einstein/a.ipynb")
B_USERS = [UserRecord("id-noether", "noether", "symmetry", mail="noether@b.test", display_name="Emmy Noether")]


@dataclass
class Mesh:
    """Two sites, einstein at the first and noether at the second, who have exchanged an invitation."""

    a: Started
    b: Started
    einstein: Client
    noether: Client
    grantee: Any

    async def share(self, ref: Any, *, editor: bool) -> Any:
        response = await self.einstein.call("CreateOCMShare", await self.request(ref, editor=editor))
        assert code(response) == "OK", response.status
        return response.share

    async def request(self, ref: Any, *, editor: bool) -> Any:
        info = await self.einstein.stat(ref)
        held = permissions(editor=editor, folder=info.type == storage.RESOURCE_TYPE_CONTAINER)
        return api_ocm.CreateOCMShareRequest(
            resource_id=info.id,
            grantee=self.grantee,
            recipient_mesh_provider=provider.ProviderInfo(domain="b.test"),
            access_methods=[ocm.AccessMethod(webdav_options=ocm.WebDAVAccessMethod(permissions=held))],
        )

    async def received(self) -> list[Any]:
        return list((await self.noether.ok("ListReceivedOCMShares", api_ocm.ListReceivedOCMSharesRequest())).shares)

    async def at_home(self, received: Any) -> Client:
        """Logs noether in at the home site, with what her own gateway told her."""
        secret = received.protocols[0].webdav_options.shared_secret
        return await self.a.client.login("ocmshares", received.remote_share_id, secret)


@pytest.fixture
async def both(sites: Sites, tmp_path: Path) -> Mesh:
    a = await sites.start(tmp_path / "a")
    b = await sites.start(tmp_path / "b", site="b.test", users=B_USERS, projects=())
    a.gateway.config.peers["b.test"] = PeerRecord(b.gateway.address, "Site B")
    b.gateway.config.peers["a.test"] = PeerRecord(a.gateway.address, "Site A")
    einstein, noether = await a.user("einstein"), await b.user("noether")
    token = (await einstein.ok("GenerateInviteToken", invites.GenerateInviteTokenRequest(description="come"))).invite_token
    await noether.ok("ForwardInvite", forward(token.token))
    person = (await einstein.ok("FindAcceptedUsers", invites.FindAcceptedUsersRequest(filter="emmy"))).accepted_users[0]
    grantee = storage.Grantee(type=storage.GRANTEE_TYPE_USER, user_id=person.id)
    await einstein.write(FILE, b"home")
    return Mesh(a, b, einstein, noether, grantee)


def forward(token: str, domain: str = "a.test") -> Any:
    return invites.ForwardInviteRequest(
        invite_token=invite.InviteToken(token=token), origin_system_provider=provider.ProviderInfo(domain=domain)
    )


async def test_an_invitation_makes_two_people_known_to_each_other(both: Mesh) -> None:
    person = (await both.noether.ok("FindAcceptedUsers", invites.FindAcceptedUsersRequest())).accepted_users[0]
    assert (person.id.opaque_id, person.id.idp, person.id.type) == ("id-einstein", "a.test", identity.USER_TYPE_FEDERATED)
    assert (person.display_name, person.mail) == ("Albert Einstein", "einstein@a.test")
    get = invites.GetAcceptedUserRequest(remote_user_id=person.id)
    assert (await both.noether.ok("GetAcceptedUser", get)).remote_user == person
    tokens = (await both.einstein.ok("ListInviteTokens", invites.ListInviteTokensRequest())).invite_tokens
    assert [t.description for t in tokens] == ["come"]
    assert code(await both.noether.call("ForwardInvite", forward(tokens[0].token))) == "ALREADY_EXISTS"
    assert code(await both.noether.call("ForwardInvite", forward("nonsense"))) == "NOT_FOUND"
    await both.noether.ok("DeleteAcceptedUser", invites.DeleteAcceptedUserRequest(remote_user_id=person.id))
    assert code(await both.noether.call("GetAcceptedUser", get)) == "INTERNAL"


async def test_the_mesh_says_where_sites_are(both: Mesh) -> None:
    info = (await both.noether.ok("GetInfoByDomain", mesh.GetInfoByDomainRequest(domain="a.test"))).provider_info
    assert [(s.endpoint.type.name, s.host) for s in info.services] == [("Gateway", both.a.gateway.address)]
    found = (await both.noether.ok("ListAllProviders", mesh.ListAllProvidersRequest())).providers
    assert [p.domain for p in found] == ["b.test", "a.test"]
    unknown = mesh.GetInfoByDomainRequest(domain="c.test")
    assert code(await both.noether.call("GetInfoByDomain", unknown)) == "INTERNAL"


async def test_a_share_arrives_with_all_it_takes_to_log_in_at_home(both: Mesh) -> None:
    share = await both.share(FILE, editor=True)
    (received,) = await both.received()
    assert received.remote_share_id == share.id.opaque_id
    assert (received.name, received.owner.opaque_id, received.owner.idp) == ("a.ipynb", "id-einstein", "a.test")
    assert received.state == ocm.SHARE_STATE_PENDING
    assert received.protocols[0].webdav_options.shared_secret == share.token
    assert received.protocols[0].webdav_options.permissions.permissions.initiate_file_upload
    get = api_ocm.GetReceivedOCMShareRequest(ref=ocm.ShareReference(id=received.id))
    assert (await both.noether.ok("GetReceivedOCMShare", get)).share == received
    accepted = ocm.ReceivedShare(id=received.id, state=ocm.SHARE_STATE_ACCEPTED)
    update = api_ocm.UpdateReceivedOCMShareRequest(share=accepted, update_mask=FieldMask(paths=["state"]))
    await both.noether.ok("UpdateReceivedOCMShare", update)
    assert (await both.received())[0].state == ocm.SHARE_STATE_ACCEPTED

    guest = await both.at_home(received)
    assert guest.user.id.opaque_id == "id-noether@b.test"
    assert (guest.user.id.idp, guest.user.id.type) == ("b.test", identity.USER_TYPE_FEDERATED)
    assert guest.user.display_name == "Emmy Noether"
    claims = jwt.decode(guest.token, options={"verify_signature": False})
    assert list(claims["scope"]) == [f"ocmshare:{share.id.opaque_id}"]
    original = (await both.einstein.stat(FILE)).id
    assert shared_resource(guest.token).opaque_id == original.opaque_id
    assert shared_role(guest.token) is Role.EDITOR


async def test_an_editor_works_by_the_original_id(both: Mesh) -> None:
    await both.share(FILE, editor=True)
    guest = await both.at_home((await both.received())[0])
    ref = by_id((await both.einstein.stat(FILE)).id)
    info = await guest.stat(ref)
    assert info.permission_set == permissions(editor=True)
    assert await guest.read(ref) == b"home"
    lock = storage.Lock(lock_id="one", type=storage.LOCK_TYPE_WRITE, app_name="cs3collab")
    await guest.ok("SetLock", api.SetLockRequest(ref=ref, lock=lock))
    assert code(await both.einstein.initiate(ref, 1)) == "LOCKED"
    etag = await guest.write(ref, b"by noether", lock_id="one", if_match=info.etag)
    await both.einstein.write(ref, b"by einstein", lock_id="one", if_match=etag)
    assert code(await guest.initiate(ref, 1, lock_id="one", if_match=etag)) == "ABORTED"
    await guest.ok("RefreshLock", api.RefreshLockRequest(ref=ref, lock=lock))
    await both.einstein.ok("Unlock", api.UnlockRequest(ref=ref, lock=lock))
    values = storage.ArbitraryMetadata(metadata={"a": "b"})
    await guest.ok("SetArbitraryMetadata", api.SetArbitraryMetadataRequest(ref=ref, arbitrary_metadata=values))
    assert code(await guest.call("Delete", api.DeleteRequest(ref=ref))) == "PERMISSION_DENIED"
    assert (await guest.ok("WhoAmI", gw.WhoAmIRequest(token=guest.token))).user.id == guest.user.id


async def test_a_viewer_reads_and_writes_nothing(both: Mesh) -> None:
    await both.share(FILE, editor=False)
    (received,) = await both.received()
    assert not received.protocols[0].webdav_options.permissions.permissions.initiate_file_upload
    guest = await both.at_home(received)
    assert shared_role(guest.token) is Role.VIEWER
    ref = by_id((await both.einstein.stat(FILE)).id)
    assert await guest.read(ref) == b"home"
    assert (await guest.stat(ref)).permission_set == permissions(editor=False)
    lock = storage.Lock(lock_id="one", type=storage.LOCK_TYPE_WRITE, app_name="cs3collab")
    values = storage.ArbitraryMetadata(metadata={"a": "b"})
    for method, request in (
        ("InitiateFileUpload", api.InitiateFileUploadRequest(ref=ref)),
        ("SetLock", api.SetLockRequest(ref=ref, lock=lock)),
        ("SetArbitraryMetadata", api.SetArbitraryMetadataRequest(ref=ref, arbitrary_metadata=values)),
        ("Delete", api.DeleteRequest(ref=ref)),
    ):
        assert code(await guest.call(method, request)) == "PERMISSION_DENIED", method


async def test_a_scoped_token_opens_nothing_else(both: Mesh) -> None:
    await both.einstein.write(by_path("/users/id-einstein/other"), b"secret")
    await both.share(FILE, editor=True)
    guest = await both.at_home((await both.received())[0])
    other = await both.einstein.stat(by_path("/users/id-einstein/other"))
    for ref in (by_id(other.id), by_id(other.parent_id), by_path("/users/id-einstein/other"), FILE):
        assert await guest.stat_code(ref) == "NOT_FOUND"
        assert code(await guest.initiate(ref, 1)) != "OK"
        assert (await guest.fetch(ref))[0] == 404
    for method, request in (
        ("ListShares", collaboration.ListSharesRequest()),
        ("GenerateAppPassword", applications.GenerateAppPasswordRequest()),
        ("GenerateInviteToken", invites.GenerateInviteTokenRequest()),
        ("ListOCMShares", api_ocm.ListOCMSharesRequest()),
        ("GetHome", api.GetHomeRequest()),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await guest.call(method, request)
        assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_shared_folder_gives_its_children(both: Mesh) -> None:
    folder = by_path("/users/id-einstein/d")
    await both.einstein.ok("CreateContainer", api.CreateContainerRequest(ref=folder))
    await both.einstein.write(by_path("/users/id-einstein/d/in.txt"), b"in")
    await both.share(folder, editor=True)
    guest = await both.at_home((await both.received())[0])
    root = (await both.einstein.stat(folder)).id
    assert await guest.names(by_id(root)) == ["in.txt"]
    child = await guest.stat(by_id(root, "./in.txt"))
    await guest.write(by_id(child.id), b"in by id")
    await guest.write(by_id(root, "./new.txt"), b"new")
    assert await both.einstein.names(folder) == ["in.txt", "new.txt"]
    assert await guest.stat_code(by_id(root, "../a.ipynb")) == "INVALID_ARGUMENT"


async def test_a_downgrade_is_for_logins_to_come_and_is_told_to_nobody(both: Mesh) -> None:
    share = await both.share(FILE, editor=True)
    guest = await both.at_home((await both.received())[0])
    ref = by_id((await both.einstein.stat(FILE)).id)
    viewer = ocm.AccessMethod(webdav_options=ocm.WebDAVAccessMethod(permissions=permissions(editor=False)))
    field = api_ocm.UpdateOCMShareRequest.UpdateField(access_methods=viewer)
    request = api_ocm.UpdateOCMShareRequest(ref=ocm.ShareReference(id=share.id), field=[field])
    await both.einstein.ok("UpdateOCMShare", request)
    await guest.write(ref, b"new")
    (received,) = await both.received()
    assert received.protocols[0].webdav_options.permissions.permissions.initiate_file_upload
    viewer_guest = await both.at_home(received)
    assert shared_role(viewer_guest.token) is Role.VIEWER
    assert code(await viewer_guest.initiate(ref, 1)) == "PERMISSION_DENIED"


async def test_an_upgrade_changes_the_role_and_not_the_grant(both: Mesh) -> None:
    share = await both.share(FILE, editor=False)
    (received,) = await both.received()
    guest = await both.at_home(received)
    ref = by_id((await both.einstein.stat(FILE)).id)
    editor = ocm.AccessMethod(webdav_options=ocm.WebDAVAccessMethod(permissions=permissions(editor=True)))
    field = api_ocm.UpdateOCMShareRequest.UpdateField(access_methods=editor)
    await both.einstein.ok("UpdateOCMShare", api_ocm.UpdateOCMShareRequest(ref=ocm.ShareReference(id=share.id), field=[field]))
    assert code(await guest.initiate(ref, 1)) == "PERMISSION_DENIED"
    again = await both.at_home(received)
    assert (shared_role(again.token), code(await again.initiate(ref, 1))) == (Role.EDITOR, "PERMISSION_DENIED")


async def test_the_end_of_a_share_is_the_end_of_access_and_is_told_to_nobody(both: Mesh) -> None:
    share = await both.share(FILE, editor=True)
    (received,) = await both.received()
    guest = await both.at_home(received)
    ref = by_id((await both.einstein.stat(FILE)).id)
    remove = api_ocm.RemoveOCMShareRequest(ref=ocm.ShareReference(id=share.id))
    await both.einstein.ok("RemoveOCMShare", remove)
    assert await guest.stat_code(ref) == "NOT_FOUND"
    secret = received.protocols[0].webdav_options.shared_secret
    login = gw.AuthenticateRequest(type="ocmshares", client_id=received.remote_share_id, client_secret=secret)
    assert code(await both.a.client.call("Authenticate", login)) == "INTERNAL"
    assert len(await both.received()) == 1
    assert code(await both.einstein.call("RemoveOCMShare", remove)) == "INTERNAL"


async def test_shares_given_are_listed_for_their_giver(both: Mesh) -> None:
    share = await both.share(FILE, editor=True)
    again = await both.request(FILE, editor=True)
    assert code(await both.einstein.call("CreateOCMShare", again)) == "ALREADY_EXISTS"
    kind = api_ocm.ListOCMSharesRequest.Filter
    only = api_ocm.ListOCMSharesRequest(filters=[kind(type=kind.TYPE_RESOURCE_ID, resource_id=share.resource_id)])
    assert [s.id for s in (await both.einstein.ok("ListOCMShares", only)).shares] == [share.id]
    for ref in (ocm.ShareReference(id=share.id), ocm.ShareReference(token=share.token)):
        assert (await both.einstein.ok("GetOCMShare", api_ocm.GetOCMShareRequest(ref=ref))).share == share
    by_token = api_ocm.GetOCMShareByTokenRequest(token=share.token)
    assert (await both.einstein.ok("GetOCMShareByToken", by_token)).share == share
    marie = await both.a.user("marie")
    assert (await marie.ok("ListOCMShares", only)).shares == []
    assert code(await marie.call("CreateOCMShare", again)) == "NOT_FOUND"
    remove = api_ocm.RemoveOCMShareRequest(ref=ocm.ShareReference(id=share.id))
    assert code(await marie.call("RemoveOCMShare", remove)) == "INTERNAL"


async def test_who_was_not_invited_gets_no_share(both: Mesh) -> None:
    request = await both.request(FILE, editor=True)
    request.grantee.user_id.opaque_id = "id-somebody"
    assert code(await both.einstein.call("CreateOCMShare", request)) == "NOT_FOUND"


async def test_a_site_that_is_away_gets_no_share(both: Mesh) -> None:
    await both.b.gateway.stop()
    request = await both.request(FILE, editor=True)
    assert code(await both.einstein.call("CreateOCMShare", request)) == "UNAVAILABLE"
    assert (await both.einstein.ok("ListOCMShares", api_ocm.ListOCMSharesRequest())).shares == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"protocol": {"webdav": {"sharedSecret": "guessed"}}}, 403),
        ({"providerId": "no-such-share"}, 403),
        ({"sender": "id-einstein@c.test"}, 403),
        ({"shareWith": "nobody@b.test"}, 404),
        ({"shareWith": "id-noether@a.test"}, 404),
        ({"name": "../../etc"}, 400),
        ({"sender": "nobody"}, 400),
        ({"name": 5}, 400),
        ({}, 201),
    ],
)
async def test_a_share_is_believed_only_when_its_home_confirms_it(both: Mesh, change: dict[str, Any], expected: int) -> None:
    share = await both.share(FILE, editor=True)
    (before,) = await both.received()
    said = {
        "shareWith": "id-noether@b.test",
        "name": "a.ipynb",
        "providerId": share.id.opaque_id,
        "owner": "id-einstein@a.test",
        "sender": "id-einstein@a.test",
        "protocol": {"name": "multi", "webdav": {"sharedSecret": share.token, "permissions": ["read", "write"]}},
        "resourceType": "file",
        "shareType": "user",
    } | change
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{both.b.gateway.http_url}/ocm/shares", json=said) as answer,
    ):
        assert answer.status == expected
    after = await both.received()
    assert len(after) == 1
    assert (after[0].id == before.id) == (expected != 201)


async def accepted(both: Mesh) -> str:
    """Accepts the only share; its path at the receiving site."""
    (received,) = await both.received()
    share = ocm.ReceivedShare(id=received.id, state=ocm.SHARE_STATE_ACCEPTED)
    update = api_ocm.UpdateReceivedOCMShareRequest(share=share, update_mask=FieldMask(paths=["state"]))
    await both.noether.ok("UpdateReceivedOCMShare", update)
    return f"/ocm/{received.id.opaque_id}"


async def test_a_shared_file_is_read_and_written_through_the_receiving_site(both: Mesh) -> None:
    await both.share(FILE, editor=True)
    path = await accepted(both)
    here, home = await both.noether.stat(by_path(path)), await both.einstein.stat(FILE)
    assert (here.etag, here.size, here.path) == (home.etag, 4, path)
    assert here.permission_set == permissions(editor=True)
    assert here.id != home.id
    assert (await both.noether.stat(by_id(here.id))).etag == home.etag
    assert await both.noether.read(by_path(path)) == b"home"
    etag = await both.noether.write(by_id(here.id), b"from abroad", if_match=here.etag)
    assert (await both.einstein.stat(FILE)).etag == etag
    assert code(await both.noether.initiate(by_path(path), 1, if_match=here.etag)) == "ABORTED"
    listed = await both.noether.ok("ListContainer", api.ListContainerRequest(ref=by_path("/ocm")))
    assert [info.path for info in listed.infos] == [path]


async def test_locks_and_moves_do_not_go_through_the_receiving_site(both: Mesh) -> None:
    await both.share(FILE, editor=True)
    ref = by_path(await accepted(both))
    lock = storage.Lock(lock_id="one", type=storage.LOCK_TYPE_WRITE, app_name="cs3collab")
    for method, request in (
        ("SetLock", api.SetLockRequest(ref=ref, lock=lock)),
        ("ListFileVersions", api.ListFileVersionsRequest(ref=ref)),
        ("Move", api.MoveRequest(source=ref, destination=by_path("/users/id-noether/a"))),
        ("Move", api.MoveRequest(source=by_path("/users/id-noether"), destination=ref)),
    ):
        assert code(await both.noether.call(method, request)) in ("UNIMPLEMENTED", "PERMISSION_DENIED")


async def test_a_shared_folder_is_browsed_through_the_receiving_site(both: Mesh) -> None:
    folder = by_path("/users/id-einstein/d")
    await both.einstein.ok("CreateContainer", api.CreateContainerRequest(ref=folder))
    await both.einstein.write(by_path("/users/id-einstein/d/in.txt"), b"in")
    await both.share(folder, editor=True)
    path = await accepted(both)
    (child,) = (await both.noether.ok("ListContainer", api.ListContainerRequest(ref=by_path(path)))).infos
    assert child.path == f"{path}/in.txt"
    assert child.parent_id.space_id == path.rpartition("/")[2]
    assert await both.noether.read(by_id(child.id)) == b"in"
    assert await both.noether.read(by_path(child.path)) == b"in"
    await both.noether.write(by_path(f"{path}/new.txt"), b"new")
    await both.noether.ok("CreateContainer", api.CreateContainerRequest(ref=by_path(f"{path}/e")))
    await both.noether.ok("Delete", api.DeleteRequest(ref=by_path(f"{path}/in.txt")))
    assert await both.einstein.names(folder) == ["e", "new.txt"]
    assert await both.noether.stat_code(by_path(f"{path}/../x")) == "NOT_FOUND"


async def test_shares_of_others_are_not_seen_through_the_receiving_site(sites: Sites, both: Mesh) -> None:
    await both.share(FILE, editor=True)
    path = await accepted(both)
    assert await both.einstein.stat_code(by_path(path)) == "NOT_FOUND"
    assert await both.noether.stat_code(by_path("/ocm/unknown")) == "NOT_FOUND"


async def test_a_home_that_is_away_is_said_so(both: Mesh) -> None:
    await both.share(FILE, editor=True)
    path = await accepted(both)
    await both.a.gateway.stop()
    assert await both.noether.stat_code(by_path(path)) == "UNAVAILABLE"
    assert await both.noether.names(by_path("/ocm")) == []


async def test_shares_between_sites_survive_restarts_of_both(sites: Sites, both: Mesh) -> None:
    await both.share(FILE, editor=True)
    guest = await both.at_home((await both.received())[0])
    ref = by_id((await both.einstein.stat(FILE)).id)
    await both.a.gateway.stop()
    await both.b.gateway.stop()
    a = await sites.start(both.a.root)
    b = await sites.start(both.b.root, site="b.test", users=B_USERS, projects=())
    again = Client(a.client.stub, a.client.http, guest.token, guest.user)
    assert await again.read(ref) == b"home"
    noether = await b.user("noether")
    (received,) = (await noether.ok("ListReceivedOCMShares", api_ocm.ListReceivedOCMSharesRequest())).shares
    secret = received.protocols[0].webdav_options.shared_secret
    assert (await a.client.login("ocmshares", received.remote_share_id, secret)).user == guest.user
