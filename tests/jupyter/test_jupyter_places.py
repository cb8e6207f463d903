import json
import shutil

import pytest
from support.sites import share_local, share_ocm, two_sites
from tornado.web import HTTPError

from cs3collab.cs3 import shares
from cs3collab.errors import InvalidInput, NotFound
from cs3collab.types import Lock, Ref, ResourceId, Role, Target

NOTEBOOK = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def text(content, **more):
    return {"type": "file", "format": "text", "content": content, **more}


@pytest.fixture
async def mesh(tmp_path):
    async with two_sites(tmp_path) as (a, b):
        yield a, b


# One site


async def test_a_file_at_home_is_asked_for_below_the_homes_id(home, einstein):
    await home.put("einstein", "d/fit.ipynb", b"{}")
    files = await home.files("einstein")
    spot = await einstein.places.spot("d/fit.ipynb")
    assert spot.ref == Ref("./d/fit.ipynb", (await files.stat(await home.ref("einstein"))).id)


async def test_a_home_that_was_made_anew_is_found(home, einstein):
    await home.put("einstein", "fit.ipynb", b"{}")
    before = (await einstein.resolve("fit.ipynb")).info.id
    shutil.rmtree(home.folder("einstein"))
    home.folder("einstein").write_bytes(b"so that what is there next has another id")
    with pytest.raises(NotFound):
        await einstein.resolve("fit.ipynb")
    home.folder("einstein").unlink()
    await home.put("einstein", "fit.ipynb", b"{}")
    assert (await einstein.resolve("fit.ipynb")).info.id != before


async def test_a_file_of_ones_own_is_found_with_its_id_and_home(home, einstein):
    info = await home.put("einstein", "d/fit.ipynb", b"{}")
    found = await einstein.resolve("/d/fit.ipynb/")
    assert (found.path, found.info.id, found.info.role, found.home) == ("d/fit.ipynb", info.id, Role.EDITOR, "a.example")
    assert found.target() == Target("json", "notebook", info.id)
    assert found.target("text", "file") == Target("text", "file", info.id)
    assert einstein.settings.ids.path(info.id.file_id) == "d/fit.ipynb"


@pytest.mark.parametrize("path", ["none.ipynb", "Shares/none", "Projects/none"])
async def test_what_is_not_there(einstein, path):
    with pytest.raises(NotFound):
        await einstein.resolve(path)


@pytest.mark.parametrize("path", ["Shares", "Projects", "a/../b"])
async def test_what_no_room_can_be_made_of(einstein, path):
    with pytest.raises(InvalidInput):
        await einstein.resolve(path)


async def test_a_new_share_is_found_at_once_and_an_ended_one_is_gone(home, einstein, manage):
    info = await home.put("einstein", "fit.ipynb", b"{}")
    marie = manage(home, "marie")
    assert (await marie.get("Shares"))["content"] == []
    share_id = await share_local(home, "einstein", "marie", "fit.ipynb", Role.VIEWER)
    found = await marie.resolve("Shares/fit.ipynb")
    assert (found.info.id, found.info.role, found.share_id) == (info.id, Role.VIEWER, "")
    assert found.target() == Target("json", "notebook", info.id)
    await shares.remove_share(await home.session("einstein"), share_id)
    with pytest.raises(NotFound):
        await marie.resolve("Shares/fit.ipynb")
    assert (await marie.get("Shares"))["content"] == []


async def test_a_pending_share_is_not_listed(home, manage):
    await home.put("einstein", "fit.ipynb", b"{}")
    giver, taker = await home.session("einstein"), await home.session("marie")
    await shares.create_share(giver, await home.ref("einstein", "fit.ipynb"), taker.user, Role.EDITOR)
    assert (await manage(home, "marie").get("Shares"))["content"] == []


async def test_shares_of_one_name_are_told_apart_by_owner_and_the_older_keeps_its_name(home, manage):
    await home.put("einstein", "fit.ipynb", b"{}")
    await home.put("richard", "fit.ipynb", b"{ }")
    marie = manage(home, "marie")
    await share_local(home, "einstein", "marie", "fit.ipynb")
    assert (await marie.resolve("Shares/fit.ipynb")).info.size == 2
    await share_local(home, "richard", "marie", "fit.ipynb")
    names = [entry["name"] for entry in (await marie.get("Shares"))["content"]]
    assert names == ["fit.ipynb", "fit (richard-id).ipynb"]
    assert (await marie.resolve("Shares/fit.ipynb")).info.size == 2
    assert (await marie.resolve("Shares/fit (richard-id).ipynb")).info.size == 3


