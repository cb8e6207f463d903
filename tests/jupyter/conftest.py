import contextlib

import pytest
from support.sites import site
from traitlets.config import Config

from cs3collab.jupyter.contents import CS3ContentsManager


@pytest.fixture
async def home(tmp_path):
    """A site with einstein, marie and richard, and the project atlas."""
    members = {"einstein": "manager", "marie": "editor", "richard": "viewer"}
    async with site(tmp_path, projects={"atlas": members}) as running:
        yield running


@pytest.fixture
async def manage(tmp_path):
    """``manage(site, username, **traits)`` makes that user's contents manager, as a server of theirs would."""
    async with contextlib.AsyncExitStack() as stack:

        def make(at, username, **traits):
            config = Config()
            config.CS3Settings.gateway = at.address
            config.CS3Settings.username = username
            config.CS3Settings.password = at.password(username)
            config.CS3Settings.site = at.name
            config.CS3Settings.check_at_start = False
            notary = tmp_path / f"notary-{username}-{at.name}"
            notary.mkdir(exist_ok=True)
            config.NotebookNotary.data_dir = str(notary)
            manager = CS3ContentsManager(config=config, **traits)
            stack.push_async_callback(manager.settings.close)
            return manager

        yield make


@pytest.fixture
async def einstein(home, manage):
    """The contents manager of einstein at `home`."""
    return manage(home, "einstein")
