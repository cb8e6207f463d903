"""Servers take what they loaded out of the garbage collector's sight."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from cs3collab import collector
from cs3collab.jupyter.extension import CS3CollabExtension


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_what_is_there_is_not_looked_at_and_what_comes_later_is() -> None:
    before = [[] for _ in range(1000)]
    collector.settle()
    assert gc.get_freeze_count() > len(before)
    later = [before]
    assert not any(each is before for each in gc.get_objects())
    assert any(each is later for each in gc.get_objects())


@pytest.mark.parametrize("live", [True, False])
async def test_a_jupyter_server_settles_once_it_is_ready_if_we_do_anything_there(live: bool) -> None:
    await CS3CollabExtension._start_jupyter_server_extension(SimpleNamespace(_live=object() if live else None), None)
    assert bool(gc.get_freeze_count()) is live
