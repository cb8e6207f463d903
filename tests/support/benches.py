"""The site that the storage contract is tested on, whatever it runs on."""

from __future__ import annotations

import time

import jwt
from conformance.storage import Bench
from support.sites import SiteBase, share_local

from cs3collab.cs3.auth import BearerToken
from cs3collab.cs3.files import Files
from cs3collab.cs3.session import Session
from cs3collab.rooms.ports import Storage
from cs3collab.types import FileInfo, Role


def expired_token(valid: str, jwt_secret: str) -> str:
    """The same token, as its gateway would have made it a day and an hour ago."""
    claims = jwt.decode(valid, options={"verify_signature": False})
    claims |= {"iat": int(time.time()) - 90_000, "exp": int(time.time()) - 3_600}
    return jwt.encode(claims, jwt_secret, "HS256")


async def bench_on(running: SiteBase, jwt_secret: str, *, bare: bool = False) -> Bench:
    """`bare` is a storage without conditions, locks and roles."""
    owner = await running.files("einstein")
    folder = await running.ref("einstein", "bench")
    await owner.mkdir(folder)
    token = expired_token(await owner.session.tokens.token(), jwt_secret)

    async def share(info: FileInfo, role: Role) -> Storage:
        await share_local(running, "einstein", "marie", f"bench/{info.name}", role)
        return await running.files("marie")

    expired = Files(Session(owner.session.gateway, BearerToken(token)))
    if bare:
        return Bench(owner, folder, expired=expired, conditions=False, locks=False)
    return Bench(owner, folder, share, await running.files("richard"), expired)
