import asyncio
import base64
import json

import nbformat
import pytest
from nbformat.v4 import new_notebook
from support.contents import NOTEBOOK, names, notebook_model, refused, text
from support.sites import share_local, user

from cs3collab.types import Lock, Role


async def test_a_save_over_a_state_that_is_gone_is_refused(home, einstein):
    await home.put("einstein", "x.txt", b"first")
    for precondition in ("etag", "last_modified"):
        seen = await einstein.get("x.txt")
        theirs = f"theirs, against {precondition}".encode()
        await home.put("einstein", "x.txt", theirs)
        stale = text("mine", **{precondition: seen[precondition]})
        await refused(409, einstein.save(stale, "x.txt"), "changed by someone else")
        assert await home.read("einstein", "x.txt") == theirs
        fresh = await einstein.get("x.txt")
        await einstein.save(text("mine", **{precondition: fresh[precondition]}), "x.txt")
        assert await home.read("einstein", "x.txt") == b"mine"


async def test_what_a_save_replaced_is_kept_as_a_version(home, einstein):
    await home.put("einstein", "x.txt", b"theirs")
    await einstein.save(text("mine"), "x.txt")
    files, ref = await home.files("einstein"), await home.ref("einstein", "x.txt")
    [version] = await files.versions(ref)
    assert await files.read_version(ref, version.key, max_bytes=100) == b"theirs"


async def test_of_many_saves_at_once_those_that_lose_are_told(home, einstein, manage):
    seen = (await einstein.save(text("start"), "x.txt"))["etag"]
    saves = [einstein.save(text(f"save {n}", etag=seen), "x.txt") for n in range(8)]
    done = await asyncio.gather(*saves, return_exceptions=True)
    won = [n for n, result in enumerate(done) if not isinstance(result, BaseException)]
    assert len(won) == 1
    assert {result.status_code for n, result in enumerate(done) if n not in won} == {409}
    assert await home.read("einstein", "x.txt") == f"save {won[0]}".encode()


async def test_of_many_new_files_of_one_name_one_is_made(home, einstein):
    done = await asyncio.gather(*(einstein.save(text(str(n)), "new.txt") for n in range(6)), return_exceptions=True)
    won = [result for result in done if not isinstance(result, BaseException)]
    assert len(won) >= 1
    assert {result.status_code for result in done if isinstance(result, BaseException)} <= {409}
    assert await home.read("einstein", "new.txt") in {str(n).encode() for n in range(6)}


async def test_the_answer_to_a_save_names_the_state_it_left(home, einstein, monkeypatch):
    """When somebody writes between our write and the look at its result, the next save must not pass for an informed one."""
    first = await einstein.save(text("mine"), "x.txt")
    facts = einstein.places.facts

    async def facts_after_another_write(path):
        await home.put("einstein", "x.txt", b"theirs")
        return await facts(path)

    monkeypatch.setattr(einstein.places, "facts", facts_after_another_write)
    saved = await einstein.save(text("mine again", etag=first["etag"]), "x.txt")
    monkeypatch.undo()
    for precondition in ("etag", "last_modified"):
        await refused(409, einstein.save(text("third", **{precondition: saved[precondition]}), "x.txt"))
    assert await home.read("einstein", "x.txt") == b"theirs"


async def test_a_file_locked_by_another_application_is_423_and_says_by_whom(home, einstein):
    info = await home.put("einstein", "x.txt", b"before")
    files, ref = await home.files("einstein"), await home.ref("einstein", "x.txt")
    lock = Lock("office-1", app_name="collabora", holder=files.user)
    await files.set_lock(ref, lock)
    await refused(423, einstein.save(text("after"), "x.txt"), "collabora")
    assert await home.read("einstein", "x.txt") == b"before"
    assert (await files.stat(ref)).etag == info.etag
    await files.unlock(ref, lock)
    await einstein.save(text("after"), "x.txt")


async def test_a_file_edited_live_is_423_for_whoever_saves_past_the_room(home, einstein):
    await home.put("einstein", "x.ipynb", b"{}")
    files, ref = await home.files("einstein"), await home.ref("einstein", "x.ipynb")
    await files.set_lock(ref, Lock("lease-1", app_name="cs3collab"))
    await refused(423, einstein.save(notebook_model(), "x.ipynb"), "edited live")
    await refused(423, einstein.delete("x.ipynb"), "edited live")
    assert await home.read("einstein", "x.ipynb") == b"{}"
    assert (await einstein.get("x.ipynb", content=False))["writable"]


