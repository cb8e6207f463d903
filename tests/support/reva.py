"""Real revads as sites for tests: one process a site, two in a mesh. The same shape as `support.sites`.

Use as ``async with reva_site("v2", tmp_path) as here`` or ``async with reva_mesh("v2", tmp_path) as (a, b)``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import jwt
import pytest
from support import reva_v3, sites
from support.sites import GROUPS, NAMES, USERS, SiteBase

from cs3collab.cs3.auth import BasicToken
from cs3collab.cs3.gateway import Gateway
from cs3collab.demo import revad as config
from cs3collab.demo.processes import free_ports
from cs3collab.demo.revad import Plan, Table
from cs3collab.errors import CollabError

BUILT: Final = Path(__file__).resolve().parents[2] / ".reva"
START_S: Final = 30.0
"""How long a revad may take to answer, seconds; on an idle machine it is less than one."""
STOP_S: Final = 5.0
_STARTS: Final = 3
_TAIL: Final = 6000


@dataclass(frozen=True, slots=True)
class Revad:
    """One kind of revad. ``driver`` is its storage driver; ``built``: ``make reva`` makes it with every Go that it takes."""

    name: str
    module: str
    driver: str
    ports: Sequence[str]
    files: Callable[[Plan], dict[str, Table]]
    built: bool = False
    bare: bool = False
    """Whether the storage has no locks, no conditions and no roles."""

    @property
    def variable(self) -> str:
        """The environment variable that names a binary from elsewhere."""
        return f"CS3COLLAB_REVAD_{self.name.upper()}"

    @property
    def binary(self) -> Path:
        return Path(os.environ.get(self.variable) or BUILT / f"revad-{self.name}")


KNOWN: Final = (
    Revad("v2", "github.com/cs3org/reva/v2 v2.27.7", "ocis", config.V2_PORTS, config.v2, built=True),
    Revad("opencloud", "github.com/opencloud-eu/reva/v2 v2.47.0", "decomposed", config.V2_PORTS, config.v2),
    Revad("v3", "github.com/cs3org/reva/v3 v3.12.1", "local", reva_v3.V3_PORTS, reva_v3.v3, bare=True),
)
REVADS: Final = {revad.name: revad for revad in KNOWN if revad.built or os.access(revad.binary, os.X_OK)}
"""What is tested: the one that ``make reva`` always builds, and those of the others that are here."""
ANYWHERE: Final = ("embedded", *(pytest.param(name, marks=pytest.mark.reva) for name in REVADS))
"""To parametrise a test with: the kinds that `site_on` and `mesh_on` know."""


def need(name: str) -> Revad:
    """The kind of revad, or a failed test that says how to get it."""
    revad = next(known for known in KNOWN if known.name == name)
    if not os.access(revad.binary, os.X_OK):
        how = "run `make reva`"
        if not revad.built:
            how += f" with Go 1.25 or newer and gcc, or name one of {revad.module} in {revad.variable}"
        pytest.fail(f"there is no {revad.binary}: {how}", pytrace=False)
    return revad


@dataclass
class RevaSite(SiteBase):
    """A running site on a real revad. ``service_secret`` belongs to the service account ``service``."""

    revad: Revad
    plan: Plan
    users: Sequence[str]
    process: asyncio.subprocess.Process | None = field(default=None, init=False, repr=False)

    @property
    def address(self) -> str:
        return self.plan.at("grpc")

    @property
    def log(self) -> Path:
        return self.plan.folder / "revad.log"

    def password(self, username: str) -> str:
        return f"{username}-secret"

    def opaque_id(self, username: str) -> str:
        return str(next(user["id"]["opaque_id"] for user in self.plan.users if user["username"] == username))

    def tail(self) -> str:
        """The end of what revad said."""
        return self.log.read_text(errors="replace")[-_TAIL:]

    async def start(self) -> None:
        """Starts the process, also after `stop` or `kill`, and waits until it answers. Raises `RuntimeError` with its log."""
        with self.log.open("ab") as output:
            self.process = process = await asyncio.create_subprocess_exec(
                self.revad.binary,
                "-dev-dir",
                self.plan.folder / "conf",
                stdout=output,
                stderr=output,
                stdin=asyncio.subprocess.DEVNULL,
                cwd=self.plan.folder,
                env=self._environment(),
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(START_S):
                while not await self._answers():
                    if process.returncode is not None:
                        raise RuntimeError(f"revad ended with {process.returncode}:\n{self.tail()}")
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            await self.kill()
            raise RuntimeError(f"revad did not answer within {START_S:.0f} s:\n{self.tail()}") from error

    def _environment(self) -> dict[str, str]:
        temporary = self.plan.folder / "tmp"  # where it leaves its pid files
        temporary.mkdir(exist_ok=True)
        # a library of v2.27 lowers the level of everybody's log to this one's
        return {"TMPDIR": str(temporary), "MICRO_LOG_LEVEL": "warn", "NO_COLOR": "1"}

    async def _answers(self) -> bool:
        for port in self.plan.ports.values():
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return False
            writer.close()
        gateway = Gateway(self.address)
        try:
            token = await BasicToken(gateway, self.users[0], self.password(self.users[0])).token()
            # what answers may be another test's revad that was faster to take our port
            jwt.decode(token, self.plan.jwt_secret, ["HS256"], audience="reva")
        except (CollabError, jwt.InvalidTokenError):
            return False
        finally:
            await gateway.close()
        return True

    async def stop(self) -> None:
        """As an administrator would: SIGTERM, and SIGKILL if it is not heard."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await self.process.wait()
        await self.kill()

    async def kill(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()


@contextlib.asynccontextmanager
async def reva_site(
    kind: str, tmp_path: Path, name: str = "a.test", users: Sequence[str] = USERS, **settings: Any
) -> AsyncIterator[RevaSite]:
    """A site over ``tmp_path/<name>``. `settings` go to `cs3collab.demo.revad.Plan`, e.g. ``token_lifetime_s``."""
    async with _running(kind, tmp_path, (name,), users, settings) as (only,):
        yield only


@contextlib.asynccontextmanager
async def reva_mesh(
    kind: str, tmp_path: Path, a: str = "a.test", b: str = "b.test", users: Sequence[str] = USERS, **settings: Any
) -> AsyncIterator[tuple[RevaSite, RevaSite]]:
    """Two sites that know each other in a mesh, each with all `users`."""
    async with _running(kind, tmp_path, (a, b), users, settings) as (site_a, site_b):
        yield site_a, site_b


def site_on(kind: str, tmp_path: Path, name: str = "a.test") -> AbstractAsyncContextManager[SiteBase]:
    """A site on an embedded gateway or on a revad."""
    return sites.site(tmp_path, name) if kind == "embedded" else reva_site(kind, tmp_path, name)


def mesh_on(
    kind: str, tmp_path: Path, a: str = "a.test", b: str = "b.test"
) -> AbstractAsyncContextManager[tuple[SiteBase, SiteBase]]:
    """Two sites on embedded gateways or on revads."""
    return sites.two_sites(tmp_path, a, b) if kind == "embedded" else reva_mesh(kind, tmp_path, a, b)


@contextlib.asynccontextmanager
async def _running(
    kind: str, tmp_path: Path, names: Sequence[str], users: Sequence[str], settings: dict[str, Any]
) -> AsyncIterator[list[RevaSite]]:
    revad = need(kind)
    for attempt in range(_STARTS):
        running = [
            RevaSite(plan.domain, plan.folder, revad, plan, users) for plan in _plans(revad, tmp_path, names, users, settings)
        ]
        try:
            answers = await asyncio.gather(*(site.start() for site in running), return_exceptions=True)
            failed = [answer for answer in answers if isinstance(answer, BaseException)]
            if not failed:
                yield running
                return
            # between being found free and being taken, a port can go to somebody else
            if attempt + 1 == _STARTS or not any("address already in use" in str(error) for error in failed):
                raise failed[0]
        finally:
            for site in running:
                await site.close()
            await asyncio.gather(*(site.stop() for site in running))


def _plans(revad: Revad, tmp_path: Path, names: Sequence[str], users: Sequence[str], settings: dict[str, Any]) -> list[Plan]:
    wanted = [*revad.ports, *(["bearer"] if settings.get("issuer") else [])]
    free = iter(free_ports(len(names) * len(wanted)))
    ports = [{port: next(free) for port in wanted} for _ in names]
    plans = [
        Plan(
            domain=domain,
            folder=tmp_path / name,
            ports=own,
            users=[_account(user, domain, revad) for user in users],
            driver=revad.driver,
            jwt_secret=secrets.token_hex(32),
            machine_secret=secrets.token_hex(16),
            service_secret=secrets.token_hex(16),
            **settings,
        )
        for name, own in zip(names, ports, strict=True)
        # v3 asks this address what the site can do, and so it must not be a name
        for domain in [f"127.0.0.1:{own['http']}" if revad.driver == "local" else name]
    ]
    mesh = config.providers(plans)
    for plan in plans:
        _write(plan, revad.files(plan), mesh)
    return plans


def _account(user: str, domain: str, revad: Revad) -> config.Account:
    opaque_id = user if revad.bare else ""  # v3 lists received shares by user name, and makes them by id
    return config.account(user, NAMES.get(user, user.title()), f"{user}-secret", domain, GROUPS.get(user, ()), opaque_id)


def _write(plan: Plan, files: dict[str, Table], mesh: list[Any]) -> None:
    """Anew: nothing stays of an attempt that found no port."""
    shutil.rmtree(plan.folder, ignore_errors=True)
    if plan.driver == "local":  # which makes no homes
        for user in plan.users:
            (plan.folder / "local" / "data" / user["id"]["opaque_id"]).mkdir(parents=True)
    config.write(plan, files, mesh)
