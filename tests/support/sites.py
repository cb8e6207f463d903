"""Whole sites for tests: embedded gateways, one or two in a mesh, shares between their users, and real Jupyter servers on them.

Use as ``from support.sites import site, two_sites, share_ocm, jupyter_server``.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from cs3collab.cs3 import shares
from cs3collab.cs3.auth import BasicToken
from cs3collab.cs3.files import Files
from cs3collab.cs3.gateway import Gateway
from cs3collab.cs3.session import Session
from cs3collab.errors import AlreadyExists
from cs3collab.gateway.config import GatewayConfig, PeerRecord, ProjectRecord, UserRecord
from cs3collab.gateway.server import EmbeddedGateway
from cs3collab.types import FileInfo, Ref, Role

USERS = ("einstein", "marie", "richard")
NAMES = {"einstein": "Albert Einstein", "marie": "Marie Curie", "richard": "Richard Feynman"}
GROUPS: Mapping[str, tuple[str, ...]] = {"marie": ("physics", "chemistry"), "richard": ("physics",)}
START_S = 45.0
"""How long a Jupyter server may take to start, seconds; two are fast, and the machine may be busy."""
STOP_S = 15.0


def user(name: str) -> UserRecord:
    """Password is ``<name>-secret``, home folder ``users/<name>-id``."""
    return UserRecord(
        f"{name}-id",
        name,
        f"{name}-secret",
        mail=f"{name}@example.org",
        display_name=NAMES.get(name, name.title()),
        groups=GROUPS.get(name, ()),
    )


@dataclass
class SiteBase:
    """What tests need of a running site, whatever it runs on. What is opened here is closed with it."""

    name: str
    root: Path
    _sessions: dict[str, Session] = field(default_factory=dict, init=False)

    @property
    def address(self) -> str:
        """``host:port`` of the gRPC gateway."""
        raise NotImplementedError

    def password(self, username: str) -> str:
        raise NotImplementedError

    async def session(self, username: str) -> Session:
        if username not in self._sessions:
            gateway = Gateway(self.address)
            try:
                self._sessions[username] = await Session.open(gateway, BasicToken(gateway, username, self.password(username)))
            except BaseException:
                await gateway.close()
                raise
        return self._sessions[username]

    async def files(self, username: str) -> Files:
        return Files(await self.session(username))

    async def ref(self, username: str, path: str = "") -> Ref:
        """The reference to a path in the user's home."""
        home = await (await self.files(username)).home()
        return Ref(f"{home.rstrip('/')}/{path}" if path else home)

    async def put(self, username: str, path: str, content: bytes) -> FileInfo:
        """Writes a file into the user's home, and makes its folder."""
        files = await self.files(username)
        folder = path.rpartition("/")[0]
        if folder:
            with contextlib.suppress(AlreadyExists):
                await files.mkdir(await self.ref(username, folder))
        ref = await self.ref(username, path)
        await files.write(ref, content)
        return await files.stat(ref)

    async def read(self, username: str, path: str) -> bytes:
        return await (await self.files(username)).read(await self.ref(username, path), max_bytes=2**30)

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.gateway.close()
        self._sessions.clear()


@dataclass
class Site(SiteBase):
    """A site on an embedded gateway."""

    gateway: EmbeddedGateway
    config: GatewayConfig

    @property
    def address(self) -> str:
        return self.gateway.address

    def password(self, username: str) -> str:
        return next(u.secret for u in self.config.users if u.username == username)

    def folder(self, username: str) -> Path:
        """The user's home on this machine's disk."""
        opaque_id = next(u.opaque_id for u in self.config.users if u.username == username)
        return self.root / "users" / opaque_id


@contextlib.asynccontextmanager
async def site(
    tmp_path: Path,
    name: str = "a.example",
    users: Sequence[str | UserRecord] = USERS,
    projects: Mapping[str, Mapping[str, str]] | None = None,
    **settings: Any,
) -> AsyncIterator[Site]:
    """A site over ``tmp_path/<name>``. `projects` maps a name to members, and these to manager, editor or viewer.

    `settings` go to `GatewayConfig`, e.g. ``token_lifetime_s``.
    """
    root = tmp_path / name
    root.mkdir(parents=True, exist_ok=True)
    config = GatewayConfig(
        root=root,
        users=[user(u) if isinstance(u, str) else u for u in users],
        projects=tuple(
            ProjectRecord(project, {f"{member}-id": role for member, role in members.items()})
            for project, members in (projects or {}).items()
        ),
        site=name,
        **settings,
    )
    async with EmbeddedGateway(config) as gateway:
        running = Site(name, root, gateway, config)
        try:
            yield running
        finally:
            await running.close()


