"""Several authorities, one storage: every order of requests, lost answers, frozen and restarted holders, clocks that differ."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cs3collab.locks import arbiter
from cs3collab.locks.arbiter import (
    Action,
    Claim,
    Doubt,
    Event,
    Found,
    Gone,
    Granted,
    Look,
    Refresh,
    Refused,
    Release,
    Seen,
    Set,
    Unanswered,
    Unlock,
    Want,
    may_write,
    step,
)
from cs3collab.types import Lock

LIFETIME = 60.0
START = 1_700_000_000.0
SKEW_S = 0.19 * LIFETIME
"""What a clock may be wrong by without two holding the lease at once: a lock outlives its holder's deadline by that."""
AUTHORITIES = ("relay-a", "relay-b", "relay-c")


@dataclass
class Lockable:
    """Reva v2 with decomposedfs: an expired lock goes when it is looked at, and can be refreshed until then."""

    lock: Lock | None = None
    order: dict[str, int] = field(default_factory=dict)
    """In which order lock ids came to the file."""

    def live(self, at: float) -> Lock | None:
        if self.lock is not None and self.lock.expires_at is not None and self.lock.expires_at <= at:
            self.lock = None
        return self.lock

    def put(self, lock: Lock) -> None:
        there = self.lock is not None and self.lock.lock_id == lock.lock_id
        assert there or lock.lock_id not in self.order, "a lock id came back"
        self.lock = lock
        self.order.setdefault(lock.lock_id, len(self.order))

    def answer(self, action: Action, at: float) -> tuple[type[Event], Lock | None]:
        match action:
            case Set(lock):
                if self.live(at) is not None:
                    return Refused, None
                self.put(lock)
                return Granted, None
            case Refresh(lock, existing):
                if self.lock is None or self.lock.lock_id != (existing or lock.lock_id) or self.lock.app_name != lock.app_name:
                    return Gone, None
                self.put(lock)
                return Granted, None
            case Look():
                return Found, self.live(at)
            case Unlock(lock):
                if self.lock is not None and self.lock.lock_id == lock.lock_id:
                    self.lock = None
                return Granted, None


@dataclass
class Peer:
    """One authority. ``asked`` is on its way to the storage, ``answered`` on its way back."""

    claim: Claim
    skew: float
    asked: Action | None = None
    answered: tuple[type[Event], Lock | None] | None = None
    writing: str = ""
    thawed: bool = True

    @property
    def busy(self) -> bool:
        return self.asked is not None or self.answered is not None


PEERS = st.sampled_from(AUTHORITIES)


