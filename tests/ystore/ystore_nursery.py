"""Lives of a writer process by the hundred: forks `ystore_writer` from a process that has imported it, and kills the fork.

``python ystore_nursery.py`` reads one `Job` a line as JSON and answers each with a `Life`. A forked writer differs from a
started one only in that its modules are loaded already, and, if ``decode_here``, in that compaction starts no child.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import ystore_writer
from support.ystore_decoding import decode_here

from ystore import failpoints, replay

GIVE_UP_S = 60.0


@dataclass(frozen=True)
class Job:
    """One life in `directory` and `blobs`; ``kill_after_s`` after the fork, or at a failpoint (``name:kill:nth``)."""

    directory: str
    blobs: str
    rounds: int = 1
    first: int = 0
    reset: bool = False
    kill_after_s: float | None = None
    failpoint: str = ""
    count: bool = False
    """Says at the end how often each failpoint was passed."""
    decode_here: bool = True


@dataclass(frozen=True)
class Life:
    """How it ended, as `subprocess` says it, what it said, and how many seconds it lasted."""

    status: int
    lines: list[str]
    lived_s: float


class Nursery:
    """The test's side. One job at a time."""

    def __init__(self) -> None:
        here = Path(__file__)
        path = os.pathsep.join(map(str, (here.parents[2], here.parents[1], here.parent)))
        self._process = subprocess.Popen(
            [sys.executable, str(here)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip

    def run(self, job: Job) -> Life:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(asdict(job)) + "\n")
        self._process.stdin.flush()
        return Life(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        with self._process:
            assert self._process.stdin
            self._process.stdin.close()


@dataclass
class Passages:
    """A failpoint hook that only counts."""

    seen: Counter[str] = field(default_factory=Counter)

    def __call__(self, name: str) -> None:
        self.seen[name] += 1


def live(job: Job) -> Life:
    reading, writing = os.pipe()
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.dup2(writing, 1)
        _write(job)
    os.close(writing)
    if not _ends(reading, GIVE_UP_S if job.kill_after_s is None else started + job.kill_after_s - time.monotonic()):
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    lived = time.monotonic() - started
    said = _drain(reading)
    os.close(reading)
    return Life(os.waitstatus_to_exitcode(status), said.decode().splitlines(), lived)


def _ends(reading: int, within_s: float) -> bool:
    """Whether the writer ended by itself. What it says stays in the pipe, which takes 64 KiB."""
    poll = select.poll()
    poll.register(reading, 0)
    return within_s > 0 and bool(poll.poll(within_s * 1000))


def _drain(reading: int) -> bytes:
    parts = []
    while part := os.read(reading, 65536):
        parts.append(part)
    return b"".join(parts)


def _write(job: Job) -> None:
    try:
        passages = Passages()
        failpoints.hook = passages if job.count else failpoints.from_env(job.failpoint)
        if job.decode_here:
            replay._run = decode_here
        if job.reset:
            os.environ["RESET"] = "1"
        asyncio.run(ystore_writer.main(Path(job.directory), Path(job.blobs), job.rounds, first=job.first))
        for name, times in passages.seen.items():
            ystore_writer.say("passed", name, times)
    except BaseException:  # noqa: BLE001 - nothing may get back into the parent's loop
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(asdict(live(Job(**json.loads(line))))), flush=True)
