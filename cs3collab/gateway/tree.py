"""Nodes and the plain files behind them: finding, noticing foreign changes, moving. Runs in the index thread."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import time
from pathlib import Path

from cs3collab.gateway.config import is_name
from cs3collab.gateway.index import Index, Node, new_id
from cs3collab.gateway.status import FAILED_PRECONDITION, INVALID_ARGUMENT, Refused, not_found

ROOT_ID = "root"
AREAS = ("users", "projects")


class Tree:
    """The folder `root` and what the index knows of it. Symbolic links and special files do not exist for it."""

    def __init__(self, root: Path, index: Index) -> None:
        self.root = root
        self.state = root / ".cs3"
        self.uploads = self.state / "uploads"
        self.versions = self.state / "versions"
        self.trash = self.state / "trash"
        self.index = index

    def prepare(self) -> None:
        """Makes the folders, clears unfinished uploads and finishes what a crash cut short."""
        shutil.rmtree(self.uploads, ignore_errors=True)
        for folder in (self.uploads, self.versions, self.trash, *(self.root / a for a in AREAS)):
            folder.mkdir(parents=True, exist_ok=True)
        if self.index.node(ROOT_ID) is None:
            self.index.insert(Node(ROOT_ID, "", "", ROOT_ID, True, 0, 0, 0, time.time_ns(), 0))
        self._adopt_trash()
        self._adopt_versions()

    def _adopt_trash(self) -> None:
        for entry in os.scandir(self.trash):
            node = self.index.node(entry.name.partition("~")[0])
            if node is not None and not node.parent.startswith("trash:"):
                self.discard(node, entry.name)
        for (key,) in self.index.rows("SELECT key FROM trash"):
            if not os.path.lexists(self.trash / key):
                self.index.run("DELETE FROM trash WHERE key = ?", key)

    def _adopt_versions(self) -> None:
        for folder in os.scandir(self.versions):
            for entry in os.scandir(folder.path):
                info = entry.stat()
                if self.index.node(folder.name) is not None:
                    self.index.run(
                        "INSERT OR IGNORE INTO versions VALUES (?, ?, ?, ?, '')",
                        folder.name,
                        entry.name,
                        info.st_size,
                        info.st_mtime_ns,
                    )

    def new_temp(self) -> Path:
        """An empty file for an upload."""
        path = self.uploads / new_id()
        path.touch(mode=0o644, exist_ok=False)
        return path

    def names(self, node: Node) -> list[str] | None:
        """Names from the root down; None for what lies in the trash."""
        names: list[str] = []
        walk: Node | None = node
        while walk is not None and walk.id != ROOT_ID:
            names.append(walk.name)
            walk = self.index.node(walk.parent)
        return None if walk is None else names[::-1]

    def disk(self, node: Node) -> Path:
        """Raises NOT_FOUND for what lies in the trash."""
        names = self.names(node)
        if names is None:
            raise not_found()
        return self.root.joinpath(*names)

    def ancestors(self, node: Node) -> list[Node]:
        """The node, its folder, and so on up to the root."""
        chain = [node]
        while chain[-1].id != ROOT_ID:
            parent = self.index.node(chain[-1].parent)
            if parent is None:
                raise not_found()
            chain.append(parent)
        return chain

    def root_node(self) -> Node:
        node = self.index.node(ROOT_ID)
        if node is None:
            raise not_found("the index has no root")
        return node

    def child(self, parent: Node, name: str) -> Node | None:
        """The child as it is on disk now: new files get an id, changed ones a new etag."""
        if parent.id == ROOT_ID and name not in AREAS:
            return None
        if not is_name(name):
            raise Refused(INVALID_ARGUMENT, "not a file name")
        try:
            info = os.lstat(self.disk(parent) / name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return self._seen(parent, name, info, self.index.child(parent.id, name))

    def children(self, parent: Node) -> list[Node]:
        """All children as they are on disk now, by name."""
        found = []
        known = {node.name: node for node in self.index.children(parent.id)}
        with os.scandir(self.disk(parent)) as entries:
            for entry in entries:
                if not is_name(entry.name) or (parent.id == ROOT_ID and entry.name not in AREAS):
                    continue
                try:
                    info = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if node := self._seen(parent, entry.name, info, known.get(entry.name)):
                    found.append(node)
        return sorted(found, key=lambda node: node.name)

    def find(self, node_id: str) -> Node:
        """By id, as it is on disk now. Raises NOT_FOUND."""
        node = self.index.node(node_id)
        names = None if node is None else self.names(node)
        if names is None:
            raise not_found()
        walk = self.root_node()
        for name in names:
            step = self.child(walk, name)
            if step is None:
                self.children(walk)
                break
            walk = step
        if walk.id == node_id:
            return walk
        moved = self.index.node(node_id)
        if moved is not None and self.names(moved) != names:
            return self.find(node_id)
        raise not_found()

    def _seen(self, parent: Node, name: str, info: os.stat_result, node: Node | None) -> Node | None:
        """`node` is what the index has under that name."""
        is_dir = stat.S_ISDIR(info.st_mode)
        if not is_dir and not stat.S_ISREG(info.st_mode):
            return None
        if node is not None and node.is_dir != is_dir:
            self.index.forget(node)
            node = None
        if node is None:
            return self._adopt(parent, name, is_dir, info)
        size = 0 if is_dir else info.st_size
        if (node.size, node.mtime_ns) != (size, info.st_mtime_ns):
            self.index.touch(node.id, time.time_ns())
        elif node.ino == info.st_ino:
            return node
        self.index.update_disk(node.id, info.st_ino, size, info.st_mtime_ns)
        return self.index.node(node.id)

    def _adopt(self, parent: Node, name: str, is_dir: bool, info: os.stat_result) -> Node | None:
        size = 0 if is_dir else info.st_size
        for old in self.index.same_inode(info.st_ino, parent.space):
            same = (old.is_dir, old.size, old.mtime_ns) == (is_dir, size, info.st_mtime_ns)
            names = self.names(old)
            if same and names is not None and old.id != old.space and not os.path.lexists(self.root.joinpath(*names)):
                self.index.reparent(old.id, parent.id, name)
                return self.index.node(old.id)
        node_id = new_id()
        space = node_id if parent.parent == ROOT_ID else parent.space
        node = Node(node_id, parent.id, name, space, is_dir, info.st_ino, size, info.st_mtime_ns, info.st_mtime_ns, 0)
        return self.index.insert(node)

    def settle(self, folder: Node) -> None:
        """Takes the folder's time stamp after our own change in it, so that it is not taken for a foreign one."""
        info = os.lstat(self.disk(folder))
        self.index.update_disk(folder.id, info.st_ino, 0, info.st_mtime_ns)

    def make_dir(self, parent: Node, name: str) -> Node:
        path = self.disk(parent) / name
        path.mkdir()
        sync_dir(path.parent)
        node = self._seen(parent, name, os.lstat(path), self.index.child(parent.id, name))
        if node is None:
            raise Refused(FAILED_PRECONDITION, "the folder vanished")
        self.settle(parent)
        return node

    def uploaded(self, node: Node) -> tuple[str, int]:
        """SHA-1 of the bytes that were uploaded, empty for what another program wrote, and how many they were said to be."""
        row = self.index.one(
            "SELECT sha1, announced FROM checksums WHERE node = ? AND (size, mtime_ns) = (?, ?)",
            node.id,
            node.size,
            node.mtime_ns,
        )
        sha1, announced = row or ("", None)
        return sha1, node.size if announced is None else announced

    def put(self, parent: Node, name: str, temp: Path, sha1: str = "", announced: int | None = None) -> Node:
        """Moves the finished file `temp` into place, atomically for every reader. `sha1` is looked up when it is not given.

        ``announced`` is the length that readers are told, None for the true one.
        """
        path = self.disk(parent) / name
        sha1 = sha1 or _sha1(temp)
        info = os.stat(temp)
        old = self.index.child(parent.id, name)
        os.replace(temp, path)
        sync_dir(path.parent)
        if old is None:
            node = Node(
                new_id(), parent.id, name, parent.space, False, info.st_ino, info.st_size, info.st_mtime_ns, time.time_ns(), 0
            )
            self.index.insert(node)
        else:
            node = old
            self.index.update_disk(node.id, info.st_ino, info.st_size, info.st_mtime_ns)
        self.index.run(
            "INSERT OR REPLACE INTO checksums(node, size, mtime_ns, sha1, announced) VALUES (?, ?, ?, ?, ?)",
            node.id,
            info.st_size,
            info.st_mtime_ns,
            sha1,
            announced,
        )
        self.index.touch(node.id, time.time_ns())
        self.settle(parent)
        return self.index.node(node.id) or node

    def move(self, node: Node, parent: Node, name: str) -> None:
        """Renames within a space. Raises FAILED_PRECONDITION for a folder into itself."""
        if any(above.id == node.id for above in self.ancestors(parent)):
            raise Refused(FAILED_PRECONDITION, "a folder cannot be moved into itself")
        old_parent = self.index.node(node.parent)
        source, target = self.disk(node), self.disk(parent) / name
        if stale := self.index.child(parent.id, name):
            self.index.forget(stale)
        self.index.touch(node.parent, time.time_ns())
        self.index.reparent(node.id, parent.id, name)
        os.rename(source, target)
        sync_dir(source.parent)
        sync_dir(target.parent)
        self.index.touch(parent.id, time.time_ns())
        for folder in (old_parent, parent):
            if folder is not None:
                self.settle(folder)

    def delete(self, node: Node) -> None:
        """To the trash; the key is the id as on Reva v2, so that a crash in between can be made good."""
        source = self.disk(node)
        parent = self.index.node(node.parent)
        key = node.id
        self.discard(node, key)
        os.rename(source, self.trash / key)
        sync_dir(source.parent)
        if parent is not None:
            self.settle(parent)

    def discard(self, node: Node, key: str) -> None:
        """The index's half of `delete`."""
        names = self.names(node) or [node.name]
        now = time.time_ns()
        self.index.run("INSERT INTO trash VALUES (?, ?, ?, ?, ?)", key, node.id, node.space, "/" + "/".join(names[2:]), now)
        self.index.run("DELETE FROM locks WHERE node = ?", node.id)
        self.index.touch(node.parent, now)
        self.index.reparent(node.id, f"trash:{key}", node.name)

    def restore(self, key: str, node_id: str, parent: Node, name: str) -> None:
        """Back from the trash under its old id. The target must be free."""
        if stale := self.index.child(parent.id, name):
            self.index.forget(stale)
        self.index.run("DELETE FROM trash WHERE key = ?", key)
        self.index.reparent(node_id, parent.id, name)
        self.index.touch(node_id, time.time_ns())
        target = self.disk(parent) / name
        os.rename(self.trash / key, target)
        sync_dir(target.parent)
        self.settle(parent)

    def purge(self, key: str, node_id: str) -> None:
        """Removes a trashed item for good, with its versions."""
        self.index.run("DELETE FROM trash WHERE key = ?", key)
        if node := self.index.node(node_id):
            self.index.forget(node)
        shutil.rmtree(self.versions / node_id, ignore_errors=True)
        item = self.trash / key
        if item.is_dir():
            shutil.rmtree(item)
        else:
            item.unlink(missing_ok=True)


def _sha1(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.sha1(usedforsecurity=False)).hexdigest()


def sync_dir(path: Path) -> None:
    """Makes a rename in `path` durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
