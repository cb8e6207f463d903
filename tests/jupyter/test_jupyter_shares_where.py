"""Where shared files are in the user's tree, what is asked of storage for it, and who is present."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from support.sites import share_local, site, user

from cs3collab.cs3 import shares
from cs3collab.cs3.gateway import Gateway
from cs3collab.jupyter.live import Live
from cs3collab.jupyter.shares_given import GivenShares
from cs3collab.jupyter.shares_info import MAX_PRESENT, file_info, presence
from cs3collab.jupyter.shares_json import Grantee, NewShare, Share
from cs3collab.jupyter.shares_model import LISTED
from cs3collab.jupyter.shares_people import AT_ONCE, Directory
from cs3collab.jupyter.shares_received import GotShares
from cs3collab.limits import DEFAULT
from cs3collab.rooms.lib0 import AwarenessEntry, encode_awareness
from cs3collab.rooms.presence import REMOTE, Presence
from cs3collab.rooms.room import Seat
from cs3collab.types import Lineage, Role, RoomStatus, SiteId, User

MARIE = Grantee("marie-id")


def given(manager: Any) -> GivenShares:
    return GivenShares(manager.settings, Directory(manager.settings.session))


def got(manager: Any) -> GotShares:
    return GotShares(manager.settings, Directory(manager.settings.session))


async def test_a_file_of_a_project_is_shared_by_its_manager_and_found_there(home: Any, einstein: Any, manage: Any) -> None:
    await einstein.save({"type": "directory"}, "Projects/atlas/run 1")
    await einstein.save({"type": "file", "format": "text", "content": "x"}, "Projects/atlas/run 1/x.txt")
    made = await given(einstein).create(NewShare("Projects/atlas/run 1/x.txt", "user", "viewer", Grantee("richard-id")))
    assert isinstance(made, Share)
    assert (made.path, made.name, made.creator.display_name) == ("Projects/atlas/run 1/x.txt", "x.txt", "Albert Einstein")
    assert [share.path for share in (await given(einstein).listed(None, LISTED)).shares] == [made.path]
    assert [share.id for share in (await given(einstein).listed("Projects/atlas/run 1/x.txt", LISTED)).shares] == [made.id]
    assert (await given(manage(home, "marie")).listed(None, LISTED)).shares == []


async def test_a_folder_that_is_called_as_ours_has_its_shown_path(home: Any, einstein: Any) -> None:
    await einstein.save({"type": "directory"}, "Projects (home)")
    await einstein.save({"type": "file", "format": "text", "content": "x"}, "Projects (home)/x.txt")
    made = await given(einstein).create(NewShare("Projects (home)/x.txt", "user", "viewer", MARIE))
    assert isinstance(made, Share)
    assert made.path == "Projects (home)/x.txt"


async def test_a_renamed_file_is_shared_under_its_new_name(home: Any, einstein: Any) -> None:
    await home.put("einstein", "old.txt", b"x")
    made = await given(einstein).create(NewShare("old.txt", "user", "viewer", MARIE))
    assert isinstance(made, Share)
    await einstein.rename_file("old.txt", "new.txt")
    assert [(share.id, share.path) for share in (await given(einstein).listed(None, LISTED)).shares] == [(made.id, "new.txt")]


async def test_shares_of_one_name_lead_to_their_own_files(home: Any, manage: Any) -> None:
    for owner in ("einstein", "richard"):
        await home.put(owner, "fit.txt", owner.encode())
        await share_local(home, owner, "marie", "fit.txt")
    marie = manage(home, "marie")
    listed = (await got(marie).listed("accepted", LISTED)).received
    contents = {share.owner.name: (await marie.get(share.path))["content"] for share in listed}
    assert contents == {"einstein": "einstein", "richard": "richard"}


async def test_a_list_asks_a_bounded_number_of_questions_at_once_and_each_name_once(
    home: Any, einstein: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await home.session("einstein")
    marie = (await home.session("marie")).user
    for number in range(30):
        await home.put("einstein", f"many/{number}.txt", b"x")
        await shares.create_share(session, await home.ref("einstein", f"many/{number}.txt"), marie, Role.VIEWER)
    asked: list[str] = []
    under_way = most = 0
    call = Gateway.call

    async def counted(self: Gateway, method: str, request: Any, **options: Any) -> Any:
        nonlocal under_way, most
        asked.append(method)
        under_way += 1
        most = max(most, under_way)
        try:
            return await call(self, method, request, **options)
        finally:
            under_way -= 1

    monkeypatch.setattr(Gateway, "call", counted)
    api = given(einstein)
    listed = await api.listed(None, 20)
    assert (len(listed.shares), listed.truncated) == (20, True)
    assert (asked.count("GetPath"), asked.count("GetUser")) == (20, 2)
    assert most <= AT_ONCE + 2
    asked.clear()
    await api.listed(None, 20)
    assert asked.count("GetUser") == 0


async def test_a_site_whose_idp_is_a_url_and_that_is_not_configured_has_its_domain(tmp_path: Any, manage: Any) -> None:
    users = [replace(user(name), idp="https://a.example") for name in ("einstein", "marie")]
    async with site(tmp_path, users=users) as home:
        await home.put("einstein", "x.txt", b"x")
        einstein, marie = manage(home, "einstein"), manage(home, "marie")
        einstein.settings.site = marie.settings.site = ""
        made = await given(einstein).create(NewShare("x.txt", "user", "viewer", MARIE))
        assert isinstance(made, Share)
        (received,) = (await got(marie).listed("", LISTED)).received
        assert (received.site, received.kind, received.owner.idp) == ("a.example", "user", "https://a.example")
        known = await file_info(einstein.settings, Live(einstein.settings), Directory(einstein.settings.session), "x.txt")
        assert (known.site, known.may_share, known.owner.kind) == ("a.example", True, "user")


# Who is present


class OneRoom:
    """As much of a `Room` as `presence` looks at."""

    def __init__(self, *users: User, editors: int = 0) -> None:
        self.presence = Presence(DEFAULT)
        self.seats = {number: Seat(user, Role.EDITOR, None) for number, user in enumerate(users)}  # type: ignore[arg-type]
        self.status = RoomStatus(SiteId("a"), Lineage("x"), editors=editors)


def test_nobody_is_present_in_a_room_without_seats() -> None:
    room: Any = OneRoom()
    assert presence([]) is presence([room]) is None


def test_people_here_and_elsewhere_are_named_once() -> None:
    einstein = User("e", "a", "einstein", "Albert Einstein")
    room: Any = OneRoom(einstein, User("m", "b"), editors=3)
    states = [
        (1, b'{"user": {"username": "e@a", "name": "Albert Einstein", "color": "red"}, "cursor": null}'),
        (2, b'{"user": {"username": "r@c", "name": "Richard"}}'),
        (3, b'{"user": {"username": "r@c", "name": "Richard"}}'),
        (4, b"{}"),
        (5, b'"odd"'),
    ]
    room.presence.offer(encode_awareness([AwarenessEntry(client, 1, state) for client, state in states]), owner=REMOTE)
    there = presence([room])
    assert there is not None
    assert [(one.id, one.display_name) for one in there.people] == [
        ("e@a", "Albert Einstein"),
        ("m@b", "m"),
        ("r@c", "Richard"),
    ]
    assert (there.editors, there.truncated) == (3, False)


def test_a_seminar_is_cut_short() -> None:
    room: Any = OneRoom(*(User(str(number), "a") for number in range(MAX_PRESENT + 5)))
    there = presence([room])
    assert there is not None
    assert (len(there.people), there.truncated) == (MAX_PRESENT, True)


async def test_searching_for_people_does_not_wait_for_each_other(home: Any, einstein: Any) -> None:
    """Ten searches at once, as of somebody who types."""
    directory = Directory(einstein.settings.session)
    found = await asyncio.gather(*(directory.search("marie"[:length]) for length in range(6)))
    assert [len(people.people) for people in found] == [0, 0, 2, 1, 1, 1]
