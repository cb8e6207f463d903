"""The people of a site, as its gateway lists them."""

from __future__ import annotations

from cs3.identity.user.v1beta1 import user_api_pb2 as api

from cs3collab.cs3 import convert
from cs3collab.cs3.session import Session
from cs3collab.types import User


async def find_users(session: Session, query: str) -> list[User]:
    """Users whose name, display name or mail contains `query`; gateways want three characters or more.

    A gateway older than cs3apis of September 2025 finds nobody: the filter's field has another type there.
    """
    request = api.FindUsersRequest(skip_fetching_user_groups=True)
    request.filters.add(type=api.Filter.TYPE_QUERY, query=query)
    return [convert.from_user(user) for user in (await session.call("FindUsers", request)).users]


async def get_user(session: Session, user: User) -> User:
    """The full entry of a user known by id and idp. Raises `NotFound`."""
    request = api.GetUserRequest(user_id=convert.to_user_id(user), skip_fetching_user_groups=True)
    return convert.from_user((await session.call("GetUser", request)).user)


async def get_user_by_claim(session: Session, claim: str, value: str) -> User:
    """By ``username``, ``mail`` or another claim the site knows. Raises `NotFound`."""
    request = api.GetUserByClaimRequest(claim=claim, value=value, skip_fetching_user_groups=True)
    return convert.from_user((await session.call("GetUserByClaim", request)).user)
