import pytest
from support.sites import share_local
from tornado.web import HTTPError

from cs3collab.cs3.files import Version
from cs3collab.errors import NotFound
from cs3collab.jupyter.checkpoints import chosen, present_id, version_id
from cs3collab.types import Etag, FileInfo, Lock, ResourceId, Role

VERSIONS = [Version("f.REV.2026-11-21T08:00:02.5Z", 2, 1002.5), Version("f.REV.2026-11-21T08:00:01Z", 1, 1001.0)]


def info(etag='"now"', mtime=1003.7):
    return FileInfo(ResourceId("s", "f"), "f", "/f", False, Etag(etag), 3, mtime, Role.EDITOR)


def test_ids_fit_jupyters_urls():
    for made in (version_id(VERSIONS[0].key), present_id(info('"ü/+:"'))):
        assert made.replace("-", "_").isidentifier()


@pytest.mark.parametrize(
    ("checkpoint", "key"),
    [
        (version_id(VERSIONS[1].key), VERSIONS[1].key),
        (present_id(info()), None),
        (present_id(info('"earlier"', 1002.9)), VERSIONS[0].key),
    ],
    ids=["a version", "what the file holds now", "what the file held once"],
)
def test_which_version_a_checkpoint_is(checkpoint, key):
    assert chosen(checkpoint, VERSIONS, info()) == key


@pytest.mark.parametrize("checkpoint", ["", "checkpoint", "v", "vé", "p!!", version_id("gone"), present_id(info('"x"', 7.0))])
def test_a_checkpoint_that_is_none(checkpoint):
    with pytest.raises(NotFound):
        chosen(checkpoint, VERSIONS, info())


def text(content):
    return {"type": "file", "format": "text", "content": content}


async def test_a_checkpoint_is_what_the_file_held_and_costs_no_copy(home, einstein):
    await einstein.save(text("one"), "x.txt")
    checkpoint = await einstein.create_checkpoint("x.txt")
    files, ref = await home.files("einstein"), await home.ref("einstein", "x.txt")
    assert await files.versions(ref) == []
    await einstein.save(text("two"), "x.txt")
    await einstein.restore_checkpoint(checkpoint["id"], "x.txt")
    assert await home.read("einstein", "x.txt") == b"one"


async def test_the_versions_are_listed_oldest_first_and_last_the_present(home, einstein):
    for content in ("one", "two", "three"):
        await einstein.save(text(content), "x.txt")
    listed = await einstein.list_checkpoints("x.txt")
    assert len(listed) == 3
    assert listed == sorted(listed, key=lambda made: made["last_modified"])
    await einstein.restore_checkpoint(listed[0]["id"], "x.txt")
    assert await home.read("einstein", "x.txt") == b"one"
    replaced = await einstein.list_checkpoints("x.txt")
    await einstein.restore_checkpoint(replaced[-2]["id"], "x.txt")
    assert await home.read("einstein", "x.txt") == b"three", "what a restore replaced is a version too"


async def test_restoring_the_present_changes_nothing_even_while_people_edit(home, einstein):
    before = await einstein.save(text("one"), "x.txt")
    checkpoint = await einstein.create_checkpoint("x.txt")
    files, ref = await home.files("einstein"), await home.ref("einstein", "x.txt")
    await files.set_lock(ref, Lock("lease-1", app_name="cs3collab"))
    await einstein.restore_checkpoint(checkpoint["id"], "x.txt")
    assert (await einstein.get("x.txt"))["etag"] == before["etag"]


async def test_no_version_is_restored_under_people_who_edit(home, einstein):
    await einstein.save(text("one"), "x.txt")
    await einstein.save(text("two"), "x.txt")
    [earlier, _] = await einstein.list_checkpoints("x.txt")
    files, ref = await home.files("einstein"), await home.ref("einstein", "x.txt")
    await files.set_lock(ref, Lock("lease-1", app_name="cs3collab"))
    with pytest.raises(HTTPError, match="being edited") as refused:
        await einstein.restore_checkpoint(earlier["id"], "x.txt")
    assert refused.value.status_code == 423
    assert await home.read("einstein", "x.txt") == b"two"


async def test_storage_alone_deletes_versions(einstein):
    await einstein.save(text("one"), "x.txt")
    checkpoint = await einstein.create_checkpoint("x.txt")
    with pytest.raises(HTTPError) as refused:
        await einstein.delete_checkpoint(checkpoint["id"], "x.txt")
    assert refused.value.status_code == 501


async def test_versions_go_with_a_renamed_file(home, einstein):
    await einstein.save(text("one"), "x.txt")
    await einstein.save(text("two"), "x.txt")
    before = await einstein.list_checkpoints("x.txt")
    await einstein.rename("x.txt", "y.txt")
    assert await einstein.list_checkpoints("y.txt") == before


async def test_missing_files_and_checkpoints_are_404(home, einstein):
    await einstein.save(text("one"), "x.txt")
    for call in (
        einstein.create_checkpoint("none.txt"),
        einstein.list_checkpoints("none.txt"),
        einstein.restore_checkpoint(version_id("1"), "none.txt"),
        einstein.restore_checkpoint(version_id("gone"), "x.txt"),
    ):
        with pytest.raises(HTTPError) as refused:
            await call
        assert refused.value.status_code == 404


async def test_the_receiver_of_a_share_is_told_whom_to_ask(home, einstein, manage):
    await einstein.save(text("one"), "x.txt")
    await einstein.save(text("two"), "x.txt")
    await share_local(home, "einstein", "marie", "x.txt")
    marie = manage(home, "marie")
    assert len(await marie.list_checkpoints("Shares/x.txt")) == 1
    [earlier, _] = await einstein.list_checkpoints("x.txt")
    with pytest.raises(HTTPError, match="ask the owner") as refused:
        await marie.restore_checkpoint(earlier["id"], "Shares/x.txt")
    assert refused.value.status_code == 403
