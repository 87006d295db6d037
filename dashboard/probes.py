"""For machines that watch: is the process alive, can it serve, and its metrics."""

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
    """200 while the process answers."""
    return {"status": "ok"}


@probes.get("/readyz")
def show_readiness() -> Any:
    """200 when requests can be served: PostgreSQL answers. Redis may be away, triggers are accepted without it."""
    try:
        health.is_answering()
    except CONNECTION_ERRORS:
        return {"status": "unavailable", "database": "down"}, 503, {"Retry-After": "5"}
    return {"status": "ok", "database": "ok"}


@probes.get("/metrics")
def show_metrics() -> Any:
    """Prometheus's text, for this machine and the networks that are allowed."""
    # Behind a proxy everybody comes from its address: what was forwarded is not from there.
    peer = find_direct_peer()
    if peer is None or not any(peer in network for network in current_settings().metrics_networks):
        raise ProblemError(403, "Metrics are for the networks in BECKON_METRICS_NETWORKS.")
    return (
        metrics.format_exposition(flask.current_app.extensions["servers_collector"]),
        200,
        {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
    )
