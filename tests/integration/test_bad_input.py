"""Files that are no good notebooks, opened live through real servers: whole but for the edit, or refused in words that help."""

from __future__ import annotations

import asyncio
import contextlib
import json
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import nbformat
import pytest
import pytest_asyncio
from pycrdt import Map, Text
from support.notebooks import notebook as good_notebook
from support.notebooks import source_of
from support.odd_notebooks import MB, OPENS, REFUSED, large, many, outputs
from support.relays import FAST, RelayProcess, relay_of
from support.sites import JupyterServer, Site, jupyter_server, share_local, site

from cs3collab import client
from cs3collab.errors import CollabError
from cs3collab.types import FileInfo, Role

pytestmark = [
    pytest.mark.slow,
    pytest.mark.integration,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(180),
    # the notebooks here lack ids, and nbformat says so
    pytest.mark.filterwarnings("ignore::nbformat.warnings.DuplicateCellId", "ignore::nbformat.warnings.MissingIDFieldWarning"),
]
ALONE = ["empty", "byte order mark", "nbformat 3", "nbformat 4.4", "double ids", "every kind of output"]
"""Tried without a relay too, where everything but the links is the same code."""
AT_ONCE = 6
ADDED = {"cell_type": "markdown", "metadata": {}, "source": "# added 🎉"}


@dataclass
class Stack:
    """einstein's two Jupyter servers: at the site's relay, and with its authority in process. marie's is at the relay."""

    site: Site
    relay: RelayProcess
    servers: dict[str, JupyterServer]

    async def info(self, path: str) -> FileInfo:
        return await (await self.site.files("einstein")).stat(await self.site.ref("einstein", path))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("bad-input")
    async with contextlib.AsyncExitStack() as exits:
        enter = exits.enter_async_context
        here = await enter(site(folder))
        relay = await enter(relay_of(here, folder / "relay", limits={**FAST, "lease_grace_s": 0.1}))
        linked = await enter(jupyter_server(here, "einstein", relay=relay.url, app="jupyter_server"))
        alone = await enter(jupyter_server(here, "einstein", app="jupyter_server"))
        marie = await enter(jupyter_server(here, "marie", relay=relay.url, app="jupyter_server"))
        yield Stack(here, relay, {"relay": linked, "alone": alone, "marie": marie})


def path_of(way: str, name: str) -> str:
    return f"{way} {name}.ipynb"


def same(one: Any, other: Any) -> bool:
    """Equal as JSON values; NaN equals itself, and True is no 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other) or (one != one and other != other)


def read(content: bytes) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Cells without ids, and metadata, as nbformat reads them, which is not the code under test."""
    if not content.strip():
        return [], {}
    raw = json.loads(content.decode("utf-8-sig"))
    for cell in raw.get("cells", []):
        for key, value in {"metadata": {}, "outputs": [], "execution_count": None}.items():
            if cell["cell_type"] == "code":
                cell.setdefault(key, value)
    found = json.loads(json.dumps(nbformat.reads(json.dumps(raw), as_version=4)))
    for cell in found["cells"]:
        cell.pop("id", None)
    for key in ("orig_nbformat", "orig_nbformat_minor"):  # its own note on an old file, never written
        found["metadata"].pop(key, None)
    return found["cells"], found["metadata"]


def is_valid(content: bytes) -> bool:
    """As it is: where nbformat only warns of what it mends, that is an error here."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nbformat.validate(json.loads(content))
    return True


async def each(names: Iterable[str], check: Callable[[str], Awaitable[None]]) -> None:
    """Several at once; all failures with their names."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> Exception | None:
        async with turn:
            try:
                await check(name)
            except Exception as error:  # noqa: BLE001 - told below
                error.add_note(f"the case: {name}")
                return error
        return None

    if failures := [error for error in await asyncio.gather(*map(one, names)) if error is not None]:
        raise ExceptionGroup("some cases failed", failures)


@pytest.mark.parametrize("way", ["relay", "alone"])
async def test_odd_notebooks_are_opened_untouched_and_saved_whole(stack: Stack, way: str) -> None:
    await each(OPENS if way == "relay" else ALONE, lambda name: opened_untouched_and_saved_whole(stack, way, name))


