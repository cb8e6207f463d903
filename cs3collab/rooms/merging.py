"""What others wrote to the file comes into the live document, is kept where it conflicts, and is the base from then on."""

from __future__ import annotations

import contextlib
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

from cs3collab.errors import CollabError, Corrupt, UpdateRejected, VersionConflict
from cs3collab.limits import Limits
from cs3collab.merge import ancestor
from cs3collab.rooms import saving
from cs3collab.rooms.filing import Copy, File, Theirs
from cs3collab.rooms.ports import Document, Log, Merged, Rendered

log = logging.getLogger(__name__)

_EARLIER = 8
_EARLIER_BYTES = 16 * 2**20
_SEARCH_BYTES = 64 * 2**20
"""Looked at for the version that theirs was made from."""


class Merger:
    """Of one room. ``broadcast`` logs and sends an update; ``saved`` gives the file as it was saved at a position.

    None stands for the last save, and for what is not known any more.
    """

    def __init__(
        self,
        document: Document,
        log: Log,
        file: File,
        *,
        broadcast: Callable[[bytes], Awaitable[None]],
        saved: Callable[[int | None], Awaitable[Rendered | None]],
        now: Callable[[], float],
        limits: Limits,
    ) -> None:
        self._document = document
        self._log = log
        self._file = file
        self._broadcast = broadcast
        self._saved = saved
        self._seen: tuple[str, Rendered] | None = None
        """The file that was merged last and its etag, until it is written over."""
        self._now = now
        self._limits = limits
        self._earlier: deque[tuple[Rendered, float]] = deque(maxlen=_EARLIER)
        """What others wrote before, newest first."""

    async def _base_of(self, theirs: bytes) -> Rendered | None:
        """The version of the file that theirs was made from. None if it is not known any more what was saved.

        That is the last one, unless theirs lacks some of it and is closer to an earlier one: who writes an old copy back
        has not deleted what came after it.
        """
        if (newest := await self._newest()) is None:
            return None
        found, ages, best = [await self._difference(newest, theirs)], [0.0], newest
        spent = len(newest.content)
        if not found[0].lacks:
            return newest
        async for earlier, at in self._before():
            if (spent := spent + len(earlier.content)) > _SEARCH_BYTES:
                break
            found.append(await self._difference(earlier, theirs))
            ages.append(self._now() - at)
            if ancestor.choose(found, ages) == len(found) - 1:
                best = earlier  # one at a time: a notebook may be large
        return best if ancestor.choose(found, ages) else newest

    async def _difference(self, base: Rendered, theirs: bytes) -> ancestor.Difference:
        (found,) = await self._document.differences([base.content], theirs)
        return ancestor.Difference(*found)

    async def _before(self) -> AsyncIterator[tuple[Rendered, float]]:
        """What the file said earlier, and when."""
        for earlier, at in self._earlier:
            yield earlier, at
        for position, at in reversed(saving.recent(self._log.meta)):
            with contextlib.suppress(CollabError):
                if (saved := await self._saved(position)) is not None:
                    yield saved, at

    async def _newest(self) -> Rendered | None:
        """What the file said when it and the document last had to do with each other."""
        if self._seen is not None and self._log.meta.get("base_etag") == self._seen[0]:
            return self._seen[1]
        return await self._saved(None)

    async def merge(self, theirs: Theirs, *, insist: bool, whom: str = "") -> str:
        """Afterwards theirs may be written over. Returns what people must know of it, empty if nothing.

        Merging again what was merged changes nothing, so it does not matter where this is cut off.
        Raises `VersionConflict` for a file that is none any more, unless people `insist` on writing it again, and for what
        conflicts while the file is edited elsewhere (`whom`, in words): that is decided when people here edit again.
        """
        try:
            # who edits elsewhere looks at the file before each save, and writes no old copy back
            base = await (self._newest() if whom else self._base_of(theirs.content))
            content, names = (base.content, base.names) if base else (None, ())
            merged = await self._document.merge(content, theirs.content, names)
            if merged.conflicts and whom:
                raise saving.undecided(whom)
            copy = await self._take(theirs, merged, self._broadcast)
        except Corrupt as error:  # no notebook any more, or an edit too large for one
            if not insist:
                more = f"; {error.hint}" if isinstance(error, UpdateRejected) else ""
                broken = saving.broken(theirs.who, theirs.mtime, error.message)
                raise VersionConflict(broken, hint=saving.BROKEN_HINT + more) from error
            return await self._replace(theirs)
        await self._accept(theirs, merged.names)
        return saving.conflict_notice(theirs.who, theirs.mtime, len(json.loads(merged.conflicts)), str(copy)) if copy else ""

    async def bring_in(
        self,
        theirs: Theirs,
        base: bytes | None,
        copy: str,
        say: Callable[[bytes], Awaitable[None]],
        check: Callable[[], None],
    ) -> tuple[int, str]:
        """What somebody has of the document and is not the file; `copy` names its file. `say` logs and sends for them.

        `check` raises if they may not any more. Returns how many changes conflict, and where their version is kept if any do.
        Raises `NotANotebook`, `Corrupt`.
        """
        merged = await self._document.merge(base, theirs.content)
        check()
        kept = await self._take(theirs, merged, say, Copy(copy) if copy else None)
        return (len(json.loads(merged.conflicts)), str(kept)) if kept else (0, "")

    async def _take(
        self,
        theirs: Theirs,
        merged: Merged,
        say: Callable[[bytes], Awaitable[None]],
        copy: Copy | None = None,
    ) -> Copy | None:
        """Has the document say it; where the copy is if something conflicts, once people find in the document what does."""
        if (size := len(merged.update)) > self._limits.update_bytes:
            raise saving.too_large(size, self._limits.update_bytes)
        if merged.update:
            await self._document.apply(merged.update)
            await say(merged.update)
        if not merged.conflicts:
            return None
        copy = copy or await self._file.keep(theirs)
        beside = "" if copy.home_of else copy.name
        notes = [{**note, "copy": beside, "at": theirs.mtime, "who": theirs.who} for note in json.loads(merged.conflicts)]
        if update := await self._document.note_conflicts(json.dumps(notes)):
            await say(update)
        return copy

    async def _replace(self, theirs: Theirs) -> str:
        copy = await self._file.keep(theirs) if theirs.content.strip() else None
        await self._accept(theirs)
        return saving.kept_notice(theirs.who, theirs.mtime, str(copy)) if copy else ""

    async def _accept(self, theirs: Theirs, names: tuple[str, ...] = ()) -> None:
        """From now on this is what the file says. Where the document says more, nothing of it counts as saved."""
        digest = await self._document.digest(theirs.content)
        known = {"base_etag": theirs.etag, "base_digest": digest}
        if (await self._document.render()).digest != digest:
            known["saved_position"] = "0"
        await self._log.set_meta(known)
        seen = Rendered(theirs.content, digest, names)
        self._seen = theirs.etag, seen
        self._earlier.appendleft((seen, self._now()))
        while sum(len(earlier.content) for earlier, _ in self._earlier) > _EARLIER_BYTES:
            self._earlier.pop()

    def saw(self, etag: str) -> bytes:
        """The file has this etag and what it says is safe: their content if it is theirs still, else nothing."""
        if self._seen and self._seen[0] == etag:
            return self._seen[1].content
        self._seen = None
        return b""
