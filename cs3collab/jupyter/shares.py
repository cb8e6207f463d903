"""``api/cs3collab/`` shares, received shares, people, invitations, providers and file info: ``docs/reference/sharing.md``.

The server asks CS3 as its user; storage decides. Nothing here blocks the event loop, and every list is bounded.
"""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from cs3collab import telemetry
from cs3collab.cs3 import shares, sharing
from cs3collab.cs3.sharing import Invite
from cs3collab.errors import CollabError, DeadlineExceeded, InvalidInput
from cs3collab.jupyter import shares_json as body
from cs3collab.jupyter import shares_model as model
from cs3collab.jupyter.handlers import check_contents
from cs3collab.jupyter.live import Live
from cs3collab.jupyter.shares_given import GivenShares, Taken
from cs3collab.jupyter.shares_info import file_info
from cs3collab.jupyter.shares_people import Directory
from cs3collab.jupyter.shares_received import GotShares

DEADLINE_S: Final = 30.0
"""How long an answer may take; each question to the gateway has a shorter one of its own."""
STATES: Final = tuple(state.value for state in sharing.State)


class Sharing:
    """What the handlers of one server have in common."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.settings = live.settings
        self.directory = Directory(live.settings.session)
        self.given = GivenShares(live.settings, self.directory)
        self.got = GotShares(live.settings, self.directory)


class SharingHandler(APIHandler):
    """Answers JSON; an error is `Failure` with the status of its kind."""

    auth_resource = "contents"

    def initialize(self, sharing: Sharing) -> None:
        self.sharing = sharing
        self._working: asyncio.Task[Any] | None = None

    async def answer(self, work: Callable[[], Awaitable[Any]], status: int = 200) -> None:
        try:
            check_contents(self.contents_manager)
            async with asyncio.timeout(DEADLINE_S):
                result = await work()
        except TimeoutError:
            self.refuse(DeadlineExceeded("the gateway took too long", hint="try again"))
        except CollabError as error:
            self.refuse(error)
        else:
            self.say(status, result)

    def refuse(self, error: CollabError, share: str | None = None) -> None:
        telemetry.REJECTED.labels(error.kind).inc()
        self.log.info("%s %s: %s", self.request.method, self.request.path, error)
        self.say(error.http_status, body.Failure(error.message, error.hint, error.kind, share))

    def say(self, status: int, result: Any) -> None:
        self.set_status(status)
        self.set_header("Cache-Control", "no-store")
        if status == http.HTTPStatus.NO_CONTENT:
            self.finish()
        else:
            self.finish(msgspec.json.encode(result), set_content_type="application/json")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """What Jupyter refuses before we are asked, in the same shape."""
        error = (kwargs.get("exc_info") or (None, None))[1]
        said = (error.log_message or error.reason) if isinstance(error, web.HTTPError) else None
        message = str(said or http.client.responses.get(status_code, "error"))
        self.say(
            status_code,
            body.Failure(message, "", _KINDS.get(status_code, "internal" if status_code >= 500 else "invalid_input")),
        )

    def query(self, *known: str) -> dict[str, str]:
        """The query's fields. Raises `InvalidInput` for others than `known` and those that Jupyter itself understands."""
        fields = {name: self.get_query_argument(name) for name in self.request.query_arguments}
        for name in fields.keys() - {*known, "token", "_xsrf"}:
            if not name.isdigit():  # JupyterLab adds the time against caches
                raise InvalidInput(
                    f"unknown field {name[:40]!r}", hint=f"known are {', '.join(known)}" if known else "leave it out"
                )
        return {name: fields[name] for name in known if name in fields}

    def limit(self, text: str | None, usual: int, most: int) -> int:
        """Raises `InvalidInput` for what is no number from 1 to `most`."""
        if text is None:
            return usual
        if not text.isdecimal() or not 1 <= int(text[:9]) <= most:
            raise InvalidInput(f"limit is {text[:40]!r}", hint=f"send a number from 1 to {most}")
        return int(text)

    async def cancellable(self, work: Callable[[], Awaitable[Any]]) -> None:
        """`answer` that ends when the browser does not want it any more, as happens while somebody types."""
        self._working = asyncio.ensure_future(self.answer(work))
        try:
            await asyncio.shield(self._working)
        except asyncio.CancelledError:
            if not self._working.cancelled():
                raise

    def on_connection_close(self) -> None:
        if self._working is not None:
            self._working.cancel()
        super().on_connection_close()


