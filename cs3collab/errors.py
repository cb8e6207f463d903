"""Every error that crosses a module border, named after what its catcher does.

``CollabError``
  ``InvalidInput`` (also ValueError)        the caller sent something we cannot use
  ``ProtocolViolation``                     a peer broke the wire protocol: close the connection
  ``NotAuthenticated``                      no or expired credential: get a new one
  ``NotAuthorized``                         known, but may not
    ``EditsRefused``                        this copy holds edits of somebody who may not: nobody may send it on
  ``NotFound`` (also KeyError)              no such file, share or room, or not visible
  ``AlreadyExists``                         a file or share of that name is there
  ``Conflict``                              somebody else was first
    ``VersionConflict`` ``LockHeld`` ``LeaseLost`` ``LineageDiverged``
  ``Unavailable``                           try again later
    ``StorageUnavailable`` ``PeerUnavailable`` ``DeadlineExceeded``
  ``Overloaded``                            a bound was reached: slow down, or raise the limit
  ``Unsupported``                           this storage cannot do that
  ``Corrupt``                               the data is bad; never retried
    ``UpdateRejected`` ``NotANotebook``
"""

from __future__ import annotations


class CollabError(Exception):
    """Base of all. ``hint`` tells the person what to do; ``kind`` is stable and goes over the wire."""

    kind = "internal"
    http_status = 500
    close_code = 1011

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InvalidInput(CollabError, ValueError):
    kind, http_status, close_code = "invalid_input", 400, 1007


class ProtocolViolation(CollabError):
    kind, http_status, close_code = "protocol_violation", 400, 1002


class NotAuthenticated(CollabError):
    kind, http_status, close_code = "not_authenticated", 401, 4401


class NotAuthorized(CollabError):
    kind, http_status, close_code = "not_authorized", 403, 4403


class EditsRefused(NotAuthorized):
    kind = "edits_refused"


class NotFound(CollabError, KeyError):
    kind, http_status, close_code = "not_found", 404, 4404
    __str__ = CollabError.__str__  # KeyError would print the repr


class AlreadyExists(CollabError):
    kind, http_status, close_code = "already_exists", 409, 4409


class Conflict(CollabError):
    kind, http_status, close_code = "conflict", 409, 4409


class VersionConflict(Conflict):
    kind = "version_conflict"


class LockHeld(Conflict):
    """Somebody else's lock; ``holder`` and ``app_name`` say whose, as far as the storage tells."""

    kind, http_status = "lock_held", 423

    def __init__(self, message: str, *, hint: str = "", holder: str = "", app_name: str = "") -> None:
        super().__init__(message, hint=hint)
        self.holder = holder
        self.app_name = app_name


class LeaseLost(Conflict):
    kind = "lease_lost"


class LineageDiverged(Conflict):
    kind, close_code = "lineage_diverged", 1003


class Unavailable(CollabError):
    kind, http_status, close_code = "unavailable", 503, 1013


class StorageUnavailable(Unavailable):
    kind = "storage_unavailable"


class PeerUnavailable(Unavailable):
    kind = "peer_unavailable"


class DeadlineExceeded(Unavailable):
    kind, http_status = "deadline_exceeded", 504


class Overloaded(CollabError):
    kind, http_status, close_code = "overloaded", 429, 1013


class Unsupported(CollabError):
    kind, http_status = "unsupported", 501


class Corrupt(CollabError):
    kind, http_status, close_code = "corrupt", 422, 1007


class UpdateRejected(Corrupt):
    kind = "update_rejected"


class NotANotebook(Corrupt):
    kind = "not_a_notebook"


def _tree(cls: type[CollabError]) -> list[type[CollabError]]:
    return [cls] + [leaf for child in cls.__subclasses__() for leaf in _tree(child)]


def from_kind(kind: str, message: str, hint: str = "") -> CollabError:
    """The error a peer named by `kind`; an unknown kind becomes a plain `CollabError`."""
    cls = {c.kind: c for c in _tree(CollabError)}.get(kind, CollabError)
    return cls(message, hint=hint)
