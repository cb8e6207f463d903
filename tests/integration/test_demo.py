"""The demo as a user starts it: a process of its own, with real gateways, relays and JupyterLabs below it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from support.notebooks import notebook
from support.reva import REVADS

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


async def run_demo(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cs3collab", "demo", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )


STORAGES = ((), pytest.param(("--reva", str(REVADS["v2"].binary)), marks=pytest.mark.reva))


@pytest.mark.parametrize("storage", STORAGES, ids=["embedded", "reva"])
async def test_the_check_edits_a_notebook_of_ours_and_changes_nothing_else(storage: tuple[str, ...], tmp_path: Path) -> None:
    mine, result = tmp_path / "mine.ipynb", tmp_path / "result.json"
    mine.write_bytes(notebook("a = 1", "b = 2"))
    demo = await run_demo("--check", *storage, "--notebook", str(mine), "--json", str(result))
    output = (await demo.communicate())[0].decode()
    assert demo.returncode == 0, output
    said = json.loads(result.read_text())
    assert said["ok"]
    assert {row["who"] for row in said["rows"]} == {"Albert Einstein", "Marie Curie", "Richard Feynman"}
    assert all(row["ok"] for row in said["rows"]), output
    refused = next(row for row in said["rows"] if row["who"] == "Richard Feynman")
    for hop in ("Jupyter server", "relay of b.example", "relay of a.example", "y-websocket"):
        assert hop in refused["detail"]
    assert said["etag"] in output
    assert mine.read_bytes() == notebook("a = 1", "b = 2")


async def test_without_a_revad_it_is_said_how_to_get_one(tmp_path: Path) -> None:
    demo = await run_demo("--reva", str(tmp_path / "revad"))
    output = (await demo.communicate())[0].decode()
    assert (demo.returncode, "make reva" in output, "Traceback" in output) == (1, True, False)


async def test_ctrl_c_stops_everything(tmp_path: Path) -> None:
    demo = await run_demo("--directory", str(tmp_path / "demo"))
    assert demo.stdout is not None
    output = b""
    while b"Ctrl-C stops everything" not in output:
        line = await demo.stdout.readline()
        assert line, output.decode()
        output += line
    assert output.count(b"token=") == 3
    demo.send_signal(signal.SIGINT)
    output += await demo.stdout.read()
    assert await demo.wait() == 0, output.decode()
    assert not processes_in(tmp_path / "demo")


def processes_in(folder: Path) -> list[str]:
    """Command lines of processes whose working directory is below `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and Path(os.readlink(entry / "cwd")).is_relative_to(folder):
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found
