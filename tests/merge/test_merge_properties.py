"""What holds of every merge, whatever people did."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.random_books import LINES, related, written_beside

from benchmarks import merge_cases, merge_judge
from cs3collab.merge import notebook
from cs3collab.merge.cells import without_id
from cs3collab.merge.lines import merge_texts, split_lines
from cs3collab.merge.threeway import Conflict, Kind, MergeResult, merge_notebooks
from cs3collab.merge.values import without_noise

Notebook = dict[str, Any]
CASES = 500
CASES_FOR_NBDIME = 60

TEXTS = st.lists(LINES, max_size=6).map("\n".join)
LINE_ENDS = st.sampled_from(["\n", "\r\n"])


@settings(deadline=None, max_examples=400)
@given(TEXTS, TEXTS, TEXTS)
def test_texts(base: str, ours: str, theirs: str) -> None:
    merged = merge_texts(base, ours, theirs)
    assert merge_texts(base, ours, base).text == ours
    assert merge_texts(base, base, theirs).text == theirs
    assert merge_texts(base, ours, ours).text == ours
    lines = set(split_lines(merged.text))
    assert lines <= {*split_lines(ours), *split_lines(theirs)}
    told = {line for hunk in merged.conflicts for text in hunk for line in split_lines(text)}
    kept = {*split_lines(base), ""}
    assert {*split_lines(ours), *split_lines(theirs)} - kept <= lines | told
    swapped = merge_texts(base, theirs, ours)
    assert [(was, mine, other) for was, other, mine in swapped.conflicts] == list(merged.conflicts)
    if not merged.conflicts:
        assert swapped.text == merged.text
    assert merge_texts(base, merged.text, theirs) == merged


@settings(deadline=None, max_examples=200)
@given(st.tuples(*[st.builds(str.replace, TEXTS, st.just("\n"), st.sampled_from(["\n", "\r\n", "\n\n"]))] * 3))
def test_texts_merged_again_are_the_same_however_lines_end(three: tuple[str, str, str]) -> None:
    merged = merge_texts(*three)
    assert merge_texts(three[0], merged.text, three[2]) == merged


@settings(deadline=None)
@given(TEXTS, TEXTS, TEXTS, LINE_ENDS, LINE_ENDS)
def test_line_ends_make_no_conflicts(base: str, ours: str, theirs: str, end: str, other: str) -> None:
    plain = merge_texts(base, ours, theirs)
    turned = merge_texts(base, ours.replace("\n", end), theirs.replace("\n", other))
    assert len(turned.conflicts) <= len(plain.conflicts)
    assert turned.text.replace("\r\n", "\n") == plain.text


@st.composite
def written(draw: st.DrawFn) -> tuple[str, str, str]:
    """Lines that are each like no other, and what two made of them."""
    base = [f"line {at}" for at in range(draw(st.integers(0, 6)))]
    ours, theirs = (
        [line for at in range(len(base) + 1) for line in draw(written_beside(base, at, who))] for who in ("ours", "theirs")
    )
    return "\n".join(base), "\n".join(ours), "\n".join(theirs)


@settings(deadline=None, max_examples=400)
@given(written())
def test_texts_merged_again_stay(three: tuple[str, str, str]) -> None:
    base, ours, theirs = three
    merged = merge_texts(base, ours, theirs)
    everything = {line for hunk in merged.conflicts for text in hunk for line in text.split("\n")} | set(
        split_lines(merged.text)
    )
    for side in (ours, theirs):
        assert {line for line in split_lines(side) if line not in split_lines(base)} <= everything
    assert merge_texts(base, merged.text, theirs) == merged
    assert max(Counter(split_lines(merged.text)).values(), default=1) == 1


@settings(deadline=None, max_examples=300)
@given(related())
def test_who_changed_nothing_gets_the_other(three: tuple[Notebook, Notebook, Notebook]) -> None:
    base, ours, _ = three
    for result in (merge_notebooks(base, ours, base), merge_notebooks(base, base, ours), merge_notebooks(base, ours, ours)):
        assert result.conflicts == []
        assert nameless(result.notebook) == nameless(ours)
    assert merge_notebooks(base, ours, base).notebook == ours


def known(conflicts: list[Conflict]) -> set[tuple[str, Kind, tuple[str, ...]]]:
    return {(conflict.cell_id, conflict.kind, conflict.path) for conflict in conflicts}


def nameless(nb: Notebook) -> Notebook:
    """A cell that got another id with the same content keeps the one it has in ours."""
    return {**nb, "cells": [without_id(cell) for cell in notebook.semantic(nb)["cells"]]}


def contents(result: MergeResult) -> Counter[str]:
    """Without what is nobody's doing, of which ours stays."""
    return Counter(
        json.dumps(
            {**cell, "metadata": without_noise(cell["metadata"]), "execution_count": None},
            sort_keys=True,
        )
        for cell in nameless(result.notebook)["cells"]
    )