# Rename, delete, copy


async def test_a_renamed_file_keeps_its_id(home, einstein):
    await einstein.save({"type": "directory"}, "d")
    await einstein.save(text("x"), "x.txt")
    file_id = einstein.settings.ids.id("x.txt")
    assert file_id == (await einstein.resolve("x.txt")).info.id.file_id
    await einstein.rename("x.txt", "d/y.txt")
    assert einstein.settings.ids.id("d/y.txt") == file_id == (await einstein.resolve("d/y.txt")).info.id.file_id
    assert einstein.settings.ids.id("x.txt") is None
    assert not await einstein.exists("x.txt")
    await einstein.rename("d", "e")
    assert einstein.settings.ids.path(file_id) == "e/y.txt"


async def test_a_file_edited_live_may_be_renamed(home, einstein):
    await home.put("einstein", "x.ipynb", b"{}")
    files, ref = await home.files("einstein"), await home.ref("einstein", "x.ipynb")
    await files.set_lock(ref, Lock("lease-1", app_name="cs3collab"))
    await einstein.rename("x.ipynb", "y.ipynb")
    assert (await files.get_lock(await home.ref("einstein", "y.ipynb"))).lock_id == "lease-1"


async def test_a_rename_never_replaces_what_is_there(home, einstein):
    await home.put("einstein", "x.txt", b"x")
    await home.put("einstein", "y.txt", b"y")
    await refused(409, einstein.rename("x.txt", "y.txt"), "already exists")
    await refused(404, einstein.rename("none.txt", "z.txt"))
    assert await home.read("einstein", "y.txt") == b"y"


async def test_deleted_files_and_folders_are_gone(home, einstein):
    await home.put("einstein", "d/x.txt", b"x")
    await einstein.get("d")
    await einstein.delete("d")
    assert not await einstein.exists("d/x.txt")
    assert einstein.settings.ids.id("d/x.txt") is None
    await refused(404, einstein.delete("d"))
    await refused(400, einstein.delete(""))


@pytest.mark.parametrize("path", ["Shares", "Projects", "Projects/atlas"])
async def test_what_is_no_folder_of_ones_own_stays(einstein, path):
    await refused(403, einstein.delete(path))
    await refused(403, einstein.rename(path, "mine"))
    await refused(403, einstein.save(text("x"), f"{path.partition('/')[0]}/x.txt"))


async def test_copies_are_byte_by_byte_and_get_a_free_name(home, einstein):
    raw = b'{"cells": [],\n\n "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
    await home.put("einstein", "fit.ipynb", raw)
    assert (await einstein.copy("fit.ipynb"))["path"] == "fit-Copy1.ipynb"
    assert (await einstein.copy("fit.ipynb"))["path"] == "fit-Copy2.ipynb"
    assert await home.read("einstein", "fit-Copy2.ipynb") == raw
    await einstein.save({"type": "directory"}, "d")
    assert (await einstein.copy("fit.ipynb", "d"))["path"] == "d/fit.ipynb"
    assert (await einstein.copy("fit.ipynb", "d/other.ipynb"))["path"] == "d/other.ipynb"
    await refused(404, einstein.copy("none.ipynb"))
    await refused(404, einstein.copy("fit.ipynb", "none/x.ipynb"))


async def test_a_folder_is_copied_with_all_that_is_listed_but_not_into_itself(home, einstein):
    await home.put("einstein", "d/x.txt", b"x")
    await einstein.save({"type": "directory"}, "d/deep")
    await einstein.save(text("y"), "d/deep/y.txt")
    assert (await einstein.copy("d"))["path"] == "d-Copy1"
    assert await home.read("einstein", "d-Copy1/deep/y.txt") == b"y"
    await refused(400, einstein.copy("d", "d/deep"), "into itself")
    einstein.max_copy_folder_bytes = 1
    await refused(429, einstein.copy("d", "e"), "larger")


# Large files and uploads


async def test_a_large_notebook_is_saved_and_opened(home, einstein):
    big = json.loads(nbformat.writes(NOTEBOOK))
    output = {"output_type": "stream", "name": "stdout", "text": "0123456789abcdef" * (20 * 2**16)}
    big["cells"][0]["outputs"] = [output]
    await einstein.save({"type": "notebook", "content": big}, "big.ipynb")
    found = await einstein.get("big.ipynb")
    assert found["content"]["cells"][0]["outputs"][0]["text"] == output["text"]


