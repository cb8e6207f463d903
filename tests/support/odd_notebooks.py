"""Files that people and programs leave under the name of a notebook: some are one after all, some must be refused in words.

Everything is made here from a few lines, so that what is odd about each can be read.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MB = 10**6


def code(source: str | list[str] = "x = 1", **more: Any) -> dict[str, Any]:
    """A code cell without id, which `more` may give."""
    return {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": None, **more}


def tree(*cells: Mapping[str, Any], minor: int = 5, metadata: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"cells": list(cells), "metadata": dict(metadata or {}), "nbformat": 4, "nbformat_minor": minor}


def encode(value: Any, **options: Any) -> bytes:
    return json.dumps(value, **options).encode()


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {"end": True}
    for _ in range(levels):
        value = {"in": value}
    return value


def outputs(size: int) -> list[dict[str, Any]]:
    """One output of about `size` bytes that no two places of are alike."""
    return [{"output_type": "stream", "name": "stdout", "text": "".join(f"{n:09d}\n" for n in range(size // 10))}]


def large(size: int) -> bytes:
    """A small cell above one with an output of `size` bytes."""
    return encode(tree(code("small = 1", id="small"), code("print(large)", id="large", outputs=outputs(size))))


def many(cells: int) -> bytes:
    return encode(tree(*(code(f"x = {n}", id=f"cell-{n}") for n in range(cells))))


_ID = {"id": "one"}
_V3 = {
    "nbformat": 3,
    "nbformat_minor": 0,
    "metadata": {"name": "old"},
    "worksheets": [
        {
            "metadata": {},
            "cells": [
                {"cell_type": "heading", "level": 2, "metadata": {}, "source": ["A title"]},
                {
                    "cell_type": "code",
                    "collapsed": False,
                    "input": ["x = 1\n", "x"],
                    "language": "python",
                    "metadata": {},
                    "outputs": [
                        {"output_type": "pyout", "prompt_number": 3, "metadata": {}, "text": ["1"]},
                        {"output_type": "stream", "stream": "stderr", "text": ["careful\n"]},
                    ],
                    "prompt_number": 3,
                },
            ],
        },
        {"metadata": {}, "cells": [{"cell_type": "markdown", "metadata": {}, "source": "second sheet"}]},
    ],
}
_RICH = [
    {"output_type": "stream", "name": "stderr", "text": ["split ", "lines\n", "\x1b[31mred\x1b[0m\r\b"]},
    {
        "output_type": "execute_result",
        "execution_count": 7,
        "metadata": {"text/plain": {"width": 3}},
        "data": {
            "text/plain": ["1\n", "2"],
            "application/json": {"list": [1, 2.5, None, True, {"deep": []}], "empty": {}},
            "application/vnd.something+json": [1, "two", [3]],
        },
    },
    {"output_type": "display_data", "metadata": {}, "data": {}},
    {"output_type": "error", "ename": "E", "evalue": "", "traceback": []},
]
_WORDS = 'é 🎉 e\u0301 \u202eright to left \u2028 line \u0000 nul \ufeff bom \ufffe "quotes" \\ back'
_NUMBERS = '{"nan": NaN, "all": [Infinity, -Infinity], "zero": -0.0, "tiny": 5e-324, "precise": 0.1234567890123456789}'

OPENS: dict[str, bytes] = {
    "empty": b"",
    "only whitespace": b" \n\t\r\n",
    "byte order mark": b"\xef\xbb\xbf" + encode(tree(code(**_ID))),
    "Windows line ends": encode(tree(code("a\r\nb\rc\n", **_ID)), indent=1).replace(b"\n", b"\r\n"),
    "UTF-8 without escapes": encode(tree(code(_WORDS, **_ID)), ensure_ascii=False),
    "escaped pairs of surrogates": encode(tree(code("🎉", **_ID))),
    "nbformat 3": encode(_V3),
    **{f"nbformat 4.{minor}": encode(tree(code(), code("y"), minor=minor)) for minor in range(5)},
    "ids before they were invented": encode(tree(code(id="early"), code(id="early"), minor=4)),
    "no ids": encode(tree(code(), code(), code("y"))),
    "double ids": encode(tree(code(id="same"), code("y", id="same"), code("z", id="same"))),
    "invalid ids": encode(tree(code(id="no space"), code(id=""), code(id="x" * 65), code(id="ünïcode"))),
    "no cells": encode(tree()),
    "cells without what has a default": encode(tree({"cell_type": "code", "source": "x = 1", "id": "one"})),
    "whole numbers of 64 bits": encode(tree(code(**_ID), metadata={"n": [2**53 + 1, 2**63 - 2, -(2**63)]})),
    "whole numbers past 64 bits": encode(tree(code(**_ID), metadata={"n": [2**63, 2**70, -(2**80)]})),
    "numbers that JSON does not know": encode(tree(code(**_ID), metadata={"odd": 0})).replace(b"0}", _NUMBERS.encode() + b"}"),
    "nested 100 deep": encode(tree(code(metadata={"deep": nested(100)}, **_ID), metadata={"deep": nested(100)})),
    "nulls and odd keys": encode(tree(code(metadata={"": None, "a.b": [None], "é": {}}, **_ID), metadata={"": {"": ""}})),
    "every kind of output": encode(tree(code(outputs=_RICH, execution_count=7, **_ID))),
    "attachments": encode(
        tree(
            {
                "cell_type": "markdown",
                "source": "![](a:x.png)",
                "metadata": {},
                "attachments": {"x": {"image/png": "aGk="}},
                **_ID,
            }
        )
    ),
    "a source in one line of 1 MB": encode(tree(code("x" * MB, **_ID))),
    "a thousand outputs": encode(tree(code(outputs=outputs(10) * 1000, **_ID))),
}
"""Opened, and with a cell appended saved as the same notebook with that cell."""


@dataclass(frozen=True, slots=True)
class Refused:
    """``words`` must be in what the person is told: what is wrong, and what to do about it."""

    content: bytes
    words: Sequence[str]
    text: bool = True
    """Can it be opened as a text file instead?"""


_GOOD = encode(tree(code("x = 1", id="one"), code("y = 2", id="two")), indent=1)
_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 12345\n"

REFUSED: dict[str, Refused] = {
    "the one number of 64 bits that Y changes": Refused(
        encode(tree(metadata={"n": 2**63 - 1})), ["too large", "as a text file"]
    ),
    "plain text": Refused(b"just some words\n", ["plain text", "as a text file"]),
    "a web page": Refused(b"<!DOCTYPE html><title>Sign in</title>", ["plain text", "as a text file"]),
    "JSON of another kind": Refused(b'{"name": "left-pad", "version": "1.0.0"}', ["says no nbformat", "as a text file"]),
    "a JSON list": Refused(b'[{"cells": []}]', ["not a notebook", "as a text file"]),
    "cut off": Refused(_GOOD[: len(_GOOD) // 2], ["not JSON", "cut off"]),
    "cut off after its start": Refused(b"{", ["not JSON", "cut off"]),
    "two notebooks in one": Refused(_GOOD + _GOOD, ["not JSON", "as a text file"]),
    "marks of a merge conflict": Refused(_GOOD.replace(b' "cells"', b'<<<<<<< HEAD\n "cells"'), ["not JSON", "conflict marks"]),
    "Git LFS pointer": Refused(_POINTER, ["Git LFS pointer", "git lfs pull"]),
    "zeros of a failed upload": Refused(bytes(4096), ["plain text", "as a text file"]),
    "compressed": Refused(gzip.compress(_GOOD, mtime=0), ["not UTF-8", "iconv"], text=False),
    "Latin-1": Refused(_GOOD.replace(b"x = 1", "é = 1".encode("latin-1")), ["not UTF-8", "iconv"], text=False),
    "UTF-16": Refused(_GOOD.decode().encode("utf-16"), ["not UTF-8", "iconv"], text=False),
    "nbformat 2": Refused(encode({"nbformat": 2, "nbformat_minor": 0, "worksheets": []}), ["too old", "nbconvert"]),
    "nbformat 5": Refused(_GOOD.replace(b'"nbformat": 4', b'"nbformat": 5'), ["not known", "newer"]),
    "nbformat in words": Refused(_GOOD.replace(b'"nbformat": 4', b'"nbformat": "four"'), ["not known", "expected 3 or 4"]),
    "no cells at all": Refused(encode({"nbformat": 4, "nbformat_minor": 5, "metadata": {}}), ["damaged", "as a text file"]),
    "unknown keys": Refused(encode({**tree(code(id="one")), "comment": "mine"}), ["damaged", "'comment'", "as a text file"]),
    "an unknown kind of cell": Refused(
        encode(tree({"cell_type": "sql", "source": "", "metadata": {}})), ["damaged", "as a text file"]
    ),
    "an unknown kind of output": Refused(encode(tree(code(outputs=[{"output_type": "video"}]))), ["damaged", "as a text file"]),
    "half a surrogate pair": Refused(encode(tree(code("\ud83c", id="one"))), ["half of a surrogate pair", "as a text file"]),
    "a number beyond all floats": Refused(
        encode(tree(code(id="one"), metadata={"n": 10**400})), ["is too large", "as a text file"]
    ),
    "nested 100 000 deep": Refused(b'{"nbformat": 4, "x": ' + b"[" * 100_000, ["cannot be read", "as a text file"]),
}
"""Not opened as a notebook, and left on storage as they are."""
