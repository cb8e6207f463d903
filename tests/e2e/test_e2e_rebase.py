"""The server lost its store while somebody typed offline: what they typed comes into the document that was started anew."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
import pytest_asyncio
from lab_page import LabPage
from lab_scene import notebook
from playwright.async_api import Locator, async_playwright, expect
from support.sites import JupyterServer, Site, jupyter_server, share_local, site

from cs3collab.cs3 import shares
from cs3collab.demo.world import PAGE_CONFIG, Lab, Person
from cs3collab.errors import NotFound
from cs3collab.types import Role

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="session")]

LINE = "counts = [3, 14, 15, 92]"


@dataclass
class Desk:
    here: Site
    server: JupyterServer
    page: LabPage
    share: str
    """Its id, if the notebook is somebody else's."""

    @property
    def file(self) -> Path:
        return self.here.folder("einstein") / "n.ipynb"

    def stored(self) -> list[str]:
        """The cells in the owner's file, which must be valid."""
        return sources(self.file.read_text())

    async def away(self) -> None:
        """The server is killed, and the person has closed JupyterLab's own complaint about that when they go on."""
        await self.server.kill()
        await expect(self.page.status).to_contain_text("Offline")

    async def back_without_store(self) -> None:
        """The store is lost with everything in it, here and on CS3; who the authority is stays."""
        await asyncio.to_thread(shutil.rmtree, self.server.folder / "store" / "rooms")
        for user in ("einstein", "marie"):
            files = await self.here.files(user)
            with contextlib.suppress(NotFound):
                await files.delete(await self.here.ref(user, ".cs3collab"))
        await self.server.restart()

    def toast(self, words: str) -> Locator:
        return self.page.page.locator(".Toastify__toast", has_text=words)


def sources(text: str) -> list[str]:
    read = nbformat.reads(text, as_version=4)
    nbformat.validate(read)
    return [cell.source for cell in read.cells]


