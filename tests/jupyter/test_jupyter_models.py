import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado.web import HTTPError

from cs3collab.errors import InvalidInput, LockHeld, NotFound
from cs3collab.jupyter.models import (
    EPOCH,
    Facts,
    decode_content,
    digest,
    encode_content,
    http_errors,
    kind,
    model,
    supposes,
    when,
)
from cs3collab.types import Etag, FileInfo, ResourceId, Role

INFO = FileInfo(ResourceId("s", "f"), "x.txt", "/home/x.txt", False, Etag('"e1"'), 3, 1763712000.123456, Role.EDITOR)
SEEN = when(INFO.mtime)


@pytest.mark.parametrize("seconds", [float("inf"), -1e30, 1e30])
def test_times_that_no_calendar_holds_are_1970(seconds):
    assert when(seconds) == EPOCH


def test_times_are_utc():
    assert when(0.5) == datetime(1970, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("path", "is_dir", "asked", "expected"),
    [
        ("d", True, None, "directory"),
        ("d.ipynb", True, "directory", "directory"),
        ("x.ipynb", False, None, "notebook"),
        ("x.ipynb", False, "file", "file"),
        ("x.txt", False, None, "file"),
        ("x.txt", False, "notebook", "notebook"),
    ],
)
def test_kind(path, is_dir, asked, expected):
    assert kind(path, is_dir=is_dir, asked=asked) == expected


@pytest.mark.parametrize(("is_dir", "asked"), [(True, "file"), (True, "notebook"), (False, "directory")])
def test_kind_of_another_thing(is_dir, asked):
    with pytest.raises(InvalidInput):
        kind("x", is_dir=is_dir, asked=asked)


def test_a_folder_has_no_size_and_no_mimetype():
    made = model(Facts("a/b", is_dir=True, writable=True, size=7), "directory")
    assert (made["name"], made["path"], made["size"], made["mimetype"]) == ("b", "a/b", None, None)


@given(st.binary(max_size=300))
def test_content_goes_out_and_comes_back(content):
    text, used = encode_content(content, None, "x")
    assert decode_content(text, used, "x") == content
    text, used = encode_content(content, "base64", "x")
    assert used == "base64"
    assert decode_content(text, "base64", "x") == content


def test_text_that_is_none_cannot_be_asked_for():
    with pytest.raises(InvalidInput, match="not UTF-8"):
        encode_content(b"\xff", "text", "x")


@pytest.mark.parametrize(
    ("content", "format_"), [("x", "json"), ("x", None), (b"x", "text"), ({}, "text"), ("\ud800", "text"), ("x!", "base64")]
)
def test_content_that_cannot_be_saved(content, format_):
    with pytest.raises(InvalidInput):
        decode_content(content, format_, "x")


def test_base64_may_have_lines():
    assert decode_content(base64.encodebytes(b"x" * 200).decode(), "base64", "x") == b"x" * 200


def test_digest_is_of_the_bytes_on_storage():
    assert digest(b"") == {
        "hash": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "hash_algorithm": "sha256",
    }


@pytest.mark.parametrize(
    ("sent", "holds"),
    [
        ({}, True),
        ({"etag": None, "last_modified": None}, True),
        ({"etag": '"e1"'}, True),
        ({"etag": '"e0"'}, False),
        ({"etag": '"e0"', "last_modified": SEEN}, False),
        ({"etag": '"e0"', "path": "x.txt"}, False),
        ({"etag": '"e0"', "path": "/x.txt/"}, False),
        ({"etag": '"e0"', "path": "another.txt"}, True),
        ({"last_modified": SEEN}, True),
        ({"last_modified": SEEN.isoformat().replace("+00:00", "Z")}, True),
        ({"last_modified": SEEN.replace(tzinfo=None).isoformat()}, True),
        ({"last_modified": SEEN.isoformat(timespec="milliseconds")}, True),
        ({"last_modified": when(INFO.mtime - 1)}, False),
        ({"last_modified": when(INFO.mtime + 0.01).isoformat()}, False),
    ],
)
def test_whether_the_state_that_was_read_still_holds(sent, holds):
    assert supposes(sent, "x.txt", INFO) is holds


def test_a_time_that_is_none():
    with pytest.raises(InvalidInput, match="no time"):
        supposes({"last_modified": "yesterday"}, "x.txt", INFO)


@pytest.mark.parametrize(
    ("error", "status"), [(NotFound("gone"), 404), (LockHeld("locked", hint="wait"), 423), (InvalidInput("bad"), 400)]
)
def test_our_errors_become_answers(error, status):
    with pytest.raises(HTTPError) as answer, http_errors():
        raise error
    assert (answer.value.status_code, answer.value.log_message) == (status, str(error))


def test_percent_signs_in_names_are_no_format():
    with pytest.raises(HTTPError) as answer, http_errors():
        raise NotFound("no such file: 100%s.txt")
    assert "100%s.txt" in str(answer.value)
