"""A process that writes a file under a lease as fast as it may, for tests that freeze it. ``python -m support.lock_holder``.

It reads JSON lines: first the gateway, who it is, and the lease's lifetime, then one file after the other; an empty line
ends one. It says ``held ID`` for each lease, ``lost`` for each end of one, ``stopped`` after each file.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from typing import Any

from cs3collab.cs3.auth import BasicToken
from cs3collab.cs3.files import Files
from cs3collab.cs3.gateway import Gateway
from cs3collab.cs3.session import Session
from cs3collab.errors import CollabError, LeaseLost, LockHeld
from cs3collab.locks.lease import Lease
from cs3collab.types import Ref, ResourceId

BETWEEN_S = 0.005
"""Between two writes, so that others get some of the machine."""


def say(*words: str) -> None:
    print(*words, flush=True)


async def write_on(files: Files, ref: Ref, lease: Lease) -> None:
    """With nothing to keep an old write out but the lock: no condition on the etag."""
    held = ""
    while True:
        try:
            lock_id = await lease.acquire()
            if (lock_id or "a claim") != held:
                held = lock_id or "a claim"
                say("held", held)
            if lease.valid():
                await files.write(ref, f"{held}\n".encode(), lock_id=lock_id)
        except (LockHeld, LeaseLost):
            lease.doubt()
            if held:
                held = ""
                say("lost")
        except CollabError as error:
            lease.doubt()
            say("trouble", repr(error))
        await asyncio.sleep(BETWEEN_S)


async def main() -> None:
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)

    async def line() -> Any:
        read = await lines.readline()
        if not read:
            raise EOFError
        return json.loads(read) if read.strip() else None

    start = await line()
    gateway = Gateway(start["gateway"])
    files = Files(await Session.open(gateway, BasicToken(gateway, start["user"], start["password"])))
    with contextlib.suppress(EOFError):
        while True:
            ref = Ref.of(ResourceId(*await line()))
            lease = Lease(lambda: files, ref, start["authority"], lifetime_s=start["lifetime_s"])
            task = asyncio.create_task(write_on(files, ref, lease))
            await line()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await lease.release()
            say("stopped")
    await gateway.close()


if __name__ == "__main__":
    asyncio.run(main())
