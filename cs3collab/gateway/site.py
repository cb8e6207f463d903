"""One site's state, and the single thread that may touch it."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import secrets
import sqlite3
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from cs3collab.errors import InvalidInput, Unavailable
from cs3collab.gateway.config import GatewayConfig
from cs3collab.gateway.index import Index, Node
from cs3collab.gateway.peers import Peers
from cs3collab.gateway.provider import Provider
from cs3collab.gateway.sessions import Sessions
from cs3collab.gateway.status import INTERNAL, Refused
from cs3collab.gateway.tokens import Tokens
from cs3collab.gateway.tree import AREAS, Tree
from cs3collab.gateway.users import Users

log = logging.getLogger(__name__)

T = TypeVar("T")


class Site:
    """Made by `open`. ``data_url`` is where the data endpoint listens, known once it does."""

    def __init__(self, config: GatewayConfig, lock: int, thread: ThreadPoolExecutor) -> None:
        self.config = config
        self.users = Users(config.users, config.site)
        self.sessions = Sessions(config.transfer_lifetime_s)
        self.peers = Peers(config)
        self.provider = Provider(config.issuer)
        self.address = ""
        self.http_url = ""
        self.index = Index(config.root / ".cs3" / "index.sqlite")
        self.tree = Tree(config.root, self.index)
        self._lock = lock
        self._thread = thread
        with self.index.transaction():
            self.tree.prepare()
            self._make_homes()
            self.storage_id = self.index.setting("storage_id", str(uuid.uuid4()))
            secret = config.jwt_secret or self.index.setting("jwt_secret", secrets.token_hex(32))
        self.tokens = Tokens(secret, config.site, config.token_lifetime_s, config.transfer_lifetime_s)

    @property
    def data_url(self) -> str:
        return f"{self.http_url}/data"

    @classmethod
    async def open(cls, config: GatewayConfig) -> Site:
        """Raises `InvalidInput` for a root that cannot be used, `Unavailable` when another gateway serves it."""
        thread = ThreadPoolExecutor(1, "gateway-index")
        try:
            return await asyncio.get_running_loop().run_in_executor(thread, cls._open, config, thread)
        except BaseException:
            thread.shutdown(wait=False)
            raise

    @classmethod
    def _open(cls, config: GatewayConfig, thread: ThreadPoolExecutor) -> Site:
        try:
            lock = _claim(config.root / ".cs3")
        except OSError as error:
            raise InvalidInput(
                f"cannot keep files in {config.root}: {error.strerror}", hint="give a folder you may write to with --root"
            ) from error
        try:
            return cls(config, lock, thread)
        except BaseException:
            os.close(lock)
            raise

    async def close(self) -> None:
        """Waits for what is under way in the index thread."""
        await self.peers.close()
        await self.provider.close()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    def _close(self) -> None:
        self.index.close()
        os.close(self._lock)

    async def run(self, work: Callable[[], T]) -> T:
        """Runs `work` in the index thread as one transaction. Raises what `work` raises."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, work)

    def _transact(self, work: Callable[[], T]) -> T:
        try:
            with self.index.transaction():
                return work()
        except sqlite3.Error as error:
            log.exception("the index failed")
            raise Refused(INTERNAL, "the index failed") from error

    def _make_homes(self) -> None:
        for area, names in zip(
            AREAS, ([u.opaque_id for u in self.config.users], [p.name for p in self.config.projects]), strict=True
        ):
            folder = self.tree.child(self.tree.root_node(), area)
            if folder is None:
                raise InvalidInput(f"{area} in the root is not a folder", hint="move it away")
            for name in names:
                if self.tree.child(folder, name) is None:
                    _make_home(self.tree, folder, name)


def _make_home(tree: Tree, folder: Node, name: str) -> None:
    try:
        tree.make_dir(folder, name)
    except FileExistsError as error:
        raise InvalidInput(f"{name!r} in the root is not a folder", hint="move it away") from error


def _claim(state: Path) -> int:
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise Unavailable(f"another gateway serves {state.parent}", hint="stop it, or choose another root") from error
    return lock
