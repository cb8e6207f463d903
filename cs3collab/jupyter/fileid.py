"""File ids for Jupyter that are the same on every server: base64url of the home resource id, answered from memory.

Switch on with ``c.FileIdExtension.file_id_manager_class = "cs3collab.jupyter.fileid.CS3FileIdManager"``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jupyter_server_fileid.manager import BaseFileIdManager

from cs3collab.jupyter.settings import CS3Settings


class CS3FileIdManager(BaseFileIdManager):
    """Never asks storage, for every method is synchronous and called on the event loop.

    What it knows comes from the contents manager, which sees each file's resource id when it lists, opens or saves it, and from
    `remember`, for files of other sites whose home id only their relay tells.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._settings = CS3Settings.instance(parent=self.parent, config=self.config)
        self._known = self._settings.ids

    def remember(self, path: str, file_id: str) -> None:
        """`file_id` is ``ResourceId.file_id`` at the home site."""
        self._known.put(path.strip("/"), file_id)

    def index(self, path: str) -> str | None:
        """The id, or None for a path nobody has listed or opened: ids are given by storage, never made here."""
        return self._known.id(path.strip("/"))

    def get_id(self, path: str) -> str | None:
        return self._known.id(path.strip("/"))

    def get_path(self, id: str) -> str | None:
        return self._known.path(id)

    def move(self, old_path: str, new_path: str) -> str | None:
        self._known.move_tree(old_path.strip("/"), new_path.strip("/"))
        return self.get_id(new_path)

    def copy(self, from_path: str, to_path: str) -> str | None:
        """A copy is another resource: its id is known once storage told it."""
        return self.get_id(to_path)

    def delete(self, path: str) -> None:
        self._known.drop_tree(path.strip("/"))

    def save(self, path: str) -> str | None:
        return self.get_id(path)

    def get_handlers_by_action(self) -> dict[str, Callable[[dict[str, Any]], Any] | None]:
        """No handlers: the contents manager keeps the table right at once, and an event that comes late could undo it."""
        return dict.fromkeys(("get", "save", "rename", "copy", "delete"))

    def _normalize_path(self, path: str) -> str:
        return path.strip("/")

    def _from_normalized_path(self, path: str | None) -> str | None:
        return path
