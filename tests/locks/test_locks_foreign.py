import json
from dataclasses import replace
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cs3collab.locks import foreign
from cs3collab.locks.arbiter import APP_NAME, parse_lock_id
from cs3collab.locks.foreign import CS3API4LAB_KEY, CS3CLIENT_KEY, WAIT, advice, held_error, lock_on, noted_lock, program
from cs3collab.types import Etag, FileInfo, Lock, ResourceId, Role, User

NOW = 1_700_000_000.0  # 22:13:20 UTC
EVE = User("eve-1", "a.test", "eve", "Eve Elsewhere")


def cs3api4lab(updated: float, created: float = NOW - 600) -> str:
    """As Cs3api4Lab 0.x writes it (`Metadata._generate_lock_entry`)."""
    said = {"username": "eve", "idp": "a.test", "opaque_id": "eve-1", "updated": updated, "created": created}
    return quote(json.dumps(said))


@pytest.mark.parametrize(
    ("metadata", "lock"),
    [
        ({}, None),
        ({"other": "x"}, None),
        (
            {CS3API4LAB_KEY: cs3api4lab(NOW - 100)},
            Lock(CS3API4LAB_KEY, CS3API4LAB_KEY, User("eve-1", "a.test", "eve"), NOW + 50, NOW - 600),
        ),
        ({CS3API4LAB_KEY: cs3api4lab(NOW - 151)}, None),
        ({CS3API4LAB_KEY: "nonsense"}, None),
        ({CS3API4LAB_KEY: quote("[1]")}, None),
        ({CS3API4LAB_KEY: quote("{}")}, None),
        ({CS3API4LAB_KEY: quote('{"username": "a", "idp": "b", "opaque_id": "c", "updated": {}, "created": 1}')}, None),
        ({CS3CLIENT_KEY: f"Collabora!the!lock!{NOW + 5:.0f}"}, Lock("the!lock", "Collabora", expires_at=NOW + 5)),
        ({CS3CLIENT_KEY: f"Collabora!lock!{NOW - 5:.0f}"}, None),
        ({CS3CLIENT_KEY: "Collabora!lock!never"}, None),
        ({CS3CLIENT_KEY: "Collabora"}, None),
        ({CS3API4LAB_KEY: "nonsense", CS3CLIENT_KEY: f"a!b!{NOW + 5:.0f}"}, Lock("b", "a", expires_at=NOW + 5)),
    ],
)
def test_locks_noted_in_metadata_are_read_until_they_end(metadata: dict[str, str], lock: Lock | None) -> None:
    assert noted_lock(metadata, NOW) == lock


@given(st.text(), st.text())
def test_no_metadata_makes_it_fail(one: str, two: str) -> None:
    noted_lock({CS3API4LAB_KEY: one, CS3CLIENT_KEY: two}, NOW)


@pytest.mark.parametrize(
    ("app_name", "lock_id", "name"),
    [
        ("Collabora", "x", "Collabora Online"),
        ("com.github.owncloud.collaboration.OnlyOffice", "x", "ONLYOFFICE"),
        ("wopi", "x", "an office application (WOPI)"),
        ("cs3-jupyter", "x", "JupyterLab (cs3-jupyter)"),
        ("", CS3API4LAB_KEY, "JupyterLab (Cs3api4Lab)"),
        ("", "opaquelocktoken:797699dd", "a program that uses WebDAV"),
        ("an editor", "x", "an editor"),
        ("", "x", ""),
        (APP_NAME, "x", "another server that edits this notebook"),
    ],
)
def test_programs_have_the_names_that_people_know(app_name: str, lock_id: str, name: str) -> None:
    assert program(app_name, lock_id) == name


