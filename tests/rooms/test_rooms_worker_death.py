"""Workers die: documents, calls and neighbours live on, and what kills workers is refused."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pycrdt import Doc, Text

from cs3collab.errors import Corrupt, InvalidInput, NotANotebook, Unavailable, UpdateRejected
from cs3collab.limits import Limits
from cs3collab.rooms.ports import Applied, Document
from cs3collab.rooms.worker import WorkerPool

FIXTURES = Path(__file__).parent.parent / "fixtures"


class History:
    """What a room's log would hold."""

    def __init__(self) -> None:
        self.updates: list[bytes] = []
        self.reads = 0

    async def reload(self) -> list[bytes]:
        self.reads += 1
        return list(self.updates)


@pytest.fixture
async def real() -> AsyncIterator[WorkerPool]:
    async with WorkerPool() as pool:
        yield pool


@pytest.fixture
async def deadly(tmp_path: Path) -> AsyncIterator[WorkerPool]:
    """A pool whose workers die of certain words, and are otherwise as real ones; the quicker start is for the tests' sake."""
    command = [sys.executable, "-P", str(FIXTURES / "deadly_worker.py"), str(tmp_path)]
    async with WorkerPool(command=command, limits=Limits(worker_timeout_s=2.0)) as pool:
        yield pool


def typed(*words: str, client_id: int = 1) -> list[bytes]:
    """The update of each word."""
    doc: Doc[Any] = Doc(client_id=client_id)
    updates: list[bytes] = []
    doc.observe(lambda event: updates.append(event.update))
    source = doc.get("source", type=Text)
    for word in words:
        source += word
    return updates


async def text_of(document: Document) -> str:
    return (await document.render()).content.decode()


def kill(pool: WorkerPool) -> None:
    for pid in pool.pids:
        os.kill(pid, signal.SIGKILL)


async def test_killed_between_calls(deadly: WorkerPool) -> None:
    history = History()
    document = deadly.document("file", history.reload)
    history.updates.append(await document.seed(b"text"))
    state, (pid,) = await document.state(), deadly.pids
    kill(deadly)
    assert await document.state() == state
    assert deadly.pids != [pid]
    assert await text_of(document) == "text"


async def test_killed_again_and_again_during_use_nothing_is_lost_or_doubled(deadly: WorkerPool) -> None:
    histories = [History() for _ in range(3)]
    documents = [deadly.document("file", history.reload) for history in histories]

    async def write(number: int) -> None:
        for count, update in enumerate(typed(*("x" * 150), client_id=number + 1)):
            assert await documents[number].apply(update) is Applied.CHANGED
            histories[number].updates.append(update)
            if number == 0 and count in (20, 60, 100):
                kill(deadly)

    await asyncio.gather(*(write(number) for number in range(3)))
    assert [await text_of(document) for document in documents] == ["x" * 150] * 3


async def test_killed_with_many_calls_on_the_way_all_are_answered_in_order(deadly: WorkerPool) -> None:
    document = deadly.document("file", History().reload)
    calls = asyncio.gather(*(document.apply(update) for update in typed(*"x" * 400)))
    await asyncio.sleep(0)
    kill(deadly)
    assert set(await calls) == {Applied.CHANGED}
    assert await text_of(document) == "x" * 400


async def test_what_was_applied_but_not_yet_in_the_history_is_kept(real: WorkerPool) -> None:
    history = History()
    document = real.document("notebook", history.reload)
    seed = await document.seed(b"")
    kill(real)
    rendered = await document.render()
    assert await document.apply(seed) is Applied.KNOWN
    history.updates.append(seed)
    kill(real)
    assert await document.render() == rendered


async def test_pending_updates_outlive_their_worker(deadly: WorkerPool) -> None:
    document = deadly.document("file", History().reload)
    one, two, three = typed("a", "b", "c")
    await document.apply(one)
    assert await document.apply(three) is Applied.PENDING
    kill(deadly)
    assert await document.apply(two) is Applied.CHANGED
    assert await text_of(document) == "abc"


