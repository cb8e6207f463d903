"""The notebook, the three people who have it open, and what their storage holds."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import nbformat
from lab_page import LabPage
from playwright.async_api import Browser

from cs3collab.cs3.files import Files
from cs3collab.demo.world import Lab, World
from cs3collab.types import Ref


def notebook() -> bytes:
    """As written with some other Python: the kernel says more of its language, and another version, than the file does."""
    cells: list[dict[str, Any]] = [
        {"id": "title", "cell_type": "markdown", "metadata": {}, "source": "# Spectrum\n\n$E = h\\nu$"},
        {
            "id": "counts",
            "cell_type": "code",
            "execution_count": 1,
            "metadata": {},
            "source": "counts = [3, 14, 15, 92]\nsum(counts)",
            "outputs": [{"output_type": "execute_result", "execution_count": 1, "data": {"text/plain": "124"}, "metadata": {}}],
        },
    ]
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python", "version": "3.6.1"},
    }
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}, indent=1).encode()


@dataclass
class Scene:
    world: World
    browser: Browser
    etag: str
    """Of the file before anybody opened it."""
    people: dict[str, LabPage]

    async def open(self) -> None:
        """For everybody whose page is not open."""

        new = [lab for lab in self.world.labs if lab.person.role not in self.people]
        for lab in new:
            self.people[lab.person.role] = await LabPage.new(self.browser, lab)
        async with asyncio.TaskGroup() as opening:
            for lab in new:
                opening.create_task(self.people[lab.person.role].open())

    async def leave(self, role: str) -> None:
        """Somebody closes their browser; `open` opens a new one."""
        await self.people.pop(role).close()

    async def close(self) -> None:
        for role in list(self.people):
            await self.leave(role)

    @property
    def owner(self) -> LabPage:
        return self.people["owner"]

    @property
    def editor(self) -> LabPage:
        return self.people["editor"]

    @property
    def viewer(self) -> LabPage:
        return self.people["viewer"]

    async def stored(self) -> Any:
        """The notebook on the owner's storage, validated."""
        return _valid((await self.world.stored())[0])

    async def stored_at_home(self, lab: Lab, name: str) -> Any:
        """A notebook in the home of somebody, validated."""
        async with self.world.session(lab.person) as session:
            files = Files(session)
            return _valid(await files.read(Ref(f"{await files.home()}/{name}"), max_bytes=2**20))


def _valid(content: bytes) -> Any:
    read = nbformat.reads(content.decode(), as_version=4)
    nbformat.validate(read)
    return read
