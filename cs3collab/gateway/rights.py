"""What one caller may do where: own space, project role, shares from within the site, or the one share of an OCM login."""

from __future__ import annotations

import json
import time
from typing import Any, Final

from cs3.sharing.collaboration.v1beta1 import resources_pb2 as sharing
from cs3.sharing.ocm.v1beta1 import resources_pb2 as ocm

from cs3collab.gateway import access
from cs3collab.gateway.access import Caller, Permissions
from cs3collab.gateway.index import Node
from cs3collab.gateway.site import Site
from cs3collab.gateway.status import not_found
from cs3collab.gateway.tree import ROOT_ID

_MEMBERS: Final[dict[str, Permissions]] = {
    "manager": access.MANAGER,
    "editor": access.FOLDER_EDITOR,
    "viewer": access.VIEWER,
}


class Rights:
    """Lasts for one request, in which what it has found out is believed. Runs in the index thread."""

    def __init__(self, site: Site, caller: Caller) -> None:
        self._site = site
        self._caller = caller
        self._known: dict[str, Permissions] = {}
        self._nodes: dict[str, Node] = {}
        self._granted: dict[str, Permissions] | None = None

    def of(self, node: Node) -> Permissions:
        """A right to a folder is a right to all below. Raises NOT_FOUND for what lies in the trash."""
        held = self._known.get(node.id)
        if held is None:
            held = self._known[node.id] = self._find(node)
        return held

    def _find(self, node: Node) -> Permissions:
        if self._caller.service:
            return access.MANAGER
        seen = access.VISIT if self._caller.local else access.NOTHING
        if node.id == ROOT_ID:
            return seen
        parent = self._node(node.parent)
        if parent.id == ROOT_ID:
            return seen
        granted = self._grants().get(node.id, access.NOTHING)
        if parent.parent == ROOT_ID:
            return granted | self._in_space(parent.name, node.name)
        return granted | self.of(parent)

    def _node(self, node_id: str) -> Node:
        node = self._nodes.get(node_id) or self._site.index.node(node_id)
        if node is None:
            raise not_found()
        self._nodes[node_id] = node
        return node

    def _in_space(self, area: str, name: str) -> Permissions:
        if not self._caller.local:
            return access.NOTHING
        if area == "users":
            return access.MANAGER if name == self._caller.opaque_id else access.NOTHING
        project = next((p for p in self._site.config.projects if p.name == name), None)
        role = project.members.get(self._caller.opaque_id, "") if project else ""
        return _MEMBERS.get(role, access.NOTHING)

    def _grants(self) -> dict[str, Permissions]:
        if self._granted is None:
            self._granted = self._all_grants()
        return self._granted

    def _all_grants(self) -> dict[str, Permissions]:
        if self._caller.link:
            return self._by_link()
        return self._by_ocm() if self._caller.share_id else self._by_shares() if self._caller.local else {}

    def _by_shares(self) -> dict[str, Permissions]:
        granted: dict[str, Permissions] = {}
        rows = self._site.index.rows(
            "SELECT node, proto FROM shares WHERE grantee IN (SELECT value FROM json_each(?))",
            json.dumps(grantee_keys(self._caller)),
        )
        for node, proto in rows:
            share = sharing.Share.FromString(proto)
            if not expired(share):
                given = access.bits(share.permissions.permissions)
                moved = (
                    {"move"} if "initiate_file_upload" in given else set()
                )  # what Reva makes of it on the way to the storage
                granted[node] = granted.get(node, access.NOTHING) | given | moved
        return granted

    def _by_ocm(self) -> dict[str, Permissions]:
        """As the share was made: neither its end nor another role changes the grant. What a token is for is judged before."""
        row = self._site.index.one("SELECT node, editor, proto FROM ocm_shares WHERE id = ?", self._caller.share_id)
        if row is None:
            return {}
        editor = is_editor(ocm.Share.FromString(row[2])) if row[1] is None else bool(row[1])  # none: of an older index
        return {row[0]: access.role(editor, is_dir=self._node(row[0]).is_dir)}

    def _by_link(self) -> dict[str, Permissions]:
        row = self._site.index.one("SELECT node FROM links WHERE id = ?", self._caller.share_id)
        return {row[0]: access.role(self._caller.editor, is_dir=self._node(row[0]).is_dir)} if row else {}


def is_editor(share: Any) -> bool:
    """Does this ``ocm.Share`` let write?"""
    return any(access.is_editor(way.webdav_options.permissions) for way in share.access_methods)


def grantee_keys(caller: Caller) -> list[str]:
    """Under what the shares with this caller are kept."""
    return [f"user:{caller.user.id.opaque_id}", *(f"group:{group}" for group in caller.user.groups)]


def expired(share: Any) -> bool:
    """Is the ``expiration`` of this message over?"""
    return bool(share.HasField("expiration") and share.expiration.seconds <= time.time())
