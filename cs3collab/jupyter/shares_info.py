"""All that can be said about one file: for the information panel of a file browser."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable
from dataclasses import replace

import msgspec

from cs3collab.cs3.details import Details, details
from cs3collab.cs3.files import Files
from cs3collab.errors import NotAuthorized, NotFound, Unsupported
from cs3collab.jupyter import paths
from cs3collab.jupyter.contents import LIVE_APP
from cs3collab.jupyter.live import Live
from cs3collab.jupyter.paths import OCMShare
from cs3collab.jupyter.settings import CS3Settings
from cs3collab.jupyter.shares_json import Checksum, FileLock, Info, Presence, Present
from cs3collab.jupyter.shares_model import role_name
from cs3collab.jupyter.shares_people import Directory, Lookup
from cs3collab.jupyter.shares_where import file_type
from cs3collab.rooms.lib0 import decode_awareness
from cs3collab.rooms.room import Room
from cs3collab.types import Lock, Ref, User

MAX_PRESENT = 100
"""People named as present; a seminar has more, and is counted."""


async def file_info(settings: CS3Settings, live: Live, directory: Directory, path: str) -> Info:
    """Raises what `Places.resolve` does. What storage does not tell is None; nothing is opened to find it out."""
    spot = await settings.places.spot(path)
    try:
        known = await details(spot.files.session, spot.ref)
    except NotFound as error:
        raise NotFound(f"no such file or folder: {spot.path}", hint="it may have been deleted, renamed or unshared") from error
    info = known.info
    abroad = isinstance(spot.place, OCMShare)
    owner = replace(known.owner, federated=abroad)
    holder = info.lock.holder if info.lock else None
    named = await directory.lookup([owner] if holder is None else [owner, holder])
    file_id = info.id.file_id if spot.at_home else None
    name = paths.split(spot.path)[1]
    return Info(
        path=spot.path,
        name=name,
        type=file_type(name, info),
        size=None if info.is_dir else info.size,
        mtime=info.mtime,
        etag=info.etag,
        mimetype="" if info.is_dir else mimetypes.guess_type(spot.path)[0] or info.mime_type,
        file_id=file_id,
        site=spot.home,
        owner=named(owner),
        role=role_name(min(info.role, spot.limit)),
        may_share=info.may_share and not abroad,
        checksum=_checksum(known),
        versions=None if info.is_dir else await _versions(spot.files, spot.ref),
        lock=None if info.lock is None else _lock(info.lock, named),
        presence=None if file_id is None else presence(live.open_rooms(file_id)),
    )


async def _versions(files: Files, ref: Ref) -> int | None:
    try:
        return len(await files.versions(ref))
    except (NotAuthorized, Unsupported, NotFound):
        return None


def _checksum(known: Details) -> Checksum | None:
    return Checksum(known.algorithm, known.checksum) if known.checksum else None


def _lock(lock: Lock, named: Lookup) -> FileLock:
    holder = None if lock.holder is None else named(lock.holder)
    return FileLock(lock.app_name, holder, lock.expires_at, lock.app_name == LIVE_APP)


def presence(rooms: Iterable[Room]) -> Presence | None:
    """Who sits in these rooms, with the names that storage vouches for; None when none is open."""
    seated = [room for room in rooms if room.seats]
    if not seated:
        return None
    people: dict[str, Present] = {}
    for room in seated:
        for entry in decode_awareness(room.presence.encode(room.presence.clients), max_entries=100_000):
            user = _user(entry.state)
            if user is not None:
                people[user.id] = user
        for seat in room.seats.values():
            people.setdefault(seat.user.key, _present(seat.user))
    named = sorted(people.values(), key=lambda one: (one.display_name.casefold(), one.id))
    editors = max(room.status.editors for room in seated)
    return Presence(named[:MAX_PRESENT], len(named) > MAX_PRESENT, editors)


def _present(user: User) -> Present:
    return Present(user.key, user.display_name or user.username or user.opaque_id)


class _Named(msgspec.Struct):
    username: str
    name: str


class _State(msgspec.Struct):
    user: _Named | None = None


def _user(state: bytes) -> Present | None:
    """The name in an awareness state, which `rooms.presence` has verified."""
    try:
        user = msgspec.json.decode(state, type=_State | None)
    except msgspec.DecodeError:
        return None
    return None if user is None or user.user is None else Present(user.user.username, user.user.name)
