"""What the relay does with one link, frame by frame: roles, channels, races, bounds."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pycrdt
import pytest
import pytest_asyncio
from jupyter_ydoc import YNotebook
from support.links import Peer, peer
from support.notebooks import notebook
from support.relay_world import World, any_path, world_of_its_own, world_with
from support.sites import Site

from cs3collab import telemetry
from cs3collab.cs3 import shares
from cs3collab.relay import protocol as p
from cs3collab.rooms.lib0 import AwarenessEntry, decode_awareness, encode_awareness
from cs3collab.rooms.worker_document import WorkerDocument
from cs3collab.types import Credential, Role

pytestmark = pytest.mark.asyncio(loop_scope="module")
OWNER, EDITOR, VIEWER = "einstein", "marie", "richard"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with world_of_its_own(tmp_path_factory.mktemp("shared")) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def world(shared: World, tmp_path: Path, limits: dict[str, float]) -> AsyncIterator[World]:
    """One relay for all but who wants other limits; each test has a notebook of its own."""
    if limits:
        async with world_of_its_own(tmp_path, **limits) as made:
            yield made
    else:
        yield await world_with(shared.site, shared.url, tmp_path, any_path())


class Copy:
    """A Y document of the room; ``edit`` gives the update that adds text to the first cell."""

    def __init__(self, synced: p.Synced) -> None:
        self.doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=2**30 + secrets.randbits(30))  # as long in every update
        self.doc.apply_update(synced.update)
        self.notebook = YNotebook(self.doc)

    def edit(self, text: str) -> bytes:
        before = self.doc.get_state()
        source = self.notebook.ycells[0]["source"]
        source += text
        return self.doc.get_update(before)

    @property
    def text(self) -> str:
        return str(self.notebook.ycells[0]["source"])


async def seated(world: World, link: Peer, channel: int, user: str) -> tuple[p.Attached, Copy]:
    attached = await link.attach(channel, world.target, await world.credential(user))
    assert isinstance(attached, p.Attached), attached
    return attached, Copy(await link.sync(attached.room))


async def text_in(world: World) -> str:
    """The first cell as a newcomer sees it."""
    credential = await world.credential(OWNER)
    async with peer(world.url, credential) as link:
        return (await seated(world, link, 1, OWNER))[1].text


async def metric(world: World, line: str) -> float:
    async with aiohttp.ClientSession() as http, http.get(world.url + "/metrics") as answer:
        found = [row for row in (await answer.text()).splitlines() if row.startswith(line + " ")]
    return float(found[0].split()[1]) if found else 0.0


async def test_an_editors_update_is_acknowledged_and_told_others(world: World) -> None:
    async with peer(world.url, await world.credential(OWNER)) as one, peer(world.url, await world.credential(EDITOR)) as two:
        attached, copy = await seated(world, one, 1, OWNER)
        assert (attached.role, attached.home, attached.name, attached.username) == (Role.EDITOR, "a.example", world.path, OWNER)
        _, other = await seated(world, two, 9, EDITOR)
        await one.send(p.Push(1, 5, copy.edit("word")))
        ack = await one.expect(p.Ack)
        assert (ack.channel, ack.seq) == (1, 5)
        update = await two.expect(p.Update)
        assert update.position <= ack.position  # it is told before it is durable
        other.doc.apply_update(update.update)
        assert other.text == "word"
        assert not [message for message in one.seen if isinstance(message, p.Update)]


async def test_an_update_that_comes_twice_is_acknowledged_twice_and_there_once(world: World) -> None:
    async with peer(world.url, await world.credential(OWNER)) as link:
        _, copy = await seated(world, link, 1, OWNER)
        update = copy.edit("word")
        await link.send(p.Push(1, 1, update), p.Push(1, 2, update))
        first = await link.expect(p.Ack, lambda ack: ack.seq == 1)
        second = await link.expect(p.Ack, lambda ack: ack.seq == 2)
        assert second.position >= first.position
    assert await text_in(world) == "word"


@pytest.mark.parametrize("how", ["push", "save", "foreign channel", "another's seat"])
async def test_a_viewer_cannot_write(world: World, how: str) -> None:
    before = await world.site.read(OWNER, world.path)
    async with peer(world.url, await world.credential(VIEWER)) as link, peer(world.url, await world.credential(OWNER)) as owner:
        attached, copy = await seated(world, link, 1, VIEWER)
        assert attached.role is Role.VIEWER
        assert "Viewer" in attached.reason
        await seated(world, owner, 7, OWNER)
        if how == "save":
            answer = await link.ask(lambda number: p.Save(number, 1))
            assert (answer.kind, "Viewer" in answer.message) == ("not_authorized", True)
            answer = await link.ask(lambda number: p.Save(number, 7))
            assert answer.kind == "not_found"
        else:
            channel = {"push": 1, "foreign channel": 7, "another's seat": -1}[how]
            await link.send(p.Push(channel, 1, copy.edit("smuggled")))
            refused = await link.expect(p.Refuse)
            assert refused.kind == ("not_authorized" if channel == 1 else "not_found")
        await owner.ask(lambda number: p.Save(number, 7))
        assert not [message for message in owner.seen if isinstance(message, p.Update)]
    assert await world.site.read(OWNER, world.path) == before
    assert await text_in(world) == ""


async def test_nobody_speaks_under_anothers_client_id_or_name(world: World) -> None:
    async with (
        peer(world.url, await world.credential(VIEWER)) as forger,
        peer(world.url, await world.credential(OWNER)) as owner,
    ):
        await seated(world, owner, 1, OWNER)
        await seated(world, forger, 1, VIEWER)

        def state(name: str) -> bytes:
            return json.dumps({"user": {"name": name}}).encode()

        await owner.send(p.Speak(1, encode_awareness([AwarenessEntry(42, 1, state("Albert"))])))
        told = await forger.expect(p.Presence)
        await forger.send(p.Speak(1, encode_awareness([AwarenessEntry(42, 2**50, state("forged"))])))
        await forger.send(
            p.Speak(1, encode_awareness([AwarenessEntry(42, 2**50, b"null"), AwarenessEntry(43, 1, state("Albert"))]))
        )
        heard = decode_awareness((await owner.expect(p.Presence)).update)
        assert [(e.client, json.loads(e.state)["user"]["name"]) for e in heard] == [(43, "Richard Feynman")]
        assert json.loads(decode_awareness(told.update)[0].state)["user"]["name"] == "Albert Einstein"


@pytest.mark.parametrize("update", [b"\xff" * 20, b"", encode_awareness([AwarenessEntry(1, 1, b"[" * 15_000)])])
async def test_bad_awareness_costs_nobody_the_link(world: World, update: bytes) -> None:
    async with peer(world.url, await world.credential(OWNER)) as link:
        _, copy = await seated(world, link, 1, OWNER)
        await link.send(p.Speak(1, update), p.Push(1, 1, copy.edit("x")))
        await link.expect(p.Ack)


async def test_who_has_left_leaves_no_ghost_in_the_room(world: World) -> None:
    async with peer(world.url, await world.credential(OWNER)) as link, peer(world.url, await world.credential(EDITOR)) as other:
        await seated(world, link, 1, OWNER)
        await seated(world, other, 1, EDITOR)
        await other.send(p.Speak(1, encode_awareness([AwarenessEntry(42, 1, b"{}")])))
        await link.expect(p.Presence)
        await other.ws.close()
        gone = decode_awareness((await link.expect(p.Presence)).update)
        assert [(entry.client, entry.state) for entry in gone] == [(42, b"null")]


async def test_a_detach_overtakes_the_attach_it_takes_back(world: World) -> None:
    """A server that gave up waiting must not leave a seat behind: it would hold the lease and the credential for ever."""
    async with peer(world.url, await world.credential(OWNER)) as link:
        _, copy = await seated(world, link, 1, OWNER)
        credential = await world.credential(EDITOR)
        await link.send(p.attach_message(900, 2, world.target, credential), p.Detach(2))
        await link.send(p.attach_message(901, 3, world.target, credential))
        await link.expect(p.Attached, lambda attached: attached.request == 901)
        await link.send(p.Detach(3))
        await link.send(p.Push(1, 1, copy.edit("x")))
        status = await link.expect(p.Status, lambda status: status.editors == 1 and status.position > 1)
        assert status.editors == 1
        await link.send(p.Push(2, 1, copy.edit("y")))
        assert (await link.expect(p.Refuse)).kind == "not_found"


async def test_a_channel_can_be_attached_again_right_after_its_detach(world: World) -> None:
    async with peer(world.url, await world.credential(OWNER)) as link:
        _, copy = await seated(world, link, 1, OWNER)
        credential = await world.credential(OWNER)
        await link.send(p.Push(1, 1, copy.edit("a")), p.Detach(1), p.attach_message(900, 1, world.target, credential))
        assert isinstance(await link.expect(p.Attached | p.Failed), p.Attached)  # type: ignore[arg-type]
        await link.send(p.Push(1, 2, copy.edit("b")))
        acks = [await link.expect(p.Ack), await link.expect(p.Ack)]
        assert [ack.seq for ack in acks] == [1, 2]
    assert await text_in(world) == "ab"


async def test_a_taken_channel_is_refused(world: World) -> None:
    async with peer(world.url, await world.credential(OWNER)) as link:
        await seated(world, link, 1, OWNER)
        again = await link.attach(1, world.target, await world.credential(EDITOR))
        assert (again.kind, "taken" in again.message) == ("invalid_input", True)


async def test_news_come_once_per_link_and_go_on_until_the_last_seat_goes(world: World) -> None:
    async with peer(world.url, await world.credential(OWNER)) as link, peer(world.url, await world.credential(EDITOR)) as other:
        _, copy = await seated(world, other, 1, EDITOR)
        await seated(world, link, 1, OWNER)
        await seated(world, link, 2, VIEWER)

        async def news(word: str) -> int:
            await other.send(p.Push(1, ord(word), copy.edit(word)))
            await other.expect(p.Ack)
            await link.ask(lambda number: p.Save(number, 77))  # comes after what was on the way
            found = [message for message in link.seen if isinstance(message, p.Update)]
            link.seen.clear()
            return len(found)

        assert await news("a") == 1
        await link.send(p.Detach(1))
        assert await news("b") == 1
        await link.send(p.Detach(2), p.Forget(world.room))
        assert await news("c") == 0
        attached = await link.attach(3, world.target, await world.credential(OWNER))
        await link.sync(attached.room)
        assert await news("d") == 1


async def test_a_sync_is_only_for_who_sits_there(world: World) -> None:
    async with peer(world.url, await world.credential(OWNER)) as outsider:
        assert (await outsider.sync(world.room)).kind == "not_found"
        attached, _ = await seated(world, outsider, 1, OWNER)
        assert isinstance(await outsider.sync(attached.room), p.Synced)
        bad = await outsider.sync(attached.room, attached.lineage, b"\xff" * 30)
        assert bad.kind == "invalid_input"
        assert isinstance(await outsider.sync(attached.room), p.Synced)


async def test_a_refused_sync_leaves_nothing_that_grows(world: World) -> None:
    async with peer(world.url, await world.credential(OWNER)) as link, peer(world.url, await world.credential(EDITOR)) as other:
        attached = await link.attach(1, world.target, await world.credential(OWNER))
        assert (await link.sync(attached.room, attached.lineage, b"\xff" * 30)).kind == "invalid_input"
        _, copy = await seated(world, other, 1, EDITOR)
        await other.send(p.Push(1, 1, copy.edit("x")))
        await other.expect(p.Ack)
        synced = await link.sync(attached.room)
        assert Copy(synced).text == "x"
        assert not [message for message in link.seen if isinstance(message, p.Update)]


async def test_many_syncs_at_once_are_answered_one_after_the_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may be as large as the document, and take the worker's time from everybody."""
    running = most = 0
    diff = WorkerDocument.diff

    async def counted(document: WorkerDocument, state_vector: bytes) -> bytes:
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        try:
            return await diff(document, state_vector)
        finally:
            running -= 1

    async with peer(world.url, await world.credential(VIEWER)) as link:
        attached, _ = await seated(world, link, 1, VIEWER)
        monkeypatch.setattr(WorkerDocument, "diff", counted)
        await link.send(*[p.Sync(1000 + n, attached.room, attached.lineage, b"") for n in range(50)])
        for n in range(50):
            await link.expect(p.Synced, lambda message, n=n: message.request == 1000 + n)  # type: ignore[misc]
    assert most == 1


