"""Rows: one figure of ours beside one of a peer, with the ratio we aim at."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

STOCK = "stock jupyter-collaboration"


@dataclass(frozen=True, slots=True)
class Row:
    """``name`` ends with the unit. Less is better for every figure, so a row is met when ``ratio`` is at most ``target``."""

    name: str
    ours: float
    against: float
    peer: str
    target: float
    ratio: float = field(init=False)
    met: bool = field(init=False)

    def __post_init__(self) -> None:
        ratio = self.ours / self.against if self.against else math.inf
        object.__setattr__(self, "ratio", ratio)
        object.__setattr__(self, "met", ratio <= self.target)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed (nearest rank); NaN when there are none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def latency_rows(name: str, ours: Sequence[Sequence[float]], against: Sequence[Sequence[float]], target: float) -> list[Row]:
    """p50 and p99, each the median over rounds, of seconds; in milliseconds."""
    return [
        Row(f"{name}, p{share * 100:.0f} (ms)", _over_rounds(ours, share), _over_rounds(against, share), STOCK, target)
        for share in (0.50, 0.99)
    ]


def _over_rounds(rounds: Sequence[Sequence[float]], share: float) -> float:
    return statistics.median(percentile(values, share) for values in rounds) * 1000


def show(rows: Sequence[Row], console: Console) -> None:
    table = Table("name", "ours", "against", "peer", "ratio", "target", "met")
    for column in (1, 2, 4, 5):
        table.columns[column].justify = "right"
    for row in rows:
        met = "[green]yes[/]" if row.met else "[red]no[/]"
        figures = (f"{row.ours:.3g}", f"{row.against:.3g}", row.peer, f"{row.ratio:.2f}", f"≤ {row.target:g}", met)
        table.add_row(row.name, *figures)
    console.print(table)


def write(rows: Sequence[Row], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = [{key: asdict(row)[key] for key in ("name", "ours", "against", "peer", "ratio", "target", "met")} for row in rows]
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
