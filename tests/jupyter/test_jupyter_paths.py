import pytest
from hypothesis import given
from hypothesis import strategies as st

from cs3collab.errors import InvalidInput, NotFound
from cs3collab.jupyter import paths
from cs3collab.jupyter.paths import Entry, Home, Item, LocalShare, OCMShare, PathIds, Project, VirtualFolder
from cs3collab.types import ResourceId

FILE = ResourceId("storage", "file", "space")
FOLDER = ResourceId("storage", "folder", "space")
ROOT = ResourceId("storage", "root", "root")
ENTRIES = {
    "Shares": {
        "analysis.ipynb": Entry("analysis.ipynb", "marie", LocalShare(FILE)),
        "data": Entry("data", "marie", LocalShare(FOLDER)),
        "far.ipynb": Entry("far.ipynb", "richard", OCMShare("77")),
        "far away": Entry("far away", "richard", OCMShare("78")),
    },
    "Projects": {"atlas": Entry("atlas", "", Project(ROOT))},
}


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("", Home("")),
        ("/", Home("")),
        ("x.ipynb", Home("x.ipynb")),
        ("/a//b/c.txt/", Home("a/b/c.txt")),
        ("mine/Shares/x", Home("mine/Shares/x")),
        ("shares", Home("shares")),
        ("Shares", VirtualFolder("Shares")),
        ("Projects/", VirtualFolder("Projects")),
        ("Shares (home)", Home("Shares")),
        ("Projects (home)/x/y", Home("Projects/x/y")),
        ("Other (home)/x", Home("Other (home)/x")),
        ("Shares/analysis.ipynb", LocalShare(FILE)),
        ("Shares/data", LocalShare(FOLDER)),
        ("Shares/data/deep/er.csv", LocalShare(FOLDER, "deep/er.csv")),
        ("Shares/far.ipynb", OCMShare("77")),
        ("Shares/far away/ü.ipynb", OCMShare("78", "ü.ipynb")),
        ("Projects/atlas", Project(ROOT)),
        ("Projects/atlas/run 3/fit.ipynb", Project(ROOT, "run 3/fit.ipynb")),
    ],
)
def test_resolve(path, place):
    assert paths.resolve(path, ENTRIES) == place


@pytest.mark.parametrize("path", ["Shares/none", "Shares/none/x", "Projects/data", "Projects/analysis.ipynb"])
def test_resolve_unknown_entry(path):
    with pytest.raises(NotFound, match="no entry named"):
        paths.resolve(path, ENTRIES)


@pytest.mark.parametrize("path", ["..", "a/../b", "./a", "Shares/../x", "a\x00b", "a\nb", "Shares/data/.."])
def test_paths_that_are_none(path):
    with pytest.raises(InvalidInput):
        paths.parse(path)


def test_parse_needs_no_lists():
    assert paths.parse("Shares/data/x/y") == Item("Shares", "data", "x/y")


@pytest.mark.parametrize(
    ("path", "hidden"), [("", False), ("a/b.c", False), (".x", True), ("a/.x/b", True), ("a/x.", False), ("Shares/.x", True)]
)
def test_hidden(path, hidden):
    assert paths.is_hidden(path) is hidden


@pytest.mark.parametrize(
    ("given_", "names"),
    [
        ([], []),
        ([("a.ipynb", "marie")], ["a.ipynb"]),
        ([("a.ipynb", "marie"), ("a.ipynb", "richard")], ["a.ipynb", "a (richard).ipynb"]),
        ([("d", "marie"), ("d", "richard"), ("d", "richard")], ["d", "d (richard)", "d (richard 2)"]),
        ([("d", ""), ("d", "")], ["d", "d (2)"]),
        ([("a/b", "x"), ("", "x"), ("..", "x")], ["a_b", "unnamed", "__"]),
        ([(".rc", "x"), (".rc", "y")], [".rc", ".rc (y)"]),
    ],
)
def test_names(given_, names):
    entries = [Entry(name, owner, OCMShare(str(number))) for number, (name, owner) in enumerate(given_)]
    result = paths.named(entries)
    assert list(result) == names
    assert list(result.values()) == entries


@given(st.lists(st.tuples(st.text(max_size=6), st.text(max_size=3))))
def test_every_entry_is_reachable_under_its_name(pairs):
    entries = [Entry(name, owner, OCMShare(str(number))) for number, (name, owner) in enumerate(pairs)]
    shelf = paths.named(entries)
    assert sorted(entry.place.share_id for entry in shelf.values()) == sorted(str(number) for number in range(len(pairs)))
    for name, entry in shelf.items():
        assert paths.resolve(f"Shares/{name}", {"Shares": shelf}) == entry.place


def test_home_names_lead_back():
    for name in ("Shares", "Projects", "x"):
        assert paths.parse(paths.home_name(name)) == Home(name)


def test_ids_both_ways_and_move():
    ids = PathIds()
    ids.put("d/a", "1")
    ids.put("d/b/c", "2")
    ids.put("dd", "3")
    ids.move_tree("d", "e")
    assert (ids.id("d/a"), ids.id("e/a"), ids.id("e/b/c"), ids.id("dd")) == (None, "1", "2", "3")
    assert ids.path("2") == "e/b/c"
    ids.move_tree("d", "e")
    assert ids.path("1") == "e/a"
    ids.drop_tree("e")
    assert len(ids) == 1
    assert ids.path("1") is None


def test_move_replaces_what_was_there():
    ids = PathIds()
    ids.put("a", "1")
    ids.put("b", "2")
    ids.move_tree("a", "b")
    assert (ids.path("1"), ids.path("2"), ids.id("b")) == ("b", None, "1")


def test_a_file_with_two_paths():
    ids = PathIds()
    ids.put("mine", "1")
    ids.put("Shares/mine", "1")
    assert ids.path("1") == "Shares/mine"
    ids.drop("Shares/mine")
    assert ids.path("1") == "mine"


def test_ids_are_bounded_and_forget_the_unused():
    ids = PathIds(capacity=3)
    for number in range(3):
        ids.put(f"p{number}", f"i{number}")
    ids.path("i0")
    ids.put("p3", "i3")
    assert len(ids) == 3
    assert [ids.id(f"p{number}") for number in range(4)] == ["i0", None, "i2", "i3"]


@given(st.lists(st.tuples(st.sampled_from(["put", "drop", "move"]), st.sampled_from("abc"), st.sampled_from("abcx"))))
def test_ids_stay_consistent(steps):
    ids = PathIds(capacity=2)
    for step, one, other in steps:
        match step:
            case "put":
                ids.put(one, f"id-{other}")
            case "drop":
                ids.drop(one)
            case "move":
                ids.move_tree(one, other)
        for path in "abcx":
            known = ids.id(path)
            if known is not None:
                assert ids.id(ids.path(known)) == known
