import base64
import json

import nbformat
import pytest
from support.contents import NOTEBOOK, names, notebook_model, refused, text
from tornado.web import HTTPError


async def test_home_lists_files_and_the_virtual_folders(home, einstein):
    await home.put("einstein", "fit.ipynb", b"{}")
    await home.put("einstein", "data/points.csv", b"1,2\n")
    listed = {entry["name"]: entry for entry in (await einstein.get(""))["content"]}
    assert {name: entry["type"] for name, entry in listed.items()} == {
        "fit.ipynb": "notebook",
        "data": "directory",
        "Shares": "directory",
        "Projects": "directory",
    }
    assert listed["fit.ipynb"]["writable"]
    assert listed["fit.ipynb"]["size"] == 2
    assert not listed["Shares"]["writable"]
    assert [entry["path"] for entry in (await einstein.get("data"))["content"]] == ["data/points.csv"]


async def test_a_folder_of_ones_own_called_projects_stays_in_reach(home, einstein):
    await home.put("einstein", "Projects/mine.txt", b"mine")
    assert "Projects (home)" in await names(einstein)
    assert (await einstein.get("Projects (home)/mine.txt"))["content"] == "mine"
    assert await names(einstein, "Projects") == ["atlas"]


async def test_the_model_has_every_field_of_the_api(home, einstein):
    info = await home.put("einstein", "notes ü.txt", "grüße".encode())
    found = await einstein.get("notes ü.txt", require_hash=True)
    assert found["name"] == found["path"] == "notes ü.txt"
    assert (found["content"], found["format"], found["mimetype"]) == ("grüße", "text", "text/plain")
    assert found["size"] == len("grüße".encode())
    assert found["last_modified"].timestamp() == pytest.approx(info.mtime, abs=1e-3)
    assert found["etag"] == info.etag
    assert found["hash_algorithm"] == "sha256"
    assert len(found["hash"]) == 64


async def test_without_content_nothing_is_read(home, einstein):
    await home.put("einstein", "big.bin", b"\0" * 1000)
    einstein.max_file_bytes = 10
    found = await einstein.get("big.bin", content=False)
    assert found["content"] is None
    assert found["format"] is None


async def test_bytes_that_are_no_text_come_as_base64(home, einstein):
    await home.put("einstein", "x.bin", b"\xff\x00\xfe")
    found = await einstein.get("x.bin")
    assert found["format"] == "base64"
    assert base64.b64decode(found["content"]) == b"\xff\x00\xfe"
    await refused(400, einstein.get("x.bin", format="text"), "not UTF-8")


@pytest.mark.parametrize("path", ["none.txt", "none/x.txt", "Shares/none", "Projects/none/x", ".hidden"])
async def test_what_is_not_there_is_404(home, einstein, path):
    await home.put("einstein", ".hidden", b"x")
    await refused(404, einstein.get(path))
    assert not await einstein.file_exists("none.txt")


@pytest.mark.parametrize("path", ["../x", "a/./b", "a\x00b"])
async def test_what_is_no_path_is_400(einstein, path):
    await refused(400, einstein.get(path), "not a path")


async def test_the_wrong_type_is_400(home, einstein):
    await home.put("einstein", "d/x.txt", b"")
    await refused(400, einstein.get("d", type="file"), "is a directory")
    await refused(400, einstein.get("d/x.txt", type="directory"), "is not a directory")


@pytest.mark.parametrize(
    "content",
    [b"no json", b"[]", b'{"a": 1}', b"\xff\xfe", b'{"cells": [], "nbformat": "four"}'],
    ids=["text", "list", "other json", "binary", "odd version"],
)
async def test_a_file_that_is_no_notebook_is_400_and_untouched(home, einstein, content):
    await home.put("einstein", "x.ipynb", content)
    error = await refused(400, einstein.get("x.ipynb"), "x.ipynb")
    assert "open it as text" in error.log_message
    assert await home.read("einstein", "x.ipynb") == content
    as_file = await einstein.get("x.ipynb", type="file")
    assert as_file["format"] == ("base64" if content == b"\xff\xfe" else "text")


async def test_an_empty_file_opens_as_a_notebook_without_cells_and_is_not_rewritten(home, einstein):
    await home.put("einstein", "new.ipynb", b"")
    assert (await einstein.get("new.ipynb"))["content"]["cells"] == []
    assert await home.read("einstein", "new.ipynb") == b""


async def test_trust_is_given_by_this_person_and_kept(home, einstein):
    output = {"output_type": "display_data", "data": {"text/html": "<b>x</b>"}, "metadata": {}}
    cell = {"cell_type": "code", "execution_count": 1, "id": "one", "metadata": {}, "outputs": [output], "source": "x"}
    foreign = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    await home.put("einstein", "theirs.ipynb", json.dumps(foreign).encode())

    async def trusted():
        return (await einstein.get("theirs.ipynb"))["content"]["cells"][0]["metadata"].get("trusted")

    assert not await trusted()
    await einstein.trust_notebook("theirs.ipynb")
    assert await trusted()
    assert json.loads(await home.read("einstein", "theirs.ipynb")) == foreign