async def test_a_file_deleted_by_its_owner_is_not_listed(home, einstein, manage):
    await home.put("einstein", "fit.ipynb", b"{}")
    await share_local(home, "einstein", "marie", "fit.ipynb")
    marie = manage(home, "marie")
    await marie.get("Shares/fit.ipynb", content=False)
    await einstein.delete("fit.ipynb")
    assert (await marie.get("Shares"))["content"] == []
    with pytest.raises(HTTPError) as refused:
        await marie.get("Shares/fit.ipynb")
    assert refused.value.status_code == 404


# Two sites


async def test_a_file_of_another_site_is_read_and_has_its_home_id(mesh, manage):
    a, b = mesh
    info = await a.put("einstein", "fit.ipynb", json.dumps(NOTEBOOK).encode())
    share_id = await share_ocm(a, b, "einstein", "marie", "fit.ipynb")
    marie = manage(b, "marie")
    [listed] = (await marie.get("Shares"))["content"]
    assert (listed["name"], listed["type"], listed["writable"]) == ("fit.ipynb", "notebook", True)
    assert (await marie.get("Shares/fit.ipynb"))["content"] == NOTEBOOK
    found = await marie.resolve("Shares/fit.ipynb")
    assert (found.home, found.share_id, found.inside) == ("a.example", share_id, ".")
    assert found.at_home
    assert found.file_id == info.id.file_id == marie.settings.ids.id("Shares/fit.ipynb")
    assert found.target() == Target("json", "notebook", None, share_id, ".")


async def test_in_a_folder_of_another_site_files_are_listed_read_and_saved(mesh, manage):
    a, b = mesh
    info = await a.put("einstein", "lab/x.txt", b"einstein's")
    share_id = await share_ocm(a, b, "einstein", "marie", "lab")
    marie = manage(b, "marie")
    assert [entry["path"] for entry in (await marie.get("Shares/lab"))["content"]] == ["Shares/lab/x.txt"]
    found = await marie.resolve("Shares/lab/x.txt")
    assert (found.info.id, found.target().share_id, found.target().path) == (info.id, share_id, "x.txt")
    seen = await marie.get("Shares/lab/x.txt")
    await marie.save(text("marie's", etag=seen["etag"]), "Shares/lab/x.txt")
    await marie.save(text("new"), "Shares/lab/new.txt")
    assert await a.read("einstein", "lab/x.txt") == b"marie's"
    assert await a.read("einstein", "lab/new.txt") == b"new"
    assert (await marie.copy("Shares/lab/x.txt", ""))["path"] == "x.txt"
    assert await b.read("marie", "x.txt") == b"marie's"


async def test_nothing_of_the_owner_is_overwritten_from_another_site(mesh, manage):
    a, b = mesh
    await a.put("einstein", "x.txt", b"first")
    await share_ocm(a, b, "einstein", "marie", "x.txt")
    marie = manage(b, "marie")
    seen = await marie.get("Shares/x.txt")
    await a.put("einstein", "x.txt", b"einstein's")
    with pytest.raises(HTTPError) as refused:
        await marie.save(text("marie's", etag=seen["etag"]), "Shares/x.txt")
    assert refused.value.status_code == 409
    files, ref = await a.files("einstein"), await a.ref("einstein", "x.txt")
    await files.set_lock(ref, Lock("lease-1", app_name="cs3collab"))
    with pytest.raises(HTTPError) as refused:
        await marie.save(text("marie's"), "Shares/x.txt")
    assert refused.value.status_code == 423
    assert await a.read("einstein", "x.txt") == b"einstein's"


async def test_a_viewer_at_another_site_cannot_write(mesh, manage):
    a, b = mesh
    await a.put("einstein", "x.txt", b"einstein's")
    await share_ocm(a, b, "einstein", "richard", "x.txt", Role.VIEWER)
    richard = manage(b, "richard")
    found = await richard.get("Shares/x.txt")
    assert (found["content"], found["writable"]) == ("einstein's", False)
    for attempt in (
        richard.save(text("richard's"), "Shares/x.txt"),
        richard.delete("Shares/x.txt"),
        richard.rename("Shares/x.txt", "x.txt"),
    ):
        with pytest.raises(HTTPError) as refused:
            await attempt
        assert refused.value.status_code == 403
    assert await a.read("einstein", "x.txt") == b"einstein's"


