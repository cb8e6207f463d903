"""The house in order: sizes, no traces of a machine, documents that say what the code does, pins that fit the ranges."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import importlib
import inspect
import json
import re
import socket
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cs3collab import cli, errors, limits, telemetry
from cs3collab.relay import config, protocol
from cs3collab.rooms.ysocket import YSocket

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
MAX_LINES = 500
GENERATED = {"package-lock.json", "requirements.lock", "go.sum", "LICENSE"}
DATA = {".ipynb", ".png", ".svg", ".bin", ".ylog", ".yseg", ".ysnap"}


def files() -> list[Path]:
    """What is, or with the next ``git add`` would be, in the repository."""
    # safe.directory: CI may run as another user than the one who cloned
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=30).stdout.decode()
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def texts(*suffixes: str) -> Iterator[tuple[str, str]]:
    for path in files():
        if not suffixes or path.suffix in suffixes:
            try:
                yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


def test_no_file_is_too_long_to_read() -> None:
    lengths = {
        name: text.count("\n") for name, text in texts() if Path(name).suffix not in DATA and Path(name).name not in GENERATED
    }
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_files_tell_nothing_of_the_machine_they_were_written_on() -> None:
    traces = {str(ROOT) + "/", sys.prefix + "/", str(Path.home()) + "/", "/root/", socket.gethostname()}
    traces = {trace for trace in traces if len(trace) > 5 and trace not in ("localhost", "/home/")}
    found = [(name, trace) for name, text in texts() for trace in traces if trace in text]
    assert [(name, trace) for name, trace in found if name != "tests/test_repository.py"] == []


def test_no_registry_is_named() -> None:
    """Whoever installs uses the registry they have configured."""
    address = re.compile(r"https?://(?:registry|pypi)[.-]|https?://\S+/simple\b|_authToken|^registry *=", re.MULTILINE)
    assert [name for name, text in texts() if name != "tests/test_repository.py" and address.search(text)] == []


def test_the_npm_lock_names_packages_and_checksums_but_no_addresses() -> None:
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    assert [name for name, package in packages.items() if "resolved" in package and not package.get("link")] == []
    assert [name for name, package in packages.items() if name.startswith("node_modules/") and "integrity" not in package] == []


def test_the_npm_lock_fits_package_json() -> None:
    wanted = json.loads((ROOT / "package.json").read_text())
    locked = json.loads((ROOT / "package-lock.json").read_text())["packages"][""]
    for group in ("dependencies", "devDependencies"):
        assert locked.get(group, {}) == wanted.get(group, {})


def test_every_python_package_is_pinned_at_a_version_that_pyproject_allows() -> None:
    pinned: dict[str, str] = {}
    for line in (ROOT / "requirements.lock").read_text().split("\n"):
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            (specifier,) = requirement.specifier
            assert specifier.operator == "==", line
            pinned[canonicalize_name(requirement.name)] = specifier.version
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = pyproject["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"], *pyproject["build-system"]["requires"]]
    for text in wanted:
        requirement = Requirement(text)
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not pinned: run `make lock`"
        assert requirement.specifier.contains(version, prereleases=True), f"{text} is pinned at {version}: run `make lock`"


def imported(path: Path) -> set[str]:
    """Top-level names of what a module imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize(("folders", "extras"), [(("cs3collab", "ystore"), ()), (("tests", "benchmarks"), ("dev",))])
def test_what_is_imported_is_declared(folders: tuple[str, ...], extras: tuple[str, ...]) -> None:
    """A package that is only there because something else needs it may be gone tomorrow."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(text for extra in extras for text in project["optional-dependencies"][extra])]
    declared = {canonicalize_name(Requirement(text).name) for text in wanted}
    modules = [path for path in files() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in folders]
    beside = {name for path in modules if "tests" in folders for name in (path.stem, path.parent.name)}
    beside -= {"conftest"}  # there are several: which one it is depends on what is collected
    names = {name for path in modules if path.name != "testing.py" for name in imported(path)}  # testing.py: for pytest users
    distributions = packages_distributions()
    undeclared = {
        name
        for name in names - beside - {"cs3collab", "ystore", "benchmarks"} - sys.stdlib_module_names
        if not declared & {canonicalize_name(found) for found in distributions.get(name, [name])}
    }
    assert undeclared == set()


# --- documents


def slug(heading: str) -> str:
    """The anchor that GitHub and GitLab give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def without_code(markdown: str) -> str:
    return re.sub(r"^(```+).*?^\1$", "", markdown, flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", without_code(path.read_text()), re.MULTILINE)}


def links(markdown: str) -> list[str]:
    prose = re.sub(r"`[^`\n]*`", "", without_code(markdown))
    return re.findall(r"\]\(([^)\s]+)\)", prose) + re.findall(r'(?:src|href)="([^"]+)"', prose)


def test_every_link_in_a_document_leads_somewhere() -> None:
    broken = []
    for name, text in texts(".md"):
        for link in links(text):
            if re.match(r"[a-z]+:", link):
                continue
            file, _, anchor = link.partition("#")
            target = (ROOT / name).parent / file if file else ROOT / name
            if not target.exists() or (anchor and anchor not in anchors(target)):
                broken.append((name, link))
    assert broken == []


def test_every_document_is_reached_from_the_readme() -> None:
    todo, seen = [ROOT / "README.md"], set[Path]()
    while todo:
        page = todo.pop()
        if page in seen or page.suffix != ".md" or not page.is_file():
            continue
        seen.add(page)
        todo += [(page.parent / link.partition("#")[0]).resolve() for link in links(page.read_text()) if ":" not in link]
    pages = {path for path in files() if path.suffix == ".md" and path.is_relative_to(ROOT / "docs")}
    assert sorted(str(page.relative_to(ROOT)) for page in pages - seen) == []


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = sorted(int(path.name[:3]) for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert numbers == list(range(1, len(numbers) + 1))


def options(command: str) -> list[str]:
    parser = argparse.ArgumentParser(add_help=False)
    cli.load(command).add_arguments(parser)
    return [action.option_strings[-1] if action.option_strings else action.dest for action in parser._actions]


@pytest.mark.parametrize("command", sorted(cli.COMMANDS))
def test_every_command_has_help_and_is_documented_with_its_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, "--help"]) == 0
    assert cli.COMMANDS[command].example in capsys.readouterr().out
    page = (REFERENCE / "command-line.md").read_text()
    _, heading, section = page.partition(f"\n## cs3collab {command}\n")
    assert heading, f"docs/reference/command-line.md has no section on {command}"
    section = section.partition("\n## ")[0]
    assert [option for option in options(command) if f"`{option}" not in section] == []