async def test_another_lineage_gets_everything(world: World) -> None:
    async with peer(world.url, await world.credential(OWNER)) as link:
        attached, copy = await seated(world, link, 1, OWNER)
        state = copy.doc.get_state()
        same = await link.sync(attached.room, attached.lineage, state)
        other = await link.sync(attached.room, "another", state)
        assert len(same.update) < len(other.update)
        assert Copy(other).doc.get_state() == state


@pytest.mark.parametrize("limits", [{"recheck_s": 0.1}])
async def test_who_loses_the_share_is_sent_away(world: World) -> None:
    async with peer(world.url, await world.credential(EDITOR)) as link:
        _, copy = await seated(world, link, 1, EDITOR)
        await withdraw(world.site, EDITOR)
        detached = await link.expect(p.Detached)
        assert (detached.channel, detached.kind) == (1, "not_authorized")
        assert "no longer shared" in detached.message
        await link.send(p.Push(1, 1, copy.edit("x")))
        assert (await link.expect(p.Refuse)).kind == "not_found"
        assert (await link.attach(1, world.target, await world.credential(EDITOR))).kind in ("not_found", "not_authorized")


@pytest.mark.parametrize("limits", [{"recheck_s": 0.1}])
async def test_who_becomes_a_viewer_cannot_write_any_more(world: World) -> None:
    async with peer(world.url, await world.credential(EDITOR)) as link:
        _, copy = await seated(world, link, 1, EDITOR)
        giver = await world.site.session(OWNER)
        await shares.update_share(giver, await share_of(world.site, EDITOR), Role.VIEWER)
        changed = await link.expect(p.RoleChanged)
        assert (changed.channel, changed.role, "Viewer" in changed.reason) == (1, Role.VIEWER, True)
        await link.send(p.Push(1, 1, copy.edit("x")))
        assert (await link.expect(p.Refuse)).kind == "not_authorized"