@contextlib.asynccontextmanager
async def two_sites(
    tmp_path: Path,
    a: str = "a.example",
    b: str = "b.example",
    users: Sequence[str | UserRecord] = USERS,
    **settings: Any,
) -> AsyncIterator[tuple[Site, Site]]:
    """Two sites that know each other in a mesh, each with all `users`. `settings` as for `site`."""
    async with site(tmp_path, a, users, **settings) as site_a, site(tmp_path, b, users, **settings) as site_b:
        site_a.config.peers[b] = PeerRecord(site_b.address, b)
        site_b.config.peers[a] = PeerRecord(site_a.address, a)
        yield site_a, site_b


async def share_local(at: SiteBase, owner: str, receiver: str, path: str, role: Role = Role.EDITOR) -> str:
    """Shares within a site and accepts; the share's id."""
    giver, taker = await at.session(owner), await at.session(receiver)
    share = await shares.create_share(giver, await at.ref(owner, path), taker.user, role)
    await shares.accept_share(taker, share.id)
    return share.id


async def share_ocm(a: SiteBase, b: SiteBase, owner: str, receiver: str, path: str, role: Role = Role.EDITOR) -> str:
    """Shares `path` of `owner` at `a` with `receiver` at `b`, who accepts; the id of the *received* share at `b`.

    The two exchange an invitation first if they have not.
    """
    giver, taker = await a.session(owner), await b.session(receiver)
    with contextlib.suppress(AlreadyExists):
        await shares.forward_invite(taker, (await shares.generate_invite(giver)).token, a.name)
    known = await shares.accepted_users(giver)
    # how a site writes the id of a user elsewhere is its own affair
    recipient = next((u for u in known if (u.mail, u.display_name) == (taker.user.mail, taker.user.display_name)), None)
    assert recipient is not None, f"{owner} does not know {receiver}: {known}"
    info = await (await a.files(owner)).stat(await a.ref(owner, path))
    share = await shares.create_ocm_share(giver, info.id, recipient, role)
    received = await shares.list_received_ocm_shares(taker)
    found = next((r for r in received if r.remote_share_id == share.id), None)
    assert found is not None, f"{receiver} did not receive share {share.id}: {received}"
    await shares.accept_ocm_share(taker, found.id)
    return found.id


