"""A CS3 storage in memory, as faithful as what a room can see of one: ids, etags, conditions, locks that expire, roles, quota.

`MemorySite` is the storage itself with its own clock, `MemoryStorage` one user's view of it (`cs3collab.rooms.ports.Storage`).
Behaviour is that of Reva v2 with the decomposed driver, as `cs3collab.cs3.Files` reports it. Faults are injected per call.
"""

from __future__ import annotations

import enum
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from cs3collab.errors import (
    LeaseLost,
    LockHeld,
    NotAuthenticated,
    NotAuthorized,
    NotFound,
    Overloaded,
    StorageUnavailable,
    Unsupported,
)
from cs3collab.types import Etag, FileInfo, Lock, NotLatest, Ref, ResourceId, Role, User, Written

ALICE = User("alice-1", "https://a.test", "alice", "Alice Home")
BOB = User("bob-2", "https://b.test", "bob", "Bob Away", federated=True)
FOLDER = ResourceId("site-a", "folder", "space")


class Fault(enum.Enum):
    DOWN = "the request never arrives"
    LOST = "the answer never arrives"


class Crash(BaseException):
    """The process that made the call ends here."""


Hook = Callable[[], None]
"""Runs just before the call is carried out; may change the site, or raise."""


@dataclass(slots=True)
class Node:
    id: ResourceId
    name: str
    content: bytes
    etag: Etag
    mtime: float
    lock: Lock | None = None
    deleted: bool = False
    metadata: dict[str, str] = field(default_factory=dict)


