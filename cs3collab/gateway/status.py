"""CS3 status codes and the one exception that carries them to the RPC layer."""

from __future__ import annotations

import errno
from typing import Any

import grpc
from cs3.rpc.v1beta1 import code_pb2, status_pb2

from cs3collab.errors import CollabError

OK = code_pb2.CODE_OK
INVALID_ARGUMENT = code_pb2.CODE_INVALID_ARGUMENT
NOT_FOUND = code_pb2.CODE_NOT_FOUND
ALREADY_EXISTS = code_pb2.CODE_ALREADY_EXISTS
PERMISSION_DENIED = code_pb2.CODE_PERMISSION_DENIED
UNAUTHENTICATED = code_pb2.CODE_UNAUTHENTICATED
RESOURCE_EXHAUSTED = code_pb2.CODE_RESOURCE_EXHAUSTED
FAILED_PRECONDITION = code_pb2.CODE_FAILED_PRECONDITION
ABORTED = code_pb2.CODE_ABORTED
UNIMPLEMENTED = code_pb2.CODE_UNIMPLEMENTED
INTERNAL = code_pb2.CODE_INTERNAL
UNAVAILABLE = code_pb2.CODE_UNAVAILABLE
INSUFFICIENT_STORAGE = code_pb2.CODE_INSUFFICIENT_STORAGE
LOCKED = code_pb2.CODE_LOCKED


class Refused(CollabError):
    """A request that is answered with ``status.code`` = `code`; never leaves this package."""

    kind = "refused"

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Fault(CollabError):
    """A request that is answered with a gRPC error, as Reva does where it stumbles; never leaves this package."""

    kind = "fault"

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def status(code: int, message: str = "") -> Any:
    """A ``cs3.rpc.v1beta1.Status``."""
    return status_pb2.Status(code=code, message=message)


def not_found(what: str = "no such resource") -> Refused:
    return Refused(NOT_FOUND, what)


def denied(what: str = "not allowed") -> Refused:
    return Refused(PERMISSION_DENIED, what)


def no_space(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
