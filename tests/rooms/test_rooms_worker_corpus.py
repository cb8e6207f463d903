"""Every notebook of the corpus opens, is edited and renders with nothing but the edit changed.

The corpus is ``../shared/corpus`` beside the checkout, or where ``CS3COLLAB_CORPUS`` says; without one there is nothing to do.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import pytest_asyncio
from pycrdt import Array, Doc

from cs3collab.errors import NotANotebook
from cs3collab.merge import notebook
from cs3collab.rooms.ports import Applied
from cs3collab.rooms.worker import WorkerPool

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.corpus,
    pytest.mark.filterwarnings("ignore::nbformat.warnings.DuplicateCellId", "ignore::nbformat.warnings.MissingIDFieldWarning"),
]
CORPUS = Path(os.environ.get("CS3COLLAB_CORPUS") or Path(__file__).parents[2].parent / "shared" / "corpus")
NOTEBOOKS = sorted(CORPUS.rglob("*.ipynb"))
EDIT = "# edited 🎉\n"


async def nothing() -> list[bytes]:
    return []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[WorkerPool]:
    async with WorkerPool() as pool:
        yield pool


def cells(content: bytes) -> list[dict[str, Any]]:
    """As nbformat itself reads them, which is not the code under test; without ids, for older formats have none."""
    read = nbformat.reads(content.decode("utf-8-sig"), as_version=4)
    plain: list[dict[str, Any]] = json.loads(json.dumps(read.cells))
    return [{key: value for key, value in cell.items() if key != "id" and value != {}} for cell in plain]


def is_valid(content: bytes) -> bool:
    try:
        nbformat.validate(json.loads(content))
    except Exception:  # noqa: BLE001 - whatever nbformat raises
        return False
    return True


@pytest.mark.parametrize("name", [str(path.relative_to(CORPUS)) for path in NOTEBOOKS] or [None])
async def test_open_edit_render(pool: WorkerPool, name: str | None) -> None:
    if name is None:
        assert "CS3COLLAB_CORPUS" not in os.environ
        return
    content = (CORPUS / name).read_bytes()
    document = pool.document("notebook", nothing)
    if not is_valid(content):
        with contextlib.suppress(NotANotebook):  # refused, or opened and then as good as any other
            await document.seed(content)
        return
    seed = await document.seed(content)
    before = notebook.parse(content)
    assert (await document.render()).digest == notebook.digest(before)
    browser: Doc[Any] = Doc()
    browser.apply_update(seed)
    browser.get("cells", type=Array)[-1]["source"].insert(0, EDIT)
    assert await document.apply(browser.get_update(await document.state())) is Applied.CHANGED
    rendered = await document.render()
    after = cells(rendered.content)
    assert after[-1]["source"].startswith(EDIT)
    after[-1]["source"] = after[-1]["source"].removeprefix(EDIT)
    assert is_valid(rendered.content)
    if before["cells"]:
        assert after == cells(content)
    assert json.loads(rendered.content)["metadata"] == before["metadata"]
    await document.close()
