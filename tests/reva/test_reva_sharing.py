"""What the shares API asks of storage, on real revads: people, groups, links, checksums, and what is not there."""

from __future__ import annotations

import time

import pytest
from support.reva import RevaSite

from cs3collab.cs3 import links, shares, users
from cs3collab.cs3.details import details
from cs3collab.errors import NotFound
from cs3collab.types import Ref, Role

pytestmark = pytest.mark.reva


async def test_people_are_found_by_parts_of_their_names_also_by_the_older_request(here: RevaSite) -> None:
    session = await here.session("einstein")
    assert await users.find_users(session, "zzzzzz") == []
    for query in ("curie", "mari", "marie@example.org"):
        assert [user.username for user in await users.find_users(session, query)] == ["marie"], query
    assert len(await users.find_users(session, "example.org")) == len(here.users)
    assert await users.find_users(session, "zzzzzz") == []


async def test_groups_are_found_by_parts_of_their_names(here: RevaSite) -> None:
    session = await here.session("einstein")
    assert [group.name for group in await users.find_groups(session, "phys")] == ["physics"]
    assert await users.find_groups(session, "alchemy") == []
    assert (await users.get_group(session, "physics")).name == "physics"
    with pytest.raises(NotFound):
        await users.get_group(session, "alchemy")


async def test_what_is_not_there_is_not_found(here: RevaSite) -> None:
    session = await here.session("einstein")
    for ask in (shares.get_share, shares.received_share, shares.get_ocm_share, shares.received_ocm_share, links.get_link):
        with pytest.raises(NotFound):
            await ask(session, "17")
    with pytest.raises(NotFound):
        await shares.provider_info(session, "nowhere.example")


async def test_a_link_is_made_changed_and_removed(here: RevaSite) -> None:
    session = await here.session("einstein")
    info = await here.put("einstein", "f.txt", b"x")
    until = float(int(time.time()) + 3600)
    link = await links.create_link(
        session, Ref.of(info.id), Role.VIEWER, password="a Secret 1!", expires_at=until, name="press"
    )
    # v3 leaves the space away
    assert (link.resource_id.opaque_id, link.role, link.name, link.expires_at) == (
        info.id.opaque_id,
        Role.VIEWER,
        "press",
        until,
    )
    assert (link.password_protected, bool(link.token)) == (True, True)
    assert await links.list_links(session, info.id) == [link] == await links.list_links(session)
    link = await links.set_role(session, link, Role.EDITOR)
    link = await links.set_password(session, link, "")
    link = await links.set_expiry(session, link, None)
    link = await links.set_name(session, link, "all")
    assert (link.role, link.password_protected, link.expires_at, link.name) == (Role.EDITOR, False, None, "all")
    assert await links.get_link(session, link.id) == link
    await links.remove_link(session, link.id)
    assert await links.list_links(session) == []


async def test_a_file_without_a_name_for_its_link_has_its_own(here: RevaSite) -> None:
    session = await here.session("einstein")
    info = await here.put("einstein", "f.txt", b"x")
    assert (await links.create_link(session, Ref.of(info.id), Role.VIEWER)).token


async def test_owner_and_checksum_are_told(here: RevaSite) -> None:
    session = await here.session("einstein")
    info = await here.put("einstein", "f.txt", b"x")
    known = await details(session, Ref.of(info.id))
    assert (known.info.id, known.owner.opaque_id) == (info.id, session.user.opaque_id)
    sha1 = ("sha1", "11f6ad8ec52a2984abaafd7c3b516503785c2072")
    assert (known.algorithm, known.checksum) == (("", "") if here.revad.bare else sha1)
