"""The link protocol's bytes: every message comes back, anything else is a violation."""

from __future__ import annotations

import contextlib
import tracemalloc

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cs3collab.errors import InvalidInput, ProtocolViolation
from cs3collab.relay import protocol as p
from cs3collab.types import Credential, Lineage, ResourceId, Role, RoomStatus, SiteId, Target

KINDS = list(p.Message.__args__)
MESSAGES = st.one_of([st.from_type(kind) for kind in KINDS])
SECRET = "hunter2-of-marie"


@settings(max_examples=200)
@given(st.lists(MESSAGES, max_size=4))
def test_frames_come_back(messages: list[p.Message]) -> None:
    try:
        frame = p.encode(messages)
    except OverflowError:  # numbers that no peer of ours makes
        return
    back = p.decode(frame)
    assert [type(m) for m in back] == [type(m) for m in messages]
    assert p.encode(back) == frame


@settings(max_examples=500)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_a_violation(data: bytes) -> None:
    with contextlib.suppress(ProtocolViolation):
        p.decode(data)


@settings(max_examples=300)
@given(st.lists(MESSAGES, min_size=1, max_size=2), st.data())
def test_a_damaged_frame_is_a_frame_or_a_violation(messages: list[p.Message], data: st.DataObject) -> None:
    try:
        frame = bytearray(p.encode(messages))
    except OverflowError:
        return
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ProtocolViolation):
        p.decode(bytes(frame))


@pytest.mark.parametrize(
    "frame",
    [
        msgspec.msgpack.encode([[4, 1], "x"]),
        msgspec.msgpack.encode([[999, 1]]),
        msgspec.msgpack.encode([[17, 1, 7, ""]]),  # no such role
        b"\x91\x92\x15\xa1\xff",  # not UTF-8
        b"\x91" * 5000,
        b"",
    ],
)
def test_violations(frame: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        p.decode(frame)


@pytest.mark.parametrize(
    ("begin", "each"),
    [
        pytest.param(b"", b"\x92\x04\x01", id="messages"),
        pytest.param(b"\x91\x94\x20\x01\x01", b"\xa0", id="keys"),
    ],
)
def test_a_frame_of_too_many_parts_is_a_violation_before_anything_is_made_of_it(begin: bytes, each: bytes) -> None:
    """Three bytes a message would fill the memory otherwise: a frame may be as large as the largest update."""
    frame = begin + b"\xdd" + (400_000).to_bytes(4, "big") + each * 400_000
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolViolation):
            p.decode(frame)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_newer_peers_further_fields_are_ignored() -> None:
    assert p.decode(msgspec.msgpack.encode([[4, 1, "new"]])) == [p.Detach(1)]


def test_tags_are_unique_and_never_change() -> None:
    tags = {kind.__struct_config__.tag: kind.__name__ for kind in KINDS}
    assert [tags[n] for n in sorted(tags)] == [
        *("Attach", "Attached", "Failed", "Detach", "Detached", "Sync", "Synced", "Push", "Ack", "Refuse", "Update"),
        *("Speak", "Presence", "Save", "Saved", "Status", "RoleChanged", "Renew", "Renewed", "Closed", "Forget"),
        *("Versions", "VersionList", "ReadVersion", "VersionContent", "Restore", "Restored", "NameVersion", "VersionNamed"),
        *("Merge", "MergedIn", "Decide", "Decided"),
    ]


@pytest.mark.parametrize(
    "target",
    [
        Target("json", "notebook", ResourceId("s", "o", "sp")),
        Target("text", "file", None, "share-1", "sub/x.txt"),
        Target("json", "notebook", None, "", "."),
    ],
)
@pytest.mark.parametrize("credential", [Credential("bearer", SECRET), Credential("ocm", SECRET, "share")])
def test_an_attach_says_what_is_wanted_and_keeps_the_secret_out_of_its_repr(target: Target, credential: Credential) -> None:
    message = p.attach_message(1, 2, target, credential)
    assert p.attach_parts(message) == (target, credential)
    renewal = p.Renew(1, 2, credential.kind, credential.client_id, credential.secret)
    assert SECRET not in repr(message) + repr(renewal) + repr(credential)


def test_an_unknown_kind_of_credential_is_refused() -> None:
    with pytest.raises(InvalidInput):
        p.attach_parts(p.attach_message(1, 2, Target(), Credential("basic", SECRET)))
    with pytest.raises(InvalidInput):
        p.attach_parts(p.Attach(1, 2, "bearer", "", "x", "json", "notebook", "%%%", "", "."))


@given(st.builds(RoomStatus, home=st.text().map(SiteId), lineage=st.text().map(Lineage), position=st.integers(0, 2**53)))
def test_a_status_comes_back(status: RoomStatus) -> None:
    message = p.status_message("room", status)
    (back,) = p.decode(p.encode([message]))
    assert isinstance(back, p.Status)
    assert p.status_of(back) == status


def test_roles_are_numbers_on_the_wire() -> None:
    assert msgspec.msgpack.decode(p.encode([p.RoleChanged(1, Role.VIEWER, "r")])) == [[17, 1, 1, "r"]]
