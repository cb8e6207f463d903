"""The revads that tests start: configured as written, on this machine alone, found again after a kill, gone at the end."""

from __future__ import annotations

import tomllib
from pathlib import Path

import psutil
import pytest
from support import reva_v3
from support.reva import RevaSite, need, reva_site
from support.sites import share_local

from cs3collab.demo import revad as config
from cs3collab.types import Ref

PORTS = {name: number for number, name in enumerate({*config.V2_PORTS, *reva_v3.V3_PORTS}, 20_000)}
PLAN = config.Plan("a.test", Path("/nowhere"), PORTS, [], "local", "jwt", "machine", "service")


@pytest.mark.parametrize("files", [config.v2, reva_v3.v3])
def test_a_configuration_is_read_as_it_was_meant(files: object) -> None:
    assert callable(files)
    for table in files(PLAN).values():
        assert tomllib.loads(config.toml(table)) == table


def test_a_missing_revad_is_a_failure_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CS3COLLAB_REVAD_V2", "/nowhere/revad")
    with pytest.raises(pytest.fail.Exception, match="make reva"):
        need("v2")


@pytest.mark.reva
async def test_a_revad_listens_on_this_machine_alone(here: RevaSite) -> None:
    listening = [c.laddr for c in psutil.Process(here.process.pid).net_connections() if c.status == psutil.CONN_LISTEN]
    assert {address.ip for address in listening} == {"127.0.0.1"}
    assert {address.port for address in listening} == set(here.plan.ports.values())


@pytest.mark.reva
async def test_a_killed_revad_comes_back_with_its_files(here: RevaSite) -> None:
    info = await here.put("einstein", "n.ipynb", b"kept")
    await here.kill()
    await here.start()
    assert await here.read("einstein", "n.ipynb") == b"kept"
    assert (await (await here.files("einstein")).stat(Ref.of(info.id))).etag == info.etag


@pytest.mark.reva
async def test_a_revad_that_does_not_start_shows_its_log(here: RevaSite) -> None:
    await here.stop()
    (here.plan.folder / "conf" / "main.toml").write_text("grpc = [")
    with pytest.raises(RuntimeError, match="toml"):
        await here.start()


@pytest.mark.reva
async def test_a_revad_ends_with_its_test(kind: str, tmp_path: Path) -> None:
    async with reva_site(kind, tmp_path) as site:
        pid = site.process.pid
    assert not psutil.pid_exists(pid)


@pytest.mark.reva
async def test_people_share_within_a_site(here: RevaSite) -> None:
    info = await here.put("einstein", "n.ipynb", b"shared")
    await share_local(here, "einstein", "marie", "n.ipynb")
    assert await (await here.files("marie")).read(Ref.of(info.id), max_bytes=100) == b"shared"
