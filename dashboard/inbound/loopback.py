"""Decides whether a webhook may come from the sandbox: only while it is on, and only from this machine.

The peer of the socket decides, never headers or the result of ProxyFix. A forwarded request is not from this machine,
even where the proxy is.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

import flask

from dashboard.access import current_settings
from dashboard.proxies import find_direct_peer


def accepts_sandbox() -> bool:
    """Whether this request may be signed with the sandbox's secrets."""
    environ = flask.request.environ
    return (
        current_settings().sandbox != "off"
        and is_loopback(read_socket_peer(environ))
        and find_direct_peer() is not None
    )


def read_socket_peer(environ: Mapping[str, Any]) -> str:
    """The address of the socket's peer, ignoring ProxyFix; empty where it is unknown."""
    before_proxy_fix = environ.get("werkzeug.proxy_fix.orig")
    return str((environ if before_proxy_fix is None else before_proxy_fix).get("REMOTE_ADDR") or "")


def is_loopback(address: str) -> bool:
    """Whether the address is a loopback address, including IPv4-mapped IPv6."""
    try:
        peer = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = peer.ipv4_mapped if isinstance(peer, ipaddress.IPv6Address) else None
    return (mapped or peer).is_loopback
