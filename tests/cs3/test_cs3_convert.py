"""Messages to nouns and back: what goes out comes in again."""

from __future__ import annotations

import dataclasses

import pytest
from cs3.identity.user.v1beta1 import resources_pb2 as identity
from cs3.storage.provider.v1beta1 import resources_pb2 as storage
from hypothesis import given
from hypothesis import strategies as st

from cs3collab.cs3 import convert
from cs3collab.types import Lock, Ref, ResourceId, Role, User

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=40)
ids = st.builds(ResourceId, texts, texts, texts)
users = st.builds(User, opaque_id=texts.filter(bool), idp=texts, federated=st.booleans())
seconds = st.integers(0, 2**33).map(float)


@given(ids)
def test_ids_come_back(rid: ResourceId) -> None:
    assert convert.from_id(convert.to_id(rid)) == rid


@given(names.filter(lambda name: not name.startswith(".")), ids)
def test_references_come_back_and_a_path_below_an_id_is_relative(name: str, rid: ResourceId) -> None:
    assert convert.from_ref(convert.to_ref(Ref(f"/{name}"))) == Ref(f"/{name}")
    assert convert.from_ref(convert.to_ref(Ref.of(rid))) == Ref.of(rid)
    for path in (name, f"./{name}", f"/{name}"):
        assert convert.to_ref(Ref(path, rid)).path == f"./{name}"


@pytest.mark.parametrize("name", [".hidden", "..odd", ".cs3collab/room"])
def test_a_hidden_file_below_an_id_is_relative_too(name: str) -> None:
    assert convert.to_ref(Ref(name, ResourceId("a", "b", "c"))).path == f"./{name}"


@given(users)
def test_user_ids_come_back(user: User) -> None:
    assert convert.from_user_id(convert.to_user_id(user)) == user


@given(st.builds(Lock, texts.filter(bool), texts.filter(bool), st.none(), st.none() | seconds))
def test_our_locks_come_back_without_a_user(lock: Lock) -> None:
    message = convert.to_lock(lock, "cs3collab")
    assert convert.from_lock(message) == lock
    assert not message.HasField("user")
    assert message.type == storage.LOCK_TYPE_WRITE


def test_a_lock_without_an_application_gets_ours() -> None:
    assert convert.to_lock(Lock("id"), "cs3collab").app_name == "cs3collab"


def test_whose_lock_it_is_is_seen() -> None:
    message = storage.Lock(lock_id="x", app_name="office", user=identity.UserId(opaque_id="marie", idp="site-a.test"))
    assert convert.from_lock(message) == Lock("x", "office", User("marie", "site-a.test"))


@given(st.floats(0, 2**33, allow_nan=False))
def test_times_come_back_to_the_microsecond(at: float) -> None:
    assert convert.from_timestamp(convert.to_timestamp(at)) == pytest.approx(at, abs=1e-6)


@given(st.sampled_from(Role), st.booleans())
def test_the_permissions_of_a_role_are_read_as_that_role(role: Role, is_dir: bool) -> None:
    assert convert.role_of(convert.permissions_for(role, is_dir=is_dir)) is role


def test_permissions_that_files_refuse_are_not_asked_for() -> None:
    on_file = convert.permissions_for(Role.EDITOR, is_dir=False)
    assert not any((on_file.create_container, on_file.delete, on_file.move))
    assert convert.permissions_for(Role.EDITOR, is_dir=True).create_container


@given(names, names, ids, st.integers(0, 2**60), seconds, st.dictionaries(texts, texts, max_size=4))
def test_what_stat_says_is_kept(
    folder: str, name: str, rid: ResourceId, size: int, at: float, metadata: dict[str, str]
) -> None:
    message = storage.ResourceInfo(
        type=storage.RESOURCE_TYPE_FILE,
        id=convert.to_id(rid),
        path=f"/{folder}/{name}",
        etag='"e"',
        size=size,
        mtime=convert.to_timestamp(at),
        permission_set=convert.permissions_for(Role.VIEWER, is_dir=False),
        arbitrary_metadata=storage.ArbitraryMetadata(metadata=metadata),
    )
    info = convert.from_info(message)
    assert (info.id, info.name, info.size, info.mtime, info.role) == (rid, name, size, at, Role.VIEWER)
    assert (info.is_dir, info.etag, info.metadata, info.lock, info.parent_id) == (False, '"e"', metadata, None, None)
    assert dataclasses.replace(info) == info
