"""Somebody else changed the file too: what people see of it, compare, and decide."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from lab_page import LabPage
from lab_scene import Scene
from playwright.async_api import Locator, Route, expect
from pycrdt import Array, Map

from cs3collab import client
from cs3collab.client import LiveDocument
from cs3collab.cs3.files import Files
from cs3collab.types import Ref

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="session")]

COPY = "spectrum.conflict-20260314T150926Z-marie.ipynb"


@asynccontextmanager
async def document(scene: Scene) -> AsyncIterator[LiveDocument]:
    """The notebook as a script of its owner has it: what the home site notes in it, this notes."""
    lab = scene.owner.lab
    async with client.open(lab.url, lab.person.path, token=lab.token) as doc:
        yield doc


def cells(doc: LiveDocument) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = doc.shared.get()["cells"]
    return found


async def cell_id(doc: LiveDocument, source: str) -> str:
    def found() -> list[str]:
        return [cell["id"] for cell in cells(doc) if cell["source"] == source]

    await doc.until(lambda _: found() != [])
    return found()[0]


async def note(doc: LiveDocument, key: str, cell: str, kind: str, theirs: str | None, copy: str = "") -> None:
    record = {"cell": cell, "kind": kind, "copy": copy, "at": time.time(), "who": "Lise Meitner", "theirs": theirs}
    doc.ydoc.get("conflicts", type=Map)[key] = record
    await doc.durable()


async def noted(doc: LiveDocument) -> list[str]:
    return sorted(doc.ydoc.get("conflicts", type=Map).keys())


def marker(cell: Locator) -> Locator:
    return cell.locator(".cs3-Marker")


def count(person: LabPage) -> Locator:
    return person.page.locator(".cs3-ConflictItem")


def news(person: LabPage) -> Locator:
    return person.page.locator(".Toastify__toast", has_text="was changed elsewhere too")


def comparison(person: LabPage) -> Locator:
    return person.page.locator(".cs3-Comparison")


async def close_comparison(person: LabPage) -> None:
    tab = person.page.locator("#jp-main-dock-panel .lm-TabBar-tab", has_text="Compare: ")
    await tab.locator(".lm-TabBar-tabCloseIcon").click()
    await expect(tab).to_have_count(0)


async def test_one_compares_and_takes_theirs_for_everybody(scene: Scene) -> None:
    ours = "energy = 13.6  # eV\nlevels = [energy / n**2 for n in (1, 2, 3)]\nprint(levels)"
    theirs = "energy = 13.605693  # eV\nlevels = [energy / n**2 for n in (1, 2, 3)]\nprint(max(levels))"
    await scene.owner.add_cell("energy = 13")
    async with document(scene) as doc:
        cell = await cell_id(doc, "energy = 13")
        source = doc.ydoc.get("cells", type=Array)[-1]["source"]
        source += ours.removeprefix("energy = 13")
        await doc.durable()
        await scene.owner.save()
        etag = (await scene.world.stored())[1]

        await note(doc, "first", cell, "source", theirs)
        for person in (scene.owner, scene.editor, scene.viewer):
            shown = await person.show("levels")
            await expect(marker(shown)).to_contain_text("Changed by Lise Meitner too")
            await expect(count(person)).to_have_text("1 conflict")
            await expect(news(person)).to_have_count(1)
        await scene.owner.save()
        await scene.owner.screenshot("conflict")
        assert (await scene.world.stored())[1] == etag, "a note is no part of the file"

        # By keyboard alone: from the marker's button into the comparison.
        button = marker(scene.editor.cell("levels")).get_by_role("button")
        await button.focus()
        await scene.editor.page.keyboard.press("Enter")
        await expect(comparison(scene.editor)).to_have_count(1)
        await expect(comparison(scene.editor).locator(".cm-merge-b .cm-content")).to_contain_text("13.605693")
        await expect(comparison(scene.editor).locator(".cm-merge-a .cm-changedLine").first).to_be_visible()
        await scene.editor.screenshot("compare")

        # Ours is live: what the other types is there.
        await scene.owner.focus("levels", "Control+End")
        await scene.owner.type("\n# live")
        await expect(comparison(scene.editor).locator(".cm-merge-a .cm-content")).to_contain_text("# live")
        await scene.owner.page.keyboard.press("Control+z")

        await comparison(scene.editor).get_by_role("button", name="Use their version").click()
        for person in (scene.owner, scene.editor, scene.viewer):
            await expect(person.cell("levels").locator(".cm-line")).to_have_text(theirs.split("\n"))
            await expect(person.page.locator(".cs3-Marker")).to_have_count(0)
            await expect(count(person)).to_be_hidden()
            await expect(news(person)).to_have_count(0)
        await expect(comparison(scene.editor)).to_have_count(0)
        await expect(scene.editor.page.locator(".cs3-ComparePanel")).to_contain_text("Nothing is left to decide")
        await expect(scene.editor.page.locator(".cs3-ComparePanel").get_by_role("button", name="Close")).to_be_focused()
        await scene.editor.page.keyboard.press("Enter")
        await expect(scene.editor.page.locator(".cs3-ComparePanel")).to_have_count(0)
        await doc.until(lambda _: len(doc.ydoc.get("conflicts", type=Map)) == 0)

    # Taking theirs is an edit like another: undo takes it back.
    await scene.editor.focus("levels", "Control+Home")
    await scene.editor.page.keyboard.press("Control+z")
    await expect(scene.owner.cell("levels").locator(".cm-line").first).to_have_text("energy = 13.6  # eV")
    await scene.editor.page.keyboard.press("Control+Shift+z")
    await expect(scene.owner.cell("levels").locator(".cm-line").first).to_have_text("energy = 13.605693  # eV")
    await scene.owner.save()
    content = json.loads((await scene.world.stored())[0])
    assert set(content) == {"cells", "metadata", "nbformat", "nbformat_minor"}
    assert theirs in ["".join(cell["source"]) for cell in content["cells"]]


async def test_what_is_compared_is_saved_there_too(scene: Scene) -> None:
    editor = scene.editor
    await scene.owner.add_cell("# shown")
    await scene.owner.save()
    async with document(scene) as doc:
        await note(doc, "shown", await cell_id(doc, "# shown"), "source", "# theirs")
        await count(editor).get_by_role("button").click()
        await comparison(editor).locator(".cm-merge-a .cm-content").press("Control+End")
        await editor.type(" and compared")
        await expect(editor.status).to_have_attribute("data-level", "kept")
        await editor.page.keyboard.press("Control+s")
        await expect(editor.status).to_contain_text("Saved at")
        assert "# shown and compared" in [cell.source for cell in (await scene.stored()).cells]
        await comparison(editor).get_by_role("button", name="Keep this version").click()
        await doc.until(lambda _: len(doc.ydoc.get("conflicts", type=Map)) == 0)
    await close_comparison(editor)


async def test_two_who_take_theirs_in_the_same_moment_do_it_once(scene: Scene) -> None:
    people = [scene.owner, scene.editor]
    await scene.owner.add_cell("twice = 2")
    async with document(scene) as doc:
        cell = await cell_id(doc, "twice = 2")
        await note(doc, "text", cell, "source", "once = 1")
        await note(doc, "cell", "brought-back", "deleted", "# brought back")
        waiting, both = [], asyncio.Event()

        async def together(route: Route) -> None:
            waiting.append(route)
            if len(waiting) % 2 == 0:
                both.set()
            await both.wait()
            await route.continue_()

        for person in people:
            await person.page.route("**/api/cs3collab/conflicts/**", together)
            await count(person).get_by_role("button").click()
            await expect(comparison(person)).to_have_count(2)
        for name in ("Use their version", "Insert their cell"):
            both.clear()
            buttons = [comparison(person).get_by_role("button", name=name) for person in people]
            await asyncio.gather(*(button.click() for button in buttons))
            await _one_is_told("Somebody else has just decided", people)
            for button in buttons:
                await expect(button).to_have_count(0)
        assert len(waiting) == 4
        for person in people:
            await person.page.unroute_all()
            await close_comparison(person)
        for person in (*people, scene.viewer):
            await expect((await person.show("once")).locator(".cm-line")).to_have_text(["once = 1"])
            await expect(person.page.locator(".cs3-Marker")).to_have_count(0)
        found = [each for each in cells(doc) if each["id"] in (cell, "brought-back")]
        assert sorted(each["source"] for each in found) == ["# brought back", "once = 1"]
        assert await noted(doc) == []


async def _one_is_told(words: str, people: list[LabPage]) -> None:
    """Which one is open; afterwards nobody is told any more."""
    toasts = [person.page.locator(".Toastify__toast", has_text=words) for person in people]
    seeing = [asyncio.ensure_future(expect(toast).to_be_visible()) for toast in toasts]
    done, others = await asyncio.wait(seeing, return_when=asyncio.FIRST_COMPLETED)
    for other in others:
        other.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.gather(*done)
    for toast in toasts:
        await expect(toast).to_have_count(0)


async def test_a_viewer_compares_and_cannot_decide(scene: Scene) -> None:
    viewer = scene.viewer
    await scene.owner.add_cell("# watched")
    async with document(scene) as doc:
        await note(doc, "watched", await cell_id(doc, "# watched"), "source", "# watched by others")
        await marker(await viewer.show("watched")).get_by_role("button").click()
        await expect(comparison(viewer).locator(".cm-merge-b")).to_contain_text("watched by others")
        await expect(comparison(viewer)).to_contain_text("an editor has to decide")
        await viewer.screenshot("compare")
        for name in ("Keep this version", "Use their version"):
            await expect(comparison(viewer).get_by_role("button", name=name)).to_be_disabled()
        await expect(comparison(viewer).locator(".cs3-SideBySide-take")).to_have_count(0)
        await comparison(viewer).locator(".cm-merge-a .cm-line").first.click()
        await viewer.type("typed")
        await expect(comparison(viewer).locator(".cm-merge-a .cm-line")).to_have_text(["# watched"])
        await close_comparison(viewer)

        await scene.owner.page.locator(".cs3-ConflictItem button").click()
        await comparison(scene.owner).get_by_role("button", name="Keep this version").click()
        for person in (scene.owner, scene.editor, viewer):
            await expect(person.page.locator(".cs3-Marker")).to_have_count(0)
            await expect(person.cell("watched").locator(".cm-line")).to_have_text(["# watched"])
        await close_comparison(scene.owner)
        assert await noted(doc) == []


async def test_cells_that_one_side_deleted_and_their_file(scene: Scene) -> None:
    owner = scene.owner
    await owner.add_cell("# they deleted this")
    async with document(scene) as doc:
        mine = await cell_id(doc, "# they deleted this")
        await _write_copy(scene, "gone")
        await note(doc, "a", "gone", "deleted", "# deleted here", COPY)
        await note(doc, "b", mine, "deleted", None, COPY)
        await note(doc, "c", "counts", "outputs", None, COPY)
        await note(doc, "d", "", "metadata", None, COPY)
        for person in (owner, scene.editor):
            await expect(count(person)).to_have_text("4 conflicts")
            await expect(news(person)).to_contain_text("4 changes could not be merged")
        await expect(marker(await owner.show("they deleted"))).to_contain_text("Deleted by Lise Meitner, changed here")
        above = owner.panel.locator(".cs3-Marker.cs3-mod-above")
        await expect(above).to_contain_text("A cell deleted here was changed by Lise Meitner")

        await news(owner).get_by_role("button", name="Show").click()
        await expect(comparison(owner)).to_have_count(4)
        await owner.screenshot("compare-kinds")
        outputs = comparison(owner).filter(has_text="Outputs changed")
        await expect(outputs.get_by_role("button", name="Use")).to_have_count(0)
        await outputs.get_by_role("button", name="Keep this version").click()
        await (
            comparison(owner).filter(has_text="Metadata of the notebook").get_by_role("button", name="Open their file").click()
        )
        await expect(owner.page.locator(".lm-TabBar-tab", has_text=COPY)).to_have_count(1)
        await owner.screenshot("their-file")
        await owner.page.locator(".lm-TabBar-tab", has_text=COPY).locator(".lm-TabBar-tabCloseIcon").click()
        await (
            comparison(owner)
            .filter(has_text="Metadata of the notebook")
            .get_by_role("button", name="Keep this version")
            .click()
        )
        await comparison(owner).get_by_role("button", name="Insert their cell").click()
        await comparison(owner).get_by_role("button", name="Delete the cell").click()
        await expect(comparison(owner)).to_have_count(0)
        await close_comparison(owner)
        await expect(above).to_have_count(0)

        await doc.until(lambda _: mine not in [cell["id"] for cell in cells(doc)])
        await doc.until(lambda _: "gone" in [cell["id"] for cell in cells(doc)])
        inserted = cells(doc)[1]
        assert (inserted["id"], inserted["cell_type"], inserted["source"]) == ("gone", "markdown", "# deleted here")
        assert await noted(doc) == []


async def test_lines_of_a_text_file(scene: Scene) -> None:
    owner = scene.owner
    ours = "title\n\nours\n\nboth\n\nboth\n\nmore of ours\n"
    theirs = ours.replace("ours", "theirs")
    await _write(scene, "notes.md", ours)
    await _write(scene, "notes.conflict-1-lise.md", theirs)
    await owner.page.locator(".jp-ToolbarButtonComponent[data-command='filebrowser:refresh']").click()
    await owner.page.locator(".jp-DirListing-item", has_text="notes.md").dblclick()
    above = owner.page.locator(".jp-FileEditor:visible, .jp-Document:visible").locator(".cs3-Marker")
    async with client.open(owner.lab.url, "notes.md", token=owner.lab.token) as doc:
        for key, lines in (("one", "theirs\n"), ("two", "more of theirs\n")):
            await note(doc, key, "", "source", lines, "notes.conflict-1-lise.md")
        await expect(above).to_contain_text("Changed by Lise Meitner too")
        await expect(count(owner)).to_have_text("1 conflict")
        await above.get_by_role("button").click()
        await expect(comparison(owner).locator(".cm-merge-b .cm-changedLine")).to_have_count(2)
        await owner.screenshot("compare-lines")
        # One of the two differences, then the rest stays.
        await comparison(owner).locator(".cs3-SideBySide-take").first.press("Enter")
        await doc.until(lambda shared: shared.get() == ours.replace("ours", "theirs", 1))
        await comparison(owner).get_by_role("button", name="Keep this version").click()
        await expect(above).to_have_count(0)
        await doc.until(lambda _: len(doc.ydoc.get("conflicts", type=Map)) == 0)
    await close_comparison(owner)
    await owner.page.locator(".jp-FileEditor .cm-content").click()
    await owner.page.keyboard.press("Control+s")
    await expect(owner.tab).not_to_contain_class("jp-mod-dirty")
    await owner.tab.locator(".lm-TabBar-tabCloseIcon").click()


async def test_a_program_writes_the_file_meanwhile(scene: Scene) -> None:
    """The whole way: theirs is merged, what conflicts is marked, their file is kept, and people decide."""
    owner, editor = scene.owner, scene.editor
    await owner.add_cell("rate = 1")
    await owner.save()
    content = json.loads((await scene.world.stored())[0])
    stored = _on_disk(scene)
    content["cells"][-1]["source"] = "rate = 3"
    content["cells"][0]["source"] = "# Spectrum, by a program"
    theirs = json.dumps(content)

    await owner.type("2")
    await expect(editor.cell("rate").locator(".cm-line")).to_have_text(["rate = 12"])
    stored.write_text(theirs)
    for person in (owner, editor, scene.viewer):
        await expect(person.cells.first).to_contain_text("Spectrum, by a program")
        await expect(marker(person.cell("rate"))).to_contain_text("Changed by someone else too")
        await expect(person.cell("rate").locator(".cm-line")).to_have_text(["rate = 12"])
    await owner.page.keyboard.press("Control+s")
    await expect(owner.status).to_have_text(re.compile("^The file was changed by someone else"))
    await owner.screenshot("merged")

    await marker(owner.cell("rate")).get_by_role("button").click()
    await expect(comparison(owner).locator(".cm-merge-b .cm-line")).to_have_text(["rate = 3"])
    await comparison(owner).get_by_role("button", name="Open their file").click()
    theirs_open = owner.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)", has_text="rate = 3")
    await expect(theirs_open).to_have_count(1)
    await owner.screenshot("their-file")
    await owner.tab.filter(has_text="conflict").locator(".lm-TabBar-tabCloseIcon").click()
    await comparison(owner).get_by_role("button", name="Use their version").click()
    for person in (owner, editor, scene.viewer):
        await expect(person.cell("rate").locator(".cm-line")).to_have_text(["rate = 3"])
        await expect(person.page.locator(".cs3-Marker")).to_have_count(0)
    await close_comparison(owner)
    await owner.page.keyboard.press("Control+s")
    await expect(owner.tab).not_to_contain_class("jp-mod-dirty")
    async with document(scene) as doc:
        assert (await doc.save())["status"] == "success"
    assert "rate = 3" in ["".join(cell["source"]) for cell in json.loads((await scene.world.stored())[0])["cells"]]


def _on_disk(scene: Scene) -> Path:
    """Where a program finds the notebook that knows of neither locks nor versions."""
    site = scene.owner.lab.person.site
    (found,) = (scene.world.processes[f"gateway {site}"].folder / "storage").rglob(scene.world.notebook)
    return found


async def _write(scene: Scene, name: str, text: str) -> None:
    async with scene.world.session(scene.owner.lab.person) as session:
        files = Files(session)
        await files.write(Ref(f"{await files.home()}/{name}"), text.encode())


async def _write_copy(scene: Scene, inserted: str) -> None:
    """Beside the notebook, with another cell behind the first."""
    content = json.loads((await scene.world.stored())[0])
    cell = {"id": inserted, "cell_type": "markdown", "metadata": {}, "source": "# deleted here"}
    content["cells"].insert(1, cell)
    await _write(scene, COPY, json.dumps(content))
