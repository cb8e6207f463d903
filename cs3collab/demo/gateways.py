"""The storage of the demo's sites: embedded gateways, or real Revas."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from cs3collab.cs3.auth import BasicToken
from cs3collab.cs3.gateway import Gateway
from cs3collab.demo import revad as config
from cs3collab.demo.processes import DemoProcess, free_ports
from cs3collab.errors import CollabError, InvalidInput

DRIVER = "ocis"
"""The storage driver that OpenCloud's line calls ``decomposed``, as the Reva is called that ``make reva`` builds (2.27)."""


@dataclass(frozen=True, slots=True)
class Account:
    username: str
    name: str
    site: str
    password: str = field(repr=False)


async def start_gateways(
    stack: AsyncExitStack,
    folder: Path,
    domains: Sequence[str],
    accounts: Sequence[Account],
    processes: dict[str, DemoProcess],
    revad: Path | None,
) -> dict[str, str]:
    """One for each domain, all in one mesh; their gRPC addresses. Raises `CollabError`. They end with `stack`."""
    if revad is None:
        return await _embedded(stack, folder, domains, accounts, processes)
    return await _real(stack, folder, domains, accounts, processes, revad)


async def _embedded(
    stack: AsyncExitStack,
    folder: Path,
    domains: Sequence[str],
    accounts: Sequence[Account],
    processes: dict[str, DemoProcess],
) -> dict[str, str]:
    mesh = folder / "mesh.json"
    ports = dict(zip(domains, free_ports(len(domains)), strict=True))
    mesh.write_text(json.dumps({domain: {"gateway": f"127.0.0.1:{port}", "name": domain} for domain, port in ports.items()}))
    for domain, port in ports.items():
        home = folder / domain / "gateway"
        home.mkdir(parents=True, exist_ok=True)
        users = [
            {
                "id": {"opaque_id": account.username, "idp": domain},
                "username": account.username,
                "secret": account.password,
                "display_name": account.name,
                "mail": f"{account.username}@{domain}",
            }
            for account in accounts
            if account.site == domain
        ]
        config.secretly(home / "users.json", json.dumps(users))
        ready = home / "ready.json"
        ready.unlink(missing_ok=True)
        command = ["-m", "cs3collab", "gateway", "--root", str(home / "storage"), "--users", str(home / "users.json")]
        command += ["--site", domain, "--port", str(port), "--http-port", "0", "--mesh", str(mesh), "--ready-file", str(ready)]
        process = processes[f"gateway {domain}"] = DemoProcess(f"the gateway of {domain}", command, home)
        stack.push_async_callback(process.stop)
        await process.start()
        await process.ready_file(ready)
    return {domain: f"127.0.0.1:{port}" for domain, port in ports.items()}


async def _real(
    stack: AsyncExitStack,
    folder: Path,
    domains: Sequence[str],
    accounts: Sequence[Account],
    processes: dict[str, DemoProcess],
    revad: Path,
) -> dict[str, str]:
    if not os.access(revad, os.X_OK):
        raise InvalidInput(f"there is no revad at {revad}", hint="make reva builds one; or --reva PATH")
    ports = iter(free_ports(len(domains) * len(config.V2_PORTS)))
    plans = [
        config.Plan(
            domain=domain,
            folder=folder / domain / "reva",
            ports={name: next(ports) for name in config.V2_PORTS},
            users=[config.account(a.username, a.name, a.password, domain) for a in accounts if a.site == domain],
            driver=DRIVER,
            jwt_secret=secrets.token_hex(32),
            machine_secret=secrets.token_hex(16),
            service_secret=secrets.token_hex(16),
        )
        for domain in domains
    ]
    mesh = config.providers(plans)
    for plan in plans:
        config.write(plan, config.v2(plan), mesh)
        command = ["-dev-dir", str(plan.folder / "conf")]
        process = DemoProcess(f"the revad of {plan.domain}", command, plan.folder, program=str(revad))
        processes[f"gateway {plan.domain}"] = process
        stack.push_async_callback(process.stop)
        await process.start()
    for plan in plans:
        account = next(account for account in accounts if account.site == plan.domain)
        await processes[f"gateway {plan.domain}"].ready(partial(_answers, plan, account))
    return {plan.domain: plan.at("grpc") for plan in plans}


async def _answers(plan: config.Plan, account: Account) -> str | None:
    try:
        async with Gateway(plan.at("grpc")) as gateway:
            return await BasicToken(gateway, account.username, account.password).token()
    except CollabError:
        return None