def undocumented(names: list[str], page: str) -> list[str]:
    """Those of `names` that `page` has not in code style."""
    text = (REFERENCE / page).read_text()
    return [name for name in names if not re.search(rf"`{re.escape(name)}(?![\w])", text)]


def test_every_make_target_is_in_contributing() -> None:
    targets = re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    assert [target for target in targets if f"`make {target}`" not in contributing] == []


def test_every_metric_and_each_of_its_words_is_documented() -> None:
    names = [
        family.name + ("_total" if family.type == "counter" else "")
        for metric in telemetry.METRICS
        for family in metric.collect()
    ]
    words = sorted(word for outcomes in telemetry.OUTCOMES.values() for word in outcomes)
    assert undocumented([*names, *words], "metrics.md") == []


def test_every_limit_is_documented_with_its_value() -> None:
    page = (REFERENCE / "limits.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+)", page, re.MULTILINE))
    assert {name: float(value) for name, value in rows.items()} == {
        field.name: in_unit(field.name, field.default) for field in dataclasses.fields(limits.Limits)
    }


def test_every_fixed_bound_is_what_the_code_says() -> None:
    page = (REFERENCE / "limits.md").read_text()
    rows = re.findall(r"^\| `(cs3collab[\w.]+)` \| `(\w+)` \| (\d+) \|", page, re.MULTILINE)
    assert len(rows) >= 8
    assert [(where, name, int(value)) for where, name, value in rows] == [
        (where, name, getattr(importlib.import_module(where), name)) for where, name, _ in rows
    ]


def in_unit(name: str, value: Any) -> float:
    """Sizes are documented in KiB or MiB, whichever makes a small number."""
    if not name.endswith("_bytes"):
        return float(value)
    return float(value / 2**20 if value >= 2**20 else value / 2**10)


def test_every_message_between_relays_is_documented_with_its_tag_and_fields() -> None:
    page = (REFERENCE / "protocol.md").read_text()
    rows = {
        name: (tag, fields)
        for tag, name, fields in re.findall(r"^\| (\d+) \| `(\w+)` \| [^|]* \| ([^|]*) \|", page, re.MULTILINE)
    }
    assert rows == {
        message.__name__: (str(message.__struct_config__.tag), " ".join(f"`{field}`" for field in message.__struct_fields__))
        for message in get_args(protocol.Message)
    }


def test_every_error_kind_is_documented_with_its_codes() -> None:
    page = (REFERENCE / "errors.md").read_text()
    rows = {
        kind: (int(http), int(close))
        for kind, http, close in re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \|", page, re.MULTILINE)
    }
    ours = [error for error in errors._tree(errors.CollabError) if error.__module__ == errors.__name__]
    kinds = {error.kind: (error.http_status, error.close_code) for error in ours}
    assert rows == kinds


def keys(struct: type[msgspec.Struct], prefix: str = "") -> Iterator[str]:
    """Dotted names of all keys of a configuration, tables of free names as one."""
    for field in msgspec.structs.fields(struct):
        inner = [
            kind for kind in (field.type, *get_args(field.type)) if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
        ]
        yield from keys(inner[0], f"{prefix}{field.name}.") if inner else [prefix + field.name]


def test_every_key_of_the_relays_configuration_is_documented() -> None:
    assert undocumented(list(keys(config.RelayConfig)), "relay-configuration.md") == []


def test_the_documented_relay_configurations_can_be_used(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    pages = [REFERENCE / "relay-configuration.md", ROOT / "docs" / "how-to" / "run-a-relay.md"]
    examples = [
        toml for page in pages for toml in re.findall(r"^ *```toml\n(.*?)^ *```", page.read_text(), re.MULTILINE | re.DOTALL)
    ]
    assert len(examples) == len(pages)
    for example in examples:
        file.write_text(textwrap.dedent(example))
        assert config.load(file).site


def test_every_field_of_the_status_that_browsers_get_is_documented() -> None:
    fields = re.findall(r'"(\w+)":', inspect.getsource(YSocket._tell_status))
    assert "savedPosition" in fields
    assert undocumented(fields, "websocket.md") == ["type"]


def test_the_words_of_the_status_bar_are_explained() -> None:
    shown = re.findall(r"label: trans\.(?:__|_n)\(\s*'([^'%]+)", (ROOT / "frontend" / "src" / "describe.ts").read_text())
    explained = (ROOT / "docs" / "explanation" / "durability.md").read_text()
    assert [words for words in shown if f"`{words.strip(' ,:')}" not in explained] == []


def test_every_setting_of_the_jupyter_side_is_documented() -> None:
    settings = pytest.importorskip("cs3collab.jupyter.settings", exc_type=ModuleNotFoundError).CS3Settings
    assert undocumented(sorted(settings.class_own_traits(config=True)), "jupyter-settings.md") == []
