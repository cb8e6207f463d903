"""A file's content as edits of a Y document, small enough that edits made elsewhere meanwhile can be merged with them."""

from __future__ import annotations

from typing import Any

from jupyter_ydoc import YNotebook
from pycrdt import Array, Doc, Map, Text

from cs3collab.merge import notebook


def revise_notebook(doc: Doc[Any], content: bytes) -> None:
    """Raises `NotANotebook`; the document is then as before."""
    nb = notebook.parse(content)
    cells = notebook.with_cell_ids(nb["cells"] or [notebook.blank_cell()])
    ynotebook = YNotebook(doc)
    meta = doc.get("meta", type=Map)
    with doc.transaction():
        for key in ("nbformat", "nbformat_minor"):
            _assign(meta, key, nb[key])
        if isinstance(meta.get("metadata"), Map):
            _revise_map(meta["metadata"], nb["metadata"])
        else:
            meta["metadata"] = Map(nb["metadata"])
        _revise_cells(ynotebook, cells)


def revise_text(ytext: Text, new: str) -> None:
    """Replaces what lies between the beginning and the end that both have."""
    old = str(ytext)
    if old == new:
        return
    start, most = 0, min(len(old), len(new))
    while start < most and old[start] == new[start]:
        start += 1
    end = 0
    while end < most - start and old[-1 - end] == new[-1 - end]:
        end += 1
    # pycrdt counts in bytes of UTF-8
    first = len(old[:start].encode())
    last = first + len(old[start : len(old) - end].encode())
    if last > first:
        del ytext[first:last]
    if inserted := new[start : len(new) - end]:
        ytext.insert(first, inserted)


def _revise_cells(ynotebook: YNotebook, cells: list[dict[str, Any]]) -> None:
    ycells = ynotebook.ycells
    wanted = {cell["id"]: cell for cell in cells}
    kept: set[str] = set()
    for index in reversed(range(len(ycells))):
        cell_id = ycells[index].get("id")
        same = cell_id in wanted and ycells[index].get("cell_type") == wanted[cell_id]["cell_type"]
        if not same or cell_id in kept:
            del ycells[index]
        else:
            kept.add(cell_id)
    ids = [ycells[index].get("id") for index in range(len(ycells))]
    for index, cell in enumerate(cells):
        if ids[index : index + 1] == [cell["id"]]:
            _revise_cell(ynotebook, ycells[index], cell)
            continue
        if cell["id"] in kept:  # moved: Yjs 13 knows no move
            there = ids.index(cell["id"])
            del ycells[there], ids[there]
        ycells.insert(index, ynotebook.create_ycell(cell))
        ids.insert(index, cell["id"])


def _revise_cell(ynotebook: YNotebook, ycell: Map[Any], cell: dict[str, Any]) -> None:
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
            current.clear()
            current.extend(ynotebook._create_youtputs(value))
        elif key in ("source", "metadata", "outputs"):
            ycell[key] = ynotebook.create_ycell(cell)[key]
        elif not (key == "attachments" and not value):
            ycell[key] = value


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
