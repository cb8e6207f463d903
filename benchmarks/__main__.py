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

from benchmarks import (
    floor,
    keystrokes,
    memory,
    merge,
    merge_live,
    notebooks,
    opening,
    results,
    servers,
    storage,
    store_append,
    store_compact,
    store_open,
    store_upload,
    turns,
    worker,
)
from benchmarks.keystrokes import Typing
from benchmarks.results import Row
from benchmarks.servers import Side
from cs3collab.errors import CollabError

BUILD = Path("build")
PIPED_COLUMNS = 160
console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_COLUMNS)


class Ground:
    """Where it is measured: a folder on a real disk, and the servers from the moment somebody needs them."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self._sides: tuple[Side, Side] | None = None

    async def sides(self) -> tuple[Side, Side]:
        """Ours and stock, running."""
        if self._sides is None:
            console.print("starting two sites and a stock JupyterLab …")
            content = notebooks.small()
            ours = await self._stack.enter_async_context(servers.two_sites(self.folder / "sites", content))
            stock = await self._stack.enter_async_context(servers.stock(self.folder / "stock", content))
            self._sides = ours, stock
        return self._sides


async def _append(ground: Ground, quick: bool) -> list[Row]:
    return await store_append.measure(ground.folder / "append", rounds=1 if quick else 5, number=50 if quick else 200)


async def _reopen(ground: Ground, quick: bool) -> list[Row]:
    return await store_open.measure(ground.folder / "reopen", edits=5_000 if quick else 100_000, rounds=3 if quick else 9)


async def _upload(ground: Ground, quick: bool) -> list[Row]:
    return await store_upload.measure(ground.folder / "upload", hours=0.05 if quick else 1.0)


async def _compact(ground: Ground, quick: bool) -> list[Row]:
    return await store_compact.measure(ground.folder / "compact", rounds=1 if quick else 8, seconds=2.0)


async def _storage(ground: Ground, quick: bool) -> list[Row]:
    return await storage.measure(ground.folder / "storage", rounds=1 if quick else 4, number=10 if quick else 20)


async def _turns(ground: Ground, quick: bool) -> list[Row]:
    return await turns.measure(ground.folder / "turns", rounds=2 if quick else 6, entries=500 if quick else turns.ENTRIES)


async def _worker(ground: Ground, quick: bool) -> list[Row]:
    return await worker.measure(number=200 if quick else 2000)


async def _merge(ground: Ground, quick: bool) -> list[Row]:
    return await merge.measure(console, cases=50 if quick else 500, rounds=3 if quick else 15)


async def _merge_live(ground: Ground, quick: bool) -> list[Row]:
    return await merge_live.measure(rounds=3 if quick else 15)


async def _two(ground: Ground, quick: bool) -> list[Row]:
    seconds, rounds = (2.0, 1) if quick else (4.0, 5)
    rows = []
    for cursors, what in ((True, "with cursors"), (False, "text alone")):
        typing = Typing(people=2, seconds=seconds, rounds=rounds, cursors=cursors)
        rows += await keystrokes.measure(f"keystroke, two people, {what}", *await ground.sides(), typing)
    bare = 1000 * await floor.measure(40 if quick else 300)
    return [
        *rows,
        Row("keystroke, two people, text alone, p50 (ms)", rows[-2].ours, bare, "six processes that only forward", 3.0),
    ]


async def _ten(ground: Ground, quick: bool) -> list[Row]:
    seconds, rounds = (2.0, 1) if quick else (4.0, 5)
    typing = Typing(people=10, seconds=seconds, rounds=rounds, cursors=True)
    return await keystrokes.measure("keystroke, ten people, with cursors", *await ground.sides(), typing)


async def _open(ground: Ground, quick: bool) -> list[Row]:
    return await opening.measure(*await ground.sides(), times=1 if quick else 5)


async def _memory(ground: Ground, quick: bool) -> list[Row]:
    return await memory.measure(*await ground.sides(), rooms=30 if quick else 50)


@dataclass(frozen=True, slots=True)
class Benchmark:
    about: str
    run: Callable[[Ground, bool], Awaitable[list[Row]]]
    """Is told whether to be quick."""


# Memory first of those with servers: later it would be taken from what others gave back.
BENCHMARKS = {
    "store-append": Benchmark("what it takes to make an edit durable, against the bare disk and the stock stores", _append),
    "store-open": Benchmark(
        "opening a document after 100,000 edits and the bytes they take, against the stock stores", _reopen
    ),
    "store-upload": Benchmark("what an hour's session puts into the blob store, against its updates", _upload),
    "store-compact": Benchmark("an append while the store compacts, against one while it does not", _compact),
    "storage": Benchmark("open, save and list on a real Reva (`make reva`), against cs3client", _storage),
    "turns": Benchmark("how long a Jupyter server's event loop is held up while large files move", _turns),
    "worker": Benchmark("an edit to the room worker and back, against an echo process", _worker),
    "merge": Benchmark("merging a large notebook, and 500 small ones at random, against nbdime", _merge),
    "merge-live": Benchmark("what people who type notice while a large notebook is merged", _merge_live),
    "memory": Benchmark("what an open notebook costs while nobody types, against a stock server", _memory),
    "two": Benchmark("a keystroke through two Jupyter servers and two relays, against one stock server", _two),
    "ten": Benchmark("ten people in one notebook, five at each site, against ten at one stock server", _ten),
    "open": Benchmark("opening a large notebook, cold and warm, against a stock server", _open),
}


async def run(names: Sequence[str], folder: Path, quick: bool) -> list[Row]:
    """Raises `CollabError` when a server does not start, or loses something."""
    rows: list[Row] = []
    async with AsyncExitStack() as stack:
        ground = Ground(folder, stack)
        for name in names:
            started = time.perf_counter()
            rows += await BENCHMARKS[name].run(ground, quick)
            console.print(f"{name}: measured in {time.perf_counter() - started:.0f} s")
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures cs3collab against stock jupyter-collaboration, or against a floor, in the same run. "
        "Absolute figures depend on the machine and on what else it does; the ratios are what counts.",
        epilog="benchmarks:\n" + "\n".join(f"  {name:13} {each.about}" for name, each in BENCHMARKS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", action="append", choices=list(BENCHMARKS), metavar="NAME", help="this one; may be repeated")
    parser.add_argument("--quick", action="store_true", help="few and short rounds: shows that it works, measures badly")
    parser.add_argument("--json", type=Path, default=BUILD / "bench.json", metavar="FILE", help="default: %(default)s")
    args = parser.parse_args()
    try:
        BUILD.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="bench-", dir=BUILD.absolute()) as folder:
            rows = uvloop.run(run(args.only or list(BENCHMARKS), Path(folder), args.quick))
        results.write(rows, args.json)
    except (CollabError, OSError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    results.show(rows, console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
