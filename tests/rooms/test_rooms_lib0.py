"""lib0's encodings, against those of pycrdt."""

from __future__ import annotations

import contextlib
import json

import pycrdt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cs3collab.errors import InvalidInput
from cs3collab.rooms.lib0 import (
    MAX_CLOCK,
    MAX_NUMBER,
    AwarenessEntry,
    Reader,
    decode_awareness,
    decode_state_vector,
    encode_awareness,
    lacks,
    write_var_bytes,
    write_var_uint,
)

STATES = st.dictionaries(
    st.text(max_size=5), st.one_of(st.none(), st.integers(-(2**31), 2**31), st.text(max_size=10)), max_size=3
)


@given(st.integers(0, 2**63 - 1))
def test_numbers_come_back(number: int) -> None:
    reader = Reader(write_var_uint(number) + b"rest")
    assert (reader.var_uint(), reader.rest()) == (number, b"rest")


@given(st.binary(max_size=300))
def test_strings_are_those_of_pycrdt(data: bytes) -> None:
    assert Reader(write_var_bytes(data)).var_bytes() == data
    message = pycrdt.create_update_message(data)
    assert message[2:] == write_var_bytes(data)


@given(st.lists(st.tuples(st.integers(1, 2**32), st.integers(1, 5)), max_size=6, unique_by=lambda pair: pair[0]))
def test_state_vectors_are_those_of_pycrdt(clients: list[tuple[int, int]]) -> None:
    whole: pycrdt.Doc = pycrdt.Doc()
    for client, edits in clients:
        doc: pycrdt.Doc = pycrdt.Doc(client_id=client)
        text = doc.get("t", type=pycrdt.Text)
        for _ in range(edits):
            text += "x"
        whole.apply_update(doc.get_update())
    assert decode_state_vector(whole.get_state()) == dict(clients)


@given(st.integers(1, MAX_NUMBER), STATES)
def test_awareness_is_that_of_pycrdt(client: int, state: dict[str, object]) -> None:
    doc: pycrdt.Doc = pycrdt.Doc(client_id=client % 2**32 or 1)
    awareness = pycrdt.Awareness(doc)
    awareness.set_local_state(state)
    theirs = awareness.encode_awareness_update([doc.client_id])
    entries = decode_awareness(theirs)
    assert [json.loads(entry.state) for entry in entries] == [state]
    other = pycrdt.Awareness(pycrdt.Doc())
    other.apply_awareness_update(encode_awareness(entries), "test")
    assert other.states[doc.client_id] == state


@given(st.binary(max_size=200))
def test_nonsense_is_refused_and_nothing_else_happens(data: bytes) -> None:
    for decode in (decode_awareness, decode_state_vector, lambda d: Reader(d).var_bytes()):
        with contextlib.suppress(InvalidInput):
            decode(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80",
        b"\xff" * 11,
        write_var_uint(1),
        write_var_uint(1001),
        encode_awareness([AwarenessEntry(MAX_NUMBER + 1, 0, b"{}")]),
        encode_awareness([AwarenessEntry(1, MAX_CLOCK + 1, b"{}")]),
        encode_awareness([AwarenessEntry(1, 1, b"{}")])[:-1],
    ],
)
def test_what_browsers_would_choke_on_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        decode_awareness(data)


def test_a_state_vector_of_too_many_clients_is_refused() -> None:
    with pytest.raises(InvalidInput, match="clients"):
        decode_state_vector(write_var_uint(100_001) + b"\1\1" * 100_001)


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [({}, {}, False), ({}, {1: 1}, True), ({1: 1}, {1: 1}, False), ({1: 2}, {1: 1}, False), ({1: 1, 2: 9}, {1: 2}, True)],
)
def test_who_lacks_something(theirs: dict[int, int], ours: dict[int, int], expected: bool) -> None:
    assert lacks(theirs, ours) is expected