async def test_a_file_is_not_moved_between_sites(mesh, manage):
    a, b = mesh
    await a.put("einstein", "lab/x.txt", b"x")
    await share_ocm(a, b, "einstein", "marie", "lab")
    marie = manage(b, "marie")
    with pytest.raises(HTTPError) as refused:
        await marie.rename("Shares/lab/x.txt", "x.txt")
    assert refused.value.status_code == 501
    assert await a.read("einstein", "lab/x.txt") == b"x"


async def test_an_ended_share_of_another_site_is_404(mesh, manage):
    a, b = mesh
    info = await a.put("einstein", "x.txt", b"x")
    await share_ocm(a, b, "einstein", "marie", "x.txt")
    marie = manage(b, "marie")
    await marie.get("Shares/x.txt")
    giver = await a.session("einstein")
    [given] = await shares.list_ocm_shares(giver, info.id)
    await shares.remove_ocm_share(giver, given.id)
    with pytest.raises(HTTPError) as refused:
        await marie.get("Shares/x.txt")
    assert refused.value.status_code == 404
    await marie.settings.close()  # what was known of it is forgotten, the site has to be asked anew
    assert (await marie.get("Shares"))["content"] == []


async def test_where_the_mesh_names_no_gateway_the_receiving_one_is_asked_and_nothing_is_written(mesh, manage, monkeypatch):
    a, b = mesh
    await a.put("einstein", "lab/x.txt", b"einstein's")
    share_id = await share_ocm(a, b, "einstein", "marie", "lab")

    async def unknown(session, domain):
        return ""

    monkeypatch.setattr("cs3collab.jupyter.places._gateway_address", unknown)
    marie = manage(b, "marie")
    assert [entry["name"] for entry in (await marie.get("Shares/lab"))["content"]] == ["x.txt"]
    assert (await marie.get("Shares/lab/x.txt"))["content"] == "einstein's"
    found = await marie.resolve("Shares/lab/x.txt")
    assert (found.file_id, found.target()) == (None, Target("json", "notebook", None, share_id, "x.txt"))
    with pytest.raises(HTTPError, match="edit it live") as refused:
        await marie.save(text("marie's"), "Shares/lab/x.txt")
    assert refused.value.status_code == 501
    assert await a.read("einstein", "lab/x.txt") == b"einstein's"


async def test_a_site_that_is_away_does_not_hide_the_other_shares(mesh, manage):
    a, b = mesh
    await a.put("einstein", "far.ipynb", b"{}")
    await b.put("richard", "near.ipynb", b"{}")
    await share_ocm(a, b, "einstein", "marie", "far.ipynb")
    await share_local(b, "richard", "marie", "near.ipynb")
    await a.gateway.stop()
    marie = manage(b, "marie")
    listed = {entry["name"]: entry for entry in (await marie.get("Shares"))["content"]}
    assert set(listed) == {"far.ipynb", "near.ipynb"}
    assert listed["near.ipynb"]["size"] == 2
    with pytest.raises(HTTPError) as refused:
        await marie.get("Shares/far.ipynb")
    assert refused.value.status_code in (503, 504)


async def test_two_sites_agree_on_the_id_of_one_file(mesh, manage):
    a, b = mesh
    await a.put("einstein", "fit.ipynb", b"{}")
    await share_ocm(a, b, "einstein", "marie", "fit.ipynb")
    mine, hers = manage(a, "einstein"), manage(b, "marie")
    assert (await mine.resolve("fit.ipynb")).file_id == (await hers.resolve("Shares/fit.ipynb")).file_id


async def test_a_reference_below_a_share_is_relative_to_it(mesh, manage):
    a, b = mesh
    folder = await a.put("einstein", "lab/x.txt", b"x")
    await share_ocm(a, b, "einstein", "marie", "lab")
    spot = await manage(b, "marie").places.spot("Shares/lab/deep/y.txt")
    assert spot.ref == Ref("./deep/y.txt", folder.parent_id)
    assert isinstance(spot.ref.resource_id, ResourceId)
