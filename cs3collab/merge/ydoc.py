"""One Y document as its worker holds it: what an update did, what a peer lacks, what the file would be.

Notebook schema (jupyter_ydoc's YNotebook, version 2.0.0): root map ``state`` (dirty, path, hash, ...), root map ``meta``
(nbformat, nbformat_minor, metadata: Map), root array ``cells`` of Map (id, cell_type, source: Text, metadata: Map,
outputs: Array of Map, ...). Text schema (YUnicode, version 1.0.0): ``state`` and root text ``source``.

Every method leaves the document as it was when it raises one of `cs3collab.errors`. Any other exception, Rust panics above all
(they are a BaseException), means that the document must not be touched again: pycrdt may then crash the process.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pycrdt
from pycrdt import Array, Doc, Map, Text, TransactionEvent

from cs3collab.errors import Corrupt, InvalidInput, NotANotebook, UpdateRejected
from cs3collab.limits import DEFAULT, Limits

KINDS = ("notebook", "file")
MAX_PENDING = 1000
"""Updates kept that wait for one that has not come; a well-behaved peer has a handful."""
MAX_STATE_VECTOR_ENTRIES = 100_000
_MAX_STATE_VECTOR_BYTES = 2 * 2**20
_NOTHING = b"\x00\x00"


class YDocument:
    """A document of `kind` ``notebook`` or ``file`` (UTF-8 text), empty at first."""

    _pending: list[bytes]

    def __init__(self, kind: str, *, limits: Limits = DEFAULT) -> None:
        if kind not in KINDS:
            raise InvalidInput(f"unknown kind of document: {kind[:40]!r}", hint=f"expected one of {', '.join(KINDS)}")
        self.kind = kind
        self._limits = limits
        self._become(Doc(), [])

    def load(self, updates: Sequence[bytes]) -> None:
        """Replaces the content. Raises `UpdateRejected`."""
        doc: Doc[Any] = Doc()
        for update in updates:
            _apply(doc, update)
        self._become(doc, _settle(doc, updates))

    def seed(self, content: bytes) -> bytes:
        """Replaces the content by a file's and returns the update that makes it from nothing, under a fresh random client id.

        Raises `NotANotebook`, or `Corrupt` for a text file that is not UTF-8.
        """
        update = _notebook_update(content) if self.kind == "notebook" else _text_update(content)
        self.load([update])
        return update

    def apply(self, update: bytes) -> str:
        """``changed``, ``known`` or ``pending`` (kept until the updates it builds upon come).

        Raises `UpdateRejected` for what cannot be decoded, is too large, or is one pending update too many.
        """
        if len(update) > self._limits.update_bytes:
            raise UpdateRejected("the update is too large", hint=f"at most {self._limits.update_bytes} bytes")
        self._changes.clear()
        _apply(self._doc, update)
        if self._pending and self._changes:
            self._pending = _settle(self._doc, self._pending)
        ahead = _is_ahead(update, self._doc.get_state())
        if ahead:
            self._keep_pending(update)
        if self._changes:
            return "changed"
        return "pending" if ahead else "known"

    def diff(self, state_vector: bytes) -> bytes:
        """Raises `InvalidInput` for a state vector that is malformed or larger than any real one."""
        if state_vector:
            _check_state_vector(state_vector)
        try:
            update = self._doc.get_update(state_vector or None)
        except ValueError as error:
            raise InvalidInput("the state vector cannot be decoded") from error
        self._prune()
        # pycrdt's Doc leaves pending updates out, as yrs' encode_diff does
        return pycrdt.merge_updates(update, *self._pending) if self._pending else update

    def state(self) -> bytes:
        return self._doc.get_state()

    def render(self) -> tuple[bytes, str]:
        """The file's content and its digest (`notebook.digest`, or the sha256 of a text). Reads without writing.

        Raises `NotANotebook` when the content makes no valid notebook.
        """
        if self.kind == "file":
            content = str(self._doc.get("source", type=Text)).encode()
            return content, hashlib.sha256(content).hexdigest()
        from cs3collab.merge import notebook  # takes a second, and most lives of a probe end without

        nb = self._notebook()
        content = notebook.serialize(nb)
        return content, notebook.digest(nb)

    def names(self) -> list[str]:
        """The ids of the cells of what `render` gives; before nbformat 4.5 the file does not have them."""
        if self.kind == "file":
            return []
        from cs3collab.merge import notebook

        with self._doc.transaction():
            ids = [{"id": cell.get("id")} for cell in self._doc.get("cells", type=Array)]
        return [cell["id"] for cell in notebook.with_cell_ids(ids)]

    def mark_saved(self, content_hash: str, *, clean: bool) -> bytes:
        """Notes the hash of the file where it is new, and clears ``dirty`` where it is set and `clean` allows it.

        Not ``path``, which stock servers note too: it differs from user to user.
        """
        state = self._doc.get("state", type=Map)
        news: dict[str, Any] = {}
        if content_hash and state.get("hash") != content_hash:
            news |= {"hash": content_hash, "hash_algorithm": "sha256"}
        if clean and state.get("dirty") is True:
            news["dirty"] = False
        if not news:
            return b""
        self._changes.clear()
        with self._doc.transaction():
            for key, value in news.items():
                state[key] = value
        return pycrdt.merge_updates(*self._changes)

    def revise(self, content: bytes) -> bytes:
        """Makes the document say what a file says, as an edit: cell by cell and within sources only what differs.

        Who edited another copy meanwhile can so be merged. The update that does it, empty when nothing changed. Raises what
        `seed` does.
        """
        self._changes.clear()
        if self.kind == "notebook":
            from cs3collab.merge.revision import revise_notebook

            revise_notebook(self._doc, content)
        else:
            _revise_text(self._doc, content)
        return self._changed()

    def merge(self, base: bytes | None, theirs: bytes, names: Sequence[str] = ()) -> tuple[bytes, str, tuple[str, ...]]:
        """What another version of the file changed since `base`, as an update to be applied, and what conflicts, as JSON.

        `names` are the ids of the cells of `base`; the last are those of theirs, as `live.merge_notebook` has them. Raises
        `NotANotebook` or `Corrupt` for what is no such file. Reads without writing.
        """
        from cs3collab.merge import live

        copy: Doc[Any] = Doc()
        copy.apply_update(self._doc.get_update())
        state, changes, known = copy.get_state(), list[TransactionEvent](), tuple[str, ...]()
        copy.observe(changes.append)
        if self.kind == "notebook":
            try:
                notes, known = live.merge_notebook(copy, self._notebook(), base, theirs, names)
            except (AttributeError, KeyError, TypeError) as error:
                raise NotANotebook("the document is not a valid notebook now", hint="undo the last change") from error
        else:
            notes = live.merge_text(copy, base, theirs)
        return copy.get_update(state) if changes else b"", json.dumps(notes) if notes else "", known

    def differences(self, bases: Sequence[bytes], theirs: bytes) -> list[tuple[int, int]]:
        """As `ancestor.differences`, of files of this kind."""
        from cs3collab.merge import ancestor

        return [(lacks, adds) for lacks, adds in ancestor.differences(self.kind, bases, theirs)]

    def digest(self, content: bytes) -> str:
        """As `render` would give it for a document that says `content`; of what is no notebook, one that no document has."""
        raw = hashlib.sha256(content).hexdigest()
        if self.kind == "file":
            return raw
        from cs3collab.merge import notebook

        try:
            return notebook.digest(notebook.parse(content))
        except NotANotebook:
            return f"not a notebook: {raw}"

    def note_conflicts(self, notes: str) -> bytes:
        """Notes for people what `merge` returned; the update that does it, empty when all of it is noted."""
        from cs3collab.merge import live

        self._changes.clear()
        live.note(self._doc, json.loads(notes))
        return self._changed()

    def noted(self) -> str:
        """The notes of conflicts there are, as JSON that `note_conflicts` takes."""
        from cs3collab.merge import live

        return json.dumps(live.noted(self._doc), default=str)

    def decide(self, keys: Sequence[str]) -> bytes:
        """Takes the notes of conflicts with these keys off; the update that does it, empty if one of them was gone before."""
        from cs3collab.merge import live

        self._changes.clear()
        live.decide(self._doc, keys)
        return self._changed()

    def _changed(self) -> bytes:
        return pycrdt.merge_updates(*self._changes) if self._changes else b""

    def _become(self, doc: Doc[Any], pending: list[bytes]) -> None:
        changes: list[bytes] = []

        def note(event: TransactionEvent) -> None:
            changes.append(event.update)

        self._doc, self._changes, self._pending = doc, changes, pending
        doc.observe(note)

    def _keep_pending(self, update: bytes) -> None:
        if not self._has_room(update):
            self._prune()
        if not self._has_room(update):
            self.load([self.diff(b"")])  # yrs keeps it inside the document too, and only a new one is without
            raise UpdateRejected("too many updates wait for one that never came", hint="reconnect to send all of the document")
        self._pending.append(update)

    def _has_room(self, update: bytes) -> bool:
        size = sum(map(len, self._pending)) + len(update)
        return len(self._pending) < MAX_PENDING and size <= self._limits.document_bytes

    def _prune(self) -> None:
        state = self._doc.get_state()
        self._pending = [update for update in self._pending if _is_ahead(update, state)]

    def _notebook(self) -> dict[str, Any]:
        from cs3collab.merge import notebook

        with self._doc.transaction():  # one for all that is read takes a third less than one for each
            meta = self._doc.get("meta", type=Map).to_py()
            cells = self._doc.get("cells", type=Array).to_py()
        if not meta or not all(isinstance(cell, dict) for cell in cells or ()):
            raise NotANotebook("the document does not hold a notebook", hint="the file is left as it was")
        nb: dict[str, Any] = notebook.with_integers(
            {"metadata": {}, **meta, "cells": [_file_cell(cell) for cell in cells or ()]}
        )
        return nb


def _file_cell(cell: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in cell.items() if key != "execution_state" and (key != "attachments" or value)}


def _apply(doc: Doc[Any], update: bytes) -> None:
    try:
        doc.apply_update(update)
    except ValueError as error:  # from decoding, before anything was integrated
        raise UpdateRejected(f"the update cannot be decoded: {str(error)[:200]}") from error


def _settle(doc: Doc[Any], updates: Sequence[bytes]) -> list[bytes]:
    """Those of `updates` that `doc` still waits with, after it was given again what it has all for.

    yrs 0.28 forgets a part of its pending updates when those of several gaps meet, and takes it when it comes again.
    """
    state = b""
    while state != (state := doc.get_state()) and (updates := [update for update in updates if _is_ahead(update, state)]):
        _apply(doc, pycrdt.merge_updates(*updates))
    return list(updates)


def _notebook_update(content: bytes) -> bytes:
    from jupyter_ydoc import YNotebook

    from cs3collab.merge import notebook

    nb = notebook.parse(content)
    doc: Doc[Any] = Doc()
    ynotebook = YNotebook(doc)
    meta, state = doc.get("meta", type=Map), doc.get("state", type=Map)
    # not YNotebook.set(): it invents a kernel and a language, which then would be in the file
    with doc.transaction():
        state["dirty"] = False
        meta["nbformat"], meta["nbformat_minor"] = nb["nbformat"], nb["nbformat_minor"]
        meta["metadata"] = Map(nb["metadata"])
        cells = notebook.with_cell_ids(nb["cells"] or [notebook.blank_cell()])
        ynotebook.ycells.extend([ynotebook.create_ycell(cell) for cell in cells])
    return doc.get_update()


def _revise_text(doc: Doc[Any], content: bytes) -> None:
    from cs3collab.merge.revision import revise_text

    text = _text_of(content)
    with doc.transaction():
        revise_text(doc.get("source", type=Text), text)


def _text_of(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise Corrupt(f"this file is not UTF-8 text: byte {error.start} is wrong", hint="convert it to UTF-8") from error


def _text_update(content: bytes) -> bytes:
    text = _text_of(content)
    doc: Doc[Any] = Doc()
    with doc.transaction():
        doc.get("state", type=Map)["dirty"] = False
        doc.get("source", type=Text).insert(0, text)
    return doc.get_update()


def _is_ahead(update: bytes, state_vector: bytes) -> bool:
    """Whether a document at `state_vector` that was given `update` still waits for what it builds upon."""
    rest = pycrdt.get_update(update, state_vector)
    if rest == _NOTHING:
        return False
    if rest[0] != 0:
        return True
    known = _decode_state_vector(state_vector)
    return any(end > known.get(client, 0) for client, end in _deletions(rest[1:]))


def _deletions(delete_set: bytes) -> Iterator[tuple[int, int]]:
    """(client, clock after the last deleted) of a delete set in Yjs' update format version 1."""
    numbers = _varuints(delete_set)
    for _ in range(next(numbers)):
        client, ranges = next(numbers), next(numbers)
        for _ in range(ranges):
            clock, length = next(numbers), next(numbers)
            yield client, clock + length


def _decode_state_vector(data: bytes) -> dict[int, int]:
    numbers = _varuints(data)
    return {next(numbers): next(numbers) for _ in range(next(numbers))}


def _check_state_vector(data: bytes) -> None:
    if len(data) > _MAX_STATE_VECTOR_BYTES:
        raise InvalidInput("the state vector is too large", hint=f"at most {_MAX_STATE_VECTOR_BYTES} bytes")
    try:
        numbers = list(_varuints(data))
    except ValueError as error:
        raise InvalidInput("the state vector is malformed") from error
    if data[-1] & 0x80 or len(numbers) != 1 + 2 * numbers[0]:
        raise InvalidInput("the state vector is malformed")
    if numbers[0] > MAX_STATE_VECTOR_ENTRIES:
        raise InvalidInput("the state vector has too many entries", hint=f"at most {MAX_STATE_VECTOR_ENTRIES}")


def _varuints(data: bytes) -> Iterator[int]:
    """lib0's variable-length unsigned integers: seven bits a byte, lowest first, the top bit says that more follow."""
    number, shift = 0, 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield number
            number, shift = 0, 0
        elif shift > 63:
            raise ValueError("more than 64 bits")
