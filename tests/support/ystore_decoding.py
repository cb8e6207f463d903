"""Decodes updates in the process of the test: for runs by the hundred with sound updates, where a child each takes minutes."""

import asyncio
from collections.abc import Sequence

from ystore import decode, replay


async def decode_here(task: str, updates: Sequence[bytes]) -> bytes:
    """Stands in for the child process of `ystore.replay`; the same functions do the work."""
    return await asyncio.to_thread(decoded, task, updates)


def decoded(task: str, updates: Sequence[bytes]) -> bytes:
    if task == "trace":
        raise replay.ReplayFailed("not a sound update", -1)
    return decode.answer(task, updates)
