"""The Jupyter servers that this user runs on this machine, with their tokens, for commands in a terminal."""

from __future__ import annotations

from dataclasses import dataclass, field

from jupyter_server.serverapp import list_running_servers


@dataclass(frozen=True, slots=True)
class Running:
    """``url`` ends with a slash; ``token`` is empty where a server has none, or a hub lets people in."""

    url: str
    token: str = field(repr=False)


def running() -> list[Running]:
    """Reads Jupyter's runtime folder, and drops what is left there of servers that ended."""
    return [Running(str(info["url"]), str(info.get("token", ""))) for info in list_running_servers(log=None)]
