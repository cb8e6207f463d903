"""The command line: help without imports, one line per error, and the exit codes scripts rely on."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import types
from collections.abc import Iterator

import pytest

from cs3collab import __version__, cli
from cs3collab.errors import CollabError, NotFound
from ystore.errors import StoreError, StoreLocked


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A stand-in for a command's module, under the name ``probe``; its ``run`` returns ``--code``."""
    module = types.ModuleType("cs3collab_probe_command")

    async def run(args: argparse.Namespace) -> int:
        return int(args.code)

    module.add_arguments = lambda parser: parser.add_argument("--code", type=int, default=0)  # type: ignore[attr-defined]
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(cli.COMMANDS, "probe", cli.Entry(module.__name__, "try the command line", "cs3collab probe --code 3"))
    monkeypatch.setattr(cli.telemetry, "configure_logging", lambda *_: None)
    return module


def test_help_lists_every_command_with_its_line_and_imports_none(capsys: pytest.CaptureFixture[str]) -> None:
    imported = "{e.module for e in cli.COMMANDS.values()} & {*sys.modules}"
    code = f"import sys; from cs3collab import cli; cli.main(['-h']); assert not {imported}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=50, stdout=subprocess.DEVNULL)
    assert cli.main(["--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for name, entry in cli.COMMANDS.items():
        assert f"{name} {entry.summary}" in text
    assert "example: cs3collab demo" in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"cs3collab {__version__}\n"


@pytest.mark.parametrize(
    "argv",
    [[], ["bogus"], ["--bogus", "probe"], ["probe", "--bogus"], ["probe", "--code", "x"], ["--log-level", "loud", "probe"]],
)
def test_bad_usage_is_two(command: types.ModuleType, capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    assert cli.main(argv) == 2
    assert "usage: cs3collab" in capsys.readouterr().err


def test_the_commands_help_has_its_arguments_and_an_example(
    command: types.ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["probe", "--help"]) == 0
    text = capsys.readouterr().out
    assert "--code" in text
    assert "Try the command line." in text
    assert "cs3collab probe --code 3" in text


@pytest.mark.parametrize("argv", [["probe", "--code", "7"], ["--log-level", "debug", "--log-json", "probe", "--code", "7"]])
def test_the_commands_code_is_the_exit_code(command: types.ModuleType, argv: list[str]) -> None:
    assert cli.main(argv) == 7


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            CollabError("port 8080 is in use", hint="choose another with --port"),
            "port 8080 is in use (choose another with --port)",
        ),
        (NotFound("no such file: users.json"), "no such file: users.json"),
        (StoreLocked("the store is open", hint="stop the other relay"), "the store is open (stop the other relay)"),
    ],
)
def test_an_error_is_one_line_and_one(
    command: types.ModuleType, capsys: pytest.CaptureFixture[str], error: CollabError | StoreError, line: str
) -> None:
    async def fail(args: argparse.Namespace) -> int:
        raise error

    command.run = fail  # type: ignore[attr-defined]
    assert cli.main(["probe"]) == 1
    assert capsys.readouterr().err == f"cs3collab: {line}\n"


@pytest.fixture
def interruptible() -> Iterator[None]:
    """As in a terminal: what a shell starts in the background ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_is_silent(command: types.ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    async def interrupted(args: argparse.Namespace) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()
        return 0

    command.run = interrupted  # type: ignore[attr-defined]
    assert cli.main(["probe"]) == 130
    assert capsys.readouterr() == ("", "")


def test_termination_lets_the_command_clean_up_and_is_no_failure(command: types.ModuleType) -> None:
    cleaned = []

    async def terminated(args: argparse.Namespace) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)
        return 5

    command.run = terminated  # type: ignore[attr-defined]
    assert cli.main(["probe"]) == 0
    assert cleaned


def test_a_missing_module_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(cli.COMMANDS, "probe", cli.Entry("cs3collab.no_such_module", "x", "x"))
    assert cli.main(["probe"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("cs3collab: the command 'probe' cannot start: No module named 'cs3collab.no_such_module' (")
    assert err.count("\n") == 1


def test_the_process_exits_with_the_code() -> None:
    code = "import sys; from cs3collab.cli import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code, "bogus"], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 2
    assert "invalid choice: 'bogus'" in done.stderr
