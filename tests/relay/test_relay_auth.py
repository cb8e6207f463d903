"""The gatekeeper on a real gateway: who is let in, as what, and what it says when it is asked again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from support import links
from support.notebooks import notebook
from support.sites import Site, share_local, share_ocm, two_sites

from cs3collab.cs3 import shares
from cs3collab.cs3.files import Files
from cs3collab.cs3.gateway import Gateway
from cs3collab.errors import CollabError, InvalidInput, NotAuthenticated, NotFound, Unavailable, Unsupported
from cs3collab.relay.auth import VIEWER_REASON, Gatekeeper, path_in_share, role_of
from cs3collab.rooms.registry import Admission, Forward
from cs3collab.types import Credential, Etag, FileInfo, Ref, ResourceId, Role, SiteId, Target


@pytest.fixture
async def sites(tmp_path: Path) -> AsyncIterator[tuple[Site, Site]]:
    async with two_sites(tmp_path) as (a, b):
        await a.put("einstein", "n.ipynb", notebook("x"))
        await a.put("einstein", "folder/in.ipynb", notebook("x"))
        await share_local(a, "einstein", "marie", "n.ipynb", Role.EDITOR)
        await share_local(a, "einstein", "richard", "n.ipynb", Role.VIEWER)
        yield a, b


@pytest.fixture
async def keeper(sites: tuple[Site, Site]) -> AsyncIterator[Gatekeeper]:
    async with Gateway(sites[0].address) as gateway:
        yield Gatekeeper(SiteId("a.example"), gateway, {})


async def admit(keeper: Gatekeeper, target: Target, credential: Credential) -> Admission | Forward:
    async def credentials() -> Credential:
        return credential

    return await keeper.admit(target, credentials)


@pytest.mark.parametrize(
    ("user", "role", "reason"),
    [("einstein", Role.EDITOR, ""), ("marie", Role.EDITOR, ""), ("richard", Role.VIEWER, VIEWER_REASON)],
)
async def test_storage_says_the_role(sites: tuple[Site, Site], keeper: Gatekeeper, user: str, role: Role, reason: str) -> None:
    target = await links.target(sites[0], "einstein", "n.ipynb")
    admission = await admit(keeper, target, Credential("bearer", await links.token(sites[0], user)))
    assert isinstance(admission, Admission)
    assert (admission.role, admission.reason, admission.user.username) == (role, reason, user)
    assert await admission.standing.recheck() == (role, reason)


async def test_saves_show_whether_each_leaves_a_version(sites: tuple[Site, Site], keeper: Gatekeeper) -> None:
    """An editor who received the file as a share is not shown its versions; its owner is."""
    target = await links.target(sites[0], "einstein", "n.ipynb")
    ref = Ref.of(target.resource_id)
    for user, quiet in (("marie", None), ("einstein", False)):
        admission = await admit(keeper, target, Credential("bearer", await links.token(sites[0], user)))
        assert isinstance(admission, Admission)
        for keep_version in (True, False):
            assert keeper.noticed.found.quiet is None
            await admission.standing.storage.write(ref, notebook(user), keep_version=keep_version)
        assert keeper.noticed.found.quiet is quiet
    assert keeper.noticed.found.versions is True


async def test_a_deleted_file_is_still_its_owners_and_nobody_elses(sites: tuple[Site, Site], keeper: Gatekeeper) -> None:
    """The owner goes on editing what may come back from the recycle bin; for others it may be a share that was withdrawn."""
    a, _ = sites
    target = await links.target(a, "einstein", "n.ipynb")
    owner = await admit(keeper, target, Credential("bearer", await links.token(a, "einstein")))
    editor = await admit(keeper, target, Credential("bearer", await links.token(a, "marie")))
    assert isinstance(owner, Admission)
    assert isinstance(editor, Admission)
    await (await a.files("einstein")).delete(await a.ref("einstein", "n.ipynb"))
    assert (await owner.standing.recheck())[0] is Role.EDITOR
    with pytest.raises(CollabError):
        await editor.standing.recheck()


async def test_somebody_of_another_site_is_not_taken_for_the_owner_by_the_same_id(
    sites: tuple[Site, Site], keeper: Gatekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not every storage tells their site apart in the id, which is chosen there. The owner deletes what they may read."""
    a, b = sites
    stat = Files.stat

    async def their_own(files: Files, ref: Ref) -> FileInfo:
        return replace(await stat(files, ref), owner=files.user.opaque_id)

    monkeypatch.setattr(Files, "stat", their_own)
    received = await share_ocm(a, b, "einstein", "einstein", "folder", Role.VIEWER)
    share = await shares.received_ocm_share(await b.session("einstein"), received)
    admission = await admit(keeper, Target(path="in.ipynb"), Credential("ocm", share.shared_secret, share.remote_share_id))
    assert isinstance(admission, Admission)
    assert admission.role is Role.VIEWER
    await (await a.files("einstein")).delete(await a.ref("einstein", "folder/in.ipynb"))
    with pytest.raises(NotFound):
        await admission.standing.recheck()


