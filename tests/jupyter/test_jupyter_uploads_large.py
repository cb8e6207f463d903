"""Large files come and go in pieces: neither the server nor the storage client ever holds one."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.reva import ANYWHERE, site_on
from tornado.web import HTTPError

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
