"""What a document said before: its versions, listed, read and named. Old states are decoded in a worker, as live ones are."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from cs3collab.errors import (
    CollabError,
    Corrupt,
    DeadlineExceeded,
    InvalidInput,
    NotANotebook,
    NotFound,
    Overloaded,
    Unavailable,
    UpdateRejected,
)
from cs3collab.limits import Limits
from cs3collab.rooms.ports import Document, Log, LogVersion, Rendered
from cs3collab.types import History, User, Version
from ystore.errors import PoisonedRecord, PositionGone, StoreCorrupt, StoreError

log = logging.getLogger(__name__)
NewDocument = Callable[[str, Callable[[], Awaitable[list[bytes]]]], Document]
MOST_VERSIONS = 5000
"""Told at once; of more, the oldest without a name are left out."""
MOST_NAMES = 1000
"""Of one document: each is kept whole, and all are noted in one small file."""
LONGEST_NAME = 100
"""Characters."""
WHO = "who:"
"""Begins the store's notes of who the authors are: key (``User.key``) to label."""
MOST_AUTHORS = 1000
"""Whose labels are noted; of the others the history tells the key."""


def checked_name(name: str) -> str:
    """Without outer blanks; empty takes a name away. Raises `InvalidInput` for what could not be asked for by this name."""
    name = name.strip()
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise InvalidInput("this cannot be a version's name", hint=f"at most {LONGEST_NAME} printable characters")
    if name.isdigit():
        raise InvalidInput("a number cannot be a version's name", hint="it would be taken for a position")
    return name


def newest(versions: Sequence[Version], most: int = MOST_VERSIONS) -> tuple[Version, ...]:
    """All that have a name, and the newest of the others, as long as there are not more than `most` of these."""
    automatic = [version.position for version in versions if not version.name]
    first = automatic[-most] if len(automatic) > most else 0
    return tuple(version for version in versions if version.name or version.position >= first)


def refusal(error: StoreError, horizon: int) -> CollabError:
    """What a person is told when the store cannot give a version."""
    if isinstance(error, PositionGone):
        return NotFound(
            "this version is not kept",
            hint=f"the history reaches back to position {horizon}, and to named versions" if horizon else error.hint,
        )
    if isinstance(error, PoisonedRecord | StoreCorrupt):
        return Corrupt(f"this version cannot be read: {error.message}", hint=error.hint or "choose another")
    return Unavailable(f"the history cannot be read: {error.message}", hint=error.hint or "try again in a moment")


class Past:
    """The history of one document, of `kind` ``notebook`` or ``file``. Whatever is asked has an answer or an end in time."""

    def __init__(self, kind: str, store: Log, new_document: NewDocument, limits: Limits) -> None:
        self._kind = kind
        self._store = store
        self._new_document = new_document
        self._limits = limits
        self.labels: dict[str, str] = {}
        """Who edited since the room was opened: key to label."""
        self._turn = asyncio.Lock()
        """An old state takes as much memory as the live one: one at a time."""

    async def history(self, at: float) -> History:
        """``found`` is looked for when `at` (Unix seconds) is not 0. Raises `Unavailable`, `Corrupt`."""
        async with self._asking():
            versions = newest([self._version(version) for version in await self._store.versions()])
            found = await self._store.position_at(at) if at else 0
            return History(versions, self._store.position, self._store.horizon, found)

    async def content(self, position: int) -> bytes:
        """The file as it would have been. Raises `NotFound`, `Corrupt`, `Overloaded`, `Unavailable`, `NotANotebook`."""
        if position < 1:
            raise NotFound("there is no such version", hint="positions begin at 1")
        async with self._asking(), self._turn:
            update = await self._store.load(position)
            if len(update) > self._limits.document_bytes:
                raise Overloaded(f"this version has {len(update)} bytes", hint=f"at most {self._limits.document_bytes}")
            return (await self._rendered(update)).content

    async def saved(self, position: int | None) -> Rendered | None:
        """The file as it was saved at `position`, None: last. None if that is not kept. Raises `Unavailable`, `Overloaded`."""
        try:
            async with self._asking(), self._turn:
                update = await (self._store.base() if position is None else self._store.load(position))
                return None if update is None else await self._rendered(update)
        except (Corrupt, NotFound, NotANotebook, UpdateRejected) as error:
            log.warning("the state that was saved last cannot be told: %s", error)
            return None

    async def introduce(self, user: User) -> None:
        """Notes who an author is: a history outlives what storage tells of its people."""
        meta, note = self._store.meta, WHO + user.key
        if meta.get(note) == user.label or sum(key.startswith(WHO) for key in meta) >= MOST_AUTHORS:
            return
        try:
            await self._store.set_meta({note: user.label})
        except StoreError as error:
            log.info("the history goes on without the name of %s: %s", user.key, error)

    async def _rendered(self, update: bytes) -> Rendered:
        async def again() -> list[bytes]:
            return [update]

        document = self._new_document(self._kind, again)
        try:
            await document.load([update])
            return await document.render()
        finally:
            await document.close()

    async def name(self, name: str, position: int) -> Version:
        """Raises `InvalidInput`, `NotFound`, `Unavailable`."""
        if position < 1:
            raise NotFound("there is no such version", hint="positions begin at 1")
        name = checked_name(name)
        async with self._asking(), self._turn:
            if name and sum(1 for version in await self._store.versions() if version.name) >= MOST_NAMES:
                raise Overloaded(f"this document has {MOST_NAMES} named versions", hint="take some names away")
            try:
                return self._version(await self._store.name_version(name, position))
            except ValueError as error:
                hint = "choose another name, or take it away from the other version"
                raise InvalidInput(str(error), hint=hint) from error

    def _version(self, version: LogVersion) -> Version:
        meta, here = self._store.meta, self.labels
        authors = tuple(here.get(author) or meta.get(WHO + author, author) for author in version.authors if author)
        return Version(version.position, version.at, authors, version.edits, version.name)

    @contextlib.asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._limits.request_timeout_s):
                yield
        except StoreError as error:
            raise refusal(error, self._store.horizon) from error
        except TimeoutError as error:
            raise DeadlineExceeded("the history could not be read in time", hint="try again") from error
