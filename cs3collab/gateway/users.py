"""The accounts of a users file, as CS3 users. Pure."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Any, Final

from cs3.identity.user.v1beta1 import resources_pb2 as identity

from cs3collab.gateway.config import UserRecord

_CLAIMS: Final = {"username": "username", "userid": "opaque_id", "mail": "mail"}


class Users:
    """Looks accounts up. ``site`` is the idp of those without one."""

    def __init__(self, records: Iterable[UserRecord], site: str) -> None:
        self._site = site
        self._records = {record.opaque_id: record for record in records}

    def message(self, record: UserRecord) -> Any:
        """As ``cs3.identity.user.v1beta1.User``."""
        return identity.User(
            id=identity.UserId(idp=record.idp or self._site, opaque_id=record.opaque_id, type=record.type),
            username=record.username,
            mail=record.mail,
            mail_verified=bool(record.mail),
            display_name=record.display_name or record.username,
            groups=list(record.groups),
        )

    def get(self, opaque_id: str, idp: str = "") -> Any | None:
        """By id; an empty `idp` means any."""
        record = self._records.get(opaque_id)
        if record is None or idp not in ("", record.idp or self._site):
            return None
        return self.message(record)

    def by_claim(self, claim: str, value: str) -> Any | None:
        """By ``username``, ``userid`` or ``mail``; None for an unknown claim too."""
        attribute = _CLAIMS.get(claim)
        if attribute is None or not value:
            return None
        return next((self.message(r) for r in self._records.values() if getattr(r, attribute) == value), None)

    def find(self, query: str) -> list[Any]:
        """Accounts with `query` in name, username or mail address, whatever its case."""
        wanted = query.casefold()
        return [
            self.message(r)
            for r in self._records.values()
            if any(wanted in text.casefold() for text in (r.username, r.display_name, r.mail))
        ]

    def login(self, username: str, secret: str) -> Any | None:
        """The user of this name and password. An account without a password cannot log in."""
        record = next((r for r in self._records.values() if r.username == username), None)
        if record is None or not record.secret or not same(record.secret, secret):
            return None
        return self.message(record)


def same(secret: str, given: str) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(secret.encode(), given.encode())
