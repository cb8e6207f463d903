"""History over REST at a real Jupyter server that holds the document itself, from the client and from a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import uuid

import nbformat
import pytest
import pytest_asyncio
from support.notebooks import notebook, source_of
from support.sites import jupyter_server, share_local, site

from cs3collab import client
from cs3collab.errors import InvalidInput, NotAuthorized, NotFound
from cs3collab.jupyter.history import MAX_BODY_BYTES, Change, parse_change
from cs3collab.types import Role

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]
together = pytest.mark.asyncio(loop_scope="module")
URL = "api/cs3collab/history/"
ODD = "my n\u00f6tes #1 100%20?.txt"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(tmp_path_factory):
    async with site(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(home):
    async with jupyter_server(home, "einstein", app="jupyter_server") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def path(home):
    """A notebook of einstein's that no other test opens."""
    name = f"{uuid.uuid4().hex}.ipynb"
    await home.put("einstein", name, notebook("x = 1"))
    return name


async def terminal(server, *arguments, found=True, bar=False):
    """``cs3collab history`` beside that server: exit code, standard output, and error, with `bar` as a terminal."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "CS3COLLAB"))}
    if found:
        environment |= {"JUPYTER_RUNTIME_DIR": str(server.folder / "runtime")}
    environment |= {"TZ": "UTC"}
    command = [sys.executable, "-m", "cs3collab", "history", *arguments]
    pipe = asyncio.subprocess.PIPE
    seen, shown = os.openpty() if bar else (-1, pipe)
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=pipe, stderr=shown)
    if bar:
        os.close(shown)
    async with asyncio.timeout(60):
        (out, err), drawn = await asyncio.gather(process.communicate(), asyncio.to_thread(drained, seen))
    if bar:
        os.close(seen)
        err = drawn
    return process.returncode, out.decode(), err.decode()


def drained(terminal):
    """What is written to a terminal until its other end is closed."""
    drawn = bytearray()
    with contextlib.suppress(OSError):
        while terminal >= 0 and (data := os.read(terminal, 2**16)):
            drawn += data
    return bytes(drawn)


async def typed(server, path, *words):
    """Types into the first cell; the position of each word."""
    positions = []
    async with client.open(server.url, path, token=server.token) as doc:
        for word in words:
            source = doc.shared.ycells[0]["source"]
            source += word
            positions.append(await doc.durable())
    return positions


@together
async def test_a_script_lists_reads_names_and_restores(server, path):
    async with client.open(server.url, path, token=server.token) as doc:
        source = doc.shared.ycells[0]["source"]
        source += " + 2"
        position = await doc.durable()
        source += " + oops"
        await doc.durable()
        named = await doc.name_version("good", position)
        assert named in await doc.versions()
        assert nbformat.reads((await doc.at(position)).decode(), as_version=4).cells[0].source == "x = 1 + 2"
        restored = await doc.restore(position)
        assert restored > position
        assert source_of(doc.shared, 0) == "x = 1 + 2"
        assert (await doc.name_version("now")).position >= restored
        with pytest.raises(NotFound):
            await doc.at(10**9)


@together
async def test_a_person_does_all_of_it_in_a_terminal(server, path, tmp_path):
    first, second = await typed(server, path, " + 2", " + oops")
    code, out, err = await terminal(server, path)
    assert (code, err) == (0, "")
    assert out.splitlines()[0].split() == ["position", "when", "edits", "who", "name"]
    assert "Albert Einstein (einstein)" in out.splitlines()[-1]

    assert await terminal(server, path, "--name", "good", "--at", str(first)) == (
        0,
        f"position {first} is named 'good'\n",
        "",
    )
    code, out, _ = await terminal(server, path, "--at", "good")
    assert (code, nbformat.reads(out, as_version=4).cells[0].source) == (0, "x = 1 + 2")
    file = tmp_path / "was.ipynb"
    assert await terminal(server, path, "--at", str(second), "-o", str(file)) == (0, "", "")
    nbformat.validate(nbformat.read(file, as_version=4))
    assert "oops" in file.read_text()

    code, out, err = await terminal(server, path, "--restore", "good", bar=True)
    assert (code, "restoring" in err) == (0, True)
    said, back = out.splitlines()
    assert said == f"{path} says again what it said at position {first}"
    taken_back = re.fullmatch(r"(--restore) (\d+) takes this back; the restore is position \d+", back)
    async with client.open(server.url, path, token=server.token) as doc:
        assert source_of(doc.shared, 0) == "x = 1 + 2"
    code, out, _ = await terminal(server, path, "--restore", "good")
    assert (code, "nothing was changed" in out) == (0, True)
    assert taken_back
    assert (await terminal(server, path, *taken_back.groups()))[0] == 0
    async with client.open(server.url, path, token=server.token) as doc:
        assert "oops" in source_of(doc.shared, 0)
    code, out, err = await terminal(server, path, "--at", "1970-01-01")
    assert (code, out, "before the history begins" in err, err.count("\n")) == (1, "", True, 1)


@together
async def test_a_text_files_history_and_what_changed(home, server):
    await home.put("einstein", ODD, b"one\n")
    async with client.open(server.url, ODD, token=server.token) as doc:
        doc.shared.source = "one\ntwo\n"
        position = await doc.durable()
        doc.shared.source = "one\ntwo\nthree\n"
    code, out, _ = await terminal(server, ODD, "--diff", "1", str(position))
    assert (code, out) == (0, f"--- {ODD} at 1\n+++ {ODD} at {position}\n@@ -1 +1,2 @@\n one\n+two\n")
    code, out, _ = await terminal(server, ODD, "--diff", str(position))
    assert (code, out.splitlines()[-1]) == (0, "+three")
    assert (await terminal(server, ODD, "--at", str(position)))[1] == "one\ntwo\n"


@together
async def test_another_server_is_named_by_its_address_and_a_file_has_the_token(server, path, tmp_path):
    (tmp_path / "token").write_text(server.token + "\n")
    address = ["--url", server.url.rstrip("/"), "--token-file", str(tmp_path / "token")]
    assert (await terminal(server, path, *address, found=False))[0] == 0
    (tmp_path / "token").write_text("wrong\n")
    code, _, err = await terminal(server, path, *address, found=False)
    assert (code, "does not accept the token" in err, err.count("\n"), "wrong" in err) == (1, True, 1, False)
    code, _, err = await terminal(server, "no-such.ipynb")
    assert (code, err.count("\n")) == (1, 1)


@together
async def test_a_viewer_looks_and_may_not_restore(home, path):
    await share_local(home, "einstein", "richard", path, Role.VIEWER)
    async with (
        jupyter_server(home, "richard", app="jupyter_server") as viewers,
        client.open(viewers.url, f"Shares/{path}", token=viewers.token) as doc,
    ):
        versions = await doc.versions()
        assert versions
        assert await doc.at(versions[-1].position)
        for refused in (doc.restore(versions[-1].position), doc.name_version("mine", versions[-1].position)):
            with pytest.raises(NotAuthorized, match="Viewer"):
                await refused


NONSENSE = [
    ("GET", "?position=x", None, 400),
    ("GET", "?at=yesterday", None, 400),
    ("GET", "?position=1&type=banana", None, 400),
    ("GET", "?position=0", None, 404),
    ("POST", "", {"position": 0}, 404),
    ("POST", "", {"position": "1"}, 400),
    ("POST", "", {"position": 1, "name": 5}, 400),
    ("POST", "", {"name": "x"}, 400),
    ("POST", "", {"position": 1, "nmae": "x"}, 400),
    ("POST", "", {"position": 1, "name": "x" * MAX_BODY_BYTES}, 400),
    ("POST", "", {"position": 1, "name": "7"}, 400),
    ("PUT", "", {"position": 1}, 405),
]


@together
async def test_nonsense_is_refused_in_words(server, path):
    for method, query, body, status in NONSENSE:
        code, answer = await server.request(method, URL + path + query, body)
        assert (code, bool(answer["message"])) == (status, True), (method, query, body, answer)


@together
async def test_nobody_unknown_asks(server, path, monkeypatch):
    monkeypatch.setattr(server, "token", "wrong")
    for method in ("GET", "POST"):
        assert (await server.request(method, URL + path))[0] == 403


def test_a_change_is_a_restore_or_a_name():
    assert parse_change(b'{"position": 3}') == Change(3, None)
    assert parse_change(b'{"position": 3, "name": ""}') == Change(3, "")
    with pytest.raises(InvalidInput):
        parse_change(b"\xff")
