"""Merging over REST at a real Jupyter server: with the document in its own process, and with it at a relay."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid

import pytest
import pytest_asyncio
from pycrdt import Map
from support.notebooks import notebook, source_of
from support.relays import FAST, relay_of
from support.sites import jupyter_server, share_local, site

from cs3collab import client
from cs3collab.errors import InvalidInput
from cs3collab.jupyter.merging import Decision, Version, parse_decision, parse_version
from cs3collab.types import Role

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]
together = pytest.mark.asyncio(loop_scope="module")
URL = "api/cs3collab/merge/"
DECIDE = "api/cs3collab/conflicts/"


@pytest.mark.parametrize(
    ("body", "version"),
    [
        (b'{"content": "x"}', Version("x")),
        (b'{"content": "", "base": "y"}', Version("", "y")),
        (b'{"copy": "a/b.ipynb"}', Version(copy="a/b.ipynb")),
        (b"{}", None),
        (b'{"content": "x", "copy": "y"}', None),
        (b'{"content": 3}', None),
        (b'{"contents": "x"}', None),
        (b"nonsense", None),
        (b"\xff", None),
    ],
)
def test_what_can_be_asked_for(body, version):
    if version is None:
        with pytest.raises(InvalidInput):
            parse_version(body)
    else:
        assert parse_version(body) == version


@pytest.mark.parametrize(
    ("body", "decision"),
    [
        (b'{"keys": ["a", "b"]}', Decision(("a", "b"))),
        (b"{}", None),
        (b'{"keys": [3]}', None),
        (b"\xff", None),
        (b'{"keys": ["' + b"x" * 20_000 + b'"]}', None),
    ],
)
def test_what_can_be_decided(body, decision):
    if decision is None:
        with pytest.raises(InvalidInput):
            parse_decision(body)
    else:
        assert parse_decision(body) == decision


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(tmp_path_factory):
    async with site(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["in its own process", "at a relay"])
async def server(home, tmp_path_factory, request):
    async with contextlib.AsyncExitStack() as stack:
        url = None
        if request.param == "at a relay":
            url = (await stack.enter_async_context(relay_of(home, tmp_path_factory.mktemp("relay"), limits=FAST))).url
        yield await stack.enter_async_context(jupyter_server(home, "einstein", app="jupyter_server", relay=url))


@pytest_asyncio.fixture(loop_scope="module")
async def path(home):
    """A notebook of einstein's that no other test opens."""
    name = f"{uuid.uuid4().hex}.ipynb"
    await home.put("einstein", name, notebook("x = 1", "y = 2"))
    return name


@together
async def test_another_version_comes_in_and_conflicts_are_kept_and_noted(home, server, path):
    async with client.open(server.url, path, token=server.token) as doc:
        text = doc.shared.ycells[0]["source"]
        text += "  # ours"
        await doc.durable()
        base, theirs = notebook("x = 1", "y = 2"), notebook("x = 1  # theirs", "y = 2\nz = 3")
        status, answer = await server.request("POST", URL + path, {"content": theirs.decode(), "base": base.decode()})
        assert (status, answer["conflicts"]) == (200, 1)
        await doc.until(lambda nb: source_of(nb, 1) == "y = 2\nz = 3")
        assert source_of(doc.shared, 0) == "x = 1  # ours"
        await doc.until(lambda nb: len(nb.ydoc.get("conflicts", type=Map)) == 1)
        (note,) = doc.ydoc.get("conflicts", type=Map).to_py().values()
        assert (note["theirs"], note["copy"], note["cell"]) == ("x = 1  # theirs", answer["copy"], "cell-0")
        assert json.loads(await home.read("einstein", answer["copy"])) == json.loads(theirs)
        assert "Albert Einstein" in note["who"]


@together
async def test_a_copy_that_another_program_kept_is_merged_and_stays(home, server, path):
    copy = f"{path.removesuffix('.ipynb')}-einstein.2026-11-20_04_12_38-conflict.ipynb"
    await home.put("einstein", copy, notebook("x = 1\nfrom the copy", "y = 2"))
    async with client.open(server.url, path, token=server.token) as doc:
        status, answer = await server.request("POST", URL + path, {"copy": copy})
        assert (status, answer["conflicts"], answer["copy"]) == (200, 0, "")
        await doc.until(lambda nb: source_of(nb, 0) == "x = 1\nfrom the copy")
    assert await home.read("einstein", copy)


@pytest.mark.parametrize(
    ("body", "expected"), [({"content": "no notebook"}, 422), ({"copy": "missing.ipynb"}, 404), ({}, 400), ({"copy": "/"}, 400)]
)
@together
async def test_what_cannot_be_merged_is_refused_in_words(server, path, body, expected):
    status, answer = await server.request("POST", URL + path, body)
    assert status == expected
    assert answer["message"]
    status, _ = await server.request("GET", URL + path)
    assert status == 405


async def two_conflicts(doc, server, path) -> list[str]:
    for cell in doc.shared.ycells:
        cell["source"] += "  # ours"
    await doc.durable()
    base, theirs = notebook("x = 1", "y = 2"), notebook("x = 1  # theirs", "y = 2  # theirs")
    status, answer = await server.request("POST", URL + path, {"content": theirs.decode(), "base": base.decode()})
    assert (status, answer["conflicts"]) == (200, 2)
    notes = doc.ydoc.get("conflicts", type=Map)
    await doc.until(lambda nb: len(notes) == 2)
    return sorted(notes.keys())


@together
async def test_of_many_who_decide_in_the_same_moment_one_does(server, path):
    async with client.open(server.url, path, token=server.token) as doc:
        one, two = await two_conflicts(doc, server, path)
        answers = await asyncio.gather(*(server.request("POST", DECIDE + path, {"keys": [one]}) for _ in range(5)))
        assert [status for status, _ in answers] == [200] * 5
        assert sorted(answer["decided"] for _, answer in answers) == [False] * 4 + [True]
        await doc.until(lambda nb: list(nb.ydoc.get("conflicts", type=Map).keys()) == [two])
        assert await server.request("POST", DECIDE + path, {"keys": [one, two]}) == (200, {"decided": False})
        assert list(doc.ydoc.get("conflicts", type=Map).keys()) == [two]
    status, _ = await server.request("POST", DECIDE + path, {"keys": []})
    assert status == 400
    status, _ = await server.request("GET", DECIDE + path)
    assert status == 405


@together
async def test_viewers_are_refused(home, path):
    await share_local(home, "einstein", "marie", path, Role.VIEWER)
    async with jupyter_server(home, "marie", app="jupyter_server") as server:
        content = notebook("x = 2").decode()
        status, answer = await server.request("POST", f"{URL}Shares/{path}", {"content": content})
        assert status == 403, answer
        status, answer = await server.request("POST", f"{DECIDE}Shares/{path}", {"keys": ["a"]})
        assert status == 403, answer
