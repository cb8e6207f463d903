"""Who may write the file: the life of one lease as a pure state machine, time and the storage's answers come in as events.

The lease is a CS3 lock with ``app_name`` set and ``user`` not, so that any editor's token may write with its id (measured on
Reva v2). `step` takes a `Claim` and an event and returns the next claim and what to ask of the storage, whose answer is the
next event.
Two clocks: ``now`` is monotonic and ours, in seconds; ``wall`` is Unix seconds, only used to set and read a lock's expiry.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from cs3collab.types import Lock

APP_NAME = "cs3collab"
DEADLINE_SHARE = 0.8
"""Part of the lock's lifetime in which its holder trusts it; the rest covers writes under way and a drifting clock."""
LOCKS_AGAIN_S = 600.0
"""How long a storage that answered as one without locks is believed, seconds: it may have been out of order."""
_TRIES = 2
_NEVER, _NOW = float("inf"), float("-inf")


class Phase(enum.Enum):
    FREE = "free"
    ACQUIRING = "acquiring"
    HELD = "held"
    REFRESHING = "refreshing"
    LOSING = "losing"
    """Held as far as we know, but a refresh was not answered, a write was refused, or the lock was not seen on the file."""
    LOST = "lost"
    BLOCKED = "blocked"
    """Another app, or another authority, holds the lock."""
    UNSUPPORTED = "unsupported"
    """The storage has no locks: writes are guarded by etags alone."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One authority's claim on one file.

    ``started`` is when the request under way was sent: deadlines count from there, for the storage cannot have
    set the lock earlier. ``epoch`` makes every lock id unique, so that a write of an earlier holder can never pass.
    ``salt`` (0 to 999) does so across restarts for which the clock was set back.
    ``sighted`` is the id of the last lock that was in the way, and since when we know of it by ``wall``.
    """

    authority_id: str
    lifetime_s: float
    phase: Phase = Phase.FREE
    epoch: int = 0
    started: float = 0.0
    deadline: float = _NOW
    refresh_at: float = _NEVER
    blocker: Lock | None = None
    sighted: tuple[str, float] = ("", 0.0)
    tries: int = 0
    salt: int = 0

    @property
    def lock_id(self) -> str:
        return lock_id(self.authority_id, self.epoch)

    @property
    def held(self) -> bool:
        return self.phase in (Phase.HELD, Phase.REFRESHING, Phase.LOSING)

    def lock(self, wall: float) -> Lock:
        return Lock(self.lock_id, app_name=APP_NAME, expires_at=wall + self.lifetime_s)


def lock_id(authority_id: str, epoch: int) -> str:
    return f"{APP_NAME}:{authority_id}:{epoch}"


_EPOCH_DIGITS = 20


def parse_lock_id(text: str) -> tuple[str, int] | None:
    """``(authority id, epoch)`` of one of our lock ids, else None."""
    app, _, rest = text.partition(":")
    authority_id, _, epoch = rest.rpartition(":")
    known = app == APP_NAME and authority_id and epoch.isdecimal() and len(epoch) <= _EPOCH_DIGITS
    return (authority_id, int(epoch)) if known else None


@dataclass(frozen=True, slots=True)
class Want:
    """A write is coming, or a refresh is due."""

    now: float
    wall: float


@dataclass(frozen=True, slots=True)
class Granted:
    """The storage did what was asked."""


@dataclass(frozen=True, slots=True)
class Refused:
    """SetLock found a lock there."""


@dataclass(frozen=True, slots=True)
class Found:
    """What GetLock answered."""

    lock: Lock | None
    now: float
    wall: float


@dataclass(frozen=True, slots=True)
class Gone:
    """The storage says that the lock is not ours: a refresh was refused."""

    now: float
    wall: float


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Nobody knows whether the request under way was carried out."""

    now: float


@dataclass(frozen=True, slots=True)
class NoLocks:
    """The storage has no locks."""

    now: float


@dataclass(frozen=True, slots=True)
class Doubt:
    """A write was refused: ask the storage before the next one."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The lock that a look at the file showed, None for none. It may be older news than ours: a holder then asks."""

    lock: Lock | None
    wall: float


@dataclass(frozen=True, slots=True)
class Release:
    wall: float


Event = Want | Granted | Refused | Found | Gone | Unanswered | NoLocks | Doubt | Seen | Release


@dataclass(frozen=True, slots=True)
class Set:
    lock: Lock


@dataclass(frozen=True, slots=True)
class Refresh:
    """``existing_lock_id`` is empty, or the lock to take over."""

    lock: Lock
    existing_lock_id: str = ""


@dataclass(frozen=True, slots=True)
class Look: ...


@dataclass(frozen=True, slots=True)
class Unlock:
    lock: Lock


Action = Set | Refresh | Look | Unlock


def may_write(claim: Claim, now: float) -> bool:
    """Past our own deadline the answer is no, whatever the storage says."""
    if claim.phase is Phase.UNSUPPORTED:
        return True
    return claim.held and now < claim.deadline


def step(claim: Claim, event: Event) -> tuple[Claim, Action | None]:
    """The next claim, and what to ask of the storage, if anything."""
    match event:
        case Want(now, wall):
            return _want(claim, now, wall)
        case Granted():
            return _granted(claim), None
        case Refused():
            return claim, Look()
        case Found(lock, now, wall):
            return _found(claim, lock, now, wall)
        case Gone(now, wall):
            return _gone(claim, now, wall)
        case Unanswered(now):
            return _unanswered(claim, now), None
        case NoLocks(now):
            return replace(claim, phase=Phase.UNSUPPORTED, blocker=None, refresh_at=now + LOCKS_AGAIN_S), None
        case Doubt():
            return _doubted(claim), None
        case Seen(lock, wall):
            return _seen(claim, lock, wall), None
        case Release(wall):
            return _release(claim, wall)


