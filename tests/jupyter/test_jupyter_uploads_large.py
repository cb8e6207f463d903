"""Large files come and go in pieces: neither the server nor the storage client ever holds one."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.reva import ANYWHERE, site_on
from tornado.web import HTTPError

from cs3collab.cs3.files import Files
from cs3collab.errors import Corrupt
from cs3collab.jupyter import uploads
from cs3collab.types import Ref

MiB = 2**20
CHUNKS = 40


def chunks(parts: list[bytes]) -> Iterator[dict[str, Any]]:
    """As JupyterLab's file browser sends them."""
    for number, part in enumerate(parts, 1):
        content = base64.b64encode(part).decode()
        yield {"type": "file", "format": "base64", "content": content, "chunk": number if number < len(parts) else -1}


def open_files() -> list[str]:
    """Those of this process that have no name any more."""
    links = Path("/proc/self/fd")
    found = []
    for link in links.iterdir():
        try:
            found.append(os.readlink(link))
        except FileNotFoundError:
            continue
    return [name for name in found if name.endswith(" (deleted)")]


@pytest.mark.parametrize("kind", ANYWHERE)
async def test_a_large_upload_arrives_byte_by_byte_and_is_never_held(kind, tmp_path, manage):
    one = os.urandom(MiB)
    parts = [bytes([number]) + one[1:] for number in range(CHUNKS)] + [b"the end"]
    digest = hashlib.sha1(usedforsecurity=False)
    for part in parts:
        digest.update(part)
    expected = digest.hexdigest()
    size = sum(map(len, parts))
    async with site_on(kind, tmp_path) as at:
        manager = manage(at, "einstein")
        before = open_files()
        tracemalloc.start()
        try:
            for model in chunks(parts):
                saved = await manager.save(model, "large.bin")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert saved["size"] == size
        assert peak < 16 * MiB
        assert open_files() == before
        digest = hashlib.sha1(usedforsecurity=False)
        files = await at.files("einstein")
        async with files.reading(await at.ref("einstein", "large.bin"), max_bytes=size) as (_, pieces):
            async for piece in pieces:
                digest.update(piece)
        assert digest.hexdigest() == expected


async def test_it_is_read_back_in_pieces_off_the_event_loop(home, einstein, monkeypatch):
    threads, sizes = set(), []
    pread = os.pread

    def watched(fd: int, size: int, offset: int) -> bytes:
        threads.add(threading.current_thread() is threading.main_thread())
        piece = pread(fd, size, offset)
        sizes.append(len(piece))
        return piece

    monkeypatch.setattr(uploads.os, "pread", watched)
    for model in chunks([os.urandom(MiB), os.urandom(MiB), b"rest"]):
        await einstein.save(model, "large.bin")
    assert threads == {False}
    assert sum(sizes) == 2 * MiB + 4
    assert max(sizes) == uploads.PIECE_BYTES


async def test_an_upload_that_storage_refuses_leaves_no_file_behind(home, einstein):
    before = open_files()
    first, last = chunks([b"first", b"last"])
    await einstein.save(first, "up.bin")
    assert len(open_files()) == len(before) + 1
    files = await home.files("einstein")
    await files.mkdir(Ref((await home.ref("einstein", "up.bin")).path))
    with pytest.raises(HTTPError):
        await einstein.save(last, "up.bin")
    assert open_files() == before


@pytest.mark.parametrize("kind", ANYWHERE)
async def test_a_large_copy_is_the_same_byte_by_byte_and_is_never_held(kind, tmp_path, manage):
    content = os.urandom(MiB) * CHUNKS + b"the end"
    expected = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    async with site_on(kind, tmp_path) as at:
        await at.put("einstein", "large.bin", content)
        del content
        manager = manage(at, "einstein")
        before = open_files()
        tracemalloc.start()
        try:
            assert (await manager.copy("large.bin"))["path"] == "large-Copy1.bin"
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 16 * MiB
        assert open_files() == before
        files, digest = await at.files("einstein"), hashlib.sha1(usedforsecurity=False)
        async with files.reading(await at.ref("einstein", "large-Copy1.bin"), max_bytes=2 * CHUNKS * MiB) as (_, pieces):
            async for piece in pieces:
                digest.update(piece)
        assert digest.hexdigest() == expected


async def test_a_copy_of_what_is_saved_meanwhile_is_one_of_both(home, einstein, monkeypatch):
    info = await home.put("einstein", "fit.ipynb", b"before")
    reading, saved = Files.reading, []

    @asynccontextmanager
    async def late(self, ref, **bounds):
        async with reading(self, ref, **bounds) as (info, pieces):
            if not saved:
                saved.append(True)
                raise Corrupt("it has another length")
            yield info, pieces

    monkeypatch.setattr(Files, "reading", late)
    await einstein.copy("fit.ipynb", "copy.ipynb")
    assert saved
    files = await home.files("einstein")
    copied = await files.stat(await home.ref("einstein", "copy.ipynb"))
    assert (copied.size, copied.id == info.id) == (6, False)


async def test_a_file_too_large_to_copy_is_refused_before_it_is_fetched(home, einstein):
    await home.put("einstein", "large.bin", b"?" * 1001)
    einstein.max_file_bytes = 1000
    with pytest.raises(HTTPError, match="max_file_bytes"):
        await einstein.copy("large.bin")
    einstein.max_file_bytes = 1001
    await einstein.copy("large.bin")
