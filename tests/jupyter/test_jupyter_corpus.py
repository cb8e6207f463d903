"""Real notebooks through the contents manager: opened without a change, saved with nothing but the edit changed."""

import json
from pathlib import Path

import nbformat
import pytest
from tornado.web import HTTPError

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"
NOTEBOOKS = sorted(CORPUS.rglob("*.ipynb"))
UNREADABLE = {
    "coffea--docs--source--notebooks--packedselection.ipynb",  # a symbolic link that was checked out as text
    "coffea--docs--source--notebooks--processor.ipynb",
    "nbformat--tests--test3_no_worksheets.ipynb",  # nbformat cannot convert it
    "nbformat--tests--test3_worksheet_with_no_cells.ipynb",
}

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not NOTEBOOKS, reason="no corpus beside the checkout"),
    # nbformat tells of missing and double cell ids, and mends them
    pytest.mark.filterwarnings("ignore::nbformat.warnings.DuplicateCellId"),
    pytest.mark.filterwarnings("ignore::nbformat.warnings.MissingIDFieldWarning"),
]


def cells(content):
    made = nbformat.reads(content.decode(), as_version=4)
    for cell in made.cells:
        cell.pop("id", None)  # made up on opening where a notebook has none
    for key in ("orig_nbformat", "orig_nbformat_minor"):  # nbformat's own note on an old file, never written
        made.metadata.pop(key, None)
    return made.cells, made.metadata


async def test_every_notebook_is_opened_untouched_and_saved_whole(home, einstein):
    await einstein.save({"type": "directory"}, "corpus")
    for number, path in enumerate(NOTEBOOKS):
        raw = path.read_bytes()
        name = f"corpus/{number}.ipynb"
        before = await home.put("einstein", name, raw)
        if path.name in UNREADABLE:
            with pytest.raises(HTTPError) as refused:
                await einstein.get(name)
            assert refused.value.status_code == 400
            assert await home.read("einstein", name) == raw
            continue
        model = await einstein.get(name)
        assert (await einstein.get(name, content=False))["etag"] == before.etag, path.name
        sent = json.loads(json.dumps(model["content"]))
        sent["cells"].append(nbformat.v4.new_markdown_cell("added", id="added"))
        if sent.get("nbformat_minor", 0) < 5:
            del sent["cells"][-1]["id"]
        saved = await einstein.save({"type": "notebook", "content": sent, "etag": model["etag"]}, name)
        assert saved["type"] == "notebook"
        now, metadata = cells(await home.read("einstein", name))
        was, was_metadata = cells(raw)
        assert now[-1]["source"] == "added", path.name
        assert now[:-1] == was, path.name
        assert metadata == was_metadata, path.name
