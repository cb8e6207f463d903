import base64
import json
import os

import nbformat
import pytest
from support.sites import jupyter_server, share_local

from cs3collab.types import Lock, Role

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]

CELL = {"cell_type": "code", "execution_count": None, "id": "one", "metadata": {}, "outputs": [], "source": "a = 1"}
NOTEBOOK = {"cells": [CELL], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def notebook(source):
    return {**NOTEBOOK, "cells": [{**CELL, "source": source}]}


def sent(content, **more):
    return {"type": "notebook", "format": "json", "content": content, **more}


async def test_a_stock_server_lists_opens_and_saves_on_cs3(home):
    await home.put("einstein", "fit.ipynb", json.dumps(NOTEBOOK).encode())
    await home.put("einstein", "x.bin", b"\0\xff")
    await home.put("marie", "hers.ipynb", json.dumps(NOTEBOOK).encode())
    await share_local(home, "marie", "einstein", "hers.ipynb", Role.VIEWER)
    async with jupyter_server(home, "einstein", live=False) as server:
        await lists_and_opens(server)
        await saves(home, server)
        await makes_moves_copies_and_deletes(server)
        await restores_a_checkpoint(home, server)
        await knows_who_and_which(home, server)
        await serves_downloads_and_exports(server)
        printed = server.tail(10**6)
        assert "einstein-secret" not in printed
        assert "Traceback" not in printed
        await starts_a_kernel(server)  # last, for a kernel that is ended at once prints a traceback


async def lists_and_opens(server):
    status, listed = await server.request("GET", "api/contents/")
    assert status == 200, listed
    assert {entry["name"] for entry in listed["content"]} == {"fit.ipynb", "x.bin", "Shares", "Projects"}
    status, found = await server.request("GET", "api/contents/fit.ipynb?hash=1")
    assert status == 200, found
    assert found["content"]["cells"][0]["source"] == "a = 1"
    status, found = await server.request("GET", "api/contents/x.bin")
    assert base64.b64decode(found["content"]) == b"\0\xff"
    status, shared = await server.request("GET", "api/contents/Shares/hers.ipynb")
    assert (status, shared["writable"]) == (200, False)


async def saves(home, server):
    status, saved = await server.request("PUT", "api/contents/fit.ipynb", sent(notebook("a = 2")))
    assert status == 200, saved
    assert nbformat.reads((await home.read("einstein", "fit.ipynb")).decode(), 4) == notebook("a = 2")
    status, refused = await server.request("PUT", "api/contents/fit.ipynb", sent(NOTEBOOK, etag='"gone"'))
    assert status == 409
    assert "changed by someone else" in refused["message"]
    status, refused = await server.request("PUT", "api/contents/Shares/hers.ipynb", sent(notebook("a = 2")))
    assert status == 403, refused
    status, refused = await server.request("PUT", "api/contents/fit.ipynb", sent({"no": "notebook"}))
    assert status == 400, refused


async def makes_moves_copies_and_deletes(server):
    status, made = await server.request("POST", "api/contents/", {"type": "notebook"})
    assert (status, made["path"]) == (201, "Untitled.ipynb")
    status, moved = await server.request("PATCH", "api/contents/Untitled.ipynb", {"path": "named.ipynb"})
    assert (status, moved["path"]) == (200, "named.ipynb")
    status, copied = await server.request("POST", "api/contents/", {"copy_from": "named.ipynb"})
    assert (status, copied["path"]) == (201, "named-Copy1.ipynb")
    status, _ = await server.request("DELETE", "api/contents/named.ipynb")
    assert status == 204
    assert (await server.request("GET", "api/contents/named.ipynb?content=0"))[0] == 404


async def restores_a_checkpoint(home, server):
    status, checkpoint = await server.request("POST", "api/contents/fit.ipynb/checkpoints")
    assert status == 201
    status, checkpoints = await server.request("GET", "api/contents/fit.ipynb/checkpoints")
    assert checkpoints[-1]["id"] == checkpoint["id"]
    status, answer = await server.request("POST", f"api/contents/fit.ipynb/checkpoints/{checkpoints[0]['id']}")
    assert status == 204, answer
    assert json.loads(await home.read("einstein", "fit.ipynb")) == NOTEBOOK


async def knows_who_and_which(home, server):
    status, me = await server.request("GET", "api/me")
    assert me["identity"]["username"] == "einstein"
    assert me["identity"]["display_name"] == "Albert Einstein"
    assert me["identity"]["initials"] == "AE"
    status, told = await server.request("GET", "api/fileid/id?path=fit.ipynb")
    file_id = (await (await home.files("einstein")).stat(await home.ref("einstein", "fit.ipynb"))).id.file_id
    assert (status, told) == (200, {"id": file_id, "path": "fit.ipynb"})


async def serves_downloads_and_exports(server):
    status, raw = await server.request("GET", "files/fit.ipynb")
    assert (status, raw["nbformat"]) == (200, 4)
    status, page = await server.request("GET", "nbconvert/html/fit.ipynb")
    assert status == 200, page
    assert "<html" in page


async def starts_a_kernel(server):
    body = {"path": "Shares/hers.ipynb", "type": "notebook", "name": "hers.ipynb", "kernel": {"name": "python3"}}
    status, session = await server.request("POST", "api/sessions", body)
    assert status == 201, session
    assert (await server.request("DELETE", f"api/sessions/{session['id']}"))[0] == 204


async def test_uploads_in_chunks_through_the_rest_api(home):
    content = os.urandom(3 * 2**20)
    parts = [content[start : start + 2**20] for start in range(0, len(content), 2**20)]
    async with jupyter_server(home, "einstein", live=False, app="jupyter_server") as server:
        for number, part in zip((1, 2, -1), parts, strict=True):
            body = {"type": "file", "format": "base64", "content": base64.b64encode(part).decode(), "chunk": number}
            status, answer = await server.request("PUT", "api/contents/up.bin", body)
            assert status in (200, 201), answer
        assert await home.read("einstein", "up.bin") == content


async def test_a_locked_file_is_423_with_the_holder_in_words(home):
    await home.put("einstein", "x.txt", b"before")
    files, ref = await home.files("einstein"), await home.ref("einstein", "x.txt")
    await files.set_lock(ref, Lock("office-1", app_name="collabora", holder=files.user))
    async with jupyter_server(home, "einstein", live=False, app="jupyter_server") as server:
        status, answer = await server.request(
            "PUT", "api/contents/x.txt", {"type": "file", "format": "text", "content": "after"}
        )
        assert status == 423
        assert "locked by" in answer["message"]
        assert "collabora" in answer["message"]


async def test_a_wrong_password_ends_the_start_with_one_line_that_helps(home):
    with pytest.raises(RuntimeError, match="Jupyter ended with 1") as info:
        async with jupyter_server(home, "einstein", live=False, app="jupyter_server", password="wrong"):
            pass
    assert "refused the login" in str(info.value)
    assert "Traceback" not in str(info.value)


async def test_no_gateway_ends_the_start_with_one_line_that_helps(home):
    with pytest.raises(RuntimeError, match="Jupyter ended with 1") as info:
        async with jupyter_server(
            home, "einstein", live=False, app="jupyter_server", config={"CS3Settings": {"gateway": "127.0.0.1:1"}}
        ):
            pass
    assert "127.0.0.1:1" in str(info.value)
    assert "Traceback" not in str(info.value)
