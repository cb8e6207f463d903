"""The item in the status bar, and what it says while a relay is away."""

from __future__ import annotations

import asyncio
import re

import pytest
from lab_page import LabPage
from lab_scene import Scene
from playwright.async_api import expect

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="session")]


async def test_the_status_says_saved_and_where(scene: Scene) -> None:
    home = scene.owner.lab.person.site
    await scene.owner.add_cell("# to be saved")
    for person in (scene.owner, scene.editor):
        await expect(person.status).to_have_text(re.compile(rf"Saved at \d\d:\d\d · {re.escape(home)}"))
        await expect(person.status).to_have_attribute("title", re.compile(f"Home site: {re.escape(home)}"))
        await expect(person.status).to_have_attribute("title", re.compile("Last saved: .*, by Albert Einstein"))
    await expect(scene.viewer.status).to_have_text(f"Preview mode · {home}")


async def test_between_saves_the_status_says_that_edits_are_kept(scene: Scene) -> None:
    owner = scene.owner
    await owner.add_cell("# saved now")
    await owner.save()
    await owner.type(", and kept")
    await expect(owner.status).to_have_attribute("data-level", "kept")
    await expect(owner.status).to_have_text(re.compile(r"^Edits kept · file saved at \d\d:\d\d"))
    await expect(owner.status).to_have_attribute("title", re.compile("^All edits are safe on disk at the home site"))
    await owner.screenshot("kept")
    await owner.save()
    await expect(owner.status).to_have_text(re.compile(r"^Saved at \d\d:\d\d"))
    assert "# saved now, and kept" in [cell.source for cell in (await scene.stored()).cells]


@pytest.mark.parametrize("away", ["home", "other"])
async def test_typing_goes_on_while_a_relay_is_killed(scene: Scene, away: str) -> None:
    site = (scene.owner if away == "home" else scene.editor).lab.person.site
    relay = scene.world.processes[f"relay {site}"]
    cut_off = [scene.owner, scene.editor] if away == "home" else [scene.editor]
    word = f"{away} relay"
    await scene.owner.add_cell(f"# {word}\n\n")
    await scene.editor.show(word)
    for person in (scene.owner, scene.editor):
        await expect(person.status).to_contain_text("Saved")

    await relay.kill()
    for person in cut_off:
        await expect(person.status).to_contain_text("Offline")
    await scene.owner.focus(word, "Control+Home")
    await scene.editor.focus(word, "Control+End")
    await asyncio.gather(scene.owner.type("# ours\n"), scene.editor.type("# theirs"))
    for person in cut_off:
        await expect(person.status).to_have_text(re.compile(r"Offline, \d+ edits unsaved · "))
        await person.screenshot(f"offline-{away}")

    if away == "other":
        await _save_is_refused_in_words(scene.editor)

    await relay.start()
    expected = ["# ours", f"# {word}", "", "# theirs"]
    for person in (scene.owner, scene.editor, scene.viewer):
        await expect((await person.show(word)).locator(".cm-line")).to_have_text(expected)
    for person in (scene.owner, scene.editor):
        await expect(person.status).to_contain_text("Saved")
    await _saves(scene, scene.editor, "\n".join(expected))


async def _save_is_refused_in_words(person: LabPage) -> None:
    await person.page.keyboard.press("Control+s")
    await expect(person.dialogs).to_contain_text("your edits are kept")
    await person.screenshot("save-refused")
    await person.dialogs.get_by_role("button", name="Close").click()
    await expect(person.dialogs).to_have_count(0)
    person.forgive("your edits are kept")


async def _saves(scene: Scene, person: LabPage, expected: str) -> None:
    await person.save()
    await person.screenshot("saved-again")
    assert [cell.source for cell in (await scene.stored()).cells].count(expected) == 1


async def test_typing_goes_on_while_a_jupyter_server_is_killed(scene: Scene) -> None:
    server = scene.world.processes[f"jupyter {scene.editor.lab.person.username}"]
    await scene.owner.add_cell("# lost server\n\n")
    await scene.editor.focus("lost server", "Control+End")
    await expect(scene.editor.status).to_contain_text("Saved")

    await server.kill()
    await expect(scene.editor.status).to_contain_text("Offline")
    await scene.owner.focus("lost server", "Control+Home")
    await asyncio.gather(scene.owner.type("# ours\n"), scene.editor.type_at_once("# theirs"))
    await expect(scene.editor.status).to_have_text(re.compile(r"Offline, \d+ edits? unsaved"))
    await scene.editor.screenshot("server-gone")

    await server.start()
    await expect(scene.editor.status).to_contain_text("Saved")
    expected = ["# ours", "# lost server", "", "# theirs"]
    for person in (scene.owner, scene.editor):
        await expect(person.cell("lost server").locator(".cm-line")).to_have_text(expected)
    await scene.editor.screenshot("server-back")
    await _saves(scene, scene.owner, "\n".join(expected))
    await scene.leave("editor")  # Lab's own complaints about a server that is away are Lab's
