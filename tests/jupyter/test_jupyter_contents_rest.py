"""What clients of Jupyter's contents API rely on, asked over REST of a real server whose files are on CS3.

The rows are the behaviour that jupyter_server's own handlers and managers have for local files (its ``services/contents``).
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from support.notebooks import notebook
from support.sites import JupyterServer, Site, jupyter_server

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
BINARY = bytes(range(256))
FILES = {
    "a.ipynb": notebook("x = 1"),
    "broken.ipynb": b"{not json",
    "a.txt": "Größe\n".encode(),
    "a.bin": BINARY,
    "sub/b.txt": b"b",
    ".secret/c.txt": b"c",
    ".d.txt": b"d",
}

READS = [
    ("", 200, {"type": "directory", "format": "json", "path": "", "writable": True}),
    ("?content=0", 200, {"type": "directory", "format": None, "content": None}),
    ("sub", 200, {"type": "directory", "name": "sub", "path": "sub", "mimetype": None, "size": None}),
    ("sub?type=file", 400, {}),
    ("sub?type=notebook", 400, {}),
    ("sub?hash=1", 400, {}),
    ("a.txt", 200, {"type": "file", "format": "text", "mimetype": "text/plain", "content": "Größe\n", "size": 8}),
    ("a.txt?content=0", 200, {"type": "file", "format": None, "content": None, "size": 8}),
    ("a.txt?format=base64", 200, {"format": "base64", "content": base64.encodebytes("Größe\n".encode()).decode()}),
    ("a.txt?type=directory", 400, {}),
    ("a.txt?type=nonsense", 200, {"type": "file"}),
    ("a.txt?format=nonsense", 400, {}),
    ("a.txt?content=2", 400, {}),
    ("a.txt?hash=1&content=0", 200, {"hash_algorithm": "sha256", "content": None}),
    ("a.txt?hash=2", 400, {}),
    ("a.bin", 200, {"type": "file", "format": "base64", "mimetype": "application/octet-stream"}),
    ("a.bin?format=text", 400, {}),
    ("a.ipynb", 200, {"type": "notebook", "format": "json", "mimetype": None}),
    ("a.ipynb?type=file", 200, {"type": "file", "format": "text"}),
    ("broken.ipynb", 400, {}),
    ("broken.ipynb?type=file", 200, {"content": "{not json"}),
    ("broken.ipynb?content=0", 200, {"type": "notebook"}),
    ("missing.txt", 404, {}),
    ("sub/missing/deeper.txt", 404, {}),
    (".d.txt", 404, {}),
    (".secret", 404, {}),
    ("a.txt/checkpoints/v-nonsense", 405, {}),
]


@pytest.fixture
async def server(home: Site) -> Any:
    for name, content in FILES.items():
        await home.put("einstein", name, content)
    async with jupyter_server(home, "einstein", live=False, app="jupyter_server") as running:
        yield running


def url(path: str) -> str:
    before, mark, after = path.partition("?")
    return f"api/contents/{before}".rstrip("/") + mark + after


async def test_what_is_read_and_what_is_no_question(server: JupyterServer) -> None:
    answers = {path: await server.request("GET", url(path)) for path, _, _ in READS}
    wrong = {
        path: (status, expected, {key: answers[path][1].get(key) for key in fields} if expected == 200 else answers[path][1])
        for path, expected, fields in READS
        for status in [answers[path][0]]
        if status != expected or any(answers[path][1].get(key) != value for key, value in fields.items())
    }
    assert wrong == {}
    listed = {entry["name"]: entry["type"] for entry in answers[""][1]["content"]}
    assert listed.items() >= {"a.ipynb": "notebook", "a.txt": "file", "sub": "directory"}.items()
    assert not [name for name in listed if name.startswith(".")]
    mute = {path: answer for path, (status, answer) in answers.items() if status == 400 and "message" not in answer}
    assert mute == {}


async def test_new_files_get_free_names_and_copies_say_so(server: JupyterServer) -> None:
    posts = [
        ({}, "untitled"),
        ({"ext": ".ipynb"}, "Untitled.ipynb"),
        ({"type": "notebook"}, "Untitled1.ipynb"),
        ({"ext": ".txt"}, "untitled.txt"),
        ({"ext": ".txt"}, "untitled1.txt"),
        ({"type": "directory"}, "Untitled Folder"),
        ({"type": "directory"}, "Untitled Folder 1"),
        ({"copy_from": "a.txt"}, "a-Copy1.txt"),
        ({"copy_from": "a.txt"}, "a-Copy2.txt"),
        ({"copy_from": "a-Copy1.txt"}, "a-Copy3.txt"),
        ({"copy_from": "sub/b.txt"}, "b.txt"),
    ]
    for body, name in posts:
        status, model = await server.request("POST", "api/contents", body)
        assert (status, model.get("path")) == (201, name), (body, model)
    status, model = await server.request("POST", "api/contents/sub", {"copy_from": "a.ipynb"})
    assert (status, model["path"]) == (201, "sub/a.ipynb")
    assert (await server.request("POST", "api/contents", {"copy_from": "missing.txt"}))[0] == 404
    assert (await server.request("POST", "api/contents/missing", {}))[0] == 404
    assert (await server.request("POST", "api/contents/a.txt", {}))[0] == 400


async def test_what_is_saved_is_created_or_replaced(server: JupyterServer, home: Site) -> None:
    puts = [
        ("new.txt", {"type": "file", "format": "text", "content": "ü"}, 201),
        ("new.txt", {"type": "file", "format": "text", "content": "other"}, 200),
        ("new.bin", {"type": "file", "format": "base64", "content": base64.b64encode(BINARY).decode()}, 201),
        ("new.ipynb", {"type": "notebook", "format": "json", "content": json.loads(notebook("y"))}, 201),
        ("folder", {"type": "directory"}, 201),
        ("folder/deep.txt", {"type": "file", "format": "text", "content": ""}, 201),
        ("copied.txt", {"copy_from": "a.txt"}, 400),
        ("missing/x.txt", {"type": "file", "format": "text", "content": ""}, 404),
        ("x.txt", {"type": "file", "format": "nonsense", "content": ""}, 400),
        ("x.txt", {"type": "nonsense", "content": ""}, 400),
        ("typeless.txt", {"format": "text", "content": ""}, 201),
        ("a.bin", {"format": "text", "content": ""}, 400),
        ("x.bin", {"type": "file", "format": "base64", "content": "%%%"}, 400),
        (".hidden.txt", {"type": "file", "format": "text", "content": ""}, 400),
        ("sub", {"type": "file", "format": "text", "content": ""}, 400),
        ("a.txt", {"type": "directory"}, 400),
    ]
    for path, body, expected in puts:
        status, model = await server.request("PUT", f"api/contents/{path}", body)
        assert status == expected, (path, body, model)
        if expected in (200, 201):
            assert (model["path"], model["content"]) == (path, None)
    assert await home.read("einstein", "new.txt") == b"other"
    assert await home.read("einstein", "new.bin") == BINARY
    assert (await server.request("GET", "api/contents/x.txt"))[0] == 404


async def test_what_is_renamed_and_deleted(server: JupyterServer, home: Site) -> None:
    status, model = await server.request("PATCH", "api/contents/a.txt", {"path": "z.txt"})
    assert (status, model["path"], model["content"]) == (200, "z.txt", None)
    assert (await server.request("GET", "api/contents/a.txt"))[0] == 404
    for source, target, expected in (
        ("z.txt", "a.bin", 409),
        ("missing.txt", "y.txt", 404),
        ("z.txt", "missing/y.txt", 404),
        ("z.txt", ".y.txt", 400),
    ):
        assert (await server.request("PATCH", f"api/contents/{source}", {"path": target}))[0] == expected, (source, target)
    assert (await server.request("PATCH", "api/contents/sub", {"path": "moved"}))[0] == 200
    assert (await server.request("GET", "api/contents/moved/b.txt"))[1]["content"] == "b"
    for path in ("z.txt", "moved"):
        assert (await server.request("DELETE", f"api/contents/{path}"))[0] == 204
        assert (await server.request("DELETE", f"api/contents/{path}"))[0] == 404
    assert {item.path.rpartition("/")[2] for item in await recycled(home)} >= {"z.txt", "moved"}


async def recycled(home: Site) -> list[Any]:
    return await (await home.files("einstein")).recycled(await home.ref("einstein"))