async def withdraw(site: Site, user: str) -> None:
    await shares.remove_share(await site.session(OWNER), (await share_of(site, user)).id)


async def share_of(site: Site, user: str) -> shares.Share:
    """The share that `user` got."""
    taker = (await site.session(user)).user
    found = await shares.list_shares(await site.session(OWNER))
    return next(share for share in found if share.grantee.opaque_id == taker.opaque_id)


async def test_a_token_that_ended_is_said_so_and_a_new_one_helps(world: World) -> None:
    async with peer(world.url, await world.credential(OWNER)) as link:
        await seated(world, link, 1, OWNER)
        good = await world.credential(OWNER)
        assert isinstance(await link.ask(lambda number: p.Renew(number, 1, "bearer", "", good.secret)), p.Renewed)
        await link.send(p.Renew(900, 1, "bearer", "", "no token"))
        detached = await link.expect(p.Detached)
        assert detached.kind == "not_authenticated"
        assert isinstance(await link.attach(1, world.target, good), p.Attached)


async def test_a_channel_cannot_be_renewed_into_another_person(world: World) -> None:
    """The seat of a viewer with an editor's credential would write in the viewer's name."""
    async with peer(world.url, await world.credential(VIEWER)) as link:
        await seated(world, link, 1, VIEWER)
        owner = await world.credential(OWNER)
        refused = await link.ask(lambda number: p.Renew(number, 1, "ocm", "1", owner.secret))
        assert refused.kind == "invalid_input"
        await link.send(p.Renew(900, 1, "bearer", "", owner.secret))
        detached = await link.expect(p.Detached)
        assert (detached.kind, "Richard" in detached.message) == ("not_authenticated", True)
        assert (await link.ask(lambda number: p.Renew(number, 5, "bearer", "", "x"))).kind == "not_found"


