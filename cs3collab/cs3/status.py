"""The one table from what CS3 gateways answer to our errors.

Errors travel in ``status.code`` of a gRPC OK, or as gRPC errors (transport, token scopes). Both name the same codes, so one
table serves. Gateways differ in the code for one situation: every code seen on Reva v2 (cs3org, OpenCloud) and v3 is accepted.
"""

from __future__ import annotations

import enum
import re
from typing import Final

import grpc
from cs3.rpc.v1beta1 import code_pb2

from cs3collab.errors import (
    AlreadyExists,
    CollabError,
    Conflict,
    Corrupt,
    DeadlineExceeded,
    InvalidInput,
    LeaseLost,
    LockHeld,
    NotAuthenticated,
    NotAuthorized,
    NotFound,
    Overloaded,
    StorageUnavailable,
    Unsupported,
    VersionConflict,
)

OK: Final[int] = code_pb2.CODE_OK


class Unexplained(StorageUnavailable):
    """INTERNAL or UNKNOWN, for no reason that is known here. Reva v2 also says so to a bad token, as in GetHome."""


class Family(enum.Enum):
    """Operations for which the same code means the same."""

    OTHER = "other"
    AUTH = "auth"
    WRITE = "write"
    TAKE_LOCK = "take lock"
    KEEP_LOCK = "keep lock"


_FAMILIES: Final = {
    "Authenticate": Family.AUTH,
    "WhoAmI": Family.AUTH,
    "InitiateFileUpload": Family.WRITE,
    "TouchFile": Family.WRITE,
    "Delete": Family.WRITE,
    "Move": Family.WRITE,
    "RestoreFileVersion": Family.WRITE,
    "RestoreRecycleItem": Family.WRITE,
    "SetArbitraryMetadata": Family.WRITE,
    "UnsetArbitraryMetadata": Family.WRITE,
    "SetLock": Family.TAKE_LOCK,
    "RefreshLock": Family.KEEP_LOCK,
    "Unlock": Family.KEEP_LOCK,
}

_ANY: Final[dict[str, type[CollabError]]] = {
    "INVALID": StorageUnavailable,
    "CANCELLED": StorageUnavailable,
    "UNKNOWN": Unexplained,
    "INVALID_ARGUMENT": InvalidInput,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "NOT_FOUND": NotFound,
    "ALREADY_EXISTS": AlreadyExists,
    "PERMISSION_DENIED": NotAuthorized,
    "UNAUTHENTICATED": NotAuthenticated,
    "RESOURCE_EXHAUSTED": Overloaded,
    "FAILED_PRECONDITION": Conflict,
    "ABORTED": Conflict,
    "OUT_OF_RANGE": InvalidInput,
    "UNIMPLEMENTED": Unsupported,
    "INTERNAL": Unexplained,
    "UNAVAILABLE": StorageUnavailable,
    "DATA_LOSS": Corrupt,
    "REDIRECTION": Unsupported,
    "INSUFFICIENT_STORAGE": StorageUnavailable,
    "LOCKED": LockHeld,
    "TOO_EARLY": StorageUnavailable,
}

_SPECIAL: Final[dict[Family, dict[str, type[CollabError]]]] = {
    # Reva says PERMISSION_DENIED for a wrong password, NOT_FOUND for an unknown user, INTERNAL for a wrong OCM secret.
    Family.AUTH: {
        "PERMISSION_DENIED": NotAuthenticated,
        "NOT_FOUND": NotAuthenticated,
        "INTERNAL": NotAuthenticated,
        "INVALID_ARGUMENT": NotAuthenticated,
    },
    # A failed if_match is FAILED_PRECONDITION in the specification and on Reva 2.27, ABORTED on OpenCloud.
    Family.WRITE: {"FAILED_PRECONDITION": VersionConflict, "ABORTED": VersionConflict},
    Family.TAKE_LOCK: {"FAILED_PRECONDITION": LockHeld, "ABORTED": LockHeld, "ALREADY_EXISTS": LockHeld},
    Family.KEEP_LOCK: {"FAILED_PRECONDITION": LeaseLost, "ABORTED": LeaseLost, "LOCKED": LeaseLost},
}

_HINTS: Final[dict[type[CollabError], str]] = {
    NotAuthenticated: "check the user name, password or token",
    NotAuthorized: "ask the owner for the right to do this",
    Overloaded: "try again later, or with less",
    StorageUnavailable: "try again; if it stays, look into the gateway's log",
    Unexplained: "try again; if it stays, look into the gateway's log",
    DeadlineExceeded: "the gateway took too long: try again",
    Unsupported: "this storage cannot do that",
    LockHeld: "wait until the lock is released",
}

_OUTAGE = re.compile(r"connection refused|unavailable|deadline|timed? ?out|transport|no such host|reset by peer", re.I)
_SAYS_UNSUPPORTED = re.compile(r"not.?supported|unsupported|not.?implemented|unimplemented", re.I)
_SAYS_LOCK_GONE = re.compile(r"not locked", re.I)
_SAYS_OTHER_LOCK = re.compile(r"mismatch\w* lock|lock mismatch|\blocked\b", re.I)
_MESSAGE_CHARS = 300


def family_of(method: str) -> Family:
    """The family of a GatewayAPI method."""
    return _FAMILIES.get(method, Family.OTHER)


def error_class(family: Family, code: str, message: str = "") -> type[CollabError]:
    """The error for a code name without its ``CODE_`` prefix (as gRPC and CS3 both spell it). Never called for OK."""
    if code == "INTERNAL":
        return _internal(family, message)
    return _SPECIAL.get(family, {}).get(code) or _ANY.get(code, StorageUnavailable)


def _internal(family: Family, message: str) -> type[CollabError]:
    """Reva folds many situations into INTERNAL; its message is then the only thing that tells them apart."""
    if family is Family.AUTH:
        return StorageUnavailable if _OUTAGE.search(message) else NotAuthenticated
    if family in (Family.TAKE_LOCK, Family.KEEP_LOCK) and _SAYS_UNSUPPORTED.search(message):
        return Unsupported
    if family is Family.WRITE and _SAYS_LOCK_GONE.search(message):
        return LeaseLost
    if family is Family.WRITE and _SAYS_OTHER_LOCK.search(message):
        return LockHeld
    return Unexplained


def from_status(method: str, code: int, message: str) -> CollabError | None:
    """What ``status`` of a response means; None for OK."""
    if code == OK:
        return None
    name = code_pb2.Code.Name(code).removeprefix("CODE_") if code in code_pb2.Code.values() else "UNKNOWN"
    return _error(method, name, message)


def from_grpc(method: str, code: grpc.StatusCode, details: str, address: str) -> CollabError:
    """What a gRPC error means; UNAVAILABLE is a gateway that cannot be reached."""
    if code is grpc.StatusCode.UNAVAILABLE:
        return StorageUnavailable(
            f"no CS3 gateway answers at {address}: {_short(details)}",
            hint="check the address, that the gateway runs, and whether it wants TLS",
        )
    return _error(method, code.name, details)


def _error(method: str, code: str, message: str) -> CollabError:
    cls = error_class(family_of(method), code, message)
    hint = "the quota is used up: free some space" if code == "INSUFFICIENT_STORAGE" else _HINTS.get(cls, "")
    return cls(f"{method}: {_short(message) or code.lower().replace('_', ' ')}", hint=hint)


def _short(message: str) -> str:
    return " ".join(message.split())[:_MESSAGE_CHARS]
