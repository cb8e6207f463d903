"""Where a shared resource is in the tree that the user sees: CS3 shares know ids alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from cs3collab.cs3.files import Files
from cs3collab.errors import InvalidInput, NotAuthorized, NotFound, StorageUnavailable, Unsupported
from cs3collab.jupyter import paths
from cs3collab.jupyter.models import kind
from cs3collab.jupyter.paths import Project
from cs3collab.jupyter.settings import CS3Settings
from cs3collab.jupyter.shares_json import FileType
from cs3collab.jupyter.shares_model import api_path
from cs3collab.jupyter.shares_people import AT_ONCE
from cs3collab.types import FileInfo, Ref, ResourceId


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """``path`` is None for what is not there any more, or in nothing that the user sees."""

    path: str | None = None
    name: str = ""
    type: FileType | None = None


async def whereabouts(settings: CS3Settings, wanted: Iterable[ResourceId]) -> dict[ResourceId, Whereabouts]:
    """Two questions per resource, some at a time. Raises what a gateway does that does not answer."""
    resources = set(wanted)
    if not resources:
        return {}
    files = await settings.files()
    home_path = await files.home()
    home = (await files.stat(Ref(home_path))).id
    projects = await _projects(settings) if any(rid.space_id != home.space_id for rid in resources) else {}
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(rid: ResourceId) -> tuple[ResourceId, Whereabouts]:
        async with gate:
            try:
                info = await files.stat(Ref.of(rid))
            except (NotFound, NotAuthorized):
                return rid, Whereabouts()
            path = await _path(files, rid)
            seen = None if path is None else api_path(rid, path, home, home_path, projects)
            name = paths.split(path.rstrip("/"))[1] if path else info.name
            return rid, Whereabouts(seen, name, file_type(name, info))

    return dict(await asyncio.gather(*map(one, resources)))


def file_type(name: str, info: FileInfo) -> FileType:
    """As the contents API names it."""
    types: dict[str, FileType] = {"directory": "directory", "notebook": "notebook"}
    return types.get(kind(name, is_dir=info.is_dir), "file")


async def _path(files: Files, rid: ResourceId) -> str | None:
    try:
        return await files.path_of(rid)
    except (NotFound, NotAuthorized, Unsupported, InvalidInput, StorageUnavailable):
        return None


async def _projects(settings: CS3Settings) -> dict[str, str]:
    """Names of the user's projects by space."""
    try:
        entries = await settings.places.entries(paths.PROJECTS)
    except Unsupported:
        return {}
    return {entry.place.root.space_id: name for name, entry in entries.items() if isinstance(entry.place, Project)}
