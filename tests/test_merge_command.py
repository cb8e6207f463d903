"""``cs3collab merge``: by hand, and as the driver of a real git."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from cs3collab import cli

GIT = ["git", "-c", "user.name=Marie", "-c", "user.email=marie@example.org", "-c", "commit.gpgsign=false"]


def cell(cell_id: str, source: str) -> dict[str, Any]:
    return {"id": cell_id, "cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": None}


def book(*sources: str, minor: int = 5) -> dict[str, Any]:
    cells = [cell(f"c{at}", source) for at, source in enumerate(sources)]
    if minor < 5:
        cells = [{key: value for key, value in each.items() if key != "id"} for each in cells]
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": minor}


def content(what: dict[str, Any] | str | bytes) -> bytes:
    if isinstance(what, dict):
        return f"{nbformat.writes(nbformat.from_dict(what))}\n".encode()
    return what.encode() if isinstance(what, str) else what


@pytest.fixture
def merge(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> Any:
    """Merges, and returns exit code, standard output, standard error."""

    def run(base: Any, ours: Any, theirs: Any, *more: str, suffix: str = ".ipynb") -> tuple[int, bytes, str]:
        paths = [tmp_path / f"{name}{suffix}" for name in ("base", "ours", "theirs")]
        for path, what in zip(paths, (base, ours, theirs), strict=True):
            path.write_bytes(content(what))
        code = cli.main(["merge", *map(str, paths), *more])
        out, err = capsysbinary.readouterr()
        return code, out, err.decode()

    return run


def test_clean(merge: Any) -> None:
    code, out, err = merge(book("a", "b"), book("A", "b"), book("a", "B"))
    assert (code, err) == (0, "")
    assert out == content(book("A", "B")), "as Jupyter writes it"


def test_conflicts_are_listed_and_written(merge: Any, tmp_path: Path) -> None:
    told = tmp_path / "conflicts.json"
    three = book("a", "b\nc"), book("A", "b\nours"), book("a\x1b[2J", "b\ntheirs")
    code, out, err = merge(*three, "--conflicts", str(told))
    assert code == 1
    assert out == content(three[1])
    assert "2 conflicts" in err
    assert "cell 1 (c0): source" in err
    assert "cell 2 (c1): source\n  ours   | ours\n  theirs | theirs\n" in err
    assert "\x1b" not in err
    _, second = json.loads(told.read_text())
    assert second == {
        "number": 2,
        "cell": "c1",
        "kind": "source",
        "path": [],
        "base": "b\nc",
        "ours": "b\nours",
        "theirs": "b\ntheirs",
    }


def test_a_deleted_cell_and_the_notebook_are_named_so(merge: Any) -> None:
    base, ours, theirs = book("a", "b"), book("a"), book("a", "B")
    ours["metadata"], theirs["metadata"] = {"title": "ours"}, {"title": "theirs"}
    code, _, err = merge(base, ours, theirs)
    assert code == 1
    assert "deleted cell (c1): deleted\n  ours   | (nothing)\n  theirs | B\n" in err
    assert "notebook: metadata title\n  ours   | ours\n  theirs | theirs\n" in err


def test_cells_without_ids_have_numbers(merge: Any) -> None:
    code, out, err = merge(*(book("first", f"second = {value}", minor=4) for value in (1, 2, 3)))
    assert code == 1
    assert "cell 2 (" in err
    assert out == content(book("first", "second = 2", minor=4))


def test_texts(merge: Any) -> None:
    assert merge("a\nb\n", "A\nb\n", "a\nB\n", suffix=".py") == (0, b"A\nB\n", "")
    code, out, err = merge("a\r\nb\r\n", "a\r\nours\r\n", "a\r\ntheirs\r\n", suffix=".md")
    assert (code, out) == (1, b"a\r\nours\r\n")
    assert err == "1 conflict; ours stays\ntext: lines\n  ours   | ours\n  theirs | theirs\n"


def test_the_result_replaces_a_file_and_keeps_its_mode(merge: Any, tmp_path: Path) -> None:
    out, link = tmp_path / "out.ipynb", tmp_path / "link.ipynb"
    out.write_bytes(b"old")
    out.chmod(0o640)
    link.symlink_to(out.name)
    assert merge(book("a", "b"), book("A", "b"), book("a", "B"), "-o", str(link)) == (0, b"", "")
    assert link.is_symlink()
    assert out.read_bytes() == content(book("A", "B"))
    assert out.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "base.ipynb",
        "link.ipynb",
        "ours.ipynb",
        "out.ipynb",
        "theirs.ipynb",
    ]


def test_kinds_are_told_by_content_where_names_do_not_say(merge: Any) -> None:
    code, out, _ = merge("", book("A"), book("A", "b"), suffix="")
    assert (code, out) == (0, content(book("A", "b")))
    assert merge("", "x = {}\n", "x = {}\n", suffix="") == (0, b"x = {}\n", "")


@pytest.mark.parametrize(
    ("theirs", "suffix", "reason"),
    [
        (b'{"nbformat": 4, <<<<<<<', ".ipynb", "theirs.ipynb: this file is not JSON"),
        (b"plain", ".ipynb", "plain text"),
        (b"\xff", ".py", "theirs.py is not UTF-8 text: byte 0"),
    ],
)
def test_bad_input_is_two_and_writes_nothing(merge: Any, tmp_path: Path, theirs: bytes, suffix: str, reason: str) -> None:
    good = book("a") if suffix == ".ipynb" else "a"
    code, out, err = merge(good, good, theirs, "-o", str(tmp_path / "out"), suffix=suffix)
    assert (code, out) == (2, b"")
    assert reason in err
    assert not (tmp_path / "out").exists()


def test_files_that_cannot_be_read_or_written_are_two(merge: Any, tmp_path: Path) -> None:
    assert cli.main(["merge", *[str(tmp_path / "missing.ipynb")] * 3]) == 2
    assert merge(book("a"), book("a"), book("b"), "-o", str(tmp_path / "no folder" / "x.ipynb"))[0] == 2


def git(folder: Path, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(folder)}
    return subprocess.run([*GIT, *args], cwd=folder, env=env, capture_output=True, text=True, check=check, timeout=50)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """With the driver, and a notebook of three cells on ``main``."""
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "config", "merge.cs3collab.driver", f'"{sys.executable}" -m cs3collab merge %O %A %B -o %A')
    (tmp_path / ".gitattributes").write_text("*.ipynb merge=cs3collab\n*.py merge=cs3collab\n")
    commit(tmp_path, book("a = 1", "b = 2", "c = 3"), "x = 1\ny = 2\n")
    return tmp_path


def commit(folder: Path, nb: dict[str, Any], script: str) -> None:
    (folder / "n.ipynb").write_bytes(content(nb))
    (folder / "s.py").write_text(script)
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "edit")


def test_git_merges_with_it(repository: Path) -> None:
    git(repository, "switch", "-q", "-c", "side")
    commit(repository, book("a = 1", "b = 2", "c = 30"), "x = 1\ny = 20\n")
    git(repository, "switch", "-q", "main")
    commit(repository, book("a = 10", "b = 2", "c = 3"), "x = 10\ny = 2\n")
    git(repository, "merge", "-q", "--no-edit", "side")
    assert (repository / "n.ipynb").read_bytes() == content(book("a = 10", "b = 2", "c = 30"))
    assert (repository / "s.py").read_text() == "x = 10\ny = 20\n"
    assert git(repository, "status", "--porcelain").stdout == ""


def test_git_is_told_of_conflicts(repository: Path) -> None:
    git(repository, "switch", "-q", "-c", "side")
    commit(repository, book("a = 1", "b = 22", "c = 30"), "x = 1\ny = 2\n")
    git(repository, "switch", "-q", "main")
    commit(repository, book("a = 1", "b = 20", "c = 3"), "x = 1\ny = 2\n")
    merged = git(repository, "merge", "-q", "--no-edit", "side", check=False)
    assert merged.returncode == 1
    assert "cell 2 (c1): source" in merged.stderr
    assert (repository / "n.ipynb").read_bytes() == content(book("a = 1", "b = 20", "c = 30")), "a notebook without markers"
    assert git(repository, "status", "--porcelain").stdout == "UU n.ipynb\n"


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["merge", "--help"]) == 0
    text = capsys.readouterr().out
    assert "merge.cs3collab.driver" in text
    assert "exit codes" in text
