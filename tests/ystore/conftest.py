"""What the tests of the store share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.ystore_disk import memory


@pytest.fixture
def memory_path(tmp_path: Path) -> Iterator[Path]:
    """As ``tmp_path``, where making and removing folders takes no time."""
    with memory(tmp_path) as folder:
        yield folder
