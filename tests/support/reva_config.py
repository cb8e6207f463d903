"""The configuration of a real revad: one process that is a whole site, on free ports of 127.0.0.1, its state in one folder.

Pure: `v2` and `v3` give the files, `support.reva` writes them and starts the process.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

Table = dict[str, Any]
Account = Mapping[str, Any]

STORAGE: Final = "1284d238-aa92-42ce-bdc4-0b0000009157"
# the ids of Reva v2's other storages are fixed in its source
SHARES: Final = "a0ca6a90-a365-4782-871e-d44447bbc668"
OUTGOING: Final = "7993447f-687f-490d-875c-ac95e89a62a4"
RECEIVED: Final = "89f37a33-858b-45fa-8890-a1f2b27d90e1"
V2_PORTS: Final = ("grpc", "http", "webdav", "machine", "outgoing", "public", "service", "app", "shares", "received",
                   "received_data", "system", "system_data")  # fmt: skip
V3_PORTS: Final = ("grpc", "http", "machine", "outgoing", "outgoing_data", "public", "app", "received", "received_data")
_V3_GATEWAY: Final = ("applicationauth", "authregistry", "groupprovider", "ocmincoming", "ocminvitemanager",
                      "ocmproviderauthorizer", "ocmshareprovider", "permissions", "publicshareprovider", "storageregistry",
                      "userprovider", "usershareprovider")  # fmt: skip
SYSTEM_USER: Final = "system-user"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a site is to be. ``ports`` has a free port for each name in `V2_PORTS` or `V3_PORTS`."""

    domain: str
    folder: Path
    ports: Mapping[str, int]
    users: Sequence[Account]
    driver: str
    jwt_secret: str = field(repr=False)
    machine_secret: str = field(repr=False)
    service_secret: str = field(repr=False)
    token_lifetime_s: int = 86400

    def at(self, port: str) -> str:
        return f"127.0.0.1:{self.ports[port]}"

    def url(self, port: str, path: str = "") -> str:
        return f"http://{self.at(port)}{path}"

    def state(self, name: str) -> str:
        return str(self.folder / "state" / name)


def toml(table: Table) -> str:
    """One line for each leaf: TOML allows dotted keys, and its basic strings are those of JSON. Tables in lists come last."""
    leaves = list(_leaves(table))
    text = _lines(leaf for leaf in leaves if not _is_tables(leaf[1]))
    for path, tables in leaves:
        for inner in tables if _is_tables(tables) else ():
            text += f"\n[[{_key(path)}]]\n{_lines(_leaves(inner))}"
    return text


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(inner, dict) for inner in value)


def _key(path: tuple[str, ...]) -> str:
    return ".".join(map(json.dumps, path))


def _lines(leaves: Iterable[tuple[tuple[str, ...], Any]]) -> str:
    return "".join(f"{_key(path)} = {_value(value)}\n" for path, value in leaves)


