"""The tree against a dictionary, with foreign changes on disk and restarts in between."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cs3collab.gateway.index import Index, Node
from cs3collab.gateway.tree import Tree

NAMES = st.sampled_from(["a", "b", "c", "ä.ipynb"])
FOLDERS = st.sampled_from(["", "d", "e"])


class Files(RuleBasedStateMachine):
    """``model`` maps a path to id and content, ``trash`` a key to id, content and where it was."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.model: dict[str, tuple[str, bytes]] = {}
        self.trash: dict[str, tuple[str, bytes]] = {}
        self.etags: dict[str, tuple[str, bytes]] = {}
        self.count = 0
        self.open()

    def open(self) -> None:
        (self.root / ".cs3").mkdir(exist_ok=True)
        self.index = Index(self.root / ".cs3" / "index.sqlite")
        self.tree = Tree(self.root, self.index)
        with self.index.transaction():
            self.tree.prepare()

    @initialize()
    def folders(self) -> None:
        with self.index.transaction():
            users = self.walk(["users"])
            home = self.tree.make_dir(users, "me")
            for name in ("d", "e"):
                self.tree.make_dir(home, name)

    def walk(self, names: list[str]) -> Node:
        node = self.tree.root_node()
        for name in names:
            found = self.tree.child(node, name)
            assert found is not None
            node = found
        return node

    def folder(self, path: str) -> Node:
        return self.walk(["users", "me", *([path] if path else [])])

    def disk(self, path: str) -> Path:
        return self.root / "users" / "me" / path

    def content(self) -> bytes:
        self.count += 1
        return b"%d" % self.count

    def teardown(self) -> None:
        self.index.close()
        shutil.rmtree(self.root)

    @rule(folder=FOLDERS, name=NAMES)
    def write(self, folder: str, name: str) -> None:
        path, content = os.path.join(folder, name), self.content()
        with self.index.transaction():
            temp = self.tree.new_temp()
            temp.write_bytes(content)
            os.utime(temp, ns=(10**18, 10**18))  # as on a file system with coarse times
            node = self.tree.put(self.folder(folder), name, temp)
        known = self.model.get(path)
        assert known is None or known[0] == node.id
        self.model[path] = (node.id, content)

    @rule(folder=FOLDERS, name=NAMES, replaced=st.booleans())
    def foreign_write(self, folder: str, name: str, replaced: bool) -> None:
        path, content = os.path.join(folder, name), self.content()
        if replaced:
            temp = self.root / "foreign"
            temp.write_bytes(content)
            os.replace(temp, self.disk(path))
        else:
            self.disk(path).write_bytes(content)
        with self.index.transaction():
            node = self.walk(["users", "me", *path.split("/")])
        known = self.model.get(path)
        assert known is None or known[0] == node.id
        self.model[path] = (node.id, content)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), folder=FOLDERS, name=NAMES, foreign=st.booleans())
    def move(self, data: st.DataObject, folder: str, name: str, foreign: bool) -> None:
        source = data.draw(st.sampled_from(sorted(self.model)))
        target = os.path.join(folder, name)
        if target in self.model:
            return
        if foreign:
            os.rename(self.disk(source), self.disk(target))
            with self.index.transaction():
                self.walk(["users", "me", *target.split("/")])
        else:
            with self.index.transaction():
                node = self.tree.find(self.model[source][0])
                self.tree.move(node, self.folder(folder), name)
        self.model[target] = self.model.pop(source)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(sorted(self.model)))
        node_id, content = self.model.pop(path)
        with self.index.transaction():
            self.tree.delete(self.tree.find(node_id))
            rows = self.index.rows("SELECT key FROM trash WHERE node = ?", node_id)
        self.trash[rows[0][0]] = (node_id, content)

    @precondition(lambda self: self.trash)
    @rule(data=st.data(), folder=FOLDERS, name=NAMES)
    def restore(self, data: st.DataObject, folder: str, name: str) -> None:
        key = data.draw(st.sampled_from(list(self.trash)))
        target = os.path.join(folder, name)
        if target in self.model:
            return
        with self.index.transaction():
            self.tree.restore(key, self.trash[key][0], self.folder(folder), name)
        self.model[target] = self.trash.pop(key)

    @precondition(lambda self: self.trash)
    @rule(data=st.data())
    def purge(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(list(self.trash)))
        with self.index.transaction():
            self.tree.purge(key, self.trash.pop(key)[0])

    @rule()
    def restart(self) -> None:
        self.index.close()
        self.open()

    @invariant()
    def every_file_is_where_it_should_be_with_its_id_and_content(self) -> None:
        seen = set()
        with self.index.transaction():
            for path, (node_id, content) in self.model.items():
                node = self.tree.find(node_id)
                assert self.tree.disk(node) == self.disk(path)
                assert self.disk(path).read_bytes() == content
                # one etag stands for one content of one file, for ever
                assert self.etags.setdefault(node.etag, (node_id, content)) == (node_id, content)
                seen.add(path)
            if (self.root / "users" / "me" / "e").exists():
                listed = {os.path.join(f, n.name) for f in ("", "d", "e") for n in self.tree.children(self.folder(f))}
                assert listed == {*seen, "d", "e"}


Files.TestCase.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
TestFiles = Files.TestCase
