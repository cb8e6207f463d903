"""A holder is frozen for twice its lock's lifetime, wherever it is in a write, and another takes over: nothing old may land."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.reva import REVADS, site_on
from support.sites import SiteBase

from cs3collab.cs3.files import Files
from cs3collab.errors import LockHeld
from cs3collab.locks.lease import Lease
from cs3collab.types import Ref, Written

LIFETIME_S = 1.0
FROZEN_S = 2 * LIFETIME_S
WAIT_S = 60.0
RIVAL = b"by the rival"


@dataclass
class Holder:
    """A process of `support.lock_holder`, and what it said."""

    process: asyncio.subprocess.Process
    authority: str
    said: list[str] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.said.append(line.decode().strip())
            self.news.set()

    def tell(self, what: object = None) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write((json.dumps(what) if what is not None else "").encode() + b"\n")

    async def until(self, word: str, after: int = 0) -> str:
        """What came with the first `word` it says after so many lines."""
        async with asyncio.timeout(WAIT_S):
            while True:
                for line in self.said[after:]:
                    if line.split()[0] == word:
                        return line.removeprefix(word).strip()
                self.news.clear()
                await self.news.wait()


@contextlib.asynccontextmanager
async def holder(at: SiteBase, authority: str) -> AsyncIterator[Holder]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "support.lock_holder",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )
    started = Holder(process, authority)
    listening = asyncio.create_task(started.listen())
    started.tell(
        {
            "gateway": at.address,
            "user": "einstein",
            "password": at.password("einstein"),
            "authority": authority,
            "lifetime_s": LIFETIME_S,
        }
    )
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def frozen_holding(victim: Holder, files: Files, ref: Ref, chance: random.Random) -> str:
    """Freezes it at some moment of some write, while its lock is on the file; the lock's id."""
    while True:
        await asyncio.sleep(chance.uniform(0, 0.05))
        victim.process.send_signal(signal.SIGSTOP)
        lock = await files.get_lock(ref)
        if lock is not None:
            return lock.lock_id
        victim.process.send_signal(signal.SIGCONT)


async def taken_over(lease: Lease) -> str:
    async with asyncio.timeout(WAIT_S):
        while True:
            with contextlib.suppress(LockHeld):
                return await lease.acquire()
            await asyncio.sleep(0.02)


async def since_rival(files: Files, ref: Ref) -> list[bytes]:
    """What is in the file, and all it was since the rival first wrote, newest first."""
    contents = [await files.read(ref, max_bytes=1000)]
    for version in sorted(
        await files.versions(ref), key=lambda version: version.key, reverse=True
    ):  # they end with their times
        if contents[-1] == RIVAL:
            return contents
        contents.append(await files.read_version(ref, version.key, max_bytes=1000))
    assert contents[-1] == RIVAL
    return contents


async def one_run(at: SiteBase, victim: Holder, number: int, chance: random.Random) -> int:
    """How many writes of the frozen epoch landed after the rival's. The rival lets go before the thaw in every other run."""
    files = await at.files("einstein")
    name = f"{victim.authority}-{number}.ipynb"
    info = await at.put("einstein", name, b"first")
    ref = Ref.of(info.id)
    heard = len(victim.said)
    victim.tell([info.id.storage_id, info.id.opaque_id, info.id.space_id])
    await victim.until("held", heard)
    old_id = await frozen_holding(victim, files, ref, chance)
    thaw_at = asyncio.get_running_loop().time() + FROZEN_S
    rival = Lease(lambda: files, ref, "rival", lifetime_s=30.0)
    lock_id = await taken_over(rival)
    assert isinstance(await files.write(ref, RIVAL, lock_id=lock_id), Written)
    lets_go = number % 2 == 0
    if lets_go:
        await rival.release()
    await asyncio.sleep(max(0.0, thaw_at - asyncio.get_running_loop().time()))
    thawed = len(victim.said)
    victim.process.send_signal(signal.SIGCONT)
    await victim.until("held" if lets_go else "lost", thawed)
    heard = len(victim.said)
    victim.tell()
    await victim.until("stopped", heard)
    assert not [line for line in victim.said if line.startswith("trouble")]
    landed = await since_rival(files, ref)
    assert lets_go or landed == [RIVAL]
    await rival.release()
    return sum(content == f"{old_id}\n".encode() for content in landed)


async def freeze(at: SiteBase, *, runs: int, lanes: int) -> None:
    async def lane(number: int) -> int:
        chance = random.Random(number)
        async with holder(at, f"holder-{number}") as victim:
            return sum([await one_run(at, victim, n, chance) for n in range(runs // lanes)])

    assert sum(await asyncio.gather(*(lane(number) for number in range(lanes)))) == 0


async def test_what_a_frozen_holder_began_does_not_land_after_the_next_one(tmp_path: Path) -> None:
    async with site_on("embedded", tmp_path) as at:
        await freeze(at, runs=6, lanes=3)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_two_hundred_frozen_holders(tmp_path: Path) -> None:
    async with site_on("embedded", tmp_path) as at:
        await freeze(at, runs=200, lanes=8)


@pytest.mark.reva
@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", sorted(set(REVADS) - {"v3"}))
async def test_frozen_holders_on_a_real_reva(kind: str, tmp_path: Path) -> None:
    async with site_on(kind, tmp_path) as at:
        await freeze(at, runs=12, lanes=3)
