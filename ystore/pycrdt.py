"""The adapter for stock servers, which decode updates in their own process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from logging import Logger, getLogger
from pathlib import Path
from typing import Any

import anyio
from pycrdt import Array, Doc, Map, MapEvent, Subscription, Text, TransactionEvent
from pycrdt.store import BaseYStore, YDocNotFound

from ystore.errors import StoreUnavailable
from ystore.stock import Settings, imported, key_of, leave, server_config, settings_from, share
from ystore.store import Store

STATE = "state"
"""Where jupyter-ydoc keeps what is no content: whether the document is saved, the file's hash."""


class CS3YStore(BaseYStore):
    """A `Store` as stock rooms want it: ``c.YDocExtension.ystore_class = "ystore.pycrdt.CS3YStore"``. Only on asyncio.

    ``write`` returns when the update is durable. `settings`, else ``c.CS3YStore`` of `config`, else that of the Jupyter server
    in this process, say where. All adapters for one `path` in a process share one open directory; ``stop`` leaves it, and
    it is let go of after a while without use when nobody calls ``stop``, as stock servers do not.

    A stock room whose file is not what it loaded from here takes the file, also when the file is merely older because the
    server died before it was saved. Then what was never saved is put back as a new edit: see `encode_state_as_update`.
    """

    def __init__(
        self,
        path: str,
        metadata_callback: Callable[[], Awaitable[bytes] | bytes] | None = None,
        log: Logger | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        settings: Settings | None = None,
    ) -> None:
        """Raises ValueError for a configuration that cannot be."""
        self.path = path
        self.metadata_callback = metadata_callback
        self.log = log or getLogger(__name__)
        self._config = config if config is not None else server_config()
        self._settings = settings or settings_from(self._config)
        imported(self._settings.blobs_factory)
        self._directory = Path(self._settings.directory).absolute() / key_of(path)
        self._doc: Doc[Any] | None = None
        self._loaded = False
        self._gap = False
        self._save: bytes | None = None
        self._subscriptions: list[Subscription] = []

    def store(self) -> AbstractAsyncContextManager[Store]:
        """What is underneath, open for as long as the context. Raises as `Store.open`."""
        return share(self, self._directory, self._settings, self._config).using()

    async def write(self, data: bytes) -> None:
        """Raises `ystore.StoreError`. After an update that the disk refused, the next brings the whole document."""
        with anyio.CancelScope(shield=True):  # a room that stops cancels what it still writes
            metadata = await self.get_metadata()
            async with self.store() as store:
                update = self._doc.get_update() if self._gap and self._doc is not None else data
                try:
                    position = await store.append(update, metadata.decode("latin-1"))
                except StoreUnavailable:
                    self._gap = True
                    raise
                if update is not data:
                    self._gap = False
                if data == self._save:
                    self._save = None
                    await store.set_base(position, "")

    async def read(self) -> AsyncIterator[tuple[bytes, bytes, float]]:
        """The state where the history begins and every update since, each with its metadata and Unix seconds.

        Raises `pycrdt.store.YDocNotFound` if there is none.
        """
        async with self.store() as store:
            if not store.position:
                raise YDocNotFound
            if store.horizon:
                begin = next(version for version in await store.versions() if version.position == store.horizon)
                yield await store.load(begin.position), b"", begin.at
            async for record in store.records(store.horizon):
                yield record.update, record.author.encode("latin-1"), record.at

    async def apply_updates(self, ydoc: Doc[Any]) -> None:
        """From the snapshot, which is faster than every update. Raises `pycrdt.store.YDocNotFound`."""
        self._attend(ydoc)
        async with self.store() as store:
            if not store.position:
                raise YDocNotFound
            async for update in store.updates():
                ydoc.apply_update(update)
        self._loaded = True

    def _attend(self, ydoc: Doc[Any]) -> None:
        """A stock room writes ``dirty = False`` into its document each time that the file has its content."""
        self._doc = ydoc
        if STATE not in set(ydoc.keys()):
            return
        clean = False

        def changed(event: MapEvent) -> None:
            nonlocal clean
            clean = event.keys.get("dirty", {}).get("newValue") is False  # type: ignore[attr-defined]

        def committed(event: TransactionEvent) -> None:
            nonlocal clean
            if clean:
                clean, self._save = False, event.update

        self._subscriptions = [ydoc.get(STATE, type=Map).observe(changed), ydoc.observe(committed)]

    async def encode_state_as_update(self, ydoc: Doc[Any]) -> None:
        """Stores all of `ydoc`. A room calls it when it took the file: for a new document, or in place of what was loaded.

        In the second case, if the file is what it was when it was last saved, what came after was never saved, and is put back
        into `ydoc`. Else others changed the file: it stays as it is, and what was loaded is kept as a named version.
        """
        async with self.store() as store:
            put_back = self._loaded and await self._put_back(store, ydoc)
            self._loaded = False
            metadata = await self.get_metadata()
            position = await store.append(ydoc.get_update(), metadata.decode("latin-1"))
            if not put_back:
                await store.set_base(position, "")

    async def _put_back(self, store: Store, ydoc: Doc[Any]) -> bool:
        saved = await store.base()
        if saved is None or _content(_document(saved), ydoc) != _content(ydoc, ydoc):
            await store.name_version(f"before others' changes to the file were taken, at {store.position}")
            self.log.warning("%s: others changed the file; what it lacks is in the history up to %d", self.path, store.position)
            return False
        restore(ydoc, _document(await store.load()))
        self.log.warning("%s: edits that were not saved in the file are in the document again", self.path)
        return True

    async def stop(self) -> None:
        await super().stop()
        self._subscriptions.clear()
        with anyio.CancelScope(shield=True):
            await leave(self, self._directory)


