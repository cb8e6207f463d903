"""``cs3collab gateway``: serve a plain folder as CS3 storage."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from cs3collab.errors import InvalidInput
from cs3collab.gateway.config import PROFILES, GatewayConfig, load_mesh, load_projects, load_users
from cs3collab.gateway.server import EmbeddedGateway

MACHINE_SECRET = "CS3COLLAB_MACHINE_SECRET"


_MORE = f"""\
a users file in TOML, with a project that two people share:
  [[users]]
  id.opaque_id = "einstein-id"
  username = "einstein"
  secret = "relativity"
  display_name = "Albert Einstein"

  [projects.lhc.members]
  einstein-id = "manager"      # or editor, viewer

Machine logins, for services that act for users, need their secret in the variable {MACHINE_SECRET}."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, required=True, help="folder to serve; its state is kept in ROOT/.cs3")
    parser.add_argument("--users", type=Path, required=True, help="accounts: Reva's users.json, or TOML (see below)")
    parser.add_argument("--site", default="localhost", help="domain of this site in the mesh (default: localhost)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=9142, help="gRPC port, 0 for a free one (default: 9142)")
    parser.add_argument("--http-port", type=int, default=9143, help="data port, 0 for a free one (default: 9143)")
    parser.add_argument("--mesh", type=Path, help='other sites: {"b.example": {"gateway": "host:port", "name": "Site B"}}')
    parser.add_argument(
        "--profile", choices=PROFILES, default=PROFILES[0], help="whose answers to give: Reva v2's, or Reva v3's without locks"
    )
    parser.add_argument(
        "--issuer", default="", metavar="URL", help="identity provider (OpenID Connect) whose tokens are logins"
    )
    parser.add_argument("--token-lifetime", type=int, default=86400, metavar="SECONDS", help="of logins (default: a day)")
    parser.add_argument("--ready-file", type=Path, help="write the addresses here, as JSON, once it serves")
    parser.epilog = f"{parser.epilog or ''}\n\n{_MORE}"


def config_from(args: argparse.Namespace) -> GatewayConfig:
    """Raises `InvalidInput` for files or values that cannot be used."""
    if not 0 < args.token_lifetime <= 10 * 365 * 86400:
        raise InvalidInput("the token lifetime is not usable", hint="give seconds, from 1 to ten years")
    for port in (args.port, args.http_port):
        if not 0 <= port < 2**16:
            raise InvalidInput(f"{port} is not a port", hint="give a number from 0 to 65535")
    if args.issuer and not _is_url(args.issuer):
        raise InvalidInput(
            "--issuer is no URL of an identity provider", hint="give it as its tokens say it, e.g. https://idp.example.org"
        )
    return GatewayConfig(
        root=args.root.absolute(),
        users=load_users(args.users),
        projects=load_projects(args.users),
        site=args.site,
        grpc_host=args.host,
        grpc_port=args.port,
        http_host=args.host,
        http_port=args.http_port,
        machine_secret=os.environ.get(MACHINE_SECRET, ""),
        token_lifetime_s=args.token_lifetime,
        peers=load_mesh(args.mesh) if args.mesh else {},
        profile=args.profile,
        issuer=args.issuer.rstrip("/"),
    )


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment or parts.username)


async def run(args: argparse.Namespace) -> int:
    """Serves until SIGINT or SIGTERM."""
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, done.set)
    async with EmbeddedGateway(await asyncio.to_thread(config_from, args)) as gateway:
        print(f"gateway of {args.site}: gRPC {gateway.address}, data {gateway.data_url}", flush=True)
        if args.ready_file:
            await asyncio.to_thread(_say_ready, args.ready_file, gateway)
        await done.wait()
    return 0


def _say_ready(path: Path, gateway: EmbeddedGateway) -> None:
    said = {"address": gateway.address, "data_url": gateway.data_url, "pid": os.getpid()}
    temp = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temp.write_bytes(msgspec.json.encode(said))
        temp.replace(path)
    except OSError as error:
        raise InvalidInput(f"cannot write {path}: {error.strerror}", hint="choose another --ready-file") from error
