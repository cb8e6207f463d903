"""A site and its relay in this process, as the tests of the relay see them."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from support import links
from support.notebooks import notebook
from support.sites import Site, share_local, site

from cs3collab.types import Credential, Role, Target


@dataclass
class World:
    site: Site
    url: str
    target: Target
    folder: Path
    path: str = "n.ipynb"

    async def credential(self, user: str) -> Credential:
        return Credential("bearer", await links.token(self.site, user))

    @property
    def room(self) -> str:
        return str(links.room_of(self.target))


async def world_with(here: Site, url: str, folder: Path, path: str = "n.ipynb") -> World:
    """Has a notebook there that einstein owns, marie may edit and richard may read."""
    await here.put("einstein", path, notebook("", "y = 2"))
    await share_local(here, "einstein", "marie", path, Role.EDITOR)
    await share_local(here, "einstein", "richard", path, Role.VIEWER)
    return World(here, url, await links.target(here, "einstein", path), folder, path)


@contextlib.asynccontextmanager
async def world_of_its_own(folder: Path, **limits: float) -> AsyncIterator[World]:
    async with site(folder) as here, links.relay(here, folder / "relay", **limits) as url:
        yield await world_with(here, url, folder)


def any_path() -> str:
    return f"{uuid.uuid4().hex}.ipynb"
