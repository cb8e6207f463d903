"""Opening, saving and listing on a real Reva: our client beside CERN's ``cs3client``, in turns, each as its users call it.

Beside the time stands what Reva itself took of the processors: on one machine no client is faster than that.
"""

from __future__ import annotations

import asyncio
import logging
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from configparser import ConfigParser
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from benchmarks import notebooks
from benchmarks.results import Row
from cs3collab.cs3.auth import BasicToken
from cs3collab.cs3.files import Files
from cs3collab.cs3.gateway import Gateway
from cs3collab.cs3.session import Session
from cs3collab.demo.gateways import Account, start_gateways
from cs3collab.demo.processes import DemoProcess
from cs3collab.errors import InvalidInput
from cs3collab.types import Ref, ResourceId, Written

PEER = "cs3client 1.7"
PEER_BY_ID = "cs3client 1.7, told the ids"
REVAD = Path(".reva", "revad-v2").absolute()
USER = Account("einstein", "Albert Einstein", "a.example", "relativity")
CROWD = 20
ENTRIES = 100
CORES = os.cpu_count() or 1
FLOOR = 1.5
"""Of Reva's own processor time: what is above is the client's, and what both wait for disk and network."""
Operation = Callable[[int], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Client:
    """The same three operations by one client; the number tells which of `CROWD` files."""

    open: Operation
    save: Operation
    list: Operation


async def measure(folder: Path, *, rounds: int, number: int) -> list[Row]:
    """Raises `InvalidInput` without a Reva."""
    if not os.access(REVAD, os.X_OK):
        raise InvalidInput(f"there is no {REVAD}", hint="make reva builds it")
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        processes: dict[str, DemoProcess] = {}
        address = (await start_gateways(stack, folder, [USER.site], [USER], processes, REVAD))[USER.site]
        (revad,) = processes.values()
        gateway = await stack.enter_async_context(Gateway(address))
        files = Files(await Session.open(gateway, BasicToken(gateway, USER.username, USER.password)))
        home = await files.home()
        await _prepare(files, home)
        top = (await files.stat(Ref(home))).id
        with ThreadPoolExecutor(CROWD) as threads:
            clients = (ours(files, top), theirs(address, home, threads), theirs(address, top, threads))
            meter = Meter(psutil.Process(revad.pid))
            rows = []
            for name in ("open", "save", "list"):
                operations = [getattr(client, name) for client in clients]
                rows += await _compared(name, operations, meter, rounds, number)
        return rows


async def _prepare(files: Files, home: str) -> None:
    await files.mkdir(Ref(f"{home}/many"))
    for number in range(ENTRIES):
        await files.touch(Ref(f"{home}/many/{number}.ipynb"))
    for number in range(CROWD):
        await files.write(Ref(f"{home}/{number}.ipynb"), notebooks.small())


def ours(files: Files, home: ResourceId) -> Client:
    """As the contents manager asks: below the home's id."""
    content = notebooks.small()

    async def save(number: int) -> None:
        """Over exactly what was there a moment before; the answer has the new etag."""
        ref = Ref(f"./{number}.ipynb", home)
        info = await files.stat(ref)
        assert isinstance(await files.write(ref, content, if_match=info.etag, seen=info), Written)

    async def open_(number: int) -> None:
        ref = Ref(f"./{number}.ipynb", home)
        await files.stat(ref)
        assert await files.read(ref, max_bytes=2**30) == content

    async def list_(number: int) -> None:
        assert len(await files.list(Ref("./many", home))) == ENTRIES

    return Client(open_, save, list_)


def theirs(address: str, home: str | ResourceId, threads: ThreadPoolExecutor) -> Client:
    """It blocks, so a server has to call it in threads. It has no conditions; a save asks for the etag before and after.

    Its own examples name files by their path; `home` may also be an id, which spares Reva as much as it does for ours.
    """
    from cs3client.auth import Auth
    from cs3client.cs3client import CS3Client
    from cs3client.cs3resource import Resource

    config = ConfigParser()
    config["cs3client"] = {"host": address, "auth_login_type": "basic", "auth_client_id": USER.username}
    quiet = logging.getLogger("benchmarks.cs3client")
    quiet.setLevel(logging.CRITICAL)
    client = CS3Client(config, "cs3client", quiet)
    auth = Auth(client)
    auth.set_client_secret(USER.password)
    content = notebooks.small()

    def at(name: str) -> Resource:
        if isinstance(home, str):
            return Resource(abs_path=f"{home}/{name}")
        ids = {"parent_id": home.opaque_id, "storage_id": home.storage_id, "space_id": home.space_id}
        return Resource(rel_path=f"/{name}", **ids)

    def open_(number: int) -> None:
        file = at(f"{number}.ipynb")
        token = auth.get_token()
        client.file.stat(token, file)
        assert b"".join(client.file.read_file(token, file)) == content

    def save(number: int) -> None:
        file = at(f"{number}.ipynb")
        token = auth.get_token()
        client.file.stat(token, file)
        client.file.write_file(token, file, content, len(content))
        client.file.stat(token, file)

    def list_(number: int) -> None:
        token = auth.get_token()
        assert len(list(client.file.list_dir(token, at("many")))) == ENTRIES

    loop = asyncio.get_running_loop()
    return Client(*(partial(loop.run_in_executor, threads, call) for call in (open_, save, list_)))


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one operation, milliseconds: until the next, and of Reva's processor time. ``cores`` are those that others left."""

    time: float
    reva: float
    cores: float


class Meter:
    def __init__(self, revad: psutil.Process) -> None:
        self._revad = revad
        self._self = psutil.Process()

    async def cost(self, work: Awaitable[int]) -> Cost:
        """`work` says how many operations it was."""
        before = self._spent()
        number = await work
        clock, reva, own, machine = (now - then for now, then in zip(self._spent(), before, strict=True))
        others = max(0.0, machine - reva - own)
        return Cost(1000 * clock / number, 1000 * reva / number, max(0.1, CORES - others / clock))

    def _spent(self) -> tuple[float, ...]:
        """Seconds: by the clock, and of processor time here, in Reva, and of all programs."""
        machine = psutil.cpu_times()
        return (
            time.perf_counter(),
            *map(_busy, (self._revad.cpu_times(), self._self.cpu_times())),
            sum(machine) - _idle(machine),
        )


def _busy(times: Any) -> float:
    return float(times.user + times.system)


def _idle(machine: Any) -> float:
    """Linux counts guests twice."""
    return float(sum(getattr(machine, each, 0.0) for each in ("idle", "iowait", "guest", "guest_nice")))


async def _compared(name: str, operations: Sequence[Operation], meter: Meter, rounds: int, number: int) -> list[Row]:
    """Medians over rounds: of one after the other, and of `CROWD` at once."""
    alone: list[list[Cost]] = [[] for _ in operations]
    crowd: list[list[Cost]] = [[] for _ in operations]
    for turn in range(rounds):
        for side in range(len(operations))[:: 1 if turn % 2 else -1]:
            alone[side].append(await meter.cost(_alone(operations[side], number)))
            crowd[side].append(await meter.cost(_crowd(operations[side], number)))
    one, their_one, their_one_by_id = map(_median, alone)
    many, theirs, by_id = map(_median, crowd)
    once, at_once = f"{name} on Reva, one at a time", f"{name} on Reva, {CROWD} at once"
    return [
        Row(f"{once} (ms)", one.time, their_one.time, PEER, 1.0),
        Row(f"{once} (ms)", one.time, their_one_by_id.time, PEER_BY_ID, 1.0),
        Row(f"{at_once} (ms each)", many.time, theirs.time, PEER, 1 / 3),
        Row(f"{at_once} (ms each)", many.time, by_id.time, PEER_BY_ID, 1.0),
        Row(
            f"{at_once} (ms each)",
            many.time,
            many.reva / many.cores,
            f"Reva's processor time, over {many.cores:.1f} cores",
            FLOOR,
        ),
        Row(f"{at_once}, Reva's processor time (ms)", many.reva, theirs.reva, PEER, 1.0),
    ]


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(*(statistics.median(getattr(cost, each) for cost in costs) for each in ("time", "reva", "cores")))


async def _alone(operation: Operation, number: int) -> int:
    for turn in range(number):
        await operation(turn % CROWD)
    return number


async def _crowd(operation: Operation, number: int) -> int:
    """`CROWD` callers keep going, each on a file of its own."""
    each = max(1, number // 4)

    async def caller(which: int) -> None:
        for _ in range(each):
            await operation(which)

    await asyncio.gather(*map(caller, range(CROWD)))
    return CROWD * each
