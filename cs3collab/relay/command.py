"""``cs3collab relay``: serves the live documents of one site until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from cs3collab.collector import settle
from cs3collab.errors import InvalidInput
from cs3collab.relay.config import check, load
from cs3collab.relay.service import check_gateway, open_relay

SWITCH_S = 0.001
"""Seconds that Python lets a thread go on while others wait, as an edit does four times on its way to the disk."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the relay's TOML file")
    parser.add_argument("--port", type=int, help="listen here instead of serve.port; 0 takes a free one")
    parser.add_argument("--ready-file", type=Path, metavar="FILE", help="write the relay's URL here once it serves")
    parser.add_argument(
        "--check", action="store_true", help="only say whether the configuration can be used and the gateway answers"
    )


async def run(args: argparse.Namespace) -> int:
    """Returns 0 after SIGTERM or SIGINT; documents are saved before."""
    config = load(args.config)
    if args.port is not None:
        config.serve.port = args.port
        check(config)
    if args.check:
        await check_gateway(config)
        print(f"{args.config}: fine")
        return 0
    sys.setswitchinterval(SWITCH_S)
    stop = _told_to_stop()
    async with open_relay(config) as url:
        settle()
        print(f"cs3collab relay of {config.site} serves at {url}", file=sys.stderr, flush=True)
        if args.ready_file is not None:
            await asyncio.to_thread(_say_ready, args.ready_file, url)
        await stop.wait()
        print("cs3collab relay: saving open documents", file=sys.stderr, flush=True)
    return 0


def _told_to_stop() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT. The second ends the process at once: what is acknowledged is on disk."""
    stop, loop, signals = asyncio.Event(), asyncio.get_running_loop(), (signal.SIGTERM, signal.SIGINT)

    def told() -> None:
        stop.set()
        for number in signals:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in signals:
        loop.add_signal_handler(number, told)
    return stop


def _say_ready(path: Path, url: str) -> None:
    try:
        path.write_text(url + "\n", encoding="ascii")
    except OSError as error:
        raise InvalidInput(f"cannot write {path}: {error.strerror}", hint="choose another --ready-file") from error
