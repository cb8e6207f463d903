"""The process that forks for each replay: what it survives, and what survives it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from ystore import StoreUnavailable, decode, replay
from ystore.replay import ReplayFailed
from ystore.testing import update

SLOW = """
import os, signal, time
from ystore import decode, forks

def answer(task, updates):
    os.kill({pid}, signal.SIGUSR1)
    time.sleep(600)

decode.answer = answer
forks.main()
"""
"""Every task says that it has begun, and takes ten minutes."""
KILLED_PARENT = """
import asyncio, os, signal
from ystore import replay
from ystore.testing import update

asyncio.run(replay.squash([update(0), update(1)]))
print(replay._NURSERY._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
FORKING_PARENT = """
import asyncio, os, sys
from ystore import replay
from ystore.testing import update

asyncio.run(replay.squash([update(0)]))
first = replay._NURSERY._process.pid
if (child := os.fork()) == 0:
    sys.exit(replay._NURSERY._process is not None)
print(os.waitpid(child, 0)[1])
asyncio.run(replay.squash([update(0)]))
print(replay._NURSERY._process.pid - first)
"""


@pytest.fixture
def nursery(monkeypatch: pytest.MonkeyPatch) -> Iterator[replay._Nursery]:
    """One of this test alone."""
    own = replay._Nursery()
    monkeypatch.setattr(replay, "_NURSERY", own)
    yield own
    own.end()


def slow(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when a task has begun."""
    monkeypatch.setattr(replay, "command", lambda: [sys.executable, "-c", SLOW.format(pid=os.getpid())])
    begun = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, begun.set)
    return begun


def pid(nursery: replay._Nursery) -> int:
    assert nursery._process
    return nursery._process.pid


def children(of: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{of}/task/{of}/children").read_text().split()]


async def test_the_update_at_fault_is_named() -> None:
    with pytest.raises(ReplayFailed) as caught:
        await replay.squash([update(0), update(1), b"\xff\xff\xff", update(3)])
    assert caught.value.index == 2


async def test_a_snapshot_that_lacks_something_is_told_from_its_sources() -> None:
    sources = [update(0), update(1)]
    content, difference = await replay.verified(sources)
    assert (content, difference) == (await replay.squash(sources), "")
    assert decode.compare(content, sources) == ""
    assert decode.compare(update(0), sources) != ""


async def test_one_process_forks_for_all_and_outlives_what_dies_of_poison(nursery: replay._Nursery) -> None:
    whole = decode.squash([update(0), update(1)])
    assert await replay.squash([update(0), update(1)]) == whole
    first = pid(nursery)
    deep = b"\1\1\1\0\x28\1\1m\1k\1" + b"\x75\1" * 200_000 + b"\x7e\0"
    with pytest.raises(ReplayFailed, match=f"status -{signal.SIGSEGV.value}") as caught:
        await replay.squash([update(0), deep])
    assert caught.value.index == 1
    found = await asyncio.gather(*(replay.squash([update(n), update(n + 1)]) for n in range(20)))
    assert found == [decode.squash([update(n), update(n + 1)]) for n in range(20)]
    assert (pid(nursery), children(first)) == (first, [])


async def test_a_process_that_has_ended_is_started_again(nursery: replay._Nursery) -> None:
    await replay.squash([update(0)])
    assert nursery._process
    nursery._process.kill()
    nursery._process.wait()
    first = pid(nursery)
    assert await replay.squash([update(0)]) == decode.squash([update(0)])
    assert pid(nursery) != first


async def test_one_that_nobody_asks_ends_and_comes_back(nursery: replay._Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from ystore import forks; forks.IDLE_S = 0.01; forks.main()"
    monkeypatch.setattr(replay, "command", lambda: [sys.executable, "-c", code])
    for _ in range(3):
        assert await replay.squash([update(0)]) == decode.squash([update(0)])
        assert nursery._process
        assert await asyncio.to_thread(nursery._process.wait, 30) == 0


async def test_a_process_killed_in_the_middle_blames_no_record(
    nursery: replay._Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = slow(monkeypatch)
    replaying = asyncio.create_task(replay.squash([update(0)]))
    await begun.wait()
    (fork,) = children(pid(nursery))
    os.kill(pid(nursery), signal.SIGKILL)
    with pytest.raises(StoreUnavailable) as caught:
        await replaying
    assert caught.value.hint
    os.kill(fork, signal.SIGKILL)  # it would end by itself, in ten minutes
    monkeypatch.undo()
    assert await replay.squash([update(0)]) == decode.squash([update(0)])


async def test_a_replay_that_nobody_waits_for_or_that_takes_too_long_leaves_no_process(
    nursery: replay._Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = slow(monkeypatch)
    replaying = asyncio.create_task(replay.squash([update(0)]))
    await begun.wait()
    assert len(children(pid(nursery))) == 1
    replaying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await replaying
    assert children(pid(nursery)) == []
    monkeypatch.setattr(replay, "TIMEOUT_S", 0.1)
    with pytest.raises(ReplayFailed, match="longer than"):
        await replay._run("squash", [update(0)])
    assert children(pid(nursery)) == []


async def test_no_process_to_be_had_is_said(nursery: replay._Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in ([sys.executable, "-c", ""], ["/nowhere/python"]):
        monkeypatch.setattr(replay, "command", partial(list, command))
        with pytest.raises(StoreUnavailable):
            await replay.squash([update(0)])
    monkeypatch.undo()
    assert await replay.squash([update(0)]) == decode.squash([update(0)])


def test_it_ends_with_a_process_that_is_killed() -> None:
    done = subprocess.run([sys.executable, "-c", KILLED_PARENT], capture_output=True, text=True, timeout=50)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with contextlib.suppress(ProcessLookupError):
        waited = os.pidfd_open(int(done.stdout))
        assert select.select([waited], [], [], 30)[0], "it has not ended"
        os.close(waited)


def test_a_fork_of_this_process_leaves_it_alone() -> None:
    done = subprocess.run([sys.executable, "-c", FORKING_PARENT], capture_output=True, text=True, timeout=50)
    assert done.stdout.split() == ["0", "0"], done.stderr
    assert done.stderr == ""


def test_the_process_loads_only_what_is_compiled() -> None:
    """What pycrdt imports in Python takes three times as long as all else that it loads."""
    done = subprocess.run(
        replay.command("-X", "importtime"), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "pycrdt._pycrdt" in loaded
    assert loaded.isdisjoint({"pycrdt", "pycrdt._doc", "anyio", "site", "typing", "asyncio", "subprocess"})