async def test_a_seat_stays_with_the_person_it_was_given_to(sites: tuple[Site, Site], keeper: Gatekeeper) -> None:
    a, _ = sites
    held = [Credential("bearer", await links.token(a, "richard"))]

    async def credentials() -> Credential:
        return held[-1]

    admission = await keeper.admit(await links.target(a, "einstein", "n.ipynb"), credentials)
    assert isinstance(admission, Admission)
    held.append(Credential("bearer", await links.token(a, "einstein")))
    with pytest.raises(NotAuthenticated, match="Einstein"):
        await admission.standing.recheck()


@pytest.mark.parametrize("role", [Role.EDITOR, Role.VIEWER])
async def test_a_share_from_another_site_opens_what_it_shares_and_nothing_else(
    sites: tuple[Site, Site], keeper: Gatekeeper, role: Role
) -> None:
    a, b = sites
    received = await share_ocm(a, b, "einstein", "marie", "n.ipynb", role)
    share = await shares.received_ocm_share(await b.session("marie"), received)
    credential = Credential("ocm", share.shared_secret, share.remote_share_id)
    admission = await admit(keeper, Target(), credential)
    assert isinstance(admission, Admission)
    own = await links.target(a, "einstein", "n.ipynb")
    assert (admission.info.id, admission.role) == (own.resource_id, role)
    assert (await admission.standing.recheck())[0] is role
    other = await links.target(a, "einstein", "folder/in.ipynb")
    named = await admit(keeper, other, credential)
    assert isinstance(named, Admission)
    assert named.info.id == own.resource_id
    await shares.remove_ocm_share(await a.session("einstein"), share.remote_share_id)
    with pytest.raises((NotAuthenticated, NotFound)):
        await admission.standing.recheck()


async def test_a_file_in_a_shared_folder_is_named_by_its_path(sites: tuple[Site, Site], keeper: Gatekeeper) -> None:
    a, b = sites
    received = await share_ocm(a, b, "einstein", "marie", "folder", Role.EDITOR)
    share = await shares.received_ocm_share(await b.session("marie"), received)
    credential = Credential("ocm", share.shared_secret, share.remote_share_id)
    admission = await admit(keeper, Target(path="in.ipynb"), credential)
    assert isinstance(admission, Admission)
    assert admission.info.name == "in.ipynb"
    for path, error in (
        ("../n.ipynb", InvalidInput),
        ("x/../../n.ipynb", InvalidInput),
        ("none.ipynb", NotFound),
        (".", InvalidInput),
    ):
        with pytest.raises(error):
            await admit(keeper, Target(path=path), credential)


async def test_a_received_share_leads_to_its_home_with_its_own_credential(sites: tuple[Site, Site]) -> None:
    a, b = sites
    received = await share_ocm(a, b, "einstein", "marie", "n.ipynb", Role.EDITOR)
    async with Gateway(b.address) as gateway:
        credential = Credential("bearer", await links.token(b, "marie"))
        keeper = Gatekeeper(SiteId("b.example"), gateway, {"a.example": "http://relay.a"})
        forward = await admit(keeper, Target(share_id=received), credential)
        assert isinstance(forward, Forward)
        assert (forward.url, (await forward.credentials()).kind, forward.target.share_id) == ("http://relay.a", "ocm", "")
        assert credential.secret not in repr(forward)
        with pytest.raises(Unsupported, match=r"a\.example"):
            await admit(Gatekeeper(SiteId("b.example"), gateway, {}), Target(share_id=received), credential)
        with pytest.raises(InvalidInput):
            await admit(keeper, Target(share_id=received), Credential("ocm", "x", "y"))
        with pytest.raises(NotFound):
            await admit(keeper, Target(share_id="none"), credential)


async def test_who_cannot_be_identified_is_not(keeper: Gatekeeper) -> None:
    for credential in (Credential("bearer", "x"), Credential("ocm", "x", "1")):
        with pytest.raises((NotAuthenticated, NotFound)):
            await keeper.identify(credential)


async def test_a_gateway_that_is_away_is_said_so() -> None:
    async with Gateway("127.0.0.1:1", timeout_s=5) as gateway:
        keeper = Gatekeeper(SiteId("x"), gateway, {})
        with pytest.raises(Unavailable):
            await keeper.reachable()
        with pytest.raises(Unavailable):
            await keeper.identify(Credential("bearer", "x"))


@pytest.mark.parametrize(
    ("path", "expected"), [("", "."), (".", "."), ("a", "./a"), ("./a/b", "./a/b"), ("a//b/", "./a/b"), ("a..b", "./a..b")]
)
def test_paths_in_a_share(path: str, expected: str) -> None:
    assert path_in_share(path) == expected


@pytest.mark.parametrize("path", ["..", "../a", "a/../b", "a/.."])
def test_paths_out_of_a_share(path: str) -> None:
    with pytest.raises(InvalidInput):
        path_in_share(path)


@pytest.mark.parametrize("file", list(Role))
@pytest.mark.parametrize("token", [None, *Role])
def test_the_smaller_of_two_roles_counts(file: Role, token: Role | None) -> None:
    info = FileInfo(ResourceId("s", "o"), "n", "/n", False, Etag("e"), 1, 0.0, file)
    role, reason = role_of(info, token)
    assert role is (file if token is None else min(file, token))
    assert bool(reason) is (role is Role.VIEWER)