class MemorySite:
    """``clock`` is the storage's own, Unix seconds. ``calls`` counts what was asked of it, by operation."""

    def __init__(self, clock: Callable[[], float], *, locks: bool = True, if_match: bool = True) -> None:
        self.clock = clock
        self.locks = locks
        self.if_match = if_match
        self.metadata = True
        self.roles: dict[str, Role] = {}
        self.folder_roles: dict[str, Role] = {}
        self.expired_tokens: set[str] = set()
        self.quota_left: int | None = None
        self.down = False
        self.calls: dict[str, int] = defaultdict(int)
        self.writes: list[tuple[str, str, bool]] = []
        """(user, file name, whether a version is kept) of every write through a `MemoryStorage`."""
        self.replaced: list[bytes] = []
        """What those writes overwrote."""
        self._nodes: dict[ResourceId, Node] = {}
        self._faults: dict[str, deque[Fault | Hook]] = defaultdict(deque)
        self._counter = 0

    def create(self, name: str, content: bytes) -> ResourceId:
        self._counter += 1
        node = Node(ResourceId("site-a", f"file-{self._counter}", "space"), name, content, self._etag(), self.clock())
        self._nodes[node.id] = node
        return node.id

    def overwrite(self, resource_id: ResourceId, content: bytes) -> None:
        """Somebody else's write, past all locks (a sync client on a storage without them, or the lock's new holder)."""
        node = self._nodes[resource_id]
        node.content, node.etag, node.mtime = content, self._etag(), self.clock()

    def delete(self, resource_id: ResourceId) -> None:
        self._nodes[resource_id].deleted = True

    def restore(self, resource_id: ResourceId) -> None:
        """From the recycle bin, with its id."""
        self._nodes[resource_id].deleted = False

    def rename(self, resource_id: ResourceId, name: str) -> None:
        self._nodes[resource_id].name = name

    def steal_lock(self, resource_id: ResourceId, lock: Lock | None) -> None:
        """An administrator breaks the lock, or another application gets it."""
        self._nodes[resource_id].lock = lock

    def lock_of(self, resource_id: ResourceId) -> Lock | None:
        return self._live_lock(self._nodes[resource_id])

    def etag(self, resource_id: ResourceId) -> Etag:
        return self._nodes[resource_id].etag

    def content(self, resource_id: ResourceId) -> bytes:
        return self._nodes[resource_id].content

    def files(self) -> dict[str, bytes]:
        return {node.name: node.content for node in self._nodes.values() if not node.deleted}

    def inject(self, operation: str, *faults: Fault | Hook) -> None:
        """The next calls of `operation` (a method of `Storage`) meet these, one each."""
        self._faults[operation].extend(faults)

    def cancel_faults(self) -> None:
        """What was injected and has not happened yet never does."""
        self._faults.clear()

    def heal(self) -> None:
        self.down = False
        self.cancel_faults()
        self.quota_left = None
        self.expired_tokens.clear()

    @contextmanager
    def call(self, operation: str) -> Iterator[None]:
        self.calls[operation] += 1
        fault = self._faults[operation].popleft() if self._faults[operation] else None
        if self.down or fault is Fault.DOWN:
            raise StorageUnavailable("the gateway does not answer", hint="try again")
        if callable(fault):
            fault()
        yield
        if fault is Fault.LOST:
            raise StorageUnavailable("the gateway did not answer in time", hint="try again")

    def find(self, ref: Ref) -> Node | None:
        if ref.resource_id is None:
            return next((n for n in self._nodes.values() if not n.deleted and n.name == ref.path), None)
        if ref.path == ".":
            node = self._nodes.get(ref.resource_id)
            return node if node and not node.deleted else None
        assert ref.resource_id == FOLDER, "one folder"
        assert ref.path.startswith("./"), "relative paths begin so in Reva"
        return next((node for node in self._nodes.values() if not node.deleted and node.name == ref.path[2:]), None)

    def put(self, node: Node | None, name: str, content: bytes) -> Etag:
        if self.quota_left is not None and len(content) > self.quota_left:
            raise StorageUnavailable("upload: insufficient storage", hint="the quota is used up: free some space")
        if node is None:
            return self._nodes[self.create(name, content)].etag
        self.replaced.append(node.content)
        self.overwrite(node.id, content)
        return node.etag

    def check_lock(self, node: Node, lock_id: str) -> None:
        lock = self._live_lock(node)
        if lock is not None and lock.lock_id != lock_id:
            raise LockHeld("the file is locked", holder=lock.holder.label if lock.holder else "", app_name=lock.app_name)
        if lock is None and lock_id and self.locks:
            raise LeaseLost("the lock is not on the file any more")

    def _live_lock(self, node: Node) -> Lock | None:
        """Expiry is lazy: reading the lock ends it."""
        if node.lock and node.lock.expires_at is not None and node.lock.expires_at < self.clock():
            node.lock = None
        return node.lock

    def _etag(self) -> Etag:
        self._counter += 1
        return Etag(f'"{self._counter}"')


