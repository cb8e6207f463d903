"""A file's content as edits of a Y document, small enough that edits made elsewhere meanwhile can be merged with them.

Cursors, undo and what people are typing hang on to the Y objects, so these are kept wherever Yjs allows it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from jupyter_ydoc import YNotebook
from pycrdt import Array, Doc, Map, Text

from cs3collab.merge import notebook
from cs3collab.merge.sequences import heaviest_rising
from cs3collab.merge.textedits import text_edits

Cell = dict[str, Any]
_BUSY = 10**12
"""Weighs more than all a document can hold."""


def revise_notebook(doc: Doc[Any], content: bytes) -> None:
    """Raises `NotANotebook`; the document is then as before."""
    revise_to(doc, notebook.parse(content))


def revise_to(
    doc: Doc[Any], nb: notebook.Notebook, *, live: notebook.Notebook | None = None, busy: Collection[str] = ()
) -> None:
    """Makes the document say `nb`, which must be valid.

    Yjs 13 knows no move: a cell that moves is made anew, and the edits of it that are still on their way are lost. It is
    the smallest cells that are made anew, and none with an id in `busy` if that can be avoided. `live` is what the document
    says now, where that is known: its cells that are in `nb` themselves need not be read.
    """
    cells = notebook.with_cell_ids(nb["cells"] or [notebook.blank_cell()])
    here = live["cells"] if live is not None else []
    ynotebook, meta = YNotebook(doc), doc.get("meta", type=Map)
    with doc.transaction():
        for key in ("nbformat", "nbformat_minor"):
            _assign(meta, key, nb[key])
        if isinstance(meta.get("metadata"), Map):
            _revise_map(meta["metadata"], nb["metadata"])
        else:
            meta["metadata"] = Map(nb["metadata"])
        _revise_cells(ynotebook, cells, here, set(busy))


def revise_text(ytext: Text, new: str) -> None:
    old = str(ytext)
    if old == new:
        return
    changes = text_edits(old, new)
    places, done, size = [], 0, 0
    for change in changes:  # pycrdt counts in bytes of UTF-8
        start = size + len(old[done : change.start].encode())
        done, size = change.end, start + len(old[change.start : change.end].encode())
        places.append((start, size))
    for (start, end), change in zip(reversed(places), reversed(changes), strict=True):
        if end > start:
            del ytext[start:end]
        if change.text:
            ytext.insert(start, change.text)


def _revise_cells(ynotebook: YNotebook, cells: list[Cell], here: list[Cell], busy: set[str]) -> None:
    ycells = ynotebook.ycells
    same = {id(cell) for cell in here}
    kept = _kept(here if len(here) == len(ycells) else [ycells[index] for index in range(len(ycells))], cells, busy)
    for index in reversed(range(len(ycells))):
        if index not in kept:
            del ycells[index]
    in_place = set(kept.values())
    for index, cell in enumerate(cells):
        if index not in in_place:
            ycells.insert(index, ynotebook.create_ycell(cell))
        elif id(cell) not in same:
            _revise_cell(ynotebook, ycells[index], cell)


def _kept(here: Sequence[Any], cells: list[Cell], busy: set[str]) -> dict[int, int]:
    """Index of the cells that are there to index in `cells`, of those that stay in their place."""
    wanted = {cell["id"]: index for index, cell in enumerate(cells)}
    there: dict[str, int] = {}
    for index, cell in enumerate(here):
        name = cell.get("id")
        if name in wanted and name not in there and cell.get("cell_type") == cells[wanted[name]]["cell_type"]:
            there[name] = index
    names = list(there)
    targets = [wanted[name] for name in names]
    weights = [_weight(cells[target]) + _BUSY * (name in busy) for name, target in zip(names, targets, strict=True)]
    return {there[names[at]]: targets[at] for at in heaviest_rising(targets, weights)}


def _weight(cell: Cell) -> int:
    return 1 + len(cell["source"]) + 100 * len(cell.get("outputs", ()))


def _revise_cell(ynotebook: YNotebook, ycell: Map[Any], cell: Cell) -> None:
    old = notebook.with_integers(ycell.to_py())
    for key in old.keys() - cell.keys() - {"execution_state"}:
        del ycell[key]
    for key, value in cell.items():
        if old.get(key) == value and key in old:
            continue
        current = ycell.get(key)
        if key == "source" and isinstance(current, Text):
            revise_text(current, value)
        elif key == "metadata" and isinstance(current, Map):
            _revise_map(current, value)
        elif key == "outputs" and isinstance(current, Array):
            _revise_outputs(ynotebook, current, old["outputs"], value)
        elif key in ("source", "metadata", "outputs"):
            ycell[key] = ynotebook.create_ycell(cell)[key]
        elif not (key == "attachments" and not value):
            ycell[key] = value


def _revise_outputs(ynotebook: YNotebook, youtputs: Array[Any], old: list[Any], new: list[Any]) -> None:
    """Those at the beginning and at the end that are equal stay; a stream that goes on is written on."""
    most = min(len(old), len(new))
    start = next((at for at in range(most) if old[at] != new[at]), most)
    if start < most and _is_same_stream(old[start], new[start]) and isinstance(youtputs[start].get("text"), Text):
        revise_text(youtputs[start]["text"], new[start]["text"])
        start += 1
    most -= start
    end = next((at for at in range(most) if old[-1 - at] != new[-1 - at]), most)
    if start < len(old) - end:
        del youtputs[start : len(old) - end]
    for at, youtput in enumerate(ynotebook._create_youtputs(new[start : len(new) - end]), start):
        youtputs.insert(at, youtput)


def _is_same_stream(old: Any, new: Any) -> bool:
    return isinstance(old, dict) and {**old, "text": ""} == {**new, "text": ""} and new.get("output_type") == "stream"


def _revise_map(ymap: Map[Any], new: dict[str, Any]) -> None:
    for key in ymap.to_py().keys() - new.keys():  # type: ignore[union-attr]
        del ymap[key]
    for key, value in new.items():
        _assign(ymap, key, value)


def _assign(ymap: Map[Any], key: str, value: Any) -> None:
    if key not in ymap or notebook.with_integers(_plain(ymap[key])) != value:
        ymap[key] = value


def _plain(value: Any) -> Any:
    return value.to_py() if isinstance(value, Map | Array | Text) else value
