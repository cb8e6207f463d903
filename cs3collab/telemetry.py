"""What an operator sees: every Prometheus metric, and logs that cannot show a secret.

The only module that imports `prometheus_client`. Labels are bounded sets of words, never a room, a file or a person.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from cs3collab.errors import InvalidInput

REGISTRY = CollectorRegistry()
"""Ours alone: a host process such as Jupyter has its own default registry."""

_FAST_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Bucket bounds in seconds around a group commit, whose fdatasync takes 0.1 ms on flash and 10 ms on a disk."""

UPDATES = Counter("cs3collab_updates_total", "Updates that reached an authority, by outcome.", ["outcome"], registry=REGISTRY)
APPEND_SECONDS = Histogram(
    "cs3collab_append_seconds", "Seconds until an update is durable.", buckets=_FAST_S, registry=REGISTRY
)
ROOMS = Gauge("cs3collab_rooms", "Rooms that are open in this process.", registry=REGISTRY)
SEATS = Gauge("cs3collab_seats", "People and programs attached to rooms, by role.", ["role"], registry=REGISTRY)
LINKS = Gauge("cs3collab_links", "Open links to other processes of cs3collab.", registry=REGISTRY)
REJECTED = Counter("cs3collab_rejected_total", "Requests and frames refused, by error kind.", ["kind"], registry=REGISTRY)
WORKER_RESTARTS = Counter(
    "cs3collab_worker_restarts_total", "Room workers that died and were started again.", registry=REGISTRY
)
QUARANTINED = Counter("cs3collab_quarantined_total", "Updates kept aside because a worker refused them.", registry=REGISTRY)
SAVES = Counter("cs3collab_saves_total", "Attempts to write a file to storage, by outcome.", ["outcome"], registry=REGISTRY)
SAVED_AGE_SECONDS = Gauge(
    "cs3collab_saved_age_seconds", "Age in seconds of the oldest edit that is not in its file yet.", registry=REGISTRY
)
UNACKED_BYTES = Gauge(
    "cs3collab_unacked_bytes", "Bytes of edits that wait here for the authority to acknowledge them.", registry=REGISTRY
)

METRICS = (
    UPDATES,
    APPEND_SECONDS,
    ROOMS,
    SEATS,
    LINKS,
    REJECTED,
    WORKER_RESTARTS,
    QUARANTINED,
    SAVES,
    SAVED_AGE_SECONDS,
    UNACKED_BYTES,
)

OUTCOMES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "cs3collab_updates_total": frozenset({"accepted", "known", "refused", "quarantined"}),
        "cs3collab_saves_total": frozenset({"saved", "unchanged", "merged", "locked", "failed"}),
    }
)
"""The words the ``outcome`` label may take."""


def exposition() -> bytes:
    """All metrics in the Prometheus text format (``text/plain; version=0.0.4``)."""
    return generate_latest(REGISTRY)


REDACTED = "[redacted]"

_SECRET_NAME = (
    r"[\w.-]{0,40}(?:passw(?:or)?d|passphrase|secret|credential|api[_-]?key|token|x-reva-transfer|cookie)[\w.-]{0,40}"
)
"""Bounded on both sides, so that a megabyte of base64 is searched in linear time."""

_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # A JSON Web Token (RFC 7519): what Reva hands out, and what X-Reva-Transfer carries.
    (re.compile(r"\beyJ[\w-]{5,}\.[\w-]+(?:\.[\w-]*)?"), REDACTED),
    # A whole Authorization header, scheme and all (RFC 9110), also as a quoted name in a dict or tuple.
    (
        re.compile(r"""(?i)(authorization["']?\s*[=:,]\s*(?:b?["'])?)(?!\[redacted\])(?:\w+[ ]+)?[^\s"',\])}]+"""),
        rf"\1{REDACTED}",
    ),
    # A scheme with a value that is no English word: "bearer token" and "token expired" stay readable.
    (re.compile(r"(?i:\b(bearer|basic|token))(\s+)(?=\S*[A-Z0-9_=])[\w.~+/=-]{8,}"), rf"\1\2{REDACTED}"),
    # user:password@ in a URL.
    (re.compile(r"(\w://[^\s/:@]{0,200}):[^\s/@]+@"), rf"\1:{REDACTED}@"),
    # name=value, name: value, "name": "value", ('name', b'value'); a quoted value may hold spaces.
    (
        re.compile(
            rf"""(?i)(?P<left>{_SECRET_NAME}["']?\s*(?:[=:]|,(?=\s*b?["']))\s*(?:b(?=["']))?)(?!\[redacted\])"""
            r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s,;&)\]}"']+)"""
        ),
        rf"\g<left>{REDACTED}",
    ),
)


_SECRET_NAMES = re.compile(_SECRET_NAME, re.IGNORECASE)


def redact(text: str) -> str:
    """`text` with bearer tokens, JSON Web Tokens, URL passwords and the values of secret-sounding names replaced."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


class RedactingFilter(logging.Filter):
    """Formats the record, then hides secrets in the message, the traceback and the stack. Put it on handlers, not loggers.

    A filter on a logger does not see records of its children; one on a handler sees all (`logging.Handler.handle`).
    """

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):
            message = f"{record.msg} (unusable log arguments)"
        record.msg, record.args = redact(message), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True


_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time`` (UTC, RFC 3339), ``level``, ``logger``, ``message``, ``exception``, every ``extra``."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info or record.exc_text:
            entry["exception"] = record.exc_text or self.formatException(record.exc_info or (None, None, None))
        # `extra` values are not part of the message, so the filter has not seen them.
        return json.dumps(_redact_values(entry), default=str, ensure_ascii=False)


def _redact_values(entry: Mapping[str, object]) -> dict[str, object]:
    def clean(name: str, value: object) -> object:
        if _SECRET_NAMES.fullmatch(name):
            return REDACTED
        return value if isinstance(value, int | float | None) else redact(str(value))

    return {name: clean(name, value) for name, value in entry.items()}


class TextFormatter(logging.Formatter):
    """``07:31:59 INFO cs3collab.relay: message`` in UTC."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S")


def configure_logging(level: str | int = "info", json: bool = False, *, stream: TextIO | None = None) -> logging.Handler:
    """Sends this project's logs, and warnings of everybody else, to `stream` (default: standard error), redacted.

    Calling it again replaces the handler it set before. Raises `InvalidInput` for an unknown level.
    """
    number = logging.getLevelNamesMapping().get(level.upper()) if isinstance(level, str) else level
    if number is None:
        raise InvalidInput(f"unknown log level: {level!r}", hint="use debug, info, warning or error")
    handler = logging.StreamHandler(stream)
    handler.set_name("cs3collab")
    handler.setFormatter(JsonFormatter() if json else TextFormatter())
    handler.addFilter(RedactingFilter())
    root = logging.getLogger()
    for old in [old for old in root.handlers if old.get_name() == "cs3collab"]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(max(number, logging.WARNING))
    for name in ("cs3collab", "ystore"):
        logging.getLogger(name).setLevel(number)
    return handler
