import re

import pytest
from traitlets.config import Config

from cs3collab.jupyter.identity import CS3IdentityProvider, colour, initials, jupyter_user
from cs3collab.types import User

EINSTEIN = User("einstein-id", "a.example", "einstein", "Albert Einstein")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Albert Einstein", "AE"),
        ("einstein", "E"),
        ("Ada Lovelace Byron King", "AK"),
        ("jean-luc picard", "JP"),
        ("a.b", "AB"),
        ("Éva", "É"),
        ("(guest)", ""),
        ("", ""),
    ],
)
def test_initials(name, expected):
    assert initials(name) == expected


def test_colours_are_steady_and_differ():
    made = {colour(f"user{n}@a.example") for n in range(50)}
    assert len(made) > 40
    assert all(re.fullmatch("#[0-9a-f]{6}", value) for value in made)
    assert colour("x") == colour("x")


@pytest.mark.parametrize(
    ("user", "username", "name"),
    [
        (EINSTEIN, "einstein", "Albert Einstein"),
        (User("id", "b.example", "marie"), "marie", "marie"),
        (User("id", "b.example"), "id@b.example", "id"),
    ],
)
def test_what_jupyter_shows_of_a_user(user, username, name):
    made = jupyter_user(user)
    assert (made.username, made.name, made.display_name) == (username, name, name)


@pytest.fixture
async def provider(home, einstein):
    made = CS3IdentityProvider(config=einstein.config)
    await einstein.settings.session()
    return made


async def test_who_one_is_comes_from_storage(provider):
    me = provider.generate_anonymous_user(None)
    assert (me.username, me.display_name, me.initials) == ("einstein", "Albert Einstein", "AE")


async def test_a_cookie_lets_in_but_does_not_rename(provider):
    mine = jupyter_user(EINSTEIN, "#123456")
    forged = jupyter_user(User("marie-id", "a.example", "marie", "Marie Curie"), "#654321")
    assert provider.user_from_cookie(provider.user_to_cookie(mine)).color == "#123456"
    assert provider.user_from_cookie(provider.user_to_cookie(forged)).username == "einstein"


def test_only_the_colour_may_be_changed():
    assert CS3IdentityProvider(config=Config()).updatable_fields == ["color"]
