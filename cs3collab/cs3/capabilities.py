"""What a storage can do, found out by doing it to a file that is made for this and goes away.

Not by asking: some storages take a condition or a lock id and ignore it (Reva v3's local driver, EOS).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, Final

from cs3collab.cs3 import locks, shares, transfer
from cs3collab.cs3.files import Files
from cs3collab.cs3.session import Session
from cs3collab.cs3.transfer import Source, Upload
from cs3collab.errors import CollabError, LockHeld, NotAuthorized, Unsupported
from cs3collab.types import Capabilities, Etag, Lock, NotLatest, Ref, Written

log = logging.getLogger(__name__)
PREFIX: Final = ".cs3collab-probe-"
"""Begins the names of the files that are tried on; where one is found, a probe was killed."""
LOCK_S: Final = 60.0
"""Life of the lock that is tried, seconds: a probe that is killed leaves it for no longer."""
AGAIN_S: Final = 6 * 3600.0
"""How long an answer is believed."""
RETRY_S: Final = 60.0
_NO_SHA1: Final = "0" * 40
_NOWHERE: Final = Etag('"0123456789abcdef0123456789abcdef"')


async def probe(files: Files, folder: Ref) -> Capabilities:
    """Tries everything in `folder`, which must be there and writable. Raises what making and reading a file raises.

    Takes about thirty calls, and leaves nothing behind.
    """
    ref = Ref(f"{folder.path.rstrip('/')}/{PREFIX}{secrets.token_hex(8)}", folder.resource_id)
    attempt = _Attempts(files, ref)
    await files.write(ref, await attempt.content())
    try:
        found = {
            "if_absent": not await attempt.lands(if_absent=True),
            "if_match": not await attempt.lands(if_match=_NOWHERE)
            and await attempt.lands(if_match=(await files.stat(ref)).etag),
            "etags": await attempt.changes_etag(),
            "checksums": not await attempt.lands(sha1=_NO_SHA1),
            **await _versions(files, ref, attempt),
            **await _locks(files, ref, attempt),
            "metadata": await _metadata(files, ref),
        }
    finally:
        with contextlib.suppress(CollabError):
            await remove(files, folder, ref)
    return Capabilities(
        **found, spaces=await offered(files.spaces()), ocm=await offered(shares.list_received_ocm_shares(files.session))
    )


class _Attempts:
    """Writes past our own care, for `Files.write` looks at conditions itself. Each has a length of its own to know it by."""

    def __init__(self, files: Files, ref: Ref) -> None:
        self._files = files
        self._ref = ref
        self._length = 0

    async def content(self) -> bytes:
        self._length += 1
        return b"?" * self._length

    async def lands(self, sha1: str = "", **wanted: Any) -> bool:
        """Whether an upload is carried out, whatever the storage answers: v2 says 500 for some refusals."""
        content = Source.of(await self.content())
        upload = Upload(replace(content, sha1=sha1 or content.sha1), **wanted)
        with contextlib.suppress(CollabError):
            ticket = await transfer.initiate_upload(self._files.session, self._ref, upload)
            if ticket is not None:
                await transfer.put(self._files.session, ticket, upload)
        return (await self._files.stat(self._ref)).size == upload.content.size

    async def changes_etag(self) -> bool:
        """Two writes at once after each other: an etag made of whole seconds stays the same."""
        before = (await self._files.stat(self._ref)).etag
        return await self.lands() and (await self._files.stat(self._ref)).etag != before


async def _conditions(files: Files, ref: Ref, attempt: _Attempts) -> bool:
    """Only the etag of what is there lets a write through."""
    return not await attempt.lands(if_match=_NOWHERE) and await attempt.lands(if_match=(await files.stat(ref)).etag)


async def _versions(files: Files, ref: Ref, attempt: _Attempts) -> dict[str, bool | None]:
    async def makes_one(*, keep_version: bool) -> bool:
        before = len(await files.versions(ref))
        written = await files.write(ref, await attempt.content(), keep_version=keep_version)
        return isinstance(written, Written) and len(await files.versions(ref)) > before

    try:
        if not await makes_one(keep_version=True):
            return {"versions": False, "quiet": True}
        return {"versions": True, "quiet": not await makes_one(keep_version=False)}
    except Unsupported:
        return {"versions": False, "quiet": True}
    except NotAuthorized:  # whoever received a folder as a share is not shown versions (Reva v2)
        return {"versions": None, "quiet": None}


async def _locks(files: Files, ref: Ref, attempt: _Attempts) -> dict[str, bool | None]:
    def lock() -> Lock:
        return Lock(secrets.token_hex(8), locks.APP_NAME, None, time.time() + LOCK_S)

    ours = lock()
    try:
        await files.set_lock(ref, ours)
    except Unsupported:
        return {"locks": False, "guards": False}
    try:
        try:
            await files.set_lock(ref, lock())
        except LockHeld:
            return {"locks": True, "guards": not await attempt.lands()}
        return {"locks": False, "guards": False}
    finally:
        with contextlib.suppress(CollabError):
            await files.unlock(ref, ours)


async def _metadata(files: Files, ref: Ref) -> bool:
    before = (await files.stat(ref)).etag
    try:
        await files.set_metadata(ref, {PREFIX: "tried"})
    except Unsupported:
        return False
    after = await files.stat(ref)
    return after.metadata.get(PREFIX) == "tried" and after.etag == before


async def remove(files: Files, folder: Ref, ref: Ref) -> None:
    """Deletes what was tried on, also from the recycle bin, which is its owner's."""
    await files.delete(ref)
    name = PurePosixPath(ref.path).name
    for item in await files.recycled(folder):
        if PurePosixPath(item.path).name == name:
            await files.purge_recycled(folder, item.key)