def _leaves(table: Table, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value


def _value(value: Any) -> str:
    """What is left are simple values, lists of them, and empty tables."""
    return "{}" if value == {} else json.dumps(value, ensure_ascii=False)


def providers(plans: Sequence[Plan]) -> list[Any]:
    """The mesh: what every site knows of every site."""

    def service(kind: str, path: str, host: str) -> Table:
        return {"endpoint": {"type": {"name": kind}, "name": kind, "path": path}, "host": host}

    return [
        {
            "name": plan.domain,
            "full_name": plan.domain,
            "organization": plan.domain,
            "domain": plan.domain,
            "homepage": plan.url("http"),
            "services": [
                service("OCM", plan.url("http", "/ocm/"), plan.url("http")),
                service("Webdav", plan.url("webdav" if "webdav" in plan.ports else "http", "/webdav/"), plan.url("http")),
                service("Gateway", plan.at("grpc"), plan.at("grpc")),
            ],
        }
        for plan in plans
    ]


def v2(plan: Plan) -> dict[str, Table]:
    """The files of a site on Reva v2. One file holds each gRPC service once, and each way to log in is a service of its own."""
    return {
        "main": _v2_main(plan),
        # beside the well-known service WebDAV would get none of the requests
        "webdav": _beside(plan, http=_http(plan, "webdav", {
            "ocdav": {
                "prefix": "",
                "ocm_namespace": "/public",
                "files_namespace": "/users/{{.Id.OpaqueId}}",
                "webdav_namespace": "/users/{{.Id.OpaqueId}}",
                "url_signing_shared_secret": plan.jwt_secret,
                "machine_auth_apikey": plan.machine_secret,
            },
        }) ),
        "machine": _login(plan, "machine", "machine", {"api_key": plan.machine_secret, "gateway_addr": plan.at("grpc")}),
        "outgoing": _login(plan, "outgoing", "ocmshares", {"gatewaysvc": plan.at("grpc")}, {
            "publicstorageprovider": {"mount_id": OUTGOING, "gateway_addr": plan.at("grpc")},
        }),
        "public": _login(plan, "public", "publicshares", {"gateway_addr": plan.at("grpc")}),
        "service": _login(plan, "service", "serviceaccounts", {
            "service_accounts": [{"id": "service", "secret": plan.service_secret}],
        }),
        "app": _login(plan, "app", "appauth", {"gateway_addr": plan.at("grpc")}),
        "shares": _beside(plan, grpc=_grpc(plan, "shares", {
            "sharesstorageprovider": {
                "usershareprovidersvc": plan.at("grpc"), "gateway_addr": plan.at("grpc"), "mount_id": SHARES,
            },
        })),
        "received": _v2_received(plan),
        "system": _v2_system(plan),
    }  # fmt: skip


def _beside(plan: Plan, **servers: Table) -> Table:
    return {"shared": {"jwt_secret": plan.jwt_secret, "gatewaysvc": plan.at("grpc")}, "log": {"level": "warn"}, **servers}


def _grpc(plan: Plan, port: str, services: Table) -> Table:
    return {"address": plan.at(port), "services": services}


def _http(plan: Plan, port: str, services: Table, **middlewares: Table) -> Table:
    chain = {"cors": {}, "auth": {"credential_chain": ["basic", "bearer"], "token_strategy": "bearer"}}
    return {"address": plan.at(port), "middlewares": chain | middlewares, "services": services}


def _login(plan: Plan, port: str, manager: str, settings: Table, services: Table | None = None) -> Table:
    login = {"authprovider": {"auth_manager": manager, "auth_managers": {manager: settings}}}
    return _beside(plan, grpc=_grpc(plan, port, login | (services or {})))


def _driver(name: str, settings: Table) -> Table:
    return {"driver": name, "drivers": {name: settings}}


def _v2_main(plan: Plan) -> Table:
    grpc = plan.at("grpc")
    mesh = _driver("json", {"providers": plan.state("providers.json")})
    decomposed = _driver(plan.driver, {
        "root": str(plan.folder / "data"),
        "permissionssvc": grpc,
        "treetime_accounting": True,
        "treesize_accounting": True,
        # the storage and the data provider each have a driver of their own, which must not remember what the other changed
        "filemetadatacache": {"cache_store": "noop"},
        "idcache": {"cache_store": "noop"},
    })  # fmt: skip
    services = {
        "gateway": {
            "commit_share_to_storage_grant": True,
            "share_folder": "Shares",
            "datagateway": plan.url("http", "/datagateway"),
            "transfer_shared_secret": plan.jwt_secret,
            "transfer_expires": 60,
            "permissionssvc": grpc,
            "token_managers": {"jwt": {"secret": plan.jwt_secret, "expires": plan.token_lifetime_s}},
        },
        "authregistry": _driver("static", {"rules": {
            "basic": grpc,
            "machine": plan.at("machine"),
            "ocmshares": plan.at("outgoing"),
            "publicshares": plan.at("public"),
            "serviceaccounts": plan.at("service"),
            "appauth": plan.at("app"),
        }}),
        "authprovider": {"auth_manager": "json", "auth_managers": {"json": {"users": plan.state("users.json")}}},
        "userprovider": _driver("json", {"users": plan.state("users.json")}),
        "groupprovider": _driver("json", {"groups": plan.state("groups.json")}),
        "permissions": {"driver": "demo"},
        "applicationauth": _driver("json", {"file": plan.state("appauth.json")}),
        "usershareprovider": _driver("jsoncs3", {
            "gateway_addr": grpc,
            "provider_addr": plan.at("system"),
            # the first two names for the same are those of 2.27
            **{f"{word}_user_id": SYSTEM_USER for word in ("service", "system")},
            **{f"{word}_user_idp": "internal" for word in ("service", "system")},
            "machine_auth_apikey": plan.machine_secret,
            "service_account_id": "service",
            "service_account_secret": plan.service_secret,
        }),
        "publicshareprovider": {**_driver("json", {"file": plan.state("publicshares.json")}), "gateway_addr": grpc},
        "ocmcore": _driver("json", {"file": plan.state("ocmshares.json")}),
        "ocmshareprovider": {
            **_driver("json", {"file": plan.state("ocmshares.json")}),
            "webdav_endpoint": plan.url("webdav"),
            "provider_domain": plan.domain,
        },
        "ocminvitemanager": {**_driver("json", {"file": plan.state("invites.json")}), "provider_domain": plan.domain},
        "ocmproviderauthorizer": mesh,
        "storageregistry": _driver("spaces", {"home_template": "/users/{{.Id.OpaqueId}}", "providers": _v2_mounts(plan)}),
        "storageprovider": {"mount_id": STORAGE, "data_server_url": plan.url("http", "/data"), **decomposed},
    }  # fmt: skip
    http = {
        "dataprovider": decomposed,
        "datagateway": {"transfer_shared_secret": plan.jwt_secret},
        "ocmd": {},
        "sciencemesh": {
            "provider_domain": plan.domain,
            "mesh_directory_url": plan.url("http", "/meshdir"),
            "smtp_credentials": {},
        },
        "wellknown": {"ocmprovider": {"ocm_prefix": "ocm", "provider": plan.domain, "endpoint": plan.url("http")}},
    }
    return _beside(plan, grpc=_grpc(plan, "grpc", services), http=_http(plan, "http", http, providerauthorizer=mesh))


def _v2_mounts(plan: Plan) -> Table:
    mine = "/users/{{.CurrentUser.Id.OpaqueId}}/Shares"

    def below(path: str) -> Table:
        return {"mount_point": path, "path_template": f"{path}/{{{{.Space.Root.OpaqueId}}}}"}

    return {
        plan.at("grpc"): {"providerid": STORAGE, "spaces": {
            "personal": {"mount_point": "/users", "path_template": "/users/{{.Space.Owner.Id.OpaqueId}}"},
            "project": {"mount_point": "/projects", "path_template": "/projects/{{.Space.Name}}"},
        }},
        plan.at("shares"): {"providerid": SHARES, "spaces": {
            "virtual": {"mount_point": mine},
            "grant": {"mount_point": "."},
            "mountpoint": {"mount_point": mine, "path_template": f"{mine}/{{{{.Space.Name}}}}"},
        }},
        plan.at("outgoing"): {"providerid": OUTGOING, "spaces": {
            "grant": {"mount_point": "."}, "mountpoint": below("/public"),
        }},
        plan.at("received"): {"providerid": RECEIVED, "spaces": {
            "grant": {"mount_point": "."}, "mountpoint": below("/ocm"),
        }},
    }  # fmt: skip


def _v2_received(plan: Plan) -> Table:
    driver = _driver("ocmreceived", {
        "storage_root": str(plan.folder / "received"),
        "service_account_id": "service",
        "service_account_secret": plan.service_secret,
    })  # fmt: skip
    provider = {
        "mount_id": RECEIVED,
        "expose_data_server": True,
        "data_server_url": plan.url("received_data", "/data"),
        **driver,
    }
    return _beside(
        plan,
        grpc=_grpc(plan, "received", {"storageprovider": provider}),
        http=_http(plan, "received_data", {"dataprovider": driver}),
    )


def _v2_system(plan: Plan) -> Table:
    """A gateway of its own, where the manager of local shares keeps its files."""
    here = plan.at("system")
    driver = _driver(plan.driver, {
        "root": str(plan.folder / "system"),
        "permissionssvc": here,
        "disable_versioning": True,
        "filemetadatacache": {"cache_store": "noop"},
        "idcache": {"cache_store": "noop"},
    })  # fmt: skip
    user = {"id": {"opaqueId": SYSTEM_USER, "idp": "internal", "type": 3}, "username": SYSTEM_USER}
    services = {
        "gateway": {
            name: here
            for name in ("authregistrysvc", "storageregistrysvc", "userprovidersvc", "groupprovidersvc", "permissionssvc")
        } | {
            "datagateway": plan.url("system_data", "/datagateway"),
            "disable_home_creation_on_login": True,
            "transfer_shared_secret": plan.jwt_secret,
        },
        "authregistry": _driver("static", {"rules": {"machine": here}}),
        "authprovider": {"auth_manager": "machine", "auth_managers": {
            "machine": {"api_key": plan.machine_secret, "gateway_addr": here},
        }},
        "userprovider": _driver("memory", {"users": {"system": user}}),
        "permissions": {"driver": "demo"},
        "storageregistry": _driver("static", {"rules": {"/": {"address": here}}}),
        "storageprovider": {"data_server_url": plan.url("system_data", "/data"), **driver},
    }  # fmt: skip
    http = {"dataprovider": driver, "datagateway": {"transfer_shared_secret": plan.jwt_secret}}
    return _beside(plan, grpc=_grpc(plan, "system", services), http=_http(plan, "system_data", http))


def v3(plan: Plan) -> dict[str, Table]:
    """The one file of a site on Reva v3. A service without an address would listen on every network, on any port."""
    grpc, http = plan.at("grpc"), plan.at("http")
    mesh = _driver("json", {"providers": plan.state("providers.json")})
    stores = {
        "": ("/home", STORAGE, _driver(plan.driver, {"root": str(plan.folder / "local")})),
        "outgoing": ("/ocm", "ocm", _driver("ocmoutcoming", {"machine_secret": plan.machine_secret})),
        "received": ("/sciencemesh", "sciencemesh", _driver("ocmreceived", {"ocm_insecure": True})),
    }
    logins = {
        "grpc": ("json", {"users": plan.state("users.json")}),
        "machine": ("machine", {"api_key": plan.machine_secret, "gateway_addr": grpc}),
        "outgoing": ("ocmshares", {"gatewaysvc": grpc}),
        "public": ("publicshares", {"gateway_addr": grpc}),
        "app": ("appauth", {"gateway_addr": grpc}),
    }
    ways = {"basic": "grpc", "machine": "machine", "ocmshares": "outgoing", "publicshares": "public", "appauth": "app"}
    rules = {rule: {"address": plan.at(name or "grpc")} for name, (path, mount, _) in stores.items() for rule in (path, mount)}
    services: Table = {
        "gateway": {
            **{f"{name}svc": grpc for name in _V3_GATEWAY},
            "datagateway": plan.url("http", "/datagateway"),
            "transfer_shared_secret": plan.jwt_secret,
            "transfer_expires": 60,
            "disable_home_creation_on_login": True,
            "home_layout": "/home/{{.Id.OpaqueId}}",
            "ocm_enabled": True,
            "token_managers": {"jwt": {"secret": plan.jwt_secret, "expires": plan.token_lifetime_s}},
        },
        "authregistry": _driver("static", {"rules": {way: plan.at(port) for way, port in ways.items()}}),
        "userprovider": _driver("json", {"users": plan.state("users.json")}),
        "groupprovider": _driver("json", {"groups": plan.state("groups.json")}),
        "permissions": {"driver": "demo"},
        "applicationauth": _driver("json", {"file": plan.state("appauth.json")}),
        # the others do not answer the gateway's test whether they are there as it expects
        "usershareprovider": _driver("sql", {"db_engine": "sqlite", "db_name": plan.state("shares.db")}),
        "publicshareprovider": _driver("json", {"file": plan.state("publicshares.json")}),
        "ocmincoming": _driver("json", {"file": plan.state("ocmshares.json")}),
        "ocmshareprovider": {
            **_driver("json", {"file": plan.state("ocmshares.json")}),
            "webdav_endpoint": plan.url("http"),
            "webapp_endpoint": plan.url("http", "/external/sciencemesh"),
            "provider_domain": plan.domain,
            "client_insecure": True,
        },
        "ocminvitemanager": {
            **_driver("json", {"file": plan.state("invites.json")}),
            "provider_domain": plan.domain,
            "ocm_insecure": True,
        },
        "ocmproviderauthorizer": mesh,
        "storageregistry": _driver("static", {"home_provider": "/home", "rules": rules}),
    }
    services = {name: {"address": grpc, **service} for name, service in services.items()}
    services["authprovider"] = [
        {"address": plan.at(port), "auth_manager": manager, "auth_managers": {manager: settings}}
        for port, (manager, settings) in logins.items()
    ]
    services["storageprovider"] = [
        {
            "address": plan.at(name or "grpc"),
            "mount_path": path,
            "mount_id": mount,
            "space_depth": 2 if path == "/home" else 1,
            "expose_data_server": bool(name),
            "data_server_url": plan.url(f"{name}_data" if name else "http", "/data"),
            **driver,
        }
        for name, (path, mount, driver) in stores.items()
    ]
    web: Table = {
        "datagateway": {"transfer_shared_secret": plan.jwt_secret},
        "ocm": {"machine_secret": plan.machine_secret, "ocm_client_insecure": True},
        "sciencemesh": {
            "provider_domain": plan.domain,
            "mesh_directory_url": plan.url("http", "/meshdir"),
            "smtp_credentials": {},
        },
        "ocdav": {"spaces_enabled": True},
        "wellknown": {"ocmprovider": {"ocm_prefix": "ocm", "provider": plan.domain, "endpoint": plan.url("http")}},
    }
    web = {name: {"address": http, **service} for name, service in web.items()}
    web["dataprovider"] = [
        {"address": plan.at(f"{name}_data" if name else "http"), **driver} for name, (_, _, driver) in stores.items()
    ]
    middlewares = {
        "cors": {},
        "auth": {"credential_chain": ["basic", "bearer"], "token_strategy_chain": ["bearer", "header"]},
        "providerauthorizer": mesh,
    }
    return {"main": {
        "shared": {"jwt_secret": plan.jwt_secret, "gatewaysvc": grpc, "datagateway": plan.url("http", "/datagateway")},
        "log": {"level": "warn"},
        "core": {"config_dump_file": plan.state("dump.toml"), "tracing_enabled": False},
        "grpc": {"address": grpc, "services": services},
        "http": {"address": http, "middlewares": middlewares, "services": web},
    }}  # fmt: skip
