"""Notebook files: bytes to notebook and back, what two of them have in common, and why a file is refused."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Sequence
from itertools import count
from typing import Any

import msgspec
import nbformat as _nbformat
from nbformat import v3 as _v3
from nbformat import v4 as _v4
from nbformat.validator import ValidationError

from cs3collab.errors import NotANotebook
from cs3collab.merge.values import same as same_json

nbformat: Any = _nbformat  # carries no type hints
v3: Any = _v3
v4: Any = _v4

Notebook = dict[str, Any]
"""A notebook as nbformat 4 has it in memory: multi-line strings joined, plain dicts and lists."""

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_CELL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")
_ROOT_KEYS = {"cells", "metadata", "nbformat", "nbformat_minor"}
_PLACEHOLDERS = {"kernelspec": {"name": "", "display_name": ""}, "language_info": {"name": ""}}
_LEAST_INTEGER, _PAST_INTEGERS = -(2**63), 2**63 - 1
_JS_PLAIN_INTEGER = 1e21  # from here on JavaScript writes integral numbers with an exponent
_FOREIGN = (AttributeError, KeyError, TypeError, ValueError, IndexError, RecursionError, ValidationError)


def parse(content: bytes) -> Notebook:
    """The notebook in a file, valid by nbformat's schema of its own version.

    An empty file or only whitespace is a new notebook without cells, as when Jupyter is told to make one. nbformat 3 is
    upgraded in memory. Missing, invalid and duplicate cell ids get the same new ids at every call; before nbformat 4.5 cells
    have none.

    Raises `NotANotebook` with a sentence for people and a hint for everything else.
    """
    return _parsed(_completed(content))


def parse_two(content: bytes, other: bytes) -> tuple[Notebook, Notebook]:
    """`parse` of both, but cells that are the same in both are checked once, and are the same objects."""
    one, two = _completed(content), _completed(other)
    nb = _parsed(one)
    if any(one.get(key) != two.get(key) for key in ("nbformat", "nbformat_minor")):
        return nb, _parsed(two)
    done = {cell.get("id", at): (cell, nb["cells"][at]) for at, cell in enumerate(one["cells"])}
    shared = {
        at: known[1]
        for at, cell in enumerate(two["cells"])
        if (known := done.get(cell.get("id", at))) is not None and known[0] == cell and same_json(known[0], cell)
    }
    rest = iter(_parsed({**two, "cells": [cell for at, cell in enumerate(two["cells"]) if at not in shared]})["cells"])
    cells = [shared[at] if at in shared else next(rest) for at in range(len(two["cells"]))]
    return nb, {**_parsed({**two, "cells": []}), "cells": cells}


def _completed(content: bytes) -> Notebook:
    text = _decode(content)
    if not text.strip():
        return {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    tree = _read_json(text)
    major = _major(tree)
    try:
        nb: Notebook = plain(_upgrade(tree)) if major == 3 else _complete(tree)
    except _FOREIGN as error:
        raise NotANotebook(f"this notebook is damaged: {_reason(error)}", hint=_DAMAGED) from error
    return nb


def _parsed(nb: Notebook) -> Notebook:
    try:
        check(nb)
        joined: Notebook = plain(v4.to_notebook(nb))
    except _FOREIGN as error:
        raise NotANotebook(f"this notebook is damaged: {_reason(error)}", hint=_DAMAGED) from error
    return joined


_DAMAGED = "open it as a text file to repair it, or restore an older version; it will not be changed from here"


def serialize(nb: Notebook) -> bytes:
    """The bytes Jupyter would write for `nb`. Raises `NotANotebook` if no valid notebook comes out."""
    try:
        nb = _complete(nb)
        check(nb)
        text: str = v4.writes(nbformat.from_dict(nb))
        return f"{text}\n".encode()
    except _FOREIGN as error:
        raise NotANotebook(f"the document is not a valid notebook: {_reason(error)}", hint=_NOT_WRITTEN) from error


_NOT_WRITTEN = "the file is left as it was; undo the last change, or restore an earlier state from the history"


def check(nb: Notebook) -> None:
    """Raises nbformat's `ValidationError` unless `nb` is valid and nothing in it would be lost on the way to a document."""
    nbformat.validate(nb)
    if extra := nb.keys() - _ROOT_KEYS:
        raise ValidationError(f"unknown top-level key {min(extra)!r}")


