"""Two real revads in a mesh, as a target of the suite."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from conformance.cs3.cases import System
from conformance.cs3.wire import Endpoint
from conformance.cs3.world import Target
from support.issuer import Issuer, issuer
from support.reva import RevaSite, reva_mesh


def endpoint(site: RevaSite, provider: Issuer) -> Endpoint:
    plan = site.plan
    passwords = {name: site.password(name) for name in site.users}
    service = ("service", plan.service_secret)
    idp = plan.users[0]["id"]["idp"]
    return Endpoint(
        site.address,
        site.name,
        passwords,
        plan.jwt_secret,
        plan.machine_secret,
        service,
        plan.jwt_secret,
        lambda opaque_id, name, life_s: provider.token(opaque_id, name, idp, life_s=life_s),
    )


@contextlib.asynccontextmanager
async def real(kind: str, root: Path, system: System) -> AsyncIterator[Target]:
    """`kind` as in `support.reva.REVADS`."""
    async with issuer() as provider, reva_mesh(kind, root, issuer=provider.url) as (a, b):
        yield Target(system, endpoint(a, provider), endpoint(b, provider))
