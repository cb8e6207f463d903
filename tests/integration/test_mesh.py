"""One notebook, two sites of a mesh, an editor and a viewer at the other one: on the embedded gateway and on real Reva."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from cs3.sharing.ocm.v1beta1 import ocm_api_pb2 as ocm
from cs3.sharing.ocm.v1beta1 import resources_pb2 as types
from support.notebooks import notebook, source_of
from support.relays import FAST, relay_of
from support.reva import REVADS, mesh_on
from support.sites import JupyterServer, SiteBase, jupyter_server, share_ocm
from support.typist import Typist, all_once

from cs3collab import client
from cs3collab.cs3 import shares, sharing
from cs3collab.errors import CollabError, DeadlineExceeded
from cs3collab.types import Role

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
KINDS = (
    pytest.param("embedded", marks=pytest.mark.slow),
    *(pytest.param(name, marks=pytest.mark.reva) for name, revad in REVADS.items() if not revad.bare),
)
EFFECT_S = 60.0
"""Within which a right that was taken back must end."""


@dataclass
class World:
    a: SiteBase
    b: SiteBase
    owner: JupyterServer
    editor: JupyterServer
    viewer: JupyterServer

    async def given(self, username: str) -> str:
        """The id at home of the share that a user of the other site received."""
        (received,) = await shares.list_received_ocm_shares(await self.b.session(username))
        return received.remote_share_id


@pytest.fixture(params=KINDS)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        a, b = await enter(mesh_on(request.param, tmp_path))
        await a.put("einstein", "n.ipynb", notebook("x = 1", "y = 2"))
        for username, role in (("marie", Role.EDITOR), ("richard", Role.VIEWER)):
            await share_ocm(a, b, "einstein", username, "n.ipynb", role)
        relay_a = await enter(relay_of(a, tmp_path / "relay-a", limits=FAST))
        relay_b = await enter(relay_of(b, tmp_path / "relay-b", relays={a.name: relay_a.url}, limits=FAST))
        people = (("einstein", a, relay_a), ("marie", b, relay_b), ("richard", b, relay_b))
        servers = [await enter(jupyter_server(at, who, relay=relay.url, app="jupyter_server")) for who, at, relay in people]
        yield World(a, b, *servers)


async def test_all_three_edit_or_watch_it_is_saved_at_home_and_rights_that_end_end_soon(world: World) -> None:
    async with (
        client.open(world.owner.url, "n.ipynb", token=world.owner.token, timeout_s=120) as here,
        until_ended(world.editor) as there,
        until_ended(world.viewer) as watching,
    ):
        typists = [Typist(here, "a"), Typist(there, "b")]
        for typist in typists:
            await typist.has_typed(20)
        words = [word for typist in typists for word in await typist.stop()]
        text = await all_once([here, there], words)
        await watching.until(lambda nb: source_of(nb, 0) == text)
        assert [d.status["role"] for d in (here, there, watching)] == ["editor", "editor", "viewer"]
        saved = nbformat.reads((await world.a.read("einstein", "n.ipynb")).decode(), as_version=4)
        nbformat.validate(saved)
        assert saved.cells[0].source == text

        await downgraded(world, "marie")
        async with asyncio.timeout(EFFECT_S):
            await there.until_status(lambda status: status["role"] == "viewer")
        source = here.shared.ycells[0]["source"]
        source += " # after"
        await there.until(lambda nb: source_of(nb, 0).endswith(" # after"))

        for username, document in (("marie", there), ("richard", watching)):
            await shares.remove_ocm_share(await world.a.session("einstein"), await world.given(username))
            async with asyncio.timeout(EFFECT_S):
                await ended(document)
        await here.durable()
    for server in (world.editor, world.viewer):
        with pytest.raises(CollabError):
            async with client.open(server.url, "Shares/n.ipynb", token=server.token, timeout_s=20):
                pass


@contextlib.asynccontextmanager
async def until_ended(server: JupyterServer) -> AsyncIterator[client.LiveDocument]:
    """A document whose end is no error when it is left."""
    leaving = False
    try:
        async with client.open(server.url, "Shares/n.ipynb", token=server.token, timeout_s=120) as document:
            yield document
            leaving = True
    except CollabError:
        if not leaving:
            raise


async def downgraded(world: World, username: str) -> None:
    """As a web page of the storage does it: the same share with fewer rights. Reva v2.48 leaves the grant as it was."""
    share_id = types.ShareId(opaque_id=await world.given(username))
    request = ocm.UpdateOCMShareRequest(ref=types.ShareReference(id=share_id))
    request.field.add(access_methods=sharing.access(Role.VIEWER, is_dir=False))
    await (await world.a.session("einstein")).call("UpdateOCMShare", request)


async def ended(document: client.LiveDocument) -> None:
    try:
        await document.until_status(lambda status: False)
    except DeadlineExceeded:
        raise
    except CollabError:
        return
