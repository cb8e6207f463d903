"""The relay's configuration: one TOML file, every key known, every mistake named."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from cs3collab.cs3.auth import TOKEN_KINDS
from cs3collab.errors import InvalidInput
from cs3collab.limits import DEFAULT, Limits


class GatewayConfig(msgspec.Struct, forbid_unknown_fields=True):
    """The CS3 gateway of this site: ``address`` is ``host:port``."""

    address: str
    tls: bool = False
    ca: str = ""
    """PEM file of the authority that signed the gateway's certificate; empty: the system's."""


class AccountConfig(msgspec.Struct, forbid_unknown_fields=True):
    """The site's service account: keeps the store's cold part, and saves where the operator gave it write access."""

    auth: str = "service-account"
    client_id: str = ""
    secret_file: str = ""


class StoreConfig(msgspec.Struct, forbid_unknown_fields=True):
    """``directory`` is on a local disk; ``cs3`` is a folder of the service account for segments and snapshots."""

    directory: str
    cs3: str = ""


class ServeConfig(msgspec.Struct, forbid_unknown_fields=True):
    """``port`` 0 takes a free one. Without a certificate put a TLS proxy in front of everything that is not this machine."""

    host: str = "127.0.0.1"
    port: int = 8642
    tls_certificate: str = ""
    tls_key: str = ""


class RelayConfig(msgspec.Struct, forbid_unknown_fields=True):
    """``site`` is this site's domain in the mesh. ``relays`` maps the domains of other sites to their relays' URLs."""

    site: str
    gateway: GatewayConfig
    store: StoreConfig
    serve: ServeConfig = msgspec.field(default_factory=ServeConfig)
    service_account: AccountConfig | None = None
    relays: dict[str, str] = {}
    limits: dict[str, float] = {}


def load(path: Path) -> RelayConfig:
    """Raises `InvalidInput` that names the file and what is wrong in it. Relative paths are relative to the file."""
    try:
        config = msgspec.toml.decode(path.read_bytes(), type=RelayConfig)
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}", hint="give the relay's TOML file with --config") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: {error}", hint="docs/reference/relay-configuration.md lists every key") from error
    try:
        check(config)
        resolve_paths(config, path.parent)
        _check_files(config)
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error.message}", hint=error.hint) from error
    return config


def _check_files(config: RelayConfig) -> None:
    """Raises `InvalidInput` for a file that cannot be read, before somebody has to find out from failing connections."""
    account = config.service_account
    for name, file in (
        ("gateway.ca", config.gateway.ca),
        ("serve.tls_certificate", config.serve.tls_certificate),
        ("serve.tls_key", config.serve.tls_key),
        ("service_account.secret_file", account.secret_file if account is not None else ""),
    ):
        try:
            if file:
                Path(file).read_bytes()
        except OSError as error:
            raise InvalidInput(
                f"cannot read {name} = {file}: {error.strerror}", hint="give a file this user may read"
            ) from error


def check(config: RelayConfig) -> None:
    """Raises `InvalidInput`."""
    if not config.site or "/" in config.site:
        raise InvalidInput(f"site = {config.site!r} is not a domain name", hint="for example cernbox.cern.ch")
    host, colon, port = config.gateway.address.rpartition(":")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 2**16):
        raise InvalidInput(
            f"gateway.address = {config.gateway.address!r} is no address", hint="host:port of the CS3 gateway's gRPC"
        )
    for domain, url in config.relays.items():
        check_url(f"relays.{domain}", url)
    if not 0 <= config.serve.port < 2**16:
        raise InvalidInput(f"serve.port = {config.serve.port} is not a port", hint="a number from 0 to 65535")
    if bool(config.serve.tls_certificate) != bool(config.serve.tls_key):
        raise InvalidInput("serve.tls_certificate and serve.tls_key go together", hint="set both or none")
    if config.store.cs3 and config.service_account is None:
        raise InvalidInput("store.cs3 needs an account to write there", hint="add [service_account]")
    if config.service_account is not None and config.service_account.auth not in TOKEN_KINDS:
        raise InvalidInput(f"service_account.auth = {config.service_account.auth!r}", hint=f"one of {', '.join(TOKEN_KINDS)}")
    limits_of(config)


def check_url(name: str, url: str) -> None:
    """Raises `InvalidInput` for what cannot be the URL of a relay; `name` is the setting."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("ws", "wss", "http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise InvalidInput(f"{name} = {url!r} is not the URL of a relay", hint="for example wss://relay.example.org")


_MAY_BE_ZERO = {"idle_save_s", "busy_save_s", "lease_grace_s", "room_linger_s"}


def limits_of(config: RelayConfig) -> Limits:
    """The defaults with what ``[limits]`` changes. Raises as `changed_limits` does."""
    return changed_limits("limits", config.limits)


def changed_limits(setting: str, changes: Mapping[str, float]) -> Limits:
    """The defaults with `changes`. Raises `InvalidInput` for unknown names and bad values, which it names as of `setting`."""
    known = {field.name: type(getattr(DEFAULT, field.name)) for field in dataclasses.fields(Limits)}
    for name, value in changes.items():
        if name not in known:
            raise InvalidInput(f"{setting}.{name} is unknown", hint=f"known are {', '.join(sorted(known))}")
        if not (math.isfinite(value) and (value > 0 or (value == 0 and name in _MAY_BE_ZERO))):
            raise InvalidInput(f"{setting}.{name} = {value} is not usable", hint="a number above zero")
    return dataclasses.replace(DEFAULT, **{name: known[name](value) for name, value in changes.items()})


def resolve_paths(config: RelayConfig, base: Path) -> None:
    """Makes relative paths relative to `base`."""
    config.store.directory = str(base / config.store.directory)
    for part, names in (
        (config.gateway, ("ca",)),
        (config.serve, ("tls_certificate", "tls_key")),
        (config.service_account, ("secret_file",)),
    ):
        for name in names:
            if part is not None and getattr(part, name):
                setattr(part, name, str(base / getattr(part, name)))


def dump(config: RelayConfig) -> str:
    """`config` as TOML that `load` reads."""
    tables = msgspec.to_builtins(config)
    lines = [f"{name} = {_toml(value)}" for name, value in tables.items() if not isinstance(value, dict | None)]
    for name, table in tables.items():
        if isinstance(table, dict) and table:
            lines += ["", f"[{name}]", *(f"{_toml(key)} = {_toml(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def _toml(value: str | float | bool) -> str:
    """JSON's strings, numbers and booleans are TOML's too, but for surrogate pairs and DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
