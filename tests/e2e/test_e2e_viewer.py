"""The page of somebody whose share says Viewer."""

from __future__ import annotations

import pytest
from lab_scene import Scene
from playwright.async_api import expect

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="session")]


async def test_a_viewer_sees_everything_live_and_can_change_nothing(scene: Scene) -> None:
    owner, viewer = scene.owner, scene.viewer
    await owner.add_cell("print('not by the viewer')")
    cell = await viewer.show("not by the viewer")
    count = await viewer.cells.count()

    await expect(viewer.banner).to_be_visible()
    await expect(viewer.banner).to_contain_text("your share of this document says Viewer; you can watch, but not change it")
    for button in ("insert", "cut", "paste", "run", "restart-and-run"):
        await viewer.toolbar_button(button).click(force=True)

    await viewer.cells.first.dblclick()
    await viewer.type("no title")
    await viewer.page.keyboard.press("Control+Enter")
    await viewer.focus("not by the viewer", "End")
    await viewer.type("# typed\n")
    await viewer.page.keyboard.press("Backspace")
    await viewer.page.keyboard.press("Control+Enter")
    await viewer.page.keyboard.press("Escape")
    for key in ("a", "b", "x", "d", "d", "m", "Control+z", "Shift+Enter"):
        await viewer.page.keyboard.press(key)
    await viewer.screenshot("refused")

    # What the viewer sent, had anything been sent, was there before this.
    await owner.focus("not by the viewer", "End")
    await owner.type("  # live")
    expected = "print('not by the viewer')  # live"
    for person in (viewer, scene.editor, owner):
        await expect((await person.show("not by the viewer")).locator(".cm-line")).to_have_text([expected])
        await expect(person.cells).to_have_count(count)
    await expect(cell.locator(".jp-OutputArea-output")).to_have_count(0)
    await owner.save()
    stored = await scene.stored()
    assert [c.source for c in stored.cells].count(expected) == 1
    assert "no title" not in stored.cells[0].source
    await expect(viewer.cells.first).not_to_contain_text("no title")
    await expect(viewer.tab).not_to_contain_class("jp-mod-dirty")


async def test_a_viewer_edits_a_copy_of_their_own(scene: Scene) -> None:
    owner, viewer = scene.owner, scene.viewer
    await owner.add_cell("# to be copied")
    await viewer.show("to be copied")
    await viewer.banner.get_by_role("button", name="Create a copy").click()
    copy = f"{scene.world.notebook.removesuffix('.ipynb')}-Copy1.ipynb"
    await expect(viewer.tab).to_contain_text(copy)
    await expect(viewer.page.get_by_text(f"The copy is in your home: {copy}").first).to_be_visible()
    await viewer.ready()
    await expect(viewer.banner).to_be_hidden()
    await expect(viewer.status).to_contain_text(viewer.lab.person.site)
    await viewer.focus("to be copied", "End")
    await viewer.type(" and changed")
    await expect(viewer.cell("to be copied")).to_contain_text("and changed")
    await viewer.save()
    await viewer.screenshot("copy")

    assert "# to be copied and changed" in [c.source for c in (await scene.stored_at_home(viewer.lab, copy)).cells]
    await owner.save()
    assert "# to be copied" in [c.source for c in (await scene.stored()).cells]

    await viewer.tab.locator(".lm-TabBar-tabCloseIcon").click()
    await expect(viewer.banner).to_be_visible()
