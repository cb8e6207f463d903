"""What to decide when a document is written to its file: when, over what, beside what, and in which words. No I/O."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from cs3collab.errors import (
    CollabError,
    Conflict,
    Corrupt,
    LeaseLost,
    LockHeld,
    NotANotebook,
    NotAuthenticated,
    NotAuthorized,
    NotFound,
    UpdateRejected,
    VersionConflict,
)
from cs3collab.limits import Limits
from cs3collab.locks import foreign
from cs3collab.locks.arbiter import APP_NAME
from cs3collab.types import Lock
from ystore.errors import StoreError


@dataclass(frozen=True, slots=True)
class SaveState:
    """What a room tells its people about the file. ``saved_at`` is Unix seconds.

    ``problem`` is a sentence: why the file is not being saved, or what happened to it that people must know.
    ``holder`` names whose lock is in the way, else it is empty.
    """

    saved_position: int = 0
    etag: str = ""
    saved_at: float = 0.0
    saved_by: str = ""
    problem: str = ""
    holder: str = ""

    @classmethod
    def of(cls, meta: Mapping[str, str]) -> SaveState:
        return cls(
            saved_position=int(meta.get("saved_position") or 0),
            etag=meta.get("base_etag", ""),
            saved_at=float(meta.get("saved_at") or 0),
            saved_by=meta.get("saved_by", ""),
        )


@dataclass(frozen=True, slots=True)
class Base:
    """The file as we last knew it, and the write of ours whose outcome may be unknown (its answer was lost, or we died)."""

    etag: str
    digest: str
    attempt: str = ""

    @classmethod
    def of(cls, meta: Mapping[str, str]) -> Base:
        return cls(meta.get("base_etag", ""), meta.get("base_digest", ""), meta.get("attempted_digest", ""))


_RECENT = 8


def recent(meta: Mapping[str, str]) -> list[tuple[int, float]]:
    """Positions and times (Unix seconds) of the last saves, oldest first."""
    pairs = (each.split("@") for each in meta.get("recent_saves", "").split())
    return [(int(position), float(at)) for position, at in pairs]


def with_recent(meta: Mapping[str, str], position: int, at: float) -> str:
    return " ".join(f"{each[0]}@{each[1]:.0f}" for each in [*recent(meta), (position, at)][-_RECENT:])


def recognised(digest: str, *, ours: str, base: Base, attempts: Iterable[str] = ()) -> bool:
    """Whether a file whose etag we do not know says what we do know; else somebody else wrote it. Digests as `Rendered`'s.

    Known are what it said before (a touch, the same notebook uploaded again), ``ours``, which is about to be written, and what
    was written without an answer.
    """
    return digest in {ours, base.digest, base.attempt, *attempts} - {""}


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the next save is due. Times are seconds of one monotonic clock.

    ``first`` and ``last`` are the oldest and newest edit that no save has covered, ``retry_at`` the end of a backoff,
    ``saved_at`` when the file was written last.
    """

    first: float | None = None
    last: float = 0.0
    retry_at: float = float("-inf")
    saved_at: float = float("-inf")

    def touched(self, now: float) -> Schedule:
        return replace(self, first=now if self.first is None else self.first, last=now)

    def started(self) -> Schedule:
        """A save begins: it covers everything so far."""
        return replace(self, first=None)

    def failed(self, before: Schedule, retry_at: float) -> Schedule:
        """That save did not happen: what it was to cover, as in `before`, is open again."""
        firsts = [first for first in (before.first, self.first) if first is not None]
        return replace(self, first=min(firsts, default=None), retry_at=retry_at)

    def succeeded(self) -> Schedule:
        return replace(self, retry_at=float("-inf"))

    def at_once(self) -> Schedule:
        """What kept it from being saved is gone."""
        return replace(self, first=None if self.first is None else float("-inf"), retry_at=float("-inf"))

    def written(self, now: float) -> Schedule:
        return replace(self, saved_at=now)

    def due(self, limits: Limits, *, quiet: bool = True) -> float | None:
        """After a pause in typing, and while it goes on at the latest every ``busy_save_s``; None if all is saved.

        Where saves are not `quiet` each leaves a version, so they keep ``versioned_save_s`` between them.
        """
        if self.first is None:
            return None
        soon = max(min(self.last + limits.idle_save_s, self.first + limits.busy_save_s), self.retry_at)
        return soon if quiet else max(soon, self.saved_at + limits.versioned_save_s)


