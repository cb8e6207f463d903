"""Two sites on this machine: gateways, relays, three JupyterLabs, and one notebook shared between them."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp

from cs3collab.cs3 import shares
from cs3collab.cs3.auth import BasicToken
from cs3collab.cs3.files import Files
from cs3collab.cs3.gateway import Gateway
from cs3collab.cs3.session import Session
from cs3collab.demo.gateways import Account, start_gateways
from cs3collab.demo.processes import DemoProcess, free_ports
from cs3collab.errors import CollabError
from cs3collab.limits import DEFAULT
from cs3collab.relay.config import GatewayConfig, RelayConfig, ServeConfig, StoreConfig, dump
from cs3collab.types import Ref, Role

SITE_A, SITE_B = "a.example", "b.example"
PAGE_CONFIG = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True, "nbdime-jupyterlab": True}}
"""For JupyterLab: no question about news in a corner of every new page, no buttons for git where there is none."""


@dataclass(frozen=True, slots=True)
class Person:
    username: str
    name: str
    site: str
    role: str
    path: str
    """Of the notebook, as their JupyterLab shows it."""


@dataclass(frozen=True, slots=True)
class Lab:
    """A person's running JupyterLab. ``url`` ends without slash."""

    person: Person
    url: str
    token: str

    @property
    def link(self) -> str:
        """What to open in a browser."""
        return f"{self.url}/lab/tree/{self.person.path}?token={self.token}"


@dataclass(frozen=True, slots=True)
class DemoSite:
    domain: str
    gateway: str
    relay: str


@dataclass(frozen=True, slots=True)
class World:
    sites: dict[str, DemoSite]
    labs: list[Lab]
    """Owner, editor, viewer."""
    notebook: str
    passwords: dict[str, str]
    processes: dict[str, DemoProcess] = field(default_factory=dict)
    """By what they are: ``gateway DOMAIN``, ``relay DOMAIN``, ``jupyter USERNAME``."""

    @property
    def owner(self) -> Lab:
        return self.labs[0]

    @property
    def editor(self) -> Lab:
        return self.labs[1]

    @property
    def viewer(self) -> Lab:
        return self.labs[2]

    @asynccontextmanager
    async def session(self, person: Person) -> AsyncIterator[Session]:
        """The person's session at their site's gateway."""
        async with Gateway(self.sites[person.site].gateway) as gateway:
            yield await Session.open(gateway, BasicToken(gateway, person.username, self.passwords[person.username]))

    async def stored(self) -> tuple[bytes, str]:
        """What the owner's storage holds now, and its etag."""
        async with self.session(self.owner.person) as session:
            files = Files(session)
            ref = Ref(f"{await files.home()}/{self.notebook}")
            return await files.read(ref, max_bytes=2**30), (await files.stat(ref)).etag


@asynccontextmanager
async def open_world(
    folder: Path, content: bytes, name: str, say: Any = print, *, revad: Path | None = None
) -> AsyncIterator[World]:
    """Starts everything in `folder`, shares `content` as `name`; ends everything on the way out. Raises `CollabError`.

    `revad` is a Reva v2 to be the storage of both sites, instead of embedded gateways.
    """
    people = [
        Person("einstein", "Albert Einstein", SITE_A, "owner", name),
        Person("marie", "Marie Curie", SITE_B, "editor", f"Shares/{name}"),
        Person("richard", "Richard Feynman", SITE_B, "viewer", f"Shares/{name}"),
    ]
    passwords = {person.username: secrets.token_urlsafe(9) for person in people}
    for site in (SITE_A, SITE_B):
        (folder / site).mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        say(f"starting two sites: {'gateways' if revad is None else 'Reva'} and relays …")
        processes: dict[str, DemoProcess] = {}
        accounts = [Account(p.username, p.name, p.site, passwords[p.username]) for p in people]
        gateways = await start_gateways(stack, folder, (SITE_A, SITE_B), accounts, processes, revad)
        relays = await _relays(stack, folder, gateways, processes)
        sites = {domain: DemoSite(domain, gateways[domain], relays[domain]) for domain in (SITE_A, SITE_B)}
        world = World(sites, [], name, passwords, processes)
        say("sharing the notebook from one site to the other …")
        await _share(world, people, content)
        say("starting three JupyterLabs …")
        started = [await _start_lab(stack, folder, person, world) for person in people]
        labs = [await ready for ready in started]
        yield replace(world, labs=labs)
        say("stopping …")


