"""What a case finds: two sites of a mesh, people who are logged in, and an empty folder of its own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from conformance.cs3.cases import System
from conformance.cs3.wire import Client, Connections, Endpoint, by_id, by_path, code, expired, forged, role
from cs3.sharing.collaboration.v1beta1 import collaboration_api_pb2 as local
from cs3.sharing.collaboration.v1beta1 import resources_pb2 as local_types
from cs3.storage.provider.v1beta1 import provider_api_pb2 as api
from cs3.storage.provider.v1beta1 import resources_pb2 as storage

RACERS = 12
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Target:
    """What the suite runs against: two sites that know each other, and whose answers are expected of them."""

    system: System
    home: Endpoint
    away: Endpoint


class Site:
    """One site, with everybody logged in once."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.connections = Connections(endpoint)
        self.nobody = self.connections.open()
        self._people: dict[str, Client] = {}
        self._homes: dict[str, str] = {}

    async def person(self, name: str) -> Client:
        if name not in self._people:
            self._people[name] = await self.nobody.login("basic", name, self.endpoint.users[name])
        return self._people[name]

    async def home(self, name: str) -> str:
        """The path of somebody's home, made if it is not there."""
        if name not in self._homes:
            client = await self.person(name)
            await client.ask("CreateHome", api.CreateHomeRequest())
            answer = await client.ok("GetHome", api.GetHomeRequest())
            self._homes[name] = answer.path
        return self._homes[name]

    async def close(self) -> None:
        await self.connections.close()


class World:
    """Made anew for each case. ``owner`` is einstein at the first site, whose ``folder`` is empty."""

    _numbers = itertools.count()

    def __init__(self, here: Site, away: Site, people: dict[str, Client], folder: str) -> None:
        self.here = here
        self.away = away
        self.owner = people["einstein"]
        self.marie = people["marie"]
        self.richard = people["richard"]
        self.folder = by_path(folder)

    @classmethod
    async def open(cls, here: Site, away: Site) -> World:
        people = {name: await here.person(name) for name in ("einstein", "marie", "richard")}
        folder = f"{await here.home('einstein')}/case-{next(cls._numbers)}"
        assert await people["einstein"].mkdir(by_path(folder)) == "OK"
        return cls(here, away, people, folder)

    def at(self, name: str) -> Any:
        """A place in the folder, by path."""
        return by_path(f"{self.folder.path}/{name}")

    async def file(self, content: bytes = b"first", name: str = "file.ipynb") -> Any:
        """A new file of the owner; the reference by its id."""
        return by_id((await self.owner.write(self.at(name), content)).id)

    async def dir(self, name: str = "dir") -> Any:
        """A new folder in the folder; the reference by its id."""
        assert await self.owner.mkdir(self.at(name)) == "OK"
        return by_id((await self.owner.stat(self.at(name))).id)

    async def racers(self, number: int = RACERS) -> list[Client]:
        """The owner many times over, each on a channel of its own and connected."""
        clients = [self.here.connections.open().with_token(self.owner.token) for _ in range(number)]
        await asyncio.gather(*(client.seen(self.folder) for client in clients))
        return clients

    async def race(self, attempt: Callable[[Client, int], Awaitable[Any]], number: int = RACERS) -> list[Any]:
        """What each of many got who tried at the same moment."""
        clients = await self.racers(number)
        return await asyncio.gather(*(attempt(client, n) for n, client in enumerate(clients)))

    def expired(self) -> Client:
        """The owner, too late."""
        return self.owner.with_token(expired(self.owner.token, self.here.endpoint.jwt_secret))

    def forged(self) -> Client:
        """The owner, with a signature of somebody else."""
        return self.owner.with_token(forged(self.owner.token))

    async def share(self, ref: Any, taker: Client, *, editor: bool) -> Any:
        """The ``Share`` of what is shared within the site."""
        response = await self.owner.call("CreateShare", await self.share_request(ref, taker, editor=editor))
        assert code(response) == "OK", response.status
        return response.share

    async def share_request(self, ref: Any, taker: Client, *, editor: bool) -> Any:
        info = await self.owner.stat(ref)
        held = role(editor=editor, folder=info.type == storage.RESOURCE_TYPE_CONTAINER)
        grantee = storage.Grantee(type=storage.GRANTEE_TYPE_USER, user_id=taker.user.id)
        grant = local_types.ShareGrant(grantee=grantee, permissions=local_types.SharePermissions(permissions=held))
        return local.CreateShareRequest(resource_info=info, grant=grant)
