"""Two people of one site, each with a JupyterLab of their own and no relay: one edits, the other follows and takes over."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
import pytest_asyncio
from lab_page import LabPage
from lab_scene import notebook
from playwright.async_api import async_playwright, expect
from support.sites import Site, jupyter_server, share_local, site

from cs3collab.demo.world import PAGE_CONFIG, Lab, Person
from cs3collab.types import Role

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400), pytest.mark.asyncio(loop_scope="session")]
FREE_MS = 90_000
"""Until others are offered the pen: the grace of the lease, and a look at it."""


@dataclass
class Two:
    here: Site
    einstein: LabPage
    marie: LabPage

    async def stored(self) -> list[str]:
        read = nbformat.reads((await self.here.read("einstein", "n.ipynb")).decode(), as_version=4)
        return [cell.source for cell in read.cells]


def folder(root: Path, user: str) -> Path:
    """A server's, with the page's configuration."""
    config = root / user / "config" / "labconfig"
    config.mkdir(parents=True)
    (config / "page_config.json").write_text(json.dumps(PAGE_CONFIG))
    return root / user


@pytest_asyncio.fixture(loop_scope="session")
async def two(chromium: str, tmp_path: Path) -> AsyncIterator[Two]:
    async with contextlib.AsyncExitStack() as stack:
        here = await stack.enter_async_context(site(tmp_path))
        await here.put("einstein", "n.ipynb", notebook())
        await share_local(here, "einstein", "marie", "n.ipynb", Role.EDITOR)
        starting = (jupyter_server(here, user, folder=folder(tmp_path, user)) for user in ("einstein", "marie"))
        servers = await asyncio.gather(*map(stack.enter_async_context, starting))
        _, listing = await servers[1].request("GET", "api/contents/Shares")
        paths = ["n.ipynb", listing["content"][0]["path"]]
        labs = [
            Lab(Person(name, name, here.name, name, path), server.url.rstrip("/"), server.token)
            for name, path, server in zip(("einstein", "marie"), paths, servers, strict=True)
        ]
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        stack.push_async_callback(browser.close)
        yield Two(here, *[await LabPage.new(browser, lab) for lab in labs])


async def test_one_edits_the_other_follows_is_offered_the_pen_and_takes_it(two: Two) -> None:
    einstein, marie = two.einstein, two.marie
    await einstein.open()
    await expect(einstein.banner).to_be_hidden()
    await einstein.add_cell("first = 'einstein'")
    await einstein.save()

    await marie.open()
    await expect(marie.banner).to_contain_text(
        "This file is being edited by Albert Einstein (einstein) at a.example: stay in preview mode, or create a copy"
    )
    await expect(marie.banner.get_by_role("button", name="Create a copy")).to_be_visible()
    await expect(marie.banner.get_by_role("button", name="Edit now")).to_be_hidden()
    await marie.focus("einstein", "End")
    await marie.type("not accepted")
    await marie.screenshot("pen-follows")

    await einstein.focus("einstein", "End")
    await einstein.type("  # and saved")
    await einstein.save()
    await expect((await marie.show("einstein")).locator(".cm-line")).to_have_text(["first = 'einstein'  # and saved"])

    await einstein.close()
    edit = marie.banner.get_by_role("button", name="Edit now")
    await expect(edit).to_be_visible(timeout=FREE_MS)
    await expect(marie.banner).to_contain_text(
        "no longer edited by Albert Einstein (einstein) at a.example. You can edit it now."
    )
    toast = marie.page.locator(".Toastify__toast", has_text="can be edited now")
    await expect(toast).to_be_visible()
    await marie.screenshot("pen-offered")
    await edit.click()
    await expect(marie.banner).to_be_hidden()
    await expect(toast).to_have_count(0)
    await marie.focus("einstein", "End")
    await marie.type(", then marie")
    await marie.save()
    await marie.screenshot("pen-taken")
    assert "first = 'einstein'  # and saved, then marie" in await two.stored()

    back = await LabPage.new(marie.page.context.browser, einstein.lab)  # type: ignore[arg-type]
    await back.open()
    await expect(back.banner).to_contain_text(re.compile("being edited by Marie Curie .* at a.example"))
    await back.show("then marie")
    await back.screenshot("pen-back")
    for page in (marie, back):
        assert page.errors == []
