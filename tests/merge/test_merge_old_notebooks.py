"""Notebooks as rooms merge them: the document knows which cell is which. Before nbformat 4.5 files do not."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pycrdt import Doc
from support.random_books import book, related

from benchmarks import merge_cases
from cs3collab.errors import NotANotebook
from cs3collab.merge import notebook
from cs3collab.merge.cells import without_id
from cs3collab.merge.revision import revise_to
from cs3collab.merge.ydoc import YDocument

Notebook = dict[str, Any]
CASES = 150


def old(nb: Notebook) -> Notebook:
    return {**nb, "nbformat_minor": 4}


def bare(nb: Notebook) -> Notebook:
    return {**old(nb), "cells": [without_id(cell) for cell in nb["cells"]]}


def file_of(nb: Notebook) -> bytes:
    return notebook.serialize(bare(nb))


def newer_file_of(nb: Notebook) -> bytes:
    """As a tool writes it that knows ids and makes new ones."""
    cells = [{**cell, "id": f"new-{at}"} for at, cell in enumerate(nb["cells"])]
    return notebook.serialize({**nb, "nbformat_minor": 5, "cells": cells})


class Room:
    """A live document, and what is known of the file: what it said last, and which cells were these."""

    def __init__(self, content: bytes) -> None:
        self.y = YDocument("notebook")
        self.y.seed(content)
        self.save()

    def save(self) -> bytes:
        content = self.y.render()[0]
        self.base: bytes | None = content
        self.names = tuple(self.y.names())
        return content

    def edit(self, nb: Notebook) -> None:
        """As a browser does."""
        peer: Doc[Any] = Doc()
        peer.apply_update(self.y.diff(b""))
        before = peer.get_state()
        revise_to(peer, nb)
        self.y.apply(peer.get_update(before))

    def merge(self, theirs: bytes) -> tuple[bytes, str, tuple[str, ...]]:
        update, notes, names = self.y.merge(self.base, theirs, self.names)
        if update:
            self.y.apply(update)
        return update, notes, names

    def take(self, theirs: bytes) -> str:
        """Merges it until it is noted that it is merged; the notes of conflicts."""
        _, notes, names = self.merge(theirs)
        merged = self.lines(), self.y.names()
        *again, known = self.merge(theirs)
        assert again == [b"", notes]
        assert (self.lines(), self.y.names()) == merged
        self.base = theirs
        for self.names in (known, names):  # they may differ where theirs is equal to a cell that is gone and to one that is new
            assert self.merge(theirs)[:2] == (b"", "")
        return notes

    def lines(self) -> list[str]:
        return list(_lines(self.y.render()[0]))


def _lines(content: bytes) -> Iterator[str]:
    for cell in notebook.parse(content)["cells"]:
        yield from cell["source"].split("\n")


def take(base: Notebook, ours: Notebook, theirs: bytes, *, known: bool = True) -> tuple[Room, str]:
    """A room in which people made `ours` of `base`, which was saved, and the file became `theirs`. Is it `known`?"""
    room = Room(file_of(base))
    ids = dict(zip([cell["id"] for cell in base["cells"]], room.names, strict=False))
    room.edit(old({**ours, "cells": [{**cell, "id": ids.get(cell["id"], cell["id"])} for cell in ours["cells"]]}))
    if not known:
        room.base = None
    return room, room.take(theirs)


@pytest.mark.timeout(180)
@settings(deadline=None, max_examples=200)
@given(related(), st.booleans(), st.booleans(), st.sampled_from([file_of, newer_file_of]))
def test_merged_again_everything_stays(
    three: tuple[Notebook, Notebook, Notebook], swapped: bool, known: bool, write: Callable[[Notebook], bytes]
) -> None:
    base, ours, theirs = three if not swapped else (three[0], three[2], three[1])
    assume(ours["cells"] and theirs["cells"])
    take(base, ours, write(theirs), known=known)


@pytest.mark.timeout(120)
def test_random_merges_again() -> None:
    for case in merge_cases.cases(CASES // 4, seed=4):
        _stays(case)


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_many_more_random_merges_again() -> None:
    for case in merge_cases.cases(250, seed=5):
        _stays(case)


def _stays(case: merge_cases.Case) -> None:
    """Whoever merges."""
    for mine, other, who in ((case.ours, case.theirs, "theirs"), (case.theirs, case.ours, "ours")):
        if not other["cells"]:
            continue  # an emptied file is not merged
        take(case.base, mine, file_of(other), known=False)
        room, notes = take(case.base, mine, file_of(other))
        doubled = {line for line, count in Counter(room.lines()).items() if count > 1 and f"{who}_" in line}
        assert not doubled or notes, f"{case.name}: nobody is told"


@pytest.mark.timeout(120)
def test_one_foreign_save_after_the_other_with_saves_between_them_or_without() -> None:
    """Others write what they read, changed, while people here edit; each of their versions comes in more than once."""
    for seed in range(CASES // 8):
        chance = random.Random(seed)
        room = Room(file_of(merge_cases.generated(chance)))
        file, told = room.save(), ""
        for step in range(4):
            room.edit(merge_cases.edited(room.y._notebook(), chance, f"ours{step}")[0])
            read = notebook.parse(file)
            read["cells"] = notebook.with_cell_ids(read["cells"])
            file = file_of(merge_cases.edited(read, chance, f"theirs{step}")[0])
            told += room.take(file)
            counts = Counter(line for line in room.lines() if "ours" in line or "theirs" in line)
            assert told or max(counts.values(), default=1) == 1, seed
            if chance.random() < 0.6:
                file = room.save()


def code(*sources: str) -> Notebook:
    cells = [notebook.blank_cell() | {"source": source} for source in sources]
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}


@pytest.mark.parametrize("write", [file_of, newer_file_of])
@pytest.mark.parametrize("mine", [0, 1])
def test_what_is_left_when_each_side_deletes_the_other_cell_is_none_of_them(
    mine: int, write: Callable[[Notebook], bytes]
) -> None:
    """The blank cell of an empty document, of which the first of these has what ids are made of."""
    blank = {**notebook.blank_cell(), "id": "a", "outputs": [{"output_type": "stream", "name": "stdout", "text": "1\n"}]}
    cells = [blank, {"id": "b", "cell_type": "markdown", "source": "", "metadata": {}}]
    base, ours, theirs = (book(some) for some in (cells, [cells[mine]], [cells[1 - mine]]))
    room, notes = take(base, ours, write(theirs))
    assert (room.lines(), notes) == ([""], "")
    assert not {*room.y.names()} & {*Room(file_of(base)).names}


def test_equal_cells_are_told_apart_by_the_document() -> None:
    """By content, nobody could say which of the blank ones was deleted and which was written into."""
    room = Room(file_of(code("", "a", "", "a", "")))
    live = room.y._notebook()
    del live["cells"][0]
    live["cells"][2]["source"] = "a, by us"
    room.edit(live)
    assert room.take(file_of(code("", "a", "", "a", "", "theirs"))) == ""
    assert room.lines() == ["a", "", "a, by us", "", "theirs"]


def test_what_others_add_gets_the_same_id_whatever_was_done_here_meanwhile() -> None:
    ids = set()
    for typed in ("one", "one, by us", ""):
        room = Room(file_of(code("one", "")))
        live = room.y._notebook()
        live["cells"][0]["source"] = typed
        room.edit({**live, "cells": [*live["cells"], notebook.blank_cell() | {"id": "new-here", "source": "theirs"}]})
        room.take(file_of(code("one", "", "theirs", "")))
        ids.add(room.names)
    assert len(ids) == 1


def test_a_cell_deleted_here_stays_so_though_theirs_has_it_in_the_next_version_too() -> None:
    room = Room(file_of(code("a", "", "b")))
    live = room.y._notebook()
    del live["cells"][1]
    room.edit(live)
    assert room.take(file_of(code("a", "", "b", "theirs"))) == ""
    assert room.take(file_of(code("a", "", "b", "theirs", "more"))) == ""
    assert room.lines() == ["a", "b", "theirs", "more"]


def with_other_names(names: tuple[str, ...]) -> tuple[Room, str]:
    room = Room(file_of(code("a = 1\nb = 2", "c = 3", "d = 4")))
    live = room.y._notebook()
    live["cells"][1]["source"] = "c = 3, by us"
    room.edit(live)
    room.names = names
    return room, room.take(file_of(code("theirs", "a = 1\nb = 2, theirs", "c = 3", "d = 4")))


@pytest.mark.parametrize("names", [(), ("x",), ("", "", "")])
def test_without_ids_of_the_base_content_tells(names: tuple[str, ...]) -> None:
    room, notes = with_other_names(names)
    assert (room.lines(), notes) == (["theirs", "a = 1", "b = 2, theirs", "c = 3, by us", "d = 4"], "")


@pytest.mark.parametrize("names", [("q", "q", "q"), ("x", "y", "z")])
def test_by_ids_that_are_none_of_the_document_people_are_asked_and_nothing_is_lost(names: tuple[str, ...]) -> None:
    """All of it looks made anew here: what they changed in the cells it replaced is a conflict."""
    room, notes = with_other_names(names)
    assert sorted(room.lines()) == sorted(["a = 1", "b = 2", "c = 3, by us", "d = 4", "theirs"])
    assert [note["theirs"] for note in json.loads(notes)] == ["a = 1\nb = 2, theirs"]


def test_a_file_that_is_none_any_more_changes_nothing() -> None:
    room = Room(file_of(code("a")))
    with pytest.raises(NotANotebook):
        room.merge(file_of(code()))
    assert room.lines() == ["a"]


@pytest.mark.timeout(180)
@settings(deadline=None, max_examples=200)
@given(related(), st.booleans())
def test_merged_again_everything_stays_where_files_have_ids(three: tuple[Notebook, Notebook, Notebook], swapped: bool) -> None:
    base, ours, theirs = three if not swapped else (three[0], three[2], three[1])
    assume(ours["cells"] and theirs["cells"])
    room = Room(notebook.serialize(base))
    room.edit(ours)
    room.take(notebook.serialize(theirs))


def test_a_cell_that_was_cut_and_pasted_here_is_another_one_however_few_are_left() -> None:
    """By content it would be theirs' when it is merged again: of those that are left then, none has its id of before."""
    room = Room(notebook.serialize({**code("foo = 1", "bar = 2"), "nbformat_minor": 5}))
    live = room.y._notebook()
    room.edit({**live, "cells": [{**live["cells"][0], "id": "pasted"}, live["cells"][1]]})
    theirs = {**live, "cells": [{**live["cells"][0], "source": "foo = 2"}]}
    notes = room.take(notebook.serialize(theirs))
    assert (room.lines(), [note["theirs"] for note in json.loads(notes)]) == (["foo = 1"], ["foo = 2"])


def test_a_notebook_tells_the_ids_of_its_cells_and_a_text_has_none() -> None:
    assert len(Room(file_of(code("a", "b"))).names) == 2
    text = YDocument("file")
    text.seed(b"a")
    assert text.names() == []
