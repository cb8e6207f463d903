"""An identity provider for tests: OpenID Connect as far as a gateway asks for it, on 127.0.0.1, with a key of its own.

Use as ``async with issuer() as provider``; ``provider.token(...)`` is what a login there would have given.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

_KEY: Final = "test"


@dataclass
class Issuer:
    """``url`` is the issuer. Reva v3 reads the token, which it proves by the key; v2 asks for the person (``userinfo``)."""

    url: str = ""
    people: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    key: Any = field(default_factory=lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048), repr=False)

    def token(self, opaque_id: str, username: str, idp: str, *, life_s: float = 300.0) -> str:
        """For a person of the site whose accounts have `idp`."""
        now = time.time()
        claims = {"iss": self.url, "sub": opaque_id, "aud": "test", "iat": int(now), "exp": int(now + life_s)}
        token = jwt.encode(claims, self.key, "RS256", headers={"kid": _KEY})
        self.people[token] = {
            "iss": idp,
            "sub": opaque_id,
            "preferred_username": username,
            "name": username.title(),
            "email": f"{username}@example.org",
        }
        return token

    async def configuration(self, request: web.Request) -> web.Response:
        paths = {
            "authorization_endpoint": "/auth",
            "token_endpoint": "/token",
            "jwks_uri": "/keys",
            "userinfo_endpoint": "/who",
        }
        found = {name: self.url + path for name, path in paths.items()}
        return web.json_response({"issuer": self.url, "id_token_signing_alg_values_supported": ["RS256"], **found})

    async def keys(self, request: web.Request) -> web.Response:
        key = json.loads(RSAAlgorithm.to_jwk(self.key.public_key()))
        return web.json_response({"keys": [key | {"kid": _KEY, "alg": "RS256", "use": "sig"}]})

    async def who(self, request: web.Request) -> web.Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        person = self.people.get(token)
        if person and jwt.decode(token, options={"verify_signature": False})["exp"] <= time.time():
            person = None
        return web.json_response(person) if person else web.json_response({"error": "invalid_token"}, status=401)


@contextlib.asynccontextmanager
async def issuer() -> AsyncIterator[Issuer]:
    provider = Issuer()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", provider.configuration)
    app.router.add_get("/keys", provider.keys)
    app.router.add_get("/who", provider.who)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield provider
    finally:
        await runner.cleanup()
