"""Links from end to end: people on nodes that follow a relay, over a network that breaks."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from support import links
from support.links import Person, Proxy, node, relay
from support.notebooks import notebook
from support.relay_world import World
from support.sites import share_ocm, two_sites

from cs3collab.cs3 import shares
from cs3collab.errors import NotAuthenticated, NotAuthorized, PeerUnavailable
from cs3collab.relay import protocol as p
from cs3collab.relay.channel import LinkChannel
from cs3collab.relay.link import FIRST_RETRY_S, Link
from cs3collab.relay.node import Node
from cs3collab.rooms.replica import Replica
from cs3collab.types import Credential, ResourceId, Role, Target


@pytest.fixture
async def proxy(world: World) -> AsyncIterator[Proxy]:
    async with Proxy(world.url) as running:
        yield running


@pytest.fixture
async def owner(world: World, proxy: Proxy) -> AsyncIterator[Node]:
    """einstein's server, through the proxy."""
    token = await links.token(world.site, "einstein")
    async with node(world.folder / "owner", proxy.url, lambda: token) as opened:
        yield opened


@pytest.fixture
async def editor(world: World) -> AsyncIterator[Node]:
    """marie's server, on a good line."""
    token = await links.token(world.site, "marie")
    async with node(world.folder / "editor", world.url, lambda: token) as opened:
        yield opened


def replica_of(opened: Node) -> Replica:
    (room,) = opened.registry.rooms.values()
    assert isinstance(room, Replica)
    return room


def link_of(opened: Node) -> Link:
    link = replica_of(opened)._upstream
    assert isinstance(link, Link)
    return link


async def test_what_is_typed_while_the_line_is_down_goes_up_once(world: World, proxy: Proxy, owner: Node, editor: Node) -> None:
    async with Person(owner, world.target) as one, Person(editor, world.target) as two:
        one.write("before ")
        await two.until(lambda: "before" in two.text())
        proxy.closed = True
        proxy.cut()
        await one.until(lambda: one.status.get("online") is False)
        one.write("offline ")
        two.write("elsewhere ")
        await one.until(lambda: one.status["pending"] == 1)
        proxy.closed = False
        await one.until(lambda: "elsewhere" in one.text() and one.status["online"] and not one.status["pending"])
        await two.until(lambda: "offline" in two.text())
        assert one.text() == two.text()
        assert sorted(one.text().split()) == ["before", "elsewhere", "offline"]


@pytest.mark.parametrize("limits", [{"update_bytes": 2**20}])
async def test_a_full_outbox_is_sent_again_in_frames_the_relay_takes(world: World, proxy: Proxy, owner: Node) -> None:
    """One frame with all of it would be larger than the relay takes, and come again and again."""
    async with Person(owner, world.target) as one:
        proxy.closed = True
        proxy.cut()
        await one.until(lambda: one.status.get("online") is False)
        for n in range(7):
            one.write(f"<{n}>" + "x" * 900_000)
        await one.until(lambda: one.status["pending"] == 7)
        before = proxy.connections
        proxy.closed = False
        await one.until(lambda: one.status["online"] is True and not one.status["pending"])
        assert proxy.connections < before + 10


async def test_a_line_that_freezes_is_a_broken_line(world: World, proxy: Proxy, owner: Node, editor: Node) -> None:
    async with Person(owner, world.target) as one, Person(editor, world.target) as two:
        one.write("a ")
        await two.until(lambda: two.text() == "a ")
        proxy.freeze()
        one.write("b ")
        two.write("c ")
        await two.until(lambda: two.status["pending"] == 0)
        proxy.cut()
        proxy.thaw()
        await one.until(lambda: "c" in one.text())
        await two.until(lambda: "b" in two.text())
        assert one.text() == two.text()


