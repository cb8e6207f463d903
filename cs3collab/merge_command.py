"""``cs3collab merge``: three versions of a notebook or a text into one, also as git's merge driver."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cs3collab.errors import CollabError, InvalidInput

CLEAN, CONFLICTS, BAD_INPUT = 0, 1, 2
_SHOWN_LINES = 3
_SHOWN_WIDTH = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Merge what OURS and THEIRS made of BASE: notebooks by cell and line, other files by line.\n"
        "Where both changed the same, OURS stays, and the conflict is listed on standard error.\n\n"
        "exit codes:\n  0  clean\n  1  with conflicts\n  2  an input cannot be used; nothing is written"
    )
    parser.epilog = (
        "examples:\n  cs3collab merge base.ipynb mine.ipynb yours.ipynb -o merged.ipynb\n\n"
        "  as git's merge driver:\n"
        '  git config merge.cs3collab.driver "cs3collab merge %O %A %B -o %A"\n'
        '  echo "*.ipynb merge=cs3collab" >> .gitattributes'
    )
    parser.add_argument("base", type=Path, metavar="BASE", help="what both started from; an empty file if that is not known")
    parser.add_argument("ours", type=Path, metavar="OURS", help="the version that stays where they conflict")
    parser.add_argument("theirs", type=Path, metavar="THEIRS", help="the other version")
    parser.add_argument("-o", "--output", type=Path, metavar="OUT", help="write the result here, not to standard output")
    parser.add_argument(
        "--conflicts", type=Path, metavar="FILE", help="write the conflicts here, with all three versions, as JSON"
    )


async def run(args: argparse.Namespace) -> int:
    """Returns 0 when clean, 1 with conflicts, 2 for what cannot be read, merged or written."""
    try:
        return await asyncio.to_thread(_run, args)
    except CollabError as error:
        print(f"cs3collab: {error}", file=sys.stderr)
        return BAD_INPUT


def _run(args: argparse.Namespace) -> int:
    contents = [_read(path) for path in (args.base, args.ours, args.theirs)]
    names = [path for path in (args.output, args.ours, args.theirs) if path is not None]
    merge = _merge_notebooks if _are_notebooks(names, contents) else _merge_texts
    merged = merge((args.base, args.ours, args.theirs), contents)
    if args.conflicts is not None:
        told = [asdict(conflict) for conflict in merged.conflicts]
        _replace(args.conflicts, (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode())
    if args.output is not None:
        _replace(args.output, merged.content)
    else:
        sys.stdout.buffer.write(merged.content)
        sys.stdout.buffer.flush()
    sys.stderr.write("".join(_listed(merged.conflicts)))
    return CONFLICTS if merged.conflicts else CLEAN


@dataclass(frozen=True, slots=True)
class _Told:
    """A conflict as it is written. ``number`` is that of the cell in the result, from 1; None for one that is deleted there."""

    number: int | None
    cell: str
    kind: str
    path: tuple[str, ...]
    base: Any
    ours: Any
    theirs: Any

    @property
    def where(self) -> str:
        if self.kind == "lines":
            return "text"
        if not self.cell:
            return "notebook"
        return f"deleted cell ({self.cell})" if self.number is None else f"cell {self.number} ({self.cell})"


@dataclass(frozen=True, slots=True)
class _Merged:
    content: bytes
    conflicts: list[_Told]


def _are_notebooks(names: Sequence[Path], contents: Sequence[bytes]) -> bool:
    """By name, or, for git gives its drivers files without one, by content."""
    if any(path.suffix == ".ipynb" for path in names):
        return True
    return all(not content.strip() or _says_nbformat(content) for content in contents) and any(map(_says_nbformat, contents))


def _says_nbformat(content: bytes) -> bool:
    return content.lstrip().startswith(b"{") and b'"nbformat"' in content


def _merge_notebooks(names: Sequence[Path], contents: Sequence[bytes]) -> _Merged:
    from cs3collab.merge import notebook  # takes a second, and a text needs none of it
    from cs3collab.merge.threeway import merge_notebooks

    three = []
    for name, content in zip(names, contents, strict=True):
        try:
            three.append(notebook.parse(content))
        except CollabError as error:
            raise InvalidInput(f"{name}: {error.message}", hint=error.hint) from error
    base, ours, theirs = three
    ours = {**ours, "cells": notebook.with_cell_ids(ours["cells"])}  # to name conflicts; an older format is written without
    result = merge_notebooks(base, ours, theirs)
    numbers = {cell["id"]: number for number, cell in enumerate(result.notebook["cells"], 1)}
    told = [
        _Told(
            numbers.get(conflict.cell_id) if conflict.cell_id else None,
            conflict.cell_id,
            str(conflict.kind),
            conflict.path,
            conflict.base,
            conflict.ours,
            conflict.theirs,
        )
        for conflict in result.conflicts
    ]
    return _Merged(notebook.serialize(result.notebook), told)


def _merge_texts(names: Sequence[Path], contents: Sequence[bytes]) -> _Merged:
    from cs3collab.merge.lines import merge_texts

    three = []
    for name, content in zip(names, contents, strict=True):
        try:
            three.append(content.decode())
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{name} is not UTF-8 text: byte {error.start} is wrong", hint="convert it to UTF-8") from error
    result = merge_texts(*three)
    return _Merged(result.text.encode(), [_Told(None, "", "lines", (), *hunk) for hunk in result.conflicts])


def _listed(conflicts: Sequence[_Told]) -> Iterator[str]:
    """What people read: where, what, and the first lines that differ."""
    if conflicts:
        yield f"{len(conflicts)} conflict{'s' * (len(conflicts) > 1)}; ours stays\n"
    for conflict in conflicts:
        path = f" {'.'.join(conflict.path)}" if conflict.path else ""
        yield f"{conflict.where}: {conflict.kind}{path}\n"
        ours, theirs = _lines(conflict.ours), _lines(conflict.theirs)
        start = next((at for at, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), 0)
        for who, lines in (("ours", ours), ("theirs", theirs)):
            shown = lines[start : start + _SHOWN_LINES] or ["(nothing)"]
            yield from (f"  {who if at == 0 else '':6} | {_printable(line)}\n" for at, line in enumerate(shown))


def _lines(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, dict) and isinstance(value.get("source"), str):
        value = value["source"]
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)).split("\n")


def _printable(line: str) -> str:
    """Nothing that would move the cursor of who looks at it."""
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line.expandtabs(4))
    return shown if len(shown) <= _SHOWN_WIDTH else f"{shown[:_SHOWN_WIDTH]}…"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}") from error


def _replace(path: Path, content: bytes) -> None:
    """All of it or nothing; a link stays one, and the file keeps its mode."""
    path = Path(os.path.realpath(path))
    temporary = ""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = file.name
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, path.stat().st_mode & 0o7777 if path.exists() else 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        raise InvalidInput(f"cannot write {path}: {error.strerror}", hint="choose another file") from error


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
