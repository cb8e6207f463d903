"""What a relay and a Jupyter server without one have in common: rooms, their worker, their store, the links to other relays."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cs3collab.errors import CollabError, InvalidInput, StorageUnavailable
from cs3collab.limits import DEFAULT, Limits
from cs3collab.relay.link import Link
from cs3collab.rooms.opening import Opener, store_folder
from cs3collab.rooms.ports import Log, Storage
from cs3collab.rooms.registry import Admit, Registry
from cs3collab.rooms.rescue import rescuer
from cs3collab.rooms.worker import WorkerPool
from cs3collab.types import Capabilities, SiteId
from ystore import BlobStore, Journal, Retention, Store, StoreError

Blobs = Callable[[str], Awaitable[BlobStore | None]]
"""`store_key` to where the cold part of the store lives; None: on the local disk alone."""


async def local_only(key: str) -> BlobStore | None:
    return None


@dataclass(frozen=True, slots=True)
class Node:
    """``authority_id`` tells this node's leases from those of others."""

    registry: Registry
    authority_id: str
    limits: Limits


@asynccontextmanager
async def open_node(
    *,
    site: SiteId,
    directory: Path,
    admit: Admit,
    blobs: Blobs = local_only,
    service: Storage | None = None,
    limits: Limits = DEFAULT,
    capabilities: Callable[[], Capabilities] = Capabilities,
    alone: bool = False,
) -> AsyncIterator[Node]:
    """Rooms live inside; on the way out they are saved and closed. ``alone``: no relay is above it.

    Raises `InvalidInput` when `directory` cannot be used.
    """
    authority_id = await asyncio.to_thread(_authority_id, directory)
    links: dict[str, Link] = {}

    def dial(url: str) -> Link:
        if url not in links:
            links[url] = Link(url, limits=limits)
        return links[url]

    async def open_store(key: str) -> Log:
        try:
            folder, cold = store_folder(directory, key), await blobs(key)
            return await Store.open(folder, cold, journal, retention=Retention(limits.history_s, limits.history_bytes))
        except StoreError as error:
            raise StorageUnavailable(
                f"the journal of this document cannot be opened: {error}", hint="ask the operator to look at the store's folder"
            ) from error

    with contextlib.closing(Journal()) as journal:
        async with WorkerPool(limits=limits) as workers:
            opener = Opener(site, authority_id, open_store, workers.document, limits, service, capabilities, alone)
            registry = Registry(
                admit=admit,
                open_authority=opener.open,
                new_document=workers.document,
                dial=dial,
                limits=limits,
                rescue=rescuer(directory / "rescued"),
            )
            try:
                yield Node(registry, authority_id, limits)
            finally:
                await registry.close()
                for link in links.values():
                    await link.close()


def _authority_id(directory: Path) -> str:
    """Made once per directory: after a restart the lease on a file is recognised as our own."""
    path = directory / "authority-id"
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileNotFoundError):
            if text := path.read_text(encoding="ascii").strip():
                return text
        made = uuid.uuid4().hex
        path.write_text(made + "\n", encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"the store's folder {directory} cannot be used: {getattr(error, 'strerror', '') or error}",
            hint="give a writable local folder",
        ) from error
    return made


def describe(error: CollabError) -> dict[str, str]:
    """An error as JSON answers carry it."""
    return {"error": error.kind, "message": error.message, "hint": error.hint}