async def opened_untouched_and_saved_whole(stack: Stack, way: str, name: str) -> None:
    content, path, server = OPENS[name], path_of(way, name), stack.servers[way]
    before = await stack.site.put("einstein", path, content)
    async with client.open(server.url, path, token=server.token) as document:
        await touch_without_edit(document)
        assert (await stack.info(path)).etag == before.etag
        assert await stack.site.read("einstein", path) == content
        document.shared.append_cell(dict(ADDED))
        await document.durable()
        assert (await document.save())["status"] == "success"
    after = await stack.site.read("einstein", path)
    assert is_valid(after)
    cells, metadata = read(after)
    was_cells, was_metadata = read(content)
    assert cells.pop() == ADDED
    assert same(cells, was_cells or cells[:1]), "the one blank cell of a notebook without cells may be there"
    assert same(metadata, was_metadata)


async def touch_without_edit(document: client.LiveDocument) -> None:
    """Moves the position as browsers do when they open a file, and has the keeper look at it, by itself and when asked."""
    document.shared.dirty = True
    position = await document.durable()
    await document.until_status(lambda s: s["savedPosition"] >= position)
    answer = await document.save()
    assert answer["status"] == "success", answer
    assert not document.status["problem"]


@pytest.mark.parametrize("way", ["relay", "alone"])
async def test_what_is_no_notebook_is_refused_in_words_and_left_alone(stack: Stack, way: str) -> None:
    await each(REFUSED, lambda name: refused_in_words_and_left_alone(stack, way, name))


async def refused_in_words_and_left_alone(stack: Stack, way: str, name: str) -> None:
    case, path, server = REFUSED[name], path_of(way, f"no {name}"), stack.servers[way]
    before = await stack.site.put("einstein", path, case.content)
    for _ in range(2):  # the first refusal leaves nothing behind that the second attempt would find
        status, answer = await session(server, path)
        assert status == 422, answer
        for words in case.words:
            assert words in answer["message"], answer
        assert len(answer["message"]) < 600
        assert not answer.get("traceback")
    status, answer = await session(server, path, "file")
    assert status == (200 if case.text else 422), answer
    if case.text:
        async with client.open(server.url, path, token=server.token, type="file") as document:
            assert str(document.shared.source) == case.content.decode()
    else:
        assert "not UTF-8" in answer["message"]
    assert (await stack.info(path)).etag == before.etag
    assert await stack.site.read("einstein", path) == case.content


async def session(server: JupyterServer, path: str, type: str = "notebook") -> tuple[int, Any]:
    body = {"format": "json" if type == "notebook" else "text", "type": type}
    return await server.request("PUT", f"api/collaboration/session/{quote(path)}", body)


async def test_a_cut_off_notebook_is_repaired_as_text_and_opens(stack: Stack) -> None:
    good, server = good_notebook("x = 1").decode(), stack.servers["relay"]
    await stack.site.put("einstein", "repaired.ipynb", good[:-1].encode())
    with pytest.raises(CollabError, match="not JSON"):
        await opened(server, "repaired.ipynb")
    async with client.open(server.url, "repaired.ipynb", token=server.token, type="file") as document:
        text = document.ydoc.get("source", type=Text)
        text += good[-1]
        await document.durable()
        assert (await document.save())["status"] == "success"
    async with client.open(server.url, "repaired.ipynb", token=server.token) as document:
        assert source_of(document.shared, 0) == "x = 1"


@pytest.mark.parametrize("way", ["relay", "alone"])
async def test_a_notebook_opened_as_text_too_is_another_document(stack: Stack, way: str) -> None:
    path, server = path_of(way, "as text too"), stack.servers[way]
    await stack.site.put("einstein", path, good_notebook("x = 1"))
    async with client.open(server.url, path, token=server.token) as book:
        cell = book.shared.ycells[0]["source"]
        cell += "\ny = 2"
        await book.durable()
        assert (await book.save())["status"] == "success"
        saved = await stack.site.read("einstein", path)
        async with client.open(server.url, path, token=server.token, type="file") as text:
            assert str(text.shared.source).encode() == saved
            text.ydoc.get("source", type=Text).insert(0, "damage")
            await text.durable()
            answer = await text.save()
            assert answer["status"] == "failed"
            assert "is being edited" in answer["message"]
            assert await stack.site.read("einstein", path) == saved
            text.shared.source = saved.decode()
            await text.durable()


async def opened(server: JupyterServer, path: str) -> None:
    async with client.open(server.url, path, token=server.token):
        pass


@pytest.mark.parametrize("way", ["relay", "alone"])
@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("there is none.ipynb", 404, ["there is none.ipynb"]),
        ("no folder/there is none.ipynb", 404, ["none.ipynb"]),
        ("folder.ipynb", 400, ["folder"]),
        ("", 400, ["folder"]),
        ("Shares", 400, ["folder"]),
        ("Shares/there is none.ipynb", 404, ["none.ipynb"]),
    ],
)
async def test_what_is_no_file_is_refused_in_words(stack: Stack, way: str, path: str, status: int, words: list[str]) -> None:
    if path == "folder.ipynb" and not (stack.site.folder("einstein") / path).exists():
        await (await stack.site.files("einstein")).mkdir(await stack.site.ref("einstein", path))
    got, answer = await session(stack.servers[way], path)
    assert got == status, answer
    for expected in words:
        assert expected in answer["message"]


