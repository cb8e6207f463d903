"""What writers of a store tried and were promised, held against what is in it."""

import asyncio
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pycrdt import Doc, Map

from ystore import Record, Store, StoreUnavailable
from ystore.testing import update


@dataclass
class Ledger:
    """Updates are ``update(n)``, each number tried once. ``acknowledged`` is lineage to position to number."""

    tried: set[int] = field(default_factory=set)
    acknowledged: dict[str, dict[int, int]] = field(default_factory=dict)

    @property
    def promised(self) -> int:
        return sum(map(len, self.acknowledged.values()))

    def hear(self, lines: Iterable[str]) -> None:
        """What `ystore_writer` said."""
        for line in lines:
            if line.startswith("try "):
                self.tried.add(int(line[4:]))
            elif found := re.fullmatch(r"ack (\w+) (\d+) (\d+)", line):
                self.promise(found[1], int(found[2]), int(found[3]))

    def promise(self, lineage: str, position: int, number: int) -> None:
        of_lineage = self.acknowledged.setdefault(lineage, {})
        assert position not in of_lineage, f"position {position} was given out twice"
        of_lineage[position] = number

    async def verify(self, store: Store, *, split: bool = False) -> int:
        """All that was promised is there, once, in order; nothing that nobody tried. Returns the number of records.

        ``split``: another wrote, too. Promised positions may have moved, of which both may have made a copy, and a snapshot may
        have come without its records.
        """
        records = [record async for record in store.records()]
        promised = self.acknowledged.get(store.lineage, {})
        self._verify_records(records, promised, split)
        recorded, content = {str(number_of(r)) for r in records}, keys([update async for update in store.updates()])
        assert recorded <= content, "in the history, but not in the document"
        assert content <= ({str(n) for n in self.tried} if split else recorded), "in the document, but not in the history"
        return len(records)

    def _verify_records(self, records: Sequence[Record], promised: dict[int, int], split: bool) -> None:
        positions = [r.position for r in records]
        assert positions == sorted(set(positions)), "not in order"
        numbers = [number_of(r) for r in records]
        assert len({(r.author, r.at, r.update) for r in records} if split else records) == len(set(numbers)), "there twice"
        assert set(numbers) <= self.tried, "an update that nobody made"
        assert all(r.update == update(n) for r, n in zip(records, numbers, strict=True))
        assert set(promised.values()) <= set(numbers), "an acknowledged update is lost"
        if not split:
            assert promised.items() <= dict(zip(positions, numbers, strict=True)).items(), "another update in its place"


def number_of(record: Record) -> int:
    """Which update it is, from the author that the writers give."""
    return int(record.author.removeprefix("author "))


def keys(updates: Iterable[bytes]) -> set[str]:
    """What a document with these updates holds."""
    doc = Doc()
    doc["m"] = found = Map()
    for one in updates:
        doc.apply_update(one)
    return set(found)


class Writer:
    """Writes numbered updates to `store`, which changes from life to life, and keeps the books."""

    def __init__(self, ledger: Ledger, first: int = 0, step: int = 1) -> None:
        self.ledger = ledger
        self.store: Store
        self.noted = self.tried_notes = 0
        self.refused = 0
        self.named: dict[int, str] = {}
        self._numbers = itertools.count(first, step)

    async def write(self, count: int) -> None:
        """`count` at once. Raises what the store raised for one of them."""
        results = await asyncio.gather(*(self._one() for _ in range(count)), return_exceptions=True)
        for error in filter(None, results):
            raise error

    async def _one(self) -> None:
        number, lineage = next(self._numbers), self.store.lineage
        self.ledger.tried.add(number)
        try:
            position = await self.store.append(update(number), f"author {number}")
        except StoreUnavailable:
            self.refused += 1
            raise
        self.ledger.promise(lineage, position, number)

    async def note(self) -> None:
        """Counts up what is noted."""
        self.tried_notes += 1
        number = self.tried_notes
        await self.store.set_meta({"n": str(number)})
        self.noted = number

    async def name(self) -> None:
        """Names the version that is now the last."""
        if self.store.position:
            name = f"v{next(self._numbers)}"
            version = await self.store.name_version(name)
            self.named[version.position] = name
