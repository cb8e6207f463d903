"""One save of one document: takes the lease, looks at the file, replaces exactly what it saw, or tells what others wrote."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

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
from cs3collab.types import Etag, FileInfo, NotLatest, Ref, Role, Written

log = logging.getLogger(__name__)

_ASKED = 8
"""People asked in one save: a deleted file must not cost a call for everybody in a full room."""
_ASKED_AT_ALL = 64
"""With those whose credentials have ended, which tells nothing of the file."""
_COPIES = 20
"""Conflict copies of one second, at most."""
_ATTEMPTS = 64
"""Writes remembered whose answers never came."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one save is to bring into the file. Without ``due`` nothing is to be written, and the file is only looked at."""

    rendered: Rendered
    base: Base
    due: bool
    keep_version: bool


@dataclass(frozen=True, slots=True)
class Theirs:
    """A version of the file that is not ours. ``mtime`` in Unix seconds, ``who`` wrote it, empty if that is not known."""

    etag: Etag
    mtime: float
    content: bytes
    who: str = ""


@dataclass(frozen=True, slots=True)
class Copy:
    """A conflict copy: its name, and whose home it is in if not beside the file."""

    name: str
    home_of: str = ""

    def __str__(self) -> str:
        return f"{self.name} in the home of {self.home_of}" if self.home_of else self.name


@dataclass(frozen=True, slots=True)
class Filed:
    """How that went. ``done`` is false when the file changed meanwhile, so that all must be looked at again.

    ``etag`` and ``digest`` are the file's now, ``writer`` whose token wrote; each is empty if that did not happen. ``theirs``
    must be dealt with before anything is written over it.
    """

    done: bool
    etag: str = ""
    digest: str = ""
    writer: str = ""
    theirs: Theirs | None = None


def asked(candidates: list[Storage], refusals: list[CollabError]) -> Iterator[Storage]:
    """Whom to ask, one after the other; `refusals` grows meanwhile. The last, which is the service account, in any case."""
    for nth, storage in enumerate(candidates, 1):
        known = sum(not isinstance(error, NotAuthenticated) for error in refusals)
        if nth == len(candidates) or (known < _ASKED - 1 and nth < _ASKED_AT_ALL):
            yield storage


