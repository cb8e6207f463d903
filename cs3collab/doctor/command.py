"""``cs3collab doctor``: tries a gateway, its storage and the relays, and says what each result means for live editing."""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from cs3collab.cs3.auth import TOKEN_KINDS, TokenProvider, provider_from
from cs3collab.cs3.files import Files
from cs3collab.cs3.gateway import Gateway
from cs3collab.cs3.session import Session
from cs3collab.doctor.checks import Finding, Patient, State, examine
from cs3collab.doctor.unlocking import describe, look, unlock
from cs3collab.errors import InvalidInput
from cs3collab.relay.config import AccountConfig, GatewayConfig, check_url, load

PASSWORD = "CS3COLLAB_PASSWORD"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="a relay's TOML file: its gateway, account and relays")
    parser.add_argument("--gateway", metavar="HOST:PORT", help="the CS3 gateway's gRPC address")
    parser.add_argument("--tls", action="store_true", help="talk TLS to the gateway")
    parser.add_argument("--ca", type=Path, metavar="PEM", help="authority that signed its certificate; default: the system's")
    parser.add_argument("--auth", choices=TOKEN_KINDS, default="basic", help="how to log in; default: basic")
    parser.add_argument("--user", default="", metavar="NAME", help="user name, or the service account's id")
    parser.add_argument("--secret-file", type=Path, metavar="FILE", help=f"its password or secret; default: ${PASSWORD}")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="the token, for --auth file and oidc-file")
    parser.add_argument("--folder", default="", metavar="PATH", help="where to try; made if missing; default: the user's home")
    parser.add_argument("--relay", default="", metavar="URL", help="the site's relay, to link to as this user")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--lock", metavar="PATH", help="only say whose lock is on a file, in the home unless it begins with /")
    what.add_argument("--unlock", metavar="PATH", help="take a stuck lock away; asks before it does")
    parser.add_argument("--yes", action="store_true", help="with --unlock: do not ask")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the findings as data too")


async def run(args: argparse.Namespace) -> int:
    """Returns 0, or 1 when anything failed or a lock was left. Raises `InvalidInput`, and for one file what storage does."""
    findings = []
    async with patient_of(args) as patient:
        if (path := args.lock or args.unlock) is not None:
            files = Files(await Session.open(patient.gateway, patient.tokens))
            if args.unlock is not None:
                return await unlock(files, path, sure=args.yes)
            print(*describe(await look(files, path), time.time()), sep="\n")
            return 0
        async for finding in examine(patient):
            print(line(finding), flush=True)
            findings.append(finding)
    print(summary(findings))
    if args.json is not None:
        await asyncio.to_thread(_write, args.json, findings)
    return int(any(finding.state is State.FAILED for finding in findings))


def line(finding: Finding) -> str:
    """One finding; what it means and what to change below it."""
    text = f"{finding.state:8}{finding.what:34}{finding.found}".rstrip()
    for title, said in (("means", finding.means), ("change", finding.change)):
        if said:
            text += f"\n{'':8}{title + ':':9}{said}"
    return text


def summary(findings: list[Finding]) -> str:
    counts = {state: sum(finding.state is state for finding in findings) for state in State}
    if counts[State.FAILED]:
        return f"\n{counts[State.FAILED]} failed: live editing will not work until this is changed."
    if counts[State.WEAK]:
        return f"\nLive editing works; {counts[State.WEAK]} things are weaker than they could be."
    return "\nLive editing works."


def _write(path: Path, findings: list[Finding]) -> None:
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(findings)) + b"\n")
    except OSError as error:
        raise InvalidInput(f"cannot write {path}: {error.strerror}", hint="choose another --json") from error


@asynccontextmanager
async def patient_of(args: argparse.Namespace) -> AsyncIterator[Patient]:
    """What the options name; `--config` fills in what they leave out."""
    config = await asyncio.to_thread(load, args.config) if args.config is not None else None
    named = GatewayConfig(args.gateway or "", args.tls, str(args.ca or ""))
    gateway = config.gateway if config is not None and not args.gateway else named
    if not gateway.address:
        raise InvalidInput("which gateway?", hint="--gateway host:port, or --config with a relay's file")
    if args.relay:
        check_url("--relay", args.relay)
    async with Gateway(gateway.address, tls=gateway.tls, ca=Path(gateway.ca) if gateway.ca else None) as opened:
        if config is None:
            yield Patient(opened, await asyncio.to_thread(_tokens, args, opened, None), args.folder, args.relay)
        else:
            tokens = await asyncio.to_thread(_tokens, args, opened, config.service_account)
            yield Patient(opened, tokens, args.folder or config.store.cs3, args.relay, config.relays)


def _tokens(args: argparse.Namespace, gateway: Gateway, account: AccountConfig | None) -> TokenProvider:
    """Who is named by options, else the relay's own account."""
    if account is not None and not (args.user or args.token_file):
        secret = _read(Path(account.secret_file))
        return provider_from(gateway, kind=account.auth, client_id=account.client_id, secret=secret)
    secret = _read(args.secret_file) if args.secret_file is not None else os.environ.get(PASSWORD, "")
    return provider_from(gateway, kind=args.auth, client_id=args.user, secret=secret, token_file=args.token_file)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InvalidInput(f"cannot read the secret in {path}: {reason}", hint="a file with the secret alone") from error
