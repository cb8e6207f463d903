"""What the command line shows of a history: the table of versions, and what differs between two."""

from __future__ import annotations

import difflib
import importlib
import io
import json
from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import Any

from rich.cells import cell_len

from cs3collab.errors import Corrupt, Unsupported
from cs3collab.types import Version

HEAD = ("position", "when", "edits", "who", "name")
_RIGHT = ("position", "edits")


def printable(text: str) -> str:
    """Names are others' words: without what would steer a terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def printable_line(line: str) -> str:
    return "\t".join(map(printable, line.split("\t"))) + "\n"


def table(versions: Sequence[Version], zone: tzinfo | None = None) -> str:
    """One line a version, newest last. Times are in `zone` (None: this machine's)."""
    rows = [HEAD] + [
        (str(v.position), when(v.at, zone), str(v.edits or ""), printable(", ".join(v.authors)), printable(v.name))
        for v in versions
    ]
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(HEAD))]
    return "".join(_line(row, widths) + "\n" for row in rows)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = []
    for title, text, width in zip(HEAD, row, widths, strict=True):
        blank = " " * (width - cell_len(text))
        cells.append(blank + text if title in _RIGHT else text + blank)
    return "  ".join(cells).rstrip()


def when(at: float, zone: tzinfo | None = None) -> str:
    """Local time to the second, in a form that ``--at`` takes."""
    return datetime.fromtimestamp(at, zone).strftime("%Y-%m-%dT%H:%M:%S")


def text_difference(old: bytes, new: bytes, names: tuple[str, str]) -> str:
    """A unified diff; empty when nothing differs. Raises `Corrupt` for what is not UTF-8."""
    try:
        before, after = (content.decode().splitlines(keepends=True) for content in (old, new))
    except UnicodeDecodeError as error:
        raise Corrupt("this version is not UTF-8 text", hint="write both with -o and compare the files") from error
    return "".join(line if line.endswith("\n") else line + "\n" for line in difflib.unified_diff(before, after, *names))


def notebook_difference(old: bytes, new: bytes, names: tuple[str, str]) -> str:
    """As nbdime shows it; empty when nothing differs. Raises `Unsupported` where nbdime is not installed."""
    before, after = json.loads(old), json.loads(new)
    if before == after:
        return ""
    try:
        nbdime: Any = importlib.import_module("nbdime")
        prettyprint: Any = importlib.import_module("nbdime.prettyprint")
        nbformat: Any = importlib.import_module("nbformat")
    except ModuleNotFoundError as error:
        raise Unsupported(
            "what differs between notebooks is shown by nbdime, which is not installed",
            hint="pip install 'cs3collab[diff]'; or write both versions with --at and -o",
        ) from error
    before, after = nbformat.from_dict(before), nbformat.from_dict(after)
    out = io.StringIO()
    config = prettyprint.PrettyPrintConfig(out=out, use_color=False, use_git=False, use_diff=False)
    prettyprint.pretty_print_notebook_diff(*names, before, nbdime.diff_notebooks(before, after), config)
    return out.getvalue()
