"""The adapter in a stock pycrdt-websocket room, and the child that decodes."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Array, Doc, Map, Text
from pycrdt.store import YDocNotFound
from pycrdt.websocket.yroom import YRoom

from ystore import Journal, MemoryBlobs, Retention, Store, StoreLocked, StoreUnavailable, stock
from ystore.pycrdt import CS3YStore, restore
from ystore.stock import Settings, imported, key_of, settings_from
from ystore.testing import FaultyFiles, update

NAME = ".notebook:7d1c.y"


def adapter_in(folder: Path, **options: Any) -> CS3YStore:
    return CS3YStore(NAME, settings=Settings(str(folder)), **options)


async def test_a_stock_room_persists_into_the_store_and_a_new_one_reads_it(tmp_path: Path) -> None:
    adapter = adapter_in(tmp_path, metadata_callback=lambda: b"m\xff")
    directory = tmp_path / "notebook_3a_7d1c"
    async with YRoom(ystore=adapter) as room:
        room.ready = True
        await anyio.wait_all_tasks_blocked()  # the room observes its document from then on
        text = room.ydoc.get("t", type=Text)
        for word in ("one ", "two ", "three"):
            text += word
        async with adapter.store() as store:
            with anyio.fail_after(20):
                while store.position < 3:  # noqa: ASYNC110 - the store has no event for it
                    await anyio.sleep(0.002)
        with pytest.raises(StoreLocked):
            await Store.open(directory)
        await adapter.stop()
    async with adapter_in(tmp_path) as again:
        doc: Doc[Any] = Doc()
        await again.apply_updates(doc)
        assert str(doc.get("t", type=Text)) == "one two three"
        assert [(metadata, at > 0) async for _, metadata, at in again.read()] == [(b"m\xff", True)] * 3
    async with await Store.open(directory) as store:
        assert store.position == 3, "stop let go of the directory"


async def test_an_empty_store_has_no_document(tmp_path: Path) -> None:
    async with adapter_in(tmp_path) as adapter:
        with pytest.raises(YDocNotFound):
            await adapter.apply_updates(Doc())
        with pytest.raises(YDocNotFound):
            _ = [found async for found in adapter.read()]
        doc: Doc[Any] = Doc()
        doc.get("t", type=Text).insert(0, "x")
        await adapter.encode_state_as_update(doc)
        assert len([found async for found in adapter.read()]) == 1


async def test_adapters_of_one_document_share_it_until_the_last_stops(tmp_path: Path) -> None:
    async with adapter_in(tmp_path) as one:
        await one.write(update(0))
        async with adapter_in(tmp_path) as two:
            assert [data async for data, _, _ in two.read()] == [update(0)]
        await one.write(update(1))
    async with await Store.open(tmp_path / key_of(NAME)) as store:
        assert store.position == 2


async def test_a_document_that_nobody_uses_is_let_go_of_and_opened_again(tmp_path: Path) -> None:
    async with CS3YStore(NAME, settings=Settings(str(tmp_path), close_after_s=0)) as adapter:
        await adapter.write(update(0))
        async with asyncio.timeout(20):
            while True:
                try:
                    await (await Store.open(tmp_path / key_of(NAME))).close()
                    break
                except StoreLocked:
                    await asyncio.sleep(0.002)
        await adapter.write(update(1))
        assert [data async for data, _, _ in adapter.read()] == [update(0), update(1)]


async def test_after_an_update_was_refused_the_next_brings_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = FaultyFiles()
    journal = Journal(files=files)
    monkeypatch.setattr(stock, "_journal", lambda: journal)
    doc: Doc[Any] = Doc()
    updates: list[bytes] = []
    subscription = doc.observe(lambda event: updates.append(event.update))
    async with adapter_in(tmp_path) as adapter:
        with pytest.raises(YDocNotFound):
            await adapter.apply_updates(doc)
        text = doc.get("t", type=Text)
        text += "lost? "
        files.write_error = errno.ENOSPC
        with pytest.raises(StoreUnavailable):
            await adapter.write(updates[0])
        files.write_error = 0
        text += "no"
        await adapter.write(updates[1])
        found: Doc[Any] = Doc()
        await adapter.apply_updates(found)
        assert str(found.get("t", type=Text)) == "lost? no"
    doc.unobserve(subscription)
    journal.close()


async def test_after_retention_the_stock_timeline_begins_with_the_state_at_the_horizon(tmp_path: Path) -> None:
    directory = tmp_path / key_of(NAME)
    async with await Store.open(directory, retention=Retention(age_s=None, bytes=0)) as store:
        for n in range(3):
            await store.append(update(n), at=float(n))
        await store.compact()
        assert store.horizon == 3
        await store.append(update(3), "ann", at=9.0)
    async with adapter_in(tmp_path) as adapter:
        first, last = [found async for found in adapter.read()]
        assert last == (update(3), b"ann", 9.0)
        assert first[1:] == (b"", 2.0)
        doc: Doc[Any] = Doc()
        doc.apply_update(first[0])
        assert doc.get("m", type=Map).to_py() == {str(n): f"<{n}>" for n in range(3)}


async def test_the_cold_part_is_what_the_factory_makes(tmp_path: Path) -> None:
    made: dict[str, MemoryBlobs] = {}

    def factory(key: str, config: Any) -> MemoryBlobs:
        assert config == {"other": 1}
        return made.setdefault(key, MemoryBlobs())

    settings = Settings(str(tmp_path), blobs_factory=factory)
    async with CS3YStore(NAME, config={"other": 1}, settings=settings) as adapter:
        await adapter.write(update(0))
    assert any(name.endswith(".yseg") for name in await made["notebook_3a_7d1c"].list(""))


def test_a_misspelt_setting_is_refused() -> None:
    assert settings_from({"CS3YStore": {"directory": "x"}, "Other": {}}) == Settings("x")
    with pytest.raises(ValueError, match=r"c\.CS3YStore has no dir; there is"):
        CS3YStore(NAME, config={"CS3YStore": {"dir": "x"}})
    for factory in ("nowhere.at.all", "name", "ystore.nothing", ".", "os."):
        with pytest.raises(ValueError, match="there is no"):
            CS3YStore(NAME, config={"CS3YStore": {"blobs_factory": factory}})
    assert imported("ystore.MemoryBlobs") is MemoryBlobs  # type: ignore[comparison-overlap]


@given(st.lists(st.text(), unique=True))
def test_no_two_documents_share_a_directory(paths: list[str]) -> None:
    keys = [key_of(f".{path}.y") for path in paths]
    assert len(set(keys)) == len(keys)
    assert all(key.isascii() and "/" not in key and not key.startswith(".") for key in keys)


Plain = st.recursive(st.integers(0, 9) | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3), max_leaves=6)
Cells = st.lists(st.tuples(st.text(max_size=4), Plain), max_size=6)


def document(cells: list[tuple[str, Any]], words: str) -> Doc[Any]:
    doc: Doc[Any] = Doc()
    doc.get("cells", type=Array).extend([Map({"source": Text(text), "more": Array([rest])}) for text, rest in cells])
    doc.get("meta", type=Map).update({f"key {n}": rest for n, (_, rest) in enumerate(cells)})
    doc.get("source", type=Text).insert(0, words)
    doc.get("state", type=Map)["dirty"] = bool(words)
    return doc


@given(Cells, Cells, st.text(max_size=5), st.text(max_size=5))
def test_any_content_is_restored_as_new_edits(
    now: list[tuple[str, Any]], then: list[tuple[str, Any]], text: str, words: str
) -> None:
    doc, source = document(now, text), document(then, words)
    before, state = doc.get_state(), doc["state"].to_py()
    restore(doc, source)
    for key in ("cells", "meta", "source"):
        assert doc[key].to_py() == source[key].to_py()
    assert doc["state"].to_py() == state
    if (now, text) == (then, words):
        assert doc.get_state() == before, "nothing differed"


def test_only_what_differs_is_written_when_content_is_restored() -> None:
    cells = [(f"cell {n}", n) for n in range(100)]
    doc, source = document(cells, ""), document([*cells[:50], ("other", 0), *cells[51:]], "")
    kept = doc["cells"][99]["source"]
    state = doc.get_state()
    restore(doc, source)
    assert len(doc.get_update(state)) < 300
    kept += " and the others are the same objects"
    assert str(doc["cells"][99]["source"]).endswith("objects")
