"""Stock jupyter-collaboration on our store, with the cold part on CS3: ``blobs`` is for ``c.CS3YStore.blobs_factory``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from traitlets.config import Config

from cs3collab.cs3.blobs import CS3Blobs
from cs3collab.jupyter.settings import CS3Settings
from ystore import BlobStore

FOLDER = ".cs3collab/stock"
_held: list[CS3Settings] = []


async def blobs(key: str, config: Mapping[str, Any]) -> BlobStore:
    """A folder of the document `key` in the home of the user whom ``c.CS3Settings`` names. Raises as `CS3Settings.session`."""
    settings = CS3Settings.instance(config=Config(config))
    if settings not in _held:
        _held.append(settings)  # an instance lives as long as somebody holds it, and its session with it
    files = await settings.files()
    return CS3Blobs(files, f"{(await files.home()).rstrip('/')}/{FOLDER}/{key}")
