"""Awareness with an owner: nobody speaks for another, and everybody who is here is seen."""

from __future__ import annotations

import contextlib
import json

import pycrdt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cs3collab.errors import CollabError, InvalidInput, Overloaded
from cs3collab.limits import DEFAULT
from cs3collab.rooms.lib0 import AwarenessEntry, decode_awareness, encode_awareness
from cs3collab.rooms.presence import REMOTE, Presence, signed
from cs3collab.types import User

MARIE = User("marie-id", "a.example", "marie", "Marie Curie")


def said(client: int, clock: int, state: object = "here") -> bytes:
    return encode_awareness([AwarenessEntry(client, clock, json.dumps(state).encode())])


def seen(presence: Presence) -> dict[int, tuple[int, object]]:
    entries = decode_awareness(presence.encode(presence.clients))
    return {entry.client: (entry.clock, json.loads(entry.state)) for entry in entries}


def test_a_client_belongs_to_who_spoke_for_it_first() -> None:
    presence = Presence()
    assert presence.offer(said(7, 1, "mine"), owner=1) == [7]
    assert presence.offer(said(7, 2**52, "forged"), owner=2) == []
    assert presence.offer(said(7, 2, None), owner=2) == []
    assert seen(presence) == {7: (1, "mine")}


def test_older_news_of_a_client_are_ignored() -> None:
    presence = Presence()
    presence.offer(said(7, 5, "new"), owner=1)
    assert presence.offer(said(7, 4, "old"), owner=1) == []
    assert presence.offer(said(7, 5, "again"), owner=1) == []
    assert presence.offer(said(7, 5, None), owner=1) == [7]
    assert presence.offer(said(7, 5, None), owner=1) == []
    assert presence.clients == []


def test_nobody_can_bury_a_client_that_is_still_to_come() -> None:
    presence = Presence()
    assert presence.offer(said(7, 2**52, None), owner=2) == []
    presence.forget_gone()
    assert presence.offer(said(7, 1, "here"), owner=1) == [7]
    assert seen(presence) == {7: (1, "here")}


def test_who_comes_back_with_old_clocks_is_seen_by_a_real_client() -> None:
    """A link that broke, or another owner after a reload: what others were told last must be older than what they hear now."""
    presence = Presence()
    doc: pycrdt.Doc = pycrdt.Doc()
    browser = pycrdt.Awareness(doc)
    for owner in (1, 2, 3):
        presence.offer(said(7, 3, f"owner {owner}"), owner=owner)
        browser.apply_awareness_update(presence.encode([7]), "room")
        assert browser.states[7] == f"owner {owner}"
        presence.offer(said(7, 4, "moved"), owner=owner)
        browser.apply_awareness_update(presence.encode([7]), "room")
        assert browser.states[7] == "moved"
        assert presence.leave(owner) == [7]
        browser.apply_awareness_update(presence.encode([7]), "room")
        assert 7 not in browser.states
        presence.forget_gone()


def test_what_is_said_again_elsewhere_has_the_clients_own_clocks() -> None:
    presence = Presence()
    presence.offer(said(7, 3), owner=1)
    presence.leave(1)
    presence.forget_gone()
    presence.offer(said(7, 3), owner=2)
    assert seen(presence)[7][0] > 3
    assert presence.said_by(2) == said(7, 3)
    assert presence.said_by(1) == b""


def test_a_name_is_the_verified_one_and_the_rest_the_clients() -> None:
    state = json.dumps({"user": {"name": "Albert", "username": "x", "color": "red"}, "cursor": 3}).encode()
    assert json.loads(signed(state, MARIE)) == {
        "user": {"name": "Marie Curie", "display_name": "Marie Curie", "username": MARIE.key, "color": "red"},
        "cursor": 3,
    }
    assert json.loads(signed(b"{}", MARIE))["user"]["username"] == MARIE.key
    assert signed(b"null", MARIE) == b"null"
    once = signed(state, MARIE)
    assert signed(once, MARIE) is once


@pytest.mark.parametrize("state", [b"", b"[]", b"1", b'"\xff"', b'{"a":"\xc3"}', b"[" * 16_000, b"{", b'{"a":1}x'])
def test_states_that_are_no_objects_are_refused(state: bytes) -> None:
    presence = Presence()
    with pytest.raises(InvalidInput):
        presence.offer(encode_awareness([AwarenessEntry(1, 1, state)]), owner=1, user=MARIE)
    assert presence.clients == []


@given(st.binary(max_size=200))
def test_any_bytes_are_taken_or_refused_in_words(data: bytes) -> None:
    with contextlib.suppress(CollabError):
        Presence().offer(data, owner=1, user=MARIE)


@pytest.mark.parametrize(("extra", "fits"), [(0, True), (1, False)])
def test_a_seat_owns_a_bounded_number_of_clients(extra: int, fits: bool) -> None:
    presence = Presence()
    bound = DEFAULT.awareness_clients_per_seat + extra
    entries = encode_awareness([AwarenessEntry(n, 1, b"{}") for n in range(bound)])
    if fits:
        presence.offer(entries, owner=1)
    else:
        with pytest.raises(Overloaded):
            presence.offer(entries, owner=1)
    assert len(presence.clients) == (bound if fits else 0)


@pytest.mark.parametrize(("extra", "fits"), [(0, True), (1, False)])
def test_a_message_is_bounded(extra: int, fits: bool) -> None:
    empty = len(said(1, 1, "x" * 10_000)) - 10_000
    message = said(1, 1, "x" * (DEFAULT.awareness_bytes - empty + extra))
    assert len(message) == DEFAULT.awareness_bytes + extra
    if fits:
        assert Presence().offer(message, owner=1) == [1]
    else:
        with pytest.raises(Overloaded):
            Presence().offer(message, owner=1)


def test_a_full_room_fits_into_what_a_replica_takes_at_once() -> None:
    everybody = encode_awareness([AwarenessEntry(n, 1, b"{}") for n in range(5000)])
    presence = Presence()
    assert len(presence.offer(everybody, owner=REMOTE)) == 5000
    with pytest.raises(InvalidInput):
        Presence().offer(everybody[: DEFAULT.awareness_bytes], owner=1)


ACTS = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 4), st.integers(0, 6), st.sampled_from(["a", "b", None, "leave", "tell"])),
    max_size=40,
)


@settings(max_examples=200)
@given(ACTS)
def test_what_is_told_others_only_grows_and_has_one_owner(acts: list[tuple[int, int, int, str | None]]) -> None:
    presence, owners, clocks = Presence(), {}, {}
    for owner, client, clock, state in acts:
        if state == "leave":
            presence.leave(owner)
            owners = {c: o for c, o in owners.items() if o != owner}
        elif state == "tell":
            for entry in decode_awareness(presence.encode(list(range(5)))):
                assert entry.clock >= clocks.get(entry.client, 0)
                clocks[entry.client] = entry.clock
            presence.forget_gone()
        elif presence.offer(said(client, clock, state), owner=owner):
            assert owners.get(client, owner) == owner
            if state is None:
                owners.pop(client, None)  # said to be gone once more
            else:
                owners[client] = owner
        assert sorted(presence.clients) == sorted(owners)
