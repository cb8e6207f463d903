"""The configuration of a real Reva: one revad that is a whole site, on free ports of 127.0.0.1, its state in one folder.

For trials and tests: what a production site needs beyond it (TLS, an identity provider) is not here.
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
SYSTEM_USER: Final = "system-user"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a site is to be. ``ports`` has a free port for each name in `V2_PORTS`, and with an `issuer` one for ``bearer``.

    ``issuer`` is the URL of an identity provider (OpenID Connect) whose tokens are logins, too.
    """

    domain: str
    folder: Path
    ports: Mapping[str, int]
    users: Sequence[Account]
    driver: str
    jwt_secret: str = field(repr=False)
    machine_secret: str = field(repr=False)
    service_secret: str = field(repr=False)
    token_lifetime_s: int = 86400
    issuer: str = ""

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
        "webdav": beside(plan, http=http_server(plan, "webdav", {
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
        "shares": beside(plan, grpc=grpc_server(plan, "shares", {
            "sharesstorageprovider": {
                "usershareprovidersvc": plan.at("grpc"), "gateway_addr": plan.at("grpc"), "mount_id": SHARES,
            },
        })),
        "received": _v2_received(plan),
        "system": _v2_system(plan),
        **({"bearer": _login(plan, "bearer", "oidc", {"issuer": plan.issuer})} if plan.issuer else {}),
    }  # fmt: skip


def beside(plan: Plan, **servers: Table) -> Table:
    return {"shared": {"jwt_secret": plan.jwt_secret, "gatewaysvc": plan.at("grpc")}, "log": {"level": "warn"}, **servers}


def grpc_server(plan: Plan, port: str, services: Table) -> Table:
    return {"address": plan.at(port), "services": services}


def http_server(plan: Plan, port: str, services: Table, **middlewares: Table) -> Table:
    chain = {"cors": {}, "auth": {"credential_chain": ["basic", "bearer"], "token_strategy": "bearer"}}
    return {"address": plan.at(port), "middlewares": chain | middlewares, "services": services}


def _login(plan: Plan, port: str, manager: str, settings: Table, services: Table | None = None) -> Table:
    login = {"authprovider": {"auth_manager": manager, "auth_managers": {manager: settings}}}
    return beside(plan, grpc=grpc_server(plan, port, login | (services or {})))


def driver_of(name: str, settings: Table) -> Table:
    return {"driver": name, "drivers": {name: settings}}


def _v2_main(plan: Plan) -> Table:
    grpc = plan.at("grpc")
    mesh = driver_of("json", {"providers": plan.state("providers.json")})
    decomposed = driver_of(plan.driver, {
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
        "authregistry": driver_of("static", {"rules": {
            "basic": grpc,
            "machine": plan.at("machine"),
            "ocmshares": plan.at("outgoing"),
            "publicshares": plan.at("public"),
            "serviceaccounts": plan.at("service"),
            "appauth": plan.at("app"),
            **({"bearer": plan.at("bearer")} if plan.issuer else {}),
        }}),
        "authprovider": {"auth_manager": "json", "auth_managers": {"json": {"users": plan.state("users.json")}}},
        "userprovider": driver_of("json", {"users": plan.state("users.json")}),
        "groupprovider": driver_of("json", {"groups": plan.state("groups.json")}),
        "permissions": {"driver": "demo"},
        "applicationauth": driver_of("json", {"file": plan.state("appauth.json")}),
        "usershareprovider": driver_of("jsoncs3", {
            "gateway_addr": grpc,
            "provider_addr": plan.at("system"),
            # the first two names for the same are those of 2.27
            **{f"{word}_user_id": SYSTEM_USER for word in ("service", "system")},
            **{f"{word}_user_idp": "internal" for word in ("service", "system")},
            "machine_auth_apikey": plan.machine_secret,
            "service_account_id": "service",
            "service_account_secret": plan.service_secret,
        }),
        "publicshareprovider": {**driver_of("json", {"file": plan.state("publicshares.json")}), "gateway_addr": grpc},
        "ocmcore": driver_of("json", {"file": plan.state("ocmshares.json")}),
        "ocmshareprovider": {
            **driver_of("json", {"file": plan.state("ocmshares.json")}),
            "webdav_endpoint": plan.url("webdav"),
            "provider_domain": plan.domain,
        },
        "ocminvitemanager": {**driver_of("json", {"file": plan.state("invites.json")}), "provider_domain": plan.domain},
        "ocmproviderauthorizer": mesh,
        "storageregistry": driver_of("spaces", {"home_template": "/users/{{.Id.OpaqueId}}", "providers": _v2_mounts(plan)}),
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
    return beside(plan, grpc=grpc_server(plan, "grpc", services), http=http_server(plan, "http", http, providerauthorizer=mesh))


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
    driver = driver_of("ocmreceived", {
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
    return beside(
        plan,
        grpc=grpc_server(plan, "received", {"storageprovider": provider}),
        http=http_server(plan, "received_data", {"dataprovider": driver}),
    )


def _v2_system(plan: Plan) -> Table:
    """A gateway of its own, where the manager of local shares keeps its files."""
    here = plan.at("system")
    driver = driver_of(plan.driver, {
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
        "authregistry": driver_of("static", {"rules": {"machine": here}}),
        "authprovider": {"auth_manager": "machine", "auth_managers": {
            "machine": {"api_key": plan.machine_secret, "gateway_addr": here},
        }},
        "userprovider": driver_of("memory", {"users": {"system": user}}),
        "permissions": {"driver": "demo"},
        "storageregistry": driver_of("static", {"rules": {"/": {"address": here}}}),
        "storageprovider": {"data_server_url": plan.url("system_data", "/data"), **driver},
    }  # fmt: skip
    http = {"dataprovider": driver, "datagateway": {"transfer_shared_secret": plan.jwt_secret}}
    return beside(plan, grpc=grpc_server(plan, "system", services), http=http_server(plan, "system_data", http))


def account(
    username: str, display_name: str, secret: str, domain: str, groups: Sequence[str] = (), opaque_id: str = ""
) -> Account:
    """An entry of ``users.json``. Reva v2 does not find the home of a user whose id has eight characters, as ``marie-id``."""
    return {
        "id": {"opaque_id": opaque_id or f"id-of-{username}", "idp": f"https://{domain}", "type": 1},
        "username": username,
        "secret": secret,
        "mail": f"{username}@example.org",
        "mail_verified": True,
        "display_name": display_name,
        "groups": list(groups),
    }


def _groups(plan: Plan) -> list[Table]:
    """The entries of ``groups.json``: those that accounts say they are in."""
    members: dict[str, list[Any]] = {}
    for user in plan.users:
        for group in user["groups"]:
            members.setdefault(group, []).append(user["id"])
    return [
        {
            "id": {"opaque_id": name, "idp": f"https://{plan.domain}"},
            "group_name": name,
            "mail": f"{name}@example.org",
            "display_name": name.title(),
            "gid_number": number,
            "members": ids,
        }
        for number, (name, ids) in enumerate(sorted(members.items()), 1000)
    ]


def write(plan: Plan, files: Mapping[str, Table], mesh: Sequence[Any]) -> None:
    """Makes the folders, the configuration in ``conf``, and in ``state`` what is there at first."""
    for name in ("conf", "state"):
        (plan.folder / name).mkdir(parents=True, exist_ok=True)
    for name, table in files.items():
        secretly(plan.folder / "conf" / f"{name}.toml", toml(table))
    state = {"users": plan.users, "groups": _groups(plan), "providers": mesh, "ocmshares": {}, "invites": {}}
    for name, content in state.items():
        secretly(plan.folder / "state" / f"{name}.json", json.dumps(content))


def secretly(path: Path, text: str) -> None:
    """Passwords and keys are in these files."""
    path.touch(mode=0o600)
    path.write_text(text)
