"""Counts each request by route template, measures it by group, and writes one log line for it, except for probes and
for tracked executions; for a static file at the level debug."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Iterable

import flask
import structlog

import metrics
from dashboard.proxies import read_client_address
from models.ids import new_id

#: Its lines are written together: one write for each request cost as much as the rest of the line.
log = structlog.get_logger(__name__, True)

#: Probe paths, requested every few seconds: counted, but neither measured nor logged.
UNLOGGED_PATHS = ("/healthz", "/readyz", "/metrics")
#: Tracked executions arrive by the thousand a second: only refused requests are logged.
UNLOGGED_SUCCESSES = ("/api/track-execution", "/api/track-executions")
#: The first prefix that fits decides; what fits none is a page.
_GROUPS = (
    ("/static/", "static"), ("/browser/", "static"), ("/beckon.js", "static"), ("/api/webhooks/", "webhook"),
    ("/api/hooks/", "webhook"), ("/api/", "api"),
)  # fmt: skip
#: Longer paths are cut off.
MAX_PATH_LENGTH = 300
#: The part of a path that is a secret: of hooks, invitations, password resets and links in messages.
_SECRET_PART = "<token>"
_SLASHES = re.compile("/{2,}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")


def classify_request(path: str, mimetype: str | None) -> str:
    """Return the group of a request in the metrics, by its path and its response's media type."""
    if mimetype == "text/event-stream":
        return "stream"
    return next((group for prefix, group in _GROUPS if path.startswith(prefix)), "page")


def hide_secrets(path: str, prefixes: Iterable[str]) -> str:
    """Return a path for the log; what follows a prefix that a secret follows is hidden, whether a route fits or not."""
    plain = _SLASHES.sub("/", path)
    prefix = next((prefix for prefix in prefixes if plain.lower().startswith(prefix)), None)
    return plain[:MAX_PATH_LENGTH] if prefix is None else f"{prefix}***"


def _list_secret_prefixes(app: flask.Flask) -> tuple[str, ...]:
    rules = [rule.rule for rule in app.url_map.iter_rules()]
    return tuple(sorted({rule.partition(_SECRET_PART)[0] for rule in rules if _SECRET_PART in rule}))


def register(app: flask.Flask) -> None:
    """Register the handlers."""
    # At the first request every route is registered.
    find_prefixes = functools.cache(lambda: _list_secret_prefixes(app))

    @app.before_request
    def begin_request() -> None:
        flask.g.started_at = time.perf_counter()
        requested_id = flask.request.headers.get("X-Request-Id", "")
        flask.g.request_id = requested_id if _REQUEST_ID.fullmatch(requested_id) else new_id()
        structlog.contextvars.bind_contextvars(request_id=flask.g.request_id)

    @app.after_request
    def finish_request(response: flask.Response) -> flask.Response:
        # Not by its proxy, which looks it up at each use.
        request: flask.Request = flask.request._get_current_object()  # type: ignore[attr-defined]
        seconds = time.perf_counter() - flask.g.get("started_at", time.perf_counter())
        route = request.url_rule.rule if request.url_rule else "none"
        method = request.method if request.url_rule else "OTHER"
        code_class = f"{response.status_code // 100}xx"
        metrics.http_requests_total.labels(route=route, code_class=code_class).inc()
        response.headers["X-Request-Id"] = flask.g.get("request_id", "")
        if request.path not in UNLOGGED_PATHS:
            group = classify_request(request.path, response.mimetype)
            metrics.http_request_duration_seconds.labels(group=group, code_class=code_class).observe(seconds)
            if route in UNLOGGED_SUCCESSES and response.status_code < 400:
                return response
            write = log.debug if group == "static" and response.status_code < 400 else log.info
            write(
                "request", method=method, path=hide_secrets(request.path, find_prefixes()), route=route,
                status=response.status_code, ms=round(seconds * 1000, 1), address=read_client_address(),
            )  # fmt: skip
        return response

    @app.teardown_request
    def clear_log_context(_: BaseException | None) -> None:
        structlog.contextvars.unbind_contextvars("request_id", "trigger_id", "workspace_id", "actor")