class File:
    """The file of one room. ``name`` is what it was called when last seen: a file that is renamed keeps its id.

    ``digest`` is `Document.digest`. ``writers`` gives who may write, best first, ``readers`` who may read. ``refused`` hears
    whom the storage did not let at the file, and why.
    """

    def __init__(
        self,
        ref: Ref,
        name: str,
        *,
        log: Log,
        digest: Callable[[bytes], Awaitable[str]],
        writers: Callable[[], list[Storage]],
        readers: Callable[[], list[Storage]],
        lease: Lease,
        limits: Limits,
        refused: Callable[[Storage, CollabError], None] = lambda storage, error: None,
    ) -> None:
        self.name = name
        self._ref = ref
        self._log = log
        self._digest = digest
        self._writers = writers
        self._readers = readers
        self._lease = lease
        self._limits = limits
        self._refused = refused
        self._attempts: deque[str] = deque(maxlen=_ATTEMPTS)
        self._sighting = saving.UNSEEN

    @property
    def writable(self) -> bool:
        """Whether anybody present may write."""
        return bool(self._writers())

    def locked_by(self, who: str, at: float) -> None:
        """Since `at` (Unix seconds) somebody else has the lock of the file, empty: nobody, or nobody known."""
        self._sighting = self._sighting.now(who, at)

    async def look(self) -> FileInfo | None:
        """What the first says who can see the file; None if nobody can tell."""
        refusals: list[CollabError] = []
        for storage in asked(self._readers(), refusals):
            try:
                return await storage.stat(self._ref)
            except CollabError as error:
                log.debug("%s cannot be looked at: %s", self._ref, error)
                self._note(storage, error, refusals)
        return None

    async def file(self, work: Work) -> Filed:
        """By the first whom the storage lets. Raises why nobody could; `LeaseLost` is worth another try."""
        refusals: list[CollabError] = []
        for storage in asked(self._writers() if work.due else self._readers(), refusals):
            try:
                return await self._file_by(storage, work)
            except (NotAuthorized, NotAuthenticated, NotFound) as error:
                self._note(storage, error, refusals)
        raise saving.refused(refusals)

    def _note(self, storage: Storage, error: CollabError, refusals: list[CollabError]) -> None:
        refusals.append(error)
        if isinstance(error, NotAuthorized | NotAuthenticated | NotFound):
            self._refused(storage, error)

    async def _file_by(self, storage: Storage, work: Work) -> Filed:
        lock_id = await self._lease.acquire(storage) if work.due else ""
        info = await storage.stat(self._ref)
        if work.due and info.role < Role.EDITOR:
            raise NotAuthorized("a viewer does not write the file")
        self.name = info.name or self.name
        held = work.base.digest
        if info.etag != work.base.etag:
            theirs = await storage.read(self._ref, max_bytes=self._limits.document_bytes)
            if (await storage.stat(self._ref)).etag != info.etag:
                return Filed(False)
            held = await self._digest(theirs)
            if not saving.recognised(held, ours=work.rendered.digest, base=work.base, attempts=self._attempts):
                return Filed(False, theirs=Theirs(info.etag, info.mtime, theirs, self._sighting.wrote(info.mtime)))
        if not work.due or held == work.rendered.digest:
            return Filed(True, info.etag, held)
        etag = await self._replace(storage, info, held, lock_id, work)
        return Filed(True, etag, work.rendered.digest, storage.user.label) if etag else Filed(False)

    async def _replace(self, storage: Storage, info: FileInfo, held: str, lock_id: str, work: Work) -> str:
        """Replaces exactly the content that `info` describes; the new etag, empty if that was not to be."""
        await self._log.set_meta({"attempted_digest": work.rendered.digest, "base_etag": info.etag, "base_digest": held})
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
        self._sighting = saving.UNSEEN
        return written.etag

    async def keep(self, theirs: Theirs) -> Copy:
        """The copy of their version once it is durably there: beside the file, else in the home of somebody present.

        Raises `VersionConflict` if nobody may write to either: then nothing is to be written over theirs.
        """
        for copy in (self._copy_beside, self._copy_at_home):
            refusals: list[CollabError] = []
            for storage in asked(self._writers(), refusals):
                try:
                    if made := await copy(storage, theirs):
                        return made
                except (NotAuthorized, NotAuthenticated, NotFound, Unsupported) as error:
                    log.info("no conflict copy of %s by this writer: %s", self._ref, error)
                    refusals.append(error)
        raise VersionConflict(
            saving.broken(theirs.who, theirs.mtime, "nobody present may keep a copy of it"),
            hint="edits are kept here and nothing is overwritten; somebody who may write to the folder must open the notebook",
        )

    async def _copy_beside(self, storage: Storage, theirs: Theirs) -> Copy | None:
        """None if this writer does not see the folder."""
        parent = (await storage.stat(self._ref)).parent_id
        name = await self._copy_as(storage, lambda name: Ref(f"./{name}", parent), theirs) if parent else ""
        return Copy(name) if name else None

    async def _copy_at_home(self, storage: Storage, theirs: Theirs) -> Copy | None:
        home = await storage.home()
        name = await self._copy_as(storage, lambda name: Ref(f"{home.rstrip('/')}/{name}"), theirs)
        return Copy(name, storage.user.label) if name else None

    async def _copy_as(self, storage: Storage, at: Callable[[str], Ref], theirs: Theirs) -> str:
        """A copy made before (and not heard of) is found again by its name. Empty if all names are taken."""
        for nth in range(_COPIES):
            name = saving.conflict_name(self.name, theirs.who, theirs.mtime, nth=nth)
            ref = at(name)
            try:
                written = await storage.write(ref, theirs.content, if_absent=True)
            except AlreadyExists:
                written = NotLatest("exists")
            if isinstance(written, Written):
                return name
            size = len(theirs.content)
            if (await storage.stat(ref)).size == size and await storage.read(ref, max_bytes=size) == theirs.content:
                return name
        return ""
