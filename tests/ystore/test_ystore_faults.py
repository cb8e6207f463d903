"""A real process is killed, or its disk refuses, at every step: what was acknowledged is there, in order, nothing twice."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ystore_writer import FORGETTING

from ystore import DirectoryBlobs, Store, failpoints
from ystore.testing import update

pytestmark = pytest.mark.integration

WRITER = Path(__file__).with_name("ystore_writer.py")
ROOT = WRITER.parents[2]
SEVERAL = {
    "journal.write.torn": (2, 4),
    "journal.sync.before": (2, 4),
    "atomic.rename.before": (2, 3, 5, 8),
    "atomic.rename.after": (2, 4, 7),
}
NAMES = [name for name in failpoints.NAMES if name not in FORGETTING]
"""The others are in `test_ystore_retention`."""
POINTS = [(name, nth) for name in NAMES for nth in (1, *SEVERAL.get(name, ()))]


@dataclass
class Run:
    """What one life of the writer said; ``acknowledged`` is lineage to position to number."""

    status: int
    lines: list[str]
    acknowledged: dict[str, dict[int, int]] = field(default_factory=dict)


def run(directory: Path, blobs: Path, *arguments: str, kill_after: int = 0, **environment: str) -> Run:
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, str(WRITER), str(directory), str(blobs), *arguments]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if len(lines) == kill_after:
                process.kill()
    result = Run(process.returncode, lines)
    for line in lines:
        if found := re.fullmatch(r"ack (\w+) (\d+) (\d+)", line):
            of_lineage = result.acknowledged.setdefault(found[1], {})
            assert int(found[2]) not in of_lineage, "a position was given out twice"
            of_lineage[int(found[2])] = int(found[3])
    return result


async def check(directory: Path, blobs: Path | None, *runs: Run) -> None:
    """All acknowledged updates of the lineage that is in the store, under their positions; of an older one, in its place."""
    async with await Store.open(directory, DirectoryBlobs(blobs) if blobs else None) as store:
        found = [r async for r in store.records()]
        content = [u async for u in store.updates()]
        lineage = store.lineage
        after = await store.append(update(10**6))
    assert [r.position for r in found] == sorted({r.position for r in found})
    assert len({r.update for r in found}) == len(found), "an update is there twice"
    by_position = {r.position: r for r in found}
    expected = {position: n for one in runs for position, n in one.acknowledged.get(lineage, {}).items()}
    for position, n in expected.items():
        assert (by_position[position].update, by_position[position].author) == (update(n), f"author {n}")
    assert after > max([*by_position, *expected, 0])
    joined = b"".join(content)
    for n in expected.values():
        assert joined.count(f"<{n}>".encode()) == 1, "neither in the snapshot nor behind it, or in both"


@pytest.mark.parametrize(("name", "nth"), POINTS)
async def test_killed_at_a_failpoint(tmp_path: Path, name: str, nth: int) -> None:
    store, blobs = tmp_path / "s", tmp_path / "blobs"
    environment = {"RESET": "1"} if name.startswith("reset") else {}
    first = run(store, blobs, CS3COLLAB_FAILPOINT=f"{name}:kill:{nth}", **environment)
    assert first.status == -signal.SIGKILL, "the failpoint was not passed"
    await check(store, blobs, first)


@pytest.mark.parametrize("name", NAMES)
async def test_the_disk_fails_at_a_failpoint(tmp_path: Path, name: str) -> None:
    store, blobs = tmp_path / "s", tmp_path / "blobs"
    nth = 3 if name.startswith("atomic") else 1
    environment = {"RESET": "1"} if name.startswith("reset") else {}
    only = run(store, blobs, CS3COLLAB_FAILPOINT=f"{name}:error:{nth}", **environment)
    assert only.lines[-1] == "done", "the process goes on"
    assert not [line for line in only.lines if line.startswith("refused")], "a retry succeeds once the disk is well"
    await check(store, blobs, only)


async def test_killed_at_any_moment_again_and_again(tmp_path: Path) -> None:
    store, blobs, lives = tmp_path / "s", tmp_path / "blobs", []
    dice = random.Random(20)
    for n in range(6):
        lives.append(run(store, blobs, "9", kill_after=dice.randint(1, 40), FIRST=str(1000 * n)))
        assert lives[-1].status == -signal.SIGKILL
    await check(store, blobs, *lives)


async def test_a_killed_reset_leaves_the_old_lineage_readable(tmp_path: Path) -> None:
    store, blobs = tmp_path / "s", tmp_path / "blobs"
    life = run(store, blobs, RESET="1", CS3COLLAB_FAILPOINT="reset.manifest.after")
    (old,) = life.acknowledged
    async with await Store.open(store) as opened:
        assert opened.lineage != old
        assert opened.position == 0
    revived, aside = tmp_path / "revived", store / "old" / old
    (revived / "data").mkdir(parents=True)
    shutil.copy(aside / "manifest", revived)
    shutil.copytree(aside, revived / "data" / old)
    await check(revived, None, life)


async def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path) -> None:
    """The limit on file size answers as a full disk does: a part is written, then there is an error."""
    store, blobs = tmp_path / "s", tmp_path / "blobs"
    full = run(store, blobs, "1", "200")
    assert full.lines[-1] == "done"
    assert [line for line in full.lines if line.startswith("refused")]
    again = run(store, blobs, "1", FIRST="1000")
    assert not [line for line in again.lines if line.startswith("refused")]
    await check(store, blobs, full, again)


async def test_what_was_shipped_survives_the_death_of_process_and_disk(tmp_path: Path) -> None:
    store, blobs = tmp_path / "s", tmp_path / "blobs"
    life = run(store, blobs, "1")
    assert life.lines[-1] == "done"
    shutil.rmtree(store)
    await check(store, blobs, life)


def test_every_failpoint_is_in_the_code() -> None:
    source = "".join(p.read_text() for p in (ROOT / "ystore").glob("*.py") if p.name != "failpoints.py")
    assert {name for name in failpoints.NAMES if f'"{name}"' in source} == set(failpoints.NAMES)
    with pytest.raises(ValueError, match="unknown failpoint"):
        failpoints.from_env("journal.nowhere")
    assert failpoints.from_env("relay.elsewhere:kill") is None
