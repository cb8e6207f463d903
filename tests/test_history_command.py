"""``cs3collab history`` without a server: which version people mean, what is shown, what is refused."""

from __future__ import annotations

import io
import json
import os
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from cs3collab import cli
from cs3collab.errors import Corrupt, InvalidInput, NotFound, Unsupported
from cs3collab.history import command, moments, showing
from cs3collab.history.moments import Time
from cs3collab.jupyter import running
from cs3collab.types import History, Version

EAST = timezone(timedelta(hours=2))


def utc(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp()  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("12", 12),
        (" 12 ", 12),
        ("20260314", 20260314),
        ("submitted", "submitted"),
        ("before lunch", "before lunch"),
        ("2026-03-14T15:09:26.5+02:00", Time(utc(2026, 3, 14, 13, 9, 26, 500000))),
        ("2026-03-14T15:09:26,5Z", Time(utc(2026, 3, 14, 15, 9, 26, 500000))),
        ("2026-03-14T15:09:26Z", Time(utc(2026, 3, 14, 15, 9, 26, 999999))),
        ("2026-03-14 15:09+0200", Time(utc(2026, 3, 14, 13, 9, 59, 999999))),
        ("2026-03-14T15:09", Time(utc(2026, 3, 14, 13, 9, 59, 999999))),
        ("2026-03-14T15", Time(utc(2026, 3, 14, 13, 59, 59, 999999))),
        ("2026-03-14T15Z", Time(utc(2026, 3, 14, 15, 59, 59, 999999))),
        ("2026-03-14", Time(utc(2026, 3, 14, 21, 59, 59, 999999))),
        ("2026-03-13", "2026-03-13"),
        ("v1", "v1"),
    ],
)
def test_what_is_meant(text: str, moment: moments.Moment) -> None:
    assert moments.parse(text, frozenset({"2026-03-13"}), EAST) == moment


@pytest.mark.parametrize("text", ["", "2026-13-01", "2026-02-30T10:00", "2026-03-14T25:00", "2026-03-14T15:9"])
def test_what_means_nothing(text: str) -> None:
    with pytest.raises(InvalidInput, match="2026-03-14T15:09"):
        moments.parse(text)


def test_a_time_in_the_table_is_a_time_that_is_taken() -> None:
    moment = moments.parse(showing.when(1_780_000_000.7))
    assert isinstance(moment, Time)
    assert moment.at == pytest.approx(1_780_000_000.999999, abs=1e-5)


HISTORY = History((Version(3, 1.0, name="a"), Version(5, 2.0), Version(8, 3.0, name="a"), Version(9, 4.0)), 9, 3, 5)


@pytest.mark.parametrize(("moment", "position"), [(9, 9), (1, 1), ("a", 8), (Time(2.5), 5)])
def test_where_it_is(moment: moments.Moment, position: int) -> None:
    assert moments.position_of(moment, "x", HISTORY) == position


@pytest.mark.parametrize(("moment", "found"), [(0, 5), (10, 5), ("b", 5), (Time(0.5), 0), (Time(0.7), 2)])
def test_where_nothing_is(moment: moments.Moment, found: int) -> None:
    with pytest.raises(NotFound):
        moments.position_of(moment, "x", History(HISTORY.versions, 9, 3, found))


def test_the_table_has_a_line_for_each_version_newest_last() -> None:
    lines = showing.table(
        [Version(1, 0.0), Version(120, 86399.0, ("Marie Curie (marie)", "\u5c45\u91cc\x1b[2J"), 119, "sub\nmitted")], UTC
    )
    assert lines == (
        "position  when                 edits  who                            name\n"
        "       1  1970-01-01T00:00:00\n"
        "     120  1970-01-01T23:59:59    119  Marie Curie (marie), \u5c45\u91cc\ufffd[2J  sub\ufffdmitted\n"
    )


def test_a_difference_of_text_is_unified() -> None:
    shown = showing.text_difference(b"a\nb\n", b"a\nc", ("x at 1", "x at 2"))
    assert shown.splitlines() == ["--- x at 1", "+++ x at 2", "@@ -1,2 +1,2 @@", " a", "-b", "+c"]
    assert showing.text_difference(b"a", b"a", ("x", "x")) == ""
    with pytest.raises(Corrupt):
        showing.text_difference(b"\xff", b"a", ("x", "x"))