@pytest_asyncio.fixture(loop_scope="session")
async def desk(chromium: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    """A server without relay of einstein, whose notebook it is, or of marie, who was given it to edit; and a browser there."""
    user: str = request.param
    config = tmp_path / user / "config" / "labconfig"
    config.mkdir(parents=True)
    (config / "page_config.json").write_text(json.dumps(PAGE_CONFIG))
    async with contextlib.AsyncExitStack() as stack:
        here = await stack.enter_async_context(site(tmp_path))
        await here.put("einstein", "n.ipynb", notebook())
        share = "" if user == "einstein" else await share_local(here, "einstein", user, "n.ipynb", Role.EDITOR)
        server = await stack.enter_async_context(jupyter_server(here, user, folder=tmp_path / user))
        _, listing = await server.request("GET", "api/contents/Shares")
        path = listing["content"][0]["path"] if share else "n.ipynb"
        lab = Lab(Person(user, user, here.name, user, path), server.url.rstrip("/"), server.token)
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        stack.push_async_callback(browser.close)
        opened = Desk(here, server, await LabPage.new(browser, lab), share)
        lost = opened.page.dialogs.filter(has_text="Server Connection Error")
        await opened.page.page.add_locator_handler(lost, lambda found: found.get_by_role("button").last.click())
        await opened.page.open()
        failed = request.session.testsfailed
        try:
            yield opened
        finally:
            if request.session.testsfailed > failed:
                print(*await opened.page.dump(f"failed-{request.node.originalname}"), sep="\n")


einstein = pytest.mark.parametrize("desk", ["einstein"], indirect=True)
marie = pytest.mark.parametrize("desk", ["marie"], indirect=True)


@einstein
async def test_what_was_typed_offline_comes_into_a_document_that_the_server_started_anew(desk: Desk) -> None:
    page = desk.page
    await page.add_cell("kept = 1")
    await page.save()
    await desk.away()
    await page.focus("kept", "End")
    await desk.page.type_at_once("  # typed offline")
    await page.add_cell("new = 'offline'")
    desk.file.write_bytes(desk.file.read_bytes().replace(b"92", b"93"))
    await desk.back_without_store()

    said = desk.toast("What you typed was brought in.")
    await expect(said).to_be_in_viewport(ratio=1)
    await page.show("new = 'offline'")
    await page.screenshot("rebase-brought-in")
    await page.type(" + 'and on'")  # the cursor is where it was
    await page.save()
    expected = [
        "# Spectrum\n\n$E = h\\nu$",
        "counts = [3, 14, 15, 93]\nsum(counts)",
        "kept = 1  # typed offline",
        "new = 'offline' + 'and on'",
    ]
    assert desk.stored() == expected
    await expect(page.cells).to_have_count(len(expected))
    await expect(page.dialogs).to_have_count(0)
    await page.screenshot("rebase-after")


@einstein
async def test_where_the_file_was_changed_too_people_are_told_and_can_compare(desk: Desk) -> None:
    page = desk.page
    await page.add_cell("kept = 1")
    await page.save()
    await desk.away()
    await page.focus("counts = ", "End")
    await desk.page.type_at_once("  # mine")
    theirs = "counts = [2, 7, 18, 28]"
    desk.file.write_bytes(desk.file.read_bytes().replace(LINE.encode(), theirs.encode()))
    await desk.back_without_store()

    said = desk.toast("1 change conflicts; yours is kept in n.conflict-")
    await expect(said).to_be_in_viewport(ratio=1)
    await page.screenshot("rebase-conflict")
    await said.get_by_role("button", name="Show").click()
    await expect(page.page.locator(".cs3-Comparison")).to_contain_text("# mine")
    await page.screenshot("rebase-compared")
    assert desk.stored()[1].startswith(theirs)
    (kept,) = desk.file.parent.glob("n.conflict-*.ipynb")
    assert sources(kept.read_text()) == ["# Spectrum\n\n$E = h\\nu$", f"{LINE}  # mine\nsum(counts)", "kept = 1"]


@einstein
async def test_a_page_in_which_nothing_was_typed_is_loaded_again(desk: Desk) -> None:
    page = desk.page
    await page.add_cell("kept = 1")
    await page.save()
    await desk.away()
    desk.file.write_bytes(desk.file.read_bytes().replace(b"92", b"93"))
    await desk.back_without_store()
    await expect(desk.toast("loaded again")).to_be_visible()
    await page.show("93")
    await expect(page.cells).to_have_count(3)
    assert not [*desk.file.parent.glob("*conflict*")]


async def let(desk: Desk, role: Role) -> None:
    """The owner changes what marie may."""
    owner = await desk.here.session("einstein")
    await shares.update_share(owner, await shares.get_share(owner, desk.share), role)


async def refused(desk: Desk) -> Locator:
    """What marie typed offline may not be brought in, for she may only read by then. The dialog that says so."""
    await desk.page.add_cell("kept = 1")
    await desk.page.save()
    await desk.away()
    await desk.page.focus("kept", "End")
    await desk.page.type_at_once("  # typed offline")
    await let(desk, Role.VIEWER)
    await desk.back_without_store()
    asked = desk.page.dialogs.filter(has_text="could not be brought in")
    await expect(asked).to_be_visible()
    return asked


@marie
async def test_what_may_not_be_brought_in_can_be_kept_as_a_copy(desk: Desk) -> None:
    page = desk.page
    asked = await refused(desk)
    await page.screenshot("rebase-refused")
    await asked.get_by_role("button", name="Not now").click()
    again = page.banner.get_by_role("button", name="Try again")
    await again.click()
    await expect(asked).to_be_visible()
    await asked.get_by_role("button", name="Create a copy").click()
    await expect(desk.toast("The copy is in your home")).to_be_visible()
    (copy,) = desk.here.folder("marie").glob("*-Copy1.ipynb")
    assert sources(copy.read_text())[-1] == "kept = 1  # typed offline"
    assert desk.stored()[-1] == "kept = 1"


@marie
async def test_what_was_refused_is_brought_in_once_that_is_allowed_again(desk: Desk) -> None:
    page = desk.page
    asked = await refused(desk)
    await let(desk, Role.EDITOR)
    await asked.get_by_role("button", name="Try again").click()
    await expect(desk.toast("What you typed was brought in.")).to_be_visible()
    await expect(page.banner).to_be_hidden()
    await page.show("typed offline")
    await page.save()
    assert desk.stored()[-1] == "kept = 1  # typed offline"


@einstein
async def test_a_text_file_is_brought_in_by_line_and_shown_where_it_was(desk: Desk) -> None:
    page = desk.page
    await desk.here.put("einstein", "a.py", b"x = 1\ny = 2\nz = 3\n")
    file = desk.file.with_name("a.py")
    await page.page.goto(f"{page.lab.url}/lab/tree/a.py?token={page.lab.token}&reset")
    lines = page.page.locator(".jp-FileEditor .cm-line")
    await expect(page.status).to_have_attribute("data-level", "ok")
    await lines.nth(0).click()
    await page.page.keyboard.press("End")
    await page.type("  # saved")
    await page.save()
    await desk.away()
    await lines.nth(2).click()
    await page.page.keyboard.press("End")
    await desk.page.type_at_once("  # typed offline")
    file.write_text("x = 10\n" + file.read_text().partition("\n")[2])
    await desk.back_without_store()

    await expect(desk.toast("What you typed was brought in.")).to_be_visible()
    await expect(lines).to_have_text(["x = 10", "y = 2", "z = 3  # typed offline", ""])
    await page.screenshot("rebase-text")
    await page.type(", and on")
    await page.save()
    assert file.read_text() == "x = 10\ny = 2\nz = 3  # typed offline, and on\n"
