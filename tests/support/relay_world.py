"""A site and its relay in this process, as the tests of the relay see them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from support import links
from support.sites import Site

from cs3collab.types import Credential, Target


@dataclass
class World:
    site: Site
    url: str
    target: Target
    folder: Path

    async def credential(self, user: str) -> Credential:
        return Credential("bearer", await links.token(self.site, user))

    @property
    def room(self) -> str:
        return str(links.room_of(self.target))