_CALMER = 1.5


@dataclass(frozen=True, slots=True)
class Looks:
    """When to look next whether others changed the file: ever more seldom while nothing happens. Seconds, monotonic."""

    limits: Limits
    at: float
    interval: float = 0.0

    def looked(self, now: float, *, changed: bool) -> Looks:
        longer = min(self.interval * _CALMER, self.limits.idle_look_s)
        interval = self.limits.look_s if changed else max(longer, self.limits.look_s)
        return replace(self, at=now + interval, interval=interval)

    def sooner(self, now: float) -> Looks:
        """Something happened here."""
        return replace(self, at=min(self.at, now + self.limits.look_s), interval=self.limits.look_s)


@dataclass(frozen=True, slots=True)
class Retry:
    """Backoff in seconds. After a short outage the file is saved within ``brief_s``, in a long one the storage has peace."""

    first_s: float = 1.0
    brief_s: float = 8.0
    brief_outage_s: float = 120.0
    long_s: float = 30.0
    slow_first_s: float = 5.0
    """For what waits for a person: a deleted file, a document that cannot be rendered."""

    def delay(self, failures: int, down_for: float, jitter: float, *, slow: bool = False) -> float:
        """The wait after the `failures`-th failure in a row, `down_for` seconds after the first; `jitter` in 0..1."""
        first = self.slow_first_s if slow else self.first_s
        cap = self.brief_s if not slow and down_for < self.brief_outage_s else self.long_s
        full = min(first * 2.0 ** min(failures - 1, 16), cap)
        return max(first, full * (0.5 + jitter / 2))


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a save failed, for people, and when it makes sense to try again."""

    problem: str
    holder: str = ""
    slow: bool = False
    not_after: float | None = None
    """Unix seconds at which a foreign lock ends."""


_KEPT = "Edits are kept here and saved"


def trouble(error: Exception, lock: Lock | None = None) -> Trouble:
    """`error` in words; `lock` is the foreign lock if that is what is in the way."""
    match error:
        case LockHeld():
            until = lock.expires_at if lock else None
            stuck = f" {_sentence(error.hint)}" if error.hint not in ("", foreign.WAIT) else ""
            said = f"{_sentence(error.message)} {_KEPT} when the lock is gone.{stuck}"
            return Trouble(said, holder_of(error), not_after=until)
        case LeaseLost():
            clocks = "If this stays, compare the clocks of this server and of the storage."
            return Trouble(f"The storage ended our lock before the file was written. {_KEPT} as soon as that works. {clocks}")
        case NotFound():
            return Trouble(f"The file was deleted or unshared. {_KEPT} when it is back.", slow=True)
        case NotAuthorized() | NotAuthenticated():
            return Trouble(f"Nobody present may write the file. {_KEPT} when somebody who may is here.")
        case NotANotebook() | Corrupt():
            return Trouble(f"The document cannot be written: {error.message}. The file is as it was.", slow=True)
        case Conflict():
            return Trouble(_sentence(str(error)), slow=True)
        case CollabError() | StoreError() | OSError():
            return Trouble(f"{_sentence(f'The file cannot be saved now: {error}')} {_KEPT} as soon as that works.")
        case _:
            return Trouble(unforeseen(error), slow=True)


def unforeseen(error: Exception) -> str:
    """Without the error's own words, which are for the log: it may be anybody's."""
    tell = "If this stays, tell whoever runs the server to look into its log."
    return f"Something in this server failed that should not ({type(error).__name__}). {_KEPT} as soon as that works. {tell}"


def holder_of(error: LockHeld) -> str:
    if error.holder and error.app_name == APP_NAME:
        return error.holder
    program = foreign.program(error.app_name)
    return " with ".join(part for part in (error.holder, program) if part) or "someone else"


def refused(refusals: Sequence[CollabError]) -> CollabError:
    """One error for all writers that were tried: the file is only gone if nobody can see it."""
    if refusals and all(isinstance(error, NotFound) for error in refusals):
        return refusals[0]
    return NotAuthorized("nobody present may write the file", hint="somebody with write access must open it")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "."


def waiting(whom: str) -> VersionConflict:
    """`whom` goes on after "which is being edited"."""
    return VersionConflict(
        f"edits that were made here are not in the file, which is being edited {whom}",
        hint="they are kept here, and come into the file when you edit again; a copy has them now",
    )


def undecided(whom: str) -> VersionConflict:
    return VersionConflict(
        f"edits that were made here conflict with what is in the file, which is being edited {whom}",
        hint="what is shown here is kept as it was; it is brought together when you edit again; a copy has it now",
    )


SOMEONE = "someone else"


@dataclass(frozen=True, slots=True)
class Sighting:
    """Somebody's lock on the file: whose, and from when to when it was there (Unix seconds), None: still."""

    who: str
    since: float
    until: float | None = None

    def now(self, who: str, at: float) -> Sighting:
        """What is known once it was seen that `who` has the lock, empty: nobody."""
        if not who:
            return self if self.until is not None else replace(self, until=at)
        return self if who == self.who and self.until is None else Sighting(who, at)

    def wrote(self, mtime: float) -> str:
        """Who wrote the file at `mtime`, empty if that is not known. CS3's Stat does not tell; who had the lock did."""
        until = mtime if self.until is None else self.until
        return self.who if self.since - _SKEW_S <= mtime <= until + _SKEW_S else ""


