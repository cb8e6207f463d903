"""The log filter hides planted secrets wherever they stand; the metrics keep their names and bounded labels."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from cs3collab import telemetry
from cs3collab.errors import InvalidInput
from cs3collab.types import Credential

CANARY = "kAnArY-7f3a9c_0xDEAD"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyIjoiZWluc3RlaW4ifQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root, ours, stream = logging.getLogger(), [logging.getLogger(n) for n in ("cs3collab", "ystore")], io.StringIO()
    level, levels = root.level, [logger.level for logger in ours]
    yield stream
    for handler in [h for h in root.handlers if h.get_name() == "cs3collab"]:
        root.removeHandler(handler)
    root.setLevel(level)
    for logger, old in zip(ours, levels, strict=True):
        logger.setLevel(old)


@pytest.mark.parametrize(
    "template",
    [
        "Authorization: Bearer {}",
        "authorization=token {}",
        "{{'Authorization': 'Basic {}'}}",
        "('authorization', 'Bearer {}')",
        "got bearer {} from a peer",
        "GET /y/room?token={}&x=1",
        "GET /api?access_token={}",
        "x-access-token: {}",
        "X-Reva-Transfer: {}",
        "(('x-access-token', '{}'),)",
        "('x-access-token', b'{}')",
        '{{"secret": "{} with spaces {}"}}',
        "client_secret='{}'",
        "password = {}",
        "OCM sharedSecret={}",
        "machine api_key: {}",
        "Set-Cookie: {}; Path=/",
        "https://einstein:{}@cloud.example.org/data",
        "nats://relay:{}@bus:4222",
    ],
)
def test_a_planted_secret_is_hidden(template: str) -> None:
    line = template.format(CANARY, CANARY)
    hidden = telemetry.redact(line)
    assert CANARY not in hidden
    assert "kAnArY" not in hidden
    assert telemetry.REDACTED in hidden
    assert telemetry.redact(hidden) == hidden


@pytest.mark.parametrize("line", [f"token is {JWT}", JWT, f"/data?t={JWT}#x", f'{{"t":"{JWT}"}}', f"unfinished {JWT[:60]}"])
def test_a_json_web_token_is_hidden_anywhere(line: str) -> None:
    assert "eyJ" not in telemetry.redact(line)


@pytest.mark.parametrize(
    "line",
    [
        "the token expired, get a new one",
        "needs a bearer token",
        "basic authentication is off",
        "room opened at position 17 (lineage 3f2a)",
        "cs3://gateway.example.org:9142 answered in 3 ms",
        'saved with etag "a1b2c3"',
    ],
)
def test_ordinary_lines_stay_as_they_are(line: str) -> None:
    assert telemetry.redact(line) == line


def test_a_megabyte_of_base64_is_searched_quickly() -> None:
    assert len(telemetry.redact("QUJD" * 250_000)) == 1_000_000


@pytest.mark.parametrize("as_json", [False, True])
def test_message_arguments_traceback_stack_and_extras_are_redacted(stream: io.StringIO, as_json: bool) -> None:
    telemetry.configure_logging("debug", as_json, stream=stream)
    log = logging.getLogger("cs3collab.some.part")
    log.info("logging in with token=%s", CANARY)
    log.info("headers %s", {"Authorization": f"Bearer {CANARY}"}, extra={"token": CANARY, "peer": f"https://a:{CANARY}@b"})
    log.info("credential %r", Credential("bearer", CANARY), stack_info=True)
    try:
        raise RuntimeError(f"refused: password={CANARY}")
    except RuntimeError:
        log.exception("login failed")
    logging.getLogger("somebody.else").warning("secret: %s", CANARY)
    written = stream.getvalue()
    assert CANARY not in written
    assert "login failed" in written
    assert "RuntimeError: refused: password=[redacted]" in written
    assert "somebody.else" in written


def test_json_lines_are_objects_with_the_extras(stream: io.StringIO) -> None:
    telemetry.configure_logging("info", True, stream=stream)
    logging.getLogger("cs3collab.rooms").info("opened", extra={"room": "json:notebook:abc", "position": 7})
    entry = json.loads(stream.getvalue())
    assert entry["time"].endswith("Z")
    del entry["time"]
    assert entry == {
        "level": "info",
        "logger": "cs3collab.rooms",
        "message": "opened",
        "room": "json:notebook:abc",
        "position": 7,
    }


def test_wrong_log_arguments_do_not_break_the_caller(stream: io.StringIO) -> None:
    handler = telemetry.configure_logging("info", stream=stream)
    handler.handle(logging.LogRecord("cs3collab.x", logging.INFO, __file__, 1, "%d rooms", ("many",), None))
    assert "unusable log arguments" in stream.getvalue()


def test_configuring_twice_leaves_one_handler_and_levels_hold(stream: io.StringIO) -> None:
    telemetry.configure_logging("debug", stream=io.StringIO())
    telemetry.configure_logging("warning", stream=stream)
    logging.getLogger("cs3collab.x").info("not shown")
    logging.getLogger("cs3collab.x").warning("shown once")
    assert stream.getvalue().count("shown once") == 1
    assert "not shown" not in stream.getvalue()


def test_an_unknown_level_is_a_usage_error() -> None:
    with pytest.raises(InvalidInput, match="unknown log level"):
        telemetry.configure_logging("loud")


def test_metric_names_and_labels_are_the_documented_ones() -> None:
    labels = {metric._name: metric._labelnames for metric in telemetry.METRICS}
    assert labels == {
        "cs3collab_updates": ("outcome",),
        "cs3collab_append_seconds": (),
        "cs3collab_rooms": (),
        "cs3collab_seats": ("role",),
        "cs3collab_links": (),
        "cs3collab_rejected": ("kind",),
        "cs3collab_worker_restarts": (),
        "cs3collab_quarantined": (),
        "cs3collab_saves": ("outcome",),
        "cs3collab_saved_age_seconds": (),
        "cs3collab_unacked_bytes": (),
    }


def test_metrics_are_exposed_from_our_own_registry() -> None:
    telemetry.REJECTED.labels(kind="not_authorized").inc()
    text = telemetry.exposition().decode()
    assert 'cs3collab_rejected_total{kind="not_authorized"}' in text
    assert "python_info" not in text
