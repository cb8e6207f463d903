"""``cs3collab doctor --lock PATH`` and ``--unlock PATH``: whose lock is on a file, and taking away one that is stuck."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from cs3collab.cs3 import locks
from cs3collab.cs3.files import Files
from cs3collab.errors import NotAuthorized
from cs3collab.locks import foreign
from cs3collab.locks.arbiter import APP_NAME
from cs3collab.types import Lock, Ref


@dataclass(frozen=True, slots=True)
class Locked:
    """A file, its lock if there is one, and the metadata in which it is noted if the storage does not keep it itself."""

    path: str
    ref: Ref
    lock: Lock | None
    keys: tuple[str, ...] = ()


async def look(files: Files, path: str) -> Locked:
    """`path` is absolute as in CS3, or within the user's home. Raises `NotFound`."""
    named = path if path.startswith("/") else f"{(await files.home()).rstrip('/')}/{path}"
    info = await files.stat(Ref(named))
    lock = await locks.named(files.session, foreign.lock_on(info, time.time()))
    return Locked(named, Ref.of(info.id), lock, () if info.lock else foreign.noted_keys(info.metadata))


def describe(found: Locked, wall: float) -> list[str]:
    """In sentences; ``wall`` in Unix seconds."""
    if found.lock is None:
        return [f"{found.path} is not locked."]
    said = foreign.held_error(found.lock, wall).message.removeprefix("the file ")
    lines = [f"{found.path} {said}."]
    if stuck := foreign.stuck(found.lock, wall):
        lines.append(stuck)
    return lines


async def take_away(files: Files, found: Locked) -> None:
    """Raises `NotAuthorized` for the lock of another person, which storage lets nobody else end."""
    if found.lock is None:
        return
    if found.keys:
        await files.unset_metadata(found.ref, found.keys)
        return
    try:
        await locks.take_away(files.session, found.ref, found.lock)
    except NotAuthorized as refused:
        who = found.lock.holder.label if found.lock.holder else "another program"
        hint = f"only {who} can end it, where the file is open, or somebody who administers the storage"
        raise NotAuthorized(f"the storage does not let you take this lock away: {refused.message}", hint=hint) from refused


async def unlock(files: Files, path: str, *, sure: bool) -> int:
    """Says what it finds, asks unless `sure`, takes it away. Returns 0, or 1 when it was left. Raises as `take_away` does."""
    found = await look(files, path)
    print(*describe(found, time.time()), sep="\n")
    if found.lock is None:
        return 0
    if found.lock.app_name == APP_NAME:
        print("A server that still has the notebook open takes the lock again at once.")
    else:
        print("Whoever still has the file open there may not be able to save it, or may overwrite what is saved here.")
    if not sure and (await asyncio.to_thread(input, "Take the lock away? [y/N] ")).strip().lower() not in ("y", "yes"):
        print("It was left.")
        return 1
    await take_away(files, found)
    print("The lock is gone.")
    return 0
