"""Authentication of the routes that web pages may call: a site key from an allowed origin beside a key or a session.

A site key is public, so it grants little: reports of the workspace's active playbooks, and reading these. Keys are
cached for `models.recent_reads.MAX_AGE_SECONDS`, because these routes take thousands of requests a second.
"""

from __future__ import annotations

from dataclasses import dataclass

import flask
import structlog

from dashboard.access import Permission, current_settings, require_permission, unauthorized
from dashboard.errors import ProblemError
from dashboard.proxies import read_client_network
from ephemeral.rate_limits import RateLimit, try_take
from models import site_key
from models.site_key import SiteKey

#: Where a request may name the site key. Browsers set no headers on a beacon.
SITE_KEY_HEADER = "X-Site-Key"
SITE_KEY_PARAMETER = "k"


@dataclass(frozen=True)
class PageCaller:
    """The authorized caller of a route that pages may call."""

    workspace_id: str
    #: Names the caller in rate limits.
    limit_key: str
    #: None for an API key and for a session.
    site_key: SiteKey | None = None


def read_site_key() -> str | None:
    """The site key that the current request names, valid or not."""
    request = flask.request
    return request.headers.get(SITE_KEY_HEADER) or request.args.get(SITE_KEY_PARAMETER)


def require_producer(permission: Permission) -> PageCaller:
    """The caller of the current request: an API key or a session with `permission`, or a site key.

    Raises `ProblemError` 401, 403 or 429.
    """
    if "Authorization" not in flask.request.headers and read_site_key() is not None:
        return require_site_key()
    call = require_permission(permission, may_be_recent=True)
    return PageCaller(call.workspace_id, f"{call.workspace_id}:{call.actor.id}")


def require_site_key() -> PageCaller:
    """The caller with the site key of the current request, within its rate limit.

    A page's origin must be one of the key's. Only GET may lack an origin, as browsers send none to the page's own.

    Raises `ProblemError` 401, 403 or 429.
    """
    key = site_key.find_recent(read_site_key() or "")
    if key is None:
        raise unauthorized("This site key does not exist or was revoked.")
    flask.g.site_key = key
    structlog.contextvars.bind_contextvars(workspace_id=key.workspace_id, actor="site_key")
    _ensure_origin(key)
    _consume_limit(key)
    return PageCaller(key.workspace_id, f"{key.workspace_id}:{key.id}", key)


def _ensure_origin(key: SiteKey) -> None:
    origin = flask.request.headers.get("Origin")
    if origin is None and flask.request.method in ("GET", "HEAD"):
        return
    if origin is None:
        raise ProblemError(403, "A site key needs the header Origin, which browsers send.")
    if not key.allows(origin):
        raise ProblemError(403, "This site key does not allow the page's origin. Create a site key that allows it.")


def _consume_limit(key: SiteKey) -> None:
    rate = current_settings().site_key_rate
    wait = try_take(RateLimit("site-key", rate, rate), f"{key.id}:{read_client_network()}")
    if wait:
        raise ProblemError(429, "Too many requests from this address. Slow down and retry.", retry_after=wait)
