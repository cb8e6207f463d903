"""Documents in a real worker process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Array, Doc, Map, Text

from cs3collab.errors import Corrupt, InvalidInput, NotANotebook, Overloaded, Unavailable, UpdateRejected
from cs3collab.limits import Limits
from cs3collab.merge import notebook
from cs3collab.rooms.ports import Applied, Document
from cs3collab.rooms.worker import WorkerPool

pytestmark = pytest.mark.asyncio(loop_scope="module")
NOTEBOOKS = sorted((Path(__file__).parent.parent / "fixtures" / "notebooks").glob("*.ipynb"))


async def nothing() -> list[bytes]:
    return []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[WorkerPool]:
    async with WorkerPool() as pool:
        yield pool


def typed(text: str, client_id: int = 1) -> list[bytes]:
    """The update of each character."""
    doc: Doc[Any] = Doc(client_id=client_id)
    updates: list[bytes] = []
    doc.observe(lambda event: updates.append(event.update))
    source = doc.get("source", type=Text)
    for character in text:
        source += character
    return updates


async def text_of(document: Document) -> str:
    return (await document.render()).content.decode()


@pytest.mark.parametrize("content", [path.read_bytes() for path in NOTEBOOKS], ids=[path.stem for path in NOTEBOOKS])
async def test_open_edit_and_render_changes_nothing_but_the_edit(pool: WorkerPool, content: bytes) -> None:
    before = notebook.parse(content)
    document = pool.document("notebook", nothing)
    seed = await document.seed(content)
    assert (await document.render()).digest == notebook.digest(before)
    browser: Doc[Any] = Doc()
    browser.apply_update(seed)
    source = browser.get("cells", type=Array)[0]["source"]
    source.insert(0, "# edited 🎉\n")
    assert await document.apply(browser.get_update(await document.state())) is Applied.CHANGED
    expected = {**before, "cells": before["cells"] or notebook.with_cell_ids([notebook.blank_cell()])}
    expected["cells"][0]["source"] = "# edited 🎉\n" + expected["cells"][0]["source"]
    rendered = await document.render()
    assert rendered.digest == notebook.digest(expected)
    assert notebook.digest(notebook.parse(rendered.content)) == rendered.digest
    await document.close()


async def test_a_huge_output_goes_through(pool: WorkerPool) -> None:
    output = {"output_type": "stream", "name": "stdout", "text": "".join(f"{n} é\n" for n in range(1_500_000))}
    cell = {**notebook.blank_cell(), "id": "big", "outputs": [output]}
    content = json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()
    document = pool.document("notebook", nothing)
    seed = await document.seed(content)
    assert len(seed) > 10 * 2**20
    other = pool.document("notebook", nothing)
    assert await other.apply(seed) is Applied.CHANGED
    assert (await other.render()).digest == (await document.render()).digest == notebook.digest(notebook.parse(content))
    await document.close()
    await other.close()


@pytest.mark.parametrize(
    ("kind", "content", "error", "hint"),
    [
        ("notebook", b'{"cells": "\xe9"}', NotANotebook, "UTF-8"),
        ("notebook", b"hello", NotANotebook, "text file"),
        ("file", b"\xe9", Corrupt, "UTF-8"),
    ],
)
async def test_a_refused_file_says_why(pool: WorkerPool, kind: str, content: bytes, error: type, hint: str) -> None:
    document = pool.document(kind, nothing)
    with pytest.raises(error) as caught:
        await document.seed(content)
    assert hint in caught.value.hint
    await document.close()


async def test_changed_known_pending_rejected(pool: WorkerPool) -> None:
    document = pool.document("file", nothing)
    one, two, three = typed("abc")
    assert await document.apply(one) is Applied.CHANGED
    assert await document.apply(one) is Applied.KNOWN
    assert await document.apply(three) is Applied.PENDING
    with pytest.raises(UpdateRejected):
        await document.apply(b"not an update")
    with pytest.raises(InvalidInput):
        await document.diff(b"\xff" * 20)
    assert await document.apply(two) is Applied.CHANGED
    assert await text_of(document) == "abc"
    await document.close()


async def test_a_peer_gets_pending_updates_too(pool: WorkerPool) -> None:
    ours, theirs = (pool.document("file", nothing) for _ in range(2))
    one, two, three = typed("abc")
    await asyncio.gather(ours.apply(one), ours.apply(three))
    assert await theirs.apply(await ours.diff(await theirs.state())) is Applied.CHANGED
    assert await text_of(theirs) == "a"
    assert await theirs.apply(two) is Applied.CHANGED
    assert await text_of(theirs) == "abc"
    await ours.close()
    await theirs.close()


async def test_load_replaces_the_content(pool: WorkerPool) -> None:
    document = pool.document("file", nothing)
    await document.seed(b"old")
    await document.load(typed("new"))
    assert await text_of(document) == "new"
    with pytest.raises(UpdateRejected):
        await document.load([b"not an update"])
    assert await text_of(document) == "new"
    await document.close()


async def test_mark_saved_tells_the_update(pool: WorkerPool) -> None:
    document = pool.document("notebook", nothing)
    browser: Doc[Any] = Doc()
    browser.apply_update(await document.seed(b""))
    state = browser.get("state", type=Map)
    state["dirty"] = True
    await document.apply(browser.get_update())
    browser.apply_update(await document.mark_saved("", clean=True))
    assert state["dirty"] is False
    assert await document.mark_saved("", clean=True) == b""
    await document.close()


async def test_calls_are_carried_out_in_the_order_they_were_made(pool: WorkerPool) -> None:
    document = pool.document("file", nothing)
    updates = typed("x" * 500)
    results = await asyncio.gather(*(call for update in updates for call in (document.apply(update), document.state())))
    assert results[::2] == [Applied.CHANGED] * 500
    expected: Doc[Any] = Doc()
    for update, state in zip(updates, results[1::2], strict=True):
        expected.apply_update(update)
        assert state == expected.get_state()
    assert await text_of(document) == "x" * 500
    await document.close()


@given(data=st.data(), texts=st.lists(st.text("aé🎉\n", max_size=6), min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
async def test_any_order_with_duplicates_converges(pool: WorkerPool, data: st.DataObject, texts: list[str]) -> None:
    updates = [update for client, text in enumerate(texts, 1) for update in typed(text, client)]
    expected: Doc[Any] = Doc()
    for update in updates:
        expected.apply_update(update)
    order = data.draw(st.permutations(updates + updates[: data.draw(st.integers(0, 5))]))
    document = pool.document("file", nothing)
    await asyncio.gather(*(document.apply(update) for update in order))
    assert await text_of(document) == str(expected.get("source", type=Text))
    assert await document.state() == expected.get_state()
    await document.close()


async def test_a_cancelled_call_leaves_the_others_alone(pool: WorkerPool) -> None:
    document = pool.document("file", nothing)
    first, second = typed("ab")
    task = asyncio.create_task(document.apply(first))
    await asyncio.sleep(0)
    task.cancel()
    assert await document.apply(second) in (Applied.CHANGED, Applied.PENDING)
    assert await document.apply(first) in (Applied.CHANGED, Applied.KNOWN)
    assert await text_of(document) == "ab"
    await document.close()


async def test_a_closed_document_says_so(pool: WorkerPool) -> None:
    document = pool.document("file", nothing)
    await document.close()
    await document.close()
    with pytest.raises(Unavailable, match="closed"):
        await document.state()


async def test_too_much_at_once_is_refused() -> None:
    async with WorkerPool(limits=Limits(document_bytes=1000)) as pool:
        document = pool.document("file", nothing)
        update = typed("x")[0] + bytes(600)
        outcomes = await asyncio.gather(*(document.apply(update) for _ in range(3)), return_exceptions=True)
        assert any(isinstance(outcome, Overloaded) for outcome in outcomes)
        assert await document.state() == (await document.state())


async def test_signals_for_the_whole_group_are_left_to_the_parent(pool: WorkerPool) -> None:
    document = pool.document("file", nothing)
    await document.seed(b"text")
    pids = pool.pids
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pids[0], number)
    assert await text_of(document) == "text"
    assert pool.pids == pids
    await document.close()


async def test_documents_are_spread_over_the_workers() -> None:
    async with WorkerPool(size=2) as pool:
        documents = [pool.document("file", nothing) for _ in range(4)]
        for number, document in enumerate(documents):
            await document.seed(str(number).encode())
        assert [await text_of(document) for document in documents] == ["0", "1", "2", "3"]
        assert len(set(pool.pids)) == 2


async def test_the_end_of_the_pool_ends_its_processes_and_its_calls() -> None:
    async with WorkerPool() as pool:
        document = pool.document("file", nothing)
        (pid,) = pool.pids
        call = asyncio.create_task(document.apply(typed("x" * 10)[0]))
        await asyncio.sleep(0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert isinstance((await asyncio.gather(call, return_exceptions=True))[0], Unavailable | Applied)
    with pytest.raises(Unavailable):
        await document.state()


@pytest.mark.parametrize(
    ("command", "message"), [(["/nowhere/python"], "cannot be started"), ([sys.executable, "-c", "exit(3)"], "3")]
)
async def test_a_worker_that_does_not_start_is_said(command: list[str], message: str) -> None:
    with pytest.raises(Unavailable, match=message):
        async with WorkerPool(command=command):
            pass


async def test_workers_end_with_their_parent() -> None:
    program = (
        "import asyncio\nfrom cs3collab.rooms.worker import WorkerPool\n"
        "async def main():\n"
        "    async with WorkerPool() as pool:\n"
        "        print(*pool.pids, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    os.kill(pid, 0)
    parent.kill()
    await parent.wait()
    while _alive(pid):  # noqa: ASYNC110
        await asyncio.sleep(0.01)  # nobody tells when a stranger's process is gone


def _alive(pid: int) -> bool:
    """Whether it runs; an orphan may stay a zombie where nobody reaps it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_the_parent_never_imports_pycrdt() -> None:
    program = "import sys, cs3collab.rooms.worker; sys.exit('pycrdt' in sys.modules or 'jupyter_ydoc' in sys.modules)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    assert await process.wait() == 0
