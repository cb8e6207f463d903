"""Relays for tests, each a real process that can be killed and started again with the same store and port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from support.sites import SiteBase

from cs3collab.relay.config import AccountConfig, GatewayConfig, RelayConfig, StoreConfig, dump

FAST = {"idle_save_s": 0.2, "busy_save_s": 1.0, "versioned_save_s": 1.0, "recheck_s": 0.5, "anti_entropy_s": 1000}
"""A test need not wait for what people hardly notice, and the periodic comparison must not heal what was lost."""
START_S = 30.0
STOP_S = 15.0


@dataclass
class RelayProcess:
    """`url` stays the same over `kill` and `start`."""

    folder: Path
    url: str = ""
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Returns when the relay serves."""
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        port = self.url.rpartition(":")[2] or "0"
        command = [
            sys.executable,
            "-m",
            "cs3collab",
            "--log-level",
            "debug",
            "relay",
            "--config",
            str(self.folder / "relay.toml"),
        ]
        with (self.folder / "relay.log").open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *command, "--port", port, "--ready-file", str(ready), stdout=output, stderr=output, start_new_session=True
            )
        async with asyncio.timeout(START_S):
            while not ready.exists() or not ready.read_text().endswith("\n"):
                if self.process.returncode is not None:
                    raise RuntimeError(f"the relay ended with {self.process.returncode}:\n{self.tail()}")
                await asyncio.sleep(0.02)
        self.url = ready.read_text().strip()

    def tail(self) -> str:
        return (self.folder / "relay.log").read_text(errors="replace")[-6000:]

    async def kill(self) -> None:
        """As ``kill -9``."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                return await self.process.wait()
        except TimeoutError:
            await self.kill()
            raise RuntimeError(f"the relay does not stop:\n{self.tail()}") from None

    def kill_workers(self) -> None:
        """``kill -9`` of every room worker, the warm spare too."""
        assert self.process is not None
        for children in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            for child in map(int, children.read_text().split()):
                if b"worker_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    os.kill(child, signal.SIGKILL)

    async def get(self, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as http, http.get(self.url + path) as answer:
            return answer.status, await answer.text()


@contextlib.asynccontextmanager
async def relay_of(
    site: SiteBase,
    folder: Path,
    *,
    relays: Mapping[str, str] | None = None,
    limits: Mapping[str, float] | None = None,
    service_account: AccountConfig | None = None,
    store_on_cs3: str = "",
    gateway: str = "",
) -> AsyncIterator[RelayProcess]:
    """The relay of a site, with its files in `folder`. ``gateway`` is another way to the site's."""
    config = RelayConfig(
        site=site.name,
        gateway=GatewayConfig(gateway or site.address),
        store=StoreConfig("store", store_on_cs3),
        service_account=service_account,
        relays=dict(relays or {}),
        limits=dict(limits or {}),
    )
    await asyncio.to_thread(_write, folder, config)
    relay = RelayProcess(folder)
    await relay.start()
    try:
        yield relay
    finally:
        await relay.stop()


def _write(folder: Path, config: RelayConfig) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "relay.toml").write_text(dump(config))
