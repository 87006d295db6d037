"""Liveness and readiness probes, and the metrics endpoint."""

from __future__ import annotations

from typing import Any

import flask

import metrics
from dashboard.access import current_settings
from dashboard.errors import ProblemError
from dashboard.proxies import find_direct_peer
from models.database import CONNECTION_ERRORS
from models.reports import health

probes = flask.Blueprint("probes", __name__)


@probes.get("/healthz")
def show_liveness() -> Any:
    """Answer 200 while the process is alive."""
    return {"status": "ok"}


@probes.get("/readyz")
def show_readiness() -> Any:
    """Answer 200 while PostgreSQL is available. Redis is not required: triggers are accepted without it."""
    try:
        health.is_answering()
    except CONNECTION_ERRORS:
        return {"status": "unavailable", "database": "down"}, 503, {"Retry-After": "5"}
    return {"status": "ok", "database": "ok"}


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
