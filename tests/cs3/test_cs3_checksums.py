"""Storages that do not want to hear the checksum of an upload: they get none, and what was uploaded is read back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from support.sites import Site

from cs3collab.cs3 import transfer
from cs3collab.cs3.capabilities import probe
from cs3collab.cs3.files import Files
from cs3collab.errors import InvalidInput, StorageUnavailable
from cs3collab.gateway import checksums, receiving, transfers
from cs3collab.gateway.status import INTERNAL, INVALID_ARGUMENT, UNIMPLEMENTED, Refused
from cs3collab.types import NotLatest, Ref, Written

UNSUPPORTED = "error: bad request: unsupported checksum algorithm"


class Refusing:
    """How often uploads were asked for with a checksum, which is refused, and without."""

    def __init__(self, refusal: Refused) -> None:
        self.refusal = refusal
        self.with_one = 0
        self.without = 0

    def announced(self, opaque: Any) -> None:
        if checksums.KEY in opaque.map:
            self.with_one += 1
            raise self.refusal
        self.without += 1


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, str], Refusing]:
    def made(code: int, message: str) -> Refusing:
        refusing = Refusing(Refused(code, message))
        monkeypatch.setattr(transfers.checksums, "announced", refusing.announced)
        return refusing

    return made


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (INVALID_ARGUMENT, UNSUPPORTED),
        (INVALID_ARGUMENT, "unknown opaque key"),
        (UNIMPLEMENTED, "not here"),
        (INTERNAL, "bad Checksum"),
    ],
)
async def test_a_refused_checksum_is_left_out_and_that_is_remembered(
    running: Site, files: Files, refuse: Callable[..., Refusing], caplog: pytest.LogCaptureFixture, code: int, message: str
) -> None:
    info = await running.put("einstein", "a.ipynb", b"before")
    caplog.set_level(logging.WARNING, transfer.__name__)
    refusing = refuse(code, message)
    written = await files.write(Ref.of(info.id), b"first", if_match=info.etag)
    assert isinstance(written, Written)
    assert (refusing.with_one, refusing.without) == (1, 1)
    again = await files.write(Ref.of(info.id), b"second", if_match=written.etag)
    assert isinstance(again, Written)
    assert (refusing.with_one, refusing.without) == (1, 2)
    assert again.etag == (await files.stat(Ref.of(info.id))).etag
    assert await files.read(Ref.of(info.id), max_bytes=100) == b"second"
    assert [message.partition(" takes ")[2].partition(",")[0] for message in caplog.messages] == ["no checksum with an upload"]


async def test_an_empty_file_is_made_without_one_too(running: Site, files: Files, refuse: Callable[..., Refusing]) -> None:
    ref = await running.ref("einstein", "empty.ipynb")
    refuse(INVALID_ARGUMENT, UNSUPPORTED)
    assert isinstance(await files.write(ref, b"", if_absent=True), Written)
    assert (await files.stat(ref)).size == 0


async def test_after_an_hour_it_is_tried_again(
    running: Site, files: Files, refuse: Callable[..., Refusing], monkeypatch: pytest.MonkeyPatch
) -> None:
    info = await running.put("einstein", "a.ipynb", b"before")
    refusing = refuse(INVALID_ARGUMENT, UNSUPPORTED)
    await files.write(Ref.of(info.id), b"first")
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + 3601)
    monkeypatch.setattr(transfer, "time", clock)
    await files.write(Ref.of(info.id), b"second")
    assert refusing.with_one == 2


@pytest.mark.parametrize(
    ("code", "message", "error"),
    [(INTERNAL, "something else", StorageUnavailable), (INVALID_ARGUMENT, "no such place", InvalidInput)],
)
async def test_what_is_refused_for_another_reason_stays_refused(
    running: Site, files: Files, monkeypatch: pytest.MonkeyPatch, code: int, message: str, error: type[Exception]
) -> None:
    info = await running.put("einstein", "a.ipynb", b"before")

    def never(opaque: Any) -> None:
        raise Refused(code, message)

    monkeypatch.setattr(transfers.checksums, "announced", never)
    with pytest.raises(error, match=message):
        await files.write(Ref.of(info.id), b"after")
    assert files.session.gateway.unchecked_until < time.monotonic()


async def test_without_a_checksum_what_arrived_otherwise_is_found_by_reading_it_back(
    running: Site, files: Files, refuse: Callable[..., Refusing], monkeypatch: pytest.MonkeyPatch
) -> None:
    info = await running.put("einstein", "a.ipynb", b"before")
    refuse(INVALID_ARGUMENT, UNSUPPORTED)
    add = receiving.Part._add

    def meddled(self: receiving.Part, file: Any, chunk: bytes) -> None:
        add(self, file, chunk[::-1])

    with monkeypatch.context() as patch:
        patch.setattr(receiving.Part, "_add", meddled)
        assert isinstance(await files.write(Ref.of(info.id), b"after", if_match=info.etag), NotLatest)


async def test_it_is_found_out_by_trying(running: Site, files: Files, refuse: Callable[..., Refusing]) -> None:
    home = await running.ref("einstein")
    found = await probe(files, home)
    assert found.checksums
    refuse(INVALID_ARGUMENT, UNSUPPORTED)
    assert await probe(files, home) == replace(found, checksums=False)
