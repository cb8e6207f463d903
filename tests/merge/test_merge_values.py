"""Three-way merge of JSON values."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cs3collab.merge.values import Clash, merge_objects, same, same_outputs, without_noise

NAN = float("nan")


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (NAN, math.nan, True),
        ({"a": [NAN]}, {"a": [math.nan]}, True),
        ({"a": [1]}, {"a": [True]}, False),
        ([1, 2], [2, 1], False),
        ({"a": 1}, {"b": 1}, False),
        (None, {}, False),
        ("1", 1, False),
    ],
)
def test_same(one: Any, other: Any, equal: bool) -> None:
    assert same(one, other) is equal
    assert same(other, one) is equal


def test_outputs_are_compared_without_what_every_run_changes() -> None:
    def output(count: int, text: str) -> list[dict[str, Any]]:
        return [{"output_type": "execute_result", "execution_count": count, "data": {"text/plain": text}}]

    assert same_outputs(output(1, "<X at 0x7f00aa11bb22>"), output(2, "<X at 0x7f00cc33dd44>"))
    assert not same_outputs(output(1, "0x10"), output(1, "0x20"))
    assert not same_outputs(output(1, "x"), output(1, "x") * 2)


def test_clashes_say_where() -> None:
    merged, clashes = merge_objects({"a": {"b": 1}, "c": 1}, {"a": {"b": 2}}, {"a": {"b": 3}, "c": 2})
    assert merged == {"a": {"b": 2}}
    assert clashes == [Clash(("a", "b"), 1, 2, 3), Clash(("c",), 1, None, 2)]


def test_values_that_are_not_merged_inside() -> None:
    merged, clashes = merge_objects({"f": {"x": 1}}, {"f": {"x": 1, "y": 1}}, {"f": {"x": 2}}, deep=False)
    assert merged == {"f": {"x": 1, "y": 1}}
    assert [clash.path for clash in clashes] == [("f",)]


def test_noise_is_no_reason_to_keep_what_the_other_took_away() -> None:
    base: dict[str, Any] = {"jupyter": {"x": 1, "source_hidden": False}}
    merged, clashes = merge_objects(base, {}, {"jupyter": {"x": 1, "source_hidden": True}})
    assert (merged, clashes) == ({}, [])
    assert without_noise({"collapsed": True, "jupyter": {"source_hidden": True}, "tags": ["a"]}) == {"tags": ["a"]}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["x", "y"]),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=5,
)
OBJECTS = st.dictionaries(st.sampled_from(["a", "b", "tags", "kernelspec", "collapsed"]), VALUES, max_size=4)


def plainly(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


@settings(deadline=None, max_examples=300)
@given(OBJECTS, OBJECTS, OBJECTS)
def test_objects(base: Any, ours: Any, theirs: Any) -> None:
    assert merge_objects(base, ours, base) == (ours, [])
    assert merge_objects(base, ours, ours) == (ours, [])
    assert plainly(merge_objects(base, base, theirs)[0]) == plainly(theirs)
    merged, clashes = merge_objects(base, ours, theirs)
    again, more = merge_objects(base, merged, theirs)
    assert plainly(again) == plainly(merged)
    assert {clash.path for clash in more} <= {clash.path for clash in clashes}
