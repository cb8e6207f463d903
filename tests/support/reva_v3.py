"""The configuration of a site on Reva v3, as `cs3collab.demo.revad` has it for v2. Its ``local`` driver has no locks."""

from __future__ import annotations

from typing import Final

from cs3collab.demo.revad import STORAGE, Plan, Table, driver_of

V3_PORTS: Final = ("grpc", "http", "machine", "outgoing", "outgoing_data", "public", "app", "received", "received_data")
_V3_GATEWAY: Final = ("applicationauth", "authregistry", "groupprovider", "ocmincoming", "ocminvitemanager",
                      "ocmproviderauthorizer", "ocmshareprovider", "permissions", "publicshareprovider", "storageregistry",
                      "userprovider", "usershareprovider")  # fmt: skip


def v3(plan: Plan) -> dict[str, Table]:
    """The one file of a site on Reva v3. A service without an address would listen on every network, on any port."""
    grpc, http = plan.at("grpc"), plan.at("http")
    mesh = driver_of("json", {"providers": plan.state("providers.json")})
    stores = {
        "": ("/home", STORAGE, driver_of(plan.driver, {"root": str(plan.folder / "local")})),
        "outgoing": ("/ocm", "ocm", driver_of("ocmoutcoming", {"machine_secret": plan.machine_secret})),
        "received": ("/sciencemesh", "sciencemesh", driver_of("ocmreceived", {"ocm_insecure": True})),
    }
    logins = {
        "grpc": ("json", {"users": plan.state("users.json")}),
        "machine": ("machine", {"api_key": plan.machine_secret, "gateway_addr": grpc}),
        "outgoing": ("ocmshares", {"gatewaysvc": grpc}),
        "public": ("publicshares", {"gateway_addr": grpc}),
        "app": ("appauth", {"gateway_addr": grpc}),
    }
    ways = {"basic": "grpc", "machine": "machine", "ocmshares": "outgoing", "publicshares": "public", "appauth": "app"}
    if plan.issuer:
        logins["bearer"] = ("oidc", {"issuer": plan.issuer, "gatewaysvc": grpc})
        ways["bearer"] = "bearer"
    rules = {rule: {"address": plan.at(name or "grpc")} for name, (path, mount, _) in stores.items() for rule in (path, mount)}
    rules |= {rule: {"address": plan.at("public")} for rule in ("/public", "public")}
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
        "authregistry": driver_of("static", {"rules": {way: plan.at(port) for way, port in ways.items()}}),
        "userprovider": driver_of("json", {"users": plan.state("users.json")}),
        "groupprovider": driver_of("json", {"groups": plan.state("groups.json")}),
        "permissions": {"driver": "demo"},
        "applicationauth": driver_of("json", {"file": plan.state("appauth.json")}),
        # the others do not answer the gateway's test whether they are there as it expects, or fail to list links
        **{
            name: driver_of("sql", {"db_engine": "sqlite", "db_name": plan.state("shares.db")})
            for name in ("usershareprovider", "publicshareprovider")
        },
        "ocmincoming": driver_of("json", {"file": plan.state("ocmshares.json")}),
        "ocmshareprovider": {
            **driver_of("json", {"file": plan.state("ocmshares.json")}),
            "webdav_endpoint": plan.url("http"),
            "webapp_endpoint": plan.url("http", "/external/sciencemesh"),
            "provider_domain": plan.domain,
            "client_insecure": True,
        },
        "ocminvitemanager": {
            **driver_of("json", {"file": plan.state("invites.json")}),
            "provider_domain": plan.domain,
            "ocm_insecure": True,
        },
        "ocmproviderauthorizer": mesh,
        "storageregistry": driver_of("static", {"home_provider": "/home", "rules": rules}),
    }
    services = {name: {"address": grpc, **service} for name, service in services.items()}
    services["publicstorageprovider"] = {"address": plan.at("public"), "mount_path": "/public", "mount_id": "public"}
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
