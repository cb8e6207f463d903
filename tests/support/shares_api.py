"""The shares API as its OpenAPI document says it is: a client that holds every request and answer against the document."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import jsonschema
import yaml

from .sites import JupyterServer

DOCUMENT: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[2] / "docs" / "reference" / "shares-api.yaml").read_text(encoding="utf-8")
)
BASE = "api/cs3collab/"


def check(schema: dict[str, Any], value: Any) -> None:
    """Raises `jsonschema.ValidationError`."""
    jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(value)


def operation(method: str, path: str) -> dict[str, Any]:
    """What the document says of a call; `path` without query."""
    for template, item in DOCUMENT["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), f"/{path}"):
            return item[method.lower()]
    raise KeyError(path)


def answer_schema(method: str, path: str, status: int) -> dict[str, Any] | None:
    """The schema of an answer, None for one without a body."""
    answers = operation(method, path)["responses"]
    answer = answers.get(str(status)) or (answers["default"] if status >= 400 else answers[str(status)])
    if "$ref" in answer:
        answer = DOCUMENT["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    return answer["content"]["application/json"]["schema"] if "content" in answer else None


class Api:
    """Calls of one Jupyter server. ``await api("POST", "shares", {...})`` is status and answer."""

    def __init__(self, server: JupyterServer) -> None:
        self.server = server

    async def __call__(self, method: str, path: str, body: Any = None, /, **query: Any) -> tuple[int, Any]:
        url = BASE + quote(path) + (f"?{urlencode(query)}" if query else "")
        status, answer = await self.server.request(method, url, body)
        if status == 405:
            return status, answer
        schema = answer_schema(method, path, status)
        if schema is None:
            assert answer == ""
        else:
            check(schema, answer)
        if status < 300 and body is not None:
            check(operation(method, path)["requestBody"]["content"]["application/json"]["schema"], body)
        return status, answer

    async def ok(self, method: str, path: str, body: Any = None, /, **query: Any) -> Any:
        """The answer of a call that must succeed."""
        status, answer = await self(method, path, body, **query)
        assert status < 300, (status, answer)
        return answer

    async def share(self, path: str, person: dict[str, Any], role: str = "viewer", **more: Any) -> Any:
        """A new share with somebody whom `person` found."""
        grantee = {"id": person["id"], "idp": person["idp"]}
        return await self.ok("POST", "shares", {"path": path, "kind": person["kind"], "role": role, "grantee": grantee} | more)

    async def person(self, query: str, kind: str) -> Any:
        """The one person of a kind that a search finds."""
        found = (await self.ok("GET", "people", q=query))["people"]
        (person,) = [one for one in found if one["kind"] == kind]
        return person

    async def received(self, name: str, **query: Any) -> list[Any]:
        """The received shares of a file name."""
        return [share for share in (await self.ok("GET", "received", **query))["received"] if share["name"] == name]

    async def accept(self, name: str) -> Any:
        """Accepts the only pending share of a file name, or the only one where all are accepted at once (Reva v3)."""
        (share,) = await self.received(name, state="pending") or await self.received(name, state="accepted")
        return await self.ok("PATCH", f"received/{share['id']}", {"state": "accepted"})


async def acquaint(host: Api, guest: Api) -> Any:
    """Exchanges an invitation between users of two sites, once; who invited, or None if they know each other."""
    code = (await host.ok("POST", "invitations", {"description": "come and see"}))["code"]
    status, answer = await guest("POST", "invitations/accept", {"token": code})
    assert status in (201, 409), answer
    return answer if status == 201 else None
