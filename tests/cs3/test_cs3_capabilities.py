"""What a storage can do is found out by trying it, and leaves nothing behind."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.reva import REVADS, reva_site
from support.sites import Site

from cs3collab.cs3 import capabilities, transfer
from cs3collab.cs3.blobs import CS3Blobs
from cs3collab.cs3.capabilities import MEANINGS, Noticed, NoticingFiles, Watch, probe, weaknesses
from cs3collab.cs3.files import Files
from cs3collab.errors import NotAuthorized, StorageUnavailable
from cs3collab.types import Capabilities, Ref

ALL = Capabilities(**dict.fromkeys(MEANINGS, True))
V2 = replace(ALL, quiet=False)


async def test_a_storage_that_has_all_but_saves_without_a_version(running: Site, files: Files) -> None:
    home = await running.ref("einstein")
    assert await probe(files, home) == V2
    assert not [info.name for info in await files.list(home) if info.name.startswith(capabilities.PREFIX)]
    assert await files.recycled(home) == []


async def test_a_storage_that_takes_conditions_and_ignores_them(
    running: Site, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    initiate = transfer.initiate_upload

    async def ignoring(session, ref, upload):  # type: ignore[no-untyped-def]
        return await initiate(session, ref, replace(upload, if_match=None, if_absent=False))

    monkeypatch.setattr(transfer, "initiate_upload", ignoring)
    found = await probe(files, await running.ref("einstein"))
    assert found == replace(V2, if_match=False, if_absent=False)


async def test_a_storage_that_leaves_no_version_when_asked(
    running: Site, files: Files, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As EOS; none of the storages that tests run on does."""
    write, kept = Files.write, [0]

    async def counting(self: Files, ref: Ref, content: bytes, **options: Any) -> Any:
        kept[0] += options.get("keep_version", True)
        return await write(self, ref, content, **options)

    async def listed(self: Files, ref: Ref) -> list[int]:
        return list(range(kept[0]))

    monkeypatch.setattr(Files, "write", counting)
    monkeypatch.setattr(Files, "versions", listed)
    caplog.set_level(logging.INFO, capabilities.__name__)
    folder = f"{(await running.ref('einstein')).path}/.cs3collab"
    watch = Watch(files, CS3Blobs(files, folder).make)
    assert await watch.look()
    assert watch.found == ALL
    assert caplog.messages == [f"the storage of {folder}: nothing is missing"]


async def test_who_may_not_write_is_told(running: Site) -> None:
    theirs = await running.files("marie")
    with pytest.raises(NotAuthorized):
        await probe(theirs, Ref("/projects/detector"))


def test_every_capability_has_words_and_only_what_is_missing_is_told() -> None:
    assert set(MEANINGS) == set(Capabilities.__dataclass_fields__)
    assert weaknesses(ALL) == weaknesses(Capabilities()) == []
    assert [line.partition(":")[0] for line in weaknesses(replace(ALL, locks=False, guards=False, quiet=False))] == [
        "no locks",
        "no saves without a version",
    ]
    assert [line.partition(":")[0] for line in weaknesses(replace(ALL, guards=False))] == ["no locks hold others off"]


async def test_an_operator_reads_what_is_weaker_and_what_changed(
    running: Site, files: Files, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, capabilities.__name__)
    folder = f"{(await running.ref('einstein')).path}/.cs3collab/deep"
    watch = Watch(files, CS3Blobs(files, folder).make)
    assert await watch.look()
    assert watch.found == V2
    assert caplog.messages == [f"the storage of {folder}: {weaknesses(V2)[0]}"]

    async def no_versions(self: Files, ref: Ref) -> list[object]:
        return []

    monkeypatch.setattr(Files, "versions", no_versions)
    assert await watch.look()
    assert watch.found == replace(ALL, versions=False)
    assert caplog.messages[1:] == [f"the storage of {folder}: {weaknesses(watch.found)[0]}"]
    assert await watch.look()
    assert len(caplog.messages) == 2

    async def away(self: Files, *args: object, **options: object) -> None:
        raise StorageUnavailable("the gateway is away")

    monkeypatch.setattr(Files, "write", away)
    assert not await watch.look()
    assert (watch.found.versions, caplog.messages[-1]) == (
        False,
        "what the storage can do is not known yet: the gateway is away",
    )


async def test_what_saves_show_is_looked_at_once(files: Files, running: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    noticed = Noticed()
    noticing = NoticingFiles(files.session, noticed).patient(60)
    ref = Ref.of((await running.put("einstein", "n.ipynb", b"1")).id)
    await noticing.write(ref, b"2")
    assert (noticed.found, noticed.curious) == (Capabilities(), True)
    await noticing.write(ref, b"3", keep_version=False)
    assert (noticed.found, noticed.curious) == (Capabilities(quiet=False, versions=True), False)

    async def looked(self: Files, ref: Ref) -> list[object]:
        raise AssertionError("it is known")

    monkeypatch.setattr(Files, "versions", looked)
    await noticing.write(ref, b"4", keep_version=False)


@pytest.mark.parametrize(("counts", "quiet", "versions"), [((0, 0), True, None), ((3, 4), False, True), ((10, 9), True, None)])
def test_what_counts_of_versions_mean(counts: tuple[int, int], quiet: bool, versions: bool | None) -> None:
    noticed = Noticed()
    noticed.saved(*counts)
    assert noticed.found == Capabilities(quiet=quiet, versions=versions)


NO_LOCKS = replace(V2, locks=False, guards=False, if_match=False, if_absent=False, checksums=False, spaces=False)


@pytest.mark.reva
@pytest.mark.parametrize(
    ("kind", "found"),
    [(name, NO_LOCKS if revad.bare else V2) for name, revad in sorted(REVADS.items())],
)
async def test_real_revas(kind: str, found: Capabilities, tmp_path: Path) -> None:
    async with reva_site(kind, tmp_path) as here:
        files = await here.files("einstein")
        home = await here.ref("einstein")
        assert await probe(files, home) == found
        assert not [info.name for info in await files.list(home) if info.name.startswith(capabilities.PREFIX)]
