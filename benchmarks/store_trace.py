"""What people write, made up from a seed: the trace is the same in every run.

In proportion it is what the trace of the automerge paper says of a real paper: single characters, seven inserted for three
deleted, in runs at a cursor that jumps.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from pycrdt import Doc, Map, Text, TransactionEvent

SEED = 1789
WORDS = ("the", "of", "and", "to", "a", "in", "is", "that", "for", "it", "as", "was", "with", "be", "not", "are", "which")


def strokes(number: int, seed: int = SEED) -> Iterator[tuple[int, str]]:
    """Single edits of one text: where, and the character that is typed there; "" deletes the one there."""
    chance, length, done = random.Random(seed), 0, 0
    while done < number:
        cursor = length if chance.random() < 0.5 else chance.randint(0, length)
        for letter in " ".join(chance.choices(WORDS, k=chance.randint(1, 12))) + chance.choice((" ", ". ", "\n")):
            yield cursor, letter
            cursor, length, done = cursor + 1, length + 1, done + 1
            if done >= number:
                return
        for _ in range(min(cursor, chance.randint(0, 28), number - done)):
            cursor, length, done = cursor - 1, length - 1, done + 1
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