class MemoryStorage:
    """``dead`` is the view of a process that was killed: nothing it asks for happens any more."""

    def __init__(self, site: MemorySite, user: User, *, sees_folder: bool = True) -> None:
        self._site = site
        self._user = user
        self._sees_folder = sees_folder
        self.dead = False

    @property
    def user(self) -> User:
        return self._user

    async def stat(self, ref: Ref) -> FileInfo:
        with self._call("stat"):
            node, role = self._visible(ref), self._role()
            return FileInfo(
                id=node.id,
                name=node.name,
                path=f"/{node.name}",
                is_dir=False,
                etag=node.etag,
                size=len(node.content),
                mtime=node.mtime,
                role=role,
                parent_id=FOLDER if self._sees_folder else None,
                lock=self._site.lock_of(node.id),
                metadata=dict(node.metadata),
            )

    async def read(self, ref: Ref, *, max_bytes: int) -> bytes:
        with self._call("read"):
            content = self._visible(ref).content
            if len(content) > max_bytes:
                raise Overloaded("too large")
            return content

    async def write(
        self,
        ref: Ref,
        content: bytes,
        *,
        if_match: Etag | None = None,
        if_absent: bool = False,
        lock_id: str = "",
        keep_version: bool = True,
    ) -> Written | NotLatest:
        with self._call("write"):
            node = self._site.find(ref)
            if if_match is not None and node is None:
                raise NotFound("the file is gone")
            if if_absent and node is not None:
                return NotLatest("a file of that name is there")
            if if_match is not None and self._site.if_match and node is not None and node.etag != if_match:
                return NotLatest("the file changed")
            role = self._role() if node else self._folder_role(ref)
            if role < Role.EDITOR:
                raise NotAuthorized("permission denied")
            if node is not None:
                self._site.check_lock(node, lock_id)
            name = node.name if node else ref.path.removeprefix("./")
            etag = self._site.put(node, name, content)
            self._site.writes.append((self._user.username, name, keep_version))
            return Written(etag)

    async def set_lock(self, ref: Ref, lock: Lock) -> None:
        with self._call("set_lock"):
            node = self._lockable(ref)
            if found := self._site.lock_of(node.id):
                raise LockHeld("already locked", holder=found.holder.label if found.holder else "", app_name=found.app_name)
            node.lock = lock

    async def refresh_lock(self, ref: Ref, lock: Lock, *, existing_lock_id: str = "") -> None:
        with self._call("refresh_lock"):
            node = self._lockable(ref)
            # an expired lock that nobody has read since can be refreshed (Reva v2)
            if (
                node.lock is None
                or node.lock.lock_id != (existing_lock_id or lock.lock_id)
                or node.lock.app_name != lock.app_name
            ):
                raise LeaseLost("the lock is not ours")
            node.lock = lock

    async def get_lock(self, ref: Ref) -> Lock | None:
        with self._call("get_lock"):
            if not self._site.locks:
                raise Unsupported("no locks")
            return self._site.lock_of(self._visible(ref).id)

    async def unlock(self, ref: Ref, lock: Lock) -> None:
        with self._call("unlock"):
            node = self._lockable(ref)
            found = self._site.lock_of(node.id)
            if found is not None and found.lock_id != lock.lock_id:
                raise LeaseLost("somebody else's lock")
            node.lock = None

    async def home(self) -> str:
        with self._call("home"):
            if self._user.federated:
                raise NotAuthorized("no home here")
            return f"/home/{self._user.username}"

    def _folder_role(self, ref: Ref) -> Role:
        return self._site.folder_roles.get(self._user.key, Role.EDITOR) if ref.resource_id else Role.EDITOR

    async def set_metadata(self, ref: Ref, values: Mapping[str, str]) -> None:
        with self._call("set_metadata"):
            self._noted(ref).update(values)

    async def unset_metadata(self, ref: Ref, keys: list[str]) -> None:
        with self._call("unset_metadata"):
            metadata = self._noted(ref)
            for key in keys:
                metadata.pop(key, None)

    @contextmanager
    def _call(self, operation: str) -> Iterator[None]:
        if self.dead:
            raise StorageUnavailable("this process is dead")
        with self._site.call(operation):
            if self._user.key in self._site.expired_tokens:
                raise NotAuthenticated("the token is expired")
            yield

    def _role(self) -> Role:
        return self._site.roles.get(self._user.key, Role.EDITOR)

    def _visible(self, ref: Ref) -> Node:
        node = self._site.find(ref)
        if node is None or self._role() is Role.NONE:
            raise NotFound("no such file")
        return node

    def _lockable(self, ref: Ref) -> Node:
        if not self._site.locks:
            raise Unsupported("this storage has no locks")
        return self._writable(ref)

    def _noted(self, ref: Ref) -> dict[str, str]:
        if not self._site.metadata:
            raise Unsupported("this storage keeps no metadata")
        return self._writable(ref).metadata

    def _writable(self, ref: Ref) -> Node:
        node = self._visible(ref)
        if self._role() < Role.EDITOR:
            raise NotAuthorized("permission denied")
        return node


def foreign_lock(expires_at: float | None, *, app: str = "wopi", holder: User | None = None) -> Lock:
    return replace(Lock("foreign-lock", app_name=app), holder=holder, expires_at=expires_at)