UNSEEN = Sighting("", 0.0, 0.0)
_SKEW_S = 2.0
"""That clocks of storage and servers differ by."""


def kept_notice(who: str, mtime: float, copy: str) -> str:
    """`who` is empty if that is not known; likewise below."""
    return f"The file was changed by {who or SOMEONE}; their version of {clock(mtime)} is kept as {copy}."


def conflict_notice(who: str, mtime: float, conflicts: int, copy: str) -> str:
    what = "one change conflicts" if conflicts == 1 else f"{conflicts} changes conflict"
    by = who or SOMEONE
    return f"The file was changed by {by}, and {what} with yours; their version of {clock(mtime)} is kept as {copy}."


def broken(who: str, mtime: float, reason: str) -> str:
    return f"the file was changed by {who or SOMEONE} at {clock(mtime)}: {reason}"


BROKEN_HINT = "what is here stays, and is written again when you save; what is there now is then kept beside it"


def too_large(size: int, limit: int) -> UpdateRejected:
    """What others wrote, as an edit of the document."""
    return UpdateRejected(
        f"bringing it in takes an edit of {size:,} bytes, and at most {limit:,} are taken at once",
        hint="to have it here, write less of it at a time, or ask whoever runs the server to raise update_bytes",
    )


def clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))


_NAME_BYTES = 255
"""Longest file name on the file systems below (POSIX NAME_MAX on Linux)."""


def conflict_name(name: str, who: str, mtime: float, nth: int = 0) -> str:
    """``analysis.conflict-2026-11-21T07-40-00-Marie-Curie.ipynb``: from the time of *their* change, so that it is found again.

    ``someone`` if `who` is empty. ``nth`` counts the names that were taken.
    """
    path = PurePosixPath(name)
    when = time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime(mtime))
    tail = f".conflict-{when}-{_in_name(who)}{f'-{nth + 1}' if nth else ''}{path.suffix}"
    stem = path.stem.encode()[: _NAME_BYTES - len(tail.encode())].decode(errors="ignore")
    return f"{stem}{tail}"


def _in_name(who: str) -> str:
    """Letters, digits and hyphens; 40 characters at most."""
    return "-".join(re.findall(r"\w+", who))[:40].strip("-") or "someone"
