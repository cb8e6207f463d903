"""What is uploaded arrives as it was sent, or is not said to be saved: bodies changed on their way, and large sources."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from support.reva import ANYWHERE, REVADS, site_on
from support.sites import SiteBase

from cs3collab.cs3 import transfer
from cs3collab.cs3.transfer import Source, Ticket
from cs3collab.errors import CollabError, Corrupt, StorageUnavailable
from cs3collab.types import NotLatest, Ref, Written

MiB = 2**20
LOCKING = ("embedded", *(pytest.param(name, marks=pytest.mark.reva) for name, kind in REVADS.items() if not kind.bare))
"""Those that mind checksums; v3 is found out by reading back."""

Change = Callable[[bytes], bytes]


@asynccontextmanager
async def meddler(change: Change) -> AsyncIterator[Callable[[Ticket], Ticket]]:
    """Something between client and storage that sends on another body, in good order. Redirects tickets to itself."""
    targets: list[str] = []
    app = web.Application(client_max_size=64 * MiB)

    async def put(request: web.Request) -> web.Response:
        body = change(await request.read())
        headers = {name: value for name, value in request.headers.items() if name not in ("Host", "Content-Length")}
        async with aiohttp.ClientSession() as http, http.put(targets[-1], data=body, headers=headers) as answer:
            etag = {"ETag": answer.headers["ETag"]} if "ETag" in answer.headers else {}
            return web.Response(status=answer.status, headers=etag)

    app.router.add_put("/{any:.*}", put)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]

        def redirect(ticket: Ticket) -> Ticket:
            targets.append(ticket.url)
            return replace(ticket, url=f"http://{host}:{port}/data")

        yield redirect
    finally:
        await runner.cleanup()


def way_through(redirect: Callable[[Ticket], Ticket], monkeypatch: pytest.MonkeyPatch) -> None:
    initiate = transfer.initiate_upload

    async def redirected(*args: Any) -> Ticket:
        return redirect(await initiate(*args))

    monkeypatch.setattr(transfer, "initiate_upload", redirected)


CHANGES: dict[str, Change] = {
    "cut short": lambda body: body[:5],
    "longer": lambda body: body + b"!",
    "other": lambda body: body[::-1],
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", ANYWHERE)
async def test_a_body_that_was_changed_on_its_way_is_no_save(
    kind: str, change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site_on(kind, tmp_path) as at, meddler(CHANGES[change]) as redirect:
        info = await at.put("einstein", "file.ipynb", b"before")
        files = await at.files("einstein")
        with monkeypatch.context() as patch:
            way_through(redirect, patch)
            try:
                outcome: object = await files.write(Ref.of(info.id), b"the whole content", if_match=info.etag)
            except StorageUnavailable as error:
                outcome = error
        if kind == "v3":  # which keeps what came
            assert isinstance(outcome, NotLatest)
        else:
            assert isinstance(outcome, StorageUnavailable)
            assert "other bytes" in outcome.message
            assert await files.read(Ref.of(info.id), max_bytes=100) == b"before"
            assert (await files.stat(Ref.of(info.id))).etag == info.etag


@pytest.mark.parametrize("kind", ANYWHERE)
async def test_what_passes_unchanged_is_a_save(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with site_on(kind, tmp_path) as at, meddler(lambda body: body) as redirect:
        info = await at.put("einstein", "file.ipynb", b"before")
        files = await at.files("einstein")
        with monkeypatch.context() as patch:
            way_through(redirect, patch)
            assert isinstance(await files.write(Ref.of(info.id), b"the whole content", if_match=info.etag), Written)
        assert await files.read(Ref.of(info.id), max_bytes=100) == b"the whole content"


def noise(size: int, *, said: int | None = None) -> Source:
    """`size` bytes in pieces that are made when they are wanted; ``said`` is how many they claim to be."""
    piece = 256 * 1024

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, size, piece):
            yield _piece(start // piece, min(piece, size - start))

    digest = hashlib.sha1(usedforsecurity=False)
    for start in range(0, size, piece):
        digest.update(_piece(start // piece, min(piece, size - start)))
    return Source(size if said is None else said, digest.hexdigest(), pieces)


def _piece(number: int, size: int) -> bytes:
    seed = hashlib.sha256(str(number).encode()).digest()
    return (seed * (size // len(seed) + 1))[:size]


async def test_noise_is_not_all_alike() -> None:
    assert len({_piece(number, 100) for number in range(100)}) == 100


@pytest.mark.parametrize("kind", LOCKING)
@pytest.mark.parametrize(("size", "said"), [(3 * MiB, 3 * MiB + 1), (3 * MiB, 2 * MiB), (0, 1), (1, 0)])
async def test_a_source_of_another_length_than_it_says_is_not_sent(kind: str, size: int, said: int, tmp_path: Path) -> None:
    async with site_on(kind, tmp_path) as at:
        info = await at.put("einstein", "file.bin", b"before")
        files = await at.files("einstein")
        with pytest.raises(CollabError) as caught:
            await files.write(Ref.of(info.id), noise(size, said=said), if_match=info.etag)
        if said:
            assert isinstance(caught.value, Corrupt)
        assert await files.read(Ref.of(info.id), max_bytes=100) == b"before"


@pytest.mark.parametrize("kind", ANYWHERE)
async def test_a_large_source_arrives_byte_by_byte_and_is_never_held(kind: str, tmp_path: Path) -> None:
    source = noise(40 * MiB + 5)
    async with site_on(kind, tmp_path) as at:
        info = await at.put("einstein", "large.bin", b"before")
        files = await at.files("einstein")
        tracemalloc.start()
        try:
            written = await files.write(Ref.of(info.id), source, if_match=info.etag)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert isinstance(written, Written)
        assert peak < 10 * MiB
        await _is_there(at, source)


async def _is_there(at: SiteBase, source: Source) -> None:
    files = await at.files("einstein")
    ref = await at.ref("einstein", "large.bin")
    digest = hashlib.sha1(usedforsecurity=False)
    async with files.reading(ref, max_bytes=source.size) as (info, pieces):
        assert info.size == source.size
        async for piece in pieces:
            digest.update(piece)
    assert digest.hexdigest() == source.sha1


@pytest.mark.parametrize("conditional", [True, False])
async def test_a_large_source_whose_answer_is_lost_is_read_back(
    conditional: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = noise(3 * MiB)
    put = transfer.put

    async def lost(*args: Any) -> transfer.Answer:
        await put(*args)
        return transfer.Answer(transfer.Sent.UNSURE)

    monkeypatch.setattr(transfer, "put", lost)
    async with site_on("embedded", tmp_path) as at:
        monkeypatch.setattr(transfer, "put", put)
        info = await at.put("einstein", "large.bin", b"before")
        files = await at.files("einstein")
        monkeypatch.setattr(transfer, "put", lost)
        assert isinstance(await files.write(Ref.of(info.id), source, if_match=info.etag if conditional else None), Written)
        await _is_there(at, source)
