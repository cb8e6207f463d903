"""What a merge reports."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

Notebook = dict[str, Any]


class Kind(enum.StrEnum):
    """What both sides changed in different ways."""

    SOURCE = "source"
    OUTPUTS = "outputs"
    """The outputs and the execution count: what one run left."""
    DELETED = "deleted"
    """One side deleted the cell, the other changed it."""
    METADATA = "metadata"
    CELL_TYPE = "cell_type"
    ATTACHMENTS = "attachments"
    INVALID = "invalid"
    """Together they would make no valid notebook."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """``cell_id`` is the id in the result, or of the cell deleted there; empty for the notebook, and for cells without one.

    ``base``, ``ours`` and ``theirs`` are JSON values: a source, a list of outputs, a cell, a cell type, a notebook, or the
    value at ``path`` in the metadata or attachments; None where there is none.
    """

    cell_id: str
    kind: Kind
    base: Any
    ours: Any
    theirs: Any
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MergeResult:
    """``notebook`` shares values with what was merged. ``changed``: ids of the cells that ours changed or added since base.

    ``names``: the ids by which the result knows the cells of theirs, in their order; empty if it has none.
    """

    notebook: Notebook
    conflicts: list[Conflict]
    changed: frozenset[str] = frozenset()
    names: tuple[str, ...] = ()
