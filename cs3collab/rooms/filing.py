"""One save of one document: takes the lease, looks at the file, keeps what others wrote, replaces exactly what it saw."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from cs3collab.errors import (
    AlreadyExists,
    CollabError,
    LeaseLost,
    LockHeld,
    NotAuthenticated,
    NotAuthorized,
    NotFound,
    Unsupported,
    VersionConflict,
)
from cs3collab.limits import Limits
from cs3collab.locks.lease import Lease
from cs3collab.rooms import saving
from cs3collab.rooms.ports import Log, Rendered, Storage
from cs3collab.rooms.saving import Base
from cs3collab.types import FileInfo, NotLatest, Ref, Role, Written

log = logging.getLogger(__name__)

_WRITERS = 8
"""Editors asked in one save: a deleted file must not cost a call for everybody in a full room."""
_COPIES = 20
"""Conflict copies of one second, at most."""
_ATTEMPTS = 64
"""Writes remembered whose answers never came."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one save is to bring into the file. Without ``due`` nothing is new, and the file is only looked at."""

    rendered: Rendered
    base: Base
    due: bool
    keep_version: bool


@dataclass(frozen=True, slots=True)
class Filed:
    """How that went. ``done`` is false when the file changed meanwhile, so that all must be looked at again.

    ``etag`` and ``digest`` are the file's now, ``writer`` whose token wrote, ``copy`` the name under which the version of
    others, of time ``theirs_at`` (Unix seconds), was kept; each is empty if that did not happen.
    """

    done: bool
    etag: str = ""
    digest: str = ""
    writer: str = ""
    copy: str = ""
    theirs_at: float = 0.0

    @property
    def outcome(self) -> str:
        """As telemetry names it."""
        return "conflict" if self.copy else "saved" if self.writer else "unchanged"


class File:
    """The file of one room. ``name`` is what it was called when last seen: a file that is renamed keeps its id."""

    def __init__(
        self, ref: Ref, name: str, *, log: Log, writers: Callable[[], list[Storage]], lease: Lease, limits: Limits
    ) -> None:
        self.name = name
        self._ref = ref
        self._log = log
        self._writers = writers
        self._lease = lease
        self._limits = limits
        self._attempts: deque[str] = deque(maxlen=_ATTEMPTS)

    async def file(self, work: Work) -> Filed:
        """By the first writer whom the storage lets write. Raises why nobody could; `LeaseLost` is worth another try."""
        refusals: list[CollabError] = []
        for storage in islice(self._writers(), _WRITERS):
            try:
                return await self._file_by(storage, work)
            except (NotAuthorized, NotAuthenticated, NotFound) as error:
                refusals.append(error)
        raise saving.refused(refusals)

    async def _file_by(self, storage: Storage, work: Work) -> Filed:
        lock_id = await self._lease.acquire(storage) if work.due else ""
        info = await storage.stat(self._ref)
        if info.role < Role.EDITOR:
            raise NotAuthorized("a viewer does not write the file")
        self.name = info.name or self.name
        held, copy = work.base.digest, ""
        if info.etag != work.base.etag:
            theirs = await storage.read(self._ref, max_bytes=self._limits.document_bytes)
            if (await storage.stat(self._ref)).etag != info.etag:
                return Filed(False)
            held = await asyncio.to_thread(self._recognised, theirs, work)
            if not held:
                copy = await self._put_aside(storage, info, theirs, work)
        if not work.due or held == work.rendered.digest:
            return Filed(True, info.etag, held)
        etag = await self._replace(storage, info, held, lock_id, work)
        at = info.mtime if copy else 0.0
        return (
            Filed(True, etag, work.rendered.digest, storage.user.label, copy, at)
            if etag
            else Filed(False, "", "", "", copy, at)
        )

    def _recognised(self, theirs: bytes, work: Work) -> str:
        return saving.recognised(theirs, ours=work.rendered.digest, base=work.base, attempts=self._attempts)

    async def _replace(self, storage: Storage, info: FileInfo, held: str, lock_id: str, work: Work) -> str:
        """Replaces exactly the content that `info` describes; the new etag, empty if that was not to be."""
        recognised = {"base_etag": info.etag, "base_digest": held} if held else {}
        await self._log.set_meta({"attempted_digest": work.rendered.digest, **recognised})
        if not self._lease.valid():
            raise LeaseLost("the right to write the file ran out")
        self._attempts.append(work.rendered.digest)
        try:
            written = await storage.write(
                self._ref, work.rendered.content, if_match=info.etag, lock_id=lock_id, keep_version=work.keep_version
            )
        except (LeaseLost, LockHeld):
            self._lease.doubt()
            raise
        if isinstance(written, NotLatest):
            self._lease.doubt()
            return ""
        if (await storage.stat(self._ref)).etag != written.etag:
            return ""
        self._attempts.clear()
        return written.etag

    async def _put_aside(self, first: Storage, info: FileInfo, theirs: bytes, work: Work) -> str:
        """The name of the copy of their version beside the file, once it is durably there.

        Raises `VersionConflict` if nothing is to be written over it, or if nobody may write to the folder: then it stays.
        """
        changed = f"the file was changed by someone else at {saving.clock(info.mtime)}"
        if not work.due:
            raise VersionConflict(
                f"{changed}, and nothing here is unsaved: it stays as they left it",
                hint="close the notebook everywhere and open it again to see their version",
            )
        for storage in [first, *(other for other in islice(self._writers(), _WRITERS) if other is not first)]:
            try:
                if name := await self._copy_by(storage, info.mtime, theirs):
                    return name
            except (NotAuthorized, NotAuthenticated, NotFound, Unsupported) as error:
                log.info("no conflict copy beside %s by this writer: %s", self._ref, error)
        raise VersionConflict(
            f"{changed}, and nobody present may keep a copy of it in its folder",
            hint="edits are kept here and nothing is overwritten; somebody who may write to the folder must open the notebook",
        )

    async def _copy_by(self, storage: Storage, mtime: float, theirs: bytes) -> str:
        """Empty if this writer does not see the folder. A copy made before (and not heard of) is found again by its name."""
        parent = (await storage.stat(self._ref)).parent_id
        if parent is None:
            return ""
        for nth in range(_COPIES):
            name = saving.conflict_name(self.name, mtime, nth=nth)
            ref = Ref(f"./{name}", parent)
            try:
                written = await storage.write(ref, theirs, if_absent=True)
            except AlreadyExists:
                written = NotLatest("exists")
            if isinstance(written, Written):
                return name
            there = await storage.stat(ref)
            if there.size == len(theirs) and await storage.read(ref, max_bytes=len(theirs)) == theirs:
                return name
        return ""
