"""A viewer who leaves out their Jupyter server, and then their relay too: both relays must refuse their edits by themselves."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from jupyter_ydoc import YNotebook
from pycrdt import Doc

from cs3collab.client import LiveDocument
from cs3collab.cs3 import shares
from cs3collab.demo.world import SITE_A, SITE_B, World
from cs3collab.errors import CollabError, NotAuthorized
from cs3collab.relay.channel import authorization
from cs3collab.relay.link import Link
from cs3collab.rooms.ysocket import STEP2, UPDATE, sync_message
from cs3collab.types import Credential, Target

ANSWER_S = 10.0


async def ask(world: World, document: LiveDocument, cell: str, line: str) -> dict[str, str]:
    """Name of the relay to its refusal; an empty refusal means that it took the edit."""
    edit = forged_edit(document, cell, line)
    person = world.viewer.person
    async with world.session(person) as session:
        received = next(s for s in await shares.list_received_ocm_shares(session) if s.name == world.notebook)
        bearer = Credential("bearer", await session.tokens.token())
        ocm = Credential("ocm", received.shared_secret, received.remote_share_id)
        near, far = world.sites[SITE_B].relay, world.sites[SITE_A].relay
        return {
            f"relay of {SITE_B}": await push(near, Target(share_id=received.id), bearer, edit),
            f"relay of {SITE_A}": await push(far, Target(), ocm, edit),
            f"y-websocket of {SITE_A}": await step2(far, document.room, ocm, edit),
        }


def forged_edit(document: LiveDocument, cell: str, line: str) -> bytes:
    """An update that would add `line` to a cell, based on what the viewer rightly sees."""
    copy: Doc[Any] = Doc()
    copy.apply_update(document.ydoc.get_update())
    before = copy.get_state()
    text = next(c for c in YNotebook(copy).ycells if c["id"] == cell)["source"]
    text += f"\n{line}"
    return copy.get_update(before)


async def push(url: str, target: Target, credential: Credential, edit: bytes) -> str:
    """Pushes over a link, as a Jupyter server would."""

    async def same() -> Credential:
        return credential

    link = Link(url)
    try:
        channel = await link.attach(target, same)
        async with asyncio.timeout(ANSWER_S):
            await channel.push(edit)
    except NotAuthorized as error:
        return error.message
    except (CollabError, TimeoutError) as error:
        return f"no clear answer: {error}"
    finally:
        await link.close()
    return ""


async def step2(url: str, room: str, credential: Credential, edit: bytes) -> str:
    """Sends it as SYNC_STEP2 and as update over the plain y-websocket, where nothing answers: others must not get it."""
    headers = {"Authorization": authorization(credential)}
    async with aiohttp.ClientSession(headers=headers) as http, http.ws_connect(f"{url}/y/{room}") as ws:
        for kind in (STEP2, UPDATE):
            await ws.send_bytes(sync_message(kind, edit))
        await ws.close()
    return "it went nowhere"