@dataclass
class JupyterServer:
    """A running Jupyter server. ``url`` ends with a slash; ``token`` goes into the Authorization header (`headers`)."""

    url: str
    token: str = field(repr=False)
    process: asyncio.subprocess.Process
    log: Path
    folder: Path
    start: Callable[[], Awaitable[asyncio.subprocess.Process]] = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"token {self.token}"}

    def tail(self, size: int = 6000) -> str:
        """The end of what the server printed."""
        return self.log.read_text(errors="replace")[-size:]

    async def request(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        """Status and answer (parsed if it is JSON) of a REST call; `path` without slash, e.g. ``api/contents/x.ipynb``."""
        timeout = aiohttp.ClientTimeout(total=30)
        sent = None if body is None else io.BytesIO(json.dumps(body).encode())
        async with (
            aiohttp.ClientSession(headers=self.headers, timeout=timeout) as http,
            http.request(method, self.url + path, data=sent, **options) as answer,
        ):
            text = await answer.text()
            try:
                return answer.status, json.loads(text)
            except json.JSONDecodeError:
                return answer.status, text

    async def kill(self) -> None:
        """As ``kill -9``: the process has no time to save anything."""
        self.process.kill()
        await self.process.wait()

    async def restart(self) -> None:
        """After `kill`: the same server again, at the same URL."""
        path = self.folder / "config" / "jupyter_server_config.json"
        settings = json.loads(path.read_text())
        settings["ServerApp"]["port"] = urlsplit(self.url).port
        path.write_text(json.dumps(settings))
        self.process = await self.start()
        await _ready(self)


@contextlib.asynccontextmanager
async def jupyter_server(
    at: SiteBase,
    username: str,
    *,
    relay: str | None = None,
    relays: Mapping[str, str] | None = None,
    folder: Path | None = None,
    live: bool = True,
    app: str = "jupyterlab",
    config: Mapping[str, Mapping[str, Any]] | None = None,
    password: str | None = None,
) -> AsyncIterator[JupyterServer]:
    """A real JupyterLab (or ``app="jupyter_server"``) of a user of the site, with files, ids, identity and rooms of cs3collab.

    `relay` is the URL of the site's relay; None has the server hold its rooms itself. ``live=False`` leaves our server
    extension out, and the stock one too: plain files on CS3. `folder` keeps what must survive a restart; `config` adds
    traits by class name.
    """
    folder = folder or at.root.parent / f"jupyter-{username}-{at.name}-{secrets.token_hex(3)}"
    token = secrets.token_hex(16)
    for name in ("config", "data", "runtime", "work"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    settings = _configuration(at, username, relay, relays or {}, folder, live)
    for section, traits in (config or {}).items():
        settings.setdefault(section, {}).update(traits)
    (folder / "config" / "jupyter_server_config.json").write_text(json.dumps(settings))
    with contextlib.suppress(FileNotFoundError):
        (folder / "server.log").unlink()
    server = await _start(folder, token, app, password if password is not None else at.password(username))
    try:
        server.url = await _ready(server)
        yield server
    finally:
        await _stop(server)


def _configuration(
    at: SiteBase, username: str, relay: str | None, relays: Mapping[str, str], folder: Path, live: bool
) -> dict[str, dict[str, Any]]:
    return {
        "ServerApp": {
            "ip": "127.0.0.1",
            "port": 0,
            "open_browser": False,
            "allow_root": True,
            "root_dir": str(folder / "work"),
            "contents_manager_class": "cs3collab.jupyter.contents.CS3ContentsManager",
            "identity_provider_class": "cs3collab.jupyter.identity.CS3IdentityProvider",
            "jpserver_extensions": {
                "jupyter_server_ydoc": False,
                "nbdime": False,
                "cs3collab": live,
                "jupyter_server_fileid": True,
            },
        },
        "FileIdExtension": {"file_id_manager_class": "cs3collab.jupyter.fileid.CS3FileIdManager"},
        "CS3Settings": {
            "gateway": at.address,
            "username": username,
            "site": at.name,
            "store_dir": str(folder / "store"),
            "relay": relay or "",
            "relays": dict(relays),
        },
        "LabApp": {"news_url": None, "expose_app_in_browser": True},
    }


async def _start(folder: Path, token: str, app: str, password: str) -> JupyterServer:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "CS3COLLAB"))}
    environment |= {
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_TOKEN": token,
        "CS3COLLAB_PASSWORD": password,
    }
    log = folder / "server.log"

    async def start() -> asyncio.subprocess.Process:
        with log.open("ab") as output:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                app,
                stdout=output,
                stderr=output,
                stdin=asyncio.subprocess.DEVNULL,
                env=environment,
                cwd=folder / "work",
                start_new_session=True,
            )

    return JupyterServer("", token, await start(), log, folder, start)


async def _ready(server: JupyterServer) -> str:
    """The server's URL, once it answers. Jupyter writes it to a file named after its process."""
    told = server.folder / "runtime" / f"jpserver-{server.process.pid}.json"
    try:
        async with asyncio.timeout(START_S), aiohttp.ClientSession(headers=server.headers) as http:
            while True:
                if server.process.returncode is not None:
                    raise RuntimeError(f"Jupyter ended with {server.process.returncode}:\n{server.tail()}")
                with contextlib.suppress(FileNotFoundError, json.JSONDecodeError, aiohttp.ClientError):
                    url = str(json.loads(told.read_text())["url"])
                    async with http.get(url + "api/status") as answer:
                        if answer.status == 200:
                            return url
                await asyncio.sleep(0.05)
    except TimeoutError as error:
        raise RuntimeError(f"Jupyter did not answer within {START_S:.0f} s:\n{server.tail()}") from error


async def _stop(server: JupyterServer) -> None:
    process = server.process
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
    finally:
        # kernels that outlived their server: the process group is ours alone
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
