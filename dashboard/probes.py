"""Liveness and readiness probes, and the metrics endpoint."""

from __future__ import annotations

from typing import Any

import flask

import metrics
from dashboard.access import current_settings
from dashboard.errors import RETRY_AFTER_SECONDS, ProblemError
from dashboard.proxies import find_direct_peer
from tasks.health.readiness import judge_readiness

probes = flask.Blueprint("probes", __name__)


@probes.get("/healthz")
def show_liveness() -> Any:
    """Answer 200 while the process is alive; it contacts no server."""
    return {"status": "ok"}


@probes.get("/readyz")
def show_readiness() -> Any:
    """Answer 200 while this process can accept triggers, with the reasons why it is degraded; else 503."""
    readiness = judge_readiness(current_settings())
    body = {
        "status": ("degraded" if readiness.problems else "ok") if readiness.accepts else "unavailable",
        "reasons": [problem.title for problem in readiness.problems],
        "since": {problem.key: problem.since for problem in readiness.problems},
        "database": "ok" if readiness.database_answers else "down",
    }
    if not readiness.accepts:
        return body, 503, {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return body


@probes.get("/metrics")
def show_metrics() -> Any:
    """Metrics in Prometheus's text format, for the networks in BECKON_METRICS_NETWORKS."""
    # Forwarded requests have the address of the proxy, so they are rejected.
    peer = find_direct_peer()
    if peer is None or not any(peer in network for network in current_settings().metrics_networks):
        raise ProblemError(403, "This address is not in BECKON_METRICS_NETWORKS.")
    return (
        metrics.format_exposition(flask.current_app.extensions["servers_collector"]),
        200,
        {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
    )
