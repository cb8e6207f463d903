"""What `cs3collab doctor` looks at, in the order in which one thing needs the other."""

from __future__ import annotations

import enum
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, field

import aiohttp

from cs3collab.cs3 import shares
from cs3collab.cs3.auth import TokenProvider, token_expiry
from cs3collab.cs3.blobs import CS3Blobs
from cs3collab.cs3.capabilities import MEANINGS, PREFIX, Meaning, probe, remove
from cs3collab.cs3.files import Files
from cs3collab.cs3.gateway import Gateway
from cs3collab.cs3.session import Session
from cs3collab.errors import CollabError, Corrupt, NotAuthenticated, PeerUnavailable
from cs3collab.relay import protocol
from cs3collab.types import FileInfo, Ref

SKEW_WEAK_S, SKEW_FATAL_S = 2.0, 20.0
"""Clocks further apart than this are told, and make locks of a minute useless. Half a lease is the end of it."""
SHORT_TOKEN_S = 120.0
SAMPLE_BYTES = 100_003
"""No multiple of any block, and more than one packet."""
ANSWER_S = 10.0


class State(enum.StrEnum):
    OK = "ok"
    WEAK = "weak"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """``means``: for people who edit together; ``change``: what an operator can do about it."""

    what: str
    state: State
    found: str = ""
    means: str = ""
    change: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined. ``folder`` empty: the user's home. ``relay`` is the site's own, ``peers`` others by domain."""

    gateway: Gateway
    tokens: TokenProvider = field(repr=False)
    folder: str = ""
    relay: str = ""
    peers: dict[str, str] = field(default_factory=dict)


async def examine(patient: Patient) -> AsyncIterator[Finding]:
    """One finding after the other. What cannot be tried without what failed before is left out."""
    began = time.monotonic()
    try:
        session = await Session.open(patient.gateway, patient.tokens)
    except CollabError as error:
        yield failed("gateway and login", error, "nobody can open anything")
        return
    took = (time.monotonic() - began) * 1000
    yield Finding("gateway and login", State.OK, f"{session.user.label} at {patient.gateway.address}, {took:.0f} ms")
    yield token_finding(token_expiry(await patient.tokens.token()), time.time())
    async for finding in _storage(Files(session), patient.folder):
        yield finding
    yield await _listed("shares", shares.list_shares(session))
    yield await _listed("sites of the mesh", shares.list_providers(session))
    if patient.relay:
        yield await relay_finding(patient.relay, patient.tokens)
    for domain, url in patient.peers.items():
        yield await peer_finding(domain, url)


def token_finding(expires_at: float | None, now: float) -> Finding:
    """`expires_at` and `now` in Unix seconds."""
    if expires_at is None:
        return Finding("life of the token", State.OK, "not said: it is used until it is refused")
    left = expires_at - now
    if left < SHORT_TOKEN_S:
        means = "it has to be renewed all the time, and a short outage of the login ends live editing"
        return Finding(
            "life of the token", State.WEAK, f"{left:.0f} s", means, "let the gateway give tokens of an hour or more"
        )
    return Finding("life of the token", State.OK, f"{left / 3600:.1f} h")


async def _storage(files: Files, folder: str) -> AsyncIterator[Finding]:
    try:
        place = await CS3Blobs(files, folder).make() if folder else Ref(await files.home())
    except CollabError as error:
        yield failed(f"folder {folder}" if folder else "home", error, "there is nowhere to try anything")
        return
    yield Finding(f"folder {folder}" if folder else "home", State.OK, place.path)
    try:
        info, before, after = await _round_trip(files, place)
    except CollabError as error:
        yield failed("write, read, delete", error, "notebooks cannot be saved")
        return
    yield Finding("write, read, delete", State.OK, f"{SAMPLE_BYTES} bytes and back in {(after - before) * 1000:.0f} ms")
    yield clock_finding(info.mtime, before, after)
    try:
        found = await probe(files, place)
    except CollabError as error:
        yield failed("what the storage can do", error, "nothing is known of locks and conditions")
        return
    for name, meaning in MEANINGS.items():
        yield capability_finding(meaning, getattr(found, name))


async def _round_trip(files: Files, folder: Ref) -> tuple[FileInfo, float, float]:
    """What Stat says of a file that was written between two times (Unix seconds). Raises `Corrupt` for other bytes."""
    ref = Ref(f"{folder.path.rstrip('/')}/{PREFIX}{secrets.token_hex(8)}", folder.resource_id)
    content = os.urandom(SAMPLE_BYTES)
    before = time.time()
    await files.write(ref, content)
    try:
        after = time.time()
        info = await files.stat(ref)
        if info.size != len(content) or await files.read(ref, max_bytes=2 * SAMPLE_BYTES) != content:
            raise Corrupt(f"{len(content)} bytes were written, other {info.size} came back", hint="do not use this storage")
    finally:
        await remove(files, folder, ref)
    return info, before, after


def clock_finding(mtime: float, before: float, after: float) -> Finding:
    """`mtime` is the storage's time of a write that happened between `before` and `after` of ours; Unix seconds."""
    skew = mtime - after if mtime > after else min(0.0, mtime + 1 - before)  # some storages cut to seconds
    found = f"{abs(skew):.1f} s {'ahead' if skew > 0 else 'behind'}" if skew else "as ours"
    if abs(skew) <= SKEW_WEAK_S:
        return Finding("clock of the storage", State.OK, found)
    state = State.FAILED if abs(skew) > SKEW_FATAL_S else State.WEAK
    means = "locks end too early or too late, and times in the history are off"
    return Finding("clock of the storage", state, found, means, "synchronise both machines (NTP)")


