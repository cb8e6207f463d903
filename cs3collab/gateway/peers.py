"""The other sites of the mesh: their gateways over gRPC and their OCM endpoints over HTTP."""

from __future__ import annotations

from typing import Any, Final

import aiohttp
import msgspec
from cs3.gateway.v1beta1 import gateway_api_pb2
from cs3.ocm.provider.v1beta1 import provider_api_pb2 as mesh

from cs3collab.cs3.auth import OCMShareToken
from cs3collab.cs3.gateway import Gateway
from cs3collab.cs3.session import Session
from cs3collab.cs3.sharing import from_provider
from cs3collab.errors import CollabError, PeerUnavailable
from cs3collab.gateway.config import GatewayConfig, PeerRecord
from cs3collab.gateway.status import (
    ABORTED,
    ALREADY_EXISTS,
    INTERNAL,
    INVALID_ARGUMENT,
    LOCKED,
    NOT_FOUND,
    PERMISSION_DENIED,
    UNAVAILABLE,
    UNIMPLEMENTED,
    Refused,
    not_found,
)

DEADLINE_S: Final = 10.0
_SESSIONS: Final = 1000
"""Logins at other sites that are kept; the oldest is dropped past it, and made anew when needed."""

_CODES: Final = {
    "not_found": NOT_FOUND,
    "not_authenticated": NOT_FOUND,  # the share is gone
    "not_authorized": PERMISSION_DENIED,
    "already_exists": ALREADY_EXISTS,
    "lock_held": LOCKED,
    "lease_lost": ABORTED,
    "version_conflict": ABORTED,
    "conflict": ABORTED,
    "invalid_input": INVALID_ARGUMENT,
    "unsupported": UNIMPLEMENTED,
    "unavailable": UNAVAILABLE,
    "storage_unavailable": UNAVAILABLE,
    "peer_unavailable": UNAVAILABLE,
    "deadline_exceeded": UNAVAILABLE,
}


class Peers:
    """Connects when first asked. Used from the event loop."""

    def __init__(self, config: GatewayConfig) -> None:
        self._config = config
        self._gateways: dict[str, Gateway] = {}
        self._sessions: dict[tuple[str, str, str], Session] = {}
        self._http: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        for gateway in self._gateways.values():
            await gateway.close()
        if self._http is not None:
            await self._http.close()

    def record(self, domain: str) -> PeerRecord:
        """Raises NOT_FOUND for a site that is not in the mesh."""
        record = self._config.peers.get(domain)
        if record is None:
            raise not_found(f"the site {domain[:80]!r} is not in the mesh")
        return record

    def session(self, domain: str, share_id: str, secret: str) -> Session:
        """A login at `domain` for one of its OCM shares. Raises NOT_FOUND."""
        gateway = self._gateway(domain)
        key = (gateway.address, share_id, secret)
        if key not in self._sessions:
            while len(self._sessions) >= _SESSIONS:
                del self._sessions[next(iter(self._sessions))]
            self._sessions[key] = Session(gateway, OCMShareToken(gateway, share_id, secret))
        return self._sessions[key]

    async def login(self, domain: str, share_id: str, secret: str) -> tuple[Any, str]:
        """The recipient of a share as `domain` knows them, and a token. Raises NOT_FOUND, or `CollabError`.

        Not asked with WhoAmI, which Reva v3 refuses to the token of a share.
        """
        request = gateway_api_pb2.AuthenticateRequest(type="ocmshares", client_id=share_id, client_secret=secret)
        answer = await self._gateway(domain).call("Authenticate", request)
        return answer.user.id, str(answer.token)

    async def post(self, domain: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Sends JSON to the OCM endpoint of `domain`. Raises `Refused` for its refusal and when it cannot be reached."""
        try:
            url = await self._ocm_url(domain)
            if self._http is None:
                self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE_S))
            async with self._http.post(f"{url.rstrip('/')}/{path}", data=msgspec.json.encode(body), headers=_JSON) as answer:
                text = await answer.content.read(64 * 1024)
                if answer.status >= 400:
                    raise _refusal(domain, answer.status, text)
                return msgspec.json.decode(text, type=dict[str, Any]) if text else {}
        except (aiohttp.ClientError, TimeoutError, msgspec.MsgspecError) as error:
            raise Refused(UNAVAILABLE, f"{domain} cannot be reached: {type(error).__name__}") from error
        except Refused:
            raise
        except CollabError as error:
            raise refused_by(error) from error

    def _gateway(self, domain: str) -> Gateway:
        address = self.record(domain).gateway
        if address not in self._gateways:
            try:
                self._gateways[address] = Gateway(address, timeout_s=DEADLINE_S)
            except CollabError as error:
                raise refused_by(error) from error
        return self._gateways[address]

    async def _ocm_url(self, domain: str) -> str:
        if known := self.record(domain).ocm_url:
            return known
        found = (await self._gateway(domain).call("ListAllProviders", mesh.ListAllProvidersRequest())).providers
        url = next((from_provider(info).services.get("ocm", "") for info in found if info.domain == domain), "")
        if not url:
            raise PeerUnavailable(f"{domain} has no OCM endpoint", hint="set its ocm_url in the mesh file")
        return url


_JSON: Final = {"Content-Type": "application/json"}


def refused_by(error: CollabError) -> Refused:
    """A peer's error as our answer."""
    return Refused(_CODES.get(error.kind, INTERNAL), error.message)


def _refusal(domain: str, status: int, text: bytes) -> Refused:
    said = text.decode(errors="replace").strip()[:200]
    code = {403: PERMISSION_DENIED, 404: NOT_FOUND, 409: ALREADY_EXISTS, 400: INVALID_ARGUMENT}.get(status, INTERNAL)
    return Refused(code, f"{domain} refused: {said or status}")
