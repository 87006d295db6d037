"""Times each request, counts it by its route's template, and writes one log line with the ids that it touched."""

from __future__ import annotations

import re
import time

import flask
import structlog

import metrics
from dashboard.proxies import client_address
from models.ids import new_id

log = structlog.get_logger(__name__)

#: Paths that probes ask every few seconds: counted, not logged.
QUIET = ("/healthz", "/readyz", "/metrics")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")


def register(app: flask.Flask) -> None:
    """Watch every request of the application."""

    @app.before_request
    def begin() -> None:
        flask.g.began = time.perf_counter()
        given = flask.request.headers.get("X-Request-Id", "")
        flask.g.request_id = given if _REQUEST_ID.fullmatch(given) else new_id()
        structlog.contextvars.bind_contextvars(request_id=flask.g.request_id)

    @app.after_request
    def end(answer: flask.Response) -> flask.Response:
        seconds = time.perf_counter() - flask.g.get("began", time.perf_counter())
        route = flask.request.url_rule.rule if flask.request.url_rule else "none"
        method = flask.request.method if flask.request.url_rule else "OTHER"
        metrics.http_request_duration_seconds.labels(
            route=route, method=method, code_class=f"{answer.status_code // 100}xx"
        ).observe(seconds)
        answer.headers["X-Request-Id"] = flask.g.get("request_id", "")
        if flask.request.path not in QUIET:
            # The template, not the path: a hook's path is its secret.
            log.info(
                "request", method=method, route=route, status=answer.status_code, ms=round(seconds * 1000, 1),
                address=client_address(),
            )  # fmt: skip
        return answer

    @app.teardown_request
    def forget(_: BaseException | None) -> None:
        structlog.contextvars.unbind_contextvars("request_id", "workspace_id", "actor")