async def _relays(
    stack: AsyncExitStack, folder: Path, gateways: dict[str, str], processes: dict[str, DemoProcess]
) -> dict[str, str]:
    ports = dict(zip(gateways, free_ports(len(gateways)), strict=True))
    urls = {domain: f"http://127.0.0.1:{port}" for domain, port in ports.items()}
    for domain, port in ports.items():
        home = folder / domain / "relay"
        home.mkdir(parents=True, exist_ok=True)
        config = RelayConfig(
            site=domain,
            gateway=GatewayConfig(gateways[domain]),
            store=StoreConfig("store"),
            serve=ServeConfig(port=port),
            relays={other: url for other, url in urls.items() if other != domain},
            # each save leaves a version on storage, which in a demo costs nobody anything
            limits={"versioned_save_s": DEFAULT.busy_save_s},
        )
        (home / "relay.toml").write_text(dump(config))
        ready = home / "ready"
        ready.unlink(missing_ok=True)
        command = ["-m", "cs3collab", "relay", "--config", str(home / "relay.toml"), "--ready-file", str(ready)]
        process = processes[f"relay {domain}"] = DemoProcess(f"the relay of {domain}", command, home)
        stack.push_async_callback(process.stop)
        await process.start()
        await process.ready_file(ready)
    return urls


async def _share(world: World, people: list[Person], content: bytes) -> None:
    """The owner's notebook, offered to the people of the other site over OCM and accepted by them."""
    owner, *others = people
    async with world.session(owner) as giver:
        files = Files(giver)
        ref = Ref(f"{await files.home()}/{world.notebook}")
        await files.write(ref, content)
        info = await files.stat(ref)
        for person in others:
            async with world.session(person) as taker:
                invite = await shares.generate_invite(giver)
                await shares.forward_invite(taker, invite.token, owner.site)
                known = {user.display_name: user for user in await shares.accepted_users(giver)}
                recipient = known.get(person.name)
                if recipient is None:
                    raise CollabError(f"the invitation of {person.name} was not accepted")
                role = Role.EDITOR if person.role == "editor" else Role.VIEWER
                given = await shares.create_ocm_share(giver, info.id, recipient, role)
                received = {share.remote_share_id: share for share in await shares.list_received_ocm_shares(taker)}
                await shares.accept_ocm_share(taker, received[given.id].id)


async def _start_lab(stack: AsyncExitStack, folder: Path, person: Person, world: World) -> Awaitable[Lab]:
    """Starts a JupyterLab; what it returns waits until it answers."""
    home = folder / person.site / f"jupyter-{person.username}"
    token = secrets.token_hex(16)
    for name in ("config", "data", "runtime", "work"):
        (home / name).mkdir(parents=True, exist_ok=True)
    site = world.sites[person.site]
    port = free_ports(1)[0]
    config = {
        "ServerApp": {
            "ip": "127.0.0.1",
            "port": port,
            "open_browser": False,
            "allow_root": True,
            "root_dir": str(home / "work"),
            "contents_manager_class": "cs3collab.jupyter.contents.CS3ContentsManager",
            "identity_provider_class": "cs3collab.jupyter.identity.CS3IdentityProvider",
        },
        "FileIdExtension": {"file_id_manager_class": "cs3collab.jupyter.fileid.CS3FileIdManager"},
        "CS3Settings": {
            "gateway": site.gateway,
            "site": site.domain,
            "username": person.username,
            "relay": site.relay,
            "store_dir": str(home / "store"),
        },
    }
    (home / "config" / "jupyter_server_config.json").write_text(json.dumps(config))
    (home / "config" / "labconfig").mkdir(exist_ok=True)
    (home / "config" / "labconfig" / "page_config.json").write_text(json.dumps(PAGE_CONFIG))
    environment = {
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_TOKEN": token,
        "CS3COLLAB_PASSWORD": world.passwords[person.username],
    }
    process = DemoProcess(f"the JupyterLab of {person.name}", ["-m", "jupyterlab"], home, environment)
    world.processes[f"jupyter {person.username}"] = process
    stack.push_async_callback(process.stop)
    await process.start()
    return _ready_lab(process, Lab(person, f"http://127.0.0.1:{port}", token))


async def _ready_lab(process: DemoProcess, lab: Lab) -> Lab:
    async with aiohttp.ClientSession(headers={"Authorization": f"token {lab.token}"}) as http:
        await process.ready(lambda: _answers(http, lab.url))
    return lab


async def _answers(http: aiohttp.ClientSession, url: str) -> str | None:
    try:
        async with http.get(f"{url}/api/status") as answer:
            return url if answer.status == 200 else None
    except aiohttp.ClientError:
        return None