async def test_the_presence_of_others_goes_with_the_line_and_comes_back(
    world: World, proxy: Proxy, owner: Node, editor: Node
) -> None:
    async with Person(owner, world.target) as one, Person(editor, world.target) as two:
        one.say(1, 1, b"{}")
        two.say(2, 1, b"{}")
        await one.until(lambda: one.awareness.get(2, b"null") != b"null")
        await two.until(lambda: two.awareness.get(1, b"null") != b"null")
        proxy.cut()
        await one.until(lambda: one.awareness[2] == b"null")
        await two.until(lambda: two.awareness[1] == b"null")
        await one.until(lambda: one.awareness[2] != b"null")
        await two.until(lambda: two.awareness[1] != b"null")


async def test_a_role_that_changes_while_the_line_is_down_counts_after_it(world: World, proxy: Proxy, editor: Node) -> None:
    token = await links.token(world.site, "marie")
    async with node(world.folder / "marie", proxy.url, lambda: token) as here, Person(here, world.target) as one:
        proxy.closed = True
        proxy.cut()
        await one.until(lambda: one.status.get("online") is False)
        giver, taker = await world.site.session("einstein"), (await world.site.session("marie")).user
        share = next(s for s in await shares.list_shares(giver) if s.grantee.opaque_id == taker.opaque_id)
        await shares.update_share(giver, share, Role.VIEWER)
        proxy.closed = False
        await one.until(lambda: one.status["role"] == "viewer" and one.status["online"])
        one.write("refused")
        await one.ask("durable")
        async with Person(editor, world.target) as witness:
            assert witness.text() == ""


async def test_the_channel_of_who_lost_the_share_ends_when_the_line_is_back(world: World, proxy: Proxy) -> None:
    token = await links.token(world.site, "marie")
    async with node(world.folder / "marie", proxy.url, lambda: token) as here, Person(here, world.target) as one:
        one.comes_back = False
        proxy.closed = True
        proxy.cut()
        await one.until(lambda: one.status.get("online") is False)
        giver, taker = await world.site.session("einstein"), (await world.site.session("marie")).user
        share = next(s for s in await shares.list_shares(giver) if s.grantee.opaque_id == taker.opaque_id)
        await shares.remove_share(giver, share.id)
        proxy.closed = False
        await one.until(lambda: bool(one.closes))
        assert one.closes[0][0] in (4403, 4404)
        with pytest.raises((NotAuthorized, KeyError)):
            await one.join()


async def test_a_token_that_ends_in_mid_session_is_replaced_without_being_noticed(world: World, proxy: Proxy) -> None:
    """The relay sends the channel away for its token; the link shows the new one, and what was typed between is sent again."""
    tokens = [await links.token(world.site, "marie")]
    async with node(world.folder / "marie", proxy.url, lambda: tokens[-1]) as here, Person(here, world.target) as one:
        link = link_of(here)
        (channel,) = link._channels.values()
        tokens.append("ended")
        with contextlib.suppress(PeerUnavailable, NotAuthenticated):
            await link._renew(channel)
        tokens.append(tokens[0])
        one.write("typed ")
        await one.until(lambda: channel.ready and not one.status["pending"])
        assert not one.closes
        async with Person(here, world.target) as witness:
            await witness.until(lambda: witness.text() == "typed ")


async def test_a_token_that_ended_for_good_ends_the_channel_in_words(world: World, proxy: Proxy) -> None:
    tokens = [await links.token(world.site, "marie")]
    async with node(world.folder / "marie", proxy.url, lambda: tokens[-1]) as here, Person(here, world.target) as one:
        one.comes_back = False
        (channel,) = link_of(here)._channels.values()
        tokens.append("ended")
        with contextlib.suppress(PeerUnavailable, NotAuthenticated):
            await link_of(here)._renew(channel)
        await one.until(lambda: bool(one.closes))
        assert one.closes[0][0] == 4401


