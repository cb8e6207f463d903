"""Contents models of the Jupyter REST API from what storage says, and file bytes from what the API carries: pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import mimetypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tornado import web

from cs3collab.errors import CollabError, InvalidInput
from cs3collab.jupyter import paths
from cs3collab.jupyter.paths import split
from cs3collab.types import FileInfo

Model = dict[str, Any]
"""A contents model: https://jupyter-server.readthedocs.io/en/latest/developers/contents.html#data-model"""

HASH = "sha256"
CLOCK_STEP = timedelta(milliseconds=1)
"""Browsers keep times in whole milliseconds."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def when(seconds: float) -> datetime:
    """Unix seconds as an aware datetime; what no calendar holds is 1970."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return EPOCH


@dataclass(frozen=True, slots=True)
class Facts:
    """What a model is made from. ``mtime`` in Unix seconds, ``size`` in bytes."""

    path: str
    is_dir: bool
    writable: bool
    mtime: float = 0.0
    size: int | None = None
    etag: str = ""


def kind(path: str, *, is_dir: bool, asked: str | None = None) -> str:
    """``directory``, ``notebook`` or ``file``. Raises `InvalidInput` when what was asked for is not what is there."""
    if is_dir:
        if asked not in (None, "directory"):
            raise InvalidInput(f"{path} is a directory, not a {asked}")
        return "directory"
    if asked == "directory":
        raise InvalidInput(f"{path} is not a directory")
    return asked or ("notebook" if path.endswith(".ipynb") else "file")


def model(facts: Facts, type_: str) -> Model:
    """A model without content. CS3 keeps no time of creation, so ``created`` is the last change.

    ``etag`` is our addition, the storage's tag of the content; see `supposes`.
    """
    at = when(facts.mtime)
    return {
        "name": split(facts.path)[1],
        "path": facts.path,
        "type": type_,
        "created": at,
        "last_modified": at,
        "content": None,
        "format": None,
        "mimetype": mimetypes.guess_type(facts.path)[0] if type_ == "file" else None,
        "size": None if facts.is_dir else facts.size,
        "writable": facts.writable,
        "hash": None,
        "hash_algorithm": None,
        "etag": facts.etag or None,
    }


def supposes(sent: Model, path: str, info: FileInfo) -> bool:
    """Does the state that a model was read in still hold? True for a model that does not say, or is of another path.

    Raises `InvalidInput` for a ``last_modified`` that is no time.
    """
    if paths.clean(str(sent.get("path") or path)) != path:
        return True
    if sent.get("etag"):
        return bool(sent["etag"] == info.etag)
    stamp = sent.get("last_modified")
    if not stamp:
        return True
    try:
        seen = stamp if isinstance(stamp, datetime) else datetime.fromisoformat(str(stamp))
    except ValueError as error:
        raise InvalidInput(f"last_modified is no time: {str(stamp)[:80]!r}", hint="send what was read, or nothing") from error
    if seen.tzinfo is None:
        seen = seen.replace(tzinfo=UTC)
    return abs(seen - when(info.mtime)) < CLOCK_STEP


def digest(content: bytes) -> Model:
    """The hash of the bytes on storage, as model keys."""
    return {"hash": hashlib.new(HASH, content).hexdigest(), "hash_algorithm": HASH}


def encode_content(content: bytes, asked: str | None, path: str) -> tuple[str, str]:
    """Content and format as the API carries them: text where it is UTF-8, else base64.

    Raises `InvalidInput` when text was asked for and it is none.
    """
    if asked in (None, "text"):
        try:
            return content.decode("utf-8"), "text"
        except UnicodeDecodeError as error:
            if asked == "text":
                raise InvalidInput(f"{path} is not UTF-8 text", hint="open or download it as binary (format=base64)") from error
    return base64.encodebytes(content).decode("ascii"), "base64"


def decode_content(content: object, format_: str | None, path: str) -> bytes:
    """Inverse of `encode_content`. Raises `InvalidInput` for an unknown format or bytes that do not decode."""
    if format_ not in ("text", "base64"):
        raise InvalidInput(f"cannot save {path} in format {format_!r}", hint="format must be 'text' or 'base64'")
    if not isinstance(content, str):
        raise InvalidInput(f"the content of {path} is not a string")
    try:
        return content.encode("utf-8") if format_ == "text" else base64.b64decode("".join(content.split()), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise InvalidInput(f"the content of {path} is not valid {format_}: {error}") from error


@contextmanager
def http_errors() -> Iterator[None]:
    """Our errors as what Jupyter's handlers answer: the status, and the message with its hint."""
    try:
        yield
    except CollabError as error:
        raise web.HTTPError(error.http_status, str(error)) from error
