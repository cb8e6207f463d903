"""Merging: pure decisions, no input or output."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cs3collab.merge.lines import merge_texts
    from cs3collab.merge.threeway import merge_notebooks

__all__ = ["merge_notebooks", "merge_texts"]


def __getattr__(name: str) -> Any:
    """Imported when asked for: nbformat takes a second, and most of who import this package never merge."""
    if name == "merge_notebooks":
        from cs3collab.merge.threeway import merge_notebooks

        return merge_notebooks
    if name == "merge_texts":
        from cs3collab.merge.lines import merge_texts

        return merge_texts
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
