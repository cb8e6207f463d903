"""Two embedded gateways in a mesh, as a target of the suite."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from conformance.cs3.cases import System
from conformance.cs3.wire import Endpoint
from conformance.cs3.world import Target
from support.issuer import Issuer, issuer
from support.sites import USERS, user

from cs3collab.gateway.config import GatewayConfig, PeerRecord
from cs3collab.gateway.server import EmbeddedGateway

SECRET = "a secret of the suite's gateways, long enough"
SERVICE = ("service", "service-secret")


PROFILES = {System.V2: "decomposed", System.V3: "nolocks"}


def config(root: Path, domain: str, profile: str, issuer: str) -> GatewayConfig:
    return GatewayConfig(
        root=root,
        # as those of `support.reva`: v3 lists received shares by user name
        users=[user(name) if profile == "decomposed" else replace(user(name), opaque_id=name) for name in USERS],
        site=domain,
        jwt_secret=SECRET,
        machine_secret="machine-secret",
        service_accounts=dict([SERVICE]),
        profile=profile,
        issuer=issuer,
    )


def endpoint(gateway: EmbeddedGateway, provider: Issuer) -> Endpoint:
    settings = gateway.config
    passwords = {record.username: record.secret for record in settings.users}
    return Endpoint(
        gateway.address,
        settings.site,
        passwords,
        SECRET,
        settings.machine_secret,
        SERVICE,
        SECRET,
        lambda opaque_id, name, life_s: provider.token(opaque_id, name, settings.site, life_s=life_s),
    )


@contextlib.asynccontextmanager
async def embedded(root: Path, system: System) -> AsyncIterator[Target]:
    for folder in ("a", "b"):
        (root / folder).mkdir()
    async with (
        issuer() as provider,
        EmbeddedGateway(config(root / "a", "a.example", PROFILES[system], provider.url)) as a,
        EmbeddedGateway(config(root / "b", "b.example", PROFILES[system], provider.url)) as b,
    ):
        a.config.peers["b.example"] = PeerRecord(b.address, "b.example")
        b.config.peers["a.example"] = PeerRecord(a.address, "a.example")
        yield Target(system, endpoint(a, provider), endpoint(b, provider))
