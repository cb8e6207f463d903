"""Shares within one site and between two, on embedded gateways."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.sites import Site, two_sites

from cs3collab.cs3 import shares
from cs3collab.cs3.auth import OCMShareToken, shared_resource, shared_role
from cs3collab.cs3.files import Files
from cs3collab.cs3.gateway import Gateway
from cs3collab.cs3.session import Session
from cs3collab.errors import AlreadyExists, InvalidInput, NotAuthenticated, NotAuthorized, NotFound, Unavailable
from cs3collab.types import Ref, Role, User, Written


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[tuple[Site, Site]]:
    async with two_sites(tmp_path) as sites:
        yield sites


async def acquainted(mesh: tuple[Site, Site]) -> User:
    """Marie of the second site, as einstein of the first knows her."""
    a, b = mesh
    giver, taker = await a.session("einstein"), await b.session("marie")
    invite = await shares.generate_invite(giver, "come and see")
    host = await shares.forward_invite(taker, invite.token, "a.example")
    assert host.display_name == "Albert Einstein"
    (guest,) = await shares.accepted_users(giver)
    assert (guest.display_name, shares.domain_of(guest)) == ("Marie Curie", "b.example")
    return guest


async def test_a_share_is_made_seen_changed_and_removed(running: Site) -> None:
    giver, taker = await running.session("einstein"), await running.session("marie")
    info = await running.put("einstein", "file.ipynb", b"content")
    share = await shares.create_share(giver, Ref.of(info.id), taker.user, Role.VIEWER)
    assert (share.resource_id, share.role, share.ocm) == (info.id, Role.VIEWER, False)
    assert share.grantee is not None
    assert share.grantee.opaque_id == "marie-id"
    with pytest.raises(AlreadyExists):
        await shares.create_share(giver, Ref.of(info.id), taker.user, Role.VIEWER)

    (received,) = await shares.list_received_shares(taker)
    assert (received.id, received.state, received.name) == (share.id, shares.State.PENDING, "")
    assert (received.owner.opaque_id, received.role) == ("einstein-id", Role.VIEWER)
    await shares.accept_share(taker, share.id)
    (received,) = await shares.list_received_shares(taker)
    assert (received.state, received.name) == (shares.State.ACCEPTED, "file.ipynb")
    assert received.ctime > 0

    marie = Files(taker)
    with pytest.raises(NotAuthorized):
        await marie.write(Ref.of(info.id), b"hers")
    changed = await shares.update_share(giver, share, Role.EDITOR)
    assert (changed.id, changed.role) == (share.id, Role.EDITOR)
    assert isinstance(await marie.write(Ref.of(info.id), b"hers"), Written)
    assert await shares.list_shares(giver, info.id) == [changed] == await shares.list_shares(giver)

    await shares.remove_share(giver, share.id)
    assert await shares.list_shares(giver, info.id) == [] == await shares.list_received_shares(taker)
    with pytest.raises(NotFound):
        await marie.stat(Ref.of(info.id))


async def test_shares_are_listed_by_resource(running: Site) -> None:
    giver, taker = await running.session("einstein"), await running.session("marie")
    for name in ("a", "b"):
        await running.put("einstein", name, b"")
        await shares.create_share(giver, await running.ref("einstein", name), taker.user, Role.VIEWER)
    only = await shares.list_shares(giver, (await running.put("einstein", "b", b"x")).id)
    assert len(only) == 1
    assert len(await shares.list_shares(giver)) == 2


async def test_an_editor_of_a_folder_makes_files_in_it(running: Site) -> None:
    giver, taker = await running.session("einstein"), await running.session("marie")
    await (await running.files("einstein")).mkdir(await running.ref("einstein", "folder"))
    folder = await (await running.files("einstein")).stat(await running.ref("einstein", "folder"))
    await shares.create_share(giver, Ref.of(folder.id), taker.user, Role.EDITOR)
    assert isinstance(await Files(taker).write(Ref("./new.ipynb", folder.id), b"new"), Written)


async def test_only_who_may_share_shares(running: Site) -> None:
    info = await running.put("einstein", "file.ipynb", b"content")
    with pytest.raises(NotFound):
        await shares.create_share(
            await running.session("marie"), Ref.of(info.id), (await running.session("richard")).user, Role.VIEWER
        )
    with pytest.raises(InvalidInput):
        await shares.create_share(
            await running.session("einstein"), Ref.of(info.id), (await running.session("marie")).user, Role.NONE
        )


async def test_an_invitation_makes_two_people_known_to_each_other_once(mesh: tuple[Site, Site]) -> None:
    a, b = mesh
    giver, taker = await a.session("einstein"), await b.session("marie")
    invite = await shares.generate_invite(giver, "come and see")
    assert invite.token
    assert invite.token not in repr(invite)
    await shares.forward_invite(taker, invite.token, "a.example")
    with pytest.raises(AlreadyExists):
        await shares.forward_invite(taker, invite.token, "a.example")
    assert [user.display_name for user in await shares.accepted_users(giver)] == ["Marie Curie"]
    assert [user.display_name for user in await shares.accepted_users(taker)] == ["Albert Einstein"]
    assert [shares.domain_of(user) for user in await shares.accepted_users(taker, "albert")] == ["a.example"]


async def test_the_mesh_says_which_gateway_a_site_has(mesh: tuple[Site, Site]) -> None:
    a, b = mesh
    session = await b.session("marie")
    home = await shares.provider_info(session, "a.example")
    assert (home.domain, home.gateway) == ("a.example", a.address)
    assert {p.domain for p in await shares.list_providers(session)} >= {"a.example"}
    with pytest.raises(NotFound):
        await shares.provider_info(session, "nowhere.example")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
async def test_a_received_share_opens_the_file_at_its_home(mesh: tuple[Site, Site], role: Role) -> None:
    a, b = mesh
    guest = await acquainted(mesh)
    info = await a.put("einstein", "file.ipynb", b"content")
    giver, taker = await a.session("einstein"), await b.session("marie")
    share = await shares.create_ocm_share(giver, info.id, guest, role)
    assert (share.resource_id, share.role, share.ocm) == (info.id, role, True)
    with pytest.raises(AlreadyExists):
        await shares.create_ocm_share(giver, info.id, guest, role)
    assert [s.id for s in await shares.list_ocm_shares(giver, info.id)] == [share.id]

    (pending,) = await shares.list_received_ocm_shares(taker)
    await shares.accept_ocm_share(taker, pending.id)
    received = await shares.received_ocm_share(taker, pending.id)
    assert (received.remote_share_id, received.home, received.name) == (share.id, "a.example", "file.ipynb")
    assert (received.role, received.state) == (role, shares.State.ACCEPTED)
    assert received.owner.opaque_id.startswith("einstein")

    async with Gateway((await shares.provider_info(taker, received.home)).gateway) as gateway:
        tokens = OCMShareToken(gateway, received.remote_share_id, received.shared_secret)
        session = await Session.open(gateway, tokens)
        token = await tokens.token()
        assert session.user.federated
        assert (shared_resource(token), shared_role(token)) == (info.id, role)
        files = Files(session)
        assert (await files.stat(Ref.of(info.id))).role is role
        assert await files.read(Ref.of(info.id), max_bytes=100) == b"content"
        writing = files.write(Ref.of(info.id), b"hers", if_match=info.etag)
        if role is Role.EDITOR:
            assert isinstance(await writing, Written)
        else:
            with pytest.raises(NotAuthorized):
                await writing
        other = await a.put("einstein", "private.ipynb", b"secret")
        with pytest.raises((NotFound, NotAuthorized)):
            await files.stat(Ref.of(other.id))


async def test_a_wrong_share_secret_is_no_login(mesh: tuple[Site, Site]) -> None:
    a, _ = mesh
    guest = await acquainted(mesh)
    info = await a.put("einstein", "file.ipynb", b"content")
    share = await shares.create_ocm_share(await a.session("einstein"), info.id, guest, Role.VIEWER)
    async with Gateway(a.address) as gateway:
        with pytest.raises(NotAuthenticated):
            await Session.open(gateway, OCMShareToken(gateway, share.id, "guessed"))


async def test_a_share_with_another_site_is_replaced_to_change_its_role(mesh: tuple[Site, Site]) -> None:
    a, b = mesh
    guest = await acquainted(mesh)
    info = await a.put("einstein", "file.ipynb", b"content")
    giver, taker = await a.session("einstein"), await b.session("marie")
    share = await shares.create_ocm_share(giver, info.id, guest, Role.EDITOR)
    old = (await shares.list_received_ocm_shares(taker))[0]
    async with Gateway(a.address) as gateway:
        tokens = OCMShareToken(gateway, share.id, old.shared_secret)
        files = Files(await Session.open(gateway, tokens))
        assert await shares.update_share(giver, share, Role.EDITOR) == share
        changed = await shares.update_share(giver, share, Role.VIEWER)
        assert (changed.role, changed.id != share.id) == (Role.VIEWER, True)
        assert [s.id for s in await shares.list_ocm_shares(giver)] == [changed.id]
        with pytest.raises((NotFound, NotAuthorized, NotAuthenticated)):
            await files.write(Ref.of(info.id), b"with the old token")
        with pytest.raises(NotAuthenticated):
            await tokens.renew()
    assert changed.id in {s.remote_share_id for s in await shares.list_received_ocm_shares(taker)}


async def test_a_removed_share_opens_nothing_any_more(mesh: tuple[Site, Site]) -> None:
    a, b = mesh
    guest = await acquainted(mesh)
    info = await a.put("einstein", "file.ipynb", b"content")
    giver, taker = await a.session("einstein"), await b.session("marie")
    share = await shares.create_ocm_share(giver, info.id, guest, Role.EDITOR)
    (received,) = await shares.list_received_ocm_shares(taker)
    await shares.remove_ocm_share(giver, share.id)
    assert await shares.list_ocm_shares(giver) == []
    async with Gateway(a.address) as gateway:
        with pytest.raises(NotAuthenticated):
            await Session.open(gateway, OCMShareToken(gateway, share.id, received.shared_secret))


async def test_a_share_nobody_sent_is_not_found(running: Site) -> None:
    with pytest.raises(NotFound):
        await shares.received_ocm_share(await running.session("marie"), "no-such-share")


async def test_the_end_of_a_share_is_kept_moved_and_taken_away(running: Site) -> None:
    giver, taker = await running.session("einstein"), await running.session("marie")
    info = await running.put("einstein", "f", b"x")
    share = await shares.create_share(giver, Ref.of(info.id), taker.user, Role.VIEWER, expires_at=4e9)
    assert (share.expires_at, share.mtime > 0, share.owner) == (4e9, True, share.creator)
    assert (await shares.received_share(taker, share.id)).expires_at == 4e9
    moved = await shares.update_share(giver, share, Role.VIEWER, expires_at=4.1e9)
    assert (moved.expires_at, moved.role) == (4.1e9, Role.VIEWER)
    same = await shares.update_share(giver, moved, Role.EDITOR)
    assert (same.expires_at, same.role) == (4.1e9, Role.EDITOR)
    assert (await shares.update_share(giver, same, Role.EDITOR, expires_at=None)).expires_at is None
    assert await shares.get_share(giver, share.id) == (await shares.list_shares(giver))[0]


async def test_a_share_is_rejected_and_accepted_later(running: Site) -> None:
    giver, taker = await running.session("einstein"), await running.session("marie")
    info = await running.put("einstein", "f", b"x")
    share = await shares.create_share(giver, Ref.of(info.id), taker.user, Role.VIEWER)
    await shares.set_share_state(taker, share.id, shares.State.REJECTED)
    assert (await shares.received_share(taker, share.id)).state is shares.State.REJECTED
    await shares.accept_share(taker, share.id)
    received = await shares.received_share(taker, share.id)
    assert (received.state, received.creator) == (shares.State.ACCEPTED, share.creator)


async def test_what_is_not_there_is_not_found(running: Site) -> None:
    session = await running.session("einstein")
    for ask in (shares.get_share, shares.received_share, shares.get_ocm_share, shares.received_ocm_share):
        with pytest.raises(NotFound):
            await ask(session, "no-such-share")
    with pytest.raises(NotFound):
        await shares.provider_info(session, "nowhere.example")


async def test_shares_between_sites_end_and_are_replaced(mesh: tuple[Site, Site]) -> None:
    a, b = mesh
    guest = await acquainted(mesh)
    giver, taker = await a.session("einstein"), await b.session("marie")
    info = await a.put("einstein", "lab/x", b"x")
    folder = await (await a.files("einstein")).stat(await a.ref("einstein", "lab"))
    share = await shares.create_ocm_share(giver, folder.id, guest, Role.EDITOR, expires_at=4e9)
    assert await shares.get_ocm_share(giver, share.id) == share
    (received,) = await shares.list_received_ocm_shares(taker)
    assert (received.expires_at, received.is_dir, received.creator) == (4e9, True, received.owner)
    await shares.set_ocm_share_state(taker, received.id, shares.State.REJECTED)
    assert (await shares.received_ocm_share(taker, received.id)).state is shares.State.REJECTED

    replaced = await shares.update_share(giver, share, Role.EDITOR, expires_at=None)
    assert (replaced.id != share.id, replaced.expires_at, replaced.role) == (True, None, Role.EDITOR)
    assert await shares.update_share(giver, replaced, Role.EDITOR) is replaced
    viewer = await shares.update_share(giver, replaced, Role.VIEWER)
    assert [(share.id, share.role) for share in await shares.list_ocm_shares(giver, folder.id)] == [(viewer.id, Role.VIEWER)]
    assert await shares.list_ocm_shares(giver, info.id) == []


async def test_a_change_that_fails_half_way_says_that_the_access_is_ended(mesh: tuple[Site, Site]) -> None:
    a, b = mesh
    guest = await acquainted(mesh)
    giver = await a.session("einstein")
    info = await a.put("einstein", "f", b"x")
    share = await shares.create_ocm_share(giver, info.id, guest, Role.EDITOR)
    await b.gateway.stop()
    with pytest.raises(Unavailable, match="ended") as caught:
        await shares.update_share(giver, share, Role.VIEWER)
    assert "again" in caught.value.hint
    assert await shares.list_ocm_shares(giver) == []


async def test_invitations_are_listed(running: Site) -> None:
    session = await running.session("einstein")
    made = await shares.generate_invite(session, "for marie")
    assert await shares.list_invites(session) == [made]
    assert await shares.list_invites(await running.session("marie")) == []