@pytest.mark.parametrize(
    ("lock", "sighted_at", "says"),
    [
        (None, None, "the file is locked by someone else"),
        (Lock("x"), None, "the file is locked by someone else"),
        (
            Lock("x", "Collabora", EVE, NOW + 600, NOW - 60),
            NOW - 30,
            "the file is locked by Eve Elsewhere (eve) with Collabora Online since 22:12:20 UTC, until 22:23:20 UTC",
        ),
        (Lock("x", "Collabora", None, NOW + 600), NOW - 30, "the file is locked by Collabora Online until 22:23:20 UTC"),
        (
            Lock("x", "Collabora", None, NOW + 7200),
            NOW - 90,
            "the file is locked by Collabora Online since 22:11:50 UTC or longer, until 2023-11-15 00:13 UTC",
        ),
        (Lock("x", "", EVE), None, "the file is locked by Eve Elsewhere (eve)"),
    ],
)
def test_it_is_said_who_holds_it_with_what_since_and_until_when(lock: Lock | None, sighted_at: float | None, says: str) -> None:
    assert held_error(lock, NOW, sighted_at).message == says


HOUR = 3600.0


@pytest.mark.parametrize(
    ("lock", "sighted_at", "why"),
    [
        pytest.param(Lock("x", "Collabora", None, NOW + 600), None, "", id="an ordinary one"),
        pytest.param(Lock("x", "Collabora", None, NOW + 600), NOW - HOUR, "", id="for an hour"),
        pytest.param(Lock("x", "Collabora", None, NOW - 30), None, "", id="just ended"),
        pytest.param(Lock("x", "Collabora"), None, "This lock has no end.", id="without end"),
        pytest.param(Lock("x", "Collabora", None, NOW - 200), None, "This lock has ended", id="ended and not removed"),
        pytest.param(Lock("x", "Collabora", None, NOW + 5 * HOUR), None, "lasts for hours", id="long"),
        pytest.param(Lock("x", "Collabora", None, NOW + 9, NOW - 5 * HOUR), None, "for hours", id="old, as the storage says"),
        pytest.param(Lock("x", "Collabora", None, NOW + 9), NOW - 5 * HOUR, "for hours", id="old, as we saw"),
        pytest.param(Lock("x", "Collabora", None, NOW + 9, NOW - 1), NOW - 5 * HOUR, "", id="young, as the storage says"),
        pytest.param(
            Lock(f"{APP_NAME}:dead:1", APP_NAME), None, "no end. Close the notebook", id="another server's, without end"
        ),
    ],
)
def test_a_lock_that_seems_stuck_comes_with_what_to_do(lock: Lock, sighted_at: float | None, why: str) -> None:
    said = advice(lock, NOW, sighted_at)
    assert why in said
    assert bool(said) is bool(why)
    if why:
        assert "cs3collab doctor --unlock" in said
    assert held_error(lock, NOW, sighted_at).hint == (said or WAIT)


def test_the_storages_own_lock_comes_before_one_that_is_noted() -> None:
    noted = {CS3API4LAB_KEY: cs3api4lab(NOW)}
    info = FileInfo(ResourceId("s", "o"), "n.ipynb", "/n.ipynb", False, Etag('"1"'), 0, NOW, Role.EDITOR, metadata=noted)
    assert lock_on(info, NOW) == noted_lock(noted, NOW)
    kept = Lock("x", "Collabora")
    assert lock_on(replace(info, lock=kept), NOW) == kept


@pytest.mark.parametrize(
    "metadata",
    [
        {"cs3client.advlock": "app!id!inf"},
        {"cs3client.advlock": "app!id!nan"},
        {"cs3client.advlock": "app!id!1e300"},
        {foreign.CS3API4LAB_KEY: "[" * 100_000},
        {foreign.CS3API4LAB_KEY: '{"opaque_id": "", "idp": "", "username": "", "created": 1, "updated": ' + "9" * 400 + "}"},
        {"cs3collab.claim.x": "[" * 100_000},
    ],
    ids=range(6),
)
def test_nonsense_in_metadata_is_no_lock(metadata: dict[str, str]) -> None:
    assert foreign.noted_lock(metadata, 1000.0) is None
    assert not foreign.holder(metadata, 1000.0)


@pytest.mark.parametrize("at", [float("inf"), 1e300, -1e300])
def test_odd_times_are_words_too(at: float) -> None:
    assert foreign.held_error(Lock("x", "app", expires_at=at, since=at), 1000.0).message
    assert parse_lock_id("cs3collab:a:" + "9" * 5000) is None