@pytest.mark.parametrize("type", ["picture", "directory", ""])
async def test_an_unknown_kind_of_document_is_refused_in_words(stack: Stack, type: str) -> None:
    await stack.site.put("einstein", "kind.ipynb", good_notebook("x = 1"))
    for server in (stack.servers["relay"], stack.servers["alone"]):
        status, answer = await session(server, "kind.ipynb", type)
        assert status == 400, answer
        assert "cannot be edited together" in answer["message"]


async def test_a_viewer_is_told_the_same_of_a_bad_file(stack: Stack) -> None:
    content = REFUSED["cut off"].content
    await stack.site.put("einstein", "shared.ipynb", content)
    await share_local(stack.site, "einstein", "marie", "shared.ipynb", Role.VIEWER)
    status, answer = await session(stack.servers["marie"], "Shares/shared.ipynb")
    assert status == 422, answer
    assert "not JSON" in answer["message"]
    assert await stack.site.read("einstein", "shared.ipynb") == content


async def test_a_document_that_somebody_breaks_is_not_written_until_it_is_mended(stack: Stack) -> None:
    await stack.site.put("einstein", "broken.ipynb", good_notebook("x = 1"))
    server = stack.servers["relay"]
    async with client.open(server.url, "broken.ipynb", token=server.token) as document:
        before = await stack.info("broken.ipynb")
        document.shared.ycells.append(Map({"cell_type": "sql", "source": 7}))
        await document.durable()
        answer = await document.save()
        assert answer["status"] == "failed"
        assert "cannot be written" in answer["message"]
        assert "cannot be written" in (await document.until_status(lambda s: bool(s["problem"])))["problem"]
        assert (await stack.info("broken.ipynb")).etag == before.etag
        del document.shared.ycells[1]
        document.shared.append_cell(dict(ADDED))
        position = await document.durable()
        await document.until_status(lambda s: s["savedPosition"] >= position and not s["problem"])
    cells, _ = read(await stack.site.read("einstein", "broken.ipynb"))
    assert [cell["source"] for cell in cells] == ["x = 1", ADDED["source"]]


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("way", "size"),
    [
        ("relay", 2 * MB),
        pytest.param("relay", 50 * MB, marks=pytest.mark.slow),
        pytest.param("alone", 50 * MB, marks=pytest.mark.slow),
    ],
)
async def test_a_large_output_survives_the_edit_of_a_small_cell(stack: Stack, way: str, size: int) -> None:
    path, server = path_of(way, f"large {size}"), stack.servers[way]
    before = await stack.site.put("einstein", path, large(size))
    async with client.open(server.url, path, token=server.token, timeout_s=180) as document:
        assert (await document.save())["status"] == "success"
        assert (await stack.info(path)).etag == before.etag
        text = document.shared.ycells[0]["source"]
        text += "\nedited"
        await document.durable()
        assert (await document.save())["status"] == "success"
        assert not document.status["problem"]
    saved = json.loads(await stack.site.read("einstein", path))
    assert "".join(saved["cells"][0]["source"]) == "small = 1\nedited"
    assert "".join(saved["cells"][1]["outputs"][0]["text"]) == outputs(size)[0]["text"]


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_many_cells(stack: Stack, count: int) -> None:
    server, name = stack.servers["relay"], f"many-{count}.ipynb"
    before = await stack.site.put("einstein", name, many(count))
    async with client.open(server.url, name, token=server.token, timeout_s=180) as document:
        await touch_without_edit(document)
        assert (await stack.info(name)).etag == before.etag
        text = document.shared.ycells[count // 2]["source"]
        text += "\nedited"
        await document.durable()
        assert (await document.save())["status"] == "success"
    cells, _ = read(await stack.site.read("einstein", name))
    assert [cell["source"] for cell in cells] == [f"x = {n}" + "\nedited" * (n == count // 2) for n in range(count)]


async def test_nobody_printed_a_traceback(stack: Stack) -> None:
    """Last, over all that the servers and the relay were given above."""
    for printed in (stack.relay.tail(), *(server.tail(10**7) for server in stack.servers.values())):
        assert "Traceback" not in printed, printed[printed.index("Traceback") - 500 :][:3000]
        assert "einstein-secret" not in printed