class SharesHandler(SharingHandler):
    """The shares this user gives."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        async def work() -> body.Shares:
            asked = self.query("path", "limit")
            return await self.sharing.given.listed(
                asked.get("path"), self.limit(asked.get("limit"), model.LISTED, model.MAX_LISTED)
            )

        await self.answer(work)

    @web.authenticated
    @authorized
    async def post(self) -> None:
        async def work() -> body.Share | Taken:
            self.query()
            return await self.sharing.given.create(body.parse(self.request.body, body.NewShare))

        await self.answer(work, 201)

    def say(self, status: int, result: Any) -> None:
        if isinstance(result, Taken):
            there = body.Failure("it is shared with them already", "change that share instead", "already_exists", result.id)
            status, result = 409, there
        super().say(status, result)


class ShareHandler(SharingHandler):
    """One share this user gave."""

    @web.authenticated
    @authorized
    async def get(self, id: str) -> None:
        await self.answer(lambda: self.sharing.given.get(id))

    @web.authenticated
    @authorized
    async def patch(self, id: str) -> None:
        async def work() -> body.Share:
            return await self.sharing.given.change(id, body.parse(self.request.body, body.ShareChange))

        await self.answer(work)

    @web.authenticated
    @authorized
    async def delete(self, id: str) -> None:
        await self.answer(lambda: self.sharing.given.remove(id), 204)


class ReceivedSharesHandler(SharingHandler):
    """The shares this user got."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        async def work() -> body.ReceivedShares:
            asked = self.query("state", "limit")
            state = asked.get("state", "")
            if state not in ("", *STATES):
                raise InvalidInput(f"unknown state {state[:40]!r}", hint=f"one of {', '.join(STATES)}")
            limit = self.limit(asked.get("limit"), model.LISTED, model.MAX_LISTED)
            return await self.sharing.got.listed(state, limit)

        await self.answer(work)


class ReceivedShareHandler(SharingHandler):
    """One share this user got."""

    @web.authenticated
    @authorized
    async def get(self, id: str) -> None:
        await self.answer(lambda: self.sharing.got.get(id))

    @web.authenticated
    @authorized
    async def patch(self, id: str) -> None:
        async def work() -> body.Received:
            answer = body.parse(self.request.body, body.Answer)
            return await self.sharing.got.answer(id, sharing.State(answer.state))

        await self.answer(work)


class PeopleHandler(SharingHandler):
    """Whom one can share with."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        async def work() -> body.People:
            asked = self.query("q", "limit")
            if len(asked.get("q", "")) > model.MAX_QUERY:
                raise InvalidInput("the query is too long", hint=f"at most {model.MAX_QUERY} characters")
            limit = self.limit(asked.get("limit"), model.FOUND, model.MAX_FOUND)
            return await self.sharing.directory.search(asked.get("q", ""), limit)

        await self.cancellable(work)


class InvitationsHandler(SharingHandler):
    """Invitations to people of other sites, who can be found once they accepted."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        async def work() -> body.Invitations:
            limit = self.limit(self.query("limit").get("limit"), model.LISTED, model.MAX_LISTED)
            session = await self.sharing.settings.session()
            made = await shares.list_invites(session)
            some, truncated = model.bounded(made, limit, lambda invite: invite.expires_at or 0.0)
            return body.Invitations([self._invitation(invite, self._site(session.user)) for invite in some], truncated)

        await self.answer(work)

    @web.authenticated
    @authorized
    async def post(self) -> None:
        async def work() -> body.Invitation:
            new = body.parse(self.request.body, body.NewInvitation)
            session = await self.sharing.settings.session()
            return self._invitation(await shares.generate_invite(session, new.description), self._site(session.user))

        await self.answer(work, 201)

    def _site(self, user: Any) -> str:
        return self.sharing.settings.site or sharing.domain_of(user)

    def _invitation(self, invite: Invite, site: str) -> body.Invitation:
        return body.Invitation(invite.token, model.invitation_code(invite.token, site), invite.description, invite.expires_at)


class AcceptHandler(SharingHandler):
    """An invitation from another site."""

    @web.authenticated
    @authorized
    async def post(self) -> None:
        async def work() -> body.Person:
            sent = body.parse(self.request.body, body.Acceptance)
            token, site = model.parse_invitation(sent.token, sent.site)
            return model.person(await shares.forward_invite(await self.sharing.settings.session(), token, site))

        await self.answer(work, 201)


class ProvidersHandler(SharingHandler):
    """The sites of the mesh."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        async def work() -> body.Providers:
            limit = self.limit(self.query("limit").get("limit"), model.LISTED, model.MAX_LISTED)
            session = await self.sharing.settings.session()
            here = self.sharing.settings.site or sharing.domain_of(session.user)
            sites = sorted(await shares.list_providers(session), key=lambda provider: provider.domain)
            listed = [body.Provider(site.domain, site.name, site.domain == here) for site in sites[:limit]]
            return body.Providers(listed, len(sites) > limit)

        await self.answer(work)


class InfoHandler(SharingHandler):
    """One file or folder."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        async def work() -> body.Info:
            path = self.query("path").get("path", "")
            return await file_info(self.sharing.settings, self.sharing.live, self.sharing.directory, path)

        await self.answer(work)


_KINDS: Final = {401: "not_authenticated", 403: "not_authorized", 404: "not_found"}

ROUTES: Final[dict[str, type[SharingHandler]]] = {
    "shares": SharesHandler,
    "shares/{id}": ShareHandler,
    "received": ReceivedSharesHandler,
    "received/{id}": ReceivedShareHandler,
    "people": PeopleHandler,
    "invitations": InvitationsHandler,
    "invitations/accept": AcceptHandler,
    "providers": ProvidersHandler,
    "info": InfoHandler,
}
"""Below ``/api/cs3collab/``, as the OpenAPI document names them."""


def routes(live: Live) -> list[tuple[Any, ...]]:
    shared = {"sharing": Sharing(live)}
    return [(f"/api/cs3collab/{name.replace('{id}', '([^/]+)')}", handler, shared) for name, handler in ROUTES.items()]
