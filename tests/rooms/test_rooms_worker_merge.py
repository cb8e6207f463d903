"""Merges in a real worker: computed in a fork of it and never by itself, while the document goes on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from pycrdt import Doc, Map
from support.kept_room import notebook_file, sources

from cs3collab.errors import Corrupt, NotANotebook, Unavailable
from cs3collab.rooms.ports import Document
from cs3collab.rooms.worker import WorkerPool
from cs3collab.rooms.worker_main import _MAX_RENDERERS
from cs3collab.rooms.worker_wire import PIECE_BYTES

pytestmark = pytest.mark.asyncio(loop_scope="module")
ONE, TWO = notebook_file("one"), notebook_file("two")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[WorkerPool]:
    async with WorkerPool() as pool:
        yield pool


async def nothing() -> list[bytes]:
    return []


async def test_which_cell_is_which_goes_to_the_worker_and_back_where_the_file_does_not_tell(pool: WorkerPool) -> None:
    def old(*sources: str) -> bytes:
        cells = [{"cell_type": "markdown", "metadata": {}, "source": source} for source in sources]
        return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}).encode()

    document = pool.document("notebook", nothing)
    await document.seed(old("", "a", ""))
    base = await document.render()
    assert len(set(base.names)) == 3
    merged = await document.merge(base.content, old("", "theirs", "a", ""), base.names)
    assert (merged.names[0], merged.names[2:], len(set(merged.names))) == (base.names[0], base.names[1:], 4)
    await document.apply(merged.update)
    assert (await document.render()).names == merged.names
    large = old("", "theirs", "a", "", "x" * 2 * PIECE_BYTES)  # goes in pieces
    assert (await document.merge(base.content, large, base.names)).names[:4] == merged.names
    await document.close()


async def test_a_merge_and_its_notes_survive_the_death_of_the_worker(pool: WorkerPool) -> None:
    history: list[bytes] = []

    async def logged() -> list[bytes]:
        return history

    document = pool.document("notebook", logged)
    history.append(await document.seed(notebook_file("ours", "two")))
    merged = await document.merge(notebook_file("one", "two"), notebook_file("theirs", "two", "more"))
    assert sources((await document.render()).content) == ["ours", "two"]
    await document.apply(merged.update)
    notes = [{**note, "copy": "", "at": 0.0, "who": ""} for note in json.loads(merged.conflicts)]
    assert await document.note_conflicts(json.dumps(notes))
    for pid in pool.pids:
        os.kill(pid, signal.SIGKILL)
    assert sources((await document.render()).content) == ["ours", "two", "more"]
    copy: Doc[object] = Doc()
    copy.apply_update(await document.diff(b""))
    assert [note["theirs"] for note in copy.get("conflicts", type=Map).to_py().values()] == ["theirs"]
    assert await document.decide([notes[0]["id"]])
    for pid in pool.pids:
        os.kill(pid, signal.SIGKILL)
    assert await document.decide([notes[0]["id"]]) == b""
    await document.close()


async def test_without_a_base_and_of_texts(pool: WorkerPool) -> None:
    document = pool.document("file", nothing)
    await document.seed(b"a\nours\n")
    merged = await document.merge(None, b"a\ntheirs\nours\n")
    await document.apply(merged.update)
    assert ((await document.render()).content, merged.conflicts) == (b"a\ntheirs\nours\n", "")
    with pytest.raises(Corrupt):
        await document.merge(b"a\n", b"\xff")
    await document.close()


async def test_what_is_no_notebook_says_why(pool: WorkerPool) -> None:
    document = pool.document("notebook", nothing)
    await document.seed(notebook_file("one"))
    with pytest.raises(NotANotebook, match="emptied"):
        await document.merge(notebook_file("one"), b"")
    with pytest.raises(NotANotebook, match="plain text"):
        await document.merge(notebook_file("one"), b"text")
    await document.close()


async def test_versions_are_compared_and_known_by_their_digest(pool: WorkerPool) -> None:
    document = pool.document("notebook", nothing)
    await document.seed(notebook_file("one"))
    assert await document.differences([notebook_file("one"), notebook_file("two")], notebook_file("two")) == [(1, 1), (0, 0)]
    rendered = await document.render()
    assert await document.digest(notebook_file("one")) == await document.digest(rendered.content) == rendered.digest
    assert (await document.digest(b"text")).startswith("not a notebook")
    await document.close()


HUGE = notebook_file("one", "x" * 30_000_000)


async def test_an_edit_overtakes_a_large_file_on_its_way_to_the_worker(pool: WorkerPool) -> None:
    document = pool.document("notebook", nothing)
    await document.seed(notebook_file("one"))
    process = document._slot.process  # type: ignore[attr-defined]
    merging = asyncio.create_task(document.merge(notebook_file("one"), HUGE))
    await asyncio.sleep(0)
    await document.apply(b"\0\0")
    assert process._sending
    assert not merging.done()
    await document.apply((await merging).update)
    assert sources((await document.render()).content) == ["one", "x" * 30_000_000]
    await document.close()


async def test_a_worker_that_dies_while_it_gets_a_large_file_leaves_it_to_the_next(pool: WorkerPool) -> None:
    history: list[bytes] = []

    async def logged() -> list[bytes]:
        return history

    document = pool.document("file", logged)
    history.append(await document.seed(b"one\n"))
    merging = asyncio.create_task(document.merge(b"one\n", b"one\n" + b"two\n" * 4_000_000))
    await asyncio.sleep(0)
    await document.state()
    process = document._slot.process  # type: ignore[attr-defined]
    assert process._sending
    process.kill()
    await document.apply((await merging).update)
    assert (await document.render()).content == b"one\n" + b"two\n" * 4_000_000
    assert not process._sending
    await document.close()


@pytest.mark.parametrize(
    "start",
    [lambda document: document.merge(ONE, TWO), lambda document: document.differences([ONE], TWO)],
    ids=["merge", "differences"],
)
async def test_of_many_at_once_those_are_refused_for_which_there_is_no_fork(
    pool: WorkerPool, start: Callable[[Document], Awaitable[Any]]
) -> None:
    document = pool.document("notebook", nothing)
    await document.seed(ONE)
    asked = [start(document) for _ in range(_MAX_RENDERERS + 2)]  # requests of one turn of the loop come in one piece
    answers = await asyncio.gather(*asked, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert [type(answer) for answer in refused] == [Unavailable] * 2
    assert all("too many merges" in str(answer) for answer in refused)
    await start(document)
    await document.close()


async def test_a_file_is_rendered_by_the_worker_itself_when_there_is_no_fork_left(pool: WorkerPool) -> None:
    document = pool.document("notebook", nothing)
    await document.seed(ONE)
    rendered = await asyncio.gather(*(document.render() for _ in range(_MAX_RENDERERS + 2)))
    assert [sources(each.content) for each in rendered] == [["one"]] * len(rendered)
    await document.close()
