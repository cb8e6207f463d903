"""Two people, two sites, one notebook, in real browsers."""

from __future__ import annotations

import asyncio
import re

import pytest
from lab_scene import Scene
from playwright.async_api import expect

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="session")]


def sources(notebook: object) -> list[str]:
    return [cell.source for cell in notebook.cells]  # type: ignore[attr-defined]


async def test_opening_without_editing_does_not_write(scene: Scene) -> None:
    """Must run first: the next ones edit. A save that is asked for writes whatever there is to write."""
    await scene.owner.screenshot("opened")
    await scene.owner.save()
    await expect(scene.owner.status).to_have_attribute("data-level", "ok")
    assert (await scene.world.stored())[1] == scene.etag


async def test_each_sees_what_the_other_types(scene: Scene) -> None:
    await scene.owner.add_cell("# from the owner\n")
    await scene.editor.focus("from the owner", "Control+End")
    await scene.editor.type("# from the editor")
    both = "# from the owner\n# from the editor"
    for person in (scene.owner, scene.editor, scene.viewer):
        await expect(await person.show("from the owner")).to_contain_text("from the editor")
        assert await person.source("from the owner") == both
        await person.screenshot("typed")
    await scene.editor.save()
    assert both in sources(await scene.stored())


async def test_typing_at_once_in_one_cell_loses_and_doubles_nothing(scene: Scene) -> None:
    await scene.owner.add_cell("# together\n\n# end")
    await scene.editor.show("together")
    await scene.owner.focus("together", "Control+Home")
    await scene.editor.focus("together", "Control+End")
    ours = "".join(f"o{number:02} = {number}\n" for number in range(20))
    theirs = "".join(f"\ne{number:02} = {number}" for number in range(20))
    await asyncio.gather(scene.owner.type(ours), scene.editor.type(theirs))
    expected = f"{ours}# together\n\n# end{theirs}"
    await _converges(scene, "together", expected)


async def test_typing_at_once_at_one_place_converges(scene: Scene) -> None:
    await scene.owner.add_cell("# place: ")
    for person in (scene.owner, scene.editor):
        await person.focus("place", "Control+End")
    await asyncio.gather(scene.owner.type("o" * 40), scene.editor.type("e" * 40))
    for person in (scene.owner, scene.editor):
        cell = await person.show("place")
        await expect(cell.locator(".cm-line").first).to_have_text(re.compile(r"^# place: [oe]{80}$"))
    seen = await scene.owner.source("place")
    assert (seen.count("o"), seen.count("e")) == (40, 40 + 1)
    await _converges(scene, "place", seen)


async def test_output_of_a_kernel_appears_at_the_other_site(scene: Scene) -> None:
    await scene.owner.add_cell("print('the answer is', 6 * 7)")
    await scene.owner.page.keyboard.press("Control+Enter")
    for person in (scene.owner, scene.editor, scene.viewer):
        cell = await person.show("the answer is")
        await expect(cell.locator(".jp-OutputArea-output")).to_have_text("the answer is 42")
        await expect(cell.locator(".jp-InputPrompt")).to_have_text(re.compile(r"^\[\d+\]:$"))
        await person.screenshot("output")
    await scene.editor.save()
    cell = next(cell for cell in (await scene.stored()).cells if "the answer is" in cell.source)
    assert cell.outputs[0].text == "the answer is 42\n"


async def test_cursors_carry_names(scene: Scene) -> None:
    await scene.owner.add_cell("# whose cursor")
    await scene.editor.focus("whose cursor", "Home")
    for looking, other in ((scene.editor, scene.owner), (scene.owner, scene.editor)):
        await looking.show("whose cursor")
        await other.type("x")
        cell = looking.cell("whose cursor")
        flag = looking.remote_names.filter(has_text=other.lab.person.name)
        await expect(flag).to_be_visible()
        await expect(cell.locator(".jp-remote-cursor").first).to_be_visible()
        await looking.screenshot("cursor")


async def test_reloading_the_page_keeps_everything(scene: Scene) -> None:
    await scene.owner.add_cell("# before the reload")
    await scene.editor.show("before the reload")
    await scene.owner.reload()
    assert await (await scene.owner.show("before the reload")).count() == 1
    assert await scene.owner.cells.count() == await scene.editor.cells.count()
    await scene.owner.focus("before the reload", "End")
    await scene.owner.type(" and after")
    await expect(scene.editor.cell("before the reload")).to_contain_text("and after")
    await _converges(scene, "before the reload", "# before the reload and after")


async def _converges(scene: Scene, word: str, expected: str) -> None:
    """Both see `expected`, and so does the file, where everything else is as before."""
    for person in (scene.owner, scene.editor):
        await person.show(word)
        await expect(person.cell(word).locator(".cm-line")).to_have_text(expected.split("\n"))
    await scene.owner.save()
    stored = sources(await scene.stored())
    assert stored.count(expected) == 1
    assert len(stored) == await scene.owner.cells.count() == await scene.editor.cells.count()
