"""The same guarantees hold over TLS: the name is verified, and a connection goes to the checked address."""

from __future__ import annotations

import datetime
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from providers import guarded_http, http_client
from providers.base import Account, OutgoingMessage
from providers.registry import SENDERS
from rules.errors import NetworkError, UnknownOutcome

NAME = "hooks.example.com"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for `NAME` with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    signed_certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    file.write_bytes(
        signed_certificate.public_bytes(pem) + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    )
    return file


@pytest.fixture
def trust_certificate(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make this process trust the certificate and resolve `NAME` to this machine."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    guarded_http._get_tls_context.cache_clear()
    monkeypatch.setattr(http_client, "_pools", {})
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *rest, **more: real("127.0.0.1", *rest, **more))
    yield
    http_client.get_connection_pool().close()


@pytest.fixture(autouse=True)
def _clear_tls_context() -> Any:
    yield
    guarded_http._get_tls_context.cache_clear()


def serve_over_tls(certificate: Path, response: bytes, *, drip: bool = False) -> Callable[[Any, socket.socket], None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def script(server: Any, sock: socket.socket) -> None:
        try:
            with context.wrap_socket(sock, server_side=True) as secure:
                server.read(secure)
                secure.sendall(response)
                secure.settimeout(0.02)
                while drip:
                    try:
                        if not secure.recv(1):
                            return
                    except TimeoutError:
                        secure.sendall(b"x")
        except (ssl.SSLError, ConnectionError):
            return

    return script


def build_call(server: Any, host: str = NAME, **more: Any) -> http_client.Call:
    url = f"https://{host}:{server.url.rpartition(':')[2]}/in"
    return http_client.Call(label="Acme", method="POST", url=url, headers={}, body=b"hi", effect=True, **more)


def test_a_send_over_tls_gets_a_receipt(
    scripted_server: Callable[..., Any], certificate: Path, trust_certificate: None
) -> None:
    server = scripted_server(serve_over_tls(certificate, OK))

    assert http_client.send_request(build_call(server)).text == "ok"


def test_a_certificate_for_another_name_fails_before_anything_is_written(
    scripted_server: Callable[..., Any], certificate: Path, trust_certificate: None
) -> None:
    server = scripted_server(serve_over_tls(certificate, OK))

    with pytest.raises(NetworkError, match="TLS"):
        http_client.send_request(build_call(server, "other.example.com"))
    assert server.requests == []


def test_an_unknown_authority_is_a_network_error(
    scripted_server: Callable[..., Any], certificate: Path, trust_certificate: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    server = scripted_server(serve_over_tls(certificate, OK))

    with pytest.raises(NetworkError, match="TLS"):
        http_client.send_request(build_call(server))


def test_a_webhook_over_tls_goes_to_the_checked_address_with_its_name(
    scripted_server: Callable[..., Any], certificate: Path, trust_certificate: None
) -> None:
    server = scripted_server(serve_over_tls(certificate, OK))
    secrets = {"WEBHOOK_SIGNING_SECRET": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}
    account = Account("webhook", "", secrets, allowed_networks=("127.0.0.0/8",))
    url = f"HTTPS://{NAME}:{server.url.rpartition(':')[2]}/in?x=1#part"

    receipt = SENDERS["webhook"].send(account, OutgoingMessage(key="k", to=url, body="{}"))

    assert receipt.detail == {"status": 200}
    assert server.requests[0].startswith(b"POST /in?x=1 HTTP/1.1\r\nHost: hooks.example.com:")


def test_a_dripping_response_over_tls_times_out(
    scripted_server: Callable[..., Any], certificate: Path, trust_certificate: None
) -> None:
    server = scripted_server(serve_over_tls(certificate, b"HTTP/1.1 200 OK\r\nX-Slow: ", drip=True))

    with pytest.raises(UnknownOutcome, match="did not respond within"):
        http_client.send_request(build_call(server, read_seconds=0.2))
