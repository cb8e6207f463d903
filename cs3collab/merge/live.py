"""Another version of the file is merged into the live Y document; what conflicts is noted in it for people.

The notes are in the root map ``conflicts``, which is no part of the file: a short id to a map of ``cell`` (its id, empty for
the notebook itself), ``kind`` (`threeway.Kind`), ``copy`` (the file beside it that keeps their version), ``at`` (Unix seconds
of their change), ``who``, and ``theirs``: their text, null where it is too long or there is none. Who decides deletes the note.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pycrdt import Doc, Map, Text

from cs3collab.errors import Corrupt, NotANotebook
from cs3collab.merge import ancestor, notebook
from cs3collab.merge.alignment import align, ids
from cs3collab.merge.cells import without_id
from cs3collab.merge.lines import merge_texts
from cs3collab.merge.notebook import Notebook
from cs3collab.merge.numbering import named_by
from cs3collab.merge.revision import revise_text, revise_to
from cs3collab.merge.threeway import Conflict, MergeResult, merge_notebooks

NOTES = "conflicts"
MOST_NOTES = 200
"""In one document; of more, the copy of their version tells."""
LONGEST_TEXT = 32 * 1024
"""Characters of their text in a note."""
_ROUNDS = 5
_EMPTIED = "it was emptied"

Note = dict[str, Any]


def merge_notebook(
    doc: Doc[Any], ours: Notebook, base: bytes | None, theirs: bytes, names: Sequence[str] = ()
) -> tuple[list[Note], tuple[str, ...]]:
    """Brings into `doc`, which says `ours`, what changed from `base` to `theirs`. Without a base that is what `ours` lacks.

    `names` are the ids that the cells of `base` had in `doc`, if that is known. Returns what conflicts, where `doc` says what
    it said, and likewise the ids of the cells of `theirs`; none if the file has others. Raises `NotANotebook` for a file that
    holds no notebook, or none any more; `doc` is then as before.
    """
    if base is None:
        after = notebook.parse(theirs)
        result = _merge_unrelated(ours, after)
    else:
        after, before = notebook.parse_two(theirs, base)
        if not after["cells"] and any(cell["source"] for cell in before["cells"]):
            raise NotANotebook(_EMPTIED)
        known = notebook.named(before, names)
        result = _never_empty(merge_notebooks(known, ours, after, exact=known is not before), known)
    revise_to(doc, result.notebook, live=ours, busy=result.changed)
    return [_note(conflict) for conflict in result.conflicts], _names(after, result)


def _names(theirs: Notebook, result: MergeResult) -> tuple[str, ...]:
    own = tuple(cell.get("id") for cell in theirs["cells"])
    return result.names if not ids(theirs["cells"]) or result.names == own else ()


def _never_empty(result: MergeResult, base: Notebook) -> MergeResult:
    """The cell that stands in a document without any is none of those of `base` that both sides deleted."""
    if result.notebook["cells"]:
        return result
    cells = notebook.with_cell_ids([notebook.blank_cell()], ids(base["cells"]))
    return replace(result, notebook={**result.notebook, "cells": cells})


def _merge_unrelated(ours: Notebook, theirs: Notebook) -> MergeResult:
    """Of what both were made from nothing is known. Where content tells which cell is which, it is merged until it stays."""
    if ids(theirs["cells"]) & ids(ours["cells"]) or not ids(ours["cells"]):
        return merge_notebooks(ancestor.common(ours, theirs), ours, theirs)
    bare, live = [without_id(cell) for cell in theirs["cells"]], ours
    for _ in range(_ROUNDS):
        cells = named_by(live["cells"], bare, align(live["cells"], bare))
        result = merge_notebooks({**theirs, "cells": []}, live, {**theirs, "cells": cells})
        if result.notebook == live:
            break
        live = result.notebook
    return result


def merge_text(doc: Doc[Any], base: bytes | None, theirs: bytes) -> list[Note]:
    """As `merge_notebook`, for a text. Raises `Corrupt`."""
    source = doc.get("source", type=Text)
    try:
        after = theirs.decode()
        before = ancestor.common_lines(str(source), after) if base is None else base.decode()
    except UnicodeDecodeError as error:
        raise Corrupt(f"it is not UTF-8 text: byte {error.start} is wrong") from error
    if before.strip() and not after.strip():
        raise Corrupt(_EMPTIED)
    result = merge_texts(before, str(source), after)
    with doc.transaction():
        revise_text(source, result.text)
    return [_noted("", "source", hunk) for *_, hunk in result.conflicts]


def note(doc: Doc[Any], notes: Sequence[Note]) -> None:
    """Notes what `merge_notebook` returned, with ``copy``, ``at`` and ``who`` filled in."""
    noted = doc.get(NOTES, type=Map)
    with doc.transaction():
        for entry in notes[: max(0, MOST_NOTES - len(noted))]:
            if entry["id"] not in noted:
                noted[entry["id"]] = {key: value for key, value in entry.items() if key != "id"}


def noted(doc: Doc[Any]) -> list[Note]:
    """The notes there are, as `note` takes them."""
    return [{**entry, "id": key} for key, entry in doc.get(NOTES, type=Map).to_py().items() if isinstance(entry, dict)]


def decide(doc: Doc[Any], keys: Sequence[str]) -> None:
    """Takes these notes off, if all of them are there: of several who decide at once, one does."""
    noted = doc.get(NOTES, type=Map)
    if all(key in noted for key in keys):
        with doc.transaction():
            for key in set(keys):
                del noted[key]


def _note(conflict: Conflict) -> Note:
    theirs = conflict.theirs
    return _noted(conflict.cell_id, str(conflict.kind), theirs.get("source") if isinstance(theirs, Mapping) else theirs)


def _noted(cell: str, kind: str, theirs: Any) -> Note:
    text = theirs if isinstance(theirs, str) and len(theirs) <= LONGEST_TEXT else None
    told = json.dumps([cell, kind, theirs], sort_keys=True, default=str)
    key = hashlib.sha256(told.encode(errors="surrogatepass")).hexdigest()[:12]
    return {"id": key, "cell": cell, "kind": kind, "theirs": text}
