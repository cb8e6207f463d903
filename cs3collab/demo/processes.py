"""Child processes of the demo: started, waited for until they serve, and ended with it, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from cs3collab.errors import CollabError, DeadlineExceeded

START_S = 90.0
"""A first JupyterLab start compiles Python and may take half a minute on two cores."""
STOP_S = 20.0
ASK_EVERY_S = 0.1


class DemoProcess:
    """One program in a process group of its own, so that Ctrl-C reaches us alone and we end it in order."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str] | None = None,
        *,
        program: str = sys.executable,
    ) -> None:
        self.name = name
        self.folder = folder
        self._program = program
        self._command = command
        self._environment = {**os.environ, **(environment or {})}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                self._program,
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                cwd=self.folder,
                start_new_session=True,
            )

    async def ready(self, told: Callable[[], Awaitable[str | None]]) -> str:
        """Asks `told` until it answers. Raises `CollabError` with the end of the log if the process ends or is too slow."""
        assert self._process is not None
        try:
            async with asyncio.timeout(START_S):
                while (answer := await told()) is None:
                    if self._process.returncode is not None:
                        raise CollabError(f"{self.name} ended with {self._process.returncode}: {self.tail()}")
                    await asyncio.sleep(ASK_EVERY_S)
                return answer
        except TimeoutError as error:
            raise DeadlineExceeded(f"{self.name} did not start within {START_S:.0f} s: {self.tail()}") from error

    async def ready_file(self, path: Path) -> str:
        """What the program writes to `path` once it serves. Raises as `ready` does."""

        def read() -> str | None:
            try:
                return path.read_text(encoding="utf-8") or None
            except FileNotFoundError:
                return None

        return await self.ready(lambda: asyncio.to_thread(read))

    def tail(self) -> str:
        with contextlib.suppress(OSError):
            return self.log.read_text(errors="replace").strip()[-1500:]
        return ""

    async def kill(self) -> None:
        """SIGKILL, as a crash would; `start` starts it again."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL after `STOP_S` seconds; kernels that are left go too."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now; all are held until all are chosen, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for held in sockets:
            held.bind(("127.0.0.1", 0))
        return [int(held.getsockname()[1]) for held in sockets]
    finally:
        for held in sockets:
            held.close()
