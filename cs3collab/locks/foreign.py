"""Locks of others: with which program, by whom, since and until when; which of them are stuck, and what people can do then."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from cs3collab.errors import LockHeld
from cs3collab.locks.arbiter import APP_NAME, parse_lock_id
from cs3collab.locks.claims import PREFIX, holder
from cs3collab.types import FileInfo, Lock, User

CS3API4LAB_KEY: Final = "cs3apis4lab_lock"
"""Metadata key of Cs3api4Lab's locks (``cs3api4lab/locks/metadata.py``); with CS3 locks it is their constant id."""
CS3API4LAB_LIFE_S: Final = 150.0
"""``locks_expiration_time``, unless its administrator changed it."""
CS3CLIENT_KEY: Final = "cs3client.advlock"
"""Metadata key of cs3client's locks where the storage has none; the value is ``application!lock id!end``."""
LONG_S: Final = 4 * 3600.0
"""A lock that has been there for so long, or will be, may be one that was forgotten."""
_LAST_S: Final = 253_402_300_799.0
"""The end of the year 9999: what is later nobody means."""
LATE_S: Final = 120.0
"""A lock that is still shown so long after its end is one that nothing removes."""
_LONGEST: Final = 200
WAIT: Final = "it is saved when the lock is gone"

_PROGRAMS: Final = (
    ("collabora", "Collabora Online"),
    ("onlyoffice", "ONLYOFFICE"),
    ("office365", "Microsoft 365"),
    ("codimd", "CodiMD"),
    ("cs3-jupyter", "JupyterLab (cs3-jupyter)"),
    (CS3API4LAB_KEY, "JupyterLab (Cs3api4Lab)"),
    ("wopi", "an office application (WOPI)"),
    ("opaquelocktoken:", "a program that uses WebDAV"),
    ("urn:uuid:", "a program that uses WebDAV"),
)
"""What is in an application's name or a lock's id, and what people call the program."""


def lock_on(info: FileInfo, wall: float) -> Lock | None:
    """The lock that a Stat shows, kept by the storage or only noted in the metadata. ``wall``: Unix seconds."""
    return info.lock or holder(info.metadata, wall) or noted_lock(info.metadata, wall)


def noted_lock(metadata: Mapping[str, str], wall: float) -> Lock | None:
    """The lock that a program without CS3 locks noted, unless it has ended. Nonsense is no lock."""
    locks = (_of_cs3api4lab(metadata.get(CS3API4LAB_KEY, "")), _of_cs3client(metadata.get(CS3CLIENT_KEY, "")))
    return next((lock for lock in locks if lock is not None and (lock.expires_at or 0) > wall), None)


def noted_keys(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The keys under which locks are noted, whether or not they have ended."""
    return tuple(key for key in metadata if key in (CS3API4LAB_KEY, CS3CLIENT_KEY) or key.startswith(PREFIX))


def _of_cs3api4lab(text: str) -> Lock | None:
    try:
        said = json.loads(unquote(text))
        holder = User(str(said["opaque_id"]), str(said["idp"]), username=str(said["username"]))
        updated, created = float(said["updated"]), float(said["created"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    if not 0 <= updated < _LAST_S or not 0 <= created < _LAST_S:
        return None
    return Lock(CS3API4LAB_KEY, CS3API4LAB_KEY, holder, updated + CS3API4LAB_LIFE_S, created)


def _of_cs3client(text: str) -> Lock | None:
    app_name, _, rest = text.partition("!")
    lock_id, _, end = rest.rpartition("!")
    try:
        expires_at = float(end)
    except ValueError:
        return None
    return Lock(lock_id, app_name, expires_at=expires_at) if lock_id and 0 <= expires_at < _LAST_S else None


def program(app_name: str, lock_id: str = "") -> str:
    """What people call the program that holds a lock; empty if nothing tells."""
    if app_name == APP_NAME:
        return "another server that edits this notebook"
    said = f"{app_name} {lock_id}".lower().replace("collaboration", "")  # part of the name of oCIS' service for all offices
    return next((name for part, name in _PROGRAMS if part in said), app_name)


def held_error(lock: Lock | None, wall: float, sighted_at: float | None = None) -> LockHeld:
    """`LockHeld` in words: who, with which program, since and until when. ``sighted_at``: when we first saw it.

    The hint says that there is nothing to do but wait, or what to do about a lock that seems stuck.
    """
    if lock is None:
        return LockHeld("the file is locked by someone else", hint=WAIT)
    who = lock.holder.label if lock.holder else ""
    if lock.app_name == APP_NAME and (editing := _plain(lock.editing)):
        return LockHeld(
            f"the file is being edited by {editing}",
            hint=advice(lock, wall, sighted_at) or WAIT,
            holder=editing,
            app_name=lock.app_name,
        )
    by = " with ".join(part for part in (who, program(lock.app_name, lock.lock_id)) if part) or "someone else"
    return LockHeld(
        f"the file is locked by {by}{_times(lock, wall, sighted_at)}",
        hint=advice(lock, wall, sighted_at) or WAIT,
        holder=who,
        app_name=lock.app_name,
    )


def stuck(lock: Lock, wall: float, sighted_at: float | None = None) -> str:
    """Why a lock looks as if it was forgotten, else empty."""
    since = lock.since if lock.since is not None else sighted_at
    if lock.expires_at is None:
        return "This lock has no end."
    if wall > lock.expires_at + LATE_S:
        return "This lock has ended, but it is still there: compare the clocks of this server and of the storage."
    if lock.expires_at > wall + LONG_S:
        return "This lock lasts for hours."
    if since is not None and wall > since + LONG_S:
        return "This lock has been there for hours."
    return ""


def advice(lock: Lock, wall: float, sighted_at: float | None = None) -> str:
    """What people can do about a lock that looks stuck, else empty."""
    if not (why := stuck(lock, wall, sighted_at)):
        return ""
    close = "Close the notebook" if parse_lock_id(lock.lock_id) else "Close the file"
    return f"{why} {close} where it is open; if it is open nowhere, take the lock away with: cs3collab doctor --unlock PATH"


def _plain(text: str) -> str:
    """What others say of themselves, fit to be shown in a line."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[:_LONGEST]).split())


def _times(lock: Lock, wall: float, sighted_at: float | None) -> str:
    times: list[str] = []
    if lock.since is not None:
        times.append(f"since {_clock(lock.since, wall)}")
    elif sighted_at is not None and wall > sighted_at + 60:
        times.append(f"since {_clock(sighted_at, wall)} or longer")
    if lock.expires_at is not None:
        times.append(f"until {_clock(lock.expires_at, wall)}")
    return f" {', '.join(times)}" if times else ""


def _clock(at: float, wall: float) -> str:
    moment = time.gmtime(min(max(at, 0.0), _LAST_S))
    same_day = moment[:3] == time.gmtime(wall)[:3]
    return time.strftime("%H:%M:%S UTC" if same_day else "%Y-%m-%d %H:%M UTC", moment)
