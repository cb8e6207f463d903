"""Notebooks for tests."""

from __future__ import annotations

import json
from typing import Any


def notebook(*sources: str) -> bytes:
    """A valid notebook with one code cell per source; ids are ``cell-0``, ``cell-1``, …"""
    cells = [
        {"id": f"cell-{n}", "cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": None}
        for n, source in enumerate(sources)
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def source_of(shared: Any, cell: int) -> str:
    """The source of a cell of a `jupyter_ydoc.YNotebook`."""
    return str(shared.ycells[cell]["source"])
