"""One user's way into a room: how a credential is shown, and what an outbox keeps."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cs3collab.errors import NotAuthenticated, NotAuthorized, NotFound
from cs3collab.relay import protocol as p
from cs3collab.relay.channel import OVERHEAD_BYTES, LinkChannel, authorization, credential_of
from cs3collab.relay.link import Link
from cs3collab.types import Credential, Role, Target

SECRET = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


@given(SECRET)
def test_a_bearer_token_comes_back(secret: str) -> None:
    assert credential_of(authorization(Credential("bearer", secret))) == Credential("bearer", secret)


@given(st.text(min_size=1, max_size=20).filter(lambda text: ":" not in text), st.text(max_size=40))
def test_a_share_comes_back(share: str, secret: str) -> None:
    try:
        header = authorization(Credential("ocm", secret, share))
    except UnicodeEncodeError:  # half a surrogate pair is no text
        return
    assert credential_of(header) == Credential("ocm", secret, share)


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic eDp5", "OCM", "OCM %%%", "OCM eA==", "OCM Onk=", "OCM /////w=="]
)
def test_what_is_no_credential_is_refused(header: str) -> None:
    with pytest.raises(NotAuthenticated):
        credential_of(header)


@given(st.text(max_size=60))
def test_any_header_is_a_credential_or_refused(header: str) -> None:
    with contextlib.suppress(NotAuthenticated):
        assert credential_of(header).kind in ("bearer", "ocm")


@pytest.fixture
async def channel() -> LinkChannel:
    async def credentials() -> Credential:
        return Credential("bearer", "x")

    link = Link("http://127.0.0.1:1")
    made = LinkChannel(link, 1, Target(), credentials)
    made.attached = p.Attached(1, "r", Role.EDITOR, "", "lineage", "n", "h", "u", "i", "u", "U")
    return made


async def test_an_outbox_counts_what_it_holds_until_it_is_answered(channel: LinkChannel) -> None:
    first, second, third = (asyncio.ensure_future(channel.push(b"x" * size)) for size in (10, 20, 30))
    assert channel.outbox_bytes == 60 + 3 * OVERHEAD_BYTES
    assert channel.pending() == [b"x" * 10, b"x" * 20, b"x" * 30]
    channel.acknowledged(1, 7)
    channel.acknowledged(1, 8)
    channel.acknowledged(99, 8)
    assert await first == 7
    channel.refused(p.Refuse(1, 2, "not_authorized", "no", ""))
    with pytest.raises(NotAuthorized):
        await second
    assert channel.outbox_bytes == 30 + OVERHEAD_BYTES
    channel.close()
    assert third.cancelled()
    assert (channel.outbox_bytes, channel.pending()) == (0, [])
    await channel._link.close()


@pytest.mark.parametrize("kind", ["unavailable", "storage_unavailable", "deadline_exceeded", "overloaded"])
async def test_what_may_pass_later_stays(channel: LinkChannel, kind: str) -> None:
    waiting = asyncio.ensure_future(channel.push(b"x"))
    channel.refused(p.Refuse(1, 1, kind, "later", ""))
    assert channel.pending() == [b"x"]
    assert not waiting.done()
    channel.close()
    await channel._link.close()


async def test_who_stopped_waiting_does_not_take_the_edit_back(channel: LinkChannel) -> None:
    waiting = asyncio.ensure_future(channel.push(b"x"))
    waiting.cancel()
    assert channel.pending() == [b"x"]
    channel.acknowledged(1, 2)
    assert channel.outbox_bytes == 0
    await channel._link.close()


async def test_a_channel_that_ended_says_why_also_later(channel: LinkChannel) -> None:
    ended: list[Exception] = []
    channel.on_detached = ended.append
    waiting = asyncio.ensure_future(channel.push(b"x"))
    channel.fail(NotAuthorized("unshared"))
    for push in (waiting, asyncio.ensure_future(channel.push(b"y"))):
        with pytest.raises(NotAuthorized, match="unshared"):
            await push
    assert len(ended) == 1
    assert channel.pending() == []
    await channel._link.close()


async def test_a_role_that_changed_is_what_is_told_afterwards(channel: LinkChannel) -> None:
    """Between the answer to the attach and the seat there is time for it to change."""
    channel.role_changed(Role.VIEWER, "viewer now")
    assert (channel.role, channel.reason) == (Role.VIEWER, "viewer now")
    await channel._link.close()


async def test_what_came_after_the_relay_closed_the_channel_stays_in_the_outbox(channel: LinkChannel) -> None:
    """A token ended: the edit is sent again with the next, in the name of its author."""
    channel.ready = True
    durable = asyncio.ensure_future(channel.push(b"abc"))
    channel.ready = False
    channel.refused(p.Refuse(1, 1, "not_found", "this channel is closed", ""))
    assert (channel.pending(), durable.done()) == ([b"abc"], False)
    channel.ready = True
    channel.refused(p.Refuse(1, 1, "not_found", "this channel is closed", ""))
    with pytest.raises(NotFound):
        await durable
    await channel._link.close()
