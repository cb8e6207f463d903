"""Every number that bounds something, with its unit and its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Overflow of any of these is an error or a resync, never silence."""

    document_bytes: int = 256 * 2**20
    """Largest notebook opened, and so the largest snapshot; beyond it nobody can work with it in a browser either."""
    update_bytes: int = 64 * 2**20
    """Largest single Y update: one cell output of 50 MB must pass."""
    awareness_bytes: int = 16 * 1024
    """One awareness message: a cursor and a name take about 500 bytes."""
    awareness_clients_per_seat: int = 16
    """Client ids one seat may own: a browser takes one per reload until it leaves."""
    outlet_bytes: int = 32 * 2**20
    """Queued for one slow reader beyond the snapshot; past it the reader is cut and resyncs."""
    outbox_bytes: int = 64 * 2**20
    """Unacknowledged edits a replica holds while its authority is away; past it new edits are refused."""
    seats_per_room: int = 1000
    channels_per_link: int = 4096
    rooms: int = 10_000
    attach_timeout_s: float = 20.0
    request_timeout_s: float = 30.0
    storage_timeout_s: float = 20.0
    worker_timeout_s: float = 60.0
    recheck_s: float = 5.0
    """How often the authority asks storage again what an editor may do; a revoked right ends within twice this.

    Readers are asked for every sixth time.
    """
    idle_save_s: float = 2.0
    busy_save_s: float = 10.0
    versioned_save_s: float = 60.0
    """Between two saves that nobody asked for, where each leaves a version on storage."""
    look_s: float = 5.0
    """Between two looks at a file that people are editing, whether others changed it; each is one Stat."""
    idle_look_s: float = 60.0
    """The same while nobody edits: the time between two looks grows to this."""
    lease_s: float = 60.0
    lease_grace_s: float = 30.0
    room_linger_s: float = 60.0
    anti_entropy_s: float = 30.0
    history_s: float = 30 * 86400.0
    """How old a document's history may become; named versions and the last saved state stay (`ystore.Retention`)."""
    history_bytes: int = 8 * 2**20
    """How large, compressed; past either the oldest goes when the store is compacted."""


DEFAULT = Limits()
