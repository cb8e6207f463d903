"""Somebody who types, for tests in which things die meanwhile."""

from __future__ import annotations

import asyncio
import contextlib

from support.notebooks import source_of

from cs3collab.client import LiveDocument


class Typist:
    """Types numbered words into one cell until told to stop."""

    def __init__(self, document: LiveDocument, tag: str) -> None:
        self._document = document
        self._tag = tag
        self._stop = asyncio.Event()
        self.typed: list[str] = []
        self._task = asyncio.create_task(self._type())

    async def _type(self) -> None:
        while not self._stop.is_set():
            word = f"<{self._tag}{len(self.typed)}>"
            text = self._document.shared.ycells[0]["source"]
            text += word
            self.typed.append(word)
            with contextlib.suppress(TimeoutError):  # the pace of a person, not a wait for a state
                await asyncio.wait_for(self._stop.wait(), 0.02)

    async def has_typed(self, more: int) -> None:
        goal = len(self.typed) + more
        await self._document.until(lambda _: len(self.typed) >= goal)

    async def stop(self) -> list[str]:
        self._stop.set()
        await self._task
        return self.typed


async def all_once(documents: list[LiveDocument], words: list[str]) -> str:
    """Waits until every word is durable, seen by everybody exactly once, and in the file; the text of the cell."""
    position = max(await asyncio.gather(*(document.durable() for document in documents)))
    for document in documents:
        await document.until(lambda nb: all(source_of(nb, 0).count(word) == 1 for word in words))
        await document.until_status(lambda s: s["savedPosition"] >= position and not s["problem"])
    texts = {source_of(document.shared, 0) for document in documents}
    assert len(texts) == 1
    return texts.pop()
