"""Users and mesh files, and what a broken root says."""

from __future__ import annotations

import argparse
import json
import sqlite3
from pathlib import Path

import pytest
from gateway_client import USERS, Sites

from cs3collab.errors import Corrupt, InvalidInput
from cs3collab.gateway import command
from cs3collab.gateway.config import GatewayConfig, PeerRecord, UserRecord, is_name, load_mesh, load_projects, load_users
from cs3collab.gateway.status import Refused
from cs3collab.gateway.view import split

REVA = [
    {
        "id": {"opaque_id": "4c51", "idp": "https://a.test", "type": 1},
        "username": "einstein",
        "secret": "relativity",
        "mail": "einstein@a.test",
        "display_name": "Albert Einstein",
        "groups": ["physics"],
    }
]
TOML = """
[[users]]
id.opaque_id = "4c51"
username = "einstein"

[projects.lhc.members]
4c51 = "manager"
"""


def test_the_users_file_of_reva_is_read(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    path.write_text(json.dumps(REVA))
    groups = ("physics",)
    user = UserRecord("4c51", "einstein", "relativity", "https://a.test", 1, "einstein@a.test", "Albert Einstein", groups)
    assert load_users(path) == [user]
    assert load_projects(path) == ()


def test_users_and_projects_are_read_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "users.toml"
    path.write_text(TOML)
    assert load_users(path) == [UserRecord("4c51", "einstein")]
    (project,) = load_projects(path)
    assert (project.name, dict(project.members)) == ("lhc", {"4c51": "manager"})


def test_the_mesh_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mesh.json"
    path.write_text(json.dumps({"b.test": {"gateway": "127.0.0.1:1", "name": "B"}}))
    assert load_mesh(path) == {"b.test": PeerRecord("127.0.0.1:1", "B")}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("users.json", "{"),
        ("users.json", "[]"),
        ("users.json", "5"),
        ("users.json", '[{"username": "x"}]'),
        ("users.toml", "users = 5"),
        ("users.toml", "not toml"),
        ("users.json", '{"users": []}'),
    ],
)
def test_a_users_file_that_is_none_is_said_so(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InvalidInput, match="users"):
        load_users(tmp_path / name)


def test_a_project_role_must_be_known(tmp_path: Path) -> None:
    (tmp_path / "users.toml").write_text(TOML.replace("manager", "king"))
    with pytest.raises(InvalidInput, match="king"):
        load_projects(tmp_path / "users.toml")


def test_settings_that_cannot_be(tmp_path: Path) -> None:
    for users in ([USERS[0], USERS[0]], [UserRecord("../x", "x")], [UserRecord("a/b", "x")], [UserRecord("", "x")]):
        with pytest.raises(InvalidInput):
            GatewayConfig(root=tmp_path, users=users)
    with pytest.raises(InvalidInput, match="jwt_secret"):
        GatewayConfig(root=tmp_path, users=USERS, jwt_secret="short")


@pytest.mark.parametrize(
    ("name", "good"), [("a", True), ("ä.ipynb", True), ("..", False), (".", False), ("", False), ("a/b", False)]
)
def test_names(name: str, good: bool) -> None:
    assert is_name(name) is good


@pytest.mark.parametrize(
    ("path", "names"), [("", []), (".", []), ("./a", ["a"]), ("/a//b/./c/", ["a", "b", "c"]), ("..", None), ("a/../b", None)]
)
def test_paths(path: str, names: list[str] | None) -> None:
    if names is None:
        with pytest.raises(Refused):
            split(path)
    else:
        assert split(path) == names


@pytest.mark.parametrize("what", ["garbage", "newer"])
async def test_an_index_that_cannot_be_used_is_said_so_and_left_alone(sites: Sites, tmp_path: Path, what: str) -> None:
    state = tmp_path / "a" / ".cs3"
    state.mkdir(parents=True)
    index = state / "index.sqlite"
    if what == "garbage":
        index.write_bytes(b"not a database, whatever its name says" * 100)
    else:
        db = sqlite3.connect(index)
        db.execute("PRAGMA user_version=99")
        db.close()
    before = index.read_bytes()
    with pytest.raises(Corrupt, match="index"):
        await sites.start(tmp_path / "a")
    assert index.read_bytes() == before


async def test_two_gateways_have_different_storage_ids(sites: Sites, tmp_path: Path) -> None:
    from gateway_client import by_path

    ids = set()
    for name in ("a", "b"):
        einstein = await (await sites.start(tmp_path / name)).user("einstein")
        ids.add((await einstein.stat(by_path("/users/id-einstein"))).id.storage_id)
    assert len(ids) == 2


def test_a_profile_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="decomposed, nolocks"):
        GatewayConfig(tmp_path, [], profile="posix")


def from_command_line(root: Path, *more: str) -> GatewayConfig:
    users = root / "users.json"
    users.write_text(json.dumps(REVA))
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.config_from(parser.parse_args(["--root", str(root), "--users", str(users), *more]))


@pytest.mark.parametrize("url", ["https://idp.example.org/realms/a", "http://127.0.0.1:8080/", "http://[::1]:80"])
def test_an_issuer_is_a_url(tmp_path: Path, url: str) -> None:
    assert from_command_line(tmp_path, "--issuer", url).issuer == url.rstrip("/")


@pytest.mark.parametrize(
    "text",
    ["idp.example.org", "ftp://a.test", "https://", "https://a.test:port", "https://a.test/?b=c", "https://me:mine@a.test"],
)
def test_an_issuer_that_is_no_url_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInput, match="no URL") as refused:
        from_command_line(tmp_path, "--issuer", text)
    assert "mine" not in str(refused.value)
