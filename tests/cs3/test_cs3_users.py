"""Sessions and people, on the embedded gateway."""

from __future__ import annotations

import pytest
from support.sites import Site

from cs3collab.cs3 import users
from cs3collab.cs3.auth import BasicToken, BearerToken
from cs3collab.cs3.gateway import Gateway
from cs3collab.cs3.session import Session
from cs3collab.errors import InvalidInput, NotAuthenticated, NotFound
from cs3collab.types import User


async def test_a_session_knows_who_it_is(running: Site) -> None:
    session = await running.session("einstein")
    assert session.user == User("einstein-id", "a.example", "einstein", "Albert Einstein", "einstein@example.org")
    assert await session.whoami() == session.user


async def test_nobody_is_the_user_of_a_session_that_never_asked(running: Site) -> None:
    async with Gateway(running.address) as gateway:
        session = Session(gateway, BasicToken(gateway, "einstein", running.password("einstein")))
        with pytest.raises(NotAuthenticated):
            _ = session.user
        assert (await session.whoami()).username == "einstein"
        assert session.user.username == "einstein"


@pytest.mark.parametrize(("name", "password"), [("einstein", "guessed"), ("nobody", "einstein-secret"), ("einstein", "")])
async def test_a_wrong_password_is_one_line_that_says_what_to_do(running: Site, name: str, password: str) -> None:
    async with Gateway(running.address) as gateway:
        with pytest.raises(NotAuthenticated) as caught:
            await Session.open(gateway, BasicToken(gateway, name, password))
    assert "\n" not in str(caught.value)
    assert "password" in caught.value.hint
    assert not password or password not in str(caught.value)


@pytest.mark.parametrize("token", ["garbage", "a.b.c", "eyJhbGciOiJub25lIn0.e30."])
async def test_a_token_of_somewhere_else_is_refused(running: Site, token: str) -> None:
    async with Gateway(running.address) as gateway:
        with pytest.raises(NotAuthenticated):
            await Session.open(gateway, BearerToken(token))


async def test_a_given_token_is_its_owner(running: Site) -> None:
    token = await (await running.session("marie")).tokens.token()
    async with Gateway(running.address) as gateway:
        assert (await Session.open(gateway, BearerToken(token))).user.username == "marie"


async def test_people_are_found_by_parts_of_their_names(running: Site) -> None:
    session = await running.session("einstein")
    (found,) = await users.find_users(session, "curie")
    assert (found.username, found.display_name) == ("marie", "Marie Curie")
    assert await users.find_users(session, "nobody at all") == []


async def test_a_user_is_found_by_id_and_by_claim(running: Site) -> None:
    session = await running.session("einstein")
    by_id = await users.get_user(session, User("marie-id", "a.example"))
    assert by_id.display_name == "Marie Curie"
    assert await users.get_user_by_claim(session, "username", "marie") == by_id
    assert await users.get_user_by_claim(session, "mail", "marie@example.org") == by_id
    with pytest.raises(NotFound):
        await users.get_user(session, User("nobody", "a.example"))
    with pytest.raises(NotFound):
        await users.get_user_by_claim(session, "username", "nobody")


@pytest.mark.parametrize("address", ["", "localhost", ":9142", "localhost:", "http://localhost:9142", "localhost:abc", "a/b:1"])
def test_what_is_no_address_is_said_at_once(address: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Gateway(address)
    assert "host:port" in caught.value.hint


async def test_nobody_is_found_by_nonsense_and_the_gateway_stays_believed(running: Site) -> None:
    session = await running.session("einstein")
    assert await users.find_users(session, "zzzzzz") == []
    assert [user.username for user in await users.find_users(session, "marie")] == ["marie"]
    assert await users.find_users(session, "zzzzzz") == []