def book(*sources: str) -> bytes:
    cells = [{"cell_type": "markdown", "id": f"c{n}", "metadata": {}, "source": source} for n, source in enumerate(sources)]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def test_a_difference_of_notebooks_is_nbdimes() -> None:
    assert showing.notebook_difference(book("a"), book("a"), ("x", "x")) == ""
    shown = showing.notebook_difference(book("a", "same"), book("b", "same"), ("n.ipynb at 1", "n.ipynb at 2"))
    assert "modified /cells/0/source" in shown
    assert "same" not in shown
    assert "\x1b" not in shown


def test_without_nbdime_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nbdime", None)
    with pytest.raises(Unsupported, match="pip install"):
        showing.notebook_difference(book("a"), book("b"), ("x", "x"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--diff", "1", "2", "n.ipynb"], "put PATH before --diff"),
        (["--restore", "1", "--at", "2"], "--at does not go with"),
        (["--diff", "1", "--at", "2"], "--at does not go with"),
        (["-o", "x"], "-o goes with --at only"),
        (["--name", "x", "--at", "1", "-o", "x"], "-o goes with --at only"),
        (["--url", "localhost:8888"], "not the address of a Jupyter server"),
        (["--url", "http://localhost:8888/?token=hunter2"], "not the address of a Jupyter server"),
        (["--token-file", "no-such-file"], "cannot read the token in no-such-file: No such file"),
    ],
)
def test_what_does_not_go_is_said_in_one_line(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["history", "n.ipynb", *options]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), said in err, "hunter2" in err) == ("", 1, True, False)


@pytest.mark.parametrize("options", [["--restore", "1", "--name", "x"], ["--restore"], ["--diff"]])
def test_bad_usage(options: list[str]) -> None:
    assert cli.main(["history", "n.ipynb", *options]) == 2


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\n", b"two\nlines"])
def test_a_token_file_without_a_token(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(InvalidInput, match="token"):
        command.server_of("http://localhost:8888", tmp_path / "token")


HERE = running.Running("http://localhost:7777/", "t7")
ONE, TWO = running.Running("http://localhost:8888/", "t1"), running.Running("http://localhost:8889/lab/", "")


@pytest.mark.parametrize(
    ("mine", "url", "token", "asked"),
    [
        ([ONE], None, "", ("http://localhost:8888/", "t1")),
        ([ONE], None, "t9", ("http://localhost:8888/", "t9")),
        ([TWO], None, "", ("http://localhost:8889/lab/", "hub")),
        ([ONE, TWO], "http://localhost:8888", "", ("http://localhost:8888", "t1")),
        ([ONE, HERE, TWO], None, "", ("http://localhost:7777/", "t7")),
        ([ONE, HERE, TWO], "http://localhost:8888/", "", ("http://localhost:8888/", "t1")),
        ([ONE, TWO], "http://elsewhere:8888", "", ("http://elsewhere:8888", "")),
        ([], "http://elsewhere:8888/", "t9", ("http://elsewhere:8888/", "t9")),
    ],
)
def test_which_server_is_asked_with_which_token(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    mine: list[running.Running],
    url: str | None,
    token: str,
    asked: tuple[str, str],
) -> None:
    monkeypatch.setattr(running, "running", lambda: mine)
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "hub")
    monkeypatch.setenv("JUPYTER_SERVER_URL", HERE.url)
    file = tmp_path / "token"
    file.write_text(token + "\n")
    assert command.server_of(url, file if token else None) == command.Server(*asked)


@pytest.mark.parametrize(("mine", "said"), [([], "no Jupyter server"), ([ONE, TWO], "http://localhost:8889/lab/")])
def test_no_server_or_too_many(monkeypatch: pytest.MonkeyPatch, mine: list[running.Running], said: str) -> None:
    monkeypatch.setattr(running, "running", lambda: mine)
    monkeypatch.delenv("JUPYTER_SERVER_URL", raising=False)
    with pytest.raises(InvalidInput, match=said) as refused:
        command.server_of(None, None)
    assert "--url" in str(refused.value)
    assert "t1" not in str(refused.value)


def test_a_secret_is_in_no_repr() -> None:
    assert "t1" not in repr(ONE) + repr(command.Server(ONE.url, ONE.token))


def test_a_bar_is_only_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, shown in ((io.StringIO(), False), (Terminal(), True)):
        monkeypatch.setattr(sys, "stderr", stream)
        with command.Waiting().of("reading the history") as told:
            told(5, 10)
        assert ("reading the history" in stream.getvalue()) is shown


def test_a_reader_that_has_seen_enough_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "w", encoding="utf-8") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        for _ in range(2):
            command._write_out(b"x" * 10)