async def test_a_save_writes_what_was_typed_before_it(world: World) -> None:
    async with peer(world.url, await world.credential(OWNER)) as link:
        _, copy = await seated(world, link, 1, OWNER)
        await link.send(p.Push(1, 1, copy.edit("typed")), p.Save(900, 1))
        saved = await link.expect(p.Saved)
        assert (saved.status, bool(saved.etag)) == ("success", True)
        assert b"typed" in await world.site.read(OWNER, world.path)


async def test_a_poisoned_update_is_refused_and_counted(world: World) -> None:
    quarantined = await metric(world, "cs3collab_quarantined_total")
    async with peer(world.url, await world.credential(OWNER)) as link:
        _, copy = await seated(world, link, 1, OWNER)
        await link.send(p.Push(1, 1, b"\x01\x02\x03\xff\xff"), p.Push(1, 2, copy.edit("fine")))
        assert (await link.expect(p.Refuse)).kind == "update_rejected"
        assert (await link.expect(p.Ack)).seq == 2
        assert await metric(world, "cs3collab_quarantined_total") == quarantined + 1


@pytest.mark.parametrize("limits", [{"update_bytes": 4096}])
@pytest.mark.parametrize(("size", "fits"), [(4096, True), (4097, False)])
async def test_an_update_is_bounded(world: World, size: int, fits: bool) -> None:
    async with peer(world.url, await world.credential(OWNER)) as link:
        _, copy = await seated(world, link, 1, OWNER)
        overhead = len(copy.edit("x" * 3000)) - 3000
        _, copy = await seated(world, link, 2, OWNER)
        update = copy.edit("x" * (size - overhead))
        assert len(update) == size
        await link.send(p.Push(2, 1, update))
        answer = await link.expect(p.Ack | p.Refuse)  # type: ignore[arg-type]
        assert isinstance(answer, p.Ack if fits else p.Refuse)
        assert fits or answer.kind == "invalid_input"