def semantic(nb: Notebook) -> Notebook:
    """`nb` without what formatting, trust and editors' habits add, so that equal results mean equal notebooks.

    Dropped are: line splitting, number spelling (``1.0``), cell ids before nbformat 4.5, transient keys, empty attachments, the
    empty kernel and language that JupyterLab fills in, and the lone blank code cell it shows for a notebook without cells.
    """
    nb = plain(v4.to_notebook(_complete(nb)))
    metadata = {key: value for key, value in nb["metadata"].items() if value != _PLACEHOLDERS.get(key)}
    cells = [_semantic_cell(cell) for cell in nb["cells"]]
    if len(cells) == 1 and _is_blank(cells[0]):
        cells = []
    canonical: Notebook = _numbers({**nb, "metadata": metadata, "cells": cells})
    return canonical


def digest(nb: Notebook) -> str:
    """sha256 in hex of the `semantic` form."""
    canonical = json.dumps(semantic(nb), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode(errors="surrogatepass")).hexdigest()


def joined(nb: Notebook) -> Notebook:
    """`nb` with multi-line strings joined, itself if they are: files may have them as lists of lines."""
    texts = (part for cell in nb["cells"] for part in (cell.get("source"), *map(_text_of, cell.get("outputs", ()))))
    return plain(v4.to_notebook(_complete(nb))) if any(isinstance(text, list) for text in texts) else nb


def _text_of(output: Notebook) -> Any:
    return output.get("text", output.get("data", {}).get("text/plain"))


def plain(value: Any) -> Any:
    """A copy of a JSON tree in plain dicts and lists."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def with_integers(value: Any) -> Any:
    """A copy in which integral floats are ints, the way JavaScript would write them: Yjs knows only floats."""
    if isinstance(value, dict):
        return {key: with_integers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_integers(item) for item in value]
    if type(value) is float and value.is_integer() and abs(value) < _JS_PLAIN_INTEGER:
        return int(value)
    return value


def blank_cell() -> Notebook:
    """The cell that JupyterLab shows for a notebook without any."""
    return {"cell_type": "code", "source": "", "metadata": {}, "outputs": [], "execution_count": None}


def named(nb: Notebook, names: Sequence[str]) -> Notebook:
    """`nb` with these ids of its cells, as far as they can be; `nb` itself where they are not as many."""
    if not names or len(names) != len(nb["cells"]):
        return nb
    return {**nb, "cells": with_cell_ids([_named(*each) for each in zip(nb["cells"], names, strict=True)])}


def _named(cell: Notebook, name: str) -> Notebook:
    return cell if cell.get("id") == name else {**cell, "id": name}


def has_cell_ids(nb: Notebook) -> bool:
    """Cell ids came with nbformat 4.5 (Jupyter enhancement proposal 62)."""
    return (nb["nbformat"], nb["nbformat_minor"]) >= (4, 5)


def with_cell_ids(cells: list[Notebook], taken: Collection[str] = ()) -> list[Notebook]:
    """The cells with valid ids, each once. New ones are none of `taken`.

    They depend on these and the cells only, so every reader invents the same ones.
    """
    used = {*taken, *map(_cell_id, cells)}
    seen = {""}
    result = []
    for cell in cells:
        cell_id = _cell_id(cell)
        if cell_id in seen:
            base = cell_id or json.dumps([cell.get("cell_type"), cell.get("source")])
            cell_id = next(candidate for candidate in _candidates(base) if candidate not in used)
            used.add(cell_id)
        seen.add(cell_id)
        result.append(cell if cell.get("id") == cell_id else {**cell, "id": cell_id})
    return result


def _cell_id(cell: Notebook) -> str:
    """The cell's id, empty if it has no valid one."""
    cell_id = cell.get("id")
    return cell_id if isinstance(cell_id, str) and _CELL_ID.match(cell_id) else ""


def _candidates(base: str) -> Iterator[str]:
    return (hashlib.sha256(f"{base}\0{n}".encode(errors="surrogatepass")).hexdigest()[:8] for n in count(1))


