"""``cs3collab doctor --lock`` and ``--unlock`` on real gateways: what is said of a lock, and whose can be taken away."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
from cs3.storage.provider.v1beta1 import provider_api_pb2 as api
from support.locked_sites import share_patiently
from support.reva import REVADS, site_on
from support.sites import SiteBase, site

from cs3collab import cli
from cs3collab.cs3 import convert
from cs3collab.cs3.files import Files
from cs3collab.doctor import command
from cs3collab.errors import NotAuthorized, NotFound
from cs3collab.locks.foreign import CS3API4LAB_KEY
from cs3collab.locks.lease import Lease
from cs3collab.types import Lock, Ref

PATH = "folder/n.ipynb"


class Doctor:
    """The command line of einstein, and what he answers when he is asked."""

    def __init__(self, at: SiteBase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.at = at
        self.capsys = capsys
        self.asked: list[str] = []
        self.answer = "y"
        monkeypatch.setenv("CS3COLLAB_PASSWORD", at.password("einstein"))
        monkeypatch.setattr("builtins.input", self._input)

    def _input(self, prompt: str) -> str:
        self.asked.append(prompt)
        return self.answer

    async def __call__(self, *options: str) -> tuple[int, str]:
        base = ["doctor", "--gateway", self.at.address, "--user", "einstein"]
        code = await command.run(cli.build_parser().parse_args([*base, *options]))
        return code, self.capsys.readouterr().out

    async def file(self) -> tuple[Files, Ref]:
        info = await self.at.put("einstein", PATH, b"{}")
        return await self.at.files("einstein"), Ref.of(info.id)


@pytest.fixture(params=["embedded", *(pytest.param(n, marks=pytest.mark.reva) for n in REVADS if n != "v3")])
async def at(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SiteBase]:
    async with site_on(str(request.param), tmp_path) as running:
        yield running


@pytest.fixture
def doctor(at: SiteBase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Doctor:
    return Doctor(at, monkeypatch, capsys)


async def test_a_forgotten_lock_of_another_program_is_shown_and_taken_away(doctor: Doctor) -> None:
    files, ref = await doctor.file()
    home = (await doctor.at.ref("einstein")).path
    assert await doctor("--lock", PATH) == (0, f"{home}/{PATH} is not locked.\n")
    assert await doctor("--unlock", PATH) == (0, f"{home}/{PATH} is not locked.\n")
    await files.set_lock(ref, Lock("x", "Collabora"))
    code, said = await doctor("--lock", f"{home}/{PATH}")
    assert (code, "is locked by Collabora Online" in said, "This lock has no end." in said) == (0, True, True)
    doctor.answer = ""
    code, said = await doctor("--unlock", PATH)
    assert (code, said.splitlines()[-1]) == (1, "It was left.")
    assert await files.get_lock(ref)
    doctor.answer = "y"
    code, said = await doctor("--unlock", PATH)
    assert (code, said.splitlines()[-1]) == (0, "The lock is gone.")
    assert await files.get_lock(ref) is None
    assert len(doctor.asked) == 2
    with pytest.raises(NotFound):
        await doctor("--unlock", "missing.ipynb")


async def test_a_persons_lock_is_theirs_alone(doctor: Doctor) -> None:
    files, ref = await doctor.file()
    await share_patiently(doctor.at, PATH)
    marie = await doctor.at.session("marie")
    for session in (marie, files.session):
        lock = convert.to_lock(Lock("x", "Collabora", expires_at=time.time() + 600), "")
        lock.user.CopyFrom(convert.to_user_id(session.user))
        await session.call("SetLock", api.SetLockRequest(ref=convert.to_ref(ref), lock=lock))
        if session is marie:
            with pytest.raises(NotAuthorized, match=r"only Marie Curie \(marie\) can end it"):
                await doctor("--unlock", PATH, "--yes")
            await session.call("Unlock", api.UnlockRequest(ref=convert.to_ref(ref), lock=lock))
    assert (await doctor("--unlock", PATH, "--yes"))[0] == 0
    assert await files.get_lock(ref) is None
    assert doctor.asked == []


async def test_a_lock_in_the_metadata_is_taken_away_too(doctor: Doctor) -> None:
    files, ref = await doctor.file()
    said = {"username": "marie", "idp": "x", "opaque_id": "unknown", "updated": time.time(), "created": time.time()}
    await files.set_metadata(ref, {CS3API4LAB_KEY: quote(json.dumps(said)), "other": "stays"})
    assert "JupyterLab (Cs3api4Lab)" in (await doctor("--lock", PATH))[1]
    assert (await doctor("--unlock", PATH, "--yes"))[0] == 0
    assert (await files.stat(ref)).metadata.get("other") == "stays"
    assert CS3API4LAB_KEY not in (await files.stat(ref)).metadata


async def test_the_claim_of_a_server_that_died_is_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with site(tmp_path, profile="nolocks") as running:
        doctor = Doctor(running, monkeypatch, capsys)
        files, ref = await doctor.file()
        await Lease(lambda: files, ref, "dead", lifetime_s=600).acquire()
        assert "another server that edits this notebook" in (await doctor("--lock", PATH))[1]
        assert (await doctor("--unlock", PATH, "--yes"))[0] == 0
        await Lease(lambda: files, ref, "next", lifetime_s=600).acquire()
