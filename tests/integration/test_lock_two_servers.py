"""Two servers that do not know of each other open one notebook: with locks, and with claims where there are none."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import links
from support.links import Person, node, relay
from support.locked_sites import share_patiently
from support.notebooks import notebook
from support.reva import REVADS, site_on
from support.sites import Site, SiteBase, site

from cs3collab.cs3.files import Files
from cs3collab.errors import NotFound
from cs3collab.locks.claims import PREFIX
from cs3collab.types import Ref, Target

KINDS = ("embedded", "nolocks", *(pytest.param(name, marks=pytest.mark.reva) for name in REVADS))
LIMITS = {"look_s": 0.3, "lease_grace_s": 0.0}
pytestmark = pytest.mark.timeout(120)


@dataclass
class Scene:
    """einstein at one server, marie at another; each server has its own history of the notebook."""

    files: Files
    ref: Ref
    einstein: Person
    marie: Person

    async def saved(self, *words: str) -> None:
        await self._find(lambda content: all(word in content for word in words))

    async def ahead(self, einstein: str, marie: str) -> Person:
        """Whose words are in the file first; the other one's come when that person has left."""
        found = await self._find(lambda content: einstein in content or marie in content)
        return self.einstein if einstein in found else self.marie

    async def _find(self, wanted: Callable[[str], bool]) -> str:
        async with asyncio.timeout(links.WAIT_S):
            while True:
                with contextlib.suppress(NotFound):  # v3 moves the version before away first
                    if wanted(content := (await self.files.read(self.ref, max_bytes=10**6)).decode()):
                        return content
                await asyncio.sleep(0.05)


@pytest.fixture(params=KINDS)
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    kind = str(request.param)
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        made = site(tmp_path, profile="nolocks") if kind == "nolocks" else site_on(kind, tmp_path)
        here: SiteBase = await enter(made)
        info = await here.put("einstein", "n.ipynb", notebook("x = 1", "y = 2"))
        if kind not in ("nolocks", "v3"):  # whose users see each other's files anyway
            await share_patiently(here, "n.ipynb")
        people = [await enter(sitting(here, tmp_path, user, Target(resource_id=info.id))) for user in ("einstein", "marie")]
        yield Scene(await here.files("einstein"), Ref.of(info.id), *people)


@contextlib.asynccontextmanager
async def sitting(here: Site, folder: Path, user: str, where: Target) -> AsyncIterator[Person]:
    token = await links.token(here, user)
    async with (
        relay(here, folder / f"relay-{user}", **LIMITS) as url,
        node(folder / user, url, lambda: token) as opened,
        Person(opened, where) as person,
    ):
        yield person


async def test_one_writes_and_the_other_is_told_who_and_writes_when_that_one_leaves(scene: Scene) -> None:
    scene.einstein.write("\nby einstein")
    await scene.einstein.ask("durable")
    await scene.saved("by einstein")
    scene.marie.write("\nby marie", cell=1)
    await scene.marie.ask("durable")
    await scene.marie.until(lambda: "being edited by" in scene.marie.status.get("problem", ""))
    assert "Albert Einstein (einstein) at " in scene.marie.status["problem"]
    assert "by marie" not in (await scene.files.read(scene.ref, max_bytes=10**6)).decode()
    await scene.einstein.leave()
    await scene.saved("by einstein", "by marie")
    await scene.marie.until(lambda: scene.marie.status["problem"] == "" and "by einstein" in scene.marie.text())
    info = await scene.files.stat(scene.ref)
    assert info.lock is not None or [key for key in info.metadata if key.startswith(PREFIX)]


async def test_when_both_type_at_once_the_file_has_both_in_the_end(scene: Scene) -> None:
    for n in range(4):
        scene.einstein.write(f"\neinstein {n}")
        scene.marie.write(f"\nmarie {n}", cell=1)
        await asyncio.gather(scene.einstein.ask("durable"), scene.marie.ask("durable"))
    await (await scene.ahead("einstein 3", "marie 3")).leave()
    await scene.saved(*(f"{who} {n}" for who in ("einstein", "marie") for n in range(4)))