def names(nb: Notebook) -> list[str]:
    return [cell["id"] for cell in nb["cells"]]


@settings(deadline=None, max_examples=500)
@given(related())
def test_notebooks(three: tuple[Notebook, Notebook, Notebook]) -> None:
    base, ours, theirs = three
    result = merge_notebooks(base, ours, theirs)
    notebook.check(result.notebook)
    ids = names(result.notebook)
    assert len(set(ids)) == len(ids)
    again = merge_notebooks(base, result.notebook, theirs)
    assert again.notebook == result.notebook
    assert known(again.conflicts) == known(result.conflicts)


@settings(deadline=None, max_examples=300)
@given(related())
def test_it_does_not_matter_who_merges_unless_there_are_conflicts(three: tuple[Notebook, Notebook, Notebook]) -> None:
    base, ours, theirs = three
    result, swapped = merge_notebooks(base, ours, theirs), merge_notebooks(base, theirs, ours)
    if not result.conflicts:
        assert swapped.conflicts == []
        assert contents(swapped) == contents(result)


def known_cells(result: MergeResult) -> set[str]:
    return {conflict.cell_id for conflict in result.conflicts}


def told(result: MergeResult) -> list[list[Any]]:
    return [[conflict.base, conflict.ours, conflict.theirs] for conflict in result.conflicts]


@pytest.mark.timeout(120)
def test_random_merges_of_real_notebooks() -> None:
    total = merge_judge.Verdict()
    for case in merge_cases.cases(CASES):
        verdict = merge_judge.ours(case)
        assert not verdict.wrong, case.name
        total += verdict
    assert total.asked > CASES / 4
    assert total.false <= total.asked / 100
    assert total.unasked <= total.asked / 20


def bare(nb: Notebook) -> Notebook:
    return {**nb, "nbformat_minor": 4, "cells": [without_id(cell) for cell in nb["cells"]]}


def numbered(nb: Notebook) -> Notebook:
    return {**nb, "cells": [{**cell, "id": str(at)} for at, cell in enumerate(nb["cells"])]}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("plain", [bare, numbered], ids=["dropped", "numbered"])
def test_random_merges_with_a_tool_that_does_not_keep_ids(plain: Callable[[Notebook], Notebook]) -> None:
    """What is too much of an edit to be recognised counts as deleted and added: both are there then, with a conflict."""
    total = merge_judge.Verdict()
    for case in merge_cases.cases(CASES):
        result = merge_notebooks(case.base, case.ours, plain(case.theirs))
        verdict = merge_judge.judge(case, result.notebook, known_cells(result), told(result))
        assert verdict.lost == verdict.back == verdict.mixed == verdict.invalid == 0, case.name
        assert not verdict.doubled or Kind.DELETED in {conflict.kind for conflict in result.conflicts}, case.name
        total += verdict
    assert total.doubled <= CASES / 20
    assert total.false <= total.asked / 10


@pytest.mark.timeout(120)
def test_old_notebooks_merged_again_keep_their_lines() -> None:
    """Without ids in files, only content tells which cell is which: blank ones may move, but nothing is there twice."""
    differ = 0
    for case in merge_cases.cases(CASES, seed=1):
        ours = {**case.ours, "nbformat_minor": 4}
        result = merge_notebooks(bare(case.base), ours, bare(case.theirs)).notebook
        again = merge_notebooks(bare(case.base), result, bare(case.theirs)).notebook
        differ += lines(again) != lines(result)
    assert differ <= CASES / 500


def lines(nb: Notebook) -> Counter[str]:
    return Counter(line for cell in nb["cells"] for line in cell["source"].split("\n") if line.strip())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(120)
def test_nbdime_asks_more_often_and_leaves_markers() -> None:
    """What `docs/reference/merge.md` says; ``python -m benchmarks --only merge`` makes the whole table."""
    ours, theirs = merge_judge.Verdict(), merge_judge.Verdict()
    for case in merge_cases.cases(CASES_FOR_NBDIME):
        ours += merge_judge.ours(case)
        theirs += merge_judge.nbdime(case)
    assert ours.false < theirs.false
    assert ours.wrong == ours.markers == ours.failed == 0
    assert theirs.markers


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_many_more_random_merges() -> None:
    for case in merge_cases.cases(2500, seed=1):
        verdict = merge_judge.ours(case)
        assert not verdict.wrong, case.name
        result = merge_notebooks(case.base, case.ours, case.theirs)
        again = merge_notebooks(case.base, result.notebook, case.theirs)
        assert again.notebook == result.notebook, case.name
        assert known(again.conflicts) == known(result.conflicts), case.name
