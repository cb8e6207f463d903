"""The people and groups of a site, as its gateway lists them."""

from __future__ import annotations

import enum
from typing import Any
from weakref import WeakKeyDictionary

from cs3.identity.group.v1beta1 import group_api_pb2 as group_api
from cs3.identity.group.v1beta1 import resources_pb2 as group_types
from cs3.identity.user.v1beta1 import user_api_pb2 as api

from cs3collab.cs3 import convert
from cs3collab.cs3.gateway import Gateway
from cs3collab.cs3.session import Session
from cs3collab.cs3.sharing import Group
from cs3collab.types import User


class Filter(enum.Enum):
    """What ``FindUsers`` takes: a list of filters, or a string, as until September 2025 and still on Reva v2.27."""

    NEW = "new"
    OLD = "old"


_filters: WeakKeyDictionary[Gateway, Filter] = WeakKeyDictionary()
"""What is known of a gateway."""


async def find_users(session: Session, query: str) -> list[User]:
    """Users whose name, display name or mail contains `query`; gateways want three characters or more."""
    if _filters.get(session.gateway) is not Filter.OLD:
        if found := await _find(session, query):
            _filters[session.gateway] = Filter.NEW
            return found
        if await _takes_new_filters(session):
            return []
    # a message that has a string where the older request has its filter: on the wire the two are the same
    response = await session.call("FindUsers", api.GetUserByClaimRequest(claim=query))
    return [convert.from_user(user) for user in response.users]


async def _find(session: Session, query: str) -> list[User]:
    request = api.FindUsersRequest(skip_fetching_user_groups=True)
    request.filters.add(type=api.Filter.TYPE_QUERY, query=query)
    return [convert.from_user(user) for user in (await session.call("FindUsers", request)).users]


async def _takes_new_filters(session: Session) -> bool:
    """Asked once of a gateway that found nobody: does it find this user? One that reads the older request never does."""
    if session.gateway not in _filters:
        me = await session.whoami()
        old = bool(me.username) and not me.federated and not await _find(session, me.username)
        _filters[session.gateway] = Filter.OLD if old else Filter.NEW
    return _filters[session.gateway] is Filter.NEW


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
    if _filters.get(session.gateway) is not Filter.OLD:
        request = group_api.FindGroupsRequest(skip_fetching_members=True)
        request.filters.add(type=group_api.Filter.TYPE_QUERY, query=query)
        found = [_group(group) for group in (await session.call("FindGroups", request)).groups]
        if found or await _takes_new_filters(session):
            return found
    response = await session.call("FindGroups", group_api.GetGroupByClaimRequest(claim=query))  # as for users
    return [_group(group) for group in response.groups]


async def get_group(session: Session, opaque_id: str, idp: str = "") -> Group:
    """Raises `NotFound`, and `Unsupported` where the site lists none."""
    group_id = group_types.GroupId(opaque_id=opaque_id, idp=idp)
    request = group_api.GetGroupRequest(group_id=group_id, skip_fetching_members=True)
    return _group((await session.call("GetGroup", request)).group)


def _group(group: Any) -> Group:
    return Group(group.id.opaque_id, group.id.idp, group.group_name, group.display_name, group.mail)
