"""A lock goes wrong while people edit: they are told within seconds, edits stay durable, and the file gets them in the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cs3.identity.user.v1beta1 import resources_pb2 as identity
from cs3.storage.provider.v1beta1 import provider_api_pb2 as api
from cs3.storage.provider.v1beta1 import resources_pb2 as storage
from support import links
from support.links import Person, node, relay
from support.locked_sites import share_patiently
from support.notebooks import notebook
from support.reva import REVADS, site_on
from support.sites import Site, SiteBase

from cs3collab.cs3 import convert, shares
from cs3collab.cs3.files import Files
from cs3collab.limits import DEFAULT
from cs3collab.locks.foreign import CS3API4LAB_KEY
from cs3collab.locks.lease import LOOK_S
from cs3collab.types import Lock, Ref

TOLD_S = 10.0
"""In which people are to be told."""
SOON = {"look_s": 0.3, "recheck_s": 0.5, "lease_grace_s": 30.0}
pytestmark = pytest.mark.timeout(120)


@dataclass
class Scene:
    """marie edits einstein's notebook live, at a relay of their site."""

    here: SiteBase
    files: Files
    ref: Ref
    share: str
    url: str
    person: Person

    async def lock(self) -> Lock | None:
        return (await self.files.stat(self.ref)).lock

    async def saved(self, *words: str) -> None:
        """Until the file has all that."""
        async with asyncio.timeout(links.WAIT_S):
            while True:
                content = (await self.files.read(self.ref, max_bytes=10**6)).decode()
                if all(word in content for word in words):
                    return
                await asyncio.sleep(0.05)

    async def type(self, text: str) -> None:
        """Until it is acknowledged, and so is durable."""
        self.person.write(text)
        await self.person.ask("durable")

    async def ours(self) -> Lock:
        await self.type("before ")
        await self.saved("before ")
        lock = await self.lock()
        assert lock is not None
        assert lock.app_name == "cs3collab"
        return lock

    def told(self, *words: str) -> bool:
        return all(word in self.person.status.get("problem", "") for word in words)

    @property
    def fine(self) -> bool:
        return self.person.status.get("problem") == ""


@pytest.fixture(params=["embedded", *(pytest.param(name, marks=pytest.mark.reva) for name in REVADS if name != "v3")])
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    async with contextlib.AsyncExitStack() as stack:
        here = await stack.enter_async_context(site_on(str(request.param), tmp_path))
        await here.put("einstein", "n.ipynb", notebook("x = 1"))
        share = await share_patiently(here, "n.ipynb")
        url = await stack.enter_async_context(relay(here, tmp_path / "relay", **SOON))
        person = await stack.enter_async_context(sitting(here, tmp_path, url, "marie"))
        yield Scene(here, await here.files("einstein"), Ref.of(person.where.resource_id), share, url, person)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def sitting(here: SiteBase, folder: Path, url: str, user: str) -> AsyncIterator[Person]:
    token, where = await links.token(here, user), await links.target(here, "einstein", "n.ipynb")
    async with node(folder / user, url, lambda: token) as opened, Person(opened, where) as person:
        yield person


def test_with_the_limits_as_they_come_people_are_told_in_time() -> None:
    """A look, and half of the time for what follows from it."""
    assert max(DEFAULT.look_s, DEFAULT.recheck_s, LOOK_S) <= TOLD_S / 2


async def test_a_stolen_lock_is_told_and_the_file_is_written_when_the_thief_has_gone(scene: Scene) -> None:
    ours = await scene.ours()
    await scene.files.unlock(scene.ref, ours)
    theirs = Lock("theirs", "Collabora", expires_at=time.time() + 1000)
    await scene.files.set_lock(scene.ref, theirs)
    await scene.person.until(lambda: scene.told("locked by Collabora Online", " until ", "Edits are kept here"))
    await scene.type("during ")
    assert "during" not in (await scene.files.read(scene.ref, max_bytes=10**6)).decode()
    await scene.files.unlock(scene.ref, theirs)
    await scene.saved("before ", "during ")
    await scene.person.until(lambda: scene.fine)


@pytest.mark.parametrize("how", ["deleted", "expired"])
async def test_a_lock_that_is_gone_is_taken_again(scene: Scene, how: str) -> None:
    ours = await scene.ours()
    if how == "deleted":
        await scene.files.unlock(scene.ref, ours)
    else:
        await scene.files.refresh_lock(scene.ref, Lock(ours.lock_id, ours.app_name, expires_at=time.time() - 1))
    async with asyncio.timeout(links.WAIT_S):
        while True:
            lock = await scene.lock()
            if lock is not None and lock.lock_id != ours.lock_id:
                break
            await asyncio.sleep(0.05)
    await scene.type("after ")
    await scene.saved("before ", "after ")
    assert scene.fine


