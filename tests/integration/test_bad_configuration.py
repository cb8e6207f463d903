"""What is configured wrongly is said in one line that helps, with an exit code that is not 0, no traceback and no secret."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.notebooks import notebook
from support.odd_notebooks import REFUSED
from support.relays import relay_of
from support.sites import Site, jupyter_server, site

from cs3collab import cli

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(240)]
RUN_S = 120.0
BASE: dict[str, Any] = {"site": "a.example", "gateway": {"address": "127.0.0.1:1"}, "store": {"directory": "store"}}
SECRET = "do-not-print-this-word"


def toml(**changes: Any) -> str:
    """`BASE` with other top-level values; None leaves one out. Strings, numbers and booleans are JSON's."""
    tables = {name: value for name, value in {**BASE, "serve": {"port": 0}, **changes}.items() if value is not None}
    lines = [f"{name} = {json.dumps(value)}" for name, value in tables.items() if not isinstance(value, dict)]
    for name, table in tables.items():
        if isinstance(table, dict):
            lines += [f"[{name}]", *(f"{json.dumps(key)} = {value_of(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def value_of(value: Any) -> str:
    return str(value) if isinstance(value, float) else json.dumps(value)


async def run(*arguments: str, folder: Path) -> tuple[int, str]:
    """Exit code and all output of ``cs3collab`` as a user starts it. Fails if it does not end by itself."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cs3collab",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
    )
    try:
        async with asyncio.timeout(RUN_S):
            output, _ = await process.communicate()
    except TimeoutError:
        raise AssertionError(f"cs3collab {' '.join(arguments)} does not end") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output.decode()


def is_one_line(output: str, *words: str) -> None:
    assert output.startswith("cs3collab: "), output
    assert output.count("\n") == 1, output
    assert len(output) < 700, output
    assert output.rstrip().endswith(")"), f"no hint what to do: {output}"
    assert SECRET not in output
    for expected in words:
        assert expected in output, output


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as running:
        await running.put("einstein", "n.ipynb", notebook("x = 1"))
        yield running


# The command line in this process, for there are many cases

RELAY_FILES: dict[str, tuple[str, list[str]]] = {
    "not TOML": ("site = ", ["relay.toml"]),
    "not TOML at all": ("\x00\x01", ["relay.toml"]),
    "empty": ("", ["`site`"]),
    "no gateway": (toml(gateway=None), ["`gateway`"]),
    "no store": (toml(store=None), ["`store`"]),
    "an unknown table": (toml(stores={"directory": "x"}), ["`stores`"]),
    "an unknown key": (toml(store={"directory": "x", "folder": "y"}), ["`folder`", "$.store"]),
    "a number for a word": (toml(site=5), ["`str`", "$.site"]),
    "a word for a number": (toml(serve={"port": "http"}), ["`int`", "$.serve.port"]),
    "a site that is no domain": (toml(site="https://a.example/"), ["site", "domain"]),
    "no site": (toml(site=""), ["site", "domain"]),
    "a gateway without port": (toml(gateway={"address": "localhost"}), ["gateway.address", "host:port"]),
    "a gateway as a URL": (toml(gateway={"address": "https://g.example:443/"}), ["gateway.address", "host:port"]),
    "a gateway's port too high": (toml(gateway={"address": "localhost:70000"}), ["gateway.address", "host:port"]),
    "a port too high": (toml(serve={"port": 99999}), ["serve.port", "65535"]),
    "a port below zero": (toml(serve={"port": -1}), ["serve.port", "65535"]),
    "a relay that is no URL": (toml(relays={"b.example": "relay.b.example"}), ["relays.b.example", "wss://"]),
    "an unknown limit": (toml(limits={"room": 5}), ["limits.room ", "known are"]),
    "a limit below zero": (toml(limits={"rooms": -5}), ["limits.rooms", "above zero"]),
    "a limit that is no number": (toml(limits={"rooms": float("nan")}), ["limits.rooms", "above zero"]),
    "a limit without end": (toml(limits={"recheck_s": float("inf")}), ["limits.recheck_s", "above zero"]),
    "a limit in words": (toml(limits={"rooms": "many"}), ["$.limits"]),
    "a certificate without key": (toml(serve={"tls_certificate": "c.pem"}), ["serve.tls_key"]),
    "a certificate that is not there": (
        toml(serve={"tls_certificate": "c.pem", "tls_key": "k.pem"}),
        ["c.pem", "No such file"],
    ),
    "an authority that is not there": (
        toml(gateway={"address": "g:1", "tls": True, "ca": "ca.pem"}),
        ["ca.pem", "No such file"],
    ),
    "a cold store without account": (toml(store={"directory": "x", "cs3": "/store"}), ["store.cs3", "[service_account]"]),
    "an unknown kind of account": (toml(service_account={"auth": "magic"}), ["service_account.auth", "machine"]),
    "a secret that is not there": (toml(service_account={"secret_file": "s.txt"}), ["s.txt", "No such file"]),
}


class Here:
    """The command line in this process, in a folder of its own; everything that it prints is told apart from pytest's."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def refuses(self, *arguments: str, words: list[str]) -> None:
        code = cli.main(list(arguments))
        printed = self._capsys.readouterr()
        assert code == 1, printed
        assert "Traceback" not in printed.err
        last = printed.err.splitlines(keepends=True)[-1]
        assert all(line.startswith("cs3collab") for line in printed.err.splitlines()), printed.err
        is_one_line(last, *words)
        assert SECRET not in printed.out + printed.err


@pytest.fixture
def command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Here:
    monkeypatch.setattr(cli.telemetry, "configure_logging", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("I am no folder")
    (tmp_path / "secret").write_text(SECRET)
    return Here(tmp_path, capsys)


@pytest.mark.parametrize("name", RELAY_FILES)
def test_a_relays_file_is_refused_in_one_line(command_line: Here, name: str) -> None:
    content, words = RELAY_FILES[name]
    (command_line.folder / "relay.toml").write_text(content)
    command_line.refuses("relay", "--config", "relay.toml", words=["relay.toml", *words])
    assert not (command_line.folder / "store").exists()


def test_a_relay_that_cannot_start_says_why(command_line: Here, taken: int) -> None:
    def refuses(words: list[str], *more: str, **changes: Any) -> None:
        Path("relay.toml").write_text(toml(**changes))
        command_line.refuses("relay", "--config", "relay.toml", *more, words=words)

    command_line.refuses("relay", "--config", ".", words=["Is a directory", "--config"])
    refuses([f"127.0.0.1:{taken}", "in use", "serve.port"], serve={"port": taken})
    refuses(["65536", "65535"], "--port", "65536")
    refuses(["300.1.1.1"], serve={"host": "300.1.1.1", "port": 0})
    refuses(["file", "File exists", "writable local folder"], store={"directory": "file"})
    refuses(["Not a directory", "writable local folder"], store={"directory": "file/store"})
    refuses(["serve.tls_certificate", "PEM"], serve={"tls_certificate": "file", "tls_key": "file", "port": 0})
    account = {"auth": "machine", "client_id": "relay", "secret_file": "secret"}
    refuses(["no CS3 gateway answers at 127.0.0.1:1", "check the address"], service_account=account)
    refuses(["no/ready", "--ready-file"], "--ready-file", "no/ready")


GATEWAYS: dict[str, tuple[list[str], list[str]]] = {
    "no users": (["--users", "missing.json"], ["missing.json", "No such file"]),
    "a folder": (["--users", "."], ["users file", "Is a directory"]),
    "twice": (["--users", "twice.json"], ["'e'", "own username"]),
    "nobody": (["--users", "nobody.json"], ["nobody.json", "no users"]),
    "text": (["--users", "secret"], ["secret", "not valid"]),
    "shape": (["--users", "shape.json"], ["shape.json", "not valid"]),
    "binary": (["--users", "binary.json"], ["binary.json", "not valid"]),
    "binary TOML": (["--users", "binary.toml"], ["binary.toml", "not valid"]),
    "port": (["--users", "users.json", "--port", "70000"], ["70000", "65535"]),
    "root": (["--users", "users.json", "--root", "file"], ["file", "--root"]),
    "mesh": (["--users", "users.json", "--mesh", "secret"], ["mesh file secret", "not valid"]),
    "lifetime": (["--users", "users.json", "--token-lifetime", "0"], ["token lifetime"]),
    "ready": (["--users", "users.json", "--ready-file", "no/ready"], ["no/ready", "--ready-file"]),
}


@pytest.mark.parametrize("name", GATEWAYS)
def test_a_gateway_that_cannot_start_says_why(command_line: Here, name: str) -> None:
    user = {"id": {"opaque_id": "e"}, "username": "e", "secret": SECRET}
    Path("users.json").write_text(json.dumps([user]))
    Path("twice.json").write_text(json.dumps([user, user]))
    Path("nobody.json").write_text("[]")
    Path("shape.json").write_text(json.dumps([{"username": 5, "secret": SECRET}]))
    Path("binary.json").write_bytes(b"\xff\xfe\x00")
    Path("binary.toml").write_bytes(b"\xff\xfe\x00")
    arguments, words = GATEWAYS[name]
    command_line.refuses("gateway", "--root", "root", "--port", "0", "--http-port", "0", *arguments, words=words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--notebook", "missing.ipynb"], ["missing.ipynb", "No such file", "--notebook"]),
        (["--notebook", "."], ["Is a directory", "--notebook"]),
        (["--notebook", "text.ipynb"], ["text.ipynb", "plain text"]),
        (["--notebook", "cut.ipynb"], ["cut.ipynb", "not JSON"]),
        (["--json", "result.json"], ["--check"]),
        (["--check", "--json", "no/result.json"], ["no/result.json", "--json"]),
        (["--directory", "file"], ["file", "--directory"]),
    ],
)
def test_a_demo_that_cannot_start_says_why_at_once(command_line: Here, arguments: list[str], words: list[str]) -> None:
    Path("text.ipynb").write_bytes(REFUSED["plain text"].content)
    Path("cut.ipynb").write_bytes(REFUSED["cut off"].content)
    command_line.refuses("demo", *arguments, words=words)
    assert sorted(os.listdir()) == ["cut.ipynb", "file", "secret", "text.ipynb"]


# Real processes


async def test_what_cannot_start_ends_with_one_line_and_one(tmp_path: Path, taken: int) -> None:
    user = {"id": {"opaque_id": "e"}, "username": "e", "secret": SECRET}
    (tmp_path / "users.json").write_text(json.dumps([user]))
    (tmp_path / "relay.toml").write_text(toml(serve={"port": taken}))
    gateway = ["gateway", "--users", "users.json", "--root"]
    cases = [
        (["relay", "--config", "missing.toml"], ["missing.toml", "No such file", "--config"]),
        (["relay", "--config", "relay.toml"], [f"127.0.0.1:{taken}", "in use", "serve.port"]),
        ([*gateway, "one", "--port", str(taken)], [str(taken), "--port"]),
        ([*gateway, "two", "--port", "0", "--http-port", str(taken)], [str(taken), "--http-port"]),
        (["demo", "--notebook", "missing.ipynb"], ["missing.ipynb", "No such file", "--notebook"]),
    ]
    ended = await asyncio.gather(*(run(*arguments, folder=tmp_path) for arguments, _ in cases))
    for (code, output), (_, words) in zip(ended, cases, strict=True):
        assert code == 1, output
        is_one_line(output, *words)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_store_that_may_not_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    (tmp_path / "relay.toml").write_text(toml(store={"directory": "locked/store"}))
    code, output = await run("relay", "--config", "relay.toml", folder=tmp_path)
    assert code == 1
    is_one_line(output, "Permission denied", "writable local folder")


async def test_a_wrong_secret_of_the_service_account_is_said_without_it(here: Site, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    account = {"auth": "basic", "client_id": "einstein", "secret_file": "secret"}
    (tmp_path / "relay.toml").write_text(toml(gateway={"address": here.address}, service_account=account))
    code, output = await run("relay", "--config", "relay.toml", folder=tmp_path)
    assert code == 1
    is_one_line(output, "service account einstein", "secret_file")


async def test_a_second_relay_on_the_same_store_is_refused_and_the_first_goes_on(here: Site, tmp_path: Path) -> None:
    async with relay_of(here, tmp_path / "relay") as relay:
        code, output = await run("relay", "--config", "relay/relay.toml", "--port", "0", folder=tmp_path)
        assert code == 1
        is_one_line(output, "another relay", "store.directory")
        assert (await relay.get("/readyz"))[0] == 200
        await relay.kill()
        await relay.start()
        assert (await relay.get("/readyz"))[0] == 200, "a relay that was killed leaves nothing behind that keeps it out"


async def test_a_relay_without_account_starts_before_its_gateway_and_says_so(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        address = here.address
    (tmp_path / "closed").mkdir()
    here.gateway = type("Gone", (), {"address": address})()
    async with relay_of(here, tmp_path / "relay") as relay:
        assert (await relay.get("/healthz"))[0] == 200
        status, answer = await relay.get("/readyz")
        assert status == 503
        told = json.loads(answer)
        assert address in told["message"]
        assert told["hint"]


@pytest.mark.parametrize("arguments", [["rely"], ["relay"], ["demo", "--bogus", "x"], ["--log-level", "loud", "demo"]])
async def test_bad_usage_is_said_with_the_usage(arguments: list[str], tmp_path: Path) -> None:
    code, output = await run(*arguments, folder=tmp_path)
    assert code == 2
    assert "usage: cs3collab" in output
    assert "Traceback" not in output


# Jupyter


async def refuses_to_start(here: Site, *words: str, config: dict[str, dict[str, Any]], password: str | None = None) -> None:
    with pytest.raises(RuntimeError, match="Jupyter ended with 1") as ended:
        async with jupyter_server(here, "einstein", app="jupyter_server", config=config, password=password):
            pass
    log = str(ended.value)
    assert "Traceback" not in log, log
    assert "einstein-secret" not in log
    assert SECRET not in log
    assert any(all(expected in line for expected in words) for line in log.splitlines()), log


async def test_a_jupyter_server_that_cannot_work_does_not_start_and_says_why(here: Site) -> None:
    stock = {
        "ServerApp": {"jpserver_extensions": {"jupyter_server_ydoc": True, "cs3collab": True, "jupyter_server_fileid": True}}
    }
    cases: list[tuple[dict[str, dict[str, Any]], list[str]]] = [
        ({"CS3Settings": {"gateway": "127.0.0.1:1"}}, ["127.0.0.1:1", "check the address"]),
        ({"CS3Settings": {"gateway": ""}}, ["no CS3 gateway is configured", "CS3Settings.gateway"]),
        ({"CS3Settings": {"gateway": "localhost"}}, ["not a gateway address", "host:port"]),
        ({"CS3Settings": {"password_file": "/no/such/file"}}, ["/no/such/file", "CS3Settings.password_file"]),
        ({"CS3Settings": {"tls": True, "ca": "/no/such/ca.pem"}}, ["/no/such/ca.pem"]),
        ({"CS3Settings": {"relay": "relay.example.org"}}, ["CS3Settings.relay", "wss://"]),
        ({"CS3Settings": {"relays": {"b.example": "http://"}}}, ["CS3Settings.relays", "b.example", "wss://"]),
        (stock, ["jupyter_server_ydoc", "jupyter server extension disable"]),
    ]
    turn = asyncio.Semaphore(2)

    async def one(config: dict[str, dict[str, Any]], words: list[str]) -> None:
        async with turn:
            await refuses_to_start(here, *words, config=config)

    async def wrong_password() -> None:
        async with turn:
            await refuses_to_start(here, "refused the login", "CS3COLLAB_PASSWORD", config={}, password=SECRET)

    await asyncio.gather(wrong_password(), *(one(*case) for case in cases))


async def test_without_our_contents_manager_opening_says_what_to_set(here: Site) -> None:
    plain = {"ServerApp": {"contents_manager_class": "jupyter_server.services.contents.largefilemanager.AsyncLargeFileManager"}}
    async with jupyter_server(here, "einstein", app="jupyter_server", config=plain) as server:
        status, answer = await session(server)
        assert status == 400, answer
        assert "c.ServerApp.contents_manager_class" in answer["message"]
        assert "Traceback" not in server.tail()


@pytest.mark.parametrize("way", ["nobody listens", "no relay", "the store is a file"])
async def test_a_jupyter_server_that_cannot_open_documents_says_why(here: Site, tmp_path: Path, way: str) -> None:
    (tmp_path / "file").write_text("I am no folder")
    relay, status, words = {
        "nobody listens": ("http://127.0.0.1:1", 503, "127.0.0.1:1"),
        "no relay": (here.gateway.data_url, 503, "relay"),
        "the store is a file": (None, 400, "writable local folder"),
    }[way]
    config = {"CS3Settings": {"store_dir": str(tmp_path / "file" / "store")}} if relay is None else {}
    async with jupyter_server(here, "einstein", relay=relay, app="jupyter_server", config=config) as server:
        got, answer = await session(server)
        assert got == status, answer
        assert words in answer["message"]
        assert "Traceback" not in server.tail()
        assert "einstein-secret" not in server.tail()


async def session(server: Any) -> tuple[int, Any]:
    return await server.request("PUT", "api/collaboration/session/n.ipynb", {"format": "json", "type": "notebook"})