class Arbitration(RuleBasedStateMachine):
    @initialize(skews=st.tuples(*[st.floats(-SKEW_S, SKEW_S)] * len(AUTHORITIES)))
    def begin(self, skews: tuple[float, ...]) -> None:
        self.at = START
        self.file = Lockable()
        self.peers = {name: Peer(Claim(name, LIFETIME), skew) for name, skew in zip(AUTHORITIES, skews, strict=True)}
        self.orphans: list[Action] = []
        self.late: list[str] = []
        self.broken: set[str] = set()
        """Lock ids that an administrator or another program took off the file."""
        self.landed = -1
        self.foreign = self.lives = 0

    def now(self, peer: Peer) -> float:
        return self.at - START

    def wall(self, peer: Peer) -> float:
        return self.at + peer.skew

    def settle(self, peer: Peer, event: Event) -> None:
        peer.claim, action = step(peer.claim, event)
        peer.asked = action

    @rule(seconds=st.sampled_from([0.1, 1.0, 7.0, 13.0, 21.0, 49.0, 61.0, 125.0]))
    def time_passes(self, seconds: float) -> None:
        self.at += seconds

    @rule(name=PEERS)
    def one_wants_to_write(self, name: str) -> None:
        peer = self.peers[name]
        if peer.thawed and not peer.busy:
            self.settle(peer, Want(self.now(peer), self.wall(peer)))

    @rule(name=PEERS)
    def a_request_arrives(self, name: str) -> None:
        peer = self.peers[name]
        if peer.asked is not None:
            peer.answered, peer.asked = self.file.answer(peer.asked, self.at), None

    @rule(name=PEERS)
    def an_answer_arrives(self, name: str) -> None:
        peer = self.peers[name]
        if not peer.thawed or peer.answered is None:
            return
        (kind, lock), peer.answered = peer.answered, None
        now, wall = self.now(peer), self.wall(peer)
        events: dict[type[Event], Event] = {
            Granted: Granted(),
            Refused: Refused(),
            Gone: Gone(now, wall),
            Found: Found(lock, now, wall),
        }
        self.settle(peer, events[kind])

    @rule(name=PEERS, later_s=st.sampled_from([0.0, 25.0, 49.0, 61.0, 85.0]))
    def someone_takes_the_lease_at_once(self, name: str, later_s: float) -> None:
        """The usual course, so that the rest has something to spoil."""
        self.at += later_s
        self.one_wants_to_write(name)
        for _ in range(8):
            self.a_request_arrives(name)
            self.an_answer_arrives(name)

    @rule(name=PEERS, arrives_later=st.booleans())
    def no_answer_comes_in_time(self, name: str, arrives_later: bool) -> None:
        peer = self.peers[name]
        if not peer.thawed or not peer.busy:
            return
        if peer.asked is not None and arrives_later:
            self.orphans.append(peer.asked)
        peer.answered = None
        self.settle(peer, Unanswered(self.now(peer)))

    @precondition(lambda self: self.orphans)
    @rule(data=st.data())
    def a_request_nobody_waits_for_arrives(self, data: st.DataObject) -> None:
        self.file.answer(self.orphans.pop(data.draw(st.integers(0, len(self.orphans) - 1))), self.at)

    @rule(name=PEERS)
    def a_write_begins(self, name: str) -> None:
        peer = self.peers[name]
        if peer.thawed and not peer.busy and not peer.writing and may_write(peer.claim, self.now(peer)):
            peer.writing = peer.claim.lock_id

    @rule(name=PEERS)
    def a_write_lands(self, name: str) -> None:
        peer = self.peers[name]
        if peer.writing:
            if not self.lands(peer.writing) and peer.thawed:
                peer.claim, _ = step(peer.claim, Doubt())
            peer.writing = ""

    @precondition(lambda self: self.late)
    @rule()
    def a_write_of_a_dead_process_lands(self) -> None:
        self.lands(self.late.pop())

    def lands(self, lock_id: str) -> bool:
        lock = self.file.live(self.at)
        if lock is None or lock.lock_id != lock_id:
            return False
        order = self.file.order[lock_id]
        assert order >= self.landed, "a write of an old epoch was accepted"
        self.landed = order
        return True

    @rule(name=PEERS)
    def one_freezes_or_thaws(self, name: str) -> None:
        self.peers[name].thawed = not self.peers[name].thawed

    @rule(name=PEERS, skew=st.floats(-SKEW_S, SKEW_S))
    def one_dies_and_is_started_again(self, name: str, skew: float) -> None:
        """Its clock may have been set; what it sent may still arrive."""
        peer = self.peers[name]
        self.orphans += [peer.asked] if peer.asked is not None else []
        self.late += [peer.writing] if peer.writing else []
        self.lives += 1
        self.peers[name] = Peer(Claim(name, LIFETIME, salt=self.lives), skew)

    @rule(name=PEERS)
    def one_looks_at_the_file(self, name: str) -> None:
        peer = self.peers[name]
        if peer.thawed:
            peer.claim, _ = step(peer.claim, Seen(self.file.live(self.at), self.wall(peer)))

    @rule(name=PEERS)
    def one_releases(self, name: str) -> None:
        peer = self.peers[name]
        if not peer.thawed or peer.busy:
            return
        peer.claim, action = step(peer.claim, Release(self.wall(peer)))
        if action is not None:
            self.file.answer(action, self.at)

    @rule(life_s=st.sampled_from([None, 5.0, 500.0]))
    def another_program_locks(self, life_s: float | None) -> None:
        if self.file.live(self.at) is None:
            self.foreign += 1
            self.file.put(Lock(f"foreign-{self.foreign}", "wopi", None, None if life_s is None else self.at + life_s))

    @precondition(lambda self: self.file.lock is not None and self.file.lock.app_name == "wopi")
    @rule()
    def another_program_unlocks(self) -> None:
        self.file.lock = None

    @precondition(lambda self: self.file.lock is not None)
    @rule(steals=st.booleans())
    def an_administrator_breaks_the_lock(self, steals: bool) -> None:
        assert self.file.lock is not None
        self.broken.add(self.file.lock.lock_id)
        self.file.lock = None
        if steals:
            self.another_program_locks(50.0)

    @invariant()
    def one_at_most_holds_the_lease(self) -> None:
        holders = [name for name, peer in self.peers.items() if may_write(peer.claim, self.now(peer))]
        unbroken = [name for name in holders if self.peers[name].claim.lock_id not in self.broken]
        assert len(unbroken) <= 1, "two hold the lease by their own clocks, and nobody broke a lock"
        live = self.file.lock.lock_id if self.file.lock else ""
        assert sum(self.peers[name].claim.lock_id == live for name in holders) <= 1

    @invariant()
    def what_is_in_the_way_is_not_ours(self) -> None:
        for peer in self.peers.values():
            if peer.claim.phase is arbiter.Phase.BLOCKED and peer.claim.blocker is not None:
                owner = arbiter.parse_lock_id(peer.claim.blocker.lock_id)
                assert owner is None or owner[0] != peer.claim.authority_id


TestArbitration = Arbitration.TestCase
TestArbitration.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