@pytest.mark.parametrize("limits", [{"channels_per_link": 2}])
async def test_channels_are_bounded(world: World) -> None:
    async with peer(world.url, await world.credential(OWNER)) as link:
        await seated(world, link, 1, OWNER)
        await seated(world, link, 2, OWNER)
        refused = await link.attach(3, world.target, await world.credential(OWNER))
        assert refused.kind == "overloaded"


@pytest.mark.parametrize("limits", [{"seats_per_room": 1}])
async def test_a_full_room_is_said_so(world: World) -> None:
    async with peer(world.url, await world.credential(OWNER)) as link:
        await seated(world, link, 1, OWNER)
        assert (await link.attach(2, world.target, await world.credential(OWNER))).kind == "overloaded"
        await link.send(p.Detach(1))
        assert isinstance(await link.attach(2, world.target, await world.credential(OWNER)), p.Attached)


@pytest.mark.parametrize("frame", [b"", b"\xff", b"\x91\x92\x15\xa1\xff", p.encode([p.Ack(1, 1, 1)])])
async def test_a_frame_that_breaks_the_protocol_ends_the_link_and_nothing_else(world: World, frame: bytes) -> None:
    async with peer(world.url, await world.credential(OWNER)) as good, peer(world.url, await world.credential(EDITOR)) as bad:
        _, copy = await seated(world, good, 1, OWNER)
        await seated(world, bad, 1, EDITOR)
        await bad.ws.send_bytes(frame)
        assert await bad.closed() == 1002
        await good.send(p.Push(1, 1, copy.edit("x")))
        await good.expect(p.Ack)
        await good.expect(p.Status, lambda status: status.editors == 1)


