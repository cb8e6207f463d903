"""Copies that Cs3api4Lab and cs3collab left of a notebook are offered for merging, and merged from the file browser."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
import pytest_asyncio
from lab_page import LabPage
from lab_scene import notebook
from playwright.async_api import Locator, async_playwright, expect
from support.sites import Site, jupyter_server, site

from cs3collab.demo.world import PAGE_CONFIG, Lab, Person

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="session")]
THEIRS = "spectrum-einstein.2026-11-20_04_12_38-conflict.ipynb"
OURS = "other.conflict-2026-11-20T04-12-38-someone.ipynb"


def changed(more: str, **replaced: str) -> bytes:
    """The notebook with a cell more, and with other words in the cell of counts."""
    book = json.loads(notebook())
    for old, new in replaced.items():
        book["cells"][1]["source"] = book["cells"][1]["source"].replace(old, new)
    book["cells"].append(
        {"id": "more", "cell_type": "code", "execution_count": None, "metadata": {}, "source": more, "outputs": []}
    )
    return json.dumps(book).encode()


@dataclass
class Desk:
    here: Site
    page: LabPage

    async def stored(self, path: str) -> list[str]:
        read = nbformat.reads((await self.here.read("einstein", path)).decode(), as_version=4)
        nbformat.validate(read)
        return [cell.source for cell in read.cells]

    def toast(self, words: str) -> Locator:
        return self.page.page.locator(".Toastify__toast", has_text=words)

    def listed(self, name: str) -> Locator:
        """A file in the file browser."""
        return self.page.page.locator(".jp-DirListing-item", has_text=name)


@pytest_asyncio.fixture(loop_scope="session")
async def desk(chromium: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    config = tmp_path / "einstein" / "config" / "labconfig"
    config.mkdir(parents=True)
    (config / "page_config.json").write_text(json.dumps(PAGE_CONFIG))
    async with contextlib.AsyncExitStack() as stack:
        here = await stack.enter_async_context(site(tmp_path))
        await here.put("einstein", "work/spectrum.ipynb", notebook())
        await here.put("einstein", "other.ipynb", notebook())
        server = await stack.enter_async_context(jupyter_server(here, "einstein", folder=tmp_path / "einstein"))
        lab = Lab(
            Person("einstein", "einstein", here.name, "copies", "work/spectrum.ipynb"), server.url.rstrip("/"), server.token
        )
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        stack.push_async_callback(browser.close)
        opened = Desk(here, await LabPage.new(browser, lab))
        failed = request.session.testsfailed
        yield opened
        if request.session.testsfailed > failed:
            print(*await opened.page.dump(f"failed-{request.node.name}"), sep="\n")
        assert opened.page.errors == []


async def test_a_copy_of_cs3api4lab_in_the_home_is_offered_merged_and_deleted(desk: Desk) -> None:
    page = desk.page
    await desk.here.put("einstein", THEIRS, changed("theirs = 1"))
    await page.open()
    offer = desk.toast("“spectrum.ipynb” has a conflict copy from")
    await expect(offer).to_contain_text("2026")
    await page.screenshot("copies-offered")
    await offer.get_by_role("button", name="Merge").click()
    await page.show("theirs = 1")
    merged = desk.toast("The copy was merged into “spectrum.ipynb”.")
    await expect(merged).to_be_in_viewport(ratio=1)
    await page.screenshot("copies-merged")
    await merged.get_by_role("button", name="Delete the copy").click()
    await page.page.locator(".jp-BreadCrumbs-home").click()
    await expect(desk.listed("other.ipynb")).to_have_count(1)
    await expect(desk.listed(THEIRS)).to_have_count(0)
    await page.save()
    assert "theirs = 1" in await desk.stored("work/spectrum.ipynb")
    assert not (desk.here.folder("einstein") / THEIRS).exists()


async def test_a_copy_of_ours_is_merged_from_the_file_browser_and_its_conflict_shown(desk: Desk) -> None:
    page = desk.page
    await desk.here.put("einstein", OURS, changed("theirs = 2", **{"counts = [3, 14": "counts = [4, 14"}))
    await page.open()
    await expect(desk.toast("has a conflict copy")).to_have_count(0)
    await page.page.locator(".jp-BreadCrumbs-home").click()
    await desk.listed("other.ipynb").click(button="right")
    await expect(page.page.locator(".lm-Menu-item", has_text="Rename")).to_be_visible()
    await expect(page.page.locator(".lm-Menu-item", has_text="Merge into")).to_be_hidden()
    await page.page.keyboard.press("Escape")
    await desk.listed(OURS).click(button="right")
    entry = page.page.locator(".lm-Menu-item", has_text="Merge into other.ipynb")
    await expect(entry).to_be_visible()
    await page.screenshot("copies-menu")
    await entry.click()
    merged = desk.toast("The copy was merged into “other.ipynb”, but for 1 change that conflicts.")
    await expect(merged).to_be_in_viewport(ratio=1)
    await expect(page.tab).to_contain_text("other.ipynb")
    await page.show("theirs = 2")
    await expect(merged.get_by_role("button", name="Delete the copy")).to_have_count(0)
    await desk.toast("was changed elsewhere too").get_by_role("button", name="Show").click()
    await expect(page.page.locator(".cs3-Comparison")).to_be_visible()
    await page.screenshot("copies-conflict")