def _decode(content: bytes) -> str:
    if content.startswith(_LFS_POINTER):
        raise NotANotebook(
            "this file is a Git LFS pointer, not the notebook itself",
            hint="run `git lfs pull` where it was cloned, and upload it",
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotANotebook(
            f"this file is not UTF-8 text: byte {error.start} is wrong", hint="convert it to UTF-8 (for example with iconv)"
        ) from error


def _read_json(text: str) -> Notebook:
    if not text.lstrip().startswith(("{", "[", '"')):
        raise NotANotebook("this file is plain text, not a notebook", hint="open it as a text file")
    try:
        tree = _read_quickly(text)
        if tree is None:
            tree = json.loads(text, parse_int=_integer)
            json.dumps(tree, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise NotANotebook(
            f"this file is not JSON: {error.msg} in line {error.lineno}, column {error.colno}",
            hint="it may have been cut off or hold merge conflict marks; open it as a text file",
        ) from error
    except UnicodeEncodeError as error:
        raise NotANotebook("this notebook holds half of a surrogate pair, which is no character", hint=_DAMAGED) from error
    except (ValueError, RecursionError) as error:
        raise NotANotebook(f"this JSON cannot be read: {_reason(error)}", hint=_DAMAGED) from error
    if not isinstance(tree, dict) or "nbformat" not in tree:
        raise NotANotebook("this is JSON, but not a notebook: it says no nbformat", hint="open it as a text file")
    return tree


def _read_quickly(text: str) -> Any:
    """None where `json` may see something else: what msgspec refuses, NaN above all, and integers that `_integer` changes."""
    try:
        tree = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return None
    return None if _has_large_integer(tree) else tree


def _has_large_integer(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_large_integer, value.values()))
    if isinstance(value, list):
        return any(map(_has_large_integer, value))
    return type(value) is int and not _LEAST_INTEGER <= value < _PAST_INTEGERS


def _integer(literal: str) -> int | float:
    """Y updates hold 64-bit integers and floats; anything else would come back changed.

    So does 2**63 - 1: pycrdt 0.14 takes it for a float, as it turns into the same float and back (Rust's `as` saturates).
    """
    number = int(literal)
    if _LEAST_INTEGER <= number < _PAST_INTEGERS:
        return number
    if abs(number) < 2**1000 and float(number) == number:
        return float(number)
    raise ValueError(f"the number {literal[:30]}… is too large")


def _major(tree: Notebook) -> int:
    major = tree["nbformat"]
    if major == 4 and type(tree.get("nbformat_minor")) is not int:
        raise NotANotebook("this notebook says no nbformat_minor", hint=_DAMAGED)
    if type(major) is int and major in (3, 4):
        return major
    if type(major) is int and major in (1, 2):
        raise NotANotebook(f"nbformat {major} is too old", hint="convert it with `jupyter nbconvert --to notebook`")
    raise NotANotebook(f"nbformat {str(major)[:20]} is not known here", hint="a newer version may read it; expected 3 or 4")


def _upgrade(tree: Notebook) -> Notebook:
    for worksheet in tree.setdefault("worksheets", []):
        worksheet.setdefault("cells", [])
    nb = nbformat.convert(v3.to_notebook_json(tree), 4)
    for cell in nb["cells"]:
        cell.pop("id", None)  # the converter's are random
    return _complete(nb)


def _complete(nb: Notebook) -> Notebook:
    """What nbformat requires and has only one sensible value; ids as the notebook's minor version wants them."""
    nb = {"metadata": {}, **nb, "cells": [_complete_cell(cell) for cell in nb["cells"]]}
    if not has_cell_ids(nb):
        nb["cells"] = [{key: value for key, value in cell.items() if key != "id"} for cell in nb["cells"]]
    else:
        nb["cells"] = with_cell_ids(nb["cells"])
    return nb


def _complete_cell(cell: Notebook) -> Notebook:
    if cell.get("cell_type") == "code":
        return {"metadata": {}, "outputs": [], "execution_count": None, **cell}
    return {"metadata": {}, **cell}


def _semantic_cell(cell: Notebook) -> Notebook:
    return {key: value for key, value in cell.items() if key != "execution_state" and not (key == "attachments" and not value)}


def _is_blank(cell: Notebook) -> bool:
    return {key: value for key, value in cell.items() if key != "id"} == blank_cell()


def _numbers(value: Any) -> Any:
    """As `with_integers`; NaN, which equals nothing, becomes a word."""
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if type(value) is float and value != value:
        return "\0NaN"
    return with_integers(value)


def _reason(error: BaseException) -> str:
    """One line of a foreign error: jsonschema's go on for pages."""
    text = getattr(error, "message", "") or str(error) or type(error).__name__
    path = getattr(error, "absolute_path", None)
    where = f" at {'.'.join(map(str, path))}" if path else ""
    return f"{text.splitlines()[0][:200]}{where}"
