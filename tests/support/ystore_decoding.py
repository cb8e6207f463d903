"""Decodes updates in the process of the test: for runs by the hundred with sound updates, where a child each takes minutes."""

import asyncio
from collections.abc import Sequence

from ystore import pycrdt, replay


async def decode_here(task: str, groups: Sequence[Sequence[bytes]]) -> bytes:
    """Stands in for what ``python -m ystore.pycrdt`` is started for; the same functions do the work."""
    return await asyncio.to_thread(decoded, task, groups)


def decoded(task: str, groups: Sequence[Sequence[bytes]]) -> bytes:
    if task == "squash":
        return pycrdt.squash(groups[0])
    if task == "compare":
        return pycrdt.compare(groups[0][0], groups[1]).encode()
    raise replay.ReplayFailed("not a sound update", -1)
