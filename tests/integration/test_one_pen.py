"""Two Jupyter servers of one site, without a relay: one edits, the other follows, is offered the pen, and takes it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from support.locked_sites import share_patiently
from support.notebooks import notebook, source_of
from support.reva import REVADS, site_on
from support.sites import JupyterServer, SiteBase, jupyter_server

from cs3collab import client

pytestmark = pytest.mark.timeout(300)
WAIT_S = 120.0
OF_EINSTEIN = "this file is being edited by Albert Einstein (einstein) at a.test"
OF_MARIE = "this file is being edited by Marie Curie (marie) at a.test"
KINDS = ("embedded", *(pytest.param(name, marks=pytest.mark.reva) for name in REVADS if name != "v3"))


@dataclass
class Scene:
    here: SiteBase
    einstein: JupyterServer
    marie: JupyterServer
    shared: str
    """Where marie has the file."""

    def own(self, type: str = "") -> contextlib.AbstractAsyncContextManager[client.LiveDocument]:
        return client.open(self.einstein.url, "n.ipynb", token=self.einstein.token, type=type, timeout_s=WAIT_S)

    def other(self) -> contextlib.AbstractAsyncContextManager[client.LiveDocument]:
        return client.open(self.marie.url, self.shared, token=self.marie.token, timeout_s=WAIT_S)

    async def take(self, server: JupyterServer, path: str) -> tuple[int, Any]:
        return await server.request("POST", f"api/cs3collab/pen/{path}")

    async def stored(self) -> list[str]:
        read = nbformat.reads((await self.here.read("einstein", "n.ipynb")).decode(), as_version=4)
        return [cell.source for cell in read.cells]


@pytest.fixture
async def scene(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    async with contextlib.AsyncExitStack() as stack:
        here = await stack.enter_async_context(site_on(getattr(request, "param", "embedded"), tmp_path))
        await here.put("einstein", "n.ipynb", notebook("x = 1", "y = 2"))
        await share_patiently(here, "n.ipynb")
        config = {"CS3Settings": {"limits": {"lease_grace_s": 1.0, "look_s": 1.0}}}  # which is what is waited for
        starting = (jupyter_server(here, user, app="jupyter_server", config=config) for user in ("einstein", "marie"))
        einstein, marie = await asyncio.gather(*map(stack.enter_async_context, starting))
        _, listing = await marie.request("GET", "api/contents/Shares")
        (entry,) = listing["content"]
        yield Scene(here, einstein, marie, entry["path"])


def write(document: client.LiveDocument, words: str) -> None:
    cell = document.shared.ycells[0]["source"]
    cell += words


async def follows(document: client.LiveDocument, reason: str) -> None:
    await document.until_status(lambda status: status["role"] == "viewer" and status["reason"] == reason)


@pytest.mark.parametrize("scene", KINDS, indirect=True)
async def test_one_edits_and_the_other_follows_and_takes_the_pen_when_it_is_free(scene: Scene) -> None:
    async with scene.other() as marie:
        async with scene.own() as einstein:
            # marie was first
            await follows(einstein, OF_MARIE)
            status, answer = await scene.take(scene.einstein, "n.ipynb")
            assert status == 423
            assert OF_MARIE in answer["message"]
            write(marie, "\nby marie")
            await marie.durable()
            assert (await marie.save())["status"] == "success"
            await einstein.until(lambda nb: source_of(nb, 0) == "x = 1\nby marie")
            assert (await einstein.save())["status"] == "failed"
            write(einstein, "\nnot accepted")
            await einstein.durable()
            assert not einstein.status["offered"]
        assert await scene.stored() == ["x = 1\nby marie", "y = 2"]

    # marie closed it: who has it open is offered the pen when the grace is over
    async with scene.own() as einstein:
        await follows(einstein, OF_MARIE)
        assert source_of(einstein.shared, 0) == "x = 1\nby marie"
        await einstein.until_status(lambda status: status["offered"])
        assert einstein.status["role"] == "viewer"
        assert await scene.take(scene.einstein, "n.ipynb") == (200, {"role": "editor"})
        await einstein.until_status(lambda status: status["role"] == "editor")
        write(einstein, "\nby einstein")
        await einstein.durable()
        async with scene.other() as marie:
            await follows(marie, OF_EINSTEIN)
            assert (await einstein.save())["status"] == "success"
            await marie.until(lambda nb: source_of(nb, 0) == "x = 1\nby marie\nby einstein")
    assert await scene.stored() == ["x = 1\nby marie\nby einstein", "y = 2"]


async def test_a_notebook_that_is_open_as_text_too_is_edited_in_one_of_the_views(scene: Scene) -> None:
    async with scene.own() as first, scene.own("file") as second:
        assert first.status["role"] == "editor"
        await follows(second, "this file is being edited in another view on this server")
        write(first, "\nseen in both")
        assert (await first.save())["status"] == "success"
        await second.until(lambda text: "seen in both" in text.source)


@pytest.mark.slow
async def test_a_holder_that_was_frozen_comes_back_as_a_follower_with_what_it_had_not_saved(scene: Scene) -> None:
    async with scene.own() as einstein:
        async with scene.other() as marie:
            await follows(marie, OF_EINSTEIN)
            write(einstein, "\nnot saved")
            await einstein.durable()
            os.kill(scene.einstein.process.pid, signal.SIGSTOP)
            try:
                await marie.until_status(lambda status: status["offered"])
                assert (await scene.take(scene.marie, scene.shared))[0] == 200
                await marie.until_status(lambda status: status["role"] == "editor")
                source = marie.shared.ycells[1]["source"]
                source += "\nby marie"
                assert (await marie.save())["status"] == "success"
            finally:
                os.kill(scene.einstein.process.pid, signal.SIGCONT)
            await follows(einstein, OF_MARIE)
            await einstein.until(lambda nb: source_of(nb, 1) == "y = 2\nby marie")
            assert source_of(einstein.shared, 0) == "x = 1\nnot saved"
            assert await scene.stored() == ["x = 1", "y = 2\nby marie"]
            await einstein.until_status(lambda status: "made here are not in the file" in status["problem"])
        await einstein.until_status(lambda status: status["offered"])
        assert (await scene.take(scene.einstein, "n.ipynb"))[0] == 200
        await einstein.until_status(lambda status: status["role"] == "editor" and status["problem"] == "")
        assert (await einstein.save())["status"] == "success"
        assert await scene.stored() == ["x = 1\nnot saved", "y = 2\nby marie"]


@pytest.mark.slow
async def test_a_killed_holder_gets_its_pen_back_at_once_and_others_when_its_lock_has_ended(scene: Scene) -> None:
    async with contextlib.AsyncExitStack() as stack:
        einstein = await stack.enter_async_context(scene.own())
        write(einstein, "\ndurable")
        await einstein.durable()
        await scene.einstein.kill()
        marie = await stack.enter_async_context(scene.other())
        await follows(marie, OF_EINSTEIN)
        await scene.einstein.restart()
        await einstein.until_status(lambda status: status["online"] and status["role"] == "editor")
        await follows(marie, OF_EINSTEIN)
        assert (await einstein.save())["status"] == "success"
        await marie.until(lambda nb: source_of(nb, 0) == "x = 1\ndurable")

        await scene.einstein.kill()
        await marie.until_status(lambda status: status["offered"])
        assert (await scene.take(scene.marie, scene.shared))[0] == 200
        await marie.until_status(lambda status: status["role"] == "editor")
        write(marie, "\nby marie")
        assert (await marie.save())["status"] == "success"
        await scene.einstein.restart()
        await follows(einstein, OF_MARIE)
        await einstein.until(lambda nb: source_of(nb, 0) == "x = 1\ndurable\nby marie")
