"""What a refused or unanswered write means, case by case."""

from __future__ import annotations

import pytest

from cs3collab.cs3 import writing
from cs3collab.cs3.transfer import Source, Upload
from cs3collab.errors import CollabError, LeaseLost, LockHeld, NotFound, StorageUnavailable, VersionConflict
from cs3collab.types import Etag, FileInfo, Lock, NotLatest, ResourceId, Role

OLD, NEW = Etag('"old"'), Etag('"new"')
OURS, THEIRS = Lock("ours", "cs3collab"), Lock("theirs", "office")


def info(etag: Etag) -> FileInfo:
    return FileInfo(ResourceId("p", "n", "s"), "f", "/f", False, etag, 3, 0.0, Role.EDITOR)


@pytest.mark.parametrize(
    ("if_match", "if_absent", "now", "lost"),
    [
        (None, False, None, False),
        (None, False, info(OLD), False),
        (OLD, False, info(OLD), False),
        (OLD, False, info(NEW), True),
        (None, True, None, False),
        (None, True, info(OLD), True),
    ],
)
def test_whether_a_condition_is_missed(if_match: Etag | None, if_absent: bool, now: FileInfo | None, lost: bool) -> None:
    assert isinstance(writing.miss(Upload(Source.of(b"new"), if_match, if_absent), now), NotLatest) is lost


def test_a_condition_on_a_file_that_is_gone_is_not_found() -> None:
    with pytest.raises(NotFound):
        writing.miss(Upload(Source.of(b"new"), OLD), None)


CONFLICT, HELD, LOST, DOWN = VersionConflict("x"), LockHeld("x"), LeaseLost("x"), StorageUnavailable("x")


@pytest.mark.parametrize(
    ("lock_id", "now", "lock", "known", "refused", "meaning"),
    [
        # somebody else's lock says whom to ask, whatever else is true
        ("", info(OLD), THEIRS, True, HELD, LockHeld),
        ("", info(NEW), THEIRS, True, CONFLICT, LockHeld),
        ("ours", info(OLD), THEIRS, True, DOWN, LockHeld),
        # our lock has gone
        ("ours", info(OLD), None, True, DOWN, LeaseLost),
        ("ours", info(NEW), None, True, CONFLICT, LeaseLost),
        # we hold the lock or need none: the condition decides
        ("ours", info(NEW), OURS, True, CONFLICT, NotLatest),
        ("", info(NEW), None, True, CONFLICT, NotLatest),
        ("", info(NEW), None, False, DOWN, NotLatest),
        ("", None, None, True, CONFLICT, NotFound),
        # the storage does not know about locks: the lost lease is not concluded from that
        ("ours", info(OLD), None, False, DOWN, StorageUnavailable),
        # locked then, free now
        ("", info(OLD), None, True, HELD, StorageUnavailable),
        # nothing explains it
        ("", info(OLD), None, True, DOWN, StorageUnavailable),
        ("ours", info(OLD), OURS, True, CONFLICT, VersionConflict),
    ],
)
def test_what_a_refused_write_means(
    lock_id: str, now: FileInfo | None, lock: Lock | None, known: bool, refused: CollabError, meaning: type
) -> None:
    upload = Upload(Source.of(b"new"), OLD, lock_id=lock_id)
    assert type(writing.explain(upload, now, lock, known, refused)) is meaning


def test_a_refused_new_file_lacks_its_folder() -> None:
    meaning = writing.explain(Upload(Source.of(b"new"), if_absent=True), None, None, False, CONFLICT)
    assert isinstance(meaning, NotFound)
    assert "folder" in meaning.message
