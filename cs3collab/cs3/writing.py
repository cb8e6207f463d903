"""One write, to a certain end: the refusals of many storages, and answers that never came, become one of few outcomes."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from cs3collab.cs3 import convert, locks, transfer
from cs3collab.cs3.session import Session
from cs3collab.cs3.transfer import Sent, Source, Upload
from cs3collab.errors import (
    AlreadyExists,
    CollabError,
    Conflict,
    Corrupt,
    LeaseLost,
    LockHeld,
    NotFound,
    Overloaded,
    StorageUnavailable,
    Unsupported,
)
from cs3collab.types import FileInfo, Lock, NotLatest, Ref, Written


class Reader(Protocol):
    """The part of `Files` that a write needs to look again."""

    session: Session

    async def stat(self, ref: Ref) -> FileInfo: ...
    def reading(self, ref: Ref, *, max_bytes: int) -> AbstractAsyncContextManager[tuple[FileInfo, AsyncIterator[bytes]]]: ...


async def write(files: Reader, ref: Ref, upload: Upload, seen: FileInfo | None = None) -> Written | NotLatest:
    """See `cs3collab.cs3.files.Files.write`."""
    before = seen or await _stat(files, ref)
    if upload.conditional:
        lost = miss(upload, before)
        if lost is not None:
            return lost
    try:
        ticket = await transfer.initiate_upload(files.session, ref, upload)
    except (Conflict, AlreadyExists, StorageUnavailable) as refused:
        return await _why(files, ref, upload, refused)
    if not upload.content.size and (done := await _done_already(files, ref, upload, before)):
        return done
    answer = await transfer.put(files.session, ticket, upload)
    if answer.sent is Sent.DONE and answer.etag and ticket.checked:
        return Written(answer.etag)
    if answer.sent is Sent.DONE:
        return await _confirm(files, ref, upload)
    failed = StorageUnavailable(answer.detail, hint="try again; if it stays, look into the gateway's log")
    if answer.sent is Sent.UNSURE:
        now = await _stat(files, ref)
        if now is not None and (before is None or now.etag != before.etag) and await _holds(files, now, upload.content):
            return Written(now.etag)
    return await _why(files, ref, upload, failed)


def miss(upload: Upload, now: FileInfo | None) -> NotLatest | None:
    """Whether the storage holds something else than `upload` supposes. Raises `NotFound` when it is to match a missing file."""
    if upload.if_match is not None and now is None:
        raise NotFound("the file is gone", hint="it was deleted, moved away or unshared: save under another name")
    if upload.if_match is not None and now is not None and now.etag != upload.if_match:
        return NotLatest(f"the file changed: etag {now.etag} instead of {upload.if_match}")
    if upload.if_absent and now is not None:
        return NotLatest("a file of that name is there")
    return None


def explain(
    upload: Upload, now: FileInfo | None, lock: Lock | None, locks_known: bool, refused: CollabError
) -> NotLatest | CollabError:
    """What a refused write means, given how file and lock look now. A foreign lock comes first, for it says whom to ask."""
    if lock is not None and lock.lock_id != upload.lock_id:
        return LockHeld("the file is locked")
    if upload.lock_id and lock is None and locks_known and now is not None:
        return LeaseLost("the lock is not on the file any more", hint="take it again")
    try:
        lost = miss(upload, now)
    except NotFound as gone:
        return gone
    if lost is not None:
        return lost
    if now is None and isinstance(refused, Conflict):
        return NotFound(f"the folder is missing: {refused.message}", hint="make the folder first")
    if isinstance(refused, LockHeld | LeaseLost):
        # seen locked, free again now
        return StorageUnavailable(refused.message, hint="the lock was released meanwhile: try again")
    return refused


async def _why(files: Reader, ref: Ref, upload: Upload, refused: CollabError) -> NotLatest:
    now = await _stat(files, ref)
    lock, known = await _lock(files.session, now)
    if now is None and await _lacks_folder(files, ref):
        refused = Conflict(refused.message)
    meaning = explain(upload, now, lock, known, refused)
    if isinstance(meaning, NotLatest):
        return meaning
    if isinstance(meaning, LockHeld):
        raise await locks.held(files.session, lock, meaning) from refused
    raise meaning from refused


async def _done_already(files: Reader, ref: Ref, upload: Upload, before: FileInfo | None) -> Written | NotLatest | None:
    """An empty file, where the storage needs no more than its announcement; None if it does."""
    now = await _stat(files, ref)
    changed = now is not None and (before is None or now.etag != before.etag)
    return await _confirm(files, ref, upload) if changed else None


async def _confirm(files: Reader, ref: Ref, upload: Upload) -> Written | NotLatest:
    """Reads back what is there: our bytes, or somebody else's."""
    now = await _stat(files, ref)
    if now is None:
        raise NotFound("the file is gone", hint="it was deleted while it was being saved: save under another name")
    if await _holds(files, now, upload.content):
        return Written(now.etag)
    return NotLatest(f"somebody else wrote the file meanwhile: etag {now.etag}")


async def _lacks_folder(files: Reader, ref: Ref) -> bool:
    """Reva v3 first accepts a file for which there is no folder, and then fails with HTTP 500."""
    folder = convert.above(ref)
    return folder is not None and await _stat(files, folder) is None


async def _holds(files: Reader, now: FileInfo, content: Source) -> bool:
    if now.size != content.size:
        return False
    if not content.size:
        return True
    digest = hashlib.sha1(usedforsecurity=False)
    try:
        async with files.reading(Ref.of(now.id), max_bytes=content.size) as (_, pieces):
            async for piece in pieces:
                digest.update(piece)
    except (Corrupt, Overloaded):  # not even as long any more
        return False
    return digest.hexdigest() == content.sha1


async def _stat(files: Reader, ref: Ref) -> FileInfo | None:
    try:
        return await files.stat(ref)
    except NotFound:
        return None


async def _lock(session: Session, now: FileInfo | None) -> tuple[Lock | None, bool]:
    """The lock, and whether the storage knows about locks at all."""
    if now is None:
        return None, False
    try:
        return await locks.get_lock(session, Ref.of(now.id)), True
    except (Unsupported, StorageUnavailable, NotFound):
        return None, False
