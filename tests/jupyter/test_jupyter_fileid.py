import pytest
from jupyter_server_fileid.extension import FileIdExtension
from jupyter_server_fileid.manager import BaseFileIdManager
from traitlets.config import Config

from cs3collab.jupyter.fileid import CS3FileIdManager
from cs3collab.types import ResourceId

ID = ResourceId("storage", "a/b:c", "space").file_id


@pytest.fixture
def config(tmp_path):
    made = Config()
    made.CS3Settings.gateway = "127.0.0.1:1"
    made.CS3Settings.store_dir = str(tmp_path)  # settings are shared by value
    return made


@pytest.fixture
def ids(config):
    return CS3FileIdManager(config=config, root_dir="/nowhere")


def test_it_is_what_the_extension_takes(config):
    config.FileIdExtension.file_id_manager_class = "cs3collab.jupyter.fileid.CS3FileIdManager"
    assert FileIdExtension(config=config).file_id_manager_class is CS3FileIdManager
    assert issubclass(CS3FileIdManager, BaseFileIdManager)


def test_ids_fit_room_names_and_urls():
    assert not set(ID) & set("/:+= ")


@pytest.mark.parametrize("path", ["fit.ipynb", "/fit.ipynb", "fit.ipynb/"])
def test_a_remembered_file_is_known_by_path_and_id(ids, path):
    ids.remember(path, ID)
    assert ids.get_id("fit.ipynb") == ids.index("/fit.ipynb") == ids.save("fit.ipynb") == ID
    assert ids.get_path(ID) == "fit.ipynb"


def test_ids_are_given_by_storage_never_made_up(ids):
    assert ids.index("unseen.ipynb") is None
    assert ids.get_id("unseen.ipynb") is None
    assert ids.get_path("unknown") is None


def test_a_moved_folder_takes_its_files_along(ids):
    ids.remember("d/x.ipynb", ID)
    ids.remember("dd/x.ipynb", "other")
    ids.move("/d", "/e")
    assert ids.get_path(ID) == "e/x.ipynb"
    assert ids.get_id("d/x.ipynb") is None
    assert ids.get_path("other") == "dd/x.ipynb"


def test_a_copy_is_another_file(ids):
    ids.remember("x.ipynb", ID)
    assert ids.copy("x.ipynb", "y.ipynb") is None
    assert ids.get_path(ID) == "x.ipynb"


def test_a_deleted_folder_is_forgotten(ids):
    ids.remember("d/x.ipynb", ID)
    ids.delete("d")
    assert ids.get_path(ID) is None


def test_events_of_the_contents_manager_are_ignored(ids):
    assert set(ids.get_handlers_by_action()) == {"get", "save", "rename", "copy", "delete"}
    assert set(ids.get_handlers_by_action().values()) == {None}


async def test_it_knows_what_the_contents_manager_of_the_same_server_saw(home, einstein):
    ids = CS3FileIdManager(config=einstein.config)
    info = await home.put("einstein", "d/fit.ipynb", b"{}")
    await einstein.get("d")
    assert ids.get_id("d/fit.ipynb") == info.id.file_id
    await einstein.rename("d/fit.ipynb", "d/better.ipynb")
    assert ids.get_path(info.id.file_id) == "d/better.ipynb"
    assert ResourceId.from_file_id(ids.get_id("d/better.ipynb")) == info.id
    await einstein.delete("d/better.ipynb")
    assert ids.get_path(info.id.file_id) is None


async def test_two_servers_give_a_shared_file_one_id(home, einstein, manage):
    marie = manage(home, "marie")
    await einstein.save({"type": "file", "format": "text", "content": "x"}, "Projects/atlas/x.txt")
    await marie.get("Projects/atlas/x.txt", content=False)
    first, second = CS3FileIdManager(config=einstein.config), CS3FileIdManager(config=marie.config)
    assert first.get_id("Projects/atlas/x.txt") == second.get_id("Projects/atlas/x.txt") is not None
