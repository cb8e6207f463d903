"""One person's JupyterLab in a browser: what they do, and what they see, all of it through the page."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from playwright.async_api import Browser, ConsoleMessage, Locator, Page, expect

from cs3collab.demo.world import Lab

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
VIEWPORT = {"width": 1280, "height": 900}
LOAD_MS = 60_000
"""JupyterLab is a few megabytes of JavaScript; two cores that others use too need their time."""
KEY_MS = 15.0
"""Between two keys: a fast typist."""
HARMLESS = re.compile(r"status of 500 .*/api/kernels\?\d+\)$")
"""Console errors that say nothing about this project: Jupyter Server cannot list a kernel that is being started."""


@dataclass
class LabPage:
    lab: Lab
    page: Page
    console: list[str] = field(default_factory=list)
    """What the browser's console said, all levels."""
    errors: list[str] = field(default_factory=list)
    """The errors in it that are not `HARMLESS`."""

    @classmethod
    async def new(cls, browser: Browser, lab: Lab) -> LabPage:
        """An empty page in a browser of their own, that has never been anywhere."""
        context = await browser.new_context(viewport=VIEWPORT, locale="en-GB")
        self = cls(lab, await context.new_page())
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self._on_error(f"uncaught: {error}"))
        return self

    async def open(self) -> None:
        """Follows the link to the notebook."""
        await self.page.goto(self.lab.link + "&reset")
        await self.ready()

    async def close(self) -> None:
        await self.page.context.close()

    async def ready(self) -> None:
        """Waits until the notebook is there, with its room and its kernel."""
        await expect(self.page.locator("#jupyterlab-splash")).to_have_count(0, timeout=LOAD_MS)
        await expect(self.status).to_have_attribute("data-level", re.compile("ok|kept|busy|info"), timeout=LOAD_MS)
        await expect(self.page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=LOAD_MS)

    async def reload(self) -> None:
        await self.page.reload()
        await self.ready()

    def _on_console(self, message: ConsoleMessage) -> None:
        line = f"{message.type}: {message.text} ({message.location.get('url', '')})"
        self.console.append(line)
        if message.type == "error":
            self._on_error(line)

    def _on_error(self, line: str) -> None:
        if not HARMLESS.search(line):
            self.errors.append(line)

    def forgive(self, words: str) -> None:
        """Forgets errors in the console that say `words`; there must be one, for the test provoked it."""
        assert any(words in line for line in self.errors), self.errors
        self.errors = [line for line in self.errors if words not in line]

    # What is on the page.

    @property
    def panel(self) -> Locator:
        """The notebook in front."""
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")

    @property
    def status(self) -> Locator:
        return self.page.locator(".cs3-StatusItem")

    @property
    def banner(self) -> Locator:
        return self.panel.locator(".cs3-Banner")

    @property
    def tab(self) -> Locator:
        """Of the document in front."""
        return self.page.locator("#jp-main-dock-panel .lm-TabBar-tab.lm-mod-current")

    def toolbar_button(self, item: str) -> Locator:
        return self.panel.locator(f'.jp-NotebookPanel-toolbar [data-jp-item-name="{item}"] jp-button')

    @property
    def dialogs(self) -> Locator:
        return self.page.locator(".jp-Dialog")

    @property
    def cells(self) -> Locator:
        return self.panel.locator(".jp-Notebook-cell")

    @property
    def _footer(self) -> Locator:
        return self.panel.locator(".jp-Notebook-footer")

    def cell(self, word: str) -> Locator:
        """The cell whose source has `word`."""
        return self.cells.filter(has=self.page.locator(".cm-content", has_text=word))

    async def show(self, word: str) -> Locator:
        """Waits for the cell at the end of the notebook that has `word`, and scrolls there: Lab draws what is in sight."""
        await self._footer.scroll_into_view_if_needed()
        cell = self.cell(word)
        await expect(cell).to_have_count(1)
        await cell.locator(".cm-content").scroll_into_view_if_needed()
        return cell

    async def source(self, word: str) -> str:
        lines = self.cell(word).locator(".cm-line")
        return "\n".join(await lines.all_text_contents())

    @property
    def remote_names(self) -> Locator:
        """The flags at the cursors of others; Lab draws them above everything."""
        return self.page.locator(".jp-remote-userFlag-name")

    # What a person does.

    async def add_cell(self, text: str) -> None:
        """At the end of the notebook."""
        count = await self.cells.count()
        await self._footer.click()
        await expect(self.cells).to_have_count(count + 1)
        await self.page.keyboard.press("Enter")
        await expect(self.panel.locator(".jp-Notebook.jp-mod-editMode")).to_have_count(1)
        await self.page.keyboard.type(text, delay=KEY_MS)

    async def type_at_once(self, text: str) -> None:
        """So that JupyterLab's complaint about its server, should it come now, takes no key of it."""
        await self.page.keyboard.insert_text(text)

    async def focus(self, word: str, key: str) -> None:
        """Puts the cursor into the cell that has `word`, then presses `key`."""
        cell = await self.show(word)
        await cell.locator(".cm-line").first.click()
        await expect(cell.locator(".cm-editor.cm-focused")).to_have_count(1)
        await self.page.keyboard.press(key)

    async def type(self, text: str) -> None:
        """Where the cursor is."""
        await self.page.keyboard.type(text, delay=KEY_MS)

    async def save(self) -> None:
        """Ctrl+S; Lab makes a checkpoint once the save has succeeded."""
        async with self.page.expect_response(lambda r: r.request.method == "POST" and "/checkpoints" in r.url) as answer:
            await self.page.keyboard.press("Control+s")
        assert (await answer.value).status == 201
        await expect(self.status).to_have_attribute("data-level", "ok")

    # For people who read the result.

    async def screenshot(self, name: str) -> Path:
        path = SCREENSHOTS / f"{name}-{self.lab.person.role}.png"
        await self.page.screenshot(path=path)
        return path

    async def dump(self, name: str) -> list[Path]:
        """A screenshot and the console, after a failure."""
        log = SCREENSHOTS / f"{name}-{self.lab.person.role}.log"
        picture = await self.screenshot(name)
        scheme, host, path, *_ = urlsplit(self.page.url)
        log.write_text("\n".join([urlunsplit((scheme, host, path, "", "")), *self.console]) + "\n")
        return [picture, log]
