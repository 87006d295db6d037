"""Counts each request by route template, measures it by group, and writes one log line for it, except for probes and
for tracked executions."""

from __future__ import annotations

import re
import time

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
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")


def classify_request(path: str, mimetype: str | None) -> str:
    """Return the group of a request in the metrics, by its path and its response's media type."""
    if mimetype == "text/event-stream":
        return "stream"
    return next((group for prefix, group in _GROUPS if path.startswith(prefix)), "page")


def register(app: flask.Flask) -> None:
    """Register the handlers."""

    @app.before_request
    def begin_request() -> None:
        flask.g.started_at = time.perf_counter()
        requested_id = flask.request.headers.get("X-Request-Id", "")
        flask.g.request_id = requested_id if _REQUEST_ID.fullmatch(requested_id) else new_id()
        structlog.contextvars.bind_contextvars(request_id=flask.g.request_id)

    @app.after_request
    def finish_request(response: flask.Response) -> flask.Response:
        seconds = time.perf_counter() - flask.g.get("started_at", time.perf_counter())
        route = flask.request.url_rule.rule if flask.request.url_rule else "none"
        method = flask.request.method if flask.request.url_rule else "OTHER"
        code_class = f"{response.status_code // 100}xx"
        metrics.http_requests_total.labels(route=route, code_class=code_class).inc()
        response.headers["X-Request-Id"] = flask.g.get("request_id", "")
        if flask.request.path not in UNLOGGED_PATHS:
            group = classify_request(flask.request.path, response.mimetype)
            metrics.http_request_duration_seconds.labels(group=group, code_class=code_class).observe(seconds)
            if route in UNLOGGED_SUCCESSES and response.status_code < 400:
                return response
            # The template, not the path: the path of a hook contains its secret.
            log.info(
                "request", method=method, route=route, status=response.status_code, ms=round(seconds * 1000, 1),
                address=read_client_address(),
            )  # fmt: skip
        return response

    @app.teardown_request
    def clear_log_context(_: BaseException | None) -> None:
        structlog.contextvars.unbind_contextvars("request_id", "trigger_id", "workspace_id", "actor")
