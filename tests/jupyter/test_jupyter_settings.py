import asyncio
import gc
import os
from dataclasses import replace

import pytest
from traitlets.config import Config

from cs3collab.errors import InvalidInput, NotAuthenticated, Unavailable
from cs3collab.jupyter.live import Live
from cs3collab.jupyter.merging import parse_version
from cs3collab.jupyter.settings import CS3Settings
from cs3collab.limits import DEFAULT


@pytest.fixture
async def opened(home, tmp_path):
    """``opened(**traits)`` makes settings for einstein; what they open is closed."""
    made = []

    def make(**traits):
        config = Config()
        config.CS3Settings.update({"gateway": home.address, "username": "einstein", "store_dir": str(tmp_path), **traits})
        made.append(CS3Settings.instance(config=config))
        return made[-1]

    yield make
    for settings in made:
        await settings.close()


async def test_a_password_from_the_environment(opened, monkeypatch):
    monkeypatch.setenv("CS3COLLAB_PASSWORD", "einstein-secret")
    settings = opened()
    assert (await settings.session()).user.display_name == "Albert Einstein"
    assert settings.user.username == "einstein"


async def test_a_password_from_a_file(opened, tmp_path):
    (tmp_path / "password").write_text("einstein-secret\n")
    assert (await opened(password_file=str(tmp_path / "password")).files()).user.username == "einstein"
    with pytest.raises(InvalidInput, match="password_file"):
        await opened(password_file=str(tmp_path / "none")).session()


async def test_a_token_from_a_file_that_is_rotated(opened, home, tmp_path):
    file = tmp_path / "token"
    session = await home.session("einstein")
    file.write_text(await session.tokens.token())
    settings = opened(auth="file", token_file=str(file))
    assert (await settings.session()).user.username == "einstein"
    again = await session.tokens.renew()
    file.write_text(again)
    os.utime(file, (1, 1))
    assert await (await settings.session()).tokens.token() == again


async def test_a_bearer_token(opened, home):
    token = await (await home.session("einstein")).tokens.token()
    assert (await opened(auth="bearer", token=token).session()).user.username == "einstein"


async def test_secrets_are_in_no_repr(opened):
    settings = opened(password="very-secret", token="very-secret")
    assert "very-secret" not in repr(settings)
    assert "very-secret" not in str(settings)


async def test_a_refused_login_says_what_to_correct(opened):
    with pytest.raises(NotAuthenticated, match="refused the login") as refused:
        await opened(password="wrong").session()
    assert "CS3COLLAB_PASSWORD" in refused.value.hint


async def test_no_gateway_says_what_to_set(opened):
    with pytest.raises(InvalidInput, match=r"CS3Settings\.gateway"):
        await opened(gateway="").session()


async def test_a_login_that_failed_is_tried_again(opened, home, tmp_path):
    file = tmp_path / "password"
    file.write_text("wrong")
    settings = opened(password_file=str(file))
    with pytest.raises(NotAuthenticated):
        await settings.session()
    file.write_text("einstein-secret")
    assert (await settings.session()).user.username == "einstein"


async def test_one_session_for_all_who_ask_at_once(opened):
    settings = opened(password="einstein-secret")
    sessions = await asyncio.gather(*(settings.session() for _ in range(5)))
    assert len(set(map(id, sessions))) == 1


async def test_after_close_a_new_session_is_opened(opened):
    settings = opened(password="einstein-secret")
    first = await settings.session()
    await settings.close()
    assert await settings.session() is not first


async def test_parts_with_equal_configuration_share_one_instance(opened):
    assert opened(password="a") is opened(password="a")
    assert opened(password="a") is not opened(password="b")


async def test_an_instance_nobody_holds_is_forgotten():
    config = Config()
    config.CS3Settings.store_dir = "/nowhere/at/all"
    first = CS3Settings.instance(config=config)
    first.ids.put("x", "id")
    del first
    gc.collect()
    assert CS3Settings.instance(config=config).ids.id("x") is None


def test_the_check_at_start_raises_what_to_correct(tmp_path):
    config = Config()
    config.CS3Settings.update({"gateway": "127.0.0.1:1", "username": "x", "password": "y", "store_dir": str(tmp_path)})
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
        CS3Settings.instance(config=config).check()
    config.CS3Settings.check_at_start = False
    CS3Settings.instance(config=config).check()


def test_limits_are_those_of_the_configuration(tmp_path):
    config = Config()
    config.CS3Settings.update({"gateway": "127.0.0.1:1", "store_dir": str(tmp_path), "check_at_start": False})
    config.CS3Settings.limits = {"lease_grace_s": 1, "update_bytes": 1000}
    settings = CS3Settings.instance(config=config)
    settings.check()
    assert Live(settings).limits == replace(DEFAULT, lease_grace_s=1.0, update_bytes=1000)
    with pytest.raises(InvalidInput, match="too long"):
        parse_version(b" " * 2001, Live(settings).limits)


@pytest.mark.parametrize("limits", [{"leese_s": 1.0}, {"lease_s": -1.0}])
def test_limits_that_cannot_be_used_are_named_at_the_start(tmp_path, limits):
    config = Config()
    config.CS3Settings.update({"store_dir": str(tmp_path), "check_at_start": False, "limits": limits})
    with pytest.raises(InvalidInput, match=rf"CS3Settings\.limits\.{next(iter(limits))}"):
        CS3Settings.instance(config=config).check()
