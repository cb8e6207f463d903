"""``cs3collab relay`` as a process: ready, told to stop, told twice."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support import links
from support.links import Person, Proxy, node
from support.notebooks import notebook
from support.relays import RelayProcess, relay_of
from support.sites import Site, site

SLOW = {"idle_save_s": 1000, "busy_save_s": 1000}


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as running:
        await running.put("einstein", "n.ipynb", notebook(""))
        yield running


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_relay_that_is_told_to_stop_saves_first(here: Site, tmp_path: Path, number: int) -> None:
    async with relay_of(here, tmp_path / "relay", limits=SLOW) as relay:
        token, target = await links.token(here, "einstein"), await links.target(here, "einstein", "n.ipynb")
        async with node(tmp_path / "node", relay.url, lambda: token) as server, Person(server, target) as person:
            person.comes_back = False
            person.write("unsaved")
            await person.ask("durable")
            await stopped(relay, number)
        assert b"unsaved" in await here.read("einstein", "n.ipynb")


async def stopped(relay: RelayProcess, number: int) -> None:
    assert relay.process is not None
    relay.process.send_signal(number)
    async with asyncio.timeout(20):
        assert await relay.process.wait() == 0


async def test_a_second_signal_ends_it_at_once_and_nothing_durable_is_lost(here: Site, tmp_path: Path) -> None:
    async with (
        Proxy(f"http://{here.address}") as line,
        relay_of(here, tmp_path / "relay", limits=SLOW, gateway=line.url.removeprefix("http://")) as relay,
    ):
        token, target = await links.token(here, "einstein"), await links.target(here, "einstein", "n.ipynb")
        async with node(tmp_path / "node", relay.url, lambda: token) as server, Person(server, target) as person:
            person.write("durable")
            await person.ask("durable")
            line.freeze()  # so that the save does not end by itself
            assert relay.process is not None
            relay.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(20):
                while "saving open documents" not in relay.tail():  # noqa: ASYNC110 - it says so in its log
                    await asyncio.sleep(0.02)
            relay.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                assert await relay.process.wait() == -signal.SIGTERM
            person.comes_back = False


async def test_check_says_that_the_file_is_fine_and_starts_nothing(here: Site, tmp_path: Path) -> None:
    async with relay_of(here, tmp_path / "relay") as relay:
        code, out, _ = await check(relay)
        assert (code, out.strip().endswith("fine")) == (0, True)
        assert "no document can be opened yet" not in relay.tail()


async def check(relay: RelayProcess) -> tuple[int | None, str, str]:
    command = [sys.executable, "-m", "cs3collab", "relay", "--config", str(relay.folder / "relay.toml"), "--check"]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, env=dict(os.environ))
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_a_gateway_that_does_not_answer_is_named_by_check_and_in_the_log(here: Site, tmp_path: Path) -> None:
    async with relay_of(here, tmp_path / "relay") as relay:
        await relay.stop()
        address = here.address
        await here.gateway.stop()
        code, out, err = await check(relay)
        assert (code, out) == (1, "")
        assert err.startswith(f"cs3collab: the gateway at {address} cannot be reached (")
        assert len(err.splitlines()) == 1
        await relay.start()
        async with asyncio.timeout(20):
            while "no document can be opened yet: the gateway at" not in relay.tail():  # noqa: ASYNC110 - it says so in its log
                await asyncio.sleep(0.02)
