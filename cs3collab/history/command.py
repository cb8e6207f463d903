"""``cs3collab history``: what a document said before, shown, compared, named and brought back, through a Jupyter server."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from cs3collab.client_history import HistoryClient
from cs3collab.errors import InvalidInput
from cs3collab.history import moments, showing
from cs3collab.types import History

_T = "a position, a version's name, or a time: 2026-03-14, 2026-03-14T15:09, 2026-03-14T15:09:26+01:00"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="the document, as JupyterLab's file browser names it")
    parser.add_argument("--at", metavar="T", help=f"write the document as it was at T: {_T}")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="with --at: write it here, not to standard output")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--diff", nargs="+", metavar=("A", "B"), help="one or two: what changed from A to B, or to now")
    what.add_argument("--restore", metavar="T", help="make the document say again what it said at T, as a new edit of yours")
    what.add_argument("--name", metavar="NAME", help="name what it says now, or with --at said then; '' takes the name away")
    parser.add_argument("--url", help="the Jupyter server; by default the one of this terminal, or your only one here")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="file that holds the token of that server")


async def run(args: argparse.Namespace) -> int:
    """Returns 0. Raises `cs3collab.errors`."""
    check(args)
    async with connected(args) as (asked, progress):
        if args.diff:
            await _show_difference(args, asked, progress)
        elif args.restore is not None:
            await _restore(args, asked, progress)
        elif args.name is not None:
            await _name(args, asked, progress)
        elif args.at is not None:
            await _write(args, asked, progress)
        else:
            with progress.of("reading the history"):
                history = await asked.versions()
            _print(showing.table(history.versions))
    return 0


def check(args: argparse.Namespace) -> None:
    """Raises `InvalidInput` for options that do not go together."""
    if args.diff and len(args.diff) > 2:
        raise InvalidInput("--diff takes one or two versions", hint="put PATH before --diff")
    if args.at is not None and (args.diff or args.restore is not None):
        raise InvalidInput("--at does not go with --diff or --restore", hint="these take the version themselves")
    if args.output is not None and (args.at is None or args.name is not None):
        raise InvalidInput("-o goes with --at only")


async def _show_difference(args: argparse.Namespace, asked: HistoryClient, progress: Waiting) -> None:
    with progress.of("reading two versions") as told:
        history = await asked.versions()
        old = await _position(asked, history, args.diff[0])
        new = await _position(asked, history, args.diff[1]) if len(args.diff) > 1 else history.position
        contents = [await asked.at(position, told) for position in (old, new)]
    names = (f"{args.path} at {old}", f"{args.path} at {new}")
    show = showing.notebook_difference if kind_of(args.path) == "notebook" else showing.text_difference
    _print("".join(map(showing.printable_line, show(contents[0], contents[1], names).splitlines())))


async def _restore(args: argparse.Namespace, asked: HistoryClient, progress: Waiting) -> None:
    with progress.of("restoring"):
        before = await asked.versions()
        position = await _position(asked, before, args.restore)
        restored = await asked.restore(position)
    if restored.changed:
        _print(f"{args.path} says again what it said at position {position}\n")
        _print(f"--restore {before.position} takes this back; the restore is position {restored.position}\n")
    else:
        _print(f"{args.path} says already what it said at position {position}; nothing was changed\n")


async def _name(args: argparse.Namespace, asked: HistoryClient, progress: Waiting) -> None:
    with progress.of("naming"):
        history = await asked.versions()
        position = history.position if args.at is None else await _position(asked, history, args.at)
        version = await asked.name_version(args.name, position)
    what = f"is named {showing.printable(version.name)!r}" if version.name else "has no name any more"
    _print(f"position {version.position} {what}\n")


async def _write(args: argparse.Namespace, asked: HistoryClient, progress: Waiting) -> None:
    with progress.of("reading a version") as told:
        content = await asked.at(await _position(asked, await asked.versions(), args.at), told)
    if args.output is None:
        await asyncio.to_thread(_write_out, content)
        return
    try:
        await asyncio.to_thread(args.output.write_bytes, content)
    except OSError as error:
        raise InvalidInput(f"cannot write {args.output}: {error.strerror}", hint="choose another file") from error


async def _position(asked: HistoryClient, history: History, text: str) -> int:
    """The position people mean by `text`. Raises `InvalidInput`, `NotFound`."""
    moment = moments.parse(text, frozenset(version.name for version in history.versions if version.name))
    if isinstance(moment, moments.Time):
        history = await asked.versions(moment.at)
    return moments.position_of(moment, text, history)


def kind_of(path: str) -> str:
    return "notebook" if path.endswith(".ipynb") else "file"


@asynccontextmanager
async def connected(args: argparse.Namespace) -> AsyncIterator[tuple[HistoryClient, Waiting]]:
    """Raises `InvalidInput` when nobody says which server is meant."""
    server = await asyncio.to_thread(server_of, args.url, args.token_file)
    headers = {"Authorization": f"token {server.token}"} if server.token else {}
    async with aiohttp.ClientSession(headers=headers) as http:
        yield HistoryClient(http, server.url, args.path, kind_of(args.path)), Waiting()


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    token: str = field(repr=False)


def server_of(url: str | None, token_file: Path | None) -> Server:
    """The Jupyter server to ask, and its token: from the file, else from Jupyter's own notes on this user's servers.

    Behind a hub these hold no token; the hub gives each server's terminals ``JUPYTERHUB_API_TOKEN``, which goes only there.
    """
    token = _read(token_file) if token_file is not None else ""
    if url is not None and (not urlsplit(url).netloc or urlsplit(url).query):
        raise InvalidInput("this is not the address of a Jupyter server", hint="--url http://localhost:8888, without a token")
    if url is not None and token:
        return Server(url, token)
    from cs3collab.jupyter.running import running  # takes a second

    mine = running()
    here = [one for one in mine if one.url == os.environ.get("JUPYTER_SERVER_URL")]  # set in a server's own terminals
    if url is not None:
        return Server(url, next((one.token for one in mine if one.url.rstrip("/") == url.rstrip("/")), ""))
    mine = here or mine
    if len(mine) != 1:
        what = "several Jupyter servers of yours run" if mine else "no Jupyter server of yours runs"
        known = ", ".join(sorted(one.url for one in mine)) or "its address"
        raise InvalidInput(f"{what} on this machine", hint=f"choose with --url: {known}")
    return Server(mine[0].url, token or mine[0].token or os.environ.get("JUPYTERHUB_API_TOKEN", ""))


def _read(path: Path) -> str:
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InvalidInput(f"cannot read the token in {path}: {reason}", hint="write the server's token into it") from error
    if not token or not token.isprintable():
        raise InvalidInput(f"there is no token in {path}", hint="write the server's token into it")
    return token


class Waiting:
    """A bar on standard error for what takes long, where that is a terminal."""

    @contextmanager
    def of(self, what: str) -> Iterator[Told]:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
            yield Told(bar, bar.add_task(what, total=None))


@dataclass(frozen=True, slots=True)
class Told:
    """`cs3collab.client_history.Progress` onto a bar, which only swings while nobody knows how much is to come."""

    bar: Progress
    task: TaskID

    def __call__(self, done: int, total: int) -> None:
        self.bar.update(self.task, completed=done, total=total or None)


def _print(text: str) -> None:
    _write_out(text.encode(sys.stdout.encoding or "utf-8", "replace"))


def _write_out(content: bytes) -> None:
    """A reader that has seen enough, as ``head`` has, is no error."""
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that nobody stumbles over it at the exit
