"""Two sites and a browser for each of three people, started once; every test adds cells of its own to the one notebook."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from lab_page import SCREENSHOTS
from lab_scene import Scene, notebook
from playwright.async_api import Error, async_playwright, expect

from cs3collab.demo.world import open_world

CHROMIUM = os.environ.get("CS3COLLAB_CHROMIUM", "/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAME = "spectrum.ipynb"
FAILED = pytest.StashKey[bool]()

expect.set_options(timeout=30_000)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path. Makes the folder for screenshots too."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    if not os.path.exists(CHROMIUM):
        pytest.fail(f"there is no browser at {CHROMIUM}: install Chromium, or say where it is with CS3COLLAB_CHROMIUM")
    return CHROMIUM


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def playing(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with open_world(tmp_path_factory.mktemp("world"), notebook(), NAME) as world, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        scene = Scene(world, browser, (await world.stored())[1], {})
        yield scene
        await scene.close()
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def scene(playing: Scene, request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    """Everybody has the notebook open. After a failure: the paths of screenshots and console logs, and new pages."""
    name = request.node.name
    try:
        await playing.open()
        yield playing
    finally:
        if request.node.stash.get(FAILED, True):
            for page in playing.people.values():
                try:
                    print(*await page.dump(f"failed-{name}"), sep="\n")
                except Error as error:
                    print(f"the page of the {page.lab.person.role} cannot be looked at: {error}")
            await playing.close()
    for page in playing.people.values():
        errors, page.errors = page.errors, []
        assert not errors, f"in the console of the {page.lab.person.role}"
        await expect(page.dialogs, f"a dialog before the {page.lab.person.role}").to_have_count(0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First the test that opens without editing; last those after which the status tells what somebody else wrote."""
    items.sort(key=lambda item: item.path.name == "test_e2e_conflicts.py")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report