def _document(update: bytes) -> Doc[Any]:
    doc: Doc[Any] = Doc()
    doc.apply_update(update)
    return doc


def _content(doc: Doc[Any], like: Doc[Any]) -> dict[str, Any]:
    """Of the shared types that `like` knows; those of another document may have no type yet."""
    return {key: _plain(doc.get(key, type=type(value))) for key, value in like.items() if key != STATE}


def restore(doc: Doc[Any], source: Doc[Any]) -> None:
    """Makes the content of `doc` that of `source`, as edits of what differs. Leaves ``state``, and what has no type there."""
    with doc.transaction():
        for key, value in doc.items():
            if key == STATE:
                continue
            other = source.get(key, type=type(value))
            if isinstance(value, Map):
                for name in set(value.keys()) - set(other.keys()):
                    del value[name]
                for name, item in other.items():
                    if name not in value or _plain(value[name]) != _plain(item):
                        value[name] = _copy(item)
            elif isinstance(value, Array):
                _splice(value, other)
            elif isinstance(value, Text) and str(value) != str(other):
                value.clear()
                value += str(other)


def _splice(ours: Array[Any], theirs: Array[Any]) -> None:
    old, new = ([_plain(item) for item in each] for each in (ours, theirs))
    start = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    room = min(len(old), len(new)) - start
    same = next((n for n in range(room) if old[-1 - n] != new[-1 - n]), room)
    del ours[start : len(old) - same]
    ours[start:start] = [_copy(theirs[n]) for n in range(start, len(new) - same)]


def _plain(value: Any) -> Any:
    """For comparing. Whether a cell is trusted is the server's word at the time it reads the file, not content."""
    if isinstance(value, Array | Map | Text):
        return _plain(value.to_py())
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items() if name != "trusted"}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _copy(value: Any) -> Any:
    """A shared type that belongs to no document yet, with the same content."""
    if isinstance(value, Map):
        return Map({name: _copy(item) for name, item in value.items()})
    if isinstance(value, Array):
        return Array([_copy(item) for item in value])
    return Text(str(value)) if isinstance(value, Text) else value
