"""Random three-way merges of which it is known who did what: two people edit the same notebook, neither knowing of the other.

All that they write carries a mark that is nowhere else, so that it can be found again, once, or missed.
"""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cs3collab.errors import NotANotebook
from cs3collab.merge import notebook
from cs3collab.merge.lines import split_lines

Notebook = dict[str, Any]
HERE = Path(__file__).resolve().parents[1]
CORPUS = Path(os.environ.get("CS3COLLAB_CORPUS") or HERE.parent / "shared" / "corpus")


@dataclass(slots=True)
class Deeds:
    """What one person did. Cells by their id, lines by their number in the base."""

    lines: dict[str, set[int]] = field(default_factory=dict)
    """Changed or deleted."""
    removed: dict[str, set[int]] = field(default_factory=dict)
    """Of these, the deleted ones."""
    gaps: dict[str, set[int]] = field(default_factory=dict)
    """Before which lines there are new ones."""
    deleted: set[str] = field(default_factory=set)
    ran: set[str] = field(default_factory=set)
    moved: set[str] = field(default_factory=set)
    tagged: set[str] = field(default_factory=set)

    def touched(self, cell: str) -> bool:
        """Whether somebody who deletes the cell should be told."""
        return cell in self.lines or cell in self.gaps or cell in self.ran or cell in self.tagged


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    base: Notebook
    ours: Notebook
    theirs: Notebook
    we: Deeds
    they: Deeds

    def disputed(self) -> set[str]:
        """Ids of the cells in which both changed the same: what a merge has to ask about."""
        ids = [cell["id"] for cell in self.base["cells"]]
        return {cell for cell in ids if _dispute(cell, self.we, self.they)}


def _dispute(cell: str, we: Deeds, they: Deeds) -> bool:
    if cell in we.deleted or cell in they.deleted:
        return (cell in we.deleted and they.touched(cell)) or (cell in they.deleted and we.touched(cell))
    same_lines = we.lines.get(cell, set()) & they.lines.get(cell, set())
    same_gaps = _beside(cell, we) & they.gaps.get(cell, set()) | _beside(cell, they) & we.gaps.get(cell, set())
    return bool(same_lines or same_gaps) or (cell in we.ran and cell in they.ran)


def _beside(cell: str, deeds: Deeds) -> set[int]:
    """The gaps in which and beside which they added or deleted lines."""
    return deeds.gaps.get(cell, set()) | {gap for line in deeds.removed.get(cell, ()) for gap in (line, line + 1)}


def corpus(largest: int = 2**20) -> list[tuple[str, Notebook]]:
    """Real notebooks of at most so many bytes, with cell ids; generated ones where there are none."""
    found = []
    for path in sorted(CORPUS.rglob("*.ipynb")):
        if path.stat().st_size <= largest:
            try:
                nb = notebook.parse(path.read_bytes())
            except NotANotebook:
                continue
            if len(nb["cells"]) > 1:
                found.append((path.stem, _with_ids(nb)))
    return found or [(f"generated-{seed}", generated(random.Random(seed))) for seed in range(20)]


def _with_ids(nb: Notebook) -> Notebook:
    return {**nb, "nbformat_minor": 5, "cells": notebook.with_cell_ids(nb["cells"])}