async def test_an_old_notebook_opens_in_todays_form_and_is_not_rewritten(home, einstein):
    old = nbformat.writes(nbformat.v3.new_notebook(worksheets=[nbformat.v3.new_worksheet()]), version=3).encode()
    await home.put("einstein", "old.ipynb", old)
    found = await einstein.get("old.ipynb")
    assert found["content"]["nbformat"] == 4
    assert await home.read("einstein", "old.ipynb") == old


async def test_hidden_files_are_neither_listed_nor_written(home, einstein):
    await home.put("einstein", ".secret/x.txt", b"x")
    assert ".secret" not in await names(einstein)
    await refused(404, einstein.get(".secret/x.txt"))
    await refused(400, einstein.save(text("y"), ".secret/x.txt"), "hidden")
    await refused(400, einstein.delete(".secret"), "hidden")
    einstein.allow_hidden = True
    assert ".secret" in await names(einstein)
    assert (await einstein.get(".secret/x.txt"))["content"] == "x"


# Saving


async def test_a_notebook_is_saved_as_a_valid_plain_file(home, einstein):
    saved = await einstein.save(notebook_model(), "fit.ipynb")
    assert saved["type"] == "notebook"
    assert saved["content"] is None
    assert "message" not in saved
    raw = await home.read("einstein", "fit.ipynb")
    nbformat.validate(json.loads(raw))
    assert raw == (nbformat.writes(NOTEBOOK) + "\n").encode()
    found = await einstein.get("fit.ipynb")
    assert [cell["source"] for cell in found["content"]["cells"]] == ["a = 1", "print(a)"]
    assert found["etag"] == saved["etag"]
    assert found["last_modified"] == saved["last_modified"]


async def test_a_notebook_that_does_not_validate_is_saved_with_a_message(einstein):
    odd = json.loads(nbformat.writes(NOTEBOOK))
    odd["cells"][0]["cell_type"] = "poem"
    saved = await einstein.save({"type": "notebook", "content": odd}, "odd.ipynb")
    assert "validation failed" in saved["message"]


async def test_a_notebook_is_saved_even_where_it_cannot_be_signed(home, manage, tmp_path):
    einstein = manage(home, "einstein")
    (tmp_path / "notary-einstein-a.example").rename(tmp_path / "away")
    await einstein.save(notebook_model(), "fit.ipynb")
    assert len((await einstein.get("fit.ipynb"))["content"]["cells"]) == 2


@pytest.mark.parametrize("content", [None, "text", [], {}, {"nbformat": "4"}, {"cells": []}])
async def test_what_is_no_notebook_is_not_saved(home, einstein, content):
    await home.put("einstein", "x.ipynb", b"before")
    await refused(400, einstein.save({"type": "notebook", "content": content}, "x.ipynb"), "x.ipynb")
    assert await home.read("einstein", "x.ipynb") == b"before"


@pytest.mark.parametrize(
    ("model", "stored"),
    [
        (text(""), b""),
        (text("ü\r\n"), "ü\r\n".encode()),
        ({"type": "file", "format": "base64", "content": base64.encodebytes(b"\0\xff" * 100).decode()}, b"\0\xff" * 100),
    ],
    ids=["empty", "text", "base64"],
)
async def test_files_are_saved_byte_by_byte(home, einstein, model, stored):
    await einstein.save(model, "x")
    assert await home.read("einstein", "x") == stored


@pytest.mark.parametrize(
    "model",
    [
        {"format": "text", "content": "x"},
        {"type": "file", "format": "text"},
        {"type": "file", "content": "x"},
        {"type": "file", "format": "json", "content": "x"},
        {"type": "file", "format": "base64", "content": "!"},
        {"type": "file", "format": "text", "content": 7},
        {"type": "symlink", "format": "text", "content": "x"},
        {"type": "file", "format": "text", "content": "x", "chunk": "one"},
        {"type": "notebook", "format": "text", "content": "x", "chunk": 1},
    ],
)
async def test_models_that_make_no_sense_are_400(einstein, model):
    await refused(400, einstein.save(model, "x"))
    assert not await einstein.exists("x")


async def test_saving_where_no_folder_is_fails_and_says_so(einstein):
    error = await refused_any(einstein.save(text("x"), "no/such/x.txt"))
    assert error.status_code in (404, 409)


async def refused_any(awaitable):
    with pytest.raises(HTTPError) as info:
        await awaitable
    return info.value


async def test_new_untitled(home, einstein):
    await einstein.save({"type": "directory"}, "work")
    assert (await einstein.new_untitled("work", type="notebook"))["path"] == "work/Untitled.ipynb"
    assert (await einstein.new_untitled("work", type="notebook"))["path"] == "work/Untitled1.ipynb"
    assert (await einstein.new_untitled("work", ext=".txt"))["path"] == "work/untitled.txt"
    assert (await einstein.new_untitled("work", type="directory"))["path"] == "work/Untitled Folder"
    nbformat.validate((await einstein.get("work/Untitled.ipynb"))["content"])
    await refused(404, einstein.new_untitled("none"))


async def test_a_folder_is_made_once_and_no_file_becomes_one(home, einstein):
    for _ in range(2):
        assert (await einstein.save({"type": "directory"}, "d"))["type"] == "directory"
    await home.put("einstein", "x", b"x")
    await refused(400, einstein.save({"type": "directory"}, "x"), "not a directory")
    await refused(400, einstein.save(text("x"), "d"), "is a directory")


# Nothing of others is overwritten
