"""Work that goes on for ever: what nobody foresaw is logged, told, and tried again after ever longer pauses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

FIRST_S, LONGEST_S = 1.0, 20.0
"""Pauses. With the longest a lock is still refreshed before it ends: that is begun at a third of its life, which is 60 s."""
CALM_S = 3 * LONGEST_S
"""Without a failure for so long the pauses begin anew."""


def unheard(error: Exception) -> None:
    """Nobody is told."""


def pause_s(failures: int) -> float:
    """After the nth failure in a row."""
    return min(FIRST_S * 2.0 ** min(failures - 1, 16), LONGEST_S)


async def lasting(what: str, turn: Callable[[], Awaitable[None]], stumbled: Callable[[Exception], None] = unheard) -> None:
    """Carries out `turn` again and again, until cancelled. `stumbled` is to tell people, whatever it was that failed."""
    failures, last = 0, float("-inf")
    while True:
        try:
            await turn()
        except Exception as error:
            now = asyncio.get_running_loop().time()
            failures, last = failures + 1 if now - last < CALM_S else 1, now
            log.exception("%s: nobody foresaw this, please report it; tried again in %.0f s", what, pause_s(failures))
            try:
                stumbled(error)
            except Exception:
                log.exception("%s: nor can people be told", what)
            await asyncio.sleep(pause_s(failures))
