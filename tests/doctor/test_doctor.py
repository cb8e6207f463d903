"""``cs3collab doctor`` at a real gateway and real relays: what it finds, what it says, and that it leaves nothing behind."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from support.links import relay
from support.sites import Site, site

from cs3collab import cli
from cs3collab.cs3.auth import BearerToken
from cs3collab.cs3.capabilities import MEANINGS
from cs3collab.doctor import command
from cs3collab.doctor.checks import State, capability_finding, clock_finding, http_url, token_finding
from cs3collab.errors import InvalidInput
from cs3collab.relay.config import AccountConfig, GatewayConfig, RelayConfig, StoreConfig, dump


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as started:
        yield started


async def doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, list[str]]:
    """Exit code and lines."""
    args = cli.build_parser().parse_args(["doctor", *options])
    code = await command.run(args)
    return code, capsys.readouterr().out.splitlines()


def states(path: Path) -> dict[str, str]:
    return {finding["what"]: finding["state"] for finding in json.loads(path.read_text())}


async def test_an_operator_sees_that_all_is_well(
    running: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CS3COLLAB_PASSWORD", running.password("einstein"))
    data = tmp_path / "found.json"
    async with relay(running, tmp_path / "relay") as url:
        code, lines = await doctor(
            monkeypatch, capsys, "--gateway", running.address, "--user", "einstein", "--relay", url, "--json", str(data)
        )
    assert (code, lines[-1]) == (0, "Live editing works; 1 things are weaker than they could be.")
    found = states(data)
    assert {what for what, state in found.items() if state != "ok"} == {"saves without a version"}
    assert {f"relay {url}", "home", "clock of the storage", *(meaning.what for meaning in MEANINGS.values())} <= set(found)
    files = await running.files("einstein")
    assert [info.name for info in await files.list(await running.ref("einstein"))] == ["Shares"]
    assert await files.recycled(await running.ref("einstein")) == []


async def test_the_relays_own_configuration_is_enough(
    running: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "secret").write_text(running.password("einstein"))
    async with relay(running, tmp_path / "other") as url:
        config = RelayConfig(
            site=running.name,
            gateway=GatewayConfig(running.address),
            store=StoreConfig(str(tmp_path / "store"), f"{(await running.ref('einstein')).path}/store/cold"),
            service_account=AccountConfig("basic", "einstein", "secret"),
            relays={"b.example": url, "c.example": f"http://{running.address}", "d.example": "ws://127.0.0.1:9"},
        )
        (tmp_path / "relay.toml").write_text(dump(config))
        data = tmp_path / "found.json"
        code, lines = await doctor(monkeypatch, capsys, "--config", str(tmp_path / "relay.toml"), "--json", str(data))
    assert code == 1
    found = states(data)
    assert [found[f"relay of {name}.example"] for name in "bcd"] == ["ok", "failed", "failed"]
    assert found[f"folder {config.store.cs3}"] == "ok"
    assert lines[-1] == "2 failed: live editing will not work until this is changed."


async def test_what_is_no_relay_or_does_not_know_the_user(
    running: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CS3COLLAB_PASSWORD", running.password("einstein"))
    asked = ("--gateway", running.address, "--user", "einstein", "--relay")
    async with site(tmp_path / "elsewhere", "b.example") as elsewhere, relay(elsewhere, tmp_path / "b") as url:
        code, lines = await doctor(monkeypatch, capsys, *asked, url)
        assert (code, "it does not know this user" in "\n".join(lines)) == (1, True)
    runner = web.AppRunner(web.Application())
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        code, lines = await doctor(monkeypatch, capsys, *asked, f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()
    assert (code, "HTTP 404" in "\n".join(lines)) == (1, True)


async def test_without_a_login_nothing_else_is_tried(
    running: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CS3COLLAB_PASSWORD", "wrong")
    code, lines = await doctor(monkeypatch, capsys, "--gateway", running.address, "--user", "einstein")
    assert code == 1
    assert [line.split()[0] for line in lines if line] == ["failed", "means:", "change:", "1"]
    assert "wrong" not in " ".join(lines).replace("wrong secret", "")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "which gateway"),
        (("--gateway", "nonsense"), "not a gateway address"),
        (("--gateway", "h:1", "--relay", "nonsense"), "not the URL of a relay"),
        (("--gateway", "h:1", "--secret-file", "missing"), "cannot read the secret"),
        (("--gateway", "h:1"), "needs client_id and secret"),
    ],
)
async def test_bad_options_are_said_before_anything_is_tried(
    options: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CS3COLLAB_PASSWORD", raising=False)
    with pytest.raises(InvalidInput, match=said):
        await doctor(monkeypatch, capsys, *options)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("mtime", "state", "found"),
    [
        (100.5, State.OK, "as ours"),
        (100.0, State.OK, "as ours"),  # cut to seconds
        (102.0, State.OK, "1.0 s ahead"),
        (98.5, State.OK, "1.0 s behind"),
        (106.0, State.WEAK, "5.0 s ahead"),
        (0.0, State.FAILED, "99.5 s behind"),
        (200.0, State.FAILED, "99.0 s ahead"),
    ],
)
def test_how_clocks_differ(mtime: float, state: State, found: str) -> None:
    finding = clock_finding(mtime, 100.5, 101.0)
    assert (finding.state, finding.found, bool(finding.change)) == (state, found, state is not State.OK)


def test_tokens_and_capabilities_in_words() -> None:
    assert token_finding(None, 0).state is State.OK
    assert (token_finding(130, 100).state, token_finding(130, 100).found) == (State.WEAK, "30 s")
    assert token_finding(3700, 100).found == "1.0 h"
    meaning = MEANINGS["locks"]
    assert [capability_finding(meaning, found).state for found in (True, False, None)] == [
        State.OK,
        State.WEAK,
        State.UNKNOWN,
    ]
    assert capability_finding(meaning, False).change == meaning.change
    assert [http_url(url) for url in ("wss://h/x/", "ws://h", "https://h")] == ["https://h/x", "http://h", "https://h"]
    assert "secret" not in repr(command.Patient(None, BearerToken("secret")))  # type: ignore[arg-type]
