"""The relay's configuration: what is written can be read, and no limit can stop the relay from working."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cs3collab.errors import InvalidInput
from cs3collab.limits import DEFAULT, Limits
from cs3collab.relay.config import (
    AccountConfig,
    GatewayConfig,
    RelayConfig,
    ServeConfig,
    StoreConfig,
    check,
    dump,
    limits_of,
    load,
)

GOOD = RelayConfig("a.example", GatewayConfig("localhost:9142"), StoreConfig("store"))
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


@given(
    st.builds(
        RelayConfig,
        site=TEXT,
        gateway=st.builds(GatewayConfig, address=TEXT, tls=st.booleans(), ca=TEXT),
        store=st.builds(StoreConfig, directory=TEXT, cs3=TEXT),
        serve=st.builds(ServeConfig, host=TEXT, port=st.integers(0, 65535), tls_certificate=TEXT, tls_key=TEXT),
        service_account=st.none() | st.builds(AccountConfig, auth=TEXT, client_id=TEXT, secret_file=TEXT),
        relays=st.dictionaries(TEXT, TEXT, max_size=3),
        limits=st.dictionaries(TEXT, st.floats(allow_nan=False, allow_infinity=False), max_size=3),
    )
)
def test_what_is_written_can_be_read(config: RelayConfig) -> None:
    assert msgspec.toml.decode(dump(config).encode(), type=RelayConfig) == config


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "secret").write_text("x")
    account = AccountConfig("service-account", "id", "secret")
    config = msgspec.structs.replace(GOOD, service_account=account)
    (folder / "relay.toml").write_text(dump(config))
    loaded = load(folder / "relay.toml")
    assert loaded.store.directory == str(folder / "store")
    assert loaded.service_account is not None
    assert loaded.service_account.secret_file == str(folder / "secret")


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Limits)])
@pytest.mark.parametrize("value", [-1.0, 0.0, float("nan"), float("inf"), 7.0])
def test_limits_are_numbers_with_which_a_relay_can_work(name: str, value: float) -> None:
    config = msgspec.structs.replace(GOOD, limits={name: value})
    zero = {"idle_save_s", "busy_save_s", "lease_grace_s", "room_linger_s"}
    if value == 7.0 or (value == 0.0 and name in zero):
        assert getattr(limits_of(config), name) == value
        assert type(getattr(limits_of(config), name)) is type(getattr(DEFAULT, name))
    else:
        with pytest.raises(InvalidInput, match=name):
            check(config)


def test_a_limit_that_is_unknown_is_named() -> None:
    with pytest.raises(InvalidInput, match="docment_bytes"):
        check(msgspec.structs.replace(GOOD, limits={"docment_bytes": 1.0}))
