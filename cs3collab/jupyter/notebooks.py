"""Notebooks between bytes and `nbformat` nodes, with Jupyter's trust model, all off the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import nbformat
from nbformat.sign import NotebookNotary

from cs3collab.errors import InvalidInput

T = TypeVar("T")

Problem = dict[str, Any]
"""What `nbformat` captured: empty, or ``{"ValidationError": error}``."""


def parse(content: bytes, path: str) -> tuple[Any, Problem]:
    """A notebook of any version as a version 4 node. An invalid one is read, with the problem.

    An empty file is a notebook without cells, as for a room: other programs make new notebooks so. Raises `InvalidInput` for
    no notebook.
    """
    if not content.strip():
        return nbformat.v4.new_notebook(), {}
    problem: Problem = {}
    try:
        notebook = nbformat.reads(content.decode("utf-8"), as_version=4, capture_validation_error=problem)
    except Exception as error:  # nbformat lets KeyError, AttributeError and others out of damaged files
        raise InvalidInput(
            f"Unreadable Notebook: {path} {str(error)[:500] or type(error).__name__}",
            hint="open it as text to repair it, or restore an earlier version",
        ) from error
    return notebook, problem


def node(content: object, path: str) -> Any:
    """The notebook in an API model. Raises `InvalidInput` for what cannot be one."""
    if not isinstance(content, dict) or not isinstance(content.get("nbformat"), int):
        raise InvalidInput(f"cannot save {path}: its content is not a notebook", hint="save it as a text file")
    return nbformat.from_dict(content)


def serialize(notebook: Any, path: str) -> tuple[bytes, Problem]:
    """The file as Jupyter writes it (one space of indent, newline at the end), in the notebook's own version."""
    problem: Problem = {}
    try:
        text: str = nbformat.writes(notebook, version=nbformat.NO_CONVERT, capture_validation_error=problem)
    except Exception as error:  # as in `parse`
        raise InvalidInput(
            f"cannot save {path}: {str(error)[:500] or type(error).__name__}",
            hint="undo what was changed last, or reload the page",
        ) from error
    return (text if text.endswith("\n") else text + "\n").encode("utf-8"), problem


class NotaryThread:
    """One thread that alone touches the notary, for its SQLite store belongs to the thread that opened it."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="notary")
        self._thread: int | None = None

    def open(self, **kwargs: Any) -> NotebookNotary:
        """A notary whose store is opened in the thread, wherever this is called from."""

        def make() -> NotebookNotary:
            notary = NotebookNotary(**kwargs)
            notary.store  # noqa: B018 - the default opens the database
            return notary

        if threading.get_ident() == self._thread:
            return make()
        return self._executor.submit(make).result()

    async def run(self, call: Callable[..., T], *args: Any) -> T:
        def work() -> T:
            self._thread = threading.get_ident()
            return call(*args)

        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
