import asyncio
import logging
from collections.abc import Callable

import pytest
from support.ystore_clock import run_in_virtual_time

from cs3collab.locks.lasting import lasting


def turns(fails: Callable[[float], bool], until: float, every: float = 1.0) -> list[float]:
    """When the turns began that failed, in virtual seconds."""
    failed: list[float] = []

    async def turn() -> None:
        now = asyncio.get_running_loop().time()
        if fails(now):
            failed.append(now)
            raise RuntimeError("a bug")
        await asyncio.sleep(every)

    async def scene() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(until):
                await lasting("a task", turn)

    run_in_virtual_time(scene())
    return failed


def test_what_fails_always_is_tried_again_ever_later() -> None:
    assert turns(lambda now: True, 100) == [0, 1, 3, 7, 15, 31, 51, 71, 91]


def test_after_a_calm_time_it_is_tried_again_soon() -> None:
    assert turns(lambda now: now < 3 or 100 <= now < 102, 110) == [0, 1, 100, 101]


async def test_the_log_says_where_it_failed_and_who_cannot_be_told_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    told: list[Exception] = []

    async def turn() -> None:
        raise KeyError("a bug")

    def stumbled(error: Exception) -> None:
        told.append(error)
        raise RuntimeError("another bug")

    caplog.set_level(logging.ERROR)
    task = asyncio.create_task(lasting("a task", turn, stumbled))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not task.done()
    assert [type(error) for error in told] == [KeyError]
    first, second = caplog.records
    assert first.getMessage().startswith("a task: ")
    assert first.exc_info
    assert second.exc_info
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