def generated(chance: random.Random) -> Notebook:
    """Cells of the kind people write, in which lines and whole cells come again."""
    lines = ["", "import numpy as np", "x = 1", "plt.plot(x)", "for i in range(10):", "    print(i)", "# fit", "fit(x)"]
    cells = []
    for at in range(chance.randint(2, 25)):
        source = "\n".join(chance.choice([*lines, f"y{at} = f({chance.randint(0, 9)})"]) for _ in range(chance.randint(0, 9)))
        if chance.random() < 0.3:
            cells.append({"cell_type": "markdown", "source": source, "metadata": {}})
        else:
            cells.append(notebook.blank_cell() | {"source": source})
    return {"cells": notebook.with_cell_ids(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def cases(number: int, seed: int = 0, notebooks: Sequence[tuple[str, Notebook]] | None = None) -> Iterator[Case]:
    books = notebooks or corpus()
    for at in range(number):
        chance = random.Random(f"{seed}/{at}")
        name, base = books[at % len(books)] if chance.random() < 0.8 else ("generated", generated(chance))
        ours, we = edited(base, chance, "ours")
        theirs, they = edited(base, chance, "theirs")
        yield Case(f"{seed}/{at} {name}", base, ours, theirs, we, they)


def edited(base: Notebook, chance: random.Random, who: str) -> tuple[Notebook, Deeds]:
    """What somebody makes of `base` in a while."""
    return _Person(copy.deepcopy(base), chance, who).work()


class _Person:
    def __init__(self, nb: Notebook, chance: random.Random, who: str) -> None:
        self._nb, self._chance, self._who = nb, chance, who
        self._deeds = Deeds()
        self._marks = 0

    def work(self) -> tuple[Notebook, Deeds]:
        cells = self._nb["cells"]
        for cell in self._chance.sample(cells, min(len(cells), self._chance.choice([1, 2, 3, 5]))):
            deed = self._chance.choices([self._write, self._run, self._tag, self._delete, self._move], [10, 4, 1, 2, 1])[0]
            deed(cell)
            if deed == self._write and self._chance.random() < 0.3:
                self._run(cell)
        for _ in range(self._chance.choice([0, 0, 1, 2])):
            self._add()
        if self._chance.random() < 0.2:
            self._count()
        return self._nb, self._deeds

    def _mark(self) -> str:
        self._marks += 1
        return f"{self._who}_{self._marks}_{self._chance.randrange(16**6):06x}"

    def _write(self, cell: Notebook) -> None:
        """Changes, deletes and adds lines."""
        lines = split_lines(cell["source"])
        end = "\n" if cell["source"].endswith("\n") else ""
        written: list[str] = []
        places = set(self._chance.sample(range(len(lines) + 1), min(len(lines) + 1, self._chance.choice([1, 1, 2, 3]))))
        for at in range(len(lines) + 1):
            how = self._chance.choice(["change", "change", "delete", "add"]) if at in places else ""
            if at in places and (how == "add" or at == len(lines)):
                self._deeds.gaps.setdefault(cell["id"], set()).add(at)
                written += [f"added = {self._mark()}" for _ in range(self._chance.randint(1, 3))]
            elif how:
                self._deeds.lines.setdefault(cell["id"], set()).add(at)
                if how == "delete":
                    self._deeds.removed.setdefault(cell["id"], set()).add(at)
            if at == len(lines):
                break
            if how == "change":
                cut = self._chance.randint(0, len(lines[at]))
                written.append(f"{lines[at][:cut]} {self._mark()} {lines[at][cut:]}")
            elif how != "delete":
                written.append(lines[at])
        cell["source"] = "\n".join(written) + end

    def _run(self, cell: Notebook) -> None:
        if cell["cell_type"] == "code":
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": f"printed {self._mark()}\n"}]
            cell["execution_count"] = self._chance.randint(1, 99)
            self._deeds.ran.add(cell["id"])

    def _tag(self, cell: Notebook) -> None:
        cell["metadata"] = {**cell["metadata"], "tags": [*cell["metadata"].get("tags", []), self._mark()]}
        self._deeds.tagged.add(cell["id"])

    def _delete(self, cell: Notebook) -> None:
        self._nb["cells"].remove(cell)
        self._deeds.deleted.add(cell["id"])

    def _move(self, cell: Notebook) -> None:
        self._nb["cells"].remove(cell)
        self._nb["cells"].insert(self._chance.randint(0, len(self._nb["cells"])), cell)
        self._deeds.moved.add(cell["id"])

    def _add(self) -> None:
        lines = [f"new = {self._mark()}" for _ in range(self._chance.randint(1, 4))]
        cell = notebook.blank_cell() | {"id": f"{self._who}-{self._mark()}", "source": "\n".join(lines)}
        self._nb["cells"].insert(self._chance.randint(0, len(self._nb["cells"])), cell)

    def _count(self) -> None:
        """All cells run again, with the same results."""
        for at, cell in enumerate(self._nb["cells"]):
            if cell["cell_type"] == "code" and cell["outputs"]:
                cell["execution_count"] = at + 1


def marks(nb: Notebook, who: str) -> set[str]:
    """All marks of a person in a notebook."""
    words = json.dumps(nb).replace('"', " ").replace("\\n", " ").split()
    return {word for word in words if word.startswith(f"{who}_")}
