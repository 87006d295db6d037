"""Only requests for a host of ours are answered: others get 421.

A web page whose name was pointed at this server's address (DNS rebinding) would else read with the visitor's own
connection, and a forged host would get into what is made of it. Probes are answered for any host, because orchestrators
call them by an address; what they answer does not depend on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import flask

from dashboard.access import current_settings
from dashboard.errors import ProblemError
from settings import normalise_host

HOST_EXEMPT_PATHS = ("/healthz", "/readyz")

_HOST = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]{1,5}))?")


def register(app: flask.Flask) -> None:
    """Refuse requests for other hosts before anything else looks at them."""

    @app.before_request
    def refuse_other_hosts() -> None:
        if flask.request.path in HOST_EXEMPT_PATHS:
            return
        if not all(is_served(host, current_settings().served_hosts) for host in _iter_request_hosts()):
            raise ProblemError(421, "This server does not answer for this host. BECKON_ALLOWED_HOSTS adds one.")


def is_served(host: str, served: frozenset[str]) -> bool:
    """Whether `host`, with or without a port, is one of `served` (hosts in their normal form)."""
    match = _HOST.fullmatch(host)
    if match is None or (match[2] is not None and not 1 <= int(match[2]) <= 65_535):
        return False
    try:
        return normalise_host(match[1]) in served
    except ValueError:
        return False


def _iter_request_hosts() -> Iterator[str]:
    """Every host that the present request names: behind a trusted proxy the forwarded one instead of its own."""
    environ = flask.request.environ
    yield environ.get("HTTP_HOST") or ""
    target = environ.get("RAW_URI") or "/"
    if target.startswith("/") or target == "*":
        return
    # An absolute target wins over the header Host (RFC 9112, 3.2.2).
    try:
        parts = urlsplit(target)
    except ValueError:
        yield ""
        return
    yield parts.netloc if parts.scheme in ("http", "https") else ""
