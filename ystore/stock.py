"""What `ystore.pycrdt.CS3YStore` needs beside Yjs: its configuration, and stores that several adapters of one document share.

A stock server makes an adapter for each room it opens and, when everybody left, forgets it: nobody calls ``stop``. So the
adapters of one document in one process share one `Store`, which is let go of when it was not used for a while.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
import re
import sys
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ystore.blobs import BlobStore
from ystore.journal import Journal
from ystore.store import Store

log = logging.getLogger(__name__)

SECTION = "CS3YStore"
BlobsFactory = Callable[[str, Mapping[str, Any]], "BlobStore | Awaitable[BlobStore]"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What ``c.CS3YStore.<name> = …`` sets."""

    directory: str = ".jupyter_ystore"
    """Local folder with a directory for each document; relative to where the server was started."""
    blobs_factory: str | BlobsFactory = ""
    """Makes the `BlobStore` of a document from its key and the server's configuration; ``package.module.name``. Empty: none."""
    close_after_s: float = 60.0
    """Without use; the directory is then free for others."""


def settings_from(config: Mapping[str, Any] | None) -> Settings:
    """Raises ValueError for a name that is none, so that a misspelt one does not pass for set."""
    section = dict((config or {}).get(SECTION, {}))
    known = {field.name for field in fields(Settings)}
    if unknown := sorted(set(section) - known):
        raise ValueError(f"c.{SECTION} has no {', '.join(unknown)}; there is {', '.join(sorted(known))}")
    return Settings(**section)


def server_config() -> Mapping[str, Any]:
    """The configuration of the Jupyter server in this process: its extension gives it only to some of the stores it makes."""
    application = getattr(sys.modules.get("traitlets.config"), "Application", None)
    found: Mapping[str, Any] = application.instance().config if application and application.initialized() else {}
    return found


def key_of(path: str) -> str:
    """A folder's name for what a stock server calls ``.notebook:<file id>.y``, different for different paths."""
    bare = path[1:-2] if path.startswith(".") and path.endswith(".y") else path
    return re.sub(r"[^0-9A-Za-z-]", lambda found: f"_{ord(found[0]):x}_", bare)


def imported(factory: str | BlobsFactory) -> BlobsFactory | None:
    """Raises ValueError if there is nothing to call at ``package.module.name``."""
    if not factory or not isinstance(factory, str):
        return factory or None
    module, _, name = factory.rpartition(".")
    try:
        found: BlobsFactory = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"c.{SECTION}.blobs_factory: there is no {factory!r}: {error}") from error
    return found


class Shared:
    """One document's store: opened by `using`, closed when the last adapter leaves, or after ``close_after_s`` without use."""

    def __init__(self, directory: Path, settings: Settings, config: Mapping[str, Any]) -> None:
        self.adapters: weakref.WeakSet[object] = weakref.WeakSet()
        self._directory = directory
        self._settings = settings
        self._config = config
        self._store: Store | None = None
        self._turn = asyncio.Lock()
        self._users = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def using(self) -> AsyncIterator[Store]:
        """Raises as `Store.open`, and what the factory of the blob store raises."""
        self._users += 1
        if self._timer is not None:
            self._timer.cancel()
        try:
            async with self._turn:
                if self._store is None:
                    self._store = await Store.open(self._directory, await self._blobs(), _journal())
            yield self._store
        finally:
            self._users -= 1
            if not self._users:
                self._timer = asyncio.get_running_loop().call_later(self._settings.close_after_s, self._rest)

    async def _blobs(self) -> BlobStore | None:
        factory = imported(self._settings.blobs_factory)
        if factory is None:
            return None
        made = factory(self._directory.name, self._config)
        return await made if inspect.isawaitable(made) else made

    def _rest(self) -> None:
        self._closing = asyncio.create_task(self.close())

    async def close(self) -> None:
        """Unless somebody uses it. Whoever comes next opens it again."""
        async with self._turn:
            if self._users or self._store is None:
                return
            if self._timer is not None:
                self._timer.cancel()
            store, self._store = self._store, None
            await store.flush()
            await store.close()


@dataclass(slots=True)
class _Process:
    journal: Journal
    shared: dict[Path, Shared]


_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Process] = weakref.WeakKeyDictionary()
"""Tests and some servers have several event loops one after the other."""


def _process() -> _Process:
    loop = asyncio.get_running_loop()
    if loop not in _loops:
        _loops[loop] = _Process(Journal(threads=2), {})
    return _loops[loop]


def _journal() -> Journal:
    return _process().journal


def share(adapter: object, directory: Path, settings: Settings, config: Mapping[str, Any]) -> Shared:
    """The store of `directory`, for `adapter` too. The settings are those of whoever asked first."""
    shared = _process().shared
    found = shared.get(directory)
    if found is None:
        found = shared[directory] = Shared(directory, settings, config)
    found.adapters.add(adapter)
    return found


async def leave(adapter: object, directory: Path) -> None:
    """Closes the store when `adapter` was the last that shares it."""
    shared = _process().shared.get(directory)
    if shared is None:
        return
    shared.adapters.discard(adapter)
    if not shared.adapters:
        await shared.close()
