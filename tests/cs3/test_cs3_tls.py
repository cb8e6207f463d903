"""TLS with a site's own authority, for gRPC and for the data endpoint."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from aiohttp import web
from cs3.gateway.v1beta1 import gateway_api_pb2 as gateway_api
from cs3.identity.user.v1beta1 import resources_pb2 as identity
from cs3.rpc.v1beta1 import code_pb2, status_pb2

from cs3collab.cs3 import transfer
from cs3collab.cs3.auth import BearerToken
from cs3collab.cs3.gateway import Gateway
from cs3collab.cs3.session import Session
from cs3collab.cs3.transfer import Ticket
from cs3collab.errors import InvalidInput, StorageUnavailable

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificates with openssl")


@dataclass(frozen=True, slots=True)
class SecureSite:
    address: str
    data_url: str
    cert: Path


def certificate(folder: Path) -> tuple[Path, Path]:
    """A key, and a self-signed certificate for 127.0.0.1."""
    folder.mkdir()
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=gateway", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    return key, cert


async def who_am_i(request: Any, _: Any) -> Any:
    ok = status_pb2.Status(code=code_pb2.CODE_OK)
    return gateway_api.WhoAmIResponse(status=ok, user=identity.User(username=f"owner of {request.token}"))


async def serve_data(_: web.Request) -> web.Response:
    return web.Response(body=b"content")


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[SecureSite]:
    key, cert = certificate(tmp_path / "site")
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        who_am_i, gateway_api.WhoAmIRequest.FromString, gateway_api.WhoAmIResponse.SerializeToString
    )
    service = gateway_api.DESCRIPTOR.services_by_name["GatewayAPI"].full_name
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"WhoAmI": handler}),))
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), cert.read_bytes())])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    app = web.Application()
    app.router.add_get("/data", serve_data)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    yield SecureSite(f"127.0.0.1:{port}", f"https://127.0.0.1:{runner.addresses[0][1]}/data", cert)
    await runner.cleanup()
    await server.stop(None)


async def test_a_site_with_an_authority_of_its_own_is_trusted_when_it_is_named(secure: SecureSite) -> None:
    async with Gateway(secure.address, tls=True, ca=secure.cert, timeout_s=10) as gateway:
        session = await Session.open(gateway, BearerToken("token"))
        assert session.user.username == "owner of token"
        assert await transfer.fetch(session, Ticket(secure.data_url, "t"), max_bytes=100) == (b"content", True)


@pytest.mark.parametrize("other", [True, False])
async def test_a_site_of_an_unknown_authority_is_not_trusted(secure: SecureSite, tmp_path: Path, other: bool) -> None:
    ca = certificate(tmp_path / "other")[1] if other else None
    async with Gateway(secure.address, tls=True, ca=ca, timeout_s=10) as gateway:
        with pytest.raises(StorageUnavailable) as caught:
            await Session.open(gateway, BearerToken("token"))
        assert "\n" not in str(caught.value)
        session = Session(gateway, BearerToken("token"))
        with pytest.raises(StorageUnavailable, match="not trusted"):
            await transfer.fetch(session, Ticket(secure.data_url, "t"), max_bytes=100)


async def test_a_ca_file_without_a_certificate_is_named(secure: SecureSite, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    async with Gateway(secure.address, tls=True, ca=tmp_path / "ca.pem", timeout_s=10) as gateway:
        session = Session(gateway, BearerToken("token"))
        with pytest.raises(InvalidInput, match=r"ca\.pem"):
            await transfer.fetch(session, Ticket(secure.data_url, "t"), max_bytes=100)