async def test_what_was_pushed_last_is_kept_when_the_link_breaks_at_once(world: World) -> None:
    async with peer(world.url, await world.credential(OWNER)) as link, peer(world.url, await world.credential(EDITOR)) as other:
        _, copy = await seated(world, link, 1, OWNER)
        await seated(world, other, 1, EDITOR)
        await link.send(*[p.Push(1, n, copy.edit(f"{n} ")) for n in range(50)])
        link.ws._response.connection.transport.abort()  # type: ignore[union-attr]
        await other.expect(p.Status, lambda status: status.editors == 1)
        synced = await other.sync(world.room)
        words = Copy(synced).text.split()
        assert words == [str(n) for n in range(len(words))]


async def test_who_shows_nothing_gets_no_link(world: World) -> None:
    counted = telemetry.REJECTED.labels("not_authenticated")._value.get()
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic eDp5"}, {"Authorization": "OCM eDp5"}):
        async with aiohttp.ClientSession() as http:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await http.ws_connect(world.url + p.LINK_PATH, protocols=[p.SUBPROTOCOL], headers=headers)
            assert refused.value.status == 401
    assert telemetry.REJECTED.labels("not_authenticated")._value.get() == counted + 4


async def test_another_version_of_the_protocol_is_told_so(world: World) -> None:
    async with peer(world.url, await world.credential(OWNER), protocol="cs3collab.v0") as link:
        assert await link.closed() == 1002


async def test_requests_of_unknown_documents_fail_in_words(world: World) -> None:
    from dataclasses import replace

    from cs3collab.types import ResourceId, Target

    credential = await world.credential(OWNER)
    async with peer(world.url, credential) as link:
        nowhere = replace(world.target, resource_id=ResourceId("x", "y", "z"))
        for target, kinds in (
            (nowhere, ("not_found", "not_authorized")),
            (Target(), ("invalid_input",)),
            (replace(world.target, path="../x"), ("invalid_input",)),
            (replace(world.target, format="x"), ("invalid_input",)),
            (Target(share_id="nothing"), ("not_found", "unsupported", "invalid_input")),
        ):
            failed = await link.attach(1, target, credential)
            assert failed.kind in kinds, (target, failed)
            assert failed.message
        for bad in (Credential("bearer", "x"), Credential("ocm", "x", "y"), Credential("basic", "x")):
            assert (await link.attach(1, world.target, bad)).kind in ("not_authenticated", "invalid_input", "not_authorized")
        assert isinstance(await link.attach(1, world.target, credential), p.Attached)


async def test_many_at_once_open_one_room(world: World) -> None:
    credential, before = await world.credential(OWNER), await metric(world, "cs3collab_rooms")
    async with peer(world.url, credential) as link:
        await link.send(*[p.attach_message(n, n, world.target, credential) for n in range(1, 60)])
        async with asyncio.timeout(20):
            for _ in range(59):
                await link.expect(p.Attached)
        assert await metric(world, "cs3collab_rooms") == before + 1
        assert await metric(world, 'cs3collab_seats{role="editor"}') == 59
        assert await metric(world, "cs3collab_links") >= 1


@pytest.mark.parametrize("limits", [{"outbox_bytes": 24_000}])
async def test_versions_that_wait_to_be_merged_are_bounded_together(world: World) -> None:
    async with peer(world.url, await world.credential(OWNER)) as link:
        await seated(world, link, 1, OWNER)
        merges = [p.Merge(100 + n, 1, notebook(f"{n}" * 9000, "y = 2"), notebook("", "y = 2"), "") for n in range(3)]
        await link.send(*merges)
        answers = {answer.request: answer for answer in [await link.expect(p.MergedIn | p.Failed) for _ in merges]}  # type: ignore[arg-type]
        assert isinstance(answers[100], p.MergedIn)
        assert isinstance(answers[101], p.MergedIn)
        assert (answers[102].kind, "24000 bytes" in answers[102].hint) == ("overloaded", True)
        alone = await link.ask(lambda number: p.Merge(number, 1, notebook("z" * 30_000, "y = 2"), None, ""))
        assert isinstance(alone, p.MergedIn)
        again = await link.ask(lambda number: p.Merge(number, 1, merges[2].content, merges[2].base, ""))
        assert isinstance(again, p.MergedIn)