def capability_finding(meaning: Meaning, found: bool | None) -> Finding:
    if found is None:
        return Finding(meaning.what, State.UNKNOWN, "could not be tried as this user")
    if found:
        return Finding(meaning.what, State.OK, "yes")
    return Finding(meaning.what, State.WEAK, "no", meaning.without, meaning.change)


async def _listed(what: str, asked: Awaitable[Sequence[object]]) -> Finding:
    try:
        return Finding(what, State.OK, f"{len(await asked)} known")
    except CollabError as error:
        return Finding(what, State.WEAK, error.message, "people cannot share or be found this way", error.hint)


_PLAIN = {"ws": "http", "wss": "https"}
_NO_RELAY = "no live editing through it"
_PROXIES = "check that it runs, and that proxies pass websockets on /link"


async def relay_finding(url: str, tokens: TokenProvider) -> Finding:
    """Whether the relay lets this user link to it, as a Jupyter server would, through all proxies between."""
    what, began = f"relay {url}", time.monotonic()
    try:
        await _link(url, await tokens.token())
    except aiohttp.WSServerHandshakeError as error:
        if error.status in (401, 403):
            change = "name the same gateway in its configuration"
            return Finding(what, State.FAILED, f"HTTP {error.status}", "it does not know this user", change)
        return Finding(what, State.FAILED, f"HTTP {error.status}", _NO_RELAY, _PROXIES)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return Finding(what, State.FAILED, str(error) or "no answer", _NO_RELAY, _PROXIES)
    except CollabError as error:
        return failed(what, error, _NO_RELAY)
    return Finding(what, State.OK, f"linked in {(time.monotonic() - began) * 1000:.0f} ms")


async def _link(url: str, token: str) -> None:
    """A ping and its answer. Raises `PeerUnavailable` and what aiohttp raises."""
    async with (
        _http() as http,
        http.ws_connect(
            url.rstrip("/") + protocol.LINK_PATH,
            headers={"Authorization": f"Bearer {token}"},
            protocols=[protocol.SUBPROTOCOL],
            autoping=False,
        ) as ws,
    ):
        if ws.protocol != protocol.SUBPROTOCOL:
            raise PeerUnavailable(f"it does not speak {protocol.SUBPROTOCOL}", hint=_PROXIES)
        await ws.ping()
        if (await ws.receive(ANSWER_S)).type is not aiohttp.WSMsgType.PONG:
            raise PeerUnavailable("it closed the link at once", hint=_PROXIES)


async def peer_finding(domain: str, url: str) -> Finding:
    """Whether another site's relay answers. It admits nobody without a share, so it has to refuse us in its own words."""
    what = f"relay of {domain}"
    try:
        async with _http() as http, http.get(http_url(url) + protocol.LINK_PATH) as answer:
            refused = answer.content_type == "application/json" and (await answer.json()).get("error") == NotAuthenticated.kind
            if not (answer.status == NotAuthenticated.http_status and refused):
                raise PeerUnavailable(f"what answers at {url} is no relay (HTTP {answer.status})", hint=_PROXIES)
    except (aiohttp.ClientError, ValueError, TimeoutError, OSError) as error:
        return Finding(what, State.FAILED, str(error) or "no answer", _NO_RELAY, _PROXIES)
    except CollabError as error:
        return failed(what, error, _NO_RELAY)
    return Finding(what, State.OK, f"answers at {url}")


def http_url(url: str) -> str:
    """``wss`` as ``https``, for what is no websocket."""
    scheme, _, rest = url.rstrip("/").partition("://")
    return f"{_PLAIN.get(scheme, scheme)}://{rest}"


def _http() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S))


def failed(what: str, error: CollabError, means: str) -> Finding:
    return Finding(what, State.FAILED, error.message, means, error.hint)
