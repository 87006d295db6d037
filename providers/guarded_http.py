"""Sends requests to URLs that a user entered: never to a private network, and only to an address that was checked.

Every attempt resolves the name, checks all of its addresses, and connects to one of exactly these addresses, so a name
that resolves differently a moment later (DNS rebinding) has no effect. Connections are not pooled, because accounts
differ in the networks that they may reach.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import socket
import ssl
from typing import Any

from urllib3.exceptions import ConnectTimeoutError, LocationParseError, NameResolutionError, NewConnectionError
from urllib3.util import parse_url
from urllib3.util.connection import create_connection

from providers import http_client, responses
from rules import outbound_urls
from rules.errors import InvalidRequest

Network = outbound_urls.Network

_AUTHORITY = re.compile(r"[^/?#]*//([^/?#]*)")


def send_request(call: http_client.Call, allowed_networks: tuple[str, ...]) -> responses.Response:
    """Like `http_client.send_request`, but only to a public address or one in `allowed_networks` (CIDR)."""
    try:
        parts = parse_url(call.url)
    except LocationParseError:
        parts = parse_url("")
    if parts.scheme not in ("http", "https") or not parts.host:
        raise InvalidRequest(f"The address for {call.label} must begin with https:// or http:// and contain a host.")
    if parts.auth is not None:
        raise InvalidRequest(f"The address for {call.label} contains a password: put it in a header instead.")
    networks = tuple(ipaddress.ip_network(network, strict=False) for network in allowed_networks)
    # Before any name is resolved: an address that no resolver accepts must not be reported as an unknown name.
    fault = outbound_urls.check_authority(_extract_authority(call.url), networks)
    if fault:
        raise InvalidRequest(f"The URL for {call.label} {fault}.")
    return http_client.send_request(
        call, _create_connection(parts.scheme, parts.host.strip("[]"), parts.port, networks)
    )


def _extract_authority(url: str) -> str:
    match = _AUTHORITY.match(url)
    return match[1] if match else ""


def _create_connection(
    scheme: str, host: str, port: int | None, networks: tuple[Network, ...]
) -> http_client.TrackedConnection:
    if scheme == "https":
        return _TLSConnection(host, port, networks=networks, ssl_context=_get_tls_context())
    return _PlainConnection(host, port, networks=networks)


@functools.lru_cache(maxsize=1)
def _get_tls_context() -> ssl.SSLContext:
    return http_client.create_tls_context()


class _CheckedAddressMixin:
    """Connects only to checked addresses, even if the name resolves differently a moment later."""

    host: str
    port: int
    timeout: Any
    socket_options: Any

    def __init__(self, *args: Any, networks: tuple[Network, ...] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.networks = networks

    def _new_conn(self) -> socket.socket:
        try:
            addresses = resolve_allowed_addresses(self.host, self.port, self.networks)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error  # type: ignore[arg-type]
        last_error: Exception | None = None
        for address in addresses:
            try:
                return create_connection((address, self.port), self.timeout, socket_options=self.socket_options)
            except TimeoutError as error:
                last_error = ConnectTimeoutError(self, "connection timed out")
                last_error.__cause__ = error
            except OSError as error:
                last_error = NewConnectionError(self, "no connection")  # type: ignore[arg-type]
                last_error.__cause__ = error
        raise last_error or OSError("no address")


class _PlainConnection(_CheckedAddressMixin, http_client.TrackedConnection):
    """A checked connection over TCP."""


class _TLSConnection(_CheckedAddressMixin, http_client.TrackedTLSConnection):
    """A checked connection over TLS; the certificate is verified for the name, not for the address."""


def resolve_allowed_addresses(host: str, port: int, networks: tuple[Network, ...]) -> list[str]:
    """Return the addresses of `host`. Raises `InvalidRequest` if any is private and in none of `networks`.

    One private address among public ones is rejected too: which one would be used is unpredictable.
    """
    entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
    for address in addresses:
        if not outbound_urls.is_allowed(ipaddress.ip_address(address.split("%")[0]), networks):
            raise InvalidRequest(f"The URL {outbound_urls.format_private_host_error(host)}.")
    return addresses
