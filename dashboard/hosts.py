"""Rejects requests for other hosts with 421.

This prevents DNS rebinding, where a foreign page reads through the visitor's connection, and forged hosts in generated
URLs. Probes accept any host, because orchestrators call them by IP address; their responses do not depend on it.
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
    """Reject requests for other hosts before any other handler runs."""

    @app.before_request
    def reject_other_hosts() -> None:
        if flask.request.path in HOST_EXEMPT_PATHS:
            return
        if not all(is_served(host, current_settings().served_hosts) for host in _iter_request_hosts()):
            raise ProblemError(421, "This host is not allowed. Add it to BECKON_ALLOWED_HOSTS.")


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
    """The hosts that the current request names: behind a trusted proxy the forwarded one instead of its own."""
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
