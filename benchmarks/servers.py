"""The two worlds that are compared, both real processes: two cs3collab sites, and one stock JupyterLab."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

from benchmarks.peer import Door
from cs3collab.cs3.files import Files
from cs3collab.demo.processes import DemoProcess, free_ports
from cs3collab.demo.world import World, open_world
from cs3collab.errors import CollabError
from cs3collab.types import Ref

NOTEBOOK = "bench.ipynb"
STOCK_EXTENSION = "jupyter_server_ydoc"


class Processes:
    """The processes started by us while this was open, with all they start later."""

    def __init__(self) -> None:
        self._before = {child.pid for child in psutil.Process().children()}
        self._roots: list[psutil.Process] = []

    def settle(self) -> None:
        """What was started until now is ours."""
        self._roots = [child for child in psutil.Process().children() if child.pid not in self._before]

    def cpu_s(self) -> float:
        """User and system seconds until now."""
        total = 0.0
        for process in self._all():
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def memory(self, *words: str) -> int:
        """Unshared bytes of those, with their children, whose command line has one of `words`; of all without words."""
        total = 0
        for process in self._all(*words):
            with contextlib.suppress(psutil.Error):
                total += process.memory_full_info().uss
        return total

    def _all(self, *words: str) -> list[psutil.Process]:
        found = []
        for root in self._roots:
            with contextlib.suppress(psutil.Error):
                if not words or any(word in " ".join(root.cmdline()) for word in words):
                    found += [root, *root.children(recursive=True)]
        return found


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two worlds. ``doors`` are the Jupyter servers through which people come in."""

    doors: list[Door]
    processes: Processes
    put: Callable[[str, bytes], Awaitable[None]]
    """Writes another notebook into the storage behind the first door."""


@asynccontextmanager
async def two_sites(folder: Path, content: bytes) -> AsyncIterator[Side]:
    """Owner at one site, editor at the other: Jupyter server, relay, relay, Jupyter server."""
    processes = Processes()
    async with open_world(folder, content, NOTEBOOK, lambda text: None) as world:
        processes.settle()

        async def put(name: str, content: bytes) -> None:
            await _put(world, name, content)

        doors = [Door(lab.url, lab.token, lab.person.path) for lab in (world.owner, world.editor)]
        yield Side(doors, processes, put)


async def _put(world: World, name: str, content: bytes) -> None:
    async with world.session(world.owner.person) as session:
        files = Files(session)
        await files.write(Ref(f"{await files.home()}/{name}"), content)


@asynccontextmanager
async def stock(folder: Path, content: bytes) -> AsyncIterator[Side]:
    """One JupyterLab on local files as `pip install jupyterlab jupyter-collaboration` gives it. Raises `CollabError`."""
    processes = Processes()
    token, port = secrets.token_hex(16), free_ports(1)[0]
    for name in ("config", "data", "runtime", "work"):
        (folder / name).mkdir(parents=True)
    work = folder / "work"
    (work / NOTEBOOK).write_bytes(content)
    config = {
        "ServerApp": {
            "ip": "127.0.0.1",
            "port": port,
            "open_browser": False,
            "allow_root": True,
            "root_dir": str(work),
            "jpserver_extensions": {STOCK_EXTENSION: True, "cs3collab": False, "jupyter_server_fileid": True},
        },
        "LabApp": {"news_url": None},
    }
    (folder / "config" / "jupyter_server_config.json").write_text(json.dumps(config))
    places = {f"JUPYTER_{name.upper()}_DIR": str(folder / name) for name in ("config", "data", "runtime")}
    environment = {**places, "IPYTHONDIR": str(folder / "ipython"), "JUPYTER_TOKEN": token}
    process = DemoProcess("the stock JupyterLab", ["-m", "jupyterlab"], folder, environment)
    await process.start()
    try:
        url = f"http://127.0.0.1:{port}"
        await process.ready(lambda: _answers(url))
        log = process.log.read_text(errors="replace")
        if f"{STOCK_EXTENSION} | extension was successfully loaded" not in log or "cs3collab | extension" in log:
            raise CollabError("the stock JupyterLab did not load the stock extension alone", hint=f"see {process.log}")
        processes.settle()

        async def put(name: str, content: bytes) -> None:
            (work / name).write_bytes(content)

        yield Side([Door(url, token, NOTEBOOK)], processes, put)
    finally:
        await process.stop()


async def _answers(url: str) -> str | None:
    try:
        async with aiohttp.ClientSession() as http, http.get(f"{url}/api") as answer:
            return url if answer.status == 200 else None
    except aiohttp.ClientError:
        return None
