"""Notebooks to measure with, made up but of realistic shape."""

from __future__ import annotations

import json
import random

CELLS = 12
"""At least one for each person who types."""


def small(cells: int = CELLS) -> bytes:
    return _notebook([_cell(f"c{number}", f"x{number} = {number}\n") for number in range(cells)])


def with_outputs(size: int, seed: int = 0) -> bytes:
    """About `size` bytes, most of it tables and base64 pictures in outputs, in cells of about 40 kB."""
    chance = random.Random(seed)
    number = max(1, size // 40_000)
    return _notebook([_cell(f"o{at}", "fit(data)\nplot(data)\n" * 5, _outputs(chance)) for at in range(number)])


def _outputs(chance: random.Random) -> list[dict[str, object]]:
    picture = "".join(chance.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", k=32_000))
    table = "".join(f"{row:4} {chance.random():.6f} {chance.random():.6f}\n" for row in range(250))
    return [
        {"output_type": "stream", "name": "stdout", "text": table},
        {"output_type": "display_data", "data": {"image/png": picture, "text/plain": "<Figure>"}, "metadata": {}},
    ]


def _cell(name: str, source: str, outputs: list[dict[str, object]] | None = None) -> dict[str, object]:
    return {
        "cell_type": "code",
        "id": name,
        "source": source,
        "metadata": {},
        "outputs": outputs or [],
        "execution_count": 1 if outputs else None,
    }


def _notebook(cells: list[dict[str, object]]) -> bytes:
    metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return (json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n").encode()
