"""The table from CS3 codes to our errors, row by row as measured on real Revas."""

from __future__ import annotations

import grpc
import pytest
from cs3.rpc.v1beta1 import code_pb2

from cs3collab import errors
from cs3collab.cs3 import status


@pytest.mark.parametrize(
    ("method", "code", "message", "expected"),
    [
        ("Stat", "NOT_FOUND", "", errors.NotFound),
        ("Stat", "UNAUTHENTICATED", "", errors.NotAuthenticated),
        ("Stat", "PERMISSION_DENIED", "", errors.NotAuthorized),
        ("Stat", "INTERNAL", "boom", status.Unexplained),
        ("Stat", "UNAVAILABLE", "", errors.StorageUnavailable),
        ("Stat", "DEADLINE_EXCEEDED", "", errors.DeadlineExceeded),
        ("Stat", "RESOURCE_EXHAUSTED", "", errors.Overloaded),
        ("Stat", "UNIMPLEMENTED", "", errors.Unsupported),
        ("Stat", "INVALID_ARGUMENT", "", errors.InvalidInput),
        ("Stat", "DATA_LOSS", "", errors.Corrupt),
        # wrong password, unknown user, wrong OCM secret
        ("Authenticate", "PERMISSION_DENIED", "invalid credentials", errors.NotAuthenticated),
        ("Authenticate", "NOT_FOUND", "user not found", errors.NotAuthenticated),
        ("Authenticate", "INTERNAL", "error authenticating ocmshares", errors.NotAuthenticated),
        ("Authenticate", "INTERNAL", "dial tcp: connection refused", errors.StorageUnavailable),
        ("Authenticate", "UNAVAILABLE", "", errors.StorageUnavailable),
        ("WhoAmI", "UNAUTHENTICATED", "", errors.NotAuthenticated),
        # a failed if_match: specification and Reva 2.27, OpenCloud; a failed if_not_exist
        ("InitiateFileUpload", "FAILED_PRECONDITION", "", errors.VersionConflict),
        ("InitiateFileUpload", "ABORTED", "etag mismatch", errors.VersionConflict),
        ("InitiateFileUpload", "ALREADY_EXISTS", "", errors.AlreadyExists),
        ("InitiateFileUpload", "INSUFFICIENT_STORAGE", "", errors.StorageUnavailable),
        # writing to a locked file, and with the lock gone
        ("InitiateFileUpload", "LOCKED", "locked", errors.LockHeld),
        ("InitiateFileUpload", "INTERNAL", "aborted: mismatching lock", errors.LockHeld),
        ("InitiateFileUpload", "INTERNAL", "aborted: not locked", errors.LeaseLost),
        ("InitiateFileUpload", "INTERNAL", "no idea", status.Unexplained),
        ("Delete", "LOCKED", "", errors.LockHeld),
        # taking a locked file's lock
        ("SetLock", "FAILED_PRECONDITION", "already locked", errors.LockHeld),
        ("SetLock", "ABORTED", "", errors.LockHeld),
        ("SetLock", "LOCKED", "", errors.LockHeld),
        ("SetLock", "UNIMPLEMENTED", "", errors.Unsupported),
        ("SetLock", "INTERNAL", "error: not supported", errors.Unsupported),
        ("SetLock", "INTERNAL", "", status.Unexplained),
        # a lock that is not ours any more
        ("RefreshLock", "ABORTED", "", errors.LeaseLost),
        ("RefreshLock", "FAILED_PRECONDITION", "", errors.LeaseLost),
        ("RefreshLock", "PERMISSION_DENIED", "", errors.NotAuthorized),
        ("Unlock", "LOCKED", "", errors.LeaseLost),
        ("Unlock", "ABORTED", "", errors.LeaseLost),
        ("GetLock", "NOT_FOUND", "", errors.NotFound),
        ("CreateContainer", "ALREADY_EXISTS", "", errors.AlreadyExists),
        ("CreateContainer", "FAILED_PRECONDITION", "", errors.Conflict),
    ],
)
def test_codes_seen_in_the_wild_become_our_errors(method: str, code: str, message: str, expected: type) -> None:
    error = status.from_status(method, code_pb2.Code.Value(f"CODE_{code}"), message)
    assert type(error) is expected


@pytest.mark.parametrize("method", ["Stat", "Authenticate", "InitiateFileUpload", "SetLock", "RefreshLock", "CreateShare"])
@pytest.mark.parametrize("code", [c for c in code_pb2.Code.values() if c != code_pb2.CODE_OK])
def test_every_code_of_every_method_is_an_error_that_names_the_method(method: str, code: int) -> None:
    error = status.from_status(method, code, "")
    assert isinstance(error, errors.CollabError)
    assert type(error) is not errors.CollabError
    assert str(error).startswith(f"{method}: ")


def test_ok_is_no_error_and_an_unknown_code_is() -> None:
    assert status.from_status("Stat", code_pb2.CODE_OK, "ignored") is None
    assert isinstance(status.from_status("Stat", 9999, "new"), errors.StorageUnavailable)


@pytest.mark.parametrize("code", [c for c in grpc.StatusCode if c is not grpc.StatusCode.OK])
def test_every_grpc_code_is_an_error_with_a_name_of_ours(code: grpc.StatusCode) -> None:
    error = status.from_grpc("Stat", code, "because", "localhost:9142")
    assert type(error) is not errors.CollabError
    if code is grpc.StatusCode.UNAVAILABLE:
        assert isinstance(error, errors.StorageUnavailable)
        assert "localhost:9142" in error.message
        assert error.hint


def test_messages_of_gateways_are_cut_to_one_short_line() -> None:
    error = status.from_status("Stat", code_pb2.CODE_INTERNAL, "a\nb\n" + "x" * 10_000)
    assert error is not None
    assert "\n" not in str(error)
    assert len(str(error)) < 500
