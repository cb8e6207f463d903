"""The decision table of opening a document."""

from __future__ import annotations

import pytest

from cs3collab.merge.lineage import FileFacts, Opening, StoreFacts, decide

FILE = FileFacts(etag='"1"', digest="file")


def store(**facts: object) -> StoreFacts:
    return StoreFacts(**{"empty": False, "position": 5, "saved_position": 5, **facts})  # type: ignore[arg-type]


UNSAVED = {"position": 6}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param(StoreFacts(empty=True), Opening.SEED, id="nothing in the store"),
        pytest.param(StoreFacts(empty=True, base_etag='"1"', base_digest="file"), Opening.SEED, id="emptied, facts left over"),
        pytest.param(store(base_etag='"1"'), Opening.RESUME, id="same etag"),
        pytest.param(store(base_etag='"1"', **UNSAVED), Opening.RESUME, id="same etag, unsaved edits"),
        pytest.param(store(base_etag='"0"', base_digest="file"), Opening.RESUME, id="touched only"),
        pytest.param(store(base_etag='"0"', attempted_digest="file", **UNSAVED), Opening.RESUME, id="a save without answer"),
        pytest.param(store(base_etag='"0"', live_digest="file", **UNSAVED), Opening.RESUME, id="it already is what we have"),
        pytest.param(store(base_etag='"0"', base_digest="other"), Opening.RESEED, id="changed, all saved"),
        pytest.param(store(), Opening.RESEED, id="nothing known of the base, all saved"),
        pytest.param(store(base_etag='"0"', base_digest="other", **UNSAVED), Opening.CONFLICT, id="both changed"),
        pytest.param(store(**UNSAVED), Opening.CONFLICT, id="nothing known of the base, unsaved edits"),
    ],
)
def test_decide(facts: StoreFacts, expected: Opening) -> None:
    assert decide(facts, FILE) is expected


def test_unknown_digests_and_etags_equal_nothing() -> None:
    assert decide(store(**UNSAVED), FileFacts(etag="", digest="")) is Opening.CONFLICT
