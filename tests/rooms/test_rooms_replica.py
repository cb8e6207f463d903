"""Replicas against real relays: what is typed into a copy gets home, is refused in words, or is kept aside."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pycrdt
import pytest
from support import links
from support.links import Person, Proxy, node, relay
from support.notebooks import notebook
from support.sites import Site, share_local, site

from cs3collab.cs3 import shares
from cs3collab.errors import EditsRefused, NotAuthorized
from cs3collab.limits import DEFAULT
from cs3collab.relay.node import Node, open_node
from cs3collab.rooms.lib0 import decode_state_vector, lacks
from cs3collab.rooms.registry import Credentials, Forward
from cs3collab.rooms.replica import Replica
from cs3collab.types import Credential, Role, SiteId, Target


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as running:
        await running.put("einstein", "n.ipynb", notebook("", "y = 2"))
        await share_local(running, "einstein", "marie", "n.ipynb", Role.EDITOR)
        yield running


@contextlib.asynccontextmanager
async def server(here: Site, folder: Path, url: str, user: str) -> AsyncIterator[Node]:
    token = await links.token(here, user)
    async with node(folder / user, url, lambda: token) as opened:
        yield opened


@pytest.fixture
async def target(here: Site) -> Target:
    return await links.target(here, "einstein", "n.ipynb")


def replica_of(opened: Node) -> Replica:
    (room,) = opened.registry.rooms.values()
    assert isinstance(room, Replica)
    return room


async def test_what_was_typed_into_a_copy_of_a_lost_history_is_kept_aside(here: Site, tmp_path: Path, target: Target) -> None:
    """The home relay lost its store. Nothing of the old history may be merged into the new: people are told where theirs is."""
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        first = contextlib.AsyncExitStack()
        url = await first.enter_async_context(relay(here, tmp_path / "relay-1"))
        proxy = await enter(Proxy(url))
        owner = await enter(server(here, tmp_path, proxy.url, "einstein"))
        person = await enter(Person(owner, target, comes_back=False))
        person.write("acknowledged ")
        await person.ask("durable")
        await person.ask("save")
        proxy.closed = True
        proxy.cut()
        await person.until(lambda: person.status["online"] is False)
        person.write("never got home")
        await person.until(lambda: person.status["pending"] == 1)
        await first.aclose()
        proxy.lead_to(await enter(relay(here, tmp_path / "relay-2")))
        proxy.closed = False
        await person.until(lambda: bool(person.closes))
        assert person.closes[0][0] == 1003
        (kept,) = (tmp_path / "einstein" / "rescued").iterdir()
        assert "acknowledged never got home" in kept.read_text()
        assert str(kept) in person.status["problem"]
        assert kept.stat().st_mode & 0o077 == 0
        fresh = await enter(Person(owner, target))
        assert fresh.text() == "acknowledged "
        fresh.write("goes on")
        await fresh.ask("durable")
        assert "goes on" not in kept.read_text()
        assert len(owner.registry.rooms) == 1


async def test_a_copy_that_only_viewers_have_left_and_home_refused_is_thrown_away(
    here: Site, tmp_path: Path, target: Target
) -> None:
    """marie typed while the line was down and was made a viewer: what she sees must not stay different from what others see."""
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        url = await enter(relay(here, tmp_path / "relay"))
        proxy = await enter(Proxy(url))
        marie = await enter(server(here, tmp_path, proxy.url, "marie"))
        person = await enter(Person(marie, target, comes_back=False))
        proxy.closed = True
        proxy.cut()
        await person.until(lambda: person.status["online"] is False)
        person.write("typed while nobody could refuse it")
        await person.until(lambda: person.status["pending"] == 1)
        giver, taker = await here.session("einstein"), (await here.session("marie")).user
        share = next(s for s in await shares.list_shares(giver) if s.grantee.opaque_id == taker.opaque_id)
        await shares.update_share(giver, share, Role.VIEWER)
        proxy.closed = False
        await person.until(lambda: bool(person.closes))
        assert person.closes[0][0] == 1003
        (kept,) = (tmp_path / "marie" / "rescued").iterdir()
        assert "nobody could refuse it" in kept.read_text()
        fresh = await enter(Person(marie, target))
        assert (fresh.text(), fresh.status["role"]) == ("", "viewer")


async def test_a_worker_that_dies_is_replaced_with_all_that_was_typed(here: Site, tmp_path: Path, target: Target) -> None:
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        url = await enter(relay(here, tmp_path / "relay"))
        owner = await enter(server(here, tmp_path, url, "einstein"))
        marie = await enter(server(here, tmp_path, url, "marie"))
        one, two = await enter(Person(owner, target)), await enter(Person(marie, target))
        for n in range(30):
            (one if n % 2 else two).write(f" w{n} ")
            if n % 10 == 5:
                slot = replica_of(owner).document._slot  # type: ignore[attr-defined]
                with contextlib.suppress(ProcessLookupError, AttributeError):  # the last one is dying still
                    os.kill(slot.process.pid, signal.SIGKILL)
            await asyncio.sleep(0.02)
        words = sorted(f"w{n}" for n in range(30))
        for person in (one, two):
            await person.until(lambda p=person: sorted(p.text().split()) == words)
        await one.until(lambda: one.status["pending"] == 0)
        late = await enter(Person(owner, target))
        assert sorted(late.text().split()) == words
        assert not one.closes
        assert not two.closes


async def test_the_outbox_is_bounded_and_says_so(here: Site, tmp_path: Path, target: Target) -> None:
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        url = await enter(relay(here, tmp_path / "relay"))
        proxy = await enter(Proxy(url))
        token = await links.token(here, "einstein")
        owner = await enter(node(tmp_path / "n", proxy.url, lambda: token, outbox_bytes=5000))
        person = await enter(Person(owner, target, comes_back=False))
        proxy.closed = True
        proxy.cut()
        await person.until(lambda: person.status["online"] is False)
        for _ in range(100):  # each takes more than its bytes
            person.write("x")
        await person.until(lambda: bool(person.closes))
        assert person.closes[0][0] == 1013
        assert "wait for the home site" in person.status["problem"]
        assert replica_of(owner).unacked_bytes <= 5000 + 600
        proxy.closed = False
        again = await enter(Person(owner, target, doc=person.doc))
        await again.until(lambda: again.status["pending"] == 0 and again.status["online"])
        witness = await enter(Person(owner, target))
        await witness.until(lambda: witness.text() == "x" * 100)


async def test_what_is_unacknowledged_when_a_server_stops_is_kept_aside(here: Site, tmp_path: Path, target: Target) -> None:
    async with relay(here, tmp_path / "relay") as url, Proxy(url) as proxy:
        async with server(here, tmp_path, proxy.url, "einstein") as owner:
            person = Person(owner, target, comes_back=False)
            await person.join()
            await person.until(lambda: len(person.notebook.ycells) > 0)
            proxy.closed = True
            proxy.cut()
            await person.until(lambda: person.status["online"] is False)
            person.write("last words")
            await person.until(lambda: person.status["pending"] == 1)
        (kept,) = (tmp_path / "einstein" / "rescued").iterdir()
        assert "last words" in kept.read_text()
        for task in person._tasks:
            task.cancel()


async def test_anti_entropy_brings_home_what_no_outbox_holds(
    here: Site, tmp_path: Path, target: Target, caplog: pytest.LogCaptureFixture
) -> None:
    """An update got into the copy alone, as after a relay lost what it acknowledged: the next comparison carries it home."""
    caplog.set_level(logging.WARNING)
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        url = await enter(relay(here, tmp_path / "relay"))
        owner = await enter(server(here, tmp_path, url, "einstein"))
        marie = await enter(server(here, tmp_path, url, "marie"))
        one, two = await enter(Person(owner, target)), await enter(Person(marie, target))
        room = replica_of(owner)
        lonely = Person(owner, target)
        lonely.doc.apply_update(await room.document.diff(b""))
        before = lonely.doc.get_state()
        lonely.write("only here")
        await room.document.apply(lonely.doc.get_update(before))
        await room.resync()
        await two.until(lambda: two.text() == "only here")
        await room.resync()
        assert not one.closes


@dataclass
class Hub:
    """A server of several people, each with their own credential, and somebody who sees what the home site has."""

    node: Node
    proxy: Proxy
    witness: Person
    comers: list[str]
    target: Target
    stack: contextlib.AsyncExitStack

    async def enter(self, user: str) -> Person:
        self.comers.append(user)
        return await self.stack.enter_async_context(Person(self.node, self.target, comes_back=False))

    async def cut(self, *people: Person) -> None:
        self.proxy.closed = True
        self.proxy.cut()
        for person in people:
            await person.until(lambda p=person: p.status["online"] is False)  # type: ignore[misc]

    async def witness_has_all(self) -> None:
        """Of what the hub has, whoever pushed it."""
        room = replica_of(self.node)
        while lacks(decode_state_vector(self.witness.doc.get_state()), decode_state_vector(await room.document.state())):
            self.witness.news.clear()
            async with asyncio.timeout(links.WAIT_S):
                await self.witness.news.wait()


@pytest.fixture
async def hub(here: Site, tmp_path: Path, target: Target) -> AsyncIterator[Hub]:
    tokens = {user: await links.token(here, user) for user in ("einstein", "marie")}
    comers: list[str] = []
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        url = await enter(relay(here, tmp_path / "relay"))
        proxy = await enter(Proxy(url))

        async def admit(target: Target, given: Credentials) -> Forward:
            token = tokens[comers.pop()]

            async def credential() -> Credential:
                return Credential("bearer", token)

            return Forward(proxy.url, target, credential)

        limits = replace(DEFAULT, **links.LIMITS)  # type: ignore[arg-type]
        opened = await enter(open_node(site=SiteId("hub.example"), directory=tmp_path / "hub", admit=admit, limits=limits))
        witness = await enter(Person(await enter(server(here, tmp_path, url, "einstein")), target))
        yield Hub(opened, proxy, witness, comers, target, await enter(contextlib.AsyncExitStack()))


async def demote_marie(here: Site) -> None:
    giver, taker = await here.session("einstein"), (await here.session("marie")).user
    share = next(s for s in await shares.list_shares(giver) if s.grantee.opaque_id == taker.opaque_id)
    await shares.update_share(giver, share, Role.VIEWER)


async def unshare_marie(here: Site) -> None:
    giver, taker = await here.session("einstein"), (await here.session("marie")).user
    share = next(s for s in await shares.list_shares(giver) if s.grantee.opaque_id == taker.opaque_id)
    await shares.remove_share(giver, share.id)


async def test_what_one_is_refused_goes_up_in_nobody_elses_name(here: Site, tmp_path: Path, hub: Hub) -> None:
    """marie typed and deleted while the line was down, and was made a viewer: einstein goes on without it."""
    einstein, marie = await hub.enter("einstein"), await hub.enter("marie")
    einstein.write("kept ")
    await einstein.ask("durable")
    await marie.until(lambda: marie.text() == "kept ")
    await hub.cut(einstein, marie)
    del marie.notebook.ycells[0]["source"][0:5]
    marie.write("refused words")
    marie.write("refused too", cell=1)
    await einstein.until(lambda: einstein.text() == "refused words")
    einstein.notebook.ycells[1]["source"].insert(0, "# his\n")
    await demote_marie(here)
    hub.proxy.closed = False
    await marie.until(lambda: bool(marie.closes))
    assert marie.closes[0][0] == 4403
    (kept,) = (tmp_path / "hub" / "rescued").iterdir()
    assert "refused words" in kept.read_text()
    assert "did not take what you typed last" in marie.status["problem"]
    assert str(kept) in marie.status["problem"]
    assert "refused words" in marie.text()
    await einstein.until(lambda: (einstein.text(0), einstein.text(1)) == ("kept ", "# his\ny = 2"))
    einstein.write("goes on")
    await hub.witness.until(lambda: hub.witness.text(0) == "kept goes on")
    await hub.witness_has_all()
    assert [hub.witness.text(0), hub.witness.text(1)] == ["kept goes on", "# his\ny = 2"]
    assert b"refused" not in hub.witness.doc.get_update()
    assert not einstein.closes


async def test_what_somebody_typed_whose_share_ended_goes_up_in_nobody_elses_name(here: Site, tmp_path: Path, hub: Hub) -> None:
    """The home site does not let marie in any more when the line is back: what she sent is refused by that."""
    einstein, marie = await hub.enter("einstein"), await hub.enter("marie")
    await hub.cut(einstein, marie)
    marie.write("refused words")
    await einstein.until(lambda: einstein.text() == "refused words")
    await unshare_marie(here)
    hub.proxy.closed = False
    await marie.until(lambda: bool(marie.closes))
    await einstein.until(lambda: einstein.status["online"] and einstein.text() == "")
    (kept,) = (tmp_path / "hub" / "rescued").iterdir()
    assert "refused words" in kept.read_text()
    einstein.write("goes on")
    await hub.witness.until(lambda: hub.witness.text() == "goes on")
    await hub.witness_has_all()
    assert b"refused" not in hub.witness.doc.get_update()
    assert not einstein.closes


@pytest.mark.parametrize("words", ["", "refused words"])
async def test_what_one_decided_who_is_refused_is_undecided_again(here: Site, hub: Hub, words: str) -> None:
    """Notes of conflicts are no part of the file. marie took one off and made one up, and einstein decided on a third."""
    einstein, marie = await hub.enter("einstein"), await hub.enter("marie")

    def notes(person: Person) -> Any:
        return person.doc.get("conflicts", type=pycrdt.Map)

    for key in ("hers", "his"):
        notes(einstein)[key] = {"cell": "", "kind": "source", "copy": "", "at": 1.5, "who": "", "theirs": "x"}
    await einstein.ask("durable")
    await marie.until(lambda: set(notes(marie)) == {"hers", "his"})
    await hub.cut(einstein, marie)
    marie.write(words)
    del notes(marie)["hers"]
    notes(marie)["made up"] = {"cell": "", "kind": "source"}
    del notes(einstein)["his"]
    await einstein.until(lambda: set(notes(einstein)) == {"made up"})
    await demote_marie(here)
    hub.proxy.closed = False
    await einstein.until(lambda: einstein.text() == "" and set(notes(einstein)) == {"hers"})
    assert notes(einstein).to_py()["hers"]["at"] == 1.5
    await hub.witness_has_all()
    await hub.witness.until(lambda: set(notes(hub.witness)) == {"hers"})
    assert not einstein.closes


@pytest.mark.parametrize("end", [demote_marie, unshare_marie])
async def test_what_was_refused_of_somebody_who_has_left_is_kept_aside(
    here: Site, tmp_path: Path, target: Target, end: Callable[[Site], Awaitable[None]]
) -> None:
    """marie closed her page while the line was down. Nobody is there when her words are refused, and none may be lost."""
    async with relay(here, tmp_path / "relay") as url, Proxy(url) as proxy:
        async with server(here, tmp_path, proxy.url, "marie") as marie:
            person = Person(marie, target, comes_back=False)
            await person.join()
            await person.until(lambda: len(person.notebook.ycells) > 0)
            proxy.closed = True
            proxy.cut()
            await person.until(lambda: person.status["online"] is False)
            person.write("last words")
            await person.until(lambda: person.status["pending"] == 1)
            leaving = asyncio.ensure_future(person.leave())
            await end(here)
            proxy.closed = False
            async with asyncio.timeout(links.WAIT_S):
                await leaving
            assert not replica_of(marie).seats
        (kept,) = (tmp_path / "marie" / "rescued").iterdir()
        assert "last words" in kept.read_text()


async def test_what_others_typed_into_what_was_refused_is_said_and_kept_aside(here: Site, tmp_path: Path, hub: Hub) -> None:
    einstein, marie = await hub.enter("einstein"), await hub.enter("marie")
    await hub.cut(einstein, marie)
    marie.write("refused words")
    await einstein.until(lambda: einstein.text() == "refused words")
    einstein.notebook.ycells[0]["source"].insert(8, "his ")
    await demote_marie(here)
    hub.proxy.closed = False
    await einstein.until(lambda: bool(einstein.closes))
    await marie.until(lambda: bool(marie.closes))
    (kept,) = (tmp_path / "hub" / "rescued").iterdir()
    assert "refused his words" in kept.read_text()
    for person in (einstein, marie):
        assert person.closes[0][0] == 4403
        assert "what others typed rests on it" in person.status["problem"]
        assert "create a copy" in person.status["problem"]
        assert str(kept) in person.status["problem"]
    again = await hub.enter("einstein")
    assert again.text() == ""
    again.write("goes on", cell=1)
    await hub.witness.until(lambda: hub.witness.text(1) == "y = 2goes on")
    assert b"refused" not in hub.witness.doc.get_update()


async def test_nothing_goes_up_in_anothers_name_while_it_may_be_refused(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    einstein, marie = await hub.enter("einstein"), await hub.enter("marie")
    room = replica_of(hub.node)
    seats = {seat.user.username: seat for seat in room.seats.values()}
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    pushed: list[bytes] = []
    monkeypatch.setattr(seats["marie"].backing, "push", lambda update: answer)
    marie.write("refused words")
    await einstein.until(lambda: einstein.text() == "refused words")
    with monkeypatch.context() as patch:
        patch.setattr(seats["einstein"].backing, "push", lambda update: pushed.append(update) or answer)
        await room.resync()
        assert pushed == []
    answer.set_exception(NotAuthorized("now a viewer"))
    await einstein.until(lambda: einstein.text() == "")
    await marie.until(lambda: bool(marie.closes))
    await hub.witness_has_all()
    assert (hub.witness.text(), einstein.closes) == ("", [])
    assert b"refused" not in hub.witness.doc.get_update()


async def test_a_copy_behind_one_that_holds_what_was_refused_is_given_up_too(hub: Hub) -> None:
    einstein = await hub.enter("einstein")
    room = replica_of(hub.node)
    (seat,) = room.seats.values()
    seat.backing.on_detached(EditsRefused("the home site did not take it", hint="create a copy"))
    await einstein.until(lambda: bool(einstein.closes))
    assert einstein.closes[0][0] == 4403
    await hub.enter("einstein")
    assert replica_of(hub.node) is not room
