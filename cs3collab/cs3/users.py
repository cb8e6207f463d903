"""The people and groups of a site, as its gateway lists them."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from cs3.identity.group.v1beta1 import group_api_pb2 as group_api
from cs3.identity.group.v1beta1 import resources_pb2 as group_types
from cs3.identity.user.v1beta1 import user_api_pb2 as api

from cs3collab.cs3 import convert
from cs3collab.cs3.gateway import Gateway
from cs3collab.cs3.session import Session
from cs3collab.cs3.sharing import Group
from cs3collab.errors import StorageUnavailable
from cs3collab.types import User

_old_filters: WeakSet[Gateway] = WeakSet()
"""Gateways that were seen to want the older filter."""


async def find_users(session: Session, query: str) -> list[User]:
    """Users whose name, display name or mail contains `query`; gateways want three characters or more."""
    request = api.FindUsersRequest(skip_fetching_user_groups=True)
    request.filters.add(type=api.Filter.TYPE_QUERY, query=query)
    old = session.gateway in _old_filters
    if not old:
        users = (await session.call("FindUsers", request)).users
        if users:
            return [convert.from_user(user) for user in users]
    # Until September 2025 the filter was a string, which Reva v2.27 still wants and a newer gateway may refuse: this message
    # has a string in the same place, and it is what gRPC sends
    try:
        users = (await session.call("FindUsers", api.GetUserByClaimRequest(claim=query))).users
    except StorageUnavailable:
        if old:
            raise
        return []
    wanted = query.casefold()
    found = [u for u in users if any(wanted in text.casefold() for text in (u.username, u.display_name, u.mail))]
    if found:
        _old_filters.add(session.gateway)
    return [convert.from_user(user) for user in found]


async def get_user(session: Session, user: User) -> User:
    """The full entry of a user known by id and idp. Raises `NotFound`."""
    request = api.GetUserRequest(user_id=convert.to_user_id(user), skip_fetching_user_groups=True)
    return convert.from_user((await session.call("GetUser", request)).user)


async def get_user_by_claim(session: Session, claim: str, value: str) -> User:
    """By ``username``, ``mail`` or another claim the site knows. Raises `NotFound`."""
    request = api.GetUserByClaimRequest(claim=claim, value=value, skip_fetching_user_groups=True)
    return convert.from_user((await session.call("GetUserByClaim", request)).user)


async def find_groups(session: Session, query: str) -> list[Group]:
    """Groups whose name contains `query`. Raises `Unsupported` where the site lists none."""
    request = group_api.FindGroupsRequest(skip_fetching_members=True)
    request.filters.add(type=group_api.Filter.TYPE_QUERY, query=query)
    return [_group(group) for group in (await session.call("FindGroups", request)).groups]


async def get_group(session: Session, opaque_id: str, idp: str = "") -> Group:
    """Raises `NotFound`, and `Unsupported` where the site lists none."""
    group_id = group_types.GroupId(opaque_id=opaque_id, idp=idp)
    request = group_api.GetGroupRequest(group_id=group_id, skip_fetching_members=True)
    return _group((await session.call("GetGroup", request)).group)


def _group(group: Any) -> Group:
    return Group(group.id.opaque_id, group.id.idp, group.group_name, group.display_name, group.mail)
