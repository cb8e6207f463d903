"""What people write: a real trace of it, or one that is made up from a seed; in every run the same.

The real one is every single edit of the automerge paper (``traces/automerge-paper.json.gz`` in the corpus, see
`tests/integration/test_corpus.py`; https://github.com/josephg/editing-traces). Without it, it is made up in proportion: single
characters, seven inserted for three deleted, in runs at a cursor that jumps.
"""

from __future__ import annotations

import gzip
import json
import os
import random
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from pycrdt import Doc, Map, Text, TransactionEvent

SEED = 1789
WORDS = ("the", "of", "and", "to", "a", "in", "is", "that", "for", "it", "as", "was", "with", "be", "not", "are", "which")
CORPUS = Path(os.environ.get("CS3COLLAB_CORPUS") or Path(__file__).resolve().parents[2] / "shared" / "corpus")
PAPER = CORPUS / "traces" / "automerge-paper.json.gz"
ORIGIN = "of the automerge paper" if PAPER.is_file() else "made up"
"""Where the edits come from, for people."""


def strokes(number: int, seed: int = SEED) -> Iterator[tuple[int, str]]:
    """Single edits of one text, empty at first: where, and the character that is typed there; "" deletes the one there.

    At most as many as the paper has, 259,778; of those made up, as many as are asked for.
    """
    _tell()
    return islice(_paper() if PAPER.is_file() else _made_up(seed), number)


@cache
def _tell() -> None:
    print(f"the edits are {ORIGIN}")


@cache
def _paper() -> list[tuple[int, str]]:
    """Each edit of it inserts one character or deletes one."""
    with gzip.open(PAPER) as file:
        return [(at, text) for edit in json.load(file)["txns"] for at, _, text in edit["patches"]]


def _made_up(seed: int) -> Iterator[tuple[int, str]]:
    chance, length = random.Random(seed), 0
    while True:
        cursor = length if chance.random() < 0.5 else chance.randint(0, length)
        for letter in " ".join(chance.choices(WORDS, k=chance.randint(1, 12))) + chance.choice((" ", ". ", "\n")):
            yield cursor, letter
            cursor, length = cursor + 1, length + 1
        for _ in range(min(cursor, chance.randint(0, 28))):
            cursor, length = cursor - 1, length - 1
            yield cursor, ""


def updates(number: int, seed: int = SEED, doc: Doc[Any] | None = None) -> list[bytes]:
    """The Y updates of `strokes` into the text ``source`` of `doc`."""
    doc = doc if doc is not None else Doc(client_id=seed)
    text = doc.get("source", type=Text)
    made: list[bytes] = []

    def keep(event: TransactionEvent) -> None:
        made.append(event.update)

    subscription = doc.observe(keep)
    for at, letter in strokes(number, seed):
        if letter:
            text.insert(at, letter)
        else:
            del text[at]
    doc.unobserve(subscription)
    return made


def large(size: int, seed: int = SEED) -> Doc[Any]:
    """A document that holds `size` bytes of outputs, numbers that compress as badly as results do."""
    chance, doc = random.Random(seed), Doc[Any](client_id=seed)
    table = doc.get("outputs", type=Map)
    for n in range(size // 100_000 or 1):
        table[str(n)] = Text(" ".join(f"{chance.random():.9f}" for _ in range(min(size, 100_000) // 12)))
    return doc