async def test_whose_share_is_taken_back_reads_on_at_most_and_loses_nothing(scene: Scene, tmp_path: Path) -> None:
    ours = await scene.ours()
    blocker = Lock("blocker", "Collabora", expires_at=time.time() + 1000)
    await scene.files.unlock(scene.ref, ours)
    await scene.files.set_lock(scene.ref, blocker)
    await scene.person.until(lambda: scene.told("Collabora"))
    # with a lock of CS3 the share could not be taken back: one in metadata takes its place
    release = await by_cs3api4lab(scene, blocker.lock_id)
    await scene.files.unlock(scene.ref, blocker)
    await scene.person.until(lambda: scene.told("Cs3api4Lab"))
    await scene.type("acknowledged, not saved ")
    await shares.remove_share(await scene.here.session("einstein"), scene.share)
    await scene.person.until(lambda: bool(scene.person.closes) or scene.person.status.get("role") == "viewer")
    assert "acknowledged" not in (await scene.files.read(scene.ref, max_bytes=10**6)).decode()
    await release()
    async with sitting(scene.here, tmp_path, scene.url, "einstein") as owner:
        assert "acknowledged, not saved" in owner.text()
        await scene.saved("before ", "acknowledged, not saved ")


Foreign = Callable[[Scene], Awaitable[Callable[[], Awaitable[object]]]]
"""Takes the lock; gives what releases it."""


def by_cs3(made: Any) -> Foreign:
    async def take(scene: Scene) -> Callable[[], Awaitable[object]]:
        session, ref = scene.files.session, convert.to_ref(scene.ref)
        made.expiration.CopyFrom(convert.to_timestamp(time.time() + 1000))
        if made.HasField("user"):
            made.user.CopyFrom(convert.to_user_id(session.user))
        await session.call("SetLock", api.SetLockRequest(ref=ref, lock=made))
        return lambda: session.call("Unlock", api.UnlockRequest(ref=ref, lock=made))

    return take


async def by_cs3api4lab(scene: Scene, lock_id: str = "") -> Callable[[], Awaitable[object]]:
    user = scene.files.user
    said = {"username": user.username, "idp": user.idp, "opaque_id": user.opaque_id}
    said |= {"updated": time.time(), "created": time.time() - 60}  # type: ignore[dict-item]
    await scene.files.set_metadata(scene.ref, {CS3API4LAB_KEY: quote(json.dumps(said))}, lock_id=lock_id)
    return lambda: scene.files.unset_metadata(scene.ref, [CS3API4LAB_KEY])


SHARED, WRITE = storage.LOCK_TYPE_SHARED, storage.LOCK_TYPE_WRITE
SOMEBODY = identity.UserId(opaque_id="filled in")
FOREIGN: dict[str, tuple[Foreign, str]] = {
    "cs3-jupyter, shared": (
        by_cs3(storage.Lock(lock_id="a", type=SHARED, app_name="cs3-jupyter")),
        "locked by JupyterLab (cs3-jupyter)",
    ),
    "Collabora": (by_cs3(storage.Lock(lock_id="b", type=WRITE, app_name="Collabora")), "locked by Collabora Online"),
    "OnlyOffice": (
        by_cs3(storage.Lock(lock_id="c", type=WRITE, app_name="com.github.owncloud.collaboration.OnlyOffice", user=SOMEBODY)),
        "locked by Albert Einstein (einstein) with ONLYOFFICE",
    ),
    "Cs3api4Lab": (by_cs3api4lab, "locked by einstein with JupyterLab (Cs3api4Lab)"),
    "Cs3api4Lab with CS3 locks": (
        by_cs3(storage.Lock(lock_id=CS3API4LAB_KEY, type=WRITE, user=SOMEBODY)),
        "locked by Albert Einstein (einstein) with JupyterLab (Cs3api4Lab)",
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
async def test_with_another_programs_lock_people_edit_on_and_see_whose_it_is(scene: Scene, name: str) -> None:
    take, says = FOREIGN[name]
    release = await take(scene)
    await scene.person.until(lambda: scene.told(says, " until "))  # before anybody types
    if isinstance(scene.here, Site) or name == "Cs3api4Lab":  # a real Reva does not note when a lock was taken
        assert " since " in scene.person.status["problem"]
    await scene.type("meanwhile ")
    assert "meanwhile" not in (await scene.files.read(scene.ref, max_bytes=10**6)).decode()
    await release()
    await scene.saved("meanwhile ")
    await scene.person.until(lambda: scene.fine)
    lock = await scene.lock()
    assert lock is not None
    assert lock.app_name == "cs3collab"
