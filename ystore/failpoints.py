"""Named places where a test may kill the process or make the disk fail; costs one comparison when unused.

``CS3COLLAB_FAILPOINT=name[:action[:nth]]``, action ``kill`` (default, SIGKILL) or ``error`` (raises EIO), at the nth passage
(default 1).
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable

ENV = "CS3COLLAB_FAILPOINT"

NAMES = (
    "journal.create.before",
    "journal.create.after",
    "journal.write.before",
    "journal.write.torn",
    "journal.sync.before",
    "journal.sync.after",
    "atomic.write.before",
    "atomic.sync.before",
    "atomic.rename.before",
    "atomic.rename.after",
    "seal.before",
    "seal.unlink.before",
    "seal.after",
    "reset.before",
    "reset.manifest.after",
    "reset.after",
    "compact.pin.after",
    "compact.horizon.after",
    "compact.snapshot.after",
    "compact.drop.before",
    "compact.drop.after",
    "ship.put.before",
    "ship.put.after",
)


def from_env(text: str) -> Callable[[str], None] | None:
    """The hook that a value of the environment variable asks for; raises ValueError for an unknown name."""
    if not text:
        return None
    name, action, nth, *_ = [*text.split(":"), "", ""]
    if name.split(".")[0] not in {known.split(".")[0] for known in NAMES}:
        return None  # a failpoint of another package
    if name not in NAMES:
        raise ValueError(f"unknown failpoint {name!r}")
    left = int(nth or 1)

    def passed(place: str) -> None:
        nonlocal left
        if place != name:
            return
        left -= 1
        if left == 0:
            fail(action or "kill")

    return passed


def fail(action: str) -> None:
    if action == "error":
        raise OSError(errno.EIO, "failpoint")
    os.kill(os.getpid(), signal.SIGKILL)


hook: Callable[[str], None] | None = from_env(os.environ.get(ENV, ""))


def hit(name: str) -> None:
    if hook is not None:
        hook(name)
