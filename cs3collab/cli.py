"""``cs3collab COMMAND``: picks one command's module, runs it, and turns its errors into one line and an exit code.

A command is a module with ``add_arguments(parser)`` and ``async run(args) -> int``. Only the chosen one is imported, so that
``--help`` answers at once and a broken optional part breaks nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from cs3collab import __version__, telemetry
from cs3collab.errors import CollabError
from ystore.errors import StoreError


class Command(Protocol):
    """What a command's module offers. ``run`` returns the exit code."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...
    async def run(self, args: argparse.Namespace) -> int: ...


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command lives, what it does in one line, and how a person would call it."""

    module: str
    summary: str
    example: str


COMMANDS = {
    "demo": Entry(
        "cs3collab.demo.command",
        "two sites on this machine, with JupyterLabs to try live editing between them",
        "cs3collab demo --notebook analysis.ipynb",
    ),
    "relay": Entry(
        "cs3collab.relay.command",
        "serve the live documents of one site",
        "cs3collab relay --config relay.toml",
    ),
    "gateway": Entry(
        "cs3collab.gateway.command",
        "serve a plain folder as CS3 storage",
        "cs3collab gateway --root ./storage --users users.json",
    ),
    "doctor": Entry(
        "cs3collab.doctor.command",
        "say what a gateway, its storage and the relays can do, and what that means for live editing",
        "cs3collab doctor --gateway localhost:9142 --user einstein --relay ws://localhost:8642",
    ),
    "history": Entry(
        "cs3collab.history.command",
        "show what a document said before, compare, name and restore it",
        "cs3collab history analysis.ipynb --restore 2026-03-14T15:09",
    ),
    "merge": Entry(
        "cs3collab.merge_command",
        "merge two versions of a notebook or a text that were made from a third",
        "cs3collab merge base.ipynb mine.ipynb yours.ipynb -o merged.ipynb",
    ),
}

INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command. Returns 0, the command's own code, 1 for an error it names, 2 for bad usage, 130 after Ctrl-C."""
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")  # children are programs of their own; else gRPC warns of each
    try:
        return _main(list(sys.argv[1:] if argv is None else argv))
    except (CollabError, StoreError) as error:
        print(f"cs3collab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as stop:  # argparse leaves this way, after its message
        return stop.code if isinstance(stop.code, int) else 1


def _main(argv: list[str]) -> int:
    parser = build_parser()
    if not argv:
        parser.print_help(sys.stderr)
        return 2
    args = parser.parse_args(argv)
    telemetry.configure_logging(args.log_level, args.log_json)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_until_terminated(load(args.command).run(args)))


async def _until_terminated(work: Coroutine[object, object, int]) -> int:
    """SIGTERM, as systemd and Kubernetes send it, ends a command as Ctrl-C does; having stopped on request is success: 0."""
    task = asyncio.ensure_future(work)
    terminated = asyncio.Event()

    def stop() -> None:
        terminated.set()
        task.cancel()

    with contextlib.suppress(NotImplementedError):  # Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    try:
        return await task
    except asyncio.CancelledError:
        if terminated.is_set():
            return 0
        raise


class _LazyParser(argparse.ArgumentParser):
    """Parser of one command; imports the command's module when it is the one that was chosen."""

    command = ""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        load(self.command).add_arguments(self)
        return super().parse_known_args(args, namespace)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line. Building it imports no command."""
    parser = argparse.ArgumentParser(
        prog="cs3collab",
        description="Live editing of one notebook by people at different institutes, on CS3 storage.",
        epilog="example:\n  cs3collab demo\n\n'cs3collab COMMAND --help' says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"cs3collab {__version__}")
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"], help="default: info")
    parser.add_argument("--log-json", action="store_true", help="log one JSON object a line")
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", title="commands", required=True, parser_class=_LazyParser
    )
    for name, entry in COMMANDS.items():
        commands.add_parser(
            name,
            help=entry.summary,
            description=f"{entry.summary[0].upper()}{entry.summary[1:]}.",
            epilog=f"example:\n  {entry.example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        ).command = name
    return parser


def load(name: str) -> Command:
    """The module of command `name`. Raises `CollabError` when it, or a package it needs, is not installed."""
    try:
        return cast(Command, importlib.import_module(COMMANDS[name].module))
    except ModuleNotFoundError as error:
        raise CollabError(
            f"the command '{name}' cannot start: {error.msg}", hint="install cs3collab again with all its dependencies"
        ) from error


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed, else asyncio's own loop."""
    try:
        import uvloop
    except ModuleNotFoundError:  # no wheels for Windows
        return None
    return uvloop.new_event_loop