async def test_what_cannot_be_reached_is_said_and_nothing_stays_behind(world: World, proxy: Proxy, owner: Node) -> None:
    proxy.closed = True
    with pytest.raises(PeerUnavailable):
        await Person(owner, world.target).join()
    assert owner.registry.rooms == {}
    proxy.closed = False
    async with Person(owner, world.target):
        pass
    with pytest.raises(KeyError):
        await Person(owner, Target("json", "notebook", ResourceId("x", "y", "z"))).join()


async def test_a_relay_that_hangs_up_at_once_is_not_stormed(world: World) -> None:
    """Each connection is cut as soon as it stands: the waits between them grow."""

    async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.put_nowait(None)
        writer.transport.abort()

    calls: asyncio.Queue[None] = asyncio.Queue()
    server = await asyncio.start_server(hangs_up, "127.0.0.1", 0)
    link = Link(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")

    async def credentials() -> Credential:
        return Credential("bearer", "x")

    channel = LinkChannel(link, 1, world.target, credentials)
    link._channels[1] = channel
    link._lost("test")
    for _ in range(5):
        await calls.get()
    assert link._delay >= 4 * FIRST_RETRY_S
    await link.close()
    server.close()


async def test_who_comes_while_a_broken_line_is_being_closed_keeps_the_new_one() -> None:
    """A relay that sent nonsense takes its time to hear that it is cut off; on the next connection all is well."""
    opened, released = asyncio.Event(), asyncio.Event()
    attached: list[int] = []

    async def serve(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(protocols=[p.SUBPROTOCOL])
        await ws.prepare(request)
        if not opened.is_set():
            opened.set()
            await ws.send_bytes(b"nonsense")
            await released.wait()
        async for frame in ws:
            for message in p.decode(frame.data):
                if isinstance(message, p.Attach):
                    attached.append(message.channel)
                    await ws.send_bytes(p.encode([p.Attached(message.request, "r", Role.EDITOR, "", "l", *"nhuiud")]))
        return ws

    async def credentials() -> Credential:
        return Credential("bearer", "x")

    app = web.Application()
    app.router.add_get(p.LINK_PATH, serve)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    link = Link(f"http://127.0.0.1:{runner.addresses[0][1]}")
    first = asyncio.ensure_future(link.attach(Target(), credentials))
    await opened.wait()
    while link._outbound is not None or link._connecting.locked():  # noqa: ASYNC110
        await asyncio.sleep(0)
    channel = await link.attach(Target(), credentials)
    released.set()
    with pytest.raises(PeerUnavailable):
        await first
    assert channel.ready
    assert attached == [channel.number]
    await link.close()
    await runner.cleanup()


async def test_a_join_while_the_line_breaks_ends_in_a_seat_or_an_error_and_leaves_nothing(
    world: World, proxy: Proxy, owner: Node
) -> None:
    """Seeded: the line is cut at many moments of attach and first synchronisation."""
    rng = random.Random(7)
    for _ in range(12):
        person = Person(owner, world.target, comes_back=False)
        joining = asyncio.ensure_future(person.join())
        await asyncio.sleep(rng.uniform(0, 0.06))
        proxy.cut()
        with contextlib.suppress(Exception):
            await joining
        await person.leave()
    async with Person(owner, world.target) as one:
        one.write("x")
        await one.until(lambda: one.status.get("pending") == 0 and one.status["online"] and one.status["position"] > 1)
        assert len(replica_of(owner).seats) == 1
        assert len(link_of(owner)._channels) == 1
        await one.until(lambda: one.status["position"] > 1)
    async with Person(owner, world.target) as two:
        await two.until(lambda: two.text() == "x")


async def test_who_comes_while_another_leaves_gets_all_news(world: World, owner: Node, editor: Node) -> None:
    """The last seat's detach and the next one's attach cross on one link."""
    async with Person(editor, world.target) as writer:
        for n in range(8):
            first, second = Person(owner, world.target), Person(owner, world.target)
            await first.join()
            await asyncio.gather(second.join(), first.leave())
            writer.write(f"{n} ")
            await second.until(lambda person=second, n=n: f"{n} " in person.text())
            await second.leave()


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
async def test_people_at_two_sites_converge_whatever_links_break(tmp_path: Path, seed: int) -> None:
    """Four people, two relays, links cut at random: all see the same, every acknowledged word exactly once."""
    rng = random.Random(seed)
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        a, b = await enter(two_sites(tmp_path))
        await a.put("einstein", "n.ipynb", notebook(""))
        share = await share_ocm(a, b, "einstein", "marie", "n.ipynb", Role.EDITOR)
        here = await links.target(a, "einstein", "n.ipynb")
        there = Target("json", "notebook", None, share)
        url_a = await enter(relay(a, tmp_path / "relay-a"))
        between = await enter(Proxy(url_a))
        url_b = await enter(relay(b, tmp_path / "relay-b", relays={a.name: between.url}))
        proxies = [between, await enter(Proxy(url_a)), await enter(Proxy(url_b))]
        token_a, token_b = await links.token(a, "einstein"), await links.token(b, "marie")
        node_a = await enter(node(tmp_path / "node-a", proxies[1].url, lambda: token_a))
        node_b = await enter(node(tmp_path / "node-b", proxies[2].url, lambda: token_b))
        people = [
            await enter(Person(node_a, here)),
            await enter(Person(node_a, here)),
            await enter(Person(node_b, there)),
            await enter(Person(node_b, there)),
        ]
        words = []
        for n in range(60):
            who = rng.randrange(4)
            words.append(f"w{n}p{who}")
            people[who].notebook.ycells[0]["source"].insert(0, f" {words[-1]} ") if rng.random() < 0.5 else people[who].write(
                f" {words[-1]} "
            )
            if rng.random() < 0.15:
                rng.choice(proxies).cut()
            await asyncio.sleep(rng.uniform(0, 0.02))
        for person in people:
            await person.until(lambda p=person: p.socket is not None and sorted(p.text().split()) == sorted(words))
            await person.until(lambda p=person: p.status.get("pending") == 0 and p.status.get("online"))
        assert len({person.text() for person in people}) == 1
        await people[0].ask("save")
        saved = await a.read("einstein", "n.ipynb")
        assert sorted(word for word in words if word.encode() in saved) == sorted(words)
        assert (await people[0].ask("durable"))["position"] >= 60


async def test_what_waits_for_another_site_does_not_keep_a_link_from_going_on(tmp_path: Path) -> None:
    """Two documents of a site that is away wait, each as much as may; a third is at home here."""
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        a, b = await enter(two_sites(tmp_path))
        shared = []
        for name in ("n.ipynb", "m.ipynb"):
            await a.put("einstein", name, notebook(""))
            shared.append(Target("json", "notebook", None, await share_ocm(a, b, "einstein", "marie", name, Role.EDITOR)))
        await b.put("marie", "own.ipynb", notebook(""))
        between = await enter(Proxy(await enter(relay(a, tmp_path / "relay-a"))))
        url = await enter(relay(b, tmp_path / "relay-b", relays={a.name: between.url}, outbox_bytes=20_000))
        token = await links.token(b, "marie")
        marie = await enter(node(tmp_path / "node", url, lambda: token))
        away = [await enter(Person(marie, target)) for target in shared]
        own = await enter(Person(marie, await links.target(b, "marie", "own.ipynb")))
        between.closed = True
        between.cut()
        for person in away:
            await person.until(lambda p=person: p.status["online"] is False)  # type: ignore[misc]
            for _ in range(10):
                person.write("x" * 1000)
        for word in ("comes in one frame with the last of it", "goes on"):
            own.write(word)
            await own.ask("durable")
        between.closed = False
        for person in away:
            await person.until(lambda p=person: p.status["online"] and not p.status["pending"])  # type: ignore[misc]
