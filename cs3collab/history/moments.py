"""Which version people mean: by its position, its name, or a time. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from cs3collab.errors import InvalidInput, NotFound
from cs3collab.types import History

_ISO = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}(?P<minute>:\d{2}(?P<second>:\d{2}(?P<fraction>[.,]\d+)?)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
)
_HINT = "give a position, the name of a version, or a time such as 2026-03-14T15:09"


@dataclass(frozen=True, slots=True)
class Time:
    """``at`` in Unix seconds."""

    at: float


Moment = int | str | Time
"""A position, a name, or a time."""


def parse(text: str, names: frozenset[str] = frozenset(), zone: tzinfo | None = None) -> Moment:
    """Digits are a position, one of `names` is a name also where it looks like a time, ISO 8601 is a time.

    A time without offset is in `zone` (None: this machine's), and means the end of what it says: of the day, minute or second.
    Raises `InvalidInput`.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        return int(text)
    if text in names:
        return text
    if (match := _ISO.fullmatch(text)) is None:
        if re.match(r"\d{4}-", text) or not text:
            raise InvalidInput(f"no such version, and not a time: {text[:80]!r}", hint=_HINT)
        return text
    try:
        time = datetime.fromisoformat(text.replace(",", "."))
        end = time + _span(text, match)
        return Time((end if end.tzinfo else end.replace(tzinfo=zone)).timestamp())
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidInput(f"not a time: {text[:80]!r}", hint=_HINT) from error


def _span(text: str, match: re.Match[str]) -> timedelta:
    """From the first to the last microsecond of what was said."""
    if match["fraction"]:
        return timedelta()
    if match["second"]:
        said = timedelta(seconds=1)
    elif match["minute"]:
        said = timedelta(minutes=1)
    else:
        said = timedelta(hours=1) if len(text) > len("2026-03-14") else timedelta(days=1)
    return said - timedelta(microseconds=1)


def position_of(moment: Moment, text: str, history: History) -> int:
    """`history` was asked for with the time of `moment` if it is one. Raises `NotFound`; `text` is what the person wrote."""
    if isinstance(moment, Time):
        if history.found < max(history.horizon, 1):
            raise NotFound(f"nothing is known of {text}", hint="it is before the history begins; 'cs3collab history' lists it")
        return history.found
    if isinstance(moment, int):
        if not 1 <= moment <= history.position:
            raise NotFound(f"there is no position {moment}", hint=f"the last one is {history.position}")
        return moment
    found = [version.position for version in history.versions if version.name == moment]
    if not found:
        raise NotFound(f"no version is named {moment[:80]!r}", hint=_HINT)
    return found[-1]