async def test_real_crashing_updates_are_refused_and_all_live_on(real: WorkerPool) -> None:
    finder = await asyncio.create_subprocess_exec(
        sys.executable, str(FIXTURES / "crashing_updates.py"), "3", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    output, _ = await finder.communicate()
    pairs = [tuple(map(bytes.fromhex, line.split())) for line in output.decode().splitlines()]
    assert pairs
    neighbour = real.document("file", History().reload)
    await neighbour.seed(b"neighbour")
    for base, update in pairs:
        document = real.document("notebook", History().reload)
        await document.load([base])
        before = await document.diff(b"")
        with pytest.raises(UpdateRejected, match="crashes"):
            await document.apply(update)
        assert await document.diff(b"") == before
        await document.close()
    assert await text_of(neighbour) == "neighbour"


@pytest.mark.parametrize("word", ["SEGFAULT", "PANIC", "HANG"])
async def test_an_update_that_kills_is_refused_and_nobody_else_notices(deadly: WorkerPool, word: str) -> None:
    document, neighbour = (deadly.document("file", History().reload) for _ in range(2))
    await document.seed(b" before ")
    await neighbour.seed(b" neighbour ")
    (bad,), (good,) = typed(word, client_id=2), typed(" after ", client_id=3)
    outcomes = await asyncio.gather(
        document.apply(bad), document.apply(good), neighbour.apply(good), document.state(), return_exceptions=True
    )
    assert isinstance(outcomes[0], UpdateRejected)
    assert "as it was before" in outcomes[0].hint
    assert outcomes[1:3] == [Applied.CHANGED] * 2
    assert sorted((await text_of(document)).split()) == ["after", "before"]
    assert sorted((await text_of(neighbour)).split()) == ["after", "neighbour"]


async def test_a_worker_that_died_of_something_else_does_not_condemn_the_update(deadly: WorkerPool) -> None:
    document = deadly.document("file", History().reload)
    (update,) = typed("ONCE")
    assert await document.apply(update) is Applied.CHANGED
    assert await text_of(document) == "ONCE"


async def test_other_calls_that_kill_are_refused_too(deadly: WorkerPool) -> None:
    document = deadly.document("file", History().reload)
    await document.seed(b"text")
    with pytest.raises(InvalidInput, match="crashes"):
        await document.diff(b"SEGFAULT")
    with pytest.raises(UpdateRejected, match="crashes"):
        await document.load(typed("SEGFAULT"))
    assert await text_of(document) == "text"


async def test_a_history_that_kills_is_given_up_and_the_neighbour_is_not(deadly: WorkerPool) -> None:
    history, fine = History(), History()
    document, neighbour = deadly.document("file", history.reload), deadly.document("file", fine.reload)
    fine.updates.append(await neighbour.seed(b"neighbour"))
    await document.seed(b"text")
    history.updates = typed("SEGFAULT")
    kill(deadly)
    with pytest.raises(Corrupt, match="history"):
        await document.state()
    assert await text_of(neighbour) == "neighbour"
    await document.load(typed("restored"))
    assert await text_of(document) == "restored"


async def test_a_history_that_cannot_be_read_is_tried_again(deadly: WorkerPool) -> None:
    history = History()
    document = deadly.document("file", history.reload)
    history.updates.append(await document.seed(b"text"))
    original = history.reload

    async def broken() -> list[bytes]:
        raise OSError("the disk is gone")

    document._reload = broken  # type: ignore[attr-defined]
    kill(deadly)
    with pytest.raises(Unavailable, match="the disk is gone"):
        await document.state()
    document._reload = original  # type: ignore[attr-defined]
    assert await text_of(document) == "text"


async def test_a_render_that_dies_harms_neither_document_nor_worker(deadly: WorkerPool) -> None:
    document = deadly.document("file", History().reload)
    await document.seed(b"RENDER-DIES")
    pids = deadly.pids
    with pytest.raises(Unavailable, match="renderer"):
        await document.render()
    assert await document.state()
    assert deadly.pids == pids


async def test_edits_do_not_wait_for_a_render_and_are_not_in_it(deadly: WorkerPool, tmp_path: Path) -> None:
    document = deadly.document("file", History().reload)
    await document.load(typed("RENDER-WAITS"))
    rendering = asyncio.create_task(text_of(document))
    await asyncio.sleep(0)
    assert await document.apply(typed("later", client_id=2)[0]) is Applied.CHANGED
    assert not rendering.done()
    (tmp_path / "go").touch()
    assert await rendering == "RENDER-WAITS"
    assert "later" in await text_of(document)


async def test_a_render_that_hangs_ends(deadly: WorkerPool) -> None:
    document = deadly.document("file", History().reload)
    await document.load(typed("RENDER-WAITS"))
    with pytest.raises(Unavailable, match="renderer"):
        await document.render()


async def test_a_stopped_worker_is_replaced(deadly: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    document = deadly.document("file", History().reload)
    await document.seed(b"text")
    assert await text_of(document) == "text"
    monkeypatch.setattr("cs3collab.rooms.worker._GRACE_S", 0.0)
    (pid,) = deadly.pids
    os.kill(pid, signal.SIGSTOP)
    assert await document.state()
    assert deadly.pids != [pid]


async def test_a_seed_that_kills_is_refused(deadly: WorkerPool) -> None:
    document = deadly.document("file", History().reload)
    with pytest.raises(NotANotebook, match="crashes"):
        await document.seed(b"SEGFAULT")
    await document.close()
