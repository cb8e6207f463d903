"""``python -m benchmarks``: runs them, prints the table, writes the rows."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import uvloop
from rich.console import Console

from benchmarks import keystrokes, notebooks, results, servers
from benchmarks.keystrokes import Typing
from benchmarks.results import Row
from benchmarks.servers import Side
from cs3collab.errors import CollabError

PIPED_COLUMNS = 160
console = Console(highlight=False, stderr=False, width=None if sys.stdout.isatty() else PIPED_COLUMNS)


@dataclass(frozen=True, slots=True)
class Servers:
    """Both worlds, running."""

    ours: Side
    stock: Side


@dataclass(frozen=True, slots=True)
class Benchmark:
    """``run`` is told whether to be quick."""

    about: str
    run: Callable[[Servers, bool], Awaitable[list[Row]]]


async def _two(at: Servers, quick: bool) -> list[Row]:
    seconds, rounds = (2.0, 1) if quick else (5.0, 5)
    bare = Typing(people=2, seconds=seconds, rounds=rounds, cursors=False)
    real = Typing(people=2, seconds=seconds, rounds=rounds, cursors=True)
    return [
        *await keystrokes.measure("keystroke, site to site, two people, with cursors", at.ours, at.stock, real),
        *await keystrokes.measure("keystroke, site to site, two people, text alone", at.ours, at.stock, bare),
    ]


async def _ten(at: Servers, quick: bool) -> list[Row]:
    seconds, rounds = (2.0, 1) if quick else (4.0, 5)
    typing = Typing(people=10, seconds=seconds, rounds=rounds, cursors=True)
    return await keystrokes.measure("keystroke, ten people at two sites, with cursors", at.ours, at.stock, typing)


BENCHMARKS = {
    "two": Benchmark(
        "a keystroke from one site to the other: two Jupyter servers and two relays, against one stock server", _two
    ),
    "ten": Benchmark("ten people who type into one notebook, five at each site, against the ten at one stock server", _ten),
}


async def run(names: Sequence[str], quick: bool) -> list[Row]:
    rows: list[Row] = []
    folder = tempfile.TemporaryDirectory(prefix="cs3collab-bench-")
    with folder as place:
        async with AsyncExitStack() as stack:
            content = notebooks.small()
            say = console.print
            ours = await stack.enter_async_context(servers.two_sites(Path(place) / "sites", content, say))
            stock = await stack.enter_async_context(servers.stock(Path(place) / "stock", content, say))
            for name in names:
                started = time.perf_counter()
                rows += await BENCHMARKS[name].run(Servers(ours, stock), quick)
                console.print(f"{name}: {time.perf_counter() - started:.0f} s")
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures cs3collab against stock jupyter-collaboration, or against a floor, in the same run. "
        "Absolute figures depend on the machine and on what else it does; the ratios are what counts.",
        epilog="benchmarks:\n" + "\n".join(f"  {name:8} {each.about}" for name, each in BENCHMARKS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", action="append", choices=list(BENCHMARKS), metavar="NAME", help="this one; may be repeated")
    parser.add_argument("--quick", action="store_true", help="few and short rounds: shows that it works, measures badly")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), metavar="FILE", help="default: %(default)s")
    args = parser.parse_args()
    try:
        rows = uvloop.run(run(args.only or list(BENCHMARKS), args.quick))
        results.write(rows, args.json)
    except (CollabError, OSError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    results.show(rows, console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
