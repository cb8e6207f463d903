"""What the shares API decides, without a server."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from cs3collab.cs3.sharing import Group
from cs3collab.errors import InvalidInput, NotFound
from cs3collab.jupyter import shares_model as model
from cs3collab.jupyter.shares_json import (
    MAX_BODY_BYTES,
    Acceptance,
    Answer,
    Grantee,
    NewInvitation,
    NewShare,
    Person,
    ShareChange,
    parse,
)
from cs3collab.types import ResourceId, Role, User

NOW = 1_700_000_000.0
MARIE = Grantee("marie-id")


def person(display_name: str, name: str = "", mail: str = "", kind: Any = "user") -> Person:
    return Person(kind, name or display_name, "a.example", name or display_name, display_name, mail)


# Requests


def test_a_body_is_read_with_all_its_fields() -> None:
    body = b'{"path": "x", "kind": "user", "role": "editor", "grantee": {"id": "m", "idp": "a"}, "expiration": 5}'
    assert parse(body, NewShare) == NewShare("x", "user", "editor", Grantee("m", "a"), 5.0)
    assert parse(b"", NewInvitation) == NewInvitation("")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", NewShare),
        (b"[]", NewShare),
        (b"\xff", Answer),
        (b'{"state": "pending"}', Answer),
        (b'{"state": "accepted", "sate": 1}', Answer),
        (b'{"path": "", "kind": "user", "role": "viewer"}', NewShare),
        (b'{"path": "x", "kind": "nobody", "role": "viewer"}', NewShare),
        (b'{"path": "x", "kind": "user", "role": "owner"}', NewShare),
        (b'{"path": "x", "kind": "user", "role": "viewer", "grantee": {"id": ""}}', NewShare),
        (b'{"path": "x", "kind": "user", "role": "viewer", "grantee": {"id": "a", "name": "b"}}', NewShare),
        (b'{"path": "x", "kind": "user", "role": "viewer", "expiration": "tomorrow"}', NewShare),
        (b'{"path": "x", "kind": "user", "role": "viewer", "expiration": 1e300}', NewShare),
        (b'{"path": "x", "kind": "user", "role": "viewer", "expiration": 1e999}', NewShare),
        (b'{"path": "x", "kind": "user", "role": "viewer", "expiration": -1}', NewShare),
        (b'{"role": null}', ShareChange),
        (b'{"token": ""}', Acceptance),
        (b'{"description": "' + b"x" * MAX_BODY_BYTES + b'"}', NewInvitation),
        (b'{"description": "' + b"x" * 2000 + b'"}', NewInvitation),
    ],
)
def test_nonsense_is_refused_with_what_to_send(body: bytes, kind: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse(body, kind)
    assert refused.value.hint


@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_be_refused(body: bytes) -> None:
    for kind in (NewShare, ShareChange, Answer, Acceptance):
        try:
            parse(body, kind)
        except InvalidInput:
            continue


def test_what_goes_together() -> None:
    model.check_new(NewShare("x", "user", "viewer", MARIE, NOW + 1), NOW)
    model.check_new(NewShare("x", "link", "viewer", None, None, "secret", "for the press"), NOW)
    model.check_change(ShareChange(expiration=None), "federated", NOW)
    model.check_change(ShareChange(password=""), "link", NOW)


@pytest.mark.parametrize(
    "new",
    [
        NewShare("x", "user", "viewer"),
        NewShare("x", "link", "viewer", MARIE),
        NewShare("x", "user", "viewer", MARIE, password="secret"),
        NewShare("x", "group", "viewer", MARIE, title="t"),
        NewShare("x", "user", "viewer", MARIE, NOW),
    ],
)
def test_what_does_not_go_together(new: NewShare) -> None:
    with pytest.raises(InvalidInput):
        model.check_new(new, NOW)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (ShareChange(), "user"),
        (ShareChange(title="t"), "user"),
        (ShareChange(role="editor", password="p"), "federated"),
        (ShareChange(expiration=NOW - 1), "link"),
    ],
)
def test_changes_that_make_no_sense(change: ShareChange, kind: Any) -> None:
    with pytest.raises(InvalidInput):
        model.check_change(change, kind, NOW)


def test_what_is_not_named_is_not_null() -> None:
    assert parse(b"{}", ShareChange).expiration is UNSET
    assert parse(b'{"expiration": null}', ShareChange).expiration is None


# Ids


@given(st.sampled_from([model.LOCAL, model.OCM, model.LINK]), st.text(min_size=1))
def test_an_id_says_whose_it_is(api: str, opaque_id: str) -> None:
    assert model.split_id(model.share_id(api, opaque_id)) == (api, opaque_id)


@pytest.mark.parametrize("text", ["", "x", "local", "local:", "elsewhere:1", ":1"])
def test_what_is_no_id_is_not_found(text: str) -> None:
    with pytest.raises(NotFound):
        model.split_id(text)


# People


def test_a_person_has_the_names_that_are_known() -> None:
    assert model.person(User("m-id", "a")) == Person("user", "m-id", "a", "m-id", "m-id", "")
    full = User("m-id", "b", "marie", "Marie Curie", "m@b", federated=True)
    assert model.person(full) == Person("federated", "m-id", "b", "marie", "Marie Curie", "m@b")
    assert model.group_person(Group("g", "a", "physics")) == Person("group", "g", "a", "physics", "physics", "")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("curie", ["Marie Curie"]),
        ("ma cu", ["Marie Curie"]),
        ("CUR marie", ["Marie Curie"]),
        ("mar", ["Marie Curie", "Oskar Marx", "Anna Summar"]),
        ("example.org", ["Oskar Marx"]),
        ("oskar curie", []),
        ("", ["Anna Summar", "Marie Curie", "Oskar Marx"]),
    ],
)
def test_partial_names_in_any_order_find_people_the_best_first(query: str, found: list[str]) -> None:
    people = [person("Anna Summar"), person("Oskar Marx", "oskar", "o@example.org"), person("Marie Curie", "marie")]
    assert [one.display_name for one in model.matching(people, query)] == found


def test_who_has_exactly_this_name_comes_first() -> None:
    people = [person("Albert Marie", "albert"), person("Zoe", "marie")]
    assert [one.name for one in model.matching(people, "marie")] == ["marie", "albert"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (User("m", "a"), User("m", "a"), True),
        (User("m", "a"), User("m", ""), True),
        (User("m", "a"), User("m", "b"), False),
        (User("m", "a"), User("n", "a"), False),
        (User("m", "b", federated=True), User("m@b", "b", federated=True), True),
        (User("m", "https://b/", federated=True), User("m@b", "b", federated=True), True),
        (User("m", "b", federated=True), User("m", "b"), False),
    ],
)
def test_who_is_the_same(one: User, other: User, same: bool) -> None:
    assert model.same_user(one, other) is same


# Places


HOME = ResourceId("s", "home", "mine")


@pytest.mark.parametrize(
    ("rid", "path", "seen"),
    [
        (ResourceId("s", "f", "mine"), "/d/fit.ipynb", "d/fit.ipynb"),
        (ResourceId("s", "f", "mine"), "d/fit.ipynb", "d/fit.ipynb"),
        (ResourceId("s", "f", "mine"), "/Shares/x", "Shares (home)/x"),
        (ResourceId("s", "f", "mine"), "/users/me/d/x", "d/x"),
        (ResourceId("s", "f", ""), "/users/me/d/x", "d/x"),
        (ResourceId("s", "f", ""), "/users/meme/x", None),
        (ResourceId("s", "f", "atlas-id"), "/run/x", "Projects/atlas/run/x"),
        (ResourceId("s", "f", "theirs"), "/x", None),
        (ResourceId("t", "f", "mine"), "/x", None),
    ],
)
def test_where_a_resource_is_in_the_users_tree(rid: ResourceId, path: str, seen: str | None) -> None:
    assert model.api_path(rid, path, HOME, "/users/me", {"atlas-id": "atlas"}) == seen


def test_lists_are_bounded_and_say_so() -> None:
    assert model.bounded([1, 3, 2], 2, float) == ([3, 2], True)
    assert model.bounded([1, 3, 2], 3, float) == ([3, 2, 1], False)


def test_roles_and_times_have_names() -> None:
    assert [model.role_name(role) for role in Role] == ["none", "viewer", "editor"]
    assert [model.role_of("viewer"), model.role_of("editor")] == [Role.VIEWER, Role.EDITOR]
    assert (model.time_or_none(0.0), model.time_or_none(5.5)) == (None, 5.5)


# Invitations


@pytest.mark.parametrize(
    ("token", "site"),
    [
        ("abc", "a.example"),
        ("abc@a.example", ""),
        (" abc@a.example\n", ""),
        (base64.b64encode(b"abc@a.example").decode(), ""),
        (base64.urlsafe_b64encode(b"abc@a.example").decode().rstrip("="), ""),
    ],
)
def test_an_invitation_is_read_in_every_form_it_is_sent_in(token: str, site: str) -> None:
    assert model.parse_invitation(token, site) == ("abc", "a.example")


@pytest.mark.parametrize("token", ["abc", "@a.example", "abc@", "%%%", "ä"])
def test_an_invitation_without_a_site_is_refused(token: str) -> None:
    with pytest.raises(InvalidInput):
        model.parse_invitation(token, "")


@given(st.text(alphabet="abcXYZ019-_", min_size=1), st.from_regex(r"[a-z]{1,9}\.example", fullmatch=True))
def test_our_codes_are_understood(token: str, site: str) -> None:
    assert model.parse_invitation(model.invitation_code(token, site), "") == (token, site)


def test_answers_say_every_field() -> None:
    assert set(msgspec.json.decode(msgspec.json.encode(person("x")))) == set(Person.__struct_fields__)
