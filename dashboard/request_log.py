"""Measures each request by route template, and writes one log line per request."""

from __future__ import annotations

import re
import time

import flask
import structlog

import metrics
from dashboard.proxies import read_client_address
from models.ids import new_id

log = structlog.get_logger(__name__)

#: Probe paths, requested every few seconds: measured, not logged.
UNLOGGED_PATHS = ("/healthz", "/readyz", "/metrics")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")


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
        metrics.http_request_duration_seconds.labels(
            route=route, method=method, code_class=f"{response.status_code // 100}xx"
        ).observe(seconds)
        response.headers["X-Request-Id"] = flask.g.get("request_id", "")
        if flask.request.path not in UNLOGGED_PATHS:
            # The template, not the path: the path of a hook contains its secret.
            log.info(
                "request", method=method, route=route, status=response.status_code, ms=round(seconds * 1000, 1),
                address=read_client_address(),
            )  # fmt: skip
        return response

    @app.teardown_request
    def clear_log_context(_: BaseException | None) -> None:
        structlog.contextvars.unbind_contextvars("request_id", "workspace_id", "actor")