def _want(claim: Claim, now: float, wall: float) -> tuple[Claim, Action | None]:
    if may_write(claim, now):
        if now < claim.refresh_at:
            return claim, None
        if claim.phase is Phase.UNSUPPORTED:
            return _set(replace(claim, tries=0), now, wall)
        return replace(claim, phase=Phase.REFRESHING, started=now), Refresh(claim.lock(wall))
    return _set(replace(claim, tries=0), now, wall)


def _set(claim: Claim, now: float, wall: float, *, seen_epoch: int = 0, existing_lock_id: str = "") -> tuple[Claim, Action]:
    # The wall clock keeps epochs of restarted processes apart, the maximum keeps them rising when that clock steps back.
    claim = replace(
        claim,
        phase=Phase.ACQUIRING,
        epoch=max(claim.epoch + 1, seen_epoch + 1, int(wall * 1000) * 1000 + claim.salt),
        started=now,
        deadline=_NOW,
        blocker=None,
        tries=claim.tries + 1,
    )
    lock = claim.lock(wall)
    return claim, Refresh(lock, existing_lock_id) if existing_lock_id else Set(lock)


def _granted(claim: Claim) -> Claim:
    if claim.phase not in (Phase.ACQUIRING, Phase.REFRESHING):
        return claim
    return replace(
        claim,
        phase=Phase.HELD,
        deadline=claim.started + claim.lifetime_s * DEADLINE_SHARE,
        refresh_at=claim.started + claim.lifetime_s / 3,
        blocker=None,
    )


def _found(claim: Claim, lock: Lock | None, now: float, wall: float) -> tuple[Claim, Action | None]:
    if claim.tries >= _TRIES:
        return _blocked(claim, lock, wall), None
    if lock is None:
        return _set(claim, now, wall)
    if may_take_over(claim, lock, wall):
        _, epoch = parse_lock_id(lock.lock_id) or ("", 0)
        return _set(claim, now, wall, seen_epoch=epoch, existing_lock_id=lock.lock_id)
    return _blocked(claim, lock, wall), None


def _blocked(claim: Claim, lock: Lock | None, wall: float) -> Claim:
    sighted = (lock.lock_id, wall) if lock and lock.lock_id != claim.sighted[0] else claim.sighted
    known = claim.blocker.holder if claim.blocker else None
    if lock and lock.holder and not lock.holder.display_name and known and known.key == lock.holder.key:
        lock = replace(lock, holder=known)  # whose name was asked for already
    return replace(claim, phase=Phase.BLOCKED, blocker=lock, sighted=sighted)


def may_take_over(claim: Claim, lock: Lock, wall: float) -> bool:
    """Our own lock of before a restart at once; another authority's a third of a lifetime (clocks differ) after it expired.

    RefreshLock with ``existing_lock_id`` is a compare-and-swap on the lock id, so of two that try one wins.
    """
    owner = parse_lock_id(lock.lock_id)
    if lock.app_name != APP_NAME or owner is None:
        return False
    if owner[0] == claim.authority_id:
        return True
    return lock.expires_at is not None and wall > lock.expires_at + claim.lifetime_s / 3


def _gone(claim: Claim, now: float, wall: float) -> tuple[Claim, Action | None]:
    if claim.phase is Phase.ACQUIRING:
        if claim.tries < _TRIES:
            return _set(claim, now, wall)
        return _blocked(claim, None, wall), None
    if claim.held:
        return replace(claim, phase=Phase.LOST, deadline=_NOW), None
    return claim, None


def _unanswered(claim: Claim, now: float) -> Claim:
    if claim.phase is Phase.ACQUIRING:
        return replace(claim, phase=Phase.LOST)  # no lease, but the lock may be there, to be given up
    if claim.phase is not Phase.REFRESHING:
        return claim
    if now >= claim.deadline:
        return replace(claim, phase=Phase.LOST)
    return replace(claim, phase=Phase.LOSING, refresh_at=now + claim.lifetime_s / 12)


def _doubted(claim: Claim) -> Claim:
    """A storage without locks that refuses a write for a lock has them after all."""
    if claim.phase is Phase.UNSUPPORTED:
        return replace(claim, refresh_at=_NOW)
    return replace(claim, phase=Phase.LOSING, refresh_at=_NOW) if claim.held else claim


def _seen(claim: Claim, lock: Lock | None, wall: float) -> Claim:
    if claim.phase is Phase.ACQUIRING:
        return claim
    if claim.held:
        return claim if lock is not None and lock.lock_id == claim.lock_id else _doubted(claim)
    if lock is not None and not may_take_over(claim, lock, wall):
        return _blocked(claim, lock, wall)
    return replace(claim, phase=Phase.FREE, blocker=None) if claim.phase is Phase.BLOCKED else claim


def _release(claim: Claim, wall: float) -> tuple[Claim, Action | None]:
    if claim.phase is Phase.UNSUPPORTED:
        return claim, None
    free = replace(claim, phase=Phase.FREE, deadline=_NOW, blocker=None)
    # A lost lease may still be on the file; unlocking a lock that is not ours is refused by the storage.
    ours = claim.held or claim.phase is Phase.LOST
    return free, Unlock(claim.lock(wall)) if ours else None
