"""Who is there: users and groups of the site."""

from __future__ import annotations

from typing import Any, Final

from conformance.cs3.cases import Area
from conformance.cs3.wire import code
from conformance.cs3.world import World
from cs3.identity.group.v1beta1 import group_api_pb2 as groups
from cs3.identity.user.v1beta1 import resources_pb2 as identity
from cs3.identity.user.v1beta1 import user_api_pb2 as users

case = Area("users")

OLD_FILTER: Final = "the older line speaks a CS3 in which the filter was a string, and finds nobody"


async def _found(w: World, query: str) -> list[str]:
    wish = users.Filter(type=users.Filter.TYPE_QUERY, query=query)
    answer = await w.owner.call("FindUsers", users.FindUsersRequest(filters=[wish], skip_fetching_user_groups=True))
    return [code(answer), *sorted(user.username for user in answer.users if user.id.type != identity.USER_TYPE_FEDERATED)]


@case("a user by id", ["OK", "marie", "Marie Curie", "marie@example.org"])
async def _(w: World) -> list[str]:
    answer = await w.owner.call("GetUser", users.GetUserRequest(user_id=w.marie.user.id, skip_fetching_user_groups=True))
    return [code(answer), answer.user.username, answer.user.display_name, answer.user.mail]


@case("an unknown user by id", "NOT_FOUND")
async def _(w: World) -> str:
    unknown = identity.UserId(opaque_id="nobody", idp=w.marie.user.id.idp, type=1)
    return await w.owner.ask("GetUser", users.GetUserRequest(user_id=unknown))


@case("a user by name, by mail, by an unknown claim, and nobody", ["OK", "OK", "NOT_FOUND", "NOT_FOUND"])
async def _(w: World) -> list[str]:
    claims = (("username", "marie"), ("mail", "marie@example.org"), ("shoe_size", "38"), ("username", "nobody"))
    asked = [users.GetUserByClaimRequest(claim=claim, value=value) for claim, value in claims]
    return [await w.owner.ask("GetUserByClaim", request) for request in asked]


@case("users by a part of the display name, in any case", ["OK", "marie"], older=["OK"], why=OLD_FILTER)
async def _(w: World) -> list[str]:
    return await _found(w, "curie")


@case("users by a part of the user name", ["OK", "richard"], older=["OK"], why=OLD_FILTER)
async def _(w: World) -> list[str]:
    return await _found(w, "richa")


@case("users by mail", ["OK", "einstein"], older=["OK"], why=OLD_FILTER)
async def _(w: World) -> list[str]:
    return await _found(w, "einstein@example.org")


@case("users by what many have", ["OK", "einstein", "marie", "richard"], older=["OK"], why=OLD_FILTER)
async def _(w: World) -> list[str]:
    return await _found(w, "example.org")


@case("users by what nobody has", ["OK"])
async def _(w: World) -> list[str]:
    return await _found(w, "zzzzzz")


@case("users by two letters", ["OK", "marie", "richard"], older=["OK"], why=OLD_FILTER)
async def _(w: World) -> list[str]:
    return await _found(w, "ma")


@case("groups by a part of the name", ["OK", "physics"], older=["OK"], why=OLD_FILTER)
async def _(w: World) -> list[str]:
    wish = groups.Filter(type=groups.Filter.TYPE_QUERY, query="phys")
    answer: Any = await w.owner.call("FindGroups", groups.FindGroupsRequest(filters=[wish]))
    return [code(answer), *sorted(group.group_name for group in answer.groups)]
