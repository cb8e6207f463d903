"""The lock calls. Reva wants a resource id in all but SetLock, so a path is refused here too."""

from __future__ import annotations

import time
from typing import Any

from cs3.storage.provider.v1beta1 import resources_pb2 as storage

from cs3collab.gateway import locks
from cs3collab.gateway.files import Fields
from cs3collab.gateway.index import Node
from cs3collab.gateway.locks import Held
from cs3collab.gateway.status import INTERNAL, Refused, not_found
from cs3collab.gateway.view import View, held_of, timestamp


def set_lock(view: View, request: Any) -> Fields:
    node, _ = view.existing(request.ref, "initiate_file_upload")
    locks.check_set(view.lock_held(node))
    _store(view, node, request.lock)
    return {}


def get_lock(view: View, request: Any) -> Fields:
    node = _by_id(view, request.ref, "initiate_file_download")
    lock = view.lock(node)
    if lock is None:
        raise not_found("no lock")
    return {"lock": storage.Lock.FromString(lock)}


def refresh_lock(view: View, request: Any) -> Fields:
    node = _by_id(view, request.ref, "initiate_file_upload")
    locks.check_refresh(_stored(view, node), held_of(request.lock), view.caller.key, request.existing_lock_id)
    _store(view, node, request.lock)
    return {}


def unlock(view: View, request: Any) -> Fields:
    node = _by_id(view, request.ref, "initiate_file_upload")
    locks.check_unlock(_stored(view, node), held_of(request.lock), view.caller.key)
    view.index.run("DELETE FROM locks WHERE node = ?", node.id)
    return {}


def _by_id(view: View, ref: Any, needed: str) -> Node:
    if not ref.HasField("resource_id"):
        raise Refused(INTERNAL, "resource_id must be set")
    return view.existing(ref, needed)[0]


def _stored(view: View, node: Node) -> Held | None:
    """Also one that has expired, which only looking removes."""
    row = view.index.one("SELECT lock FROM locks WHERE node = ?", node.id)
    return held_of(storage.Lock.FromString(row[0])) if row else None


def _store(view: View, node: Node, lock: Any) -> None:
    kept = storage.Lock()
    kept.CopyFrom(lock)
    kept.creation_time.CopyFrom(timestamp(time.time_ns()))
    view.index.run("INSERT OR REPLACE INTO locks VALUES (?, ?)", node.id, kept.SerializeToString())
