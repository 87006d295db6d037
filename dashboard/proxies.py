"""Client addresses behind reverse proxies: `X-Forwarded-*` is used only from trusted proxies.

A request whose peer is in `BECKON_TRUSTED_PROXIES` gets its address, scheme and host from the headers, by werkzeug's
ProxyFix; the headers of other peers are ignored. Invalid values are ignored and never raise.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

import flask
from werkzeug.middleware.proxy_fix import ProxyFix

from settings import Networks

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: The WSGI key of the socket's peer; empty for a forwarded request.
_DIRECT_PEER = "beckon.direct_peer"
_FOR, _PROTO, _HOST = "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST"
#: WSGI names of headers that proxies add, beside all of X-Forwarded-*.
_PROXY_HEADERS = frozenset(
    f"HTTP_{name}"
    for name in (
        "FORWARDED", "VIA", "X_REAL_IP", "X_CLIENT_IP", "X_CLUSTER_CLIENT_IP", "X_ORIGINAL_FORWARDED_FOR",
        "X_ENVOY_EXTERNAL_ADDRESS", "TRUE_CLIENT_IP", "CF_CONNECTING_IP", "FASTLY_CLIENT_IP",
    )
)  # fmt: skip
#: A client with one IPv6 address controls the whole network of this size.
_IPV6_PREFIX = 64


def register(app: flask.Flask) -> None:
    """Wrap the application so that each request has its real client address."""
    app.wsgi_app = _TrustedProxies(app)  # type: ignore[method-assign]


def find_direct_peer() -> Address | None:
    """The address of the socket's peer; None where a proxy, trusted or not, forwarded the current request."""
    return _parse_address(flask.request.environ.get(_DIRECT_PEER, ""))


def read_client_address() -> str:
    """The client's address, for logs and the audit log; empty where there is none."""
    return flask.request.remote_addr or ""


def read_client_network() -> str:
    """The rate-limit key for a client address: an IPv4 address, or the /64 network of an IPv6 address."""
    address = _parse_address(read_client_address())
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))
    return str(address)


class _TrustedProxies:
    """The application behind ProxyFix, which gets only the header values that the outermost trusted proxy set."""

    def __init__(self, app: flask.Flask) -> None:
        self._app = app
        self._wsgi_app: WSGIApplication = app.wsgi_app
        self._proxy_fix = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        peer = _parse_address(environ.get("REMOTE_ADDR", ""))
        environ[_DIRECT_PEER] = "" if peer is None or _is_forwarded(environ) else str(peer)
        if peer is None:
            return self._wsgi_app(environ, start_response)
        environ["REMOTE_ADDR"] = str(peer)
        trusted: Networks = self._app.extensions["settings"].trusted_proxies
        if not _is_in(peer, trusted):
            return self._wsgi_app(environ, start_response)
        _keep_trusted_values(environ, peer, trusted)
        return self._proxy_fix(environ, start_response)


def _is_forwarded(environ: WSGIEnvironment) -> bool:
    # Names are searched as one text: one by one they take five times as long, for each request.
    return not _PROXY_HEADERS.isdisjoint(environ) or "\nHTTP_X_FORWARDED" in "\n".join(("", *environ))


def _keep_trusted_values(environ: WSGIEnvironment, peer: Address, trusted: Networks) -> None:
    client, hops = _find_client(peer, environ.get(_FOR, ""), trusted)
    scheme = _select_value(environ.get(_PROTO, ""), hops).lower()
    environ[_FOR] = str(client)
    environ[_PROTO] = scheme if scheme in ("http", "https") else ""
    environ[_HOST] = _select_value(environ.get(_HOST, ""), hops)


def _find_client(peer: Address, forwarded_for: str, trusted: Networks) -> tuple[Address, int]:
    """The first address from the right that is not a trusted proxy, and the number of proxies in front of it."""
    client, hops = peer, 1
    for position, value in enumerate(reversed(forwarded_for.split(",")), start=1):
        address = _parse_forwarded_address(value)
        if address is None:
            break
        client, hops = address, position
        if not _is_in(address, trusted):
            break
    return client, hops


def _select_value(header: str, hops: int) -> str:
    """The value set by the outermost of `hops` proxies: a proxy appends its value, or replaces all."""
    values = [value.strip() for value in header.split(",")]
    return values[-min(hops, len(values))]


def _parse_forwarded_address(value: str) -> Address | None:
    """The address in `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1` or `[2001:db8::1]:4711`."""
    text = value.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    return _parse_address(text)


@lru_cache(maxsize=4096)
def _parse_address(text: str) -> Address | None:
    """The address without its zone, IPv4-mapped addresses as IPv4; None where it is not an address."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_in(address: Address, networks: Networks) -> bool:
    return any(address in network for network in networks)
