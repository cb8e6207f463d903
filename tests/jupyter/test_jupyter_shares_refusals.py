"""What the shares API says when it cannot: no login here or there, no right, nobody answering, half a change."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from support.notebooks import notebook
from support.shares_api import BASE, Api, acquaint, check
from support.sites import Site, jupyter_server, site, two_sites

from cs3collab.gateway import mesh, ocm, service
from cs3collab.jupyter.shares import ROUTES

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
FAILURE = {"$ref": "#/components/schemas/Failure"}
QUESTIONS = [
    "shares",
    "received",
    "people?q=marie",
    "invitations",
    "providers",
    "info?path=n.ipynb",
    "shares/local:x",
    "received/ocm:x",
]
ODD = [
    "\0",
    "a\0b",
    "\ud800",
    "\u00e9" * 300,
    "x" * 5000,
    "../..",
    "%2e%2e",
    "a/b",
    "::",
    "local:",
    "ocm:\0",
    "link:x y",
    "\U0001f600",
]
READERS = """
from jupyter_server.auth.authorizer import Authorizer

class Readers(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return action == "read" and resource in ("api", "contents")
"""


@pytest.fixture
async def home(tmp_path: Any) -> AsyncIterator[Site]:
    async with site(tmp_path) as running:
        await running.put("einstein", "n.ipynb", notebook("1"))
        yield running


async def ask(api: Api, question: str) -> tuple[int, Any]:
    status, answer = await api.server.request("GET", BASE + question)
    if status >= 400:
        check(FAILURE, answer)
    return status, answer


def odd_calls(odd: str) -> list[tuple[str, str, Any]]:
    text = quote(odd, safe="", errors="surrogatepass")
    names = ("shares/", "received/", "shares?path=", "info?path=", "people?q=", "received?state=", "people?x")
    body = {"path": "n.ipynb", "kind": "user", "role": "viewer", "grantee": {"id": odd, "idp": odd[:9]}}
    return [
        *[("GET", f"{name}{text}", None) for name in names],
        *[("POST", "shares", sent) for sent in (body, body | {"kind": "federated"}, body | {"path": odd})],
        ("POST", "invitations/accept", {"token": odd}),
        ("PATCH", f"received/{text}", {"state": "accepted"}),
    ]


async def test_odd_texts_are_answered_and_never_by_a_fault(home: Site) -> None:
    calls = [call for odd in ODD for call in odd_calls(odd)]
    async with jupyter_server(home, "einstein", app="jupyter_server") as server:
        answers = [await server.request(method, f"{BASE}{path}", body) for method, path, body in calls]
        assert "Traceback" not in server.tail(10**6)
    assert {status for status, _ in answers} <= {200, 400, 404, 501}
    for status, answer in answers:
        if status >= 400:
            check(FAILURE, answer)


async def test_nobody_unknown_to_jupyter_asks(home: Site) -> None:
    async with jupyter_server(home, "einstein", app="jupyter_server") as server:
        server.token = "wrong"
        for name, handler in ROUTES.items():
            for method in ("get", "post", "patch", "delete"):
                if method in vars(handler):
                    status, answer = await server.request(method.upper(), BASE + name.replace("{id}", "local:x"))
                    assert status == 403, (method, name)
                    check(FAILURE, answer)


async def test_an_authorizer_of_the_server_decides_too(home: Site, tmp_path: Any) -> None:
    folder = tmp_path / "readers"
    (folder / "work").mkdir(parents=True)
    (folder / "work" / "readers.py").write_text(READERS)
    config = {"ServerApp": {"authorizer_class": "readers.Readers"}}
    async with jupyter_server(home, "einstein", app="jupyter_server", folder=folder, config=config) as server:
        api = Api(server)
        assert (await ask(api, "shares"))[0] == 200
        body = {"path": "n.ipynb", "kind": "user", "role": "viewer", "grantee": {"id": "marie-id"}}
        assert (await api("POST", "shares", body))[0] == 403
        assert (await api("DELETE", "shares/local:x"))[0] == 403
        assert (await api.ok("GET", "shares"))["shares"] == []


async def test_a_browser_needs_the_token_against_forgery(home: Site) -> None:
    async with (
        jupyter_server(home, "einstein", app="jupyter_server") as server,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser,
    ):
        async with browser.get(f"{server.url}login?token={server.token}"):
            xsrf = next(cookie.value for cookie in browser.cookie_jar if cookie.key == "_xsrf")
        body = json.dumps({"description": "x"}).encode()
        async with browser.post(f"{server.url}{BASE}invitations", data=io.BytesIO(body)) as answer:
            assert answer.status == 403
            assert re.search("_xsrf", await answer.text())
        headers = {"X-XSRFToken": xsrf}
        async with browser.post(f"{server.url}{BASE}invitations", data=io.BytesIO(body), headers=headers) as answer:
            assert answer.status == 201


async def test_a_storage_that_refuses_the_login_is_401(home: Site) -> None:
    config = {"CS3Settings": {"check_at_start": False}}
    async with jupyter_server(home, "einstein", app="jupyter_server", config=config, password="forgotten") as server:
        for question in QUESTIONS:
            status, answer = await ask(Api(server), question)
            assert (status, answer["error"], "password" in answer["hint"]) == (401, "not_authenticated", True), question


async def test_a_storage_that_is_away_is_503_and_comes_back(home: Site) -> None:
    async with jupyter_server(home, "einstein", app="jupyter_server") as server:
        api = Api(server)
        assert (await ask(api, "shares"))[0] == 200
        address = home.address
        await home.gateway.stop()
        for question in QUESTIONS:
            status, answer = await ask(api, question)
            assert (status, answer["error"]) == (503, "storage_unavailable"), (question, answer)
            assert answer["hint"]
        home.gateway.config = replace(home.config, grpc_port=int(address.rpartition(":")[2]))
        await home.gateway.start()
        async with asyncio.timeout(30):
            while (await ask(api, "shares"))[0] != 200:  # noqa: ASYNC110 - gRPC connects again after a while
                await asyncio.sleep(0.2)


@pytest.mark.slow
async def test_a_storage_that_does_not_answer_is_504(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline of a call is 20 s."""

    async def silent(site: Any, caller: Any, request: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setitem(service.METHODS, "GetShare", service.Method(silent))
    async with site(tmp_path) as home, jupyter_server(home, "einstein", app="jupyter_server") as server:
        status, answer = await ask(Api(server), "shares/local:x")
        assert (status, answer["error"], bool(answer["hint"])) == (504, "deadline_exceeded", True)


async def test_a_search_that_the_browser_gives_up_is_given_up(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, given_up = asyncio.Event(), asyncio.Event()

    async def silent(site: Any, caller: Any, request: Any) -> Any:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()

    monkeypatch.setitem(service.METHODS, "FindUsers", service.Method(silent))
    async with site(tmp_path) as home, jupyter_server(home, "einstein", app="jupyter_server") as server:
        asking = asyncio.create_task(Api(server).ok("GET", "people", q="marie"))
        async with asyncio.timeout(15):  # the gateway's own deadline is 20 s
            await asked.wait()
            asking.cancel()
            await given_up.wait()
        assert (await ask(Api(server), "people?q="))[0] == 200
        assert "Traceback" not in server.tail()


async def test_a_server_whose_files_are_elsewhere_shares_nothing(home: Site) -> None:
    config = {
        "ServerApp": {"contents_manager_class": "jupyter_server.services.contents.largefilemanager.AsyncLargeFileManager"},
        "FileIdExtension": {"file_id_manager_class": "jupyter_server_fileid.manager.ArbitraryFileIdManager"},
    }
    async with jupyter_server(home, "einstein", app="jupyter_server", config=config) as server:
        for question in QUESTIONS:
            status, answer = await ask(Api(server), question)
            assert (status, "contents_manager_class" in answer["hint"]) == (400, True), question


async def test_a_site_that_is_away_is_said_and_half_a_change_ends_the_access(tmp_path: Any) -> None:
    async with (
        two_sites(tmp_path) as (a, b),
        jupyter_server(a, "einstein", app="jupyter_server") as here,
        jupyter_server(b, "marie", app="jupyter_server") as there,
    ):
        einstein = Api(here)
        await acquaint(einstein, Api(there))
        marie = await einstein.person("marie", "federated")
        for name in ("one.txt", "two.txt"):
            await a.put("einstein", name, b"x")
        made = await einstein.share("one.txt", marie, "editor")
        await b.gateway.stop()

        grantee = {"id": marie["id"], "idp": marie["idp"]}
        body = {"path": "two.txt", "kind": "federated", "role": "viewer", "grantee": grantee}
        status, answer = await einstein("POST", "shares", body)
        assert (status, answer["error"], b.name in answer["message"]) == (503, "peer_unavailable", True)
        assert (await einstein.ok("GET", "shares", path="two.txt"))["shares"] == []

        status, answer = await einstein("PATCH", f"shares/{made['id']}", {"role": "viewer"})
        assert (status, "ended" in answer["message"], "again" in answer["hint"]) == (503, True, True)
        assert (await einstein.ok("GET", "shares", path="one.txt"))["shares"] == []
        found = await einstein.ok("GET", "people", q="marie")
        assert marie in found["people"]


async def test_a_source_that_is_out_of_order_does_not_hide_the_others(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = False

    def fragile(handler: Any) -> Any:
        def handle(view: Any, request: Any) -> Any:
            if broken:
                raise OSError(5, "the disk is broken")
            return handler(view, request)

        return service.in_view(handle)

    monkeypatch.setitem(service.METHODS, "ListOCMShares", fragile(ocm.list_shares))
    monkeypatch.setitem(service.METHODS, "FindAcceptedUsers", fragile(mesh.find_accepted_users))
    async with site(tmp_path) as home, jupyter_server(home, "einstein", app="jupyter_server") as server:
        await home.put("einstein", "n.ipynb", notebook("1"))
        api = Api(server)
        made = await api.share("n.ipynb", await api.person("marie", "user"))
        broken = True
        listed = await api.ok("GET", "shares")
        assert [share["id"] for share in listed["shares"]] == [made["id"]]
        (missing,) = [one for one in listed["missing"] if one["kind"] == "federated"]
        assert missing["error"] == "storage_unavailable"
        found = await api.ok("GET", "people", q="marie")
        assert [person["name"] for person in found["people"]] == ["marie"]
        assert "federated" in {one["kind"] for one in found["missing"]}
        assert (await ask(api, "people?q="))[0] == 503
        broken = False
        assert {one["kind"] for one in (await api.ok("GET", "shares"))["missing"]} == set()