async def test_past_the_bound_a_file_is_not_opened_and_the_error_says_what_to_do(home, einstein):
    await home.put("einstein", "x.bin", b"x" * 100)
    einstein.max_file_bytes = 99
    await refused(429, einstein.get("x.bin"), "max_file_bytes")
    einstein.max_file_bytes = 100
    assert (await einstein.get("x.bin"))["content"] == "x" * 100


def chunk(number, content):
    return {"type": "file", "format": "base64", "content": base64.b64encode(content).decode(), "chunk": number}


async def test_an_upload_in_chunks_appears_whole_at_the_end(home, einstein):
    for number, part in ((1, b"first "), (2, b"second ")):
        model = await einstein.save(chunk(number, part), "up.bin")
        assert model["last_modified"] is not None
        assert not await einstein.exists("up.bin")
    model = await einstein.save(chunk(-1, b"last"), "up.bin")
    assert model["size"] == len(b"first second last")
    assert await home.read("einstein", "up.bin") == b"first second last"


async def test_a_chunk_out_of_turn_is_409_and_changes_nothing(home, einstein):
    await home.put("einstein", "up.bin", b"before")
    await einstein.save(chunk(1, b"first"), "up.bin")
    await refused(409, einstein.save(chunk(3, b"third"), "up.bin"), "out of turn")
    await refused(409, einstein.save(chunk(-1, b"x"), "other.bin"), "out of turn")
    assert await home.read("einstein", "up.bin") == b"before"


async def test_an_upload_that_will_be_refused_is_refused_at_its_first_chunk(home, einstein, manage):
    await home.put("marie", "x.bin", b"marie's")
    await share_local(home, "marie", "einstein", "x.bin", Role.VIEWER)
    await refused(403, einstein.save(chunk(1, b"x"), "Shares/x.bin"), "may not change")


# What others shared


async def test_a_viewer_reads_and_cannot_write(home, einstein, manage):
    await einstein.save(notebook_model(), "fit.ipynb")
    await share_local(home, "einstein", "marie", "fit.ipynb", Role.VIEWER)
    marie = manage(home, "marie")
    assert await names(marie, "Shares") == ["fit.ipynb"]
    found = await marie.get("Shares/fit.ipynb")
    assert not found["writable"]
    assert found["content"]["cells"][0]["source"] == "a = 1"
    before = await home.read("einstein", "fit.ipynb")
    await refused(403, marie.save(notebook_model(new_notebook()), "Shares/fit.ipynb"), "may not change")
    await refused(403, marie.rename("Shares/fit.ipynb", "mine.ipynb"))
    await refused(403, marie.delete("Shares/fit.ipynb"))
    assert await home.read("einstein", "fit.ipynb") == before
    assert (await marie.copy("Shares/fit.ipynb", ""))["path"] == "fit.ipynb"
    assert (await marie.get("fit.ipynb"))["writable"]


async def test_an_editor_writes_into_a_shared_folder_and_has_the_owners_ids(home, einstein, manage):
    await einstein.save({"type": "directory"}, "lab")
    await einstein.save(text("x"), "lab/x.txt")
    await share_local(home, "einstein", "marie", "lab")
    marie = manage(home, "marie")
    assert await names(marie, "Shares/lab") == ["x.txt"]
    await marie.save(text("marie's"), "Shares/lab/x.txt")
    await marie.save(text("new"), "Shares/lab/new.txt")
    assert await home.read("einstein", "lab/x.txt") == b"marie's"
    assert await home.read("einstein", "lab/new.txt") == b"new"
    assert (await marie.resolve("Shares/lab/x.txt")).file_id == (await einstein.resolve("lab/x.txt")).file_id
    await marie.rename("Shares/lab/new.txt", "Shares/lab/newer.txt")
    assert await einstein.exists("lab/newer.txt")


async def test_a_project_is_written_by_its_editors_alone(home, einstein, manage):
    await einstein.save(text("x"), "Projects/atlas/x.txt")
    marie, richard = manage(home, "marie"), manage(home, "richard")
    await marie.save(text("marie's"), "Projects/atlas/x.txt")
    assert (await richard.get("Projects/atlas/x.txt"))["content"] == "marie's"
    await refused(403, richard.save(text("richard's"), "Projects/atlas/x.txt"))
    await refused(403, richard.save(text("richard's"), "Projects/atlas/new.txt"))


async def test_user_records_can_log_in(home):
    """The support module's users are those of the gateway's configuration."""
    assert user("einstein") in home.config.users
