"""What the tests of locks need of a site."""

from __future__ import annotations

import asyncio

from support.sites import SiteBase, share_local

from cs3collab.errors import Conflict
from cs3collab.types import Role


async def share_patiently(at: SiteBase, path: str) -> str:
    """einstein's file, for marie to edit; the share's id. A Reva that has just been started asks to try again for a while."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await share_local(at, "einstein", "marie", path, Role.EDITOR)
            except Conflict as busy:  # "share manager is currently migrating, please retry"
                if "retry" not in busy.message:
                    raise
            await asyncio.sleep(0.1)
