"""The gateway's memory beside the plain files: one SQLite database, used from one thread.

Every request is one transaction, so kill -9 leaves either all of its rows or none.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import Any

from cs3collab.errors import Corrupt
from cs3collab.gateway.status import Refused

VERSION = 3

_FIRST = """
CREATE TABLE settings(key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE nodes(
  id TEXT PRIMARY KEY, parent TEXT NOT NULL, name TEXT NOT NULL, space TEXT NOT NULL, is_dir INTEGER NOT NULL,
  ino INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, tree_ns INTEGER NOT NULL,
  changes INTEGER NOT NULL DEFAULT 0, UNIQUE(parent, name));
CREATE INDEX nodes_ino ON nodes(ino);
CREATE TABLE locks(node TEXT PRIMARY KEY REFERENCES nodes ON DELETE CASCADE, lock BLOB NOT NULL);
CREATE TABLE metadata(
  node TEXT NOT NULL REFERENCES nodes ON DELETE CASCADE, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY(node, key));
CREATE TABLE versions(
  node TEXT NOT NULL REFERENCES nodes ON DELETE CASCADE, key TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
  etag TEXT NOT NULL, PRIMARY KEY(node, key));
CREATE TABLE trash(
  key TEXT PRIMARY KEY, node TEXT NOT NULL, space TEXT NOT NULL, path TEXT NOT NULL, deleted_ns INTEGER NOT NULL);
CREATE TABLE shares(id TEXT PRIMARY KEY, node TEXT NOT NULL, grantee TEXT NOT NULL, proto BLOB NOT NULL, UNIQUE(node, grantee));
CREATE TABLE received(
  share TEXT NOT NULL REFERENCES shares ON DELETE CASCADE, user TEXT NOT NULL, state INTEGER NOT NULL, mount TEXT NOT NULL,
  hidden INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(share, user));
CREATE TABLE app_passwords(digest TEXT PRIMARY KEY, user TEXT NOT NULL, proto BLOB NOT NULL);
CREATE TABLE invites(token TEXT PRIMARY KEY, user TEXT NOT NULL, proto BLOB NOT NULL);
CREATE TABLE accepted(user TEXT NOT NULL, remote TEXT NOT NULL, proto BLOB NOT NULL, PRIMARY KEY(user, remote));
CREATE TABLE ocm_shares(
  id TEXT PRIMARY KEY, node TEXT NOT NULL, grantee TEXT NOT NULL, token TEXT NOT NULL UNIQUE, proto BLOB NOT NULL,
  UNIQUE(node, grantee));
CREATE TABLE ocm_received(
  id TEXT PRIMARY KEY, user TEXT NOT NULL, remote TEXT NOT NULL, proto BLOB NOT NULL, UNIQUE(user, remote));
"""

_STEPS = (
    _FIRST,
    """
ALTER TABLE ocm_shares ADD COLUMN editor INTEGER;
CREATE TABLE checksums(
  node TEXT PRIMARY KEY REFERENCES nodes ON DELETE CASCADE, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
  sha1 TEXT NOT NULL);
CREATE TABLE links(
  id TEXT PRIMARY KEY, node TEXT NOT NULL, token TEXT NOT NULL UNIQUE, password TEXT NOT NULL, proto BLOB NOT NULL);
""",
    "ALTER TABLE checksums ADD COLUMN announced INTEGER;",
)
"""What makes an index of each version out of the one before."""


@dataclass(frozen=True, slots=True)
class Node:
    """A file or folder that was seen on disk. ``size`` in bytes, times in Unix nanoseconds."""

    id: str
    parent: str
    name: str
    space: str
    is_dir: bool
    ino: int
    size: int
    mtime_ns: int
    tree_ns: int
    changes: int

    @property
    def etag(self) -> str:
        """New after every content write, even of the same bytes, for ``changes`` counts them."""
        return f'"{md5(f"{self.id}:{self.mtime_ns}:{self.changes}".encode(), usedforsecurity=False).hexdigest()}"'

    @property
    def modified_ns(self) -> int:
        """A folder is as young as the youngest change below it."""
        return self.tree_ns if self.is_dir else self.mtime_ns


_COLUMNS = "id, parent, name, space, is_dir, ino, size, mtime_ns, tree_ns, changes"


def _node(row: tuple[Any, ...] | None) -> Node | None:
    if row is None:
        return None
    node_id, parent, name, space, is_dir, *rest = row
    return Node(node_id, parent, name, space, bool(is_dir), *rest)


class Index:
    """Use from one thread only, inside `transaction`."""

    def __init__(self, path: Path) -> None:
        """Raises `Corrupt` for a file that is no index of this or an earlier version."""
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(path)
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise Corrupt(
                f"the index {path} cannot be read: {error}",
                hint="restore it, or move it away: the files stay",
            ) from error
        except Corrupt:
            self._db.close()
            raise

    def _prepare(self, path: Path) -> None:
        found = self._db.execute("PRAGMA user_version").fetchone()[0]
        if found > VERSION:
            raise Corrupt(f"the index {path.name} was written by a newer gateway (format {found})", hint="upgrade cs3collab")
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;")
        for version in range(found, VERSION):
            self._db.executescript(f"BEGIN; {_STEPS[version]} PRAGMA user_version={version + 1}; COMMIT;")

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commits, also when the request is `Refused`: what was noticed on disk is true all the same."""
        self._db.execute("BEGIN")
        try:
            yield
        except Refused:
            self._db.execute("COMMIT")
            raise
        except BaseException:
            if self._db.in_transaction:  # SQLite itself rolls back when the disk is full
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def run(self, sql: str, *values: Any) -> int:
        """Executes one statement; the number of rows it changed."""
        return self._db.execute(sql, values).rowcount

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._db.execute(sql, values).fetchall()

    def one(self, sql: str, *values: Any) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._db.execute(sql, values).fetchone()
        return row

    def setting(self, key: str, default: str) -> str:
        """The stored value, which is `default` from the first call on."""
        self.run("INSERT OR IGNORE INTO settings VALUES (?, ?)", key, default)
        row = self.one("SELECT value FROM settings WHERE key = ?", key)
        return str(row[0]) if row else default

    def node(self, node_id: str) -> Node | None:
        return _node(self.one(f"SELECT {_COLUMNS} FROM nodes WHERE id = ?", node_id))

    def child(self, parent: str, name: str) -> Node | None:
        return _node(self.one(f"SELECT {_COLUMNS} FROM nodes WHERE parent = ? AND name = ?", parent, name))

    def children(self, parent: str) -> list[Node]:
        return [n for row in self.rows(f"SELECT {_COLUMNS} FROM nodes WHERE parent = ?", parent) if (n := _node(row))]

    def same_inode(self, ino: int, space: str) -> list[Node]:
        found = self.rows(f"SELECT {_COLUMNS} FROM nodes WHERE ino = ? AND space = ?", ino, space)
        return [n for row in found if (n := _node(row))]

    def insert(self, node: Node) -> Node:
        values = [getattr(node, column) for column in _COLUMNS.split(", ")]
        self.run(f"INSERT INTO nodes({_COLUMNS}) VALUES ({', '.join('?' * len(values))})", *values)
        return node

    def forget(self, node: Node) -> None:
        """Drops the node and all below it."""
        for child in self.children(node.id):
            self.forget(child)
        self.run("DELETE FROM nodes WHERE id = ?", node.id)

    def update_disk(self, node_id: str, ino: int, size: int, mtime_ns: int) -> None:
        self.run("UPDATE nodes SET ino = ?, size = ?, mtime_ns = ? WHERE id = ?", ino, size, mtime_ns, node_id)

    def reparent(self, node_id: str, parent: str, name: str) -> None:
        self.run("UPDATE nodes SET parent = ?, name = ? WHERE id = ?", parent, name, node_id)

    def touch(self, node_id: str, now_ns: int) -> None:
        """Gives the node and every folder above it, up to the space root, a new etag."""
        while node := self.node(node_id):
            self.run("UPDATE nodes SET changes = changes + 1, tree_ns = max(tree_ns, ?) WHERE id = ?", now_ns, node_id)
            if node.id == node.space:
                return
            node_id = node.parent


def new_id() -> str:
    return str(uuid.uuid4())
