"""Takes out of a copy of a document what its home site refused of somebody, and leaves in it what others did."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from cs3collab.errors import Corrupt, EditsRefused
from cs3collab.rooms.history import NewDocument
from cs3collab.rooms.ports import Applied, Document, Rendered


@dataclass(frozen=True, slots=True)
class Copy:
    """What a copy is made of. ``home`` is all that the home site has; ``history`` is what came here, `refused` among it."""

    kind: str
    home: bytes
    history: Sequence[bytes]
    refused: Sequence[bytes]

    @property
    def kept(self) -> list[bytes]:
        refused = set(self.refused)
        return [update for update in self.history if update not in refused]


@dataclass(frozen=True, slots=True)
class Change:
    """What takes it out: ``update``, and then of the notes of conflicts ``again`` (JSON) are made and ``undone`` taken off."""

    update: bytes
    again: str
    undone: list[str]

    async def notes(self, live: Document) -> AsyncIterator[bytes]:
        """The updates that do so, each done in `live` when it is given."""
        if self.again:
            yield await live.note_conflicts(self.again)
        for key in self.undone:
            yield await live.decide([key])


async def taking_back(copy: Copy, live: Document, new_document: NewDocument) -> Change | None:
    """What takes it out of `live`; None if the home site has it after all.

    By content, as files are merged: edits that Yjs made to rest on each other cannot be taken apart. Raises `EditsRefused`
    where what others did rests on it, and what the worker raises.
    """
    if await _known_at_home(copy, new_document):
        return None
    try:
        with_it, before = await _content(copy, copy.history, new_document)
        without, after = await _content(copy, copy.kept, new_document)
        merged = await live.merge(with_it.content, without.content, with_it.names)
    except Corrupt as error:
        raise entangled() from error
    if merged.conflicts:
        raise entangled()
    again = [after[key] for key in after.keys() - before.keys()]
    return Change(merged.update, json.dumps(again) if again else "", sorted(before.keys() - after.keys()))


def entangled() -> EditsRefused:
    return EditsRefused(
        "the home site did not take what somebody typed here who may not edit any more, and what others typed rests on it",
        hint="create a copy to keep what you see, then open the document again",
    )


async def _known_at_home(copy: Copy, new_document: NewDocument) -> bool:
    async with _scratch(copy.kind, [copy.home], new_document) as home:
        return all([await home.apply(update) is Applied.KNOWN for update in copy.refused])


async def _content(copy: Copy, updates: Sequence[bytes], new_document: NewDocument) -> tuple[Rendered, dict[str, Any]]:
    """With its notes of conflicts by their ids. Raises `EditsRefused` if some of `updates` wait for what is not among them."""
    async with _scratch(copy.kind, [copy.home, *updates], new_document) as document:
        if any([await document.apply(update) is Applied.PENDING for update in updates]):
            raise entangled()
        return await document.render(), {note["id"]: note for note in json.loads(await document.noted())}


@contextlib.asynccontextmanager
async def _scratch(kind: str, updates: list[bytes], new_document: NewDocument) -> AsyncIterator[Document]:
    async def again() -> list[bytes]:
        return updates

    document = new_document(kind, again)
    try:
        await document.load(updates)
        yield document
    finally:
        await document.close()
