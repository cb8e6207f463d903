"""Whom one can share with, and what people are called: the site's users and groups, and known people of other sites."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

from cs3collab.cs3 import shares, sharing, users
from cs3collab.cs3.session import Session
from cs3collab.cs3.sharing import Group
from cs3collab.errors import CollabError, InvalidInput, NotAuthenticated, NotFound, Unsupported
from cs3collab.jupyter.shares_json import Kind, Missing, People, Person
from cs3collab.jupyter.shares_model import FOUND, SHORT_QUERY, group_person, matching, person, same_user
from cs3collab.types import User

AT_ONCE = 16
"""Questions to the gateway under way at the same time for one list."""
NAMES_S = 600.0
"""How long a name is believed, seconds."""
NAMES_KEPT = 2000

Lookup = Callable[[User | Group], Person]


class Directory:
    """`open_session` gives the session of this server's user."""

    def __init__(self, open_session: Callable[[], Awaitable[Session]]) -> None:
        self._open_session = open_session
        self._names: OrderedDict[tuple[str, str], tuple[float, Person]] = OrderedDict()

    async def search(self, query: str, limit: int = FOUND) -> People:
        """People and groups in whose names or addresses all words of `query` are found; never this user.

        Without words, or with too short ones, known people of other sites alone: their list is the user's own.
        """
        session = await self._open_session()
        longest = max(query.split(), key=len, default="")
        sources: dict[Kind, Awaitable[list[Any]]] = {"federated": shares.accepted_users(session)}
        if len(longest) >= SHORT_QUERY:
            sources |= {"user": users.find_users(session, longest), "group": users.find_groups(session, longest)}
        found, missing = await collected(sources)
        me = session.user
        known = [replace(user, federated=True) for user in found.get("federated", [])]
        here = [user for user in found.get("user", []) if not user.federated and not same_user(user, me)]
        everybody = [*map(person, [*here, *known]), *map(group_person, found.get("group", []))]
        best = matching(everybody, query)
        return People(best[:limit], truncated=len(best) > limit, missing=missing)

    async def user(self, opaque_id: str, idp: str) -> User:
        """A user of this site to share with. Raises `NotFound`, and `InvalidInput` for this user or one of another site."""
        session = await self._open_session()
        me = session.user
        try:
            found = await users.get_user(session, User(opaque_id, idp or me.idp))
        except NotFound as error:
            raise NotFound(f"no such user: {opaque_id[:80]}", hint="search for the person again") from error
        if found.federated:
            raise InvalidInput(f"{found.label} belongs to another site", hint="share with them as kind federated")
        if same_user(found, me):
            raise InvalidInput("this is yourself", hint="choose somebody else")
        return found

    async def group(self, opaque_id: str, idp: str) -> Group:
        """A group to share with; believed where the site has no list of groups. Raises `NotFound`."""
        session = await self._open_session()
        try:
            return await users.get_group(session, opaque_id, idp)
        except Unsupported:
            return Group(opaque_id, idp)
        except NotFound as error:
            raise NotFound(f"no such group: {opaque_id[:80]}", hint="search for the group again") from error

    async def contact(self, opaque_id: str, idp: str) -> User:
        """A known user of another site. Raises `NotFound`."""
        wanted = sharing.mesh_key(User(opaque_id, idp, federated=True))
        for user in await shares.accepted_users(await self._open_session()):
            if sharing.mesh_key(user) == wanted:
                return replace(user, federated=True)
        raise NotFound(f"{wanted[:80]} is not known here", hint="exchange an invitation first, then search for them again")

    async def lookup(self, wanted: Iterable[User | Group]) -> Lookup:
        """What these are called. A name that nobody tells is the id: a list is never without its entries for that."""
        session = await self._open_session()
        now = time.monotonic()
        todo = {_key(one): one for one in wanted}
        names = {key: self._names[key][1] for key in todo if key in self._names and self._names[key][0] > now - NAMES_S}
        unknown = {key: one for key, one in todo.items() if key not in names}
        federated = {key for key, one in unknown.items() if isinstance(one, User) and one.federated}
        contacts = await self._contacts(session) if federated else {}
        gate = asyncio.Semaphore(AT_ONCE)

        async def ask(key: tuple[str, str], one: User | Group) -> None:
            async with gate:
                found = contacts.get(key) if key in federated else await _asked(session, one)
            if found is not None:
                names[key] = found
                self._remember(key, found)

        await asyncio.gather(*(ask(key, one) for key, one in unknown.items()))

        def named(one: User | Group) -> Person:
            return names.get(_key(one)) or (group_person(one) if isinstance(one, Group) else person(one))

        return named

    async def _contacts(self, session: Session) -> dict[tuple[str, str], Person]:
        try:
            known = await shares.accepted_users(session)
        except NotAuthenticated:
            raise
        except CollabError:
            return {}
        found = [replace(user, federated=True) for user in known]
        return {_key(user): person(user) for user in found}

    def _remember(self, key: tuple[str, str], found: Person) -> None:
        self._names[key] = (time.monotonic(), found)
        self._names.move_to_end(key)
        while len(self._names) > NAMES_KEPT:
            self._names.popitem(last=False)


async def collected(sources: dict[Kind, Awaitable[list[Any]]]) -> tuple[dict[str, list[Any]], list[Missing]]:
    """What each source gave, and those that gave nothing: one that is out of order does not hide the others.

    Raises `NotAuthenticated`, and the first error that is no `Unsupported` when there is nothing else to say.
    """
    answers = await asyncio.gather(*sources.values(), return_exceptions=True)
    found: dict[str, list[Any]] = {}
    missing, errors = [], []
    for kind, answer in zip(sources, answers, strict=True):
        if isinstance(answer, NotAuthenticated) or not isinstance(answer, CollabError | list):
            raise answer
        if isinstance(answer, list):
            found[kind] = answer
            continue
        if isinstance(answer, Unsupported):
            missing.append(Missing(kind, answer.kind, f"this site has none of kind {kind}"))
        else:
            missing.append(Missing(kind, answer.kind, answer.message))
            errors.append(answer)
    if errors and not found:
        raise errors[0]
    return found, missing


def _key(one: User | Group) -> tuple[str, str]:
    if isinstance(one, Group):
        return "group", f"{one.opaque_id}@{one.idp}"
    return ("federated", sharing.mesh_key(one)) if one.federated else ("user", one.key)


async def _asked(session: Session, one: User | Group) -> Person | None:
    try:
        if isinstance(one, Group):
            return group_person(await users.get_group(session, one.opaque_id, one.idp))
        # v3 leaves the idp of creators and grantees out, but wants it here
        known = replace(one, idp=one.idp or session.user.idp)
        return person(await users.get_user(session, known)) if one.opaque_id else None
    except NotAuthenticated:
        raise
    except CollabError:
        return None  # the person may be gone; their share is still there
