"""How long a blob store is waited for: patiently, but never for one lost request when another would be answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from ystore.errors import BlobConflict, BlobNotFound, StoreUnavailable

T = TypeVar("T")
Call = Callable[[], Coroutine[Any, Any, T]]
CALL_TIMEOUT_S = 300.0
"""For one object, while nobody waits for it. An adapter makes several requests, each of which may take half a minute."""
AGAIN_S = 5.0
"""After so long without an answer a small request is made a second time, beside the first: what waited is promised to be
there 10 s after the blob store is back, and a request of before may never be answered."""
_SLOW_BYTES_PER_S = 2**19
"""No slower connection than this is taken for a lost request."""


async def ask(call: Call[T], timeout: float = CALL_TIMEOUT_S, size: int | None = 0) -> T:
    """The answer of the blob store to `call`, which may be made again while it waits; of `size` bytes, None if nobody knows.

    Raises `BlobNotFound` and `BlobConflict`, which are answers, and `StoreUnavailable` for all else.
    """
    more = (size or 0) / _SLOW_BYTES_PER_S
    try:
        async with asyncio.timeout(timeout + more):
            return await (call() if size is None else answered(call, AGAIN_S + more))
    except (BlobNotFound, BlobConflict):
        raise
    except TimeoutError as error:
        raise StoreUnavailable(f"the blob store did not answer within {timeout + more:.0f} s") from error
    except Exception as error:
        raise StoreUnavailable(f"the blob store refuses: {error or type(error).__name__}") from error


async def answered(call: Call[T], again_s: float) -> T:
    """What the first `call` says, or one that is begun every `again_s` seconds instead of the one before; never more than two.

    A failure of such a later one says nothing while the first may still be answered.
    """
    first = asyncio.ensure_future(call())
    tasks = [first]
    try:
        while True:
            done, _ = await asyncio.wait(tasks, timeout=again_s, return_when=asyncio.FIRST_COMPLETED)
            if first in done:
                return first.result()
            if done and isinstance(tasks[1].exception(), BlobNotFound | BlobConflict | None):
                return tasks[1].result()
            if done:
                await asyncio.wait([first], timeout=again_s)
            await _end(tasks[1:])
            tasks = [first] if first.done() else [first, asyncio.ensure_future(call())]
    finally:
        await _end(tasks)


async def _end(tasks: Sequence[asyncio.Future[T]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.exception()  # so that nobody is told it was not looked at
