"""Fault 4: a full disk, failing writes, too many open files, a rename that fails. `test_ystore_faults` has a real full disk."""

import asyncio
import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.ystore_decoding import decode_here
from support.ystore_disk import RefusingDisk
from support.ystore_ledger import Ledger, Writer

from ystore import Journal, MemoryBlobs, Store, StoreError, StoreUnavailable, Tuning, replay

STILL = Tuning(ship_after_s=3600, retry_s=3600)
RecordProperty = Callable[[str, object], None]
NEW_FILES = ("create", "create_temporary", "make_dir")
EVERYTHING = (*NEW_FILES, "write", "sync", "sync_dir", "truncate", "replace", "unlink")
GOES_ON, REFUSES, MAY_GO_ON = "goes on", "refuses", "goes on in an open file"
FAULTS = {
    "full": (errno.ENOSPC, ("write", *NEW_FILES), REFUSES),
    "full, but files can be made": (errno.ENOSPC, ("write",), REFUSES),
    "over quota": (errno.EDQUOT, ("write", *NEW_FILES), REFUSES),
    "write error": (errno.EIO, ("write",), REFUSES),
    "no room ahead": (errno.ENOSPC, ("resize",), GOES_ON),
    "sync error": (errno.EIO, ("sync",), REFUSES),
    "sync error, and nothing can be cut": (errno.EIO, ("sync", "truncate", "unlink"), REFUSES),
    "directories cannot be synced": (errno.EIO, ("sync_dir",), MAY_GO_ON),
    "read-only": (errno.EROFS, EVERYTHING, REFUSES),
    "too many open files": (errno.EMFILE, NEW_FILES, MAY_GO_ON),
    "failing rename": (errno.EIO, ("replace",), GOES_ON),
    "failing rename on a full disk": (errno.ENOSPC, ("replace", "create_temporary"), GOES_ON),
    "nothing can be removed": (errno.EPERM, ("unlink",), GOES_ON),
}


@pytest.fixture(autouse=True)
def _no_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "_run", decode_here)


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_disk_in_trouble(tmp_path: Path, fault: str, record_property: RecordProperty) -> None:
    number, operations, effect = FAULTS[fault]
    disk, ledger, blobs = RefusingDisk(), Ledger(), MemoryBlobs()
    journal, writer = Journal(files=disk), Writer(ledger)
    writer.store = store = await Store.open(tmp_path / "s", blobs, journal, tuning=STILL)
    for _ in range(3):
        await writer.write(3)
    await store.flush()  # the log is sealed: the next append begins the file that was made ready
    for file_is_open in (False, True):
        if file_is_open:
            await writer.write(1)
        before = ledger.promised
        disk.failing = dict.fromkeys(operations, number)
        for _ in range(3):
            await try_all(writer, effect)
            await ledger.verify(store)
        assert disk.refusals
        assert effect != REFUSES or ledger.promised == before, "acknowledged by a disk that refuses"
        disk.failing = {}
        await writer.write(3)
        await verify_copy(tmp_path, ledger)
        await writer.note()
        await store.compact()
        await store.flush()
        assert (store.status.shipped, store.status.problem) == (store.position, "")
        await ledger.verify(store)
    await store.close()
    async with await Store.open(tmp_path / "s", journal=journal) as store:
        await ledger.verify(store)
        assert store.meta["n"] == str(writer.noted)
    async with await Store.open(tmp_path / "elsewhere", blobs, journal) as store:
        await ledger.verify(store)
    journal.close()
    record_property("figures", {"refused by the disk": disk.refusals, "refused": writer.refused, "kept": ledger.promised})


async def verify_copy(tmp_path: Path, ledger: Ledger) -> None:
    """As if the process had been killed now: nothing that was refused stands where something else was then promised."""
    shutil.copytree(tmp_path / "s", tmp_path / "copy")
    async with await Store.open(tmp_path / "copy", tuning=STILL) as store:
        await ledger.verify(store)
    shutil.rmtree(tmp_path / "copy")


async def try_all(writer: Writer, effect: str) -> None:
    """Each says what is wrong and what to do, or goes on."""
    (result,) = await asyncio.gather(writer.write(3), return_exceptions=True)
    assert result is None or (isinstance(result, StoreUnavailable) and result.hint)
    assert effect == MAY_GO_ON or (result is None) == (effect == GOES_ON)
    for work in (writer.note, writer.store.compact, writer.store.flush):
        (result,) = await asyncio.gather(work(), return_exceptions=True)
        assert result is None or (isinstance(result, StoreError) and result.hint)


OUT_OF_FILES = """
import asyncio, json, os, resource, sys
from ystore import Store, StoreUnavailable
from ystore.testing import update

async def main():
    said = {}
    async with await Store.open(sys.argv[1]) as store:
        await store.append(update(0))
        await store.append(update(1))
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))), hard))
        held = []
        try:
            while True:
                held.append(os.dup(0))
        except OSError as error:
            said["limit"] = error.errno
        said["goes on in the open file"] = await store.append(update(2))
        for name, work in {"note": lambda: store.set_meta({"a": "b"}), "load": store.load, "compact": store.compact}.items():
            try:
                await work()
                said[name] = ""
            except StoreUnavailable as error:
                said[name] = error.hint
        said["position"] = store.position
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        said["after"] = await store.append(update(3))
        await store.compact()
        said["records"] = [r.position async for r in store.records()]
    print(json.dumps(said))

asyncio.run(main())
"""


def test_a_process_with_no_file_left_to_open(tmp_path: Path) -> None:
    """The limit is a real one. Reading needs a file, so it is refused as well, and both go on when there are files again."""
    result = subprocess.run([sys.executable, "-c", OUT_OF_FILES, tmp_path], capture_output=True, text=True, timeout=50)
    assert result.returncode == 0, result.stderr
    said = json.loads(result.stdout)
    assert said["limit"] == errno.EMFILE
    assert said["goes on in the open file"] == said["position"] == 3
    assert all(said[name] for name in ("compact", "note", "load")), "refused, with a hint"
    assert (said["after"], said["records"]) == (4, [1, 2, 3, 4])
