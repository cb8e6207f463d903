"""What may take long is never computed by the worker that answers to people's typing, however much of it there is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from support.kept_room import notebook_file, sources

from cs3collab.errors import Unavailable
from cs3collab.rooms.ports import Document
from cs3collab.rooms.worker import WorkerPool
from cs3collab.rooms.worker_main import _MAX_RENDERERS

pytestmark = pytest.mark.asyncio(loop_scope="module")
ONE, TWO = notebook_file("one"), notebook_file("two")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[WorkerPool]:
    async with WorkerPool() as pool:
        yield pool


async def nothing() -> list[bytes]:
    return []


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
