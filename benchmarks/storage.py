"""Opening, saving and listing on a real Reva: our client beside CERN's ``cs3client``, in turns, each as its users call it."""

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

from benchmarks import notebooks
from benchmarks.results import Row
from cs3collab.cs3.auth import BasicToken
from cs3collab.cs3.files import Files
from cs3collab.cs3.gateway import Gateway
from cs3collab.cs3.session import Session
from cs3collab.demo.gateways import Account, start_gateways
from cs3collab.errors import InvalidInput
from cs3collab.types import Ref, Written

PEER = "cs3client 1.7"
REVAD = Path(".reva", "revad-v2").absolute()
USER = Account("einstein", "Albert Einstein", "a.example", "relativity")
CROWD = 20
ENTRIES = 100
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
        addresses = await start_gateways(stack, folder, [USER.site], [USER], {}, REVAD)
        address = addresses[USER.site]
        gateway = await stack.enter_async_context(Gateway(address))
        files = Files(await Session.open(gateway, BasicToken(gateway, USER.username, USER.password)))
        home = await files.home()
        await _prepare(files, home)
        with ThreadPoolExecutor(CROWD) as threads:
            clients = (ours(files, home), theirs(address, home, threads))
            rows = []
            for name in ("open", "save", "list"):
                operations = [getattr(client, name) for client in clients]
                rows += await _compared(name, operations, rounds, number)
        return rows


async def _prepare(files: Files, home: str) -> None:
    await files.mkdir(Ref(f"{home}/many"))
    for number in range(ENTRIES):
        await files.touch(Ref(f"{home}/many/{number}.ipynb"))
    for number in range(CROWD):
        await files.write(Ref(f"{home}/{number}.ipynb"), notebooks.small())


def ours(files: Files, home: str) -> Client:
    content = notebooks.small()

    async def save(number: int) -> None:
        """Over exactly what was there a moment before; the answer has the new etag."""
        ref = Ref(f"{home}/{number}.ipynb")
        info = await files.stat(ref)
        assert isinstance(await files.write(ref, content, if_match=info.etag), Written)

    async def open_(number: int) -> None:
        ref = Ref(f"{home}/{number}.ipynb")
        await files.stat(ref)
        assert await files.read(ref, max_bytes=2**30) == content

    async def list_(number: int) -> None:
        assert len(await files.list(Ref(f"{home}/many"))) == ENTRIES

    return Client(open_, save, list_)


def theirs(address: str, home: str, threads: ThreadPoolExecutor) -> Client:
    """It blocks, so a server has to call it in threads. It has no conditions; a save asks for the etag before and after."""
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

    def open_(number: int) -> None:
        file = Resource(abs_path=f"{home}/{number}.ipynb")
        token = auth.get_token()
        client.file.stat(token, file)
        assert b"".join(client.file.read_file(token, file)) == content

    def save(number: int) -> None:
        file = Resource(abs_path=f"{home}/{number}.ipynb")
        token = auth.get_token()
        client.file.stat(token, file)
        client.file.write_file(token, file, content, len(content))
        client.file.stat(token, file)

    def list_(number: int) -> None:
        token = auth.get_token()
        assert len(list(client.file.list_dir(token, Resource(abs_path=f"{home}/many")))) == ENTRIES

    loop = asyncio.get_running_loop()
    return Client(*(partial(loop.run_in_executor, threads, call) for call in (open_, save, list_)))


async def _compared(name: str, operations: Sequence[Operation], rounds: int, number: int) -> list[Row]:
    """Medians over rounds: of one after the other, and of `CROWD` at once."""
    alone: list[list[float]] = [[], []]
    crowd: list[list[float]] = [[], []]
    for turn in range(2 * rounds):
        for side in (0, 1) if turn % 2 else (1, 0):
            alone[side].append(await _alone(operations[side], number))
            crowd[side].append(await _crowd(operations[side], number))
    (our_time, their_time), (our_crowd, their_crowd) = (map(statistics.median, sides) for sides in (alone, crowd))
    return [
        Row(f"{name} on Reva, one at a time (ms)", our_time * 1000, their_time * 1000, PEER, 1.0),
        Row(f"{name} on Reva, {CROWD} at once (ms each)", our_crowd * 1000, their_crowd * 1000, PEER, 1 / 3),
    ]


async def _alone(operation: Operation, number: int) -> float:
    began = time.perf_counter()
    for turn in range(number):
        await operation(turn % CROWD)
    return (time.perf_counter() - began) / number


async def _crowd(operation: Operation, number: int) -> float:
    """Seconds per operation while `CROWD` callers keep going, each on a file of its own."""

    async def caller(which: int) -> None:
        for _ in range(max(1, number // 4)):
            await operation(which)

    began = time.perf_counter()
    await asyncio.gather(*map(caller, range(CROWD)))
    return (time.perf_counter() - began) / (CROWD * max(1, number // 4))
