"""Three-way merge of one cell, field by field."""

from __future__ import annotations

from typing import Any

from cs3collab.merge.lines import merge_texts
from cs3collab.merge.records import Conflict, Kind
from cs3collab.merge.values import merge_objects, same, same_outputs, without_noise

Cell = dict[str, Any]
_OF_SOME_TYPES = ("attachments", "outputs", "execution_count")


def merge_cell(base: Cell | None, ours: Cell, theirs: Cell) -> tuple[Cell, list[Conflict]]:
    """With the id of ours, and ours itself where theirs has nothing to add. `base` is None when both added the cell."""
    if ours == theirs or (base is not None and without_id(base) == without_id(theirs)):
        return ours, []
    merge = _CellMerge(base or {}, ours, theirs)
    return merge.cell(), merge.conflicts


def is_edited(base: Cell, cell: Cell) -> bool:
    """Whether somebody would miss the cell as it is now, who knows it as it was."""
    return not (
        base.get("source") == cell.get("source")
        and base.get("cell_type") == cell.get("cell_type")
        and same_outputs(base.get("outputs", []), cell.get("outputs", []))
        and same(base.get("attachments") or {}, cell.get("attachments") or {})
        and same(without_noise(base.get("metadata", {})), without_noise(cell.get("metadata", {})))
    )


def without_id(cell: Cell) -> Cell:
    return {key: value for key, value in cell.items() if key != "id"}


class _CellMerge:
    def __init__(self, base: Cell, ours: Cell, theirs: Cell) -> None:
        self._base, self._ours, self._theirs = base, ours, theirs
        self.conflicts: list[Conflict] = []

    def cell(self) -> Cell:
        cell_type = self._cell_type()
        cell = {
            **self._ours,
            "cell_type": cell_type,
            "source": self._source(),
            "metadata": self._merged_object("metadata", deep=True),
        }
        for key in _OF_SOME_TYPES:
            cell.pop(key, None)
        if cell_type == "code":
            self._tell_of_left_out("attachments")
            return cell | self._outputs()
        self._tell_of_left_out("outputs")
        return cell | self._attachments()

    def _conflict(self, kind: Kind, base: Any, ours: Any, theirs: Any, path: tuple[str, ...] = ()) -> None:
        self.conflicts.append(Conflict(self._ours.get("id", ""), kind, base, ours, theirs, path))

    def _three(self, key: str, default: Any = None) -> tuple[Any, Any, Any]:
        base, ours, theirs = (cell.get(key, default) for cell in (self._base, self._ours, self._theirs))
        return base, ours, theirs

    def _cell_type(self) -> str:
        base, ours, theirs = self._three("cell_type")
        if theirs in (ours, base):
            return str(ours)
        if ours == base and not self._would_lose(theirs):
            return str(theirs)
        self._conflict(Kind.CELL_TYPE, base, ours, theirs)
        return str(ours)

    def _would_lose(self, cell_type: str) -> bool:
        """Whether ours changed what a cell of that type cannot have."""
        key = "attachments" if cell_type == "code" else "outputs"
        base, ours, _ = self._three(key, default=[])
        return bool(ours) and not same_outputs(base, ours)

    def _tell_of_left_out(self, key: str) -> None:
        """Of what theirs changed and a cell of this type cannot have."""
        base, ours, theirs = self._three(key)
        if theirs and not same_outputs(base or [], theirs):
            self._conflict(Kind(key), base, ours, theirs)

    def _source(self) -> str:
        base, ours, theirs = self._three("source", default="")
        merged = merge_texts(base, ours, theirs)
        if merged.conflicts:
            self._conflict(Kind.SOURCE, base if self._base else None, ours, theirs)
        return merged.text

    def _merged_object(self, key: str, *, deep: bool) -> dict[str, Any]:
        base, ours, theirs = (value or {} for value in self._three(key))
        merged, clashes = merge_objects(base, ours, theirs, deep=deep)
        for clash in clashes:
            self._conflict(Kind(key), clash.base, clash.ours, clash.theirs, clash.path)
        return merged

    def _attachments(self) -> Cell:
        attachments = self._merged_object("attachments", deep=False)
        return {"attachments": attachments} if attachments else {}

    def _outputs(self) -> Cell:
        """As one run left them; where the sources conflict, those of the source that stays."""
        base, ours, theirs = self._three("outputs", default=[])
        was, count, their_count = self._three("execution_count")
        mine, other = {"outputs": ours, "execution_count": count}, {"outputs": theirs, "execution_count": their_count}
        if self._theirs.get("cell_type") != "code":
            return mine
        if same_outputs(ours, theirs) or same_outputs(base, theirs):
            only_theirs_ran = same(base, ours) and was == count
            return other if only_theirs_ran and not self._sources_conflict() else mine
        if same_outputs(base, ours) and not self._sources_conflict():
            return other
        self._conflict(Kind.OUTPUTS, base if self._base else None, ours, theirs)
        return mine

    def _sources_conflict(self) -> bool:
        return any(conflict.kind == Kind.SOURCE for conflict in self.conflicts)
