"""``cs3collab demo``: two sites on this machine, to try live editing between them, or to have it checked."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Coroutine
from importlib import resources
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cs3collab.demo.check import Report, check
from cs3collab.demo.world import World, open_world
from cs3collab.errors import InvalidInput, NotANotebook
from cs3collab.merge import notebook

EXAMPLE = "muon-lifetime.ipynb"
BUILT = Path(".reva", "revad-v2")
PIPED_COLUMNS = 160
console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_COLUMNS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--notebook", type=Path, metavar="PATH", help="share a copy of this notebook instead of the example")
    parser.add_argument("--check", action="store_true", help="without people: edit through all three, say what came of it")
    parser.add_argument(
        "--reva",
        nargs="?",
        type=Path,
        const=BUILT,
        metavar="REVAD",
        help=f"use real Revas as storage, not embedded gateways; default: {BUILT}, from `make reva`",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="with --check: write the result here as data too")
    parser.add_argument("--directory", type=Path, metavar="DIR", help="keep everything here; default: a folder that goes away")


async def run(args: argparse.Namespace) -> int:
    """Returns 0 after Ctrl-C or a check in which all was well, 1 after one in which something was off."""
    if args.json is not None and not args.check:
        raise InvalidInput("--json needs --check", hint="the demo itself has no result to write")
    content, name = await asyncio.to_thread(_notebook, args.notebook)
    if args.json is not None:
        await asyncio.to_thread(_write, args.json, "")  # better now than after a minute
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    folder = await asyncio.to_thread(_folder, args.directory)
    try:
        return await _until(stop, _demo(folder, content, name, args, stop))
    finally:
        if args.directory is None:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _until(stop: asyncio.Event, work: Coroutine[Any, Any, int]) -> int:
    """`work`, or an orderly end of it as soon as `stop` is set."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not working.done():
        working.cancel()
    try:
        return await working
    except asyncio.CancelledError:
        return 0


async def _demo(folder: Path, content: bytes, name: str, args: argparse.Namespace, stop: asyncio.Event) -> int:
    revad = None if args.reva is None else await asyncio.to_thread(args.reva.absolute)
    async with open_world(folder, content, name, console.print, revad=revad) as world:
        if not args.check:
            _invite(world)
            await stop.wait()
            return 0
        console.print("editing through all three servers …")
        report = await check(world)
    _show(report)
    if args.json is not None:
        await asyncio.to_thread(_write, args.json, json.dumps(report.as_data(), indent=1) + "\n")
    return 0 if report.ok else 1


def _notebook(path: Path | None) -> tuple[bytes, str]:
    """Content and name. Raises `InvalidInput` or `NotANotebook`."""
    if path is None:
        return resources.files("cs3collab.demo").joinpath(EXAMPLE).read_bytes(), EXAMPLE
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}", hint="give a notebook with --notebook") from error
    try:
        notebook.parse(content)
    except NotANotebook as error:
        raise NotANotebook(f"{path} cannot be shared: {error.message}", hint=error.hint) from error
    return content, path.name


def _folder(path: Path | None) -> Path:
    if path is None:
        return Path(tempfile.mkdtemp(prefix="cs3collab-demo-"))
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"cannot use {path}: {error.strerror}", hint="choose another --directory") from error
    return path.absolute()


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"cannot write {path}: {error.strerror}", hint="choose another --json") from error


def _invite(world: World) -> None:
    table = Table("who", "at", "may", "open this", title="One notebook, two sites, three JupyterLabs", title_justify="left")
    for lab in world.labs:
        may = {"owner": "owns it", "editor": "edit", "viewer": "read"}[lab.person.role]
        table.add_row(lab.person.name, lab.person.site, may, lab.link)
    console.print(table)
    console.print(
        "Try: open the first two side by side and type into the same cell; run a cell and watch the output arrive; "
        "look at the status bar; open the third, which can only read.\n"
        f"The file itself is an ordinary notebook in the storage of {world.owner.person.site}. Ctrl-C stops everything."
    )


def _show(report: Report) -> None:
    table = Table("who", "at", "did", "seen by (ms)", "", "detail")
    for row in report.rows:
        seen = ", ".join(f"{name} {taken:.1f}" for name, taken in row.seen.items())
        table.add_row(row.who, row.site, row.did, seen, "[green]ok[/]" if row.ok else "[red]off[/]", row.detail)
    console.print(table)
    console.print(f"saved at position {report.position}, etag {report.etag}" if report.ok else "something is off", style="bold")
