"""Opens the authority of a file: store and file are compared, a lineage is resumed or begun, the keeper is put in charge."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from cs3collab.errors import NotANotebook, Overloaded
from cs3collab.limits import DEFAULT, Limits
from cs3collab.locks.lease import Lease
from cs3collab.rooms.authority import Authority, may_edit
from cs3collab.rooms.filing import Theirs
from cs3collab.rooms.history import NewDocument
from cs3collab.rooms.keeper import Keeper
from cs3collab.rooms.pen import Pen
from cs3collab.rooms.ports import Document, Log, Storage
from cs3collab.rooms.registry import Admission
from cs3collab.rooms.saving import Base, recognised, with_recent
from cs3collab.types import Capabilities, Ref, RoomId, SiteId

_NAMED = 3
"""Editors whom a lock names, at most."""
OpenStore = Callable[[str], Awaitable[Log]]
"""`store_key` to its log."""


def _editing(room: Authority) -> str:
    """Who is here and may write, or did last, for people whom the lock keeps out."""
    names = sorted({seat.user.label for seat in room.seats.values() if may_edit(seat)})
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    if names:
        room.editing = f"{', '.join(names[:_NAMED])}{more} at {room.status.home}"
    return room.editing


def store_key(room_id: RoomId) -> str:
    """A notebook that is opened as text is another document, with a history of its own."""
    return room_id.file_id if room_id.type == "notebook" else f"{room_id.file_id}.{room_id.type}"


def store_folder(root: Path, key: str) -> Path:
    """Where a document's journal lives. Long keys are hashed, for a file name ends at 255 bytes."""
    name = key if len(key) <= 200 else hashlib.sha256(key.encode()).hexdigest()
    return root / "rooms" / name


@dataclass(frozen=True, slots=True)
class Opener:
    """What all authorities of a process share. ``authority_id`` is stable over restarts and differs between relays.

    ``capabilities`` gives what is known of the site's storage now. ``alone``: there is no relay, so others at the site may have
    the same file open with an authority of their own, and the lease says who edits it (docs/decisions/011).
    """

    site: SiteId
    authority_id: str
    open_store: OpenStore
    new_document: NewDocument
    limits: Limits = DEFAULT
    service: Storage | None = None
    capabilities: Callable[[], Capabilities] = Capabilities
    alone: bool = False

    async def open(self, admission: Admission) -> Authority:
        """Raises `NotANotebook`, `Overloaded` for a file past the size bound, `Unavailable`."""
        if admission.info.size > self.limits.document_bytes:
            raise Overloaded(
                f"{admission.info.name} has {admission.info.size} bytes",
                hint=f"collaborative editing takes at most {self.limits.document_bytes}",
            )
        store = await self.open_store(store_key(admission.room_id))
        try:
            return await self._open(admission, store)
        except BaseException:
            await store.close()
            raise

    async def _open(self, admission: Admission, store: Log) -> Authority:
        async def history() -> list[bytes]:
            return [update async for update in store.updates()]

        document = self.new_document(admission.room_id.type, history)
        try:
            theirs = await self._fill(admission, store, document)
            room = self._authority(admission, store, document)
            if theirs is not None:
                await room.keeper.catch_up(theirs)
        except BaseException:
            await document.close()
            raise
        room.start()
        if store.position > room.status.saved_position:
            room.keeper.touched(store.position)
        return room

    def _authority(self, admission: Admission, store: Log, document: Document) -> Authority:
        room = Authority(
            admission.room_id,
            name=admission.info.name,
            home=self.site,
            document=document,
            store=store,
            new_document=self.new_document,
            limits=self.limits,
            service=self.service,
        )
        ref = Ref.of(admission.info.id)
        # so that the lease keeps the two documents of a notebook opened as text too from writing in turns
        owner = self.authority_id if admission.room_id.type == "notebook" else f"{self.authority_id}.{admission.room_id.type}"
        limits = self.limits

        def writer() -> Storage | None:
            return next(iter(room.writers()), None)

        lease = Lease(
            writer,
            ref,
            owner,
            lifetime_s=limits.lease_s,
            look_s=limits.look_s,
            editing=lambda: _editing(room),
        )
        pen = Pen(lease, owner, wanted=room.writers_present, storage=writer, look_s=limits.look_s) if self.alone else None
        room.keeper = Keeper(
            ref=ref,
            name=admission.info.name,
            document=document,
            log=store,
            writers=room.writers,
            readers=room.readers,
            saved=room.saved,
            lease=lease,
            publish=room.published,
            broadcast=room.system_edit,
            limits=self.limits,
            quiet=lambda: self.capabilities().quiet is not False,
            pen=pen,
            refused=room.storage_refused,
        )
        if pen is not None:
            room.pen = pen
            pen.changed, pen.catch_up = room.pen_changed, room.keeper.look
        return room

    async def _fill(self, admission: Admission, store: Log, document: Document) -> Theirs | None:
        """The document as the store has it, or from the file. Returns what others made of the file since, if they did."""
        info, storage = admission.info, admission.standing.storage
        if store.position and store.meta.get("base_etag") == info.etag:
            await document.load([update async for update in store.updates()])
            return None
        content = await storage.read(Ref.of(info.id), max_bytes=self.limits.document_bytes)
        if not store.position:
            seed = await document.seed(content)
            rendered = await document.render()
            recent = with_recent({}, 1, time.time())
            seeded = {"base_etag": info.etag, "base_digest": rendered.digest, "saved_position": "1", "recent_saves": recent}
            await store.set_meta(seeded)
            await store.set_base(await store.append(seed), info.etag)
            return None
        await document.load([update async for update in store.updates()])
        digest = await document.digest(content)
        ours = ""
        with contextlib.suppress(NotANotebook):  # people must get in to mend it
            ours = (await document.render()).digest
        if not recognised(digest, ours=ours, base=Base.of(store.meta)):
            return Theirs(info.etag, info.mtime, content)
        await store.set_meta({"base_etag": info.etag, "base_digest": digest})
        return None
