"""Where a Jupyter path leads: pure mapping between API paths and places on CS3, and the two-way table of file ids.

The tree a user sees is their home folder, with two folders that exist nowhere: ``Shares`` (what others shared with them, from
this site and from others) and ``Projects`` (the spaces they belong to). A real folder of one of these names in the home is
shown with `HOME_SUFFIX`, so nothing of the user's is ever out of reach.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from cs3collab.errors import InvalidInput, NotFound
from cs3collab.types import ResourceId

SHARES = "Shares"
PROJECTS = "Projects"
VIRTUAL = (SHARES, PROJECTS)
HOME_SUFFIX = " (home)"


@dataclass(frozen=True, slots=True)
class Home:
    """``path`` is relative to the home folder, without leading ``/``; empty is the home itself."""

    path: str


@dataclass(frozen=True, slots=True)
class LocalShare:
    """A file or folder another user of this site shared; ``inside`` is the path in a shared folder, else empty."""

    resource_id: ResourceId
    inside: str = ""


@dataclass(frozen=True, slots=True)
class OCMShare:
    """A file or folder of another site; ``share_id`` is the id of the *received* share at this site."""

    share_id: str
    inside: str = ""


@dataclass(frozen=True, slots=True)
class Project:
    """``root`` is the root folder of a project space."""

    root: ResourceId
    inside: str = ""


@dataclass(frozen=True, slots=True)
class VirtualFolder:
    """``Shares`` or ``Projects`` itself."""

    name: str


Place: TypeAlias = Home | LocalShare | OCMShare | Project | VirtualFolder


@dataclass(frozen=True, slots=True)
class Item:
    """A path below a virtual folder, before the name of its entry is looked up."""

    folder: str
    name: str
    inside: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a virtual folder lists: ``owner`` tells namesakes apart, ``place`` is where it leads."""

    name: str
    owner: str
    place: LocalShare | OCMShare | Project


def clean(path: str) -> str:
    """An API path without outer and doubled slashes. Raises `InvalidInput` for ``.``, ``..`` and control characters."""
    segments = [segment for segment in path.split("/") if segment]
    if any(segment in (".", "..") for segment in segments) or any(ord(character) < 32 for character in path):
        raise InvalidInput(f"not a path: {path[:200]!r}", hint="use names separated by /, without . and ..")
    return "/".join(segments)


def split(path: str) -> tuple[str, str]:
    """``a/b/c`` is ``("a/b", "c")``."""
    folder, _, name = path.rpartition("/")
    return folder, name


def join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder and name else folder or name


def is_hidden(path: str) -> bool:
    """A name that starts with a dot hides itself and all below."""
    return any(segment.startswith(".") for segment in path.split("/"))


def parse(path: str) -> Home | VirtualFolder | Item:
    """The first step of `resolve`, which needs no lists. Raises `InvalidInput`."""
    path = clean(path)
    first, _, rest = path.partition("/")
    if first in VIRTUAL:
        name, _, inside = rest.partition("/")
        return Item(first, name, inside) if name else VirtualFolder(first)
    if first.removesuffix(HOME_SUFFIX) in VIRTUAL:
        return Home(join(first.removesuffix(HOME_SUFFIX), rest))
    return Home(path)


def resolve(path: str, entries: Mapping[str, Mapping[str, Entry]]) -> Place:
    """`entries` holds what each virtual folder lists, by name. Raises `InvalidInput`, and `NotFound` for a name not listed."""
    parsed = parse(path)
    if not isinstance(parsed, Item):
        return parsed
    entry = entries.get(parsed.folder, {}).get(parsed.name)
    if entry is None:
        raise NotFound(f"no entry named {parsed.name} in {parsed.folder}", hint="it may have been unshared; refresh the folder")
    match entry.place:
        case LocalShare(resource_id):
            return LocalShare(resource_id, parsed.inside)
        case OCMShare(share_id):
            return OCMShare(share_id, parsed.inside)
        case Project(root):
            return Project(root, parsed.inside)


def home_name(name: str) -> str:
    """The name under which an entry of the home folder is shown."""
    return name + HOME_SUFFIX if name in VIRTUAL else name


def named(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Gives each entry a name of its own: the first of a name keeps it, later ones get the owner before the extension.

    Give the oldest first: then a new share never renames one that is open.
    """
    taken: dict[str, Entry] = {}
    for entry in entries:
        name = next(candidate for candidate in _candidates(entry) if candidate not in taken)
        taken[name] = entry
    return taken


def _candidates(entry: Entry) -> Iterator[str]:
    name = _segment(entry.name) or "unnamed"
    yield name
    stem, dot, extension = name.rpartition(".")
    if not stem:
        stem, dot, extension = name, "", ""
    owner = _segment(entry.owner)
    if owner:
        yield f"{stem} ({owner}){dot}{extension}"
    number = 2
    while True:
        yield f"{stem} ({f'{owner} ' if owner else ''}{number}){dot}{extension}"
        number += 1


def _segment(name: str) -> str:
    safe = "".join("_" if character == "/" or ord(character) < 32 else character for character in name).strip()
    return "_" * len(safe) if safe in (".", "..") else safe


class PathIds:
    """Two-way table of paths and file ids. Bounded: past `capacity` the paths not used for longest are forgotten."""

    def __init__(self, capacity: int = 100_000) -> None:
        self._capacity = capacity
        self._ids: OrderedDict[str, str] = OrderedDict()
        self._paths: dict[str, dict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def put(self, path: str, file_id: str) -> None:
        """A path has one id. An id may have several paths (a share of one's own file); the last put is the one `path` gives."""
        self.drop(path)
        self._ids[path] = file_id
        self._paths.setdefault(file_id, {})[path] = None
        while len(self._ids) > self._capacity:
            self.drop(next(iter(self._ids)))

    def id(self, path: str) -> str | None:
        if path in self._ids:
            self._ids.move_to_end(path)
        return self._ids.get(path)

    def path(self, file_id: str) -> str | None:
        path = next(reversed(self._paths.get(file_id, {})), None)
        if path is not None:
            self._ids.move_to_end(path)
        return path

    def drop(self, path: str) -> None:
        file_id = self._ids.pop(path, None)
        if file_id is not None:
            paths = self._paths[file_id]
            del paths[path]
            if not paths:
                del self._paths[file_id]

    def drop_tree(self, path: str) -> None:
        """Forgets `path` and all below it."""
        for known in self._tree(path):
            self.drop(known)

    def move_tree(self, old: str, new: str) -> None:
        """Renames `old` and all below it; what was known at `new` is forgotten."""
        moved = [(new + known[len(old) :], self._ids[known]) for known in self._tree(old)]
        if moved:
            self.drop_tree(old)
            self.drop_tree(new)
        for path, file_id in moved:
            self.put(path, file_id)

    def _tree(self, path: str) -> list[str]:
        below = path + "/"
        return [known for known in self._ids if known == path or known.startswith(below)]