async def offered(call: Awaitable[object]) -> bool | None:
    """Whether the gateway has a call at all."""
    try:
        await call
    except Unsupported:
        return False
    except CollabError:
        return None
    return True


@dataclass(frozen=True, slots=True)
class Meaning:
    """One of `Capabilities` for people: what it is, what is weaker without, what an operator can do about that."""

    what: str
    without: str
    change: str


_DRIVER: Final = "a storage driver that has it, such as Reva's decomposed"
MEANINGS: Final = {
    "locks": Meaning(
        "locks",
        "our servers take turns by notes beside the file, other programs are not kept from writing; that is found by its etag",
        _DRIVER,
    ),
    "guards": Meaning("locks hold others off", "others write in spite of a lock; that is found by its etag", _DRIVER),
    "if_match": Meaning(
        "conditional writes (if_match)", "what others save between our last look and our save can be lost", _DRIVER
    ),
    "if_absent": Meaning("new files without overwriting", "a file made by others a moment before can be lost", _DRIVER),
    "etags": Meaning("an etag of its own for each write", "of two writes at once the later can go unseen", _DRIVER),
    "checksums": Meaning(
        "uploads checked by their checksum", "each save is read back to know that it arrived whole", _DRIVER
    ),
    "versions": Meaning("versions", "no checkpoints in JupyterLab; the history of live documents remains", _DRIVER),
    "quiet": Meaning(
        "saves without a version", "each automatic save makes a version, so there are fewer: see versioned_save_s",
        "limit the versions kept per file on the storage, or raise versioned_save_s",
    ),
    "metadata": Meaning(
        "notes beside files (metadata)", "without locks too, two servers write the same file in turns", _DRIVER
    ),
    "spaces": Meaning("project spaces", "only homes and shares are shown", "a gateway with the spaces API"),
    "ocm": Meaning("shares with other sites (OCM)", "only people of this site can edit together", "the gateway's OCM services"),
}  # fmt: skip


def weaknesses(found: Capabilities) -> list[str]:
    """What is weaker for people who edit on a storage with these capabilities, a sentence each."""
    missing = [name for name in MEANINGS if getattr(found, name) is False]
    if "locks" in missing and "guards" in missing:
        missing.remove("guards")
    return [f"no {MEANINGS[name].what}: {MEANINGS[name].without}" for name in missing]


class Watch:
    """What the storage of one folder can do, tried again now and then, for operators change storages. ``found`` is the latest.

    `folder` gives it, and makes it if need be.
    """

    def __init__(self, files: Files, folder: Callable[[], Awaitable[Ref]]) -> None:
        self._files = files
        self._folder = folder
        self.found = Capabilities()

    async def run(self) -> None:
        while True:
            known = await self.look()
            await asyncio.sleep(AGAIN_S if known else RETRY_S)

    async def look(self) -> bool:
        """Tries once; false when the storage could not be asked. What is known stays then."""
        try:
            folder = await self._folder()
            found = await probe(self._files, folder)
        except CollabError as error:
            log.warning("what the storage can do is not known yet: %s", error)
            return False
        if found != self.found:
            self.found = found
            log.info("the storage of %s: %s", folder, "; ".join(weaknesses(found)) or "nothing is missing")
        return True


class Noticed:
    """What saves show of a storage that nobody tries, because there is no account to try with. ``found`` is the latest."""

    def __init__(self) -> None:
        self.found = Capabilities()
        self._again_at = float("-inf")

    @property
    def curious(self) -> bool:
        """Is it time to look?"""
        return time.monotonic() >= self._again_at

    def saved(self, before: int, after: int) -> None:
        """A save that was to leave no version was made: there were so many versions before and after."""
        self._again_at = time.monotonic() + AGAIN_S
        quiet = after <= before
        # none left may mean that the storage keeps none, or that it heeds what it was asked
        found = replace(self.found, quiet=quiet, versions=self.found.versions if quiet else True)
        if found != self.found:
            self.found = found
            log.info("the storage, as saves show it: %s", "; ".join(weaknesses(found)) or "nothing is missing")


class NoticingFiles(Files):
    """`Files` of whoever may edit; their saves teach `noticed`, at two listings of versions now and then."""

    def __init__(self, session: Session, noticed: Noticed, *, app_name: str = locks.APP_NAME) -> None:
        super().__init__(session, app_name=app_name)
        self._noticed = noticed

    async def write(
        self, ref: Ref, content: bytes | Source, *, keep_version: bool = True, **wanted: Any
    ) -> Written | NotLatest:
        before = await self._count(ref) if not keep_version and self._noticed.curious else None
        outcome = await super().write(ref, content, keep_version=keep_version, **wanted)
        if before is not None and isinstance(outcome, Written) and (after := await self._count(ref)) is not None:
            self._noticed.saved(before, after)
        return outcome

    async def _count(self, ref: Ref) -> int | None:
        """None where it is not said: to receivers of shares (Reva v2), of files that are not there."""
        try:
            return len(await self.versions(ref))
        except CollabError:
            return None
