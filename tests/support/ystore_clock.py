"""An event loop whose time passes when nobody has anything to do but wait, so that a minute of trouble takes no minute."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from functools import partial
from typing import Any, TypeVar
from unittest.mock import patch

from ystore import journal

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    loop: VirtualTimeLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None or self.loop.threads_at_work:
            return super().select(timeout)
        self.loop.now += timeout
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Waits in real time for threads and sockets only."""

    def __init__(self) -> None:
        self.now = 0.0
        self.threads_at_work = 0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        self.threads_at_work += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._worked)
        return future

    def _worked(self, _: object) -> None:
        self.threads_at_work -= 1


async def _counted(
    at_work: Callable[..., Coroutine[Any, Any, T]], pool: object, function: Callable[..., T], args: tuple[object, ...]
) -> T:
    """The journal has threads of its own."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop.threads_at_work += 1
    try:
        return await at_work(pool, function, args)
    finally:
        loop.threads_at_work -= 1


def run_in_virtual_time(work: Coroutine[Any, Any, T]) -> T:
    with (
        patch.object(journal, "_in", partial(_counted, journal._in)),
        asyncio.Runner(loop_factory=VirtualTimeLoop) as runner,
    ):
        return runner.run(work)
